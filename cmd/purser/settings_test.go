package main

import (
	"encoding/base64"
	"fmt"
	"log/slog"
	"net"
	"net/mail"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

// load reads settings in an empty directory with env as the environment, and args as flags of every role.
func load(t *testing.T, src settingsSources, args ...string) (Settings, error) {
	t.Helper()
	if src.dir == "" {
		src.dir = t.TempDir()
	}
	if src.roles == 0 {
		src.roles = roleRun
	}
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	addSettingFlags(flags, roleAll)
	if err := flags.Parse(args); err != nil {
		t.Fatal(err)
	}
	src.flags = flags
	return loadSettings(src)
}

func TestSettingsDefaults(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := load(t, settingsSources{dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	s.origins = nil
	want := Settings{
		Listen: "127.0.0.1:8080", PublicURL: "http://127.0.0.1:8080", PublicURLDerived: true,
		DataDir: filepath.Join(dir, "data"), MailFrom: mail.Address{Address: "purser@localhost"},
		WorkerConcurrency: 4 * runtime.GOMAXPROCS(0), LogLevel: slog.LevelInfo, LogFormat: "json",
		OpsListen: "127.0.0.1:9090", ShutdownTimeout: 30 * time.Second,
	}
	if !reflect.DeepEqual(s, want) {
		t.Errorf("got  %+v\nwant %+v", s, want)
	}
	if !s.EmbeddedDatabase() || !s.EmbeddedRedis() {
		t.Error("without URLs both stores are embedded")
	}
}

func TestSettingsPrecedence(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, ".env"), "PURSER_LISTEN=127.0.0.1:1\nPURSER_OPS_LISTEN=127.0.0.1:1\nPURSER_LOG_LEVEL=debug\nPURSER_LOG_FORMAT=\n")
	writeFile(t, filepath.Join(dir, "other.env"), "PURSER_LISTEN=127.0.0.1:4\n")
	env := []string{"PURSER_LISTEN=127.0.0.1:2", "PURSER_OPS_LISTEN=127.0.0.1:2", "PURSER_LOG_LEVEL=  ", "PURSER_MAIL_FROM=", "HOME=/x"}

	s, err := load(t, settingsSources{dir: dir, env: env}, "--listen=127.0.0.1:3", "--ops-listen=")
	if err != nil {
		t.Fatal(err)
	}
	if s.Listen != "127.0.0.1:3" {
		t.Errorf("a flag must win over the environment, got %s", s.Listen)
	}
	if s.OpsListen != "127.0.0.1:2" {
		t.Errorf("the environment must win over the file, and a blank flag count as not set, got %s", s.OpsListen)
	}
	if s.LogLevel != slog.LevelDebug {
		t.Errorf("blank in the environment must count as not set, got %s", s.LogLevel)
	}
	if s.MailFrom.Address != "purser@localhost" || s.LogFormat != "json" {
		t.Errorf("blank values must leave the default, got %s and %s", s.MailFrom.Address, s.LogFormat)
	}
	if len(s.Warnings) != 0 {
		t.Errorf("unexpected warnings %q", s.Warnings)
	}
	var out strings.Builder
	if err := writeSettings(&out, s); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"PURSER_LISTEN 127.0.0.1:3 --listen", "PURSER_OPS_LISTEN 127.0.0.1:2 environment", "PURSER_LOG_LEVEL debug .env line 3", "PURSER_SHUTDOWN_TIMEOUT 30s default", "PURSER_LOG_FORMAT json derived"} {
		if !strings.Contains(strings.Join(strings.Fields(out.String()), " "), line) {
			t.Errorf("print-out lacks %q:\n%s", line, out.String())
		}
	}

	if s, err = load(t, settingsSources{dir: dir, envFile: "other.env"}); err != nil || s.Listen != "127.0.0.1:4" || s.LogLevel != slog.LevelInfo {
		t.Errorf("--env-file must be read instead of .env, got %s %s, %v", s.Listen, s.LogLevel, err)
	}
	if _, err = load(t, settingsSources{dir: dir, envFile: "missing.env"}); err == nil || !strings.Contains(err.Error(), "missing.env") {
		t.Errorf("a chosen file that is missing must be refused, got %v", err)
	}
}

func TestSettingsUnknownNames(t *testing.T) {
	t.Parallel()
	s, err := load(t, settingsSources{env: []string{"PURSER_LITSEN=hush", "PURSER_API_SERVICE_HOST=hush", "PURSERX=1", "PURSER_LOG_LEVEL=warn"}})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"unknown name in the environment, ignored: PURSER_API_SERVICE_HOST", "unknown name in the environment, ignored: PURSER_LITSEN"}
	if !reflect.DeepEqual(s.Warnings, want) {
		t.Errorf("got warnings %q, want %q", s.Warnings, want)
	}
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, ".env"), "PURSER_LOG_LEVEL=warn\nPURSER_LITSEN=hush\nHOME=/x\n")
	_, err = load(t, settingsSources{dir: dir})
	for _, want := range []string{".env line 2: unknown name PURSER_LITSEN", ".env line 3: unknown name HOME"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

var key32 = []byte("0123456789abcdef\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8ghijklmn")

func TestSettingsAccept(t *testing.T) {
	t.Parallel()
	prefixes := func(texts ...string) (list []netip.Prefix) {
		for _, text := range texts {
			list = append(list, netip.MustParsePrefix(text))
		}
		return list
	}
	for _, tt := range []struct {
		name, value string
		get         func(Settings) any
		want        any
	}{
		{"DATABASE_URL", "postgres://u:p@h:5432/d?sslmode=require", func(s Settings) any { return s.DatabaseURL.Reveal() }, "postgres://u:p@h:5432/d?sslmode=require"},
		{"DATABASE_URL", "postgresql://h1:5432,h2:5432/d", func(s Settings) any { return s.EmbeddedDatabase() }, false},
		{"DATABASE_URL", "postgres:///d?host=/run/postgresql", func(s Settings) any { return s.DatabaseURL.String() }, "postgres:///d?host=/run/postgresql"},
		{"REDIS_URL", "rediss://u:p@h:6380/1", func(s Settings) any { return s.RedisURL.String() }, "rediss://u:•••@h:6380/1"},
		{"REDIS_URL", "redis-sentinel://h1:26379,h2:26379/m", func(s Settings) any { return s.EmbeddedRedis() }, false},
		{"REDIS_URL", "redis-cluster://h1:6379,h2:6379", func(s Settings) any { return s.EmbeddedRedis() }, false},
		{"LISTEN", ":0", func(s Settings) any { return s.PublicURL }, "http://localhost:0"},
		{"LISTEN", "[::1]:8080", func(s Settings) any { return s.PublicURL }, "http://[::1]:8080"},
		{"PUBLIC_URL", "https://pay.example.com/", func(s Settings) any { return s.PublicURL }, "https://pay.example.com"},
		{"PUBLIC_URL", "https://example.com/pay//", func(s Settings) any { return s.PublicURL }, "https://example.com/pay"},
		{"DATA_DIR", "/var/lib/purser", func(s Settings) any { return s.DataDir }, "/var/lib/purser"},
		{"SECRET_KEY", base64.StdEncoding.EncodeToString(key32), func(s Settings) any { return s.SecretKey.Reveal() }, string(key32)},
		{"SECRET_KEY", base64.RawStdEncoding.EncodeToString(key32), func(s Settings) any { return s.SecretKey.Reveal() }, string(key32)},
		{"SECRET_KEY", base64.URLEncoding.EncodeToString(key32), func(s Settings) any { return s.SecretKey.Reveal() }, string(key32)},
		{"SECRET_KEY", base64.RawURLEncoding.EncodeToString(key32) + "\n", func(s Settings) any { return s.SecretKey.Reveal() }, string(key32)},
		{"SMTP_URL", "smtp://u:p%40ss@mail.example.com:25?tls=opportunistic", func(s Settings) any { return s.SMTPURL.Reveal() }, "smtp://u:p%40ss@mail.example.com:25?tls=opportunistic"},
		{"SMTP_URL", "smtps://u:p@mail.example.com", func(s Settings) any { return s.SMTPURL.String() }, "smtps://u:•••@mail.example.com"},
		{"MAIL_FROM", "Example Shop <orders@example.com>", func(s Settings) any { return s.MailFrom }, mail.Address{Name: "Example Shop", Address: "orders@example.com"}},
		{"ALLOWED_PRIVATE_NETS", "10.20.0.0/16, fd00::/8", func(s Settings) any { return s.AllowedPrivateNets }, prefixes("10.20.0.0/16", "fd00::/8")},
		{"TRUSTED_PROXIES", "10.0.0.1,::ffff:10.0.0.2,fd00::1,10.1.0.0/16", func(s Settings) any { return s.TrustedProxies }, prefixes("10.0.0.1/32", "10.0.0.2/32", "fd00::1/128", "10.1.0.0/16")},
		{"WORKER_CONCURRENCY", "1", func(s Settings) any { return s.WorkerConcurrency }, 1},
		{"QUEUES", "good=6, fine", func(s Settings) any { return s.Queues }, []QueueWeight{{"good", 6}, {"fine", 1}}},
		{"LOG_LEVEL", "WARN", func(s Settings) any { return s.LogLevel }, slog.LevelWarn},
		{"LOG_FORMAT", "text", func(s Settings) any { return s.LogFormat }, "text"},
		{"OPS_LISTEN", "0.0.0.0:9090", func(s Settings) any { return s.OpsListen }, "0.0.0.0:9090"},
		{"SHUTDOWN_TIMEOUT", "1m30s", func(s Settings) any { return s.ShutdownTimeout }, 90 * time.Second},
		{"DRAIN_DELAY", "10s", func(s Settings) any { return s.DrainDelay }, 10 * time.Second},
	} {
		t.Run(tt.name+"="+tt.value, func(t *testing.T) {
			t.Parallel()
			s, err := load(t, settingsSources{env: []string{"PURSER_" + tt.name + "=" + tt.value}, checkQueue: onlyGoodQueues})
			if err != nil {
				t.Fatal(err)
			}
			if got := tt.get(s); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %#v, want %#v", got, tt.want)
			}
		})
	}
}

func onlyGoodQueues(name string) error {
	if name != "good" && name != "fine" {
		return fmt.Errorf("unknown queue %q", name)
	}
	return nil
}

func TestSettingsRefuse(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, value, want string }{
		{"DATABASE_URL", "mysql://u:hush@h/d", "want postgres://"},
		{"DATABASE_URL", "hush", "want postgres://"},
		{"DATABASE_URL", "postgres://u:hu%sh@h/d", "percent-encoded"},
		{"DATABASE_URL", "postgres://u:1/hush@h/d", "percent-encoded"},
		{"DATABASE_URL", "postgres://u:hush/1@h/d", "percent-encoded"},
		{"DATABASE_URL", "postgres:///d", "the host is missing"},
		{"REDIS_URL", "unix:///run/redis", "want redis://"},
		{"REDIS_URL", "redis://", "the host is missing"},
		{"LISTEN", "8080", `want host:port, such as 127.0.0.1:8080 or :8080; got "8080"`},
		{"LISTEN", "h:http", "the port is not a number"},
		{"LISTEN", "h:65536", "the port is not a number"},
		{"LISTEN", "h:+80", "the port is not a number"},
		{"LISTEN", "http://h:80", "want host:port"},
		{"PUBLIC_URL", "pay.example.com", "absolute"},
		{"PUBLIC_URL", "ftp://pay.example.com", "absolute"},
		{"PUBLIC_URL", "https://u:hush@pay.example.com", "without user"},
		{"PUBLIC_URL", "https://pay.example.com?a=1", "query"},
		{"PUBLIC_URL", "https://", "absolute"},
		{"SECRET_KEY", "hush", "it holds 3 bytes; want 32 bytes in base64"},
		{"SECRET_KEY", "hush hush", "it is not base64"},
		{"SECRET_KEY", strings.Repeat("hush", 11), "it holds 33 bytes"},
		{"SMTP_URL", "http://u:hush@h", "want smtp://"},
		{"SMTP_URL", "smtp://u:hush@h?tls=maybe", "tls has another value; want smtp://user:password@host:port, with ?tls=none, opportunistic or required"},
		{"SMTP_URL", "smtp://u:hush@h?tls=", "?tls=none, opportunistic or required"},
		{"SMTP_URL", "smtp://u:hush@h?starttls=no", "tls, once, is the only parameter"},
		{"SMTP_URL", "smtp://u:hush@", "want smtp://"},
		{"SMTP_URL", "smtp://u:hush/1@h", "percent-encoded"},
		{"MAIL_FROM", "orders", "an email address"},
		{"ALLOWED_PRIVATE_NETS", "10.0.0.1", `"10.0.0.1" is not a prefix`},
		{"ALLOWED_PRIVATE_NETS", "10.0.0.1/8", "its network is 10.0.0.0/8"},
		{"ALLOWED_PRIVATE_NETS", "10.0.0.0/8,,fd00::/8", "an entry is empty"},
		{"TRUSTED_PROXIES", "proxy.local", "is not a prefix"},
		{"TRUSTED_PROXIES", "fe80::1%eth0", "has a zone"},
		{"WORKER_CONCURRENCY", "0", "a whole number from 1"},
		{"WORKER_CONCURRENCY", "many", "a whole number from 1"},
		{"QUEUES", "good=0", `the weight of "good"`},
		{"QUEUES", "good=1,good=2", `"good" is there twice`},
		{"QUEUES", "good,bad", `unknown queue "bad"`},
		{"QUEUES", "=2", "a name is missing"},
		{"QUEUES", "good,", "an entry is empty"},
		{"LOG_LEVEL", "loud", "debug, info, warn or error"},
		{"LOG_FORMAT", "xml", "text or json"},
		{"OPS_LISTEN", "9090", "want host:port"},
		{"SHUTDOWN_TIMEOUT", "30", "a duration above zero"},
		{"SHUTDOWN_TIMEOUT", "0s", "a duration above zero"},
	} {
		t.Run(tt.name+"="+tt.value, func(t *testing.T) {
			t.Parallel()
			_, err := load(t, settingsSources{env: []string{"PURSER_" + tt.name + "=" + tt.value}, checkQueue: onlyGoodQueues})
			if err == nil {
				t.Fatal("accepted")
			}
			for _, want := range []string{"PURSER_" + tt.name + " (from environment): ", tt.want, "want "} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q lacks %q", err, want)
				}
			}
			if strings.Contains(err.Error(), "hush") {
				t.Errorf("the error shows a secret: %v", err)
			}
		})
	}
	_, err := load(t, settingsSources{env: []string{"PURSER_LOG_LEVEL=loud"}}, "--listen=x", "--shutdown-timeout=1")
	for _, want := range []string{"PURSER_LOG_LEVEL (from environment)", "PURSER_LISTEN (from --listen)", "PURSER_SHUTDOWN_TIMEOUT (from --shutdown-timeout)"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("all problems must be told at once: %v lacks %q", err, want)
		}
	}
}

func TestSettingsDerived(t *testing.T) {
	t.Parallel()
	loopback := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	if s, err := load(t, settingsSources{demo: true, terminal: true}); err != nil || !reflect.DeepEqual(s.AllowedPrivateNets, loopback) || s.LogFormat != "text" {
		t.Errorf("demo on a terminal: got %v %s, %v", s.AllowedPrivateNets, s.LogFormat, err)
	}
	if s, err := load(t, settingsSources{demo: true}, "--allowed-private-nets=10.0.0.0/8"); err != nil || len(s.AllowedPrivateNets) != 1 {
		t.Errorf("--demo must not add to what was set: got %v, %v", s.AllowedPrivateNets, err)
	}

	bound := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 4711}
	s, err := load(t, settingsSources{}, "--listen=127.0.0.1:0")
	if err != nil || s.PublicURLAt(bound) != "http://127.0.0.1:4711" {
		t.Errorf("links must have the port really bound: %s, %v", s.PublicURLAt(bound), err)
	}
	if s, err = load(t, settingsSources{}, "--listen=127.0.0.1:0", "--public-url=https://pay.example.com"); err != nil || s.PublicURLAt(bound) != "https://pay.example.com" {
		t.Errorf("a configured base must stay: %s, %v", s.PublicURLAt(bound), err)
	}
	if s, err = load(t, settingsSources{}, "--listen=0.0.0.0:80"); err != nil || s.PublicURL != "http://localhost:80" || len(s.Warnings) != 1 {
		t.Errorf("a public listener without a base must warn: %s %q, %v", s.PublicURL, s.Warnings, err)
	}
	if s, err = load(t, settingsSources{roles: roleTool}, "--listen=0.0.0.0:80"); err != nil || len(s.Warnings) != 0 {
		t.Errorf("a tool makes no links to warn about: %q, %v", s.Warnings, err)
	}
}

// TestSettingsFlagsByRole keeps each command's help to what concerns it.
func TestSettingsFlagsByRole(t *testing.T) {
	t.Parallel()
	has := func(roles role, flag string) bool {
		flags := pflag.NewFlagSet("", pflag.ContinueOnError)
		addSettingFlags(flags, roles)
		return flags.Lookup(flag) != nil
	}
	if !has(roleAPI, "listen") || has(roleWorker, "listen") || has(roleTool, "listen") {
		t.Error("--listen is for the API")
	}
	if !has(roleWorker, "queues") || has(roleScheduler, "queues") || !has(roleRun, "queues") {
		t.Error("--queues is for the worker")
	}
	for _, r := range []role{roleAPI, roleWorker, roleScheduler, roleTool} {
		if !has(r, "database-url") || !has(r, "env-file") || !has(r, "log-level") {
			t.Errorf("role %d lacks a flag that all have", r)
		}
	}
}

func writeFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
