package api

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/purser-dev/purser/handlers/payment"
	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

// door is a server with two merchants, to be knocked at from outside.
type door struct {
	*Server
	store       *models.Store
	shop, other storetest.Shop
	product     *models.ProductView // of shop: editor-pro, 49.00 EUR, licences from a template
	log         *logBuffer
}

// logBuffer keeps a server's log, to prove what is not in it.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newDoor(t testing.TB, s *models.Store, change ...func(*Config)) *door {
	t.Helper()
	log := &logBuffer{}
	gateway, err := payment.NewTest(payment.TestConfig{PageURL: storetest.PublicURL + "/gateway/test", CallbackSecret: bytes.Repeat([]byte{1}, 32)})
	if err != nil {
		t.Fatal(err)
	}
	c := Config{
		Store: s, PublicURL: storetest.PublicURL, Version: "test", Gateways: map[string]payment.Gateway{models.GatewayTest: gateway},
		Log: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, f := range change {
		f(&c)
	}
	srv, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := srv.Shutdown(ctx); err != nil {
			t.Errorf("shut down: %v", err)
		}
	})
	d := &door{Server: srv, store: s, shop: storetest.Merchant(t, s), other: storetest.Merchant(t, s), log: log}
	d.product = storetest.Product(t, s, d.shop.Test, "editor-pro", models.MethodTemplate)
	return d
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// ask is one request. The body is sent as it is if it is a string or bytes, as JSON otherwise.
type ask struct {
	method, path string
	key          string
	body         any
	header       map[string]string
}

func (a ask) request(t testing.TB, base string) *http.Request {
	t.Helper()
	var body io.Reader = http.NoBody
	switch b := a.body.(type) {
	case nil:
	case string:
		body = strings.NewReader(b)
	case []byte:
		body = bytes.NewReader(b)
	default:
		raw, err := json.Marshal(b)
		if err != nil {
			t.Fatal(err)
		}
		body = bytes.NewReader(raw)
	}
	r := httptest.NewRequest(a.method, base+"/", body)
	r.URL.Opaque = "" // the path goes out as it is written, wrong escapes and all
	if i := strings.IndexByte(a.path, '?'); i >= 0 {
		r.URL.Path, r.URL.RawQuery = a.path[:i], a.path[i+1:]
	} else {
		r.URL.Path = a.path
	}
	r.URL.Opaque = a.path
	if i := strings.IndexByte(a.path, '?'); i >= 0 {
		r.URL.Opaque = a.path[:i]
	}
	r.RequestURI = ""
	if a.body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if a.key != "" {
		r.Header.Set("Authorization", "Bearer "+a.key)
	}
	for name, value := range a.header {
		if value == "" {
			r.Header.Del(name)
			continue
		}
		r.Header.Set(name, value)
	}
	return r
}

func (d *door) knock(t testing.TB, a ask) answer {
	t.Helper()
	r, err := d.App().Test(a.request(t, "http://purser.test"), -1)
	if err != nil {
		t.Fatalf("%s %s: %v", a.method, a.path, err)
	}
	return read(t, r)
}

func read(t testing.TB, r *http.Response) answer {
	t.Helper()
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{r.StatusCode, r.Header, body}
}

// into decodes the answer.
func (a answer) into(t testing.TB, v any) {
	t.Helper()
	if err := json.Unmarshal(a.body, v); err != nil {
		t.Fatalf("%d %s: %v", a.status, a.body, err)
	}
}

func (a answer) problem(t testing.TB) Problem {
	t.Helper()
	if ct := a.header.Get("Content-Type"); ct != problemType {
		t.Fatalf("content type %q of %d %s", ct, a.status, a.body)
	}
	var p Problem
	a.into(t, &p)
	if p.Status != a.status || p.Title == "" || p.Detail == "" || p.Type != storetest.PublicURL+"/docs#problem-"+p.Code {
		t.Errorf("incomplete problem %s", a.body)
	}
	if p.RequestID == "" || (a.header.Get(replayedHeader) == "" && p.RequestID != a.header.Get("X-Request-Id")) {
		t.Errorf("request id %q in the body, %q in the header", p.RequestID, a.header.Get("X-Request-Id"))
	}
	return p
}

// want fails the test unless the answer is a problem with this status, code and, if given, exactly these fields.
func (a answer) want(t testing.TB, status int, c code, fields ...string) {
	t.Helper()
	if a.status != status {
		t.Fatalf("answered %d %s, want %d", a.status, a.body, status)
	}
	p := a.problem(t)
	if p.Code != string(c) {
		t.Errorf("code %s, want %s: %s", p.Code, c, a.body)
	}
	var got []string
	for _, f := range p.Errors {
		if f.Message == "" {
			t.Errorf("no message for %s", f.Field)
		}
		got = append(got, f.Field)
	}
	if strings.Join(got, " ") != strings.Join(fields, " ") {
		t.Errorf("fields %q, want %q: %s", got, fields, a.body)
	}
}

func (a answer) ok(t testing.TB, status int) answer {
	t.Helper()
	if a.status != status {
		t.Fatalf("answered %d %s, want %d", a.status, a.body, status)
	}
	return a
}

// orderBody is a valid checkout request, with changes.
func orderBody(change ...func(map[string]any)) map[string]any {
	b := map[string]any{
		"currency": "EUR", "locale": "en", "external_id": "cart-991",
		"customer":       map[string]any{"email": "ada@example.com", "first_name": "Ada", "last_name": "Byron", "country": "GB"},
		"items":          []any{map[string]any{"product": "editor-pro", "quantity": 2}},
		"payment_method": "card",
		"consents":       map[string]any{"terms": true, "personal_data": true},
		"return_url":     "https://shop.example/thanks",
		"metadata":       map[string]any{"campaign": "x"},
	}
	for _, f := range change {
		f(b)
	}
	return b
}

func with(name string, v any) func(map[string]any) {
	return func(b map[string]any) { b[name] = v }
}

func cardBody(number string) map[string]any {
	return map[string]any{"method": "card", "card": map[string]any{"number": number, "exp_month": 12, "exp_year": time.Now().Year() + 3, "cvc": "123"}}
}

// order makes an order through the door.
func (d *door) order(t testing.TB, change ...func(map[string]any)) models.OrderView {
	t.Helper()
	var o models.OrderView
	d.knock(t, ask{method: "POST", path: "/v1/orders", key: d.shop.TestKey, body: orderBody(change...)}).ok(t, 201).into(t, &o)
	return o
}

// listen serves on a real port and returns its address.
func (d *door) listen(t testing.TB) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- d.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = d.Shutdown(ctx) // the test may have done so already
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return "http://" + ln.Addr().String()
}

// count counts the rows of a table.
func (d *door) count(t testing.TB, table string) int {
	t.Helper()
	return storetest.Count(t, d.store, "SELECT COUNT(*) FROM "+table)
}

// routeAt is the row of routes.go for a method and a path of the router's.
func routeAt(method, path string) *route {
	for i := range routes {
		if routes[i].method == method && routerPath(routes[i].path) == path {
			return &routes[i]
		}
	}
	panic("api: " + method + " " + path + " is not in routes.go")
}

type fiberCtx = fiber.Ctx

// redisAt reports on the Redis at an address.
func redisAt(t testing.TB, address string) func(*Config) {
	t.Helper()
	r, err := jobs.ParseRedisURL(address)
	if err != nil {
		t.Fatal(err)
	}
	return func(c *Config) { c.Redis = r }
}
