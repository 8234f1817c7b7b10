package payment_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/purser-dev/purser/handlers/payment"
	"github.com/purser-dev/purser/handlers/payment/paymenttest"
)

// Why Stripe did not answer is told by a text that names no server and no address; the detail for the operator's log has what the network said.
func TestNoAnswerNamesNoServer(t *testing.T) {
	t.Parallel()
	const name, resolver = "proxy.corp.internal", "10.0.0.2:53"
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	known := x509.NewCertPool()
	known.AddCert(server.Certificate())
	failing := func(err error) *http.Transport {
		return &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(10, 0, 3, 7), Port: 443}, Err: err}
		}}
	}
	trusting := func(c *tls.Config) *http.Transport { return &http.Transport{TLSClientConfig: c} }
	lookup := func(why string, change func(*net.DNSError)) *http.Transport {
		err := &net.DNSError{Err: why, Name: name, Server: resolver}
		change(err)
		return failing(err)
	}
	cases := map[string]struct {
		transport    *http.Transport
		want, detail string
	}{
		"refused":           {failing(syscall.ECONNREFUSED), "the connection was refused", "dial tcp 10.0.3.7:443: connection refused"},
		"no way":            {failing(syscall.ENETUNREACH), "no way leads to the server's network", "10.0.3.7:443"},
		"cut":               {failing(syscall.ECONNRESET), "the connection was cut", "10.0.3.7:443"},
		"too slow":          {failing(syscall.ETIMEDOUT), "it took too long", "10.0.3.7:443"},
		"anything":          {failing(syscall.EACCES), "the connection failed", "10.0.3.7:443"},
		"no such name":      {lookup("no such host", func(e *net.DNSError) { e.IsNotFound = true }), "there is no server of that name", "lookup " + name + " on " + resolver},
		"name server":       {lookup("server misbehaving", func(*net.DNSError) {}), "the server's name could not be looked up", "lookup " + name + " on " + resolver},
		"slow name server":  {lookup("i/o timeout", func(e *net.DNSError) { e.IsTimeout = true }), "it took too long", "lookup " + name + " on " + resolver},
		"unknown authority": {trusting(&tls.Config{}), "the certificate is signed by an unknown authority", "x509: certificate signed by unknown authority"},
		"another name":      {trusting(&tls.Config{RootCAs: known, ServerName: name}), "the certificate is not valid for the server's name", name},
		"expired": {
			trusting(&tls.Config{RootCAs: known, Time: func() time.Time { return time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC) }}),
			"the certificate has expired or is not yet valid", "x509: certificate has expired",
		},
	}
	for title, c := range cases {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			gateway, err := payment.NewStripe(payment.StripeConfig{
				SecretKey: "sk_test_1", WebhookSecrets: []string{"whsec_1"}, APIBase: server.URL, Now: paymenttest.NewClock(paymenttest.Start).Now,
				HTTPClient: &http.Client{Transport: c.transport},
			})
			if err != nil {
				t.Fatal(err)
			}
			got, err := gateway.Charge(t.Context(), stripeCharge())
			if err == nil || err.Error() != "payment: stripe: no answer: "+c.want || got != (payment.Outcome{}) {
				t.Fatalf("%+v, %v; want %q", got, err, c.want)
			}
			detailed, ok := errors.AsType[interface {
				error
				Detail() string
			}](err)
			if !ok || !strings.Contains(detailed.Detail(), c.detail) {
				t.Errorf("the detail of %v lacks %q", err, c.detail)
			}
		})
	}
}

// What came instead of an answer is told to nobody.
func TestNoAnswerQuotesNothing(t *testing.T) {
	t.Parallel()
	gateway, err := payment.NewStripe(payment.StripeConfig{
		SecretKey: "sk_test_1", WebhookSecrets: []string{"whsec_1"}, APIBase: babbler(t), Now: paymenttest.NewClock(paymenttest.Start).Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = gateway.Charge(t.Context(), stripeCharge())
	detailed, ok := errors.AsType[interface {
		error
		Detail() string
	}](err)
	if !ok || err.Error() != "payment: stripe: no answer: the connection failed" || detailed.Detail() != "" {
		t.Errorf("%v", err)
	}
}

// babbler is the address of a server whose answers are no HTTP.
func babbler(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "told in confidence: ada@example.com\r\n\r\n")
	}))
	t.Cleanup(server.Close)
	return server.URL
}
