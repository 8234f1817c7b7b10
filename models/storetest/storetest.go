// Package storetest gives every test a fresh, real database of each profile, so that what is true on one is known to be true on the
// other.
package storetest

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // for making and dropping databases

	"github.com/purser-dev/purser/models"
)

// EnvDatabaseURL names the variable that holds the address of a PostgreSQL superuser; every test makes a database of its own.
const EnvDatabaseURL = "PURSER_TEST_DATABASE_URL"

// PublicURL is the base of the links in a test's orders.
const PublicURL = "https://purser.test"

// secret is the same in all tests, so that several stores can be opened on one database.
var secret = bytes.Repeat([]byte{7}, 32)

// Each runs fn as a parallel subtest for each profile, postgres and sqlite, with a store on a fresh database with the current schema.
// It marks t itself as parallel, so the caller must not.
//
// Without a PostgreSQL the test fails: a test that is skipped in silence proves nothing.
func Each(t *testing.T, fn func(t *testing.T, s *models.Store)) {
	t.Helper()
	release := template.use(t)
	t.Cleanup(release)
	t.Parallel()
	for _, profile := range []string{"postgres", "sqlite"} {
		t.Run(profile, func(t *testing.T) {
			t.Parallel()
			fn(t, Open(t, profile))
		})
	}
}

// Open makes a fresh database of a profile, postgres or sqlite, and opens a store on it. Both go with the test.
func Open(t testing.TB, profile string) *models.Store {
	t.Helper()
	var o models.Options
	switch profile {
	case "postgres":
		o.DatabaseURL = newPostgres(t)
	case "sqlite":
		o.SQLitePath = newSQLite(t)
	default:
		t.Fatalf("storetest: no profile %q", profile)
	}
	return open(t, o)
}

// Again opens another store on the database of s, as another process would.
func Again(t testing.TB, s *models.Store) *models.Store {
	t.Helper()
	return open(t, Options(s))
}

// Options returns what s was opened with, for tests that start whole programs on its database.
func Options(s *models.Store) models.Options {
	o, ok := opened.Load(s)
	if !ok {
		panic("storetest: this store is not one of ours")
	}
	return o.(models.Options)
}

var opened sync.Map // *models.Store to models.Options

func open(t testing.TB, o models.Options) *models.Store {
	t.Helper()
	keys, err := models.NewKeyring(secret)
	if err != nil {
		t.Fatal(err)
	}
	o.Keys, o.PublicURL, o.MaxConns, o.PasswordMemory = keys, PublicURL, 8, 64
	ctx := context.Background()
	s, err := models.Open(ctx, o)
	if err != nil {
		t.Fatalf("open the store: %v", err)
	}
	opened.Store(s, o)
	t.Cleanup(func() {
		opened.Delete(s)
		if err := s.Close(); err != nil {
			t.Errorf("close the store: %v", err)
		}
	})
	return s
}

// migratedSQLite is the file of an embedded database with the current schema. Copying it is quicker than migrating each.
var migratedSQLite = sync.OnceValues(func() (file []byte, err error) {
	dir, err := os.MkdirTemp("", "purser-template-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	path := filepath.Join(dir, "purser.db")
	if err := migrate(models.Options{SQLitePath: path}); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
})

// newSQLite makes an embedded database with the current schema and returns its path. It goes with the test.
func newSQLite(t testing.TB) string {
	t.Helper()
	file, err := migratedSQLite()
	if err != nil {
		t.Fatalf("make an embedded database: %v", err)
	}
	path := filepath.Join(t.TempDir(), "purser.db")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// migrate gives a new database the current schema. Its file is whole once it has returned.
func migrate(o models.Options) error {
	keys, err := models.NewKeyring(secret)
	if err != nil {
		return err
	}
	o.Keys, o.MaxConns = keys, 2
	ctx := context.Background()
	s, err := models.Open(ctx, o)
	if err != nil {
		return err
	}
	_, err = s.Migrate(ctx)
	return errors.Join(err, s.Close())
}

// sharedTemplate is a migrated PostgreSQL database that new ones are copied from, which is quicker than migrating each. It lives
// while tests use it.
type sharedTemplate struct {
	mu    sync.Mutex
	users int
	name  string
	copy  string // the end of the statement that makes a copy
	admin *sql.DB
	err   error
}

var template sharedTemplate

// use keeps the template alive until release is called. Each calls it before it makes its test parallel, and Go begins parallel tests
// after all others have been set going, so the template is made once a process.
func (m *sharedTemplate) use(t testing.TB) (release func()) {
	t.Helper()
	address := os.Getenv(EnvDatabaseURL)
	if address == "" {
		t.Fatalf("%s is not set: run the tests by `make test`, which starts a PostgreSQL for them", EnvDatabaseURL)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.users == 0 {
		m.err = m.make(address)
	}
	if m.err != nil {
		m.drop()
		t.Fatalf("PostgreSQL at %s: %v", EnvDatabaseURL, m.err)
	}
	m.users++
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.users--; m.users == 0 {
			m.drop()
		}
	}
}

func (m *sharedTemplate) make(address string) error {
	var err error
	if m.admin, err = sql.Open("pgx", address); err != nil {
		return err
	}
	m.name = newName("template")
	if _, err := m.admin.Exec("CREATE DATABASE " + m.name); err != nil {
		return err
	}
	// Copying the files takes a quarter of the time of writing them through the log, which is what PostgreSQL does from 15 on unless told.
	m.copy = "TEMPLATE " + m.name
	var version int
	if err := m.admin.QueryRow("SELECT current_setting('server_version_num')::int").Scan(&version); err != nil {
		return err
	}
	if version >= 150000 {
		m.copy += " STRATEGY file_copy"
	}
	return migrate(models.Options{DatabaseURL: withDatabase(address, m.name)})
}

func (m *sharedTemplate) drop() {
	if m.admin == nil {
		return
	}
	_, _ = m.admin.Exec("DROP DATABASE IF EXISTS " + m.name + " WITH (FORCE)") // the server goes with the test run anyway
	_ = m.admin.Close()
	m.admin = nil
}

// newPostgres makes a database with the current schema and returns its address. It goes with the test.
func newPostgres(t testing.TB) string {
	t.Helper()
	t.Cleanup(template.use(t))
	name := newName("test")
	if _, err := template.admin.Exec("CREATE DATABASE " + name + " " + template.copy); err != nil {
		t.Fatalf("make a database: %v", err)
	}
	t.Cleanup(func() {
		if _, err := template.admin.Exec("DROP DATABASE " + name + " WITH (FORCE)"); err != nil {
			t.Errorf("drop the test's database: %v", err)
		}
	})
	return withDatabase(os.Getenv(EnvDatabaseURL), name)
}

func newName(kind string) string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return "purser_" + kind + "_" + hex.EncodeToString(b[:])
}

func withDatabase(address, name string) string {
	u, err := url.Parse(address)
	if err != nil {
		panic(EnvDatabaseURL + " is not an address")
	}
	u.Path = "/" + name
	return u.String()
}
