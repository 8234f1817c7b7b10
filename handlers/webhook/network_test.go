package webhook

import (
	"net/netip"
	"testing"
)

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

// newTestSender closes with the test. Timeouts are the real ones unless set.
func newTestSender(t *testing.T, c Config) *Sender {
	t.Helper()
	s := NewSender(c)
	t.Cleanup(s.Close)
	return s
}

// send is a POST that may reach the private networks of the Sender.
func send(t *testing.T, s *Sender, url string) Result {
	t.Helper()
	return s.Send(t.Context(), Request{URL: url, Body: []byte(`{}`), AllowPrivate: true})
}
