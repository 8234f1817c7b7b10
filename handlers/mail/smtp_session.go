package mail

import (
	"context"
	"crypto/tls"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/wneessen/go-mail/smtp"
)

// session is one signed-in connection. It speaks through go-mail's smtp.Client rather than its mail.Client, whose Send
// reports an error when the goodbye fails after the message was accepted: the caller would send a copy.
type session struct {
	raw    net.Conn
	client *smtp.Client
	sent   int         // messages offered on this connection
	expiry *time.Timer // set while idle
}

// dial connects, encrypts and signs in.
func (s *SMTP) dial(ctx context.Context, deadline time.Time) (_ *session, at step, err error) {
	dialCtx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	raw, err := s.dialer.DialContext(dialCtx, "tcp", s.server.addr())
	if err != nil {
		return nil, stepConnect, err
	}
	sess := &session{raw: raw}
	release := sess.bind(ctx, deadline)
	defer func() {
		if !release() && err == nil {
			err = ctx.Err()
		}
		if err != nil {
			_ = raw.Close()
		}
	}()

	conn := raw
	if s.server.tls == tlsImplicit {
		encrypted := tls.Client(raw, s.tlsConfig)
		if err := encrypted.HandshakeContext(dialCtx); err != nil {
			return nil, stepTLS, err
		}
		conn = encrypted
	}
	if sess.client, err = smtp.NewClient(conn, s.server.host); err != nil {
		return nil, stepGreeting, err
	}
	sess.client.SkipSMTPUTF8(true)
	if err := sess.client.Hello(helloName(raw.LocalAddr())); err != nil {
		return nil, stepGreeting, err
	}
	if err := s.startTLS(sess.client); err != nil {
		return nil, stepTLS, err
	}
	if err := s.signIn(sess.client); err != nil {
		return nil, stepAuth, err
	}
	return sess, "", nil
}

func (s *SMTP) startTLS(client *smtp.Client) error {
	if s.server.tls != tlsRequired && s.server.tls != tlsOpportunistic {
		return nil
	}
	if offered, _ := client.Extension("STARTTLS"); offered {
		return client.StartTLS(s.tlsConfig)
	}
	if s.server.tls == tlsRequired {
		return &SendError{Temporary: true, Reason: "the server offers no STARTTLS, but TLS is required"}
	}
	return nil
}

// signIn authenticates with the strongest mechanism both sides know. Over plain text those that do not reveal the
// password come first.
func (s *SMTP) signIn(client *smtp.Client) error {
	if s.server.username == "" {
		return nil
	}
	_, encrypted := client.TLSConnectionState()
	if !encrypted && s.server.tls != tlsNone && !s.server.loopback {
		return &SendError{Temporary: true, Reason: "the server offers no STARTTLS, credentials are not sent in plain text"}
	}
	preference := []string{"SCRAM-SHA-256", "PLAIN", "LOGIN", "CRAM-MD5"}
	if !encrypted {
		preference = []string{"SCRAM-SHA-256", "CRAM-MD5", "PLAIN", "LOGIN"}
	}
	_, offer := client.Extension("AUTH")
	offered := strings.Fields(strings.ToUpper(offer))
	for _, mechanism := range preference {
		if slices.Contains(offered, mechanism) {
			return client.Auth(s.auth(mechanism))
		}
	}
	return &SendError{Temporary: true, Reason: "the server offers no way to sign in that we know (" + strings.Join(preference, ", ") + ")"}
}

// auth prepares a mechanism. Whether it may run without TLS was decided before.
func (s *SMTP) auth(mechanism string) smtp.Auth {
	user, password, host := s.server.username, s.server.password, s.server.host
	switch mechanism {
	case "SCRAM-SHA-256":
		return smtp.ScramSHA256Auth(user, password)
	case "CRAM-MD5":
		return smtp.CRAMMD5Auth(user, password)
	case "LOGIN":
		return smtp.LoginAuth(user, password, host, true)
	default:
		return smtp.PlainAuth("", user, password, host, true)
	}
}

// bind makes the deadline and the end of ctx interrupt every read and write of the session, until the returned function
// is called. That reports whether the connection is still whole.
func (sess *session) bind(ctx context.Context, deadline time.Time) (release func() bool) {
	_ = sess.raw.SetDeadline(deadline)
	// Closing, not a deadline in the past: the TLS layer sets deadlines of its own.
	return context.AfterFunc(ctx, func() { _ = sess.raw.Close() })
}

// deliver hands over one message. Nil means that the server has taken it.
func (sess *session) deliver(env *envelope) (step, error) {
	sess.sent++
	if env.utf8 {
		if ok, _ := sess.client.Extension("SMTPUTF8"); !ok {
			return stepRcpt, &SendError{Reason: "an address has characters that the server does not support (SMTPUTF8)"}
		}
	}
	// Asking for SMTPUTF8 without need would make relays that lack it bounce the message.
	sess.client.SkipSMTPUTF8(!env.utf8)
	if err := sess.client.Mail("<" + env.from + ">"); err != nil {
		return stepSender, err
	}
	if err := sess.client.Rcpt("<" + env.to + ">"); err != nil {
		return stepRcpt, err
	}
	w, err := sess.client.Data()
	if err != nil {
		return stepContent, err
	}
	if _, err := w.Write(env.raw); err != nil {
		return stepContent, err
	}
	return stepContent, w.Close()
}

// quit says goodbye and closes; nobody waits long for the answer.
func (sess *session) quit() {
	_ = sess.raw.SetDeadline(time.Now().Add(quitPatience))
	_ = sess.client.Quit()
	sess.close()
}

func (sess *session) close() { _ = sess.raw.Close() }

// helloName is what we call ourselves: the host's name if it is fully qualified, else our address (RFC 5321 §4.1.4).
func helloName(local net.Addr) string {
	if name, err := os.Hostname(); err == nil && strings.Contains(name, ".") && isDotAtom(name) {
		return name
	}
	tcp, ok := local.(*net.TCPAddr)
	if !ok {
		return "localhost"
	}
	if ip4 := tcp.IP.To4(); ip4 != nil {
		return "[" + ip4.String() + "]"
	}
	return "[IPv6:" + tcp.IP.String() + "]"
}
