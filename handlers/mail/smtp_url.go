package mail

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
)

// tlsMode says how a connection is encrypted.
type tlsMode int

const (
	tlsNone          tlsMode = iota // never
	tlsOpportunistic                // STARTTLS if the server offers it
	tlsRequired                     // STARTTLS or no mail
	tlsImplicit                     // TLS from the first byte (RFC 8314 §3.3)
)

// server is a parsed PURSER_SMTP_URL.
type server struct {
	host     string
	port     string
	username string
	password string
	tls      tlsMode
	loopback bool
}

const smtpURLForm = "expected smtp://[user:password@]host[:port][?tls=none|opportunistic|required] or smtps://[user:password@]host[:port]"

// parseSMTPURL never repeats its input: it holds a password, and a URL that does not parse may hold it anywhere.
func parseSMTPURL(raw string) (server, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Opaque != "" || u.Hostname() == "" {
		return server{}, errors.New("SMTP URL: " + smtpURLForm)
	}
	if u.Scheme != "smtp" && u.Scheme != "smtps" {
		return server{}, errors.New("SMTP URL: unknown scheme: " + smtpURLForm)
	}
	if u.Path != "" && u.Path != "/" || u.Fragment != "" {
		return server{}, errors.New("SMTP URL: unexpected path or fragment (percent-encode / ? # @ in the password): " + smtpURLForm)
	}

	s := server{host: u.Hostname(), port: u.Port(), loopback: isLoopback(u.Hostname())}
	if u.User != nil {
		s.username = u.User.Username()
		s.password, _ = u.User.Password()
		if s.username == "" || s.password == "" {
			return server{}, errors.New("SMTP URL: user and password must be given together: " + smtpURLForm)
		}
	}
	if s.tls, err = parseTLSMode(u, s); err != nil {
		return server{}, err
	}
	if s.port == "" {
		s.port = s.defaultPort()
	}
	if n, err := strconv.Atoi(s.port); err != nil || n < 1 || n > 65535 {
		return server{}, errors.New("SMTP URL: port: expected a number from 1 to 65535")
	}
	return s, nil
}

func parseTLSMode(u *url.URL, s server) (tlsMode, error) {
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return 0, errors.New("SMTP URL: malformed query: " + smtpURLForm)
	}
	for name, values := range query {
		if name != "tls" || len(values) != 1 {
			return 0, errors.New("SMTP URL: unknown or repeated query parameter, expected only tls=none|opportunistic|required")
		}
	}
	wish := query.Get("tls")
	if u.Scheme == "smtps" {
		if query.Has("tls") && wish != "required" {
			return 0, errors.New("SMTP URL: smtps:// is always encrypted, tls must be absent or required")
		}
		return tlsImplicit, nil
	}
	switch {
	case wish == "none":
		return tlsNone, nil
	case wish == "opportunistic":
		return tlsOpportunistic, nil
	case wish == "required":
		return tlsRequired, nil
	case query.Has("tls"):
		return 0, errors.New("SMTP URL: tls: expected none, opportunistic or required")
	case s.username != "" || !s.loopback:
		return tlsRequired, nil
	default:
		// A relay on the same machine usually has no certificate that would verify, and nothing to protect from.
		return tlsNone, nil
	}
}

// defaultPort is the submission port when there is somebody to sign in as, else the relay port.
func (s server) defaultPort() string {
	switch {
	case s.tls == tlsImplicit:
		return "465"
	case s.username != "":
		return "587"
	default:
		return "25"
	}
}

func (s server) addr() string { return net.JoinHostPort(s.host, s.port) }

// String names the server without its credentials.
func (s server) String() string {
	scheme := "smtp"
	if s.tls == tlsImplicit {
		scheme = "smtps"
	}
	return fmt.Sprintf("%s://%s", scheme, s.addr())
}

func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
