package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// postgres is a PostgreSQL server of our own. It listens on a socket in its folder, so that nobody takes its address while it is away;
// Purser reaches it through lines.
type postgres struct {
	bin, dir string // where its programs are, and where it keeps everything
	owner    *syscall.Credential
	password string
	server   *server // nil while it is away
}

// newPostgres makes an empty server as it comes, fsync and all, and starts it.
func newPostgres(ctx context.Context, bin, dir string, owner *syscall.Credential) (*postgres, error) {
	p := &postgres{bin: bin, dir: dir, owner: owner, password: rand.Text()}
	if err := makeFor(owner, dir); err != nil {
		return nil, err
	}
	secret := filepath.Join(dir, "password")
	if err := os.WriteFile(secret, []byte(p.password+"\n"), 0o600); err != nil {
		return nil, err
	}
	if err := giveTo(owner, secret); err != nil {
		return nil, err
	}
	initdb := exec.CommandContext(ctx, filepath.Join(bin, "initdb"), "-D", p.data(), "--username=postgres", "--auth=scram-sha-256",
		"--pwfile="+secret, "--encoding=UTF8", "--locale=C", "--no-sync")
	become(initdb, dir, owner)
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	conf, err := os.OpenFile(filepath.Join(p.data(), "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	_, err = fmt.Fprintf(conf, "\nlisten_addresses = ''\nunix_socket_directories = '%s'\nmax_connections = 400\ntimezone = 'UTC'\nlog_timezone = 'UTC'\n", dir)
	if err := errors.Join(err, conf.Close()); err != nil {
		return nil, err
	}
	return p, p.start(ctx)
}

func (p *postgres) data() string { return filepath.Join(p.dir, "data") }

// socket is where it listens.
func (p *postgres) socket() string { return filepath.Join(p.dir, ".s.PGSQL.5432") }

// urlAt is the address of its database for somebody who reaches it at host.
func (p *postgres) urlAt(host string) string {
	u := url.URL{Scheme: "postgres", User: url.UserPassword("postgres", p.password), Host: host, Path: "/postgres", RawQuery: "sslmode=disable"}
	return u.String()
}

// start starts it and returns when it answers; after a crash that is when it has recovered.
func (p *postgres) start(ctx context.Context) (err error) {
	cmd := exec.Command(filepath.Join(p.bin, "postgres"), "-D", p.data())
	become(cmd, p.dir, p.owner)
	cmd.Env = append(environ("LC_", "LANG"), "LC_ALL=C")
	if p.server, err = startServer(cmd, filepath.Join(p.dir, "log")); err != nil {
		return err
	}
	return p.server.until(ctx, "PostgreSQL", func(ctx context.Context) error {
		conn, err := p.connect(ctx)
		if err != nil {
			return err
		}
		return conn.Close(ctx)
	})
}

func (p *postgres) connect(ctx context.Context) (*pgx.Conn, error) {
	conf, err := pgx.ParseConfig("sslmode=disable")
	if err != nil {
		return nil, err
	}
	conf.Host, conf.Port, conf.User, conf.Password, conf.Database = p.dir, 5432, "postgres", p.password, "postgres"
	conf.RuntimeParams["application_name"] = "chaos"
	return pgx.ConnectConfig(ctx, conf)
}

// stop ends it: SIGINT as an operator does, SIGQUIT without a goodbye to anybody, so that it has to recover when it starts.
func (p *postgres) stop(how syscall.Signal) {
	p.server.signal(how)
	p.server.wait()
}

// hang stops every process of it where it stands.
func (p *postgres) hang() error {
	p.server.signal(syscall.SIGSTOP)
	return p.each(syscall.SIGSTOP)
}

// resume lets it go on.
func (p *postgres) resume() error {
	err := p.each(syscall.SIGCONT)
	p.server.signal(syscall.SIGCONT)
	return err
}

// each sends a signal to every process that the server has begun.
func (p *postgres) each(how syscall.Signal) error {
	out, err := exec.Command("ps", "-A", "-o", "pid=,ppid=").Output()
	if err != nil {
		return fmt.Errorf("ps: %w", err)
	}
	server := strconv.Itoa(p.server.cmd.Process.Pid)
	for line := range bytes.Lines(out) {
		if f := strings.Fields(string(line)); len(f) == 2 && f[1] == server {
			if pid, err := strconv.Atoi(f[0]); err == nil {
				_ = syscall.Kill(pid, how) // one that has ended meanwhile is no matter
			}
		}
	}
	return nil
}

// cut ends every connection but its own, and says how many there were.
func (p *postgres) cut(ctx context.Context) (n int, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	conn, err := p.connect(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close(ctx) }()
	return n, conn.QueryRow(ctx, `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
		WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()`).Scan(&n)
}
