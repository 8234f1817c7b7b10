package main

import (
	"log/slog"
	"net"
	"net/mail"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"time"
)

// Settings is the whole configuration of one process, read and checked once at its start.
type Settings struct {
	// DatabaseURL is not set when the embedded SQLite database is to be used.
	DatabaseURL Secret
	// RedisURL is not set when the in-process Redis is to be used.
	RedisURL Secret
	// Listen is host:port; port 0 takes any free one.
	Listen string
	// PublicURL is the base of every link, without a trailing slash. While PublicURLDerived it is made from Listen, and PublicURLAt knows better once the port is bound.
	PublicURL        string
	PublicURLDerived bool
	// DataDir is absolute unless the working directory could not be found out.
	DataDir string
	// SecretKey holds the 32 decoded bytes. It may not be set in embedded mode: see masterKey.
	SecretKey Secret
	// SMTPURL is not set when the built-in mailbox is to be used.
	SMTPURL  Secret
	MailFrom mail.Address
	// AllowedPrivateNets and TrustedProxies hold masked prefixes.
	AllowedPrivateNets []netip.Prefix
	TrustedProxies     []netip.Prefix
	WorkerConcurrency  int
	// Queues is empty when a worker serves all of them; otherwise names are unique, in the order given.
	Queues    []QueueWeight
	LogLevel  slog.Level
	LogFormat string
	OpsListen string
	// ShutdownTimeout bounds how long requests and jobs may finish.
	ShutdownTimeout time.Duration
	// DrainDelay comes before it, in processes with an API.
	DrainDelay time.Duration

	// Warnings are for the log once there is one; they hold names and no values.
	Warnings []string

	// origins has what the print-outs show, in the order of the table.
	origins []origin
}

// QueueWeight is a queue to serve and its share of the workers among the queues served.
type QueueWeight struct {
	Name   string
	Weight int
}

// origin is one line of the print-out: what a setting is and where it comes from.
type origin struct {
	name, shown, source string
}

// EmbeddedDatabase reports whether the process keeps its own SQLite database in DataDir.
func (s Settings) EmbeddedDatabase() bool { return !s.DatabaseURL.IsSet() }

// EmbeddedRedis reports whether the process runs its own Redis.
func (s Settings) EmbeddedRedis() bool { return !s.RedisURL.IsSet() }

// LogValue gives slog every setting in its masked form.
func (s Settings) LogValue() slog.Value {
	attrs := make([]slog.Attr, 0, len(s.origins))
	for _, o := range s.origins {
		if o.shown != "" {
			attrs = append(attrs, slog.String(o.name, o.shown))
		}
	}
	return slog.GroupValue(attrs...)
}

// PublicURLAt is the base of every link for a process that listens on bound: a configured PUBLIC_URL as it is, otherwise the host of LISTEN with the port really taken.
func (s Settings) PublicURLAt(bound net.Addr) string {
	tcp, ok := bound.(*net.TCPAddr)
	if !s.PublicURLDerived || !ok {
		return s.PublicURL
	}
	host, _, err := net.SplitHostPort(s.Listen)
	if err != nil {
		return s.PublicURL
	}
	return baseURL(host, itoa(tcp.Port))
}

// baseURL is where a browser on this machine finds a listener; a listener on all interfaces has no address of its own to print.
func baseURL(host, port string) string {
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return "http://" + net.JoinHostPort(host, port)
}

// derive fills what depends on the machine or on other settings.
func (s *Settings) derive(src settingsSources) {
	if s.PublicURL == "" {
		host, port, _ := net.SplitHostPort(s.Listen)
		s.PublicURL, s.PublicURLDerived = baseURL(host, port), true
		s.showDerived("PURSER_PUBLIC_URL", s.PublicURL)
		if src.roles&roleRun != 0 && !isLoopback(s.Listen) {
			s.Warnings = append(s.Warnings, "PURSER_PUBLIC_URL is not set and PURSER_LISTEN is not loopback: links in pages, emails and webhooks begin with "+s.PublicURL)
		}
	}
	if !filepath.IsAbs(s.DataDir) {
		dir := src.dir
		if dir == "" {
			dir, _ = os.Getwd()
		}
		s.DataDir = filepath.Join(dir, s.DataDir)
	}
	if src.demo && len(s.AllowedPrivateNets) == 0 {
		s.AllowedPrivateNets = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
		s.showDerived("PURSER_ALLOWED_PRIVATE_NETS", "127.0.0.0/8,::1/128")
	}
	if s.WorkerConcurrency == 0 {
		s.WorkerConcurrency = 4 * runtime.GOMAXPROCS(0)
		s.showDerived("PURSER_WORKER_CONCURRENCY", itoa(s.WorkerConcurrency))
	}
	if s.LogFormat == "" {
		s.LogFormat = "json"
		if src.terminal {
			s.LogFormat = "text"
		}
		s.showDerived("PURSER_LOG_FORMAT", s.LogFormat)
	}
}

func (s *Settings) showDerived(name, shown string) {
	for i := range s.origins {
		if s.origins[i].name == name {
			s.origins[i].shown, s.origins[i].source = shown, "derived"
		}
	}
}
