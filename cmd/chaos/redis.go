package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// redisServer is a Redis of our own, on a socket in its folder.
type redisServer struct {
	program, dir string
	owner        *syscall.Credential
	password     string
	server       *server // nil while it is away
}

func newRedis(ctx context.Context, program, dir string, owner *syscall.Credential) (*redisServer, error) {
	r := &redisServer{program: program, dir: dir, owner: owner, password: rand.Text()}
	if err := makeFor(owner, dir); err != nil {
		return nil, err
	}
	return r, r.start(ctx)
}

func (r *redisServer) socket() string { return filepath.Join(r.dir, "redis.sock") }

func (r *redisServer) snapshot() string { return filepath.Join(r.dir, "dump.rdb") }

func (r *redisServer) urlAt(host string) string {
	u := url.URL{Scheme: "redis", User: url.UserPassword("default", r.password), Host: host, Path: "/0"}
	return u.String()
}

// start starts it with what is in the snapshot, if there is one.
func (r *redisServer) start(ctx context.Context) (err error) {
	// The settings go in by standard input, so that other users of the machine do not see the password.
	cmd := exec.Command(r.program, "-")
	become(cmd, r.dir, r.owner)
	cmd.Stdin = strings.NewReader(fmt.Sprintf(
		"port 0\nunixsocket %s\nunixsocketperm 700\nrequirepass %s\nsave \"\"\nappendonly no\nmaxmemory-policy noeviction\ndir %s\n", r.socket(), r.password, r.dir))
	if r.server, err = startServer(cmd, filepath.Join(r.dir, "log")); err != nil {
		return err
	}
	return r.server.until(ctx, "Redis", func(ctx context.Context) error {
		_, err := r.do(ctx, "PING")
		return err
	})
}

// kill ends it without a goodbye. Its snapshot stays; forget removes it.
func (r *redisServer) kill() { r.server.kill() }

func (r *redisServer) forget() error {
	if err := os.Remove(r.snapshot()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// do gives it one command on a connection of its own and returns the answer, which must not be a list.
func (r *redisServer) do(ctx context.Context, words ...string) (string, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", r.socket())
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	deadline := time.Now().Add(10 * time.Second)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	_ = conn.SetDeadline(deadline)
	in := bufio.NewReader(conn)
	if _, err := command(conn, in, "AUTH", r.password); err != nil {
		return "", err
	}
	return command(conn, in, words...)
}

// command speaks as much of Redis's protocol as it takes.
func command(out io.Writer, in *bufio.Reader, words ...string) (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(words))
	for _, w := range words {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(w), w)
	}
	if _, err := io.WriteString(out, b.String()); err != nil {
		return "", err
	}
	line, err := in.ReadString('\n')
	if err != nil {
		return "", err
	}
	kind, text := line[0], strings.TrimSpace(line[1:])
	switch kind {
	case '+', ':':
		return text, nil
	case '$':
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			return "", err
		}
		body := make([]byte, n+2)
		_, err = io.ReadFull(in, body)
		return string(body[:n]), err
	}
	return "", fmt.Errorf("redis: %s: %s", words[0], text)
}

// usedMemory is how many bytes it holds.
func (r *redisServer) usedMemory(ctx context.Context) (int, error) {
	info, err := r.do(ctx, "INFO", "memory")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(info) {
		if n, ok := strings.CutPrefix(line, "used_memory:"); ok {
			return strconv.Atoi(strings.TrimSpace(n))
		}
	}
	return 0, errors.New("redis does not say how much it holds")
}
