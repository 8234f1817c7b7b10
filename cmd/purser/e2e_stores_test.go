package main

import (
	"bytes"
	"crypto/rand"
	"database/sql"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // for making and dropping databases

	"github.com/purser-dev/purser/jobs/redistest"
	"github.com/purser-dev/purser/models/storetest"
)

// emptyDatabase makes a PostgreSQL database without any table and returns its address. It goes with the test.
func emptyDatabase(t testing.TB) string {
	t.Helper()
	address := os.Getenv(storetest.EnvDatabaseURL)
	if address == "" {
		t.Fatalf("%s is not set: run the tests by `make test`, which starts a PostgreSQL for them", storetest.EnvDatabaseURL)
	}
	admin, err := sql.Open("pgx", address)
	if err != nil {
		t.Fatal(err)
	}
	name := "purser_cmd_" + strings.ToLower(rand.Text())
	if _, err := admin.Exec("CREATE DATABASE " + name); err != nil {
		t.Fatalf("make a database: %v", err)
	}
	t.Cleanup(func() {
		if _, err := admin.Exec("DROP DATABASE " + name + " WITH (FORCE)"); err != nil {
			t.Errorf("drop the test's database: %v", err)
		}
		_ = admin.Close()
	})
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal("the address of the PostgreSQL is none")
	}
	u.Path = "/" + name
	return u.String()
}

// newSecretKey is a value for PURSER_SECRET_KEY.
func newSecretKey() string {
	var key [secretKeyBytes]byte
	rand.Read(key[:]) // never fails
	return base64.StdEncoding.EncodeToString(key[:])
}

// productionSite is an installation of separate roles on a PostgreSQL and a Redis of its own, with an up-to-date schema.
func productionSite(t testing.TB, env ...string) (*site, *redistest.Redis) {
	t.Helper()
	redis := redistest.Real(t)
	s := newSite(t, append([]string{
		"PURSER_DATABASE_URL=" + emptyDatabase(t), "PURSER_REDIS_URL=" + redis.URL, "PURSER_SECRET_KEY=" + newSecretKey(),
		"PURSER_PUBLIC_URL=http://purser.test", "PURSER_ALLOWED_PRIVATE_NETS=127.0.0.0/8,::1/128",
	}, env...)...)
	s.must(t, "migrate", "up")
	return s, redis
}

// watchRedis writes down everything that anybody tells a Redis, from now until the test ends.
func watchRedis(t testing.TB, r *redistest.Redis) *output {
	t.Helper()
	u, err := url.Parse(r.URL)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(conn, "AUTH %s\r\nMONITOR\r\n", passwordIn(r.URL)); err != nil {
		t.Fatal(err)
	}
	var heard output
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = io.Copy(&heard, conn)
	}()
	t.Cleanup(func() {
		_ = conn.Close()
		<-ended
	})
	eventually(t, patience, func() bool { return strings.HasPrefix(heard.String(), "+OK\r\n+OK\r\n") },
		func() string { return "Redis repeats what it is told" })
	return &heard
}

// setting returns the value of a setting of the site.
func (s *site) setting(name string) (value string) {
	for _, pair := range s.env {
		if v, ok := strings.CutPrefix(pair, name+"="); ok {
			value = v
		}
	}
	return value
}

// passwordIn is the password of an address.
func passwordIn(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	password, _ := u.User.Password()
	return password
}

// hides fails the test for each place that has something which belongs in none of them.
func hides(t testing.TB, secrets []string, places map[string]string) {
	t.Helper()
	for place, text := range places {
		for _, s := range secrets {
			if i := strings.Index(text, s); s != "" && i >= 0 {
				around := text[max(0, i-200):min(len(text), i+200)]
				t.Errorf("%s has %q:\n%s", place, s, bytes.ToValidUTF8([]byte(around), nil))
			}
		}
	}
}
