package main

import (
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/mail"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/purser-dev/purser/jobs"
)

// errShape is the reason that adds nothing to the setting's "want"; messages leave it out.
var errShape = errors.New("it has another form")

func itoa(n int) string { return strconv.Itoa(n) }

func checkHostPort(v string) error {
	host, port, err := net.SplitHostPort(v)
	if err != nil {
		return errShape
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || itoa(int(n)) != port {
		return errors.New("the port is not a number from 0 to 65535")
	}
	if strings.ContainsAny(host, " /@?#") {
		return errors.New("the host holds a character that no host has")
	}
	return nil
}

// isLoopback reports whether only this machine reaches a listener on hostPort.
func isLoopback(hostPort string) bool {
	host, _, err := net.SplitHostPort(hostPort)
	return err == nil && isLoopbackHost(host)
}

func isLoopbackHost(host string) bool {
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.Unmap().IsLoopback()
	}
	return strings.EqualFold(host, "localhost")
}

// parseURL reads a URL whose text must not be quoted in errors; net/url's own errors quote it.
func parseURL(v string) (*url.URL, error) {
	u, err := url.Parse(v)
	// An unescaped / or ? in a password moves the real host behind them.
	if err != nil || u.Opaque != "" || u.Fragment != "" || strings.Contains(u.Path+u.RawQuery, "@") {
		return nil, errShape
	}
	return u, nil
}

func parseDatabaseURL(s *Settings, v string) error {
	u, err := parseURL(v)
	if err != nil {
		return err
	}
	if u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return errShape
	}
	// A host in the query (?host=/run/postgresql) names a Unix socket.
	if u.Host == "" && u.Query().Get("host") == "" {
		return errors.New("the host is missing")
	}
	s.DatabaseURL = newSecretURL(v)
	return nil
}

// parseRedisURL checks the shape only: the jobs package owns the details and refuses the rest when it connects.
func parseRedisURL(s *Settings, v string) error {
	u, err := parseURL(v)
	if err != nil {
		return err
	}
	if !slices.Contains([]string{"redis", "rediss", "redis-sentinel", "redis-cluster"}, u.Scheme) {
		return errShape
	}
	if u.Host == "" {
		return errors.New("the host is missing")
	}
	if _, err := jobs.ParseRedisURL(v); err != nil {
		return err
	}
	s.RedisURL = newSecretURL(v)
	return nil
}

func parsePublicURL(s *Settings, v string) error {
	u, err := url.Parse(v)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" ||
		u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return errShape
	}
	s.PublicURL = strings.TrimRight(u.String(), "/")
	return nil
}

func parseSecretKey(s *Settings, v string) error {
	// Both alphabets and optional padding: tools differ in what they print.
	text := strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(v, "="))
	key, err := base64.RawStdEncoding.Strict().DecodeString(text)
	if err != nil {
		return errors.New("it is not base64")
	}
	if len(key) != secretKeyBytes {
		return fmt.Errorf("it holds %d bytes", len(key))
	}
	s.SecretKey = newSecret(string(key))
	return nil
}

// parseSMTPURL checks the shape only: the mail package owns the details and refuses the rest when it is set up.
func parseSMTPURL(s *Settings, v string) error {
	u, err := parseURL(v)
	if err != nil {
		return err
	}
	if u.Scheme != "smtp" && u.Scheme != "smtps" || u.Hostname() == "" {
		return errShape
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return errShape
	}
	for name, values := range query {
		if name != "tls" || len(values) > 1 {
			return errors.New("tls, once, is the only parameter there is")
		}
	}
	if query.Has("tls") && !slices.Contains([]string{"none", "opportunistic", "required"}, query.Get("tls")) {
		return errors.New("tls has another value")
	}
	s.SMTPURL = newSecretURL(v)
	return nil
}

func parseMailFrom(s *Settings, v string) error {
	address, err := mail.ParseAddress(v)
	if err != nil {
		return errShape
	}
	s.MailFrom = *address
	return nil
}

// splitList cuts a comma-separated list and refuses empty entries, which are typing slips.
func splitList(v string) ([]string, error) {
	parts := strings.Split(v, ",")
	for i := range parts {
		if parts[i] = strings.TrimSpace(parts[i]); parts[i] == "" {
			return nil, errors.New("an entry is empty")
		}
	}
	return parts, nil
}

func parsePrefixes(v string) ([]netip.Prefix, error) {
	parts, err := splitList(v)
	if err != nil {
		return nil, err
	}
	var prefixes []netip.Prefix
	for _, part := range parts {
		prefix, err := netip.ParsePrefix(part)
		if err != nil {
			return nil, fmt.Errorf("%q is not a prefix", part)
		}
		if prefix != prefix.Masked() {
			return nil, fmt.Errorf("%q has bits behind its length; its network is %s", part, prefix.Masked())
		}
		prefixes = append(prefixes, prefix)
	}
	return prefixes, nil
}

func parseProxies(v string) ([]netip.Prefix, error) {
	parts, err := splitList(v)
	if err != nil {
		return nil, err
	}
	for i, part := range parts {
		if address, err := netip.ParseAddr(part); err == nil {
			if address.Zone() != "" {
				return nil, fmt.Errorf("%q has a zone", part)
			}
			address = address.Unmap()
			parts[i] = netip.PrefixFrom(address, address.BitLen()).String()
		}
	}
	return parsePrefixes(strings.Join(parts, ","))
}

func parseConcurrency(s *Settings, v string) error {
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 {
		return errShape
	}
	s.WorkerConcurrency = n
	return nil
}

func parseQueues(v string, check func(string) error) ([]QueueWeight, error) {
	parts, err := splitList(v)
	if err != nil {
		return nil, err
	}
	var queues []QueueWeight
	for _, part := range parts {
		name, weight, weighted := strings.Cut(part, "=")
		queue := QueueWeight{Name: strings.TrimSpace(name), Weight: 1}
		if weighted {
			if queue.Weight, err = strconv.Atoi(strings.TrimSpace(weight)); err != nil || queue.Weight < 1 {
				return nil, fmt.Errorf("the weight of %q is not a whole number from 1", queue.Name)
			}
		}
		if queue.Name == "" {
			return nil, errors.New("a name is missing")
		}
		if slices.ContainsFunc(queues, func(q QueueWeight) bool { return q.Name == queue.Name }) {
			return nil, fmt.Errorf("%q is there twice", queue.Name)
		}
		if check != nil {
			if err := check(queue.Name); err != nil {
				return nil, err
			}
		}
		queues = append(queues, queue)
	}
	return queues, nil
}

func parseLogLevel(s *Settings, v string) error {
	levels := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}
	level, ok := levels[strings.ToLower(v)]
	if !ok {
		return errShape
	}
	s.LogLevel = level
	return nil
}

func parseLogFormat(s *Settings, v string) error {
	if s.LogFormat = strings.ToLower(v); s.LogFormat != "text" && s.LogFormat != "json" {
		return errShape
	}
	return nil
}

func parseShutdownTimeout(s *Settings, v string) error {
	timeout, err := time.ParseDuration(v)
	if err != nil || timeout <= 0 {
		return errShape
	}
	s.ShutdownTimeout = timeout
	return nil
}

func parseDrainDelay(s *Settings, v string) error {
	delay, err := time.ParseDuration(v)
	if err != nil || delay < 0 {
		return errShape
	}
	s.DrainDelay = delay
	return nil
}
