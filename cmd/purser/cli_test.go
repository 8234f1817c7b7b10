package main

import (
	"context"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/purser-dev/purser/models"
)

// eachDatabase runs fn on an installation whose database is embedded, and on one on PostgreSQL. Neither has a schema yet.
func eachDatabase(t *testing.T, fn func(t *testing.T, s *site)) {
	t.Helper()
	t.Parallel()
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		s := newSite(t, "PURSER_SECRET_KEY="+newSecretKey())
		s.env = append(s.env, "PURSER_DATA_DIR="+filepath.Join(s.dir, "data"))
		fn(t, s)
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		fn(t, newSite(t, "PURSER_SECRET_KEY="+newSecretKey(), "PURSER_DATABASE_URL="+emptyDatabase(t), "PURSER_SMTP_URL=smtp://127.0.0.1:1"))
	})
}

// tool runs a command to its end in this process, with something on its standard input.
func (s *site) tool(t testing.TB, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, log output
	p := Program{Args: args, Env: s.env, Dir: s.dir, Stdin: strings.NewReader(stdin), Stdout: &out, Stderr: &log}
	code = p.Run(context.Background())
	return code, out.String(), log.String()
}

// does is tool for commands that have to succeed.
func (s *site) does(t testing.TB, args ...string) string {
	t.Helper()
	code, stdout, stderr := s.tool(t, "", args...)
	if code != exitOK {
		t.Fatalf("purser %s: exit code %d\n%s%s", strings.Join(args, " "), code, stdout, stderr)
	}
	return stdout
}

// refuses is tool for commands that have to fail with this code and name all of want. Nothing may reach standard output.
func (s *site) refuses(t testing.TB, code int, want []string, args ...string) {
	t.Helper()
	got, stdout, stderr := s.tool(t, "", args...)
	if got != code || stdout != "" {
		t.Errorf("purser %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), got, code, stdout, stderr)
	}
	for _, w := range want {
		if !strings.Contains(stderr, w) {
			t.Errorf("purser %s: %q lacks %q", strings.Join(args, " "), stderr, w)
		}
	}
	hides(t, []string{passwordIn(s.setting("PURSER_DATABASE_URL")), s.setting("PURSER_SECRET_KEY"), "goroutine "}, map[string]string{"the error": stderr})
}

// store opens the site's database, as its processes do.
func (s *site) store(t testing.TB) *models.Store {
	t.Helper()
	key, err := base64.StdEncoding.DecodeString(s.setting("PURSER_SECRET_KEY"))
	if err != nil {
		t.Fatal(err)
	}
	keys, err := models.NewKeyring(key)
	if err != nil {
		t.Fatal(err)
	}
	store, err := models.Open(t.Context(), models.Options{
		DatabaseURL: s.setting("PURSER_DATABASE_URL"), SQLitePath: filepath.Join(s.setting("PURSER_DATA_DIR"), databaseFile),
		PublicURL: "http://purser.test", Keys: keys, MaxConns: 4,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

// serve runs the site in this process until the test ends, which has to end well, and returns the address of its API.
func (s *site) serve(t testing.TB, args ...string) string {
	t.Helper()
	var out, log output
	signals := make(chan os.Signal, 1)
	p := Program{Args: args, Env: s.env, Dir: s.dir, Stdin: strings.NewReader(""), Stdout: &out, Stderr: &log, Signals: signals}
	ended := make(chan int, 1)
	go func() { ended <- p.Run(context.Background()) }()
	t.Cleanup(func() {
		signals <- syscall.SIGTERM
		if code := <-ended; code != exitOK {
			t.Errorf("purser %s: exit code %d\n%s", strings.Join(args, " "), code, log.String())
		}
	})
	var line map[string]string
	eventually(t, patience, func() bool {
		select {
		case code := <-ended:
			ended <- code
			t.Fatalf("purser %s ended with %d:\n%s", strings.Join(args, " "), code, log.String())
		default:
		}
		line = logLine(log.String(), "started")
		return line != nil
	}, func() string { return "it starts: " + log.String() })
	return "http://" + line["address"]
}
