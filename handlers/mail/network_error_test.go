package mail

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/purser-dev/purser/handlers/webhook/webhooktest"
)

// internalName is what the mail server is called inside of the installation.
const internalName = "smtp.corp.internal"

// A failure of the network is told by a text that names no server and no address; the detail for the operator's log has what the text leaves out.
func TestReasonsNameNoServer(t *testing.T) {
	t.Parallel()
	asked := func(addresses ...string) func(*testing.T, *SMTP) {
		return func(t *testing.T, client *SMTP) {
			client.dialer.Resolver = webhooktest.Resolver(t, func(string, int) []netip.Addr { return webhooktest.Addresses(addresses...) })
		}
	}
	here := asked("127.0.0.1")
	tests := []struct {
		name    string
		url     string
		script  script
		timeout time.Duration
		change  func(*testing.T, *SMTP)
		reason  string
		detail  []string
	}{
		{
			"refused", "smtp://" + internalName + ":%s?tls=none", script{}, patience,
			func(t *testing.T, client *SMTP) { here(t, client); client.server.port = closedPort(t) },
			"the server cannot be reached: the connection was refused", []string{"dial tcp", "127.0.0.1:", "connection refused"},
		},
		{
			"no such name", "smtp://" + internalName + ":%s?tls=none", script{}, patience, asked(),
			"the server cannot be reached: there is no server of that name", []string{internalName, "no such host"},
		},
		{
			"name server away", "smtp://" + internalName + ":%s?tls=none", script{}, patience,
			func(_ *testing.T, client *SMTP) {
				client.dialer.Resolver = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
					return nil, &net.OpError{Op: "dial", Net: "udp", Addr: &net.UDPAddr{IP: net.IPv4(10, 0, 0, 2), Port: 53}, Err: syscall.ECONNREFUSED}
				}}
			},
			"the server cannot be reached: its name could not be looked up", []string{internalName, "10.0.0.2:53"},
		},
		{
			"name server hangs", "smtp://" + internalName + ":%s?tls=none", script{}, 200 * time.Millisecond,
			func(_ *testing.T, client *SMTP) {
				client.dialer.Resolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
					<-ctx.Done()
					return nil, ctx.Err()
				}}
			},
			"the server took too long while connecting", []string{internalName},
		},
		{
			"no way", "smtp://" + internalName + ":%s?tls=none", script{}, patience,
			func(t *testing.T, client *SMTP) {
				here(t, client)
				client.dialer.Control = func(string, string, syscall.RawConn) error { return syscall.EHOSTUNREACH }
			},
			"the server cannot be reached: no way leads to its network", []string{"127.0.0.1:", "no route to host"},
		},
		{
			"forbidden by the machine", "smtp://" + internalName + ":%s?tls=none", script{}, patience,
			func(t *testing.T, client *SMTP) {
				here(t, client)
				client.dialer.Control = func(string, string, syscall.RawConn) error { return syscall.EACCES }
			},
			"the server cannot be reached: the connection failed", []string{"127.0.0.1:", "permission denied"},
		},
		{
			"hangs", "smtp://" + internalName + ":%s?tls=none", script{hang: "EHLO"}, 200 * time.Millisecond, here,
			"the server took too long while greeting", []string{"read tcp 127.0.0.1:", "i/o timeout"},
		},
		{
			"certificate for another name", "smtps://" + internalName + ":%s", script{implicit: true}, patience, here,
			"the server's certificate was not accepted: it is not valid for the server's name", []string{"x509: certificate is valid for", internalName},
		},
		{
			"certificate for another name, by STARTTLS", "smtp://" + internalName + ":%s?tls=required", script{starttls: true}, patience, here,
			"the server's certificate was not accepted: it is not valid for the server's name", []string{"x509: certificate is valid for", internalName},
		},
		{
			"unknown authority", "smtps://127.0.0.1:%s", script{implicit: true}, patience,
			func(_ *testing.T, client *SMTP) { client.tlsConfig.RootCAs = x509.NewCertPool() },
			"the server's certificate was not accepted: it is signed by an unknown authority", []string{"x509: certificate signed by unknown authority"},
		},
		{
			"expired", "smtps://127.0.0.1:%s", script{implicit: true}, patience,
			func(_ *testing.T, client *SMTP) {
				client.tlsConfig.Time = func() time.Time { return time.Now().AddDate(1, 0, 0) }
			},
			"the server's certificate was not accepted: it has expired or is not yet valid", []string{"x509: certificate has expired"},
		},
		{
			"refused by our own rule", "smtps://127.0.0.1:%s", script{implicit: true}, patience,
			func(_ *testing.T, client *SMTP) {
				client.tlsConfig.InsecureSkipVerify = true
				client.tlsConfig.VerifyConnection = func(tls.ConnectionState) error {
					return &tls.CertificateVerificationError{Err: errors.New("x509: for " + internalName)}
				}
			},
			"the server's certificate was not accepted: it is not valid", []string{internalName},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			srv := startServer(t, tt.script)
			client := srv.client(tt.url, tt.timeout)
			tt.change(t, client)
			err := wantSendError(t, client.Send(t.Context(), testMessage()))
			if !err.Temporary || err.Code != 0 || err.Reason != tt.reason {
				t.Errorf("got temporary=%v code=%d %q, want temporary %q", err.Temporary, err.Code, err.Reason, tt.reason)
			}
			for _, part := range tt.detail {
				if !strings.Contains(err.Detail(), part) {
					t.Errorf("the detail %q lacks %q", err.Detail(), part)
				}
			}
			for _, named := range []string{internalName, "127.0.0.1", "10.0.0.2", srv.port, client.server.port} {
				if strings.Contains(err.Error(), named) {
					t.Errorf("%q names %s", err.Error(), named)
				}
			}
		})
	}
}

// What the server says is in no detail: it may be the recipient.
func TestDetailQuotesNoServer(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]script{
		"not SMTP":     {replies: map[string]string{"GREETING": "ada.private@customer.example"}},
		"short answer": {replies: map[string]string{"RCPT": "2 ada.private@customer.example"}},
		"a refusal":    {replies: map[string]string{"RCPT": "550 ada.private@customer.example"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := startServer(t, s)
			if err := srv.client(plainURL, patience).Send(t.Context(), testMessage()); err != nil {
				if got := wantSendError(t, err).Detail(); got != "" {
					t.Errorf("the detail is %q", got)
				}
				return
			}
			t.Error("the message was taken")
		})
	}
}

// closedPort is one that nobody listens on.
func closedPort(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	return port
}
