// Package redistest gives every test a Redis of its own, because Asynq's keys are the same in all of them.
package redistest

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/purser-dev/purser/jobs"
)

// EnvServer names the variable that holds the path of the redis-server program.
const EnvServer = "REDIS_SERVER_BIN"

// Redis is one that nobody else uses. It goes with the test.
type Redis struct {
	URL   string
	Redis jobs.Redis
	// Client is for looking into it and for changing it behind Asynq's back.
	Client redis.UniversalClient

	server server
}

// server is one of the two implementations behind an address that stays the same.
type server interface {
	start() error
	stop()
}

// Each runs fn as a parallel subtest on the in-process Redis of embedded mode and on a real one.
func Each(t *testing.T, fn func(t *testing.T, r *Redis)) {
	t.Helper()
	for name, open := range map[string]func(testing.TB) *Redis{"in_process": InProcess, "redis": Real} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fn(t, open(t))
		})
	}
}

// InProcess starts the Redis of embedded mode. Its TTLs stand still.
func InProcess(t testing.TB) *Redis {
	t.Helper()
	m := &inProcess{Miniredis: miniredis.NewMiniRedis()}
	password := rand.Text()
	m.RequireAuth(password)
	return open(t, m, password, m.Addr)
}

// Real starts a redis-server. Without the program the test fails: a test that is skipped in silence proves nothing.
func Real(t testing.TB) *Redis {
	t.Helper()
	program := os.Getenv(EnvServer)
	if program == "" {
		t.Fatalf("%s is not set: run the tests by `make test`", EnvServer)
	}
	p := &process{program: program, dir: t.TempDir(), password: rand.Text()}
	return open(t, p, p.password, func() string { return p.address })
}

func open(t testing.TB, s server, password string, address func() string) *Redis {
	t.Helper()
	if err := s.start(); err != nil {
		t.Fatalf("start a Redis: %v", err)
	}
	t.Cleanup(s.stop)
	u := url.URL{Scheme: "redis", User: url.UserPassword("default", password), Host: address(), Path: "/0"}
	parsed, err := jobs.ParseRedisURL(u.String())
	if err != nil {
		t.Fatal(err)
	}
	r := &Redis{URL: u.String(), Redis: parsed, Client: parsed.Client(), server: s}
	t.Cleanup(func() { _ = r.Client.Close() })
	return r
}

// Stop takes the Redis away: connections are cut and new ones refused.
func (r *Redis) Stop() { r.server.stop() }

// StartEmpty brings it back at the same address, with nothing in it.
func (r *Redis) StartEmpty(t testing.TB) {
	t.Helper()
	if err := r.server.start(); err != nil {
		t.Fatalf("start the Redis again: %v", err)
	}
	r.Flush(t)
}

// Flush deletes everything.
func (r *Redis) Flush(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := r.Client.FlushAll(ctx).Err(); err != nil {
		t.Fatalf("flush the Redis: %v", err)
	}
}

type inProcess struct {
	*miniredis.Miniredis
	began bool
}

func (m *inProcess) start() error {
	if m.began {
		m.Ctx, m.CtxCancel = context.WithCancel(context.Background()) // the one that Close ended would end every command that blocks
		return m.Restart()
	}
	m.began = true
	return m.StartAddr("127.0.0.1:0")
}

func (m *inProcess) stop() { m.Close() }

type process struct {
	program, dir, address, password string
	config                          string // more lines of its configuration
	kill                            func() // nil while it does not run
}

// start tries a few ports, because one that was free may be taken by the time the program listens on it.
func (p *process) start() error {
	var err error
	for range 5 {
		address := p.address
		if address == "" {
			if address, err = freeAddress(); err != nil {
				return err
			}
		}
		if err = p.startAt(address); err == nil {
			p.address = address
			return nil
		}
	}
	return err
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	address := l.Addr().String()
	return address, l.Close()
}

func (p *process) startAt(address string) error {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	// The settings go in by standard input, so that other users of the machine do not see the password.
	cmd := exec.Command(p.program, "-")
	cmd.Dir = p.dir
	cmd.Stdin = strings.NewReader(fmt.Sprintf(
		"bind 127.0.0.1\nport %s\nrequirepass %s\nsave \"\"\nappendonly no\nmaxmemory-policy noeviction\n%s", port, p.password, p.config))
	p.kill, err = launch(cmd, address, p.password)
	return err
}

// launch starts a Redis program, waits until it answers, and returns what kills it.
func launch(cmd *exec.Cmd, address, password string) (kill func(), err error) {
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait()
	}()
	kill = func() {
		_ = cmd.Process.Kill()
		<-ended
	}
	client, err := clientOf(address, password)
	if err != nil {
		kill()
		return nil, err
	}
	defer func() { _ = client.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for client.Ping(ctx).Err() != nil {
		select {
		case <-ended:
			return nil, fmt.Errorf("%s ended at once", cmd.Path)
		case <-ctx.Done():
			kill()
			return nil, fmt.Errorf("%s does not answer", cmd.Path)
		case <-tick.C:
		}
	}
	return kill, nil
}

const startTimeout = 20 * time.Second

// clientOf talks to one server, whatever it is part of.
func clientOf(address, password string) (redis.UniversalClient, error) {
	parsed, err := jobs.ParseRedisURL("redis://:" + password + "@" + address)
	if err != nil {
		return nil, err
	}
	return parsed.Client(), nil
}

// stop kills: a Redis that dies by itself does not say goodbye either.
func (p *process) stop() {
	if p.kill != nil {
		p.kill()
		p.kill = nil
	}
}
