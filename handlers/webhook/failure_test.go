package webhook

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/purser-dev/purser/handlers/webhook/webhooktest"
)

func TestConnectionFailures(t *testing.T) {
	t.Parallel()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refusing := closed.Addr().String()
	closed.Close()
	plain := serve(t, func(http.ResponseWriter, *http.Request) {})
	s := newTestSender(t, Config{AllowedPrivateNets: loopback, Resolver: webhooktest.Resolver(t, func(string, int) []netip.Addr { return nil })})
	answering := func(text string) string {
		return "http://" + rawServer(t, func(c net.Conn) {
			io.WriteString(c, text)
			c.(*net.TCPConn).CloseWrite()
		})
	}
	tests := []struct{ name, url, want string }{
		{"nobody listens", "http://" + refusing, "connection refused"},
		{"unknown host", "http://nowhere.example./", "host not found"},
		{"closes at once", answering(""), "connection closed without an answer"},
		{"not HTTP", answering("SSH-2.0-sekret\r\n\r\n"), "answer is not HTTP"},
		{"bad status", answering("HTTP/1.1 abc sekret\r\n\r\n"), "answer is not HTTP"},
		{"headers without end", answering("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("sekret", 100_000)), "answer headers are too large"},
		{"interim answers without end", answering(strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", 20_000)), "answer headers are too large"},
		{"no TLS behind https", strings.Replace(plain.URL, "http:", "https:", 1), "tls: the server does not speak TLS on this port"},
		{"SSH behind https", strings.Replace(answering("SSH-2.0-sekret\r\n"), "http:", "https:", 1), "tls: the server does not speak TLS on this port"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := s.Send(t.Context(), Request{URL: strings.TrimSuffix(tt.url, "/") + "/p?token=sekret", Body: []byte("sekret"), AllowPrivate: true})
			if r.Success || r.StatusCode != 0 || r.Error != tt.want || !r.Temporary() || r.Excerpt != "" {
				t.Errorf("%+v; want the failure %q", r, tt.want)
			}
		})
	}
}

func TestRequestsThatHTTPDoesNotAllow(t *testing.T) {
	t.Parallel()
	srv := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("a request arrived") })
	s := newTestSender(t, Config{AllowedPrivateNets: loopback})
	for name, r := range map[string]Request{
		"method":       {Method: "PO ST"},
		"header name":  {Header: http.Header{"X y": {"1"}}},
		"header value": {Header: http.Header{"X-Y": {"sekret\r\nX-Z: 1"}}},
	} {
		r.URL, r.AllowPrivate = srv.URL, true
		if got := s.Send(t.Context(), r); got.Error != FailRequest || got.Success || got.Temporary() {
			t.Errorf("bad %s: %+v; want %q", name, got, FailRequest)
		}
	}
}

func TestTLSFailures(t *testing.T) {
	t.Parallel()
	start := func(change func(*tls.Config)) *httptest.Server {
		srv := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a request arrived") }))
		srv.Config.ErrorLog = log.New(io.Discard, "", 0)
		srv.TLS = &tls.Config{}
		change(srv.TLS)
		srv.StartTLS()
		t.Cleanup(srv.Close)
		return srv
	}
	ordinary := start(func(*tls.Config) {})
	expired := start(func(c *tls.Config) { c.Certificates = []tls.Certificate{expiredCertificate(t)} })
	old := start(func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 })
	asking := start(func(c *tls.Config) { c.ClientAuth, c.MaxVersion = tls.RequireAnyClientCert, tls.VersionTLS12 })
	byName := func(srv *httptest.Server) string {
		_, port, _ := net.SplitHostPort(srv.Listener.Addr().String())
		return "https://other.example.:" + port
	}
	tests := []struct {
		name, url string
		trusted   *httptest.Server
		want      string
	}{
		{"unknown authority", ordinary.URL, nil, "tls: certificate signed by an unknown authority"},
		{"other name", byName(ordinary), ordinary, "tls: certificate is for another host name"},
		{"expired", expired.URL, expired, "tls: certificate has expired or is not yet valid"},
		{"only TLS 1.1", old.URL, old, "tls: protocol version not supported"},
		{"wants a client certificate", asking.URL, asking, "tls: handshake failure"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := Config{AllowedPrivateNets: loopback, Resolver: webhooktest.Resolver(t, func(string, int) []netip.Addr { return webhooktest.Addresses("127.0.0.1") })}
			if tt.trusted != nil {
				c.RootCAs = poolOf(tt.trusted)
			}
			s := newTestSender(t, c)
			r := s.Send(t.Context(), Request{URL: tt.url + "/?token=sekret", Body: []byte("sekret"), AllowPrivate: true})
			if r.Success || r.StatusCode != 0 || r.Error != tt.want || !r.Temporary() {
				t.Errorf("%+v; want the failure %q", r, tt.want)
			}
		})
	}
}

// Whatever an error says, only texts of ours come out.
func TestFailureTextsQuoteNothing(t *testing.T) {
	t.Parallel()
	const secret = "sekret"
	op := func(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: err} }
	tests := []struct {
		err  error
		want string
	}{
		{errors.New("Post \"https://x/?token=" + secret + "\": " + secret), "connection failed"},
		{errors.New("tls: " + secret), "tls: handshake failed"},
		{errors.New("malformed HTTP response \"" + secret + "\""), "answer is not HTTP"},
		{errors.New("http2: response header list larger than advertised limit"), "answer headers are too large"},
		{op(&net.DNSError{Err: secret, Name: secret, IsNotFound: true}), "host not found"},
		{op(&net.DNSError{Err: secret, Name: secret, IsTimeout: true}), "host lookup timed out"},
		{op(&net.DNSError{Err: secret, Name: secret, IsTemporary: true}), "host lookup failed"},
		{op(syscall.ECONNRESET), "connection reset"},
		{op(syscall.EPIPE), "connection reset"},
		{op(syscall.ENETUNREACH), "host unreachable"},
		{op(syscall.EHOSTUNREACH), "host unreachable"},
		{op(syscall.ETIMEDOUT), FailTimeout},
		{op(ErrForbidden), FailForbidden},
		{x509.CertificateInvalidError{Reason: x509.Expired, Detail: secret}, "tls: certificate has expired or is not yet valid"},
		{&tls.CertificateVerificationError{Err: errors.New(secret)}, "tls: certificate is not valid"},
	}
	for _, tt := range tests {
		if got := failure(t.Context(), tt.err); got != tt.want {
			t.Errorf("failure(%v) = %q; want %q", tt.err, got, tt.want)
		}
	}
}

func expiredCertificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: now.Add(-48 * time.Hour), NotAfter: now.Add(-24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
