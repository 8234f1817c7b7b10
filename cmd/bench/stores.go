package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
)

// stores are the servers that the run may use, from the environment that .ci/with-stores makes.
type stores struct{ database, redis url.URL }

func storesFromEnv(getenv func(string) string) (s stores, err error) {
	for name, into := range map[string]*url.URL{"PURSER_TEST_DATABASE_URL": &s.database, "PURSER_TEST_REDIS_URL": &s.redis} {
		u, err := url.Parse(getenv(name))
		if err != nil || u.Host == "" {
			return s, fmt.Errorf("%s is not set; type: make bench", name)
		}
		*into = *u
	}
	return s, nil
}

// redisDatabases numbers the installations, so that each has a Redis database of its own: a server has 16.
var redisDatabases atomic.Int32

// installation is a purser with stores of its own.
type installation struct {
	b           *bench
	dir         string
	databaseURL string // empty: embedded stores
	redisURL    string
	secret      string
	smtp        string // address of the mail server; empty: the built-in mailbox
	procs       []*process
}

// install makes an installation on PostgreSQL and Redis with a migrated, empty database; close takes it away.
func (b *bench) install(ctx context.Context) (*installation, error) {
	number := redisDatabases.Add(1)
	i, err := b.installEmbedded()
	if err != nil {
		return nil, err
	}
	name := "bench_" + strconv.Itoa(int(number))
	if err := b.admin(ctx, "CREATE DATABASE "+name); err != nil {
		return nil, err
	}
	database, redis := b.stores.database, b.stores.redis
	database.Path, redis.Path = "/"+name, "/"+strconv.Itoa(int(number)%16)
	i.databaseURL, i.redisURL = database.String(), redis.String()
	_, err = i.tool(ctx, "migrate", "up")
	return i, err
}

// installEmbedded makes an installation on embedded stores.
func (b *bench) installEmbedded() (*installation, error) {
	dir, err := os.MkdirTemp(b.dir, "installation-")
	if err != nil {
		return nil, err
	}
	var key [32]byte
	_, _ = rand.Read(key[:]) // never fails (crypto/rand)
	return &installation{b: b, dir: dir, secret: base64.StdEncoding.EncodeToString(key[:])}, nil
}

// admin runs one statement as the superuser.
func (b *bench) admin(ctx context.Context, statement string) error {
	conn, err := pgx.Connect(ctx, b.stores.database.String())
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, statement)
	return errors.Join(err, conn.Close(ctx))
}

// analyze brings PostgreSQL's statistics up to date.
func (i *installation) analyze(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, i.databaseURL)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, "ANALYZE")
	return errors.Join(err, conn.Close(ctx))
}

// quiet waits until every promise is kept.
func (i *installation) quiet(ctx context.Context) (err error) {
	conn, err := pgx.Connect(ctx, i.databaseURL)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	for end := time.Now().Add(5 * patience); ; {
		var open int
		// By the alarm, which has an index and is set soon after the time: there may be very many that wait for tomorrow.
		if err := conn.QueryRow(ctx, "SELECT count(*) FROM jobs WHERE finished_at IS NULL AND alarm_at < now() + interval '2 minutes'").Scan(&open); err != nil {
			return err
		}
		if open == 0 {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("%d promises are open after %s", open, 5*patience)
		}
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
}

// close stops what still runs and drops the database.
func (i *installation) close() error {
	var errs []error
	for _, p := range i.procs {
		errs = append(errs, p.stop())
	}
	if i.databaseURL != "" {
		u, err := url.Parse(i.databaseURL)
		if err != nil {
			return err
		}
		errs = append(errs, i.b.admin(context.Background(), "DROP DATABASE "+filepath.Base(u.Path)+" WITH (FORCE)"))
	}
	return errors.Join(append(errs, os.RemoveAll(i.dir))...)
}

// env is what every purser of the installation gets.
func (i *installation) env() []string {
	env := []string{
		"PURSER_SECRET_KEY=" + i.secret, "PURSER_DATA_DIR=" + filepath.Join(i.dir, "data"),
		"PURSER_LISTEN=127.0.0.1:0", "PURSER_OPS_LISTEN=127.0.0.1:0", "PURSER_LOG_FORMAT=json",
		"PURSER_ALLOWED_PRIVATE_NETS=127.0.0.0/8", "PATH=" + os.Getenv("PATH"), "HOME=" + i.dir,
	}
	if i.databaseURL != "" {
		env = append(env, "PURSER_DATABASE_URL="+i.databaseURL, "PURSER_REDIS_URL="+i.redisURL)
	}
	if i.smtp != "" {
		env = append(env, "PURSER_SMTP_URL=smtp://"+i.smtp)
	}
	return env
}

// merchant is a merchant of the installation.
type merchant struct {
	ID, Slug string
	key      string // of test mode
}

func (i *installation) merchant(ctx context.Context, name string) (merchant, error) {
	out, err := i.tool(ctx, "merchant", "create", "--name", name, "--email", "shop@bench.example", "--allow-private-targets")
	if err != nil {
		return merchant{}, err
	}
	var created struct {
		Merchant merchant          `json:"merchant"`
		APIKeys  map[string]string `json:"api_keys"`
	}
	if err := json.Unmarshal(out, &created); err != nil {
		return merchant{}, fmt.Errorf("merchant create: %w", err)
	}
	created.Merchant.key = created.APIKeys["test"]
	return created.Merchant, nil
}
