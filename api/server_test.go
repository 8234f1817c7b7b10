package api

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	s := storetest.Open(t, "sqlite")
	for name, c := range map[string]Config{
		"no store":       {PublicURL: storetest.PublicURL},
		"no address":     {Store: s},
		"no scheme":      {Store: s, PublicURL: "purser.test"},
		"another scheme": {Store: s, PublicURL: "ftp://purser.test"},
		"no host":        {Store: s, PublicURL: "https://"},
		"metrics known":  {Store: s, PublicURL: storetest.PublicURL, Metrics: func() prometheus.Registerer { r := prometheus.NewRegistry(); _, _ = newMetrics(r); return r }()},
	} {
		if srv, err := New(c); err == nil {
			t.Errorf("%s: made %v", name, srv)
		}
	}
}

func TestMethods(t *testing.T) {
	t.Parallel()
	d := newDoor(t, storetest.Open(t, "sqlite"))
	o := d.order(t)
	for _, tc := range []struct{ method, path, allow string }{
		{"PUT", "/v1/orders", "GET, HEAD, POST, OPTIONS"},
		{"DELETE", "/v1/orders/" + o.ID, "GET, HEAD, OPTIONS"},
		{"GET", "/v1/orders/" + o.ID + "/cancel", "POST, OPTIONS"},
		{"PATCH", "/healthz", "GET, HEAD, OPTIONS"},
		{"BREW", "/v1/orders", ""},
	} {
		a := d.knock(t, ask{method: tc.method, path: tc.path, key: d.shop.TestKey})
		a.want(t, 405, codeMethodNotAllowed)
		if got := a.header.Get("Allow"); got != tc.allow {
			t.Errorf("%s %s allows %q, want %q", tc.method, tc.path, got, tc.allow)
		}
	}
	a := d.knock(t, ask{method: "OPTIONS", path: "/v1/orders"}).ok(t, 204)
	if a.header.Get("Allow") != "GET, HEAD, POST, OPTIONS" || len(a.body) > 0 || a.header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("OPTIONS: %v %s", a.header, a.body)
	}
	body := d.knock(t, ask{method: get, path: "/v1/orders", key: d.shop.TestKey}).ok(t, 200).body
	head := d.knock(t, ask{method: "HEAD", path: "/v1/orders", key: d.shop.TestKey}).ok(t, 200)
	if len(head.body) > 0 || head.header.Get("Content-Length") != fmt.Sprint(len(body)) {
		t.Errorf("HEAD has %d bytes and Content-Length %s", len(head.body), head.header.Get("Content-Length"))
	}
	d.knock(t, ask{method: get, path: "/v1/nothing", key: d.shop.TestKey}).want(t, 404, codeNotFound)
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	d := newDoor(t, storetest.Open(t, "sqlite"))
	for _, a := range []ask{
		{method: get, path: "/v1/orders", key: d.shop.TestKey}, {method: get, path: "/v1/orders"}, {method: get, path: "/nothing"},
		{method: "BREW", path: "/"}, {method: get, path: "/healthz"}, {method: get, path: "/docs"}, {method: get, path: "/gateway/test/x"},
	} {
		got := d.knock(t, a)
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Strict-Transport-Security": "max-age=31536000", "Referrer-Policy": "*",
			"Content-Security-Policy": "*", "X-Request-Id": "*", "Cache-Control": "*", "Content-Type": "*",
		} {
			if v := got.header.Get(name); v == "" || want != "*" && v != want {
				t.Errorf("%s %s: %s is %q", a.method, a.path, name, v)
			}
		}
		for _, name := range []string{"Access-Control-Allow-Origin", "Server", "Set-Cookie"} {
			if v := got.header.Get(name); v != "" {
				t.Errorf("%s %s: %s is %q", a.method, a.path, name, v)
			}
		}
		if !strings.Contains(got.header.Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("%s %s: policy %q", a.method, a.path, got.header.Get("Content-Security-Policy"))
		}
	}
	plain := newDoor(t, storetest.Open(t, "sqlite"), func(c *Config) { c.PublicURL = "http://purser.test" })
	if v := plain.knock(t, ask{method: get, path: "/healthz"}).header.Get("Strict-Transport-Security"); v != "" {
		t.Errorf("over http: %q", v)
	}
}

func TestRequestID(t *testing.T) {
	t.Parallel()
	d := newDoor(t, storetest.Open(t, "sqlite"))
	ids := map[string]bool{}
	for given, kept := range map[string]bool{
		"": false, "abc-123": true, "01J8.:+/=_": true, strings.Repeat("a", 128): true, strings.Repeat("a", 129): false, "a b": false, "a\"b": false, "é": false,
	} {
		got := d.knock(t, ask{method: get, path: "/nothing", header: map[string]string{"X-Request-Id": given}})
		id := got.header.Get("X-Request-Id")
		if (id == given) != kept || id == "" || ids[id] {
			t.Errorf("%q became %q", given, id)
		}
		ids[id] = true
		if p := got.problem(t); p.RequestID != id {
			t.Errorf("the problem names %s", p.RequestID)
		}
		if !strings.Contains(d.log.String(), "request_id="+id) && !strings.Contains(d.log.String(), `request_id="`+id+`"`) {
			t.Errorf("%s is not in the log", id)
		}
	}
}

func TestLogHoldsPatternsOnly(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		registry := prometheus.NewRegistry()
		d := newDoor(t, s, func(c *Config) { c.Metrics = registry })
		o := d.order(t, with("customer", map[string]any{"email": "secret@example.com", "first_name": "Confidential"}))
		d.knock(t, ask{method: get, path: "/v1/orders?email=secret@example.com&number=Hidden", key: d.shop.TestKey}).ok(t, 200)
		d.knock(t, ask{method: get, path: "/v1/orders/" + o.ID, key: d.shop.TestKey}).ok(t, 200)
		d.knock(t, ask{method: get, path: "/v1/Hidden/path"})
		d.knock(t, ask{method: post, path: "/v1/orders", key: d.shop.TestKey, body: `{"Hidden":"secret@example.com"`})
		d.knock(t, ask{method: get, path: "/gateway/test/Hidden"})
		log := d.log.String()
		for _, secret := range []string{"secret@example.com", "Confidential", "Hidden", d.shop.TestKey, d.shop.TestKey[9:], o.ID, o.OrderURL, "0.0.0.0"} {
			if strings.Contains(log, secret) {
				t.Errorf("%s is in the log:\n%s", secret, log)
			}
		}
		for _, route := range []string{"route=/v1/orders ", "route=/v1/orders/{id} ", "route=none ", "route=/gateway/test/{token} "} {
			if !strings.Contains(log, route) {
				t.Errorf("%s is not in the log:\n%s", route, log)
			}
		}
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]uint64{}
		for _, f := range families {
			for _, m := range f.Metric {
				var labels []string
				for _, l := range m.Label {
					labels = append(labels, l.GetValue())
				}
				name := strings.Join(append(labels, strings.TrimPrefix(f.GetName(), "purser_http_")), " ")
				got[name] = uint64(m.GetCounter().GetValue()) + m.GetHistogram().GetSampleCount()
			}
		}
		want := map[string]uint64{
			"GET /gateway/test/{token} 404 requests_total": 1, "GET /gateway/test/{token} request_duration_seconds": 1,
			"GET /v1/orders 200 requests_total": 1, "GET /v1/orders request_duration_seconds": 1,
			"GET /v1/orders/{id} 200 requests_total": 1, "GET /v1/orders/{id} request_duration_seconds": 1,
			"GET none 404 requests_total": 1, "GET none request_duration_seconds": 1,
			"POST /v1/orders 201 requests_total": 1, "POST /v1/orders 400 requests_total": 1, "POST /v1/orders request_duration_seconds": 2,
			"requests_in_flight": 0,
		}
		if !maps.Equal(got, want) {
			t.Errorf("metrics are %v, want %v", got, want)
		}
	})
}

func TestDatabaseThatIsGone(t *testing.T) {
	t.Parallel()
	s := storetest.Open(t, "postgres")
	d := newDoor(t, s)
	storetest.Exec(t, s, "ALTER TABLE orders RENAME TO hidden")
	a := d.knock(t, ask{method: get, path: "/v1/orders", key: d.shop.TestKey})
	a.want(t, 500, codeInternal)
	if bytes.Contains(a.body, []byte("orders\\\"")) || bytes.Contains(a.body, []byte("42P01")) || !strings.Contains(d.log.String(), "42P01") {
		t.Errorf("answered %s\n%s", a.body, d.log)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	d.knock(t, ask{method: get, path: "/healthz"}).ok(t, 200)
	d.knock(t, ask{method: get, path: "/readyz"}).ok(t, 503)
}

func TestBodyLimits(t *testing.T) {
	t.Parallel()
	d := newDoor(t, storetest.Open(t, "sqlite"))
	base := d.listen(t)
	for name, tc := range map[string]struct {
		size   int
		key    string
		status int
	}{
		"just fits":        {smallBody, d.shop.TestKey, 422},
		"one byte more":    {smallBody + 1, d.shop.TestKey, 413},
		"far too much":     {20 << 20, d.shop.TestKey, 413},
		"from a stranger":  {100 << 10, "", 401},
		"stranger's flood": {20 << 20, "psk_test_wrong", 401},
	} {
		for _, chunked := range []bool{false, true} {
			text := `{"zzz":"` + strings.Repeat("x", tc.size-10) + `"}`
			var body io.Reader = strings.NewReader(text)
			if chunked {
				body = struct{ io.Reader }{body} // hides the length
			}
			r, err := http.NewRequestWithContext(t.Context(), post, base+"/v1/orders", body)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Authorization", "Bearer "+tc.key)
			r.Header.Set("Content-Type", "application/json")
			res, err := http.DefaultClient.Do(r)
			if err != nil {
				if tc.status == 401 && tc.size > maxUnread {
					continue // a stranger's flood may as well be cut off
				}
				t.Errorf("%s, chunked %v: %v", name, chunked, err)
				continue
			}
			if a := read(t, res); a.status != tc.status {
				t.Errorf("%s, chunked %v: %d %.200s", name, chunked, a.status, a.body)
			}
		}
	}
}

const maxUnread = 256 << 10

func TestRequestsThatAreNone(t *testing.T) {
	t.Parallel()
	d := newDoor(t, storetest.Open(t, "sqlite"))
	base := strings.TrimPrefix(d.listen(t), "http://")
	for name, tc := range map[string]struct {
		raw    string
		status int
	}{
		"no HTTP":             {"hello\r\n\r\n", 400},
		"a huge header":       {"GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("x", maxHeaderBytes) + "\r\n\r\n", 400},
		"a bad length":        {"POST /v1/orders HTTP/1.1\r\nHost: a\r\nContent-Length: ten\r\n\r\n", 400},
		"two lengths":         {"POST /v1/orders HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx", 400},
		"a control character": {"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer psk_test_S3cret\x01\r\n\r\n", 400},
	} {
		c, err := net.Dial("tcp", base)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(c, tc.raw)
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		a := read(t, res)
		_ = c.Close()
		a.problem(t)
		if a.status != tc.status || bytes.Contains(a.body, []byte("S3cret")) {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	if strings.Contains(d.log.String(), "S3cret") {
		t.Error("a key is in the log")
	}
}

// TestShutdownCutsNothingOff stops a server under load: every request that it took was answered, and what it answered is true.
func TestShutdownCutsNothingOff(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s)
		base := d.listen(t)
		var made, refused atomic.Int64
		var clients sync.WaitGroup
		stop := make(chan struct{})
		busy := make(chan struct{})
		var once sync.Once
		for range 8 {
			clients.Go(func() {
				client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1}}
				defer client.CloseIdleConnections()
				for {
					select {
					case <-stop:
						return
					default:
					}
					// Without GetBody Go does not try again by itself on a new connection.
					r := ask{method: post, path: "/v1/orders", key: d.shop.TestKey, body: orderBody()}.request(t, base)
					r.GetBody = nil
					var reused bool
					r = r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
						GotConn: func(c httptrace.GotConnInfo) { reused = c.Reused },
					}))
					res, err := client.Do(r)
					if err != nil {
						// A new connection that the kernel made in the moment in which the listener closed is reset: nobody has taken it.
						// That no order comes of it is seen below.
						var refusedDial *net.OpError
						if errors.As(err, &refusedDial) && (refusedDial.Op == "dial" || !reused && errors.Is(err, syscall.ECONNRESET)) {
							refused.Add(1)
							return // the listener is closed: this request was never taken
						}
						t.Errorf("a request was cut off: %v", err)
						return
					}
					a := read(t, res)
					if a.status != 201 {
						t.Errorf("answered %d %s", a.status, a.body)
						return
					}
					if made.Add(1) == 50 {
						once.Do(func() { close(busy) })
					}
				}
			})
		}
		<-busy
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := d.Shutdown(ctx); err != nil {
			t.Errorf("shut down: %v", err)
		}
		close(stop)
		clients.Wait()
		if n := d.count(t, "orders"); int64(n) != made.Load() {
			t.Errorf("%d orders, %d were answered", n, made.Load())
		}
	})
}

func TestShutdownGivesUpOnTime(t *testing.T) {
	t.Parallel()
	s := storetest.Open(t, "postgres")
	d := newDoor(t, s)
	running, ended := make(chan struct{}), make(chan error, 1)
	withProbe(t, d, once, &probe{do: func(ctx context.Context) error {
		_, err := s.CreateOrder(ctx, scope(ctx), storetest.OrderInput("editor-pro", 1))
		if err != nil {
			return err
		}
		close(running)
		<-ctx.Done()
		ended <- ctx.Err()
		return ctx.Err()
	}})
	base := d.listen(t)
	answered := make(chan int, 1)
	go func() {
		r := ask{method: post, path: "/v1/probe", key: d.shop.TestKey, header: map[string]string{idempotencyHeader: "p"}}.request(t, base)
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			answered <- 0
			return
		}
		answered <- read(t, res).status
	}()
	<-running
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := d.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("shut down: %v", err)
	}
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the operation's context ended with %v", err)
	}
	if status := <-answered; status != 503 {
		t.Errorf("answered %d", status)
	}
	if n := d.count(t, "orders"); n != 0 {
		t.Errorf("%d orders stayed", n)
	}
}

func TestClientAddress(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		trusted   []string
		forwarded string
		proto     string
		want      string
		secure    bool
	}{
		"nobody is trusted":   {nil, "203.0.113.9", "https", "0.0.0.0", false},
		"another is trusted":  {[]string{"10.0.0.0/8"}, "203.0.113.9", "https", "0.0.0.0", false},
		"a proxy":             {[]string{"0.0.0.0/32"}, "203.0.113.9", "https", "203.0.113.9", true},
		"an invention before": {[]string{"0.0.0.0/32"}, "127.0.0.1, 203.0.113.9", "http", "203.0.113.9", false},
		"two proxies":         {[]string{"0.0.0.0/32", "10.0.0.0/8"}, "198.51.100.1, 203.0.113.9, 10.1.2.3", "https,http", "203.0.113.9", true},
		"only proxies":        {[]string{"0.0.0.0/32", "10.0.0.0/8"}, "10.1.2.3", "", "10.1.2.3", false},
		"nonsense":            {[]string{"0.0.0.0/32"}, "198.51.100.1, unknown", "", "0.0.0.0", false},
		"nothing":             {[]string{"0.0.0.0/32"}, "", "", "0.0.0.0", false},
		"IPv6":                {[]string{"0.0.0.0/32"}, "2001:db8::1", "HTTPS", "2001:db8::1", true},
		"IPv4 in IPv6":        {[]string{"0.0.0.0/32"}, "::ffff:203.0.113.9", "", "203.0.113.9", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var trusted []netip.Prefix
			for _, p := range tc.trusted {
				trusted = append(trusted, netip.MustParsePrefix(p))
			}
			d := newDoor(t, storetest.Open(t, "sqlite"), func(c *Config) { c.TrustedProxies = trusted })
			var got netip.Addr
			var secure bool
			d.app.Get("/who", func(c *fiberCtx) error {
				got, secure = requestOf(c).client, d.secure(c)
				return nil
			})
			d.knock(t, ask{method: get, path: "/who", header: map[string]string{"X-Forwarded-For": tc.forwarded, "X-Forwarded-Proto": tc.proto}}).ok(t, 200)
			if got.String() != tc.want || secure != tc.secure {
				t.Errorf("client is %s, secure %v", got, secure)
			}
		})
	}
}

// TestPanicIsAnInternalError: whoever panics may have anybody's data in hand, so neither the answer nor the log has what a panic says, but
// for what the runtime says by itself.
func TestPanicIsAnInternalError(t *testing.T) {
	t.Parallel()
	const email = "ada@example.com"
	var none []string
	for what, c := range map[string]struct {
		fall func()
		log  string
	}{
		"a text":            {func() { panic("no such customer: " + email) }, "panic: string\\n"},
		"an error":          {func() { panic(errors.New("no such customer: " + email)) }, "panic: *errors.errorString\\n"},
		"the runtime's own": {func() { _ = none[len(email)] }, "panic: runtime error: index out of range [15] with length 0\\n"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			d := newDoor(t, storetest.Open(t, "sqlite"))
			withProbe(t, d, once, &probe{do: func(context.Context) error { c.fall(); return nil }})
			a := d.knock(t, ask{method: post, path: "/v1/probe", key: d.shop.TestKey})
			a.want(t, 500, codeInternal)
			if bytes.Contains(a.body, []byte(email)) || bytes.Contains(a.body, []byte("panic")) || bytes.Contains(a.body, []byte(".go")) {
				t.Errorf("answered %s", a.body)
			}
			log := d.log.String()
			if strings.Contains(log, email) || !strings.Contains(log, "request failed") || !strings.Contains(log, c.log) || !strings.Contains(log, "server_test.go") {
				t.Errorf("logged %s", log)
			}
			d.knock(t, ask{method: get, path: "/v1/orders", key: d.shop.TestKey}).ok(t, 200)
		})
	}
}
