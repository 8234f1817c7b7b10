package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"
)

// options are what a trial is made of.
type options struct {
	purser   string // the program
	postgres string // the folder of PostgreSQL's programs
	redis    string // the program
	orders   int
	faults   int // how many scenes; 0 is every kind of fault once
	measure  int // orders for one measurement of their speed
	seed     uint64
	only     *regexp.Regexp // the kinds of faults, by their names; nil is all
	short    bool
	out      io.Writer // tells how it goes
}

// trial is one run: an installation of Purser with everything around it, all of it ours.
type trial struct {
	options
	dir      string
	env      []string
	postgres *postgres
	redis    *redisServer
	lines    map[string]*line // by "ROLE STORE"
	roles    map[string][]*process
	mails    *sink
	hooks    *receiver
	client   *client
	ledger   *ledger
	begun    time.Time
	refused  bool // the mail server refuses emails for good at some time

	seats     chan struct{} // one for each customer who may be at the checkout at a time
	customers sync.WaitGroup
	probes    int

	mu     sync.Mutex
	wrongs map[sort][]string
}

// sort is a sort of thing that must not happen.
type sort string

const (
	lost     sort = "lost"
	double   sort = "double effects"
	tooLate  sort = "too late"
	tooSlow  sort = "orders slowed down"
	needless sort = "refused without need"
	badReply sort = "answers that nobody should get"
	fellOver sort = "processes"
	unsound  sort = "doctor"
)

func (t *trial) wrong(s sort, format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.wrongs[s] = append(t.wrongs[s], fmt.Sprintf(format, args...))
}

func (t *trial) say(format string, args ...any) {
	fmt.Fprintf(t.out, "%7.1fs  %s\n", time.Since(t.begun).Seconds(), fmt.Sprintf(format, args...))
}

// newTrial starts everything in a new folder, and returns what can be closed even if that went wrong.
func newTrial(ctx context.Context, o options) (*trial, error) {
	t := &trial{
		options: o, begun: time.Now(), lines: map[string]*line{}, roles: map[string][]*process{}, ledger: newLedger(),
		seats: make(chan struct{}, 256), wrongs: map[sort][]string{},
	}
	base := os.TempDir()
	if os.Geteuid() == 0 {
		base = "/tmp" // root's own may be closed to the stores' user
	}
	var err error
	if t.dir, err = os.MkdirTemp(base, "purser-chaos-"); err != nil {
		return t, err
	}
	if err := os.Chmod(t.dir, 0o711); err != nil { // the stores' user passes through
		return t, err
	}
	if err := t.startStores(ctx); err != nil {
		return t, err
	}
	if t.mails, err = newSink(t.ledger.takeMail); err != nil {
		return t, err
	}
	if t.hooks, err = newReceiver(t.ledger.takeEvent); err != nil {
		return t, err
	}
	return t, t.startRoles(ctx)
}

func (t *trial) startStores(ctx context.Context) error {
	owner, err := storeOwner()
	if err != nil {
		return err
	}
	if t.postgres, err = newPostgres(ctx, t.options.postgres, filepath.Join(t.dir, "postgres"), owner); err != nil {
		return err
	}
	if t.redis, err = newRedis(ctx, t.options.redis, filepath.Join(t.dir, "redis"), owner); err != nil {
		return err
	}
	for _, role := range append([]string{"tool"}, roles...) {
		for store, socket := range map[string]string{"postgres": t.postgres.socket(), "redis": t.redis.socket()} {
			name := role + " " + store
			if t.lines[name], err = newLine(name, socket); err != nil {
				return err
			}
		}
	}
	return nil
}

// each does something to the lines of every role to a store.
func (t *trial) each(store string, do func(*line)) {
	_ = t.eachErr(store, func(l *line) error { do(l); return nil })
}

func (t *trial) eachErr(store string, do func(*line) error) error {
	var errs []error
	for _, role := range roles {
		errs = append(errs, do(t.lines[role+" "+store]))
	}
	return errors.Join(errs...)
}

// setup is the environment of the processes of a role.
func (t *trial) setup(role string) []string {
	return append(append([]string{}, t.env...),
		"PURSER_DATABASE_URL="+t.postgres.urlAt(t.lines[role+" postgres"].address), "PURSER_REDIS_URL="+t.redis.urlAt(t.lines[role+" redis"].address))
}

// startRoles migrates, and starts two processes of each role.
func (t *trial) startRoles(ctx context.Context) error {
	var key [32]byte
	rand.Read(key[:]) // never fails
	t.env = append(environ("PURSER_", "PG"),
		"PURSER_LISTEN=127.0.0.1:0", "PURSER_OPS_LISTEN=127.0.0.1:0", "PURSER_LOG_FORMAT=json", "PURSER_PUBLIC_URL=http://purser.example",
		"PURSER_SECRET_KEY="+base64.StdEncoding.EncodeToString(key[:]), "PURSER_ALLOWED_PRIVATE_NETS=127.0.0.0/8",
		"PURSER_SMTP_URL=smtp://"+t.mails.address, "PURSER_WORKER_CONCURRENCY=19", "PURSER_SHUTDOWN_TIMEOUT=20s")
	if _, err := t.tool(ctx, "migrate", "up"); err != nil {
		return err
	}
	for _, role := range roles {
		for i := range 2 {
			p, err := newProcess(fmt.Sprintf("%s-%d", role, i+1), t.purser, t.dir, t.setup(role), role)
			if err != nil {
				return err
			}
			t.roles[role] = append(t.roles[role], p)
			if err := p.start(); err != nil {
				return err
			}
		}
	}
	t.client = newClient(t.doors)
	return t.serving(ctx)
}

// doors are where the customers may knock.
func (t *trial) doors() (open []string) {
	for _, p := range t.roles["api"] {
		if door := p.door(); door != "" {
			open = append(open, door)
		}
	}
	return open
}

// serving waits until every process serves.
func (t *trial) serving(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for _, role := range roles {
		for _, p := range t.roles[role] {
			if err := p.serving(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// tool runs a command of purser to its end, on lines of its own that are never broken.
func (t *trial) tool(ctx context.Context, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, t.purser, args...)
	cmd.Dir, cmd.Env = t.dir, t.setup("tool")
	var out, log strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &log
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("purser %s: %w\n%s%s", strings.Join(args, " "), err, out.String(), log.String())
	}
	return out.String(), nil
}

// openShop makes a merchant with products, keys for every plan, and a webhook endpoint for everything.
func (t *trial) openShop(ctx context.Context, keys map[string]int) error {
	text, err := t.tool(ctx, "merchant", "create", "--name", "Example Software", "--email", merchantEmail, "--allow-private-targets")
	if err != nil {
		return err
	}
	var made struct {
		APIKeys struct{ Test string } `json:"api_keys"`
	}
	if err := json.Unmarshal([]byte(text), &made); err != nil {
		return err
	}
	t.client.key = made.APIKeys.Test
	for _, a := range shelf {
		var product struct{ ID string }
		if err := t.client.ask(ctx, http.MethodPost, "/v1/products", "", map[string]any{
			"sku": a.sku, "name": a.sku, "license_method": a.method, "license_per": a.per,
			"prices": []map[string]any{{"currency": "EUR", "amount": 1900}},
		}, &product, http.StatusCreated); err != nil {
			return err
		}
		for from := 0; from < keys[a.sku]; from += 5000 {
			var lines strings.Builder
			for i := range min(5000, keys[a.sku]-from) {
				fmt.Fprintf(&lines, "POOL-%s-%06d\n", a.per, from+i)
			}
			if err := t.client.ask(ctx, http.MethodPost, "/v1/products/"+product.ID+"/keys", "", lines.String(), nil, http.StatusOK); err != nil {
				return err
			}
		}
	}
	var endpoint struct{ Secret string }
	if err := t.client.ask(ctx, http.MethodPost, "/v1/webhook-endpoints", "", map[string]any{
		"url": "http://" + t.hooks.address + "/hooks", "events": []string{"*"},
	}, &endpoint, http.StatusCreated); err != nil {
		return err
	}
	return t.hooks.trust(endpoint.Secret)
}

// close ends everything. The logs stay if they are to be kept.
func (t *trial) close(keep bool) error {
	var errs []error
	var all sync.WaitGroup
	for _, role := range roles {
		for _, p := range t.roles[role] {
			all.Go(func() {
				p.resume()
				if err := p.close(time.Minute); err != nil {
					t.wrong(fellOver, "%v", err)
				}
				for _, problem := range p.problems() {
					t.wrong(fellOver, "%s", problem)
				}
			})
		}
	}
	all.Wait()
	for _, l := range t.lines {
		l.close()
	}
	if t.hooks != nil {
		errs = append(errs, t.hooks.close())
	}
	if t.mails != nil {
		errs = append(errs, t.mails.close())
	}
	if t.redis != nil && t.redis.server != nil {
		t.redis.kill()
	}
	if t.postgres != nil && t.postgres.server != nil {
		errs = append(errs, t.postgres.resume())
		t.postgres.server.kill()
	}
	if !keep && len(t.wrongs) == 0 {
		errs = append(errs, os.RemoveAll(t.dir))
	}
	return errors.Join(errs...)
}
