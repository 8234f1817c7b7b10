package mail

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"time"
)

// defaultSMTPTimeout bounds one Send where NewSMTP was given no timeout.
const defaultSMTPTimeout = 20 * time.Second

// SMTP sends through one SMTP server and keeps a few signed-in connections for the next messages.
// It implements [Sender]. Close it when no more is to be sent.
type SMTP struct {
	server    server
	timeout   time.Duration
	dialer    net.Dialer
	tlsConfig *tls.Config

	mu     sync.Mutex
	idle   []*session // newest last
	closed bool
}

var _ Sender = (*SMTP)(nil)

// NewSMTP prepares sending through the server of a PURSER_SMTP_URL; it does not connect.
//
// smtp://user:password@host:port encrypts by STARTTLS, and insists on it if there are credentials or the host is not
// loopback; ?tls=none|opportunistic|required says otherwise. smtps:// is TLS from the start. Certificates are always
// verified, and "opportunistic" never gives credentials to a server that is neither encrypted nor on loopback. Without
// a port it is 465 for smtps, 587 with credentials, else 25.
//
// timeout bounds one Send as a whole, connecting included; zero or less means 20 s. Errors never repeat the URL.
func NewSMTP(rawURL string, timeout time.Duration) (*SMTP, error) {
	srv, err := parseSMTPURL(rawURL)
	if err != nil {
		return nil, err
	}
	if timeout <= 0 {
		timeout = defaultSMTPTimeout
	}
	return &SMTP{
		server:    srv,
		timeout:   timeout,
		tlsConfig: &tls.Config{ServerName: srv.host, MinVersion: tls.VersionTLS12},
	}, nil
}

// Send delivers m, or returns a [*SendError]. Nil means that the server confirmed that it took the message; what goes
// wrong afterwards on the connection is not an error, because reporting one would make the caller send a copy.
func (s *SMTP) Send(ctx context.Context, m Message) error {
	env, err := m.compose()
	if err != nil {
		return err
	}
	deadline := time.Now().Add(s.timeout)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	sess, at, err := s.session(ctx, deadline)
	if err != nil {
		return classify(ctx, at, err)
	}
	release := sess.bind(ctx, deadline)
	at, err = sess.deliver(env)
	intact := release()
	var failed *SendError
	if err != nil {
		failed = classify(ctx, at, err)
	}
	// After a refusal the connection is as good as before: the RSET ahead of the next message clears it.
	if intact && (failed == nil || failed.Code != 0) {
		s.keep(sess)
	} else {
		sess.close()
	}
	if failed != nil {
		return failed
	}
	return nil
}

// Close ends the idle connections. A Send that is under way finishes, and its connection is not kept.
func (s *SMTP) Close() error {
	s.mu.Lock()
	idle := s.idle
	s.idle, s.closed = nil, true
	s.mu.Unlock()
	for _, sess := range idle {
		sess.quit()
	}
	return nil
}

// String names the server without credentials, so that an SMTP may be logged.
func (s *SMTP) String() string { return s.server.String() }

// GoString is String, so that %#v does not print the password either.
func (s *SMTP) GoString() string { return s.String() }
