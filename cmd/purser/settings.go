package main

import "strings"

// role says which processes a setting concerns; a command accepts the flags of its roles only.
type role uint8

const (
	roleAPI role = 1 << iota
	roleWorker
	roleScheduler
	// roleTool is a command that opens the stores, does one thing and ends.
	roleTool
	// roleProbe asks a role that runs on this machine, and opens nothing itself.
	roleProbe

	// roleRun is every long-running role in one process.
	roleRun = roleAPI | roleWorker | roleScheduler
	roleAll = roleRun | roleTool
)

// setting declares one setting, once: flags, environment, file, help, validation, print-out and documentation are derived from it.
type setting struct {
	// name is the environment variable; the flag is the same without the prefix, in kebab case.
	name string
	// value is the default, parsed like any other value. Where it is empty, absent says what happens instead.
	value, absent string
	// example is a value that parses, shown where there is no default to show. A key has none, or somebody would use it.
	example string
	// kind is the placeholder in the flag's help.
	kind string
	// want completes "want …" in the error for a wrong value.
	want string
	help string
	// secret values are never shown, passwords inside URLs neither, whatever the setting.
	secret bool
	roles  role
	// parse stores the value, or reports what is wrong with it. The error of a secret or of a URL must not quote it.
	parse func(*Settings, string) error
}

const envPrefix = "PURSER_"

// settingsTable is every setting there is, in the order in which they are documented.
// checkQueue refuses queue names that no job kind uses; nil accepts any.
func settingsTable(checkQueue func(name string) error) []setting {
	return []setting{
		{
			name: "PURSER_DATABASE_URL", absent: "embedded SQLite", example: "postgres://purser:password@127.0.0.1:5432/purser",
			kind: "url", secret: true, roles: roleAll,
			want:  "postgres://user:password@host:port/database, special characters in the password percent-encoded",
			help:  "PostgreSQL database",
			parse: parseDatabaseURL,
		},
		{
			name: "PURSER_REDIS_URL", absent: "in-process Redis", example: "redis://127.0.0.1:6379/0",
			kind: "url", secret: true, roles: roleAll,
			want:  "redis://user:password@host:port/database, rediss://…, redis-sentinel://… or redis-cluster://…, special characters in the password percent-encoded",
			help:  "Redis: redis://, rediss://, redis-sentinel:// or redis-cluster://",
			parse: parseRedisURL,
		},
		{
			name: "PURSER_LISTEN", value: "127.0.0.1:8080",
			kind: "host:port", roles: roleAPI,
			want:  "host:port, such as 127.0.0.1:8080 or :8080",
			help:  "address of the API and the hosted pages",
			parse: func(s *Settings, v string) error { s.Listen = v; return checkHostPort(v) },
		},
		{
			name: "PURSER_PUBLIC_URL", absent: "from listen", example: "https://pay.example.com",
			kind: "url", roles: roleRun,
			want:  "an absolute http:// or https:// URL without user, query and fragment",
			help:  "base of every link in pages, emails and webhooks",
			parse: parsePublicURL,
		},
		{
			name: "PURSER_DATA_DIR", value: "./data",
			kind: "path", roles: roleAll,
			want:  "a directory",
			help:  "embedded stores and uploaded files",
			parse: func(s *Settings, v string) error { s.DataDir = v; return nil },
		},
		{
			name: "PURSER_SECRET_KEY", absent: "generated into the data dir in embedded mode; required otherwise",
			kind: "base64", secret: true, roles: roleAll,
			want:  "32 bytes in base64, such as `openssl rand -base64 32` prints",
			help:  "master key: encryption at rest, fingerprints and signed links are derived from it",
			parse: parseSecretKey,
		},
		{
			name: "PURSER_SMTP_URL", absent: "built-in mailbox (embedded mode only)", example: "smtp://user:password@mail.example.com:587",
			kind: "url", secret: true, roles: roleRun,
			want:  "smtp://user:password@host:port, with ?tls=none, opportunistic or required if wanted, or smtps://…, special characters in the password percent-encoded",
			help:  "mail server; TLS is required with credentials or a host that is not loopback unless ?tls=none or ?tls=opportunistic says otherwise",
			parse: parseSMTPURL,
		},
		{
			name: "PURSER_MAIL_FROM", value: "purser@localhost",
			kind: "address", roles: roleRun,
			want:  "an email address, such as orders@example.com or Example Shop <orders@example.com>",
			help:  "sender of emails",
			parse: parseMailFrom,
		},
		{
			name: "PURSER_ALLOWED_PRIVATE_NETS", absent: "none; `127.0.0.0/8,::1/128` with `--demo`", example: "10.20.0.0/16",
			kind: "prefixes", roles: roleRun,
			want:  "network prefixes separated by commas, such as 10.20.0.0/16,fd00::/8",
			help:  "private networks that webhooks and licence web services of merchants created with --allow-private-targets may reach",
			parse: func(s *Settings, v string) (err error) { s.AllowedPrivateNets, err = parsePrefixes(v); return err },
		},
		{
			name: "PURSER_TRUSTED_PROXIES", absent: "none", example: "10.0.0.0/8",
			kind: "prefixes", roles: roleAPI,
			want:  "addresses or network prefixes separated by commas, such as 10.0.0.1,10.1.0.0/16",
			help:  "proxies whose X-Forwarded-… headers are believed",
			parse: func(s *Settings, v string) (err error) { s.TrustedProxies, err = parseProxies(v); return err },
		},
		{
			name: "PURSER_WORKER_CONCURRENCY", absent: "4 × cores", example: "8",
			kind: "number", roles: roleWorker,
			want:  "a whole number from 1",
			help:  "how many jobs a worker works on at a time; those that wait for other servers come on top",
			parse: parseConcurrency,
		},
		{
			name: "PURSER_QUEUES", absent: "all", example: "email=4,webhooks=8",
			kind: "list", roles: roleWorker,
			want:  "names of queues separated by commas, each with a weight from 1 if wanted (name=weight)",
			help:  "queues that a worker serves, with weights",
			parse: func(s *Settings, v string) (err error) { s.Queues, err = parseQueues(v, checkQueue); return err },
		},
		{
			name: "PURSER_LOG_LEVEL", value: "info",
			kind: "level", roles: roleAll,
			want:  "debug, info, warn or error",
			help:  "lowest level that is logged: debug, info, warn or error",
			parse: parseLogLevel,
		},
		{
			name: "PURSER_LOG_FORMAT", absent: "`text` on a terminal else `json`", example: "json",
			kind: "format", roles: roleAll,
			want:  "text or json",
			help:  "form of the log: text or json",
			parse: parseLogFormat,
		},
		{
			name: "PURSER_OPS_LISTEN", value: "127.0.0.1:9090",
			kind: "host:port", roles: roleRun | roleProbe,
			want:  "host:port, such as 127.0.0.1:9090 or :9090",
			help:  "address of /healthz, /readyz and /metrics; the next free port when taken",
			parse: func(s *Settings, v string) error { s.OpsListen = v; return checkHostPort(v) },
		},
		{
			name: "PURSER_SHUTDOWN_TIMEOUT", value: "30s",
			kind: "duration", roles: roleRun,
			want:  "a duration above zero, such as 30s or 2m",
			help:  "how long requests and jobs may finish after SIGTERM",
			parse: parseShutdownTimeout,
		},
		{
			name: "PURSER_DRAIN_DELAY", value: "0s",
			kind: "duration", roles: roleAPI,
			want:  "a duration such as 10s, or 0s",
			help:  "how long the API goes on serving after SIGTERM while /readyz answers 503, so that load balancers turn away first",
			parse: parseDrainDelay,
		},
	}
}

// flag is the setting's name on the command line and in the merged configuration.
func (s setting) flag() string {
	return strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(s.name, envPrefix)), "_", "-")
}

// shown is the value as print-outs may have it.
func (s setting) shown(value string) string {
	switch {
	case value == "":
		return ""
	case s.kind == "url":
		return maskURL(value)
	case s.secret:
		return masked
	}
	return value
}

// documentedDefault is what the manual says about a setting that is not set.
func (s setting) documentedDefault() string {
	if s.value != "" {
		return s.value
	}
	return s.absent
}
