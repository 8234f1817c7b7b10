package webhook

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// serve starts a server that is closed with the test.
func serve(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv
}

func TestSendDeliversWhatItWasGiven(t *testing.T) {
	t.Parallel()
	const id, body = "evt_1", `{"type":"order.created"}`
	secret, now := NewSecret(), time.Now()
	type received struct {
		method, body string
		header       http.Header
		verified     error
	}
	got := make(chan received, 1)
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got <- received{r.Method, string(b), r.Header, Verify(secret, r.Header, b, now, DefaultTolerance)}
		w.WriteHeader(http.StatusAccepted)
		io.WriteString(w, "thanks\x00\x1b[31m")
	})
	s := newTestSender(t, Config{UserAgent: "Purser/1.2.3", AllowedPrivateNets: loopback})
	header, err := Header([]string{secret}, id, now, []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	header["x-custom"] = []string{"1"}
	sent := header.Clone()

	r := s.Send(t.Context(), Request{URL: srv.URL + "/hook?token=1", Header: header, Body: []byte(body), AllowPrivate: true})
	if !r.Success || r.StatusCode != 202 || r.Error != "" || r.Gone || r.Temporary() || r.RetryAfter != 0 || r.Body != nil || r.Duration <= 0 {
		t.Errorf("result %+v; want a success", r)
	}
	if r.Excerpt != "thanks\uFFFD\uFFFD[31m" {
		t.Errorf("excerpt %q; want control characters replaced", r.Excerpt)
	}
	in := <-got
	if in.method != "POST" || in.body != body || in.verified != nil {
		t.Errorf("received %s %q, signature %v", in.method, in.body, in.verified)
	}
	for name, want := range map[string]string{
		"User-Agent": "Purser/1.2.3", "Content-Type": "application/json", "Accept-Encoding": "identity", "X-Custom": "1", HeaderID: id,
	} {
		if got := in.header.Values(name); len(got) != 1 || got[0] != want {
			t.Errorf("received %s %q; want %q", name, got, want)
		}
	}
	for _, name := range []string{"Idempotency-Key", "Cookie", "Referer", "Authorization"} {
		if got, ok := in.header[name]; ok {
			t.Errorf("received %s %q; want none", name, got)
		}
	}
	if fmt.Sprint(header) != fmt.Sprint(sent) {
		t.Errorf("Send changed the caller's header to %v", header)
	}
}

func TestSendUsesTheCallersMethodAndHeader(t *testing.T) {
	t.Parallel()
	got := make(chan *http.Request, 1)
	srv := serve(t, func(_ http.ResponseWriter, r *http.Request) { got <- r })
	s := newTestSender(t, Config{AllowedPrivateNets: loopback})
	s.Send(t.Context(), Request{URL: srv.URL + "?a=%20b", Method: "GET", AllowPrivate: true, Header: http.Header{
		"User-Agent": {"Other/1"}, "Content-Type": {"text/plain"}, "Idempotency-Key": {"unit-1"}, "Accept-Encoding": {"gzip"},
	}})
	r := <-got
	if r.Method != "GET" || r.URL.RawQuery != "a=%20b" || r.ContentLength != 0 {
		t.Errorf("received %s ?%s with %d bytes", r.Method, r.URL.RawQuery, r.ContentLength)
	}
	for name, want := range map[string]string{"User-Agent": "Other/1", "Content-Type": "text/plain", "Idempotency-Key": "unit-1", "Accept-Encoding": "identity"} {
		if r.Header.Get(name) != want {
			t.Errorf("received %s %q; want %q", name, r.Header.Get(name), want)
		}
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	var followed atomic.Int64
	target := serve(t, func(http.ResponseWriter, *http.Request) { followed.Add(1) })
	s := newTestSender(t, Config{AllowedPrivateNets: loopback})
	for _, code := range []int{300, 301, 302, 303, 304, 305, 307, 308} {
		srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", target.URL+"/secret")
			w.WriteHeader(code)
		})
		for _, method := range []string{"POST", "GET"} {
			r := s.Send(t.Context(), Request{URL: srv.URL, Method: method, AllowPrivate: true, MaxBody: 100})
			if r.Success || r.Error != FailRedirect || r.StatusCode != code || r.Gone || r.Temporary() || r.Body != nil {
				t.Errorf("%s answered by %d: %+v; want the failure %q", method, code, r, FailRedirect)
			}
		}
	}
	if n := followed.Load(); n != 0 {
		t.Errorf("%d redirects were followed", n)
	}
}

func TestHTTP2IsUsedWhereOffered(t *testing.T) {
	t.Parallel()
	var conns atomic.Int64
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Minor", "1")
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, r.Proto)
	}))
	srv.EnableHTTP2 = true
	srv.Config.ConnState = countNew(&conns)
	srv.StartTLS()
	t.Cleanup(srv.Close)
	s := newTestSender(t, Config{AllowedPrivateNets: loopback, RootCAs: poolOf(srv)})
	for range 5 {
		if r := send(t, s, srv.URL); !r.Success || r.Excerpt != "HTTP/2.0" {
			t.Fatalf("%+v; want a success over HTTP/2.0", r)
		}
	}
	if n := conns.Load(); n != 1 {
		t.Errorf("%d connections for five deliveries over HTTP/2; want 1", n)
	}
}

func TestConnectionsAreReused(t *testing.T) {
	t.Parallel()
	const together = 32
	var conns atomic.Int64
	// Every delivery waits until all are there, so each needs its own connection.
	var mu sync.Mutex
	waiting, release := 0, make(chan struct{})
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		mine := release
		if waiting++; waiting == together {
			close(release)
			waiting, release = 0, make(chan struct{})
		}
		mu.Unlock()
		select {
		case <-mine:
		case <-r.Context().Done():
		}
		io.WriteString(w, strings.Repeat("x", maxExcerptBytes)) // the longest body that is read to its end
	}))
	srv.Config.ConnState = countNew(&conns)
	srv.Start()
	t.Cleanup(srv.Close)
	s := newTestSender(t, Config{AllowedPrivateNets: loopback})
	for round := range 3 {
		var wg sync.WaitGroup
		for range together {
			wg.Go(func() {
				if r := send(t, s, srv.URL); !r.Success || len(r.Excerpt) != maxExcerptBytes {
					t.Errorf("%+v; want a success", r)
				}
			})
		}
		wg.Wait()
		if n := conns.Load(); n != together {
			t.Fatalf("%d connections after round %d; want %d", n, round+1, together)
		}
	}
}

// Between two deliveries a server may close the connection that we kept.
func TestDeadKeptConnectionDoesNotCostAnAttempt(t *testing.T) {
	t.Parallel()
	var requests atomic.Int64
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if requests.Add(1) == 2 { // as if the connection had died just before this request
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				conn.Close()
			}
		}
	})
	s := newTestSender(t, Config{AllowedPrivateNets: loopback})
	for range 2 {
		r := s.Send(t.Context(), Request{URL: srv.URL, Body: []byte("{}"), AllowPrivate: true, Header: http.Header{HeaderID: {"evt_1"}}})
		if !r.Success {
			t.Fatalf("%+v; want a success", r)
		}
	}
	if n := requests.Load(); n != 3 {
		t.Errorf("%d requests; want 3", n)
	}
}

func TestHangingServersTimeOut(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, scheme string
		serve        func(net.Conn)
	}{
		{"says nothing", "http", func(net.Conn) {}},
		{"no TLS handshake", "https", func(net.Conn) {}},
		{"half a header", "http", func(c net.Conn) { io.WriteString(c, "HTTP/1.1 200 OK\r\nX-Slow: ") }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newTestSender(t, Config{AllowedPrivateNets: loopback, Timeout: 150 * time.Millisecond})
			begun := time.Now()
			r := send(t, s, tt.scheme+"://"+rawServer(t, tt.serve))
			if r.Success || r.StatusCode != 0 || r.Error != FailTimeout || !r.Temporary() {
				t.Errorf("%+v; want the failure %q", r, FailTimeout)
			}
			if took := time.Since(begun); took > 12*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

func TestSendEndsWithItsContext(t *testing.T) {
	t.Parallel()
	addr := rawServer(t, func(net.Conn) {})
	s := newTestSender(t, Config{AllowedPrivateNets: loopback})

	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if r := s.Send(ctx, Request{URL: "http://" + addr, AllowPrivate: true}); r.Error != FailTimeout || r.Success {
		t.Errorf("past the caller's deadline: %+v; want %q", r, FailTimeout)
	}
	cancelled, stop := context.WithCancel(t.Context())
	stop()
	if r := s.Send(cancelled, Request{URL: "http://" + addr, AllowPrivate: true}); r.Error != FailCancelled || r.Success {
		t.Errorf("cancelled: %+v; want %q", r, FailCancelled)
	}
}

func TestCloseLetsIdleConnectionsGo(t *testing.T) {
	t.Parallel()
	closed := make(chan struct{})
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	srv.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			close(closed)
		}
	}
	srv.Start()
	t.Cleanup(srv.Close)
	s := NewSender(Config{AllowedPrivateNets: loopback})
	if r := send(t, s, srv.URL); !r.Success {
		t.Fatalf("%+v", r)
	}
	s.Close()
	select {
	case <-closed:
	case <-time.After(10 * time.Second):
		t.Error("the idle connection is still open")
	}
}

func TestTransportIsHardened(t *testing.T) {
	t.Parallel()
	s := newTestSender(t, Config{})
	for _, l := range []*lane{s.public, s.private} {
		if tr := l.transport; tr.Proxy != nil || tr.TLSClientConfig.MinVersion != tls.VersionTLS12 || tr.TLSClientConfig.InsecureSkipVerify || tr.MaxResponseHeaderBytes == 0 {
			t.Errorf("transport %+v", tr)
		}
	}
	if s.public.transport == s.private.transport {
		t.Error("private and public requests share connections")
	}
	if s.timeout != 15*time.Second {
		t.Errorf("timeout %v; want 15s", s.timeout)
	}
}

func poolOf(srv *httptest.Server) *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(srv.Certificate())
	return pool
}

func countNew(n *atomic.Int64) func(net.Conn, http.ConnState) {
	return func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			n.Add(1)
		}
	}
}

// rawServer runs answer on every connection once a request has begun to arrive,
// and then holds the connection open until the other side leaves. It returns
// its address.
func rawServer(t *testing.T, answer func(net.Conn)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer conn.Close()
				if _, err := conn.Read(make([]byte, 1)); err != nil {
					return // net/http has no use for an answer that comes first
				}
				var reading sync.WaitGroup
				reading.Go(func() { io.Copy(io.Discard, conn) })
				answer(conn)
				reading.Wait()
			})
		}
	})
	t.Cleanup(func() {
		listener.Close()
		wg.Wait()
	})
	return listener.Addr().String()
}
