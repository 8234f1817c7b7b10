package api

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/valyala/fasthttp/fasthttputil"

	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

// What changes the random requests: how many of them there are on each profile, and the seed that they follow from.
const (
	envRequests = "PURSER_TEST_REQUESTS"
	envSeed     = "PURSER_TEST_SEED"
)

// intruder sends random requests over connections of its own.
type intruder struct {
	*dice
	t       testing.TB
	door    *door
	ln      *fasthttputil.InmemoryListener
	conn    net.Conn
	reader  *bufio.Reader
	keys    []string
	cookies []string // of an admin, a viewer, staff
	visitor string   // the value of the visitor's cookie
}

// parcel is a request as it goes over the wire.
type parcel struct {
	method, target string
	header         [][2]string
	body           []byte
}

func (p *parcel) set(name, value string) {
	p.header = append(p.header, [2]string{name, strings.Map(func(r rune) rune {
		if r == '\r' || r == '\n' || r == 0 {
			return -1
		}
		return r
	}, value)})
}

func (p *parcel) bytes() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: purser.test\r\n", p.method, p.target)
	for _, h := range p.header {
		fmt.Fprintf(&b, "%s: %s\r\n", h[0], h[1])
	}
	fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n", len(p.body))
	b.Write(p.body)
	return b.Bytes()
}

// send returns the answer's status and body; 0 if the connection was closed instead, as it may be after what is no HTTP.
func (i *intruder) send(p *parcel) (status int, body []byte, err error) {
	if i.conn == nil {
		if i.conn, err = i.ln.Dial(); err != nil {
			return 0, nil, err
		}
		i.reader = bufio.NewReader(i.conn)
	}
	raw := p.bytes()
	written := make(chan struct{})
	go func(conn net.Conn) {
		defer close(written)
		_, _ = conn.Write(raw) // what was not taken shows in the answer
	}(i.conn)
	hangUp := func() {
		_ = i.conn.Close()
		i.conn = nil
	}
	r, err := http.ReadResponse(i.reader, &http.Request{Method: p.method})
	if err != nil {
		hangUp()
		<-written
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return 0, nil, nil
		}
		return 0, nil, fmt.Errorf("the answer is no HTTP: %w", err)
	}
	if body, err = io.ReadAll(r.Body); err != nil {
		return 0, nil, fmt.Errorf("the answer's body: %w", err)
	}
	if r.Close {
		hangUp()
	}
	<-written
	return r.StatusCode, body, nil
}

var paramShape = regexp.MustCompile(`\{[a-z]+\}`)

// kinds are the prefixes of the ids in each path.
var pathKinds = map[string]string{
	"/v1/orders/": "ord", "/v1/products/": "prd", "/v1/webhook-endpoints/": "whe", "/v1/deliveries/": "dlv", "/v1/events/": "evt", "/v1/coupons/": "cpn",
	"/v1/offers/": "ofr", "/v1/checkout-links/": "lnk", "/v1/payment-methods/": "pmt", "/buy/": "prd", "/basket/add/": "prd",
}

// path fills a pattern.
func (i *intruder) path(pattern string) string {
	out := pattern
	for prefix, kind := range pathKinds {
		if strings.HasPrefix(pattern, prefix) {
			out = strings.Replace(out, "{id}", i.known.of(i.dice, kind), 1)
		}
	}
	prefix, _, _ := strings.Cut(pattern, "{token}")
	slug := i.door.shop.Slug
	if i.chance(10) {
		slug = i.door.other.Slug
	}
	for name, value := range map[string]string{
		"{item}": i.known.of(i.dice, "itm"), "{token}": i.known.of(i.dice, prefix), "{slug}": slug, "{sku}": pick(i.dice, []string{"editor-pro", "viewer", "none"}),
		"{gateway}": pick(i.dice, []string{"stripe", "bank_transfer", "test"}), "{method}": i.known.of(i.dice, "pmt"),
	} {
		out = strings.ReplaceAll(out, name, value)
	}
	out = paramShape.ReplaceAllStringFunc(out, func(string) string { return escaped(i.text()) })
	return strings.ReplaceAll(out, "*", i.screen())
}

var screens = []string{
	"", "queues/email", "api/queues", "api/queues/Q", "api/queues/Q/pending_tasks", "api/queues/Q/active_tasks", "api/queues/Q/archived_tasks?page=0&size=9", "api/queues/Q/retry_tasks",
	"api/queues/Q/scheduled_tasks", "api/queues/Q/completed_tasks", "api/queues/Q/tasks/T", "api/queues/Q:pause", "api/queues/Q:resume", "api/queues/Q/archived_tasks/T:run", "api/queues/Q/archived_tasks:run_all",
	"api/queues/Q/pending_tasks/T:archive", "api/queues/Q/pending_tasks:archive_all", "api/queues/Q/archived_tasks:batch_run", "api/queues/Q/archived_tasks:batch_delete", "api/queues/Q/pending_tasks/T",
	"api/queue_stats", "api/servers", "api/scheduler_entries", "api/scheduler_entries/E/enqueue_events", "api/redis_info", "api/metrics", "static/x.js", "api/nothing",
}

func (i *intruder) screen() string {
	return strings.NewReplacer("Q", pick(i.dice, []string{"email", "webhooks", "fulfilment", "none", "%00", "a%2Fb"}), "T", pick(i.dice, []string{"nobody.0", escaped(i.text())}), "E", "x").
		Replace(pick(i.dice, screens))
}

// operation is a random request for an operation of the JSON API.
func (i *intruder) operation() *parcel {
	r := &routes[i.IntN(len(routes))]
	key := pick(i.dice, i.keys)
	if i.honest {
		key = pick(i.dice, i.keys[:5]) // the last is another merchant's
	}
	p := &parcel{method: r.method, target: i.path(r.path)}
	if q := i.query(operationOf(i.doc, r).Parameters); q != "" && (r.method == get || i.wrong(5)) {
		p.target += "?" + q
	}
	if r.method == post || r.method == patch || i.wrong(3) {
		p.body = i.dice.body(r)
		contentType := jsonType
		if r.id == "addPoolKeys" && i.chance(40) {
			contentType, p.body = "text/plain", []byte(i.text()+"\n"+i.text())
		}
		if i.wrong(4) {
			contentType = pick(i.dice, []string{"", "text/plain", "application/json; charset=latin1", "multipart/form-data; boundary=", "application/merge-patch+json", "/", i.text()})
		}
		if contentType != "" {
			p.set("Content-Type", contentType)
		}
	}
	if authorization := "Bearer " + key; i.wrong(4) {
		p.set("Authorization", i.text())
	} else {
		p.set("Authorization", authorization)
	}
	if r.method == post && i.chance(25) {
		p.set("Idempotency-Key", fmt.Sprint(i.IntN(300)))
		if i.wrong(50) {
			p.header[len(p.header)-1][1] = strings.TrimSpace(pick(i.dice, oddities[:70]))
		}
	}
	return p
}

// fields are the names of pages' form fields and of the parameters of links.
var fields = []string{
	"email", "first_name", "last_name", "type", "country", "company", "vat_number", "city", "zip", "address", "phone", "coupon", "method", "terms", "personal_data", "total", "currency", "quantity",
	"clear", "add", "ref", "utm_source", "locale", "mode", "note", "next", "password", "number", "expiry", "cvc", "attempt", "reason", "outcome", "refused", "part", "cursor", "live", "sent", "return_url",
}

func (i *intruder) form() url.Values {
	f := url.Values{}
	for range i.IntN(12) {
		name := pick(i.dice, fields)
		value := i.text()
		if known, ok := sensible[name]; ok && i.chance(70) {
			value = pick(i.dice, known)
		}
		f.Add(name, value)
	}
	if i.chance(60) {
		for name, value := range map[string]string{"email": "ada@example.com", "terms": "1", "personal_data": "1", "method": "card", "currency": "EUR", "total": "4900", "country": "GB", "expiry": "12/40", "cvc": "123", "texts": textsShown(&models.Settings{})} {
			f.Set(name, value)
		}
		f.Set("number", pick(i.dice, sensible["number"]))
		f.Set("attempt", fmt.Sprintf("%022d", i.IntN(1000)))
	}
	product := i.known.of(i.dice, "prd")
	f.Set("quantity."+product, pick(i.dice, []string{"1", "2", "0", "-1", "999999999999", i.text()}))
	f.Set("cart", i.known.of(i.dice, "cart"))
	f.Set("action", pick(i.dice, []string{"continue", "continue", "update", "coupon", "uncoupon", "remove:" + product, "accept:" + i.known.of(i.dice, "ofr"), "decline:" + i.known.of(i.dice, "ofr"), i.text()}))
	f.Set("outcome", pick(i.dice, []string{"succeed", "fail", i.text()}))
	f.Set("add", "editor-pro:2,viewer:"+i.text())
	return f
}

// page is a random request for a page.
func (i *intruder) page() *parcel {
	pg := &pages[i.IntN(len(pages))]
	p := &parcel{method: pg.method, target: i.path(pg.path)}
	if i.chance(90) {
		p.set("Accept", pick(i.dice, []string{"text/html", "*/*", "application/json", i.text()}))
	}
	cookies := []string{}
	if i.chance(90) {
		cookies = append(cookies, i.door.cookieName(visitorCookie)+"="+i.visitor, i.door.cookieName(doorCookie)+"="+i.visitor)
	}
	session := ""
	if i.chance(40) {
		session = pick(i.dice, i.cookies)
		cookies = append(cookies, i.door.cookieName(sessionCookie)+"="+session)
	}
	if i.chance(10) {
		cookies = append(cookies, i.door.cookieName(localeCookie)+"="+i.text())
	}
	p.set("Cookie", strings.Join(cookies, "; "))
	form := i.form()
	switch {
	case pg.method == get && i.chance(60):
		if !strings.Contains(p.target, "?") {
			p.target += "?" + form.Encode()
		}
	case pg.method == post:
		p.set("Origin", storetest.PublicURL)
		p.set("Sec-Fetch-Site", pick(i.dice, []string{"same-origin", "same-origin", "same-origin", "none", "cross-site"}))
		form.Set("csrf", csrfToken(i.visitor))
		if strings.HasPrefix(pg.path, "/operator/") {
			form.Set("csrf", csrfToken(session))
		}
		p.set("Content-Type", "application/x-www-form-urlencoded")
		p.body = i.spoiled([]byte(form.Encode()), 10)
		if strings.HasPrefix(pg.path, "/gateway/") || strings.HasPrefix(pg.path, "/asynqmon") || strings.HasPrefix(pg.path, "/demo") {
			i.callback(p)
		}
	}
	return p
}

// callback makes a request one that a gateway could send; some of them are signed as they should be.
func (i *intruder) callback(p *parcel) {
	if strings.HasSuffix(p.target, "callback") || strings.Contains(p.target, "/callback/") {
		p.body, _ = json.Marshal(map[string]any{
			"id": i.text(), "reference": i.text(), "status": "succeeded", "amount": 4900, "currency": "EUR", // as the test gateway has it
			"ID": i.text(), "Subject": pick(i.dice, []string{"charge", "refund", i.text()}), "PaymentID": i.known.of(i.dice, "pay"),
			"Outcome": map[string]any{"Status": pick(i.dice, []string{"succeeded", "failed", "processing", i.text()}), "Amount": pick(i.dice, numbers), "Currency": i.text(), "Reference": i.text()},
		})
		p.set(cashierHeader, pick(i.dice, []string{"whsec_SecretSecretSecret9876", i.text()}))
		now := fmt.Sprint(time.Now().Unix())
		m := hmac.New(sha256.New, bytes.Repeat([]byte{1}, 32))
		_, _ = fmt.Fprintf(m, "%s.%s", now, p.body)
		p.set("Purser-Test-Signature", "t="+now+",v1="+hex.EncodeToString(m.Sum(nil)))
		return
	}
	if strings.HasPrefix(p.target, "/asynqmon") {
		p.body, _ = json.Marshal(map[string]any{"task_ids": []any{"nobody.0", i.anything(1)}})
	}
	p.body = i.spoiled(p.body, 30)
}

// next is any request.
func (i *intruder) next() *parcel {
	var p *parcel
	i.honest = i.chance(50)
	switch n := i.IntN(100); {
	case n < 62:
		p = i.operation()
	case n < 96:
		p = i.page()
	default:
		p = &parcel{method: get, target: "/" + pick(i.dice, []string{escaped(i.text()), "v1/" + escaped(i.text()), "..//", "%2e%2e/", "v1/orders/%", strings.Repeat("a/", 500), i.text()})}
	}
	if i.wrong(3) {
		p.method = pick(i.dice, []string{get, post, patch, remove, "PUT", "HEAD", "OPTIONS", "TRACE", "PURGE", "get", "M-SEARCH"})
	}
	if i.wrong(3) {
		name := pick(i.dice, []string{"Accept", "Accept-Language", "Accept-Encoding", "Range", "If-None-Match", "X-Request-Id", "X-Forwarded-Proto", "Content-Encoding", "HX-Request", "Cookie", "X-HTTP-Method-Override", "Via"})
		p.set(name, i.text())
	}
	if i.wrong(1) {
		p.set("X-Long", strings.Repeat("x", i.IntN(20_000)))
	}
	p.set("X-Forwarded-For", fmt.Sprintf("10.%d.%d.%d", i.IntN(256), i.IntN(256), i.IntN(256))) // limits are another test's
	p.target = strings.Map(func(r rune) rune {
		if r == '\r' || r == '\n' || r == ' ' {
			return '+'
		}
		return r
	}, p.target)
	return p
}

// TestRandomRequests sends what nobody would think of, and what customers do, in any order: no answer may be a 500, and afterwards the
// database must be sound. A failure names its seed.
func TestRandomRequests(t *testing.T) {
	requests, seed := 3000, uint64(20260101)
	for name, set := range map[string]func(uint64){envRequests: func(n uint64) { requests = int(n) }, envSeed: func(n uint64) { seed = n }} {
		if v := os.Getenv(name); v != "" {
			n, err := strconv.ParseUint(v, 10, 32)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			set(n)
		}
	}
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		pages := &cashierPages{paid: map[string]bool{}}
		d, _ := withRedis(t, s, loopbackOpen, func(c *Config) {
			c.Demo, c.Mailbox, c.OpenGateway = true, true, pages.open
			c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/32")}
		})
		storetest.Product(t, s, d.shop.Test, "viewer", models.MethodTemplate)
		storetest.Product(t, s, d.other.Test, "editor-pro", models.MethodPool)
		known := &harvest{ids: map[string][]string{}}
		for _, sc := range []models.Scope{d.shop.Test, d.shop.Live} {
			e := exhibitIn(t, &catalogue{d}, sc)
			for _, r := range routes {
				if r.method == get {
					known.reap(e.knock(t, e.ask(t, &r, e.key)).body)
				}
			}
		}
		(&catalogue{d}).licensed(t, d.shop.Test, "EDIT-1")
		d.paymentMethod(t, d.shop.TestKey, "card", "stripe", stripeTestConfig)
		var sessions []string
		for _, role := range []string{"staff", models.RoleViewer, models.RoleAdmin} {
			sessions = append(sessions, d.signedIn(t, role).cookies[d.cookieName(sessionCookie)])
		}
		ln := fasthttputil.NewInmemoryListener()
		go func() { _ = d.Serve(ln) }() // the door's own shutdown ends it

		const intruders = 4
		var wg sync.WaitGroup
		var mu sync.Mutex
		seen := map[int]int{}
		for n := range intruders {
			i := &intruder{
				dice: &dice{Rand: rand.New(rand.NewPCG(seed, uint64(n))), doc: d.api.OpenAPI(), known: known}, t: t, door: d, ln: ln,
				keys: []string{d.shop.TestKey, d.shop.TestKey, d.shop.TestKey, d.shop.TestKey, d.shop.LiveKey, d.other.TestKey}, cookies: sessions,
				visitor: strings.Repeat(string(rune('A'+n)), 43),
			}
			wg.Go(func() {
				statuses := i.run(requests/intruders, seed)
				mu.Lock()
				defer mu.Unlock()
				for status, n := range statuses {
					seen[status] += n
				}
			})
		}
		wg.Wait()
		t.Logf("seed %d: %d requests, answered %v", seed, requests, seen)
		if log := d.log.String(); strings.Contains(log, "level=ERROR") {
			t.Errorf("the log has errors: %.3000s", log[strings.Index(log, "level=ERROR"):])
		}
		report, err := s.Doctor(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range report.Findings {
			if f.Invariant != 5 { // no scheduler looks after the alarms
				t.Errorf("the doctor finds (%d) %s: %q", f.Invariant, f.Problem, f.IDs)
			}
		}
		for _, status := range []int{200, 201, 303, 400, 401, 404, 405, 409, 415, 422} {
			if seen[status] == 0 {
				t.Errorf("nothing was answered %d: the requests are not as random as they should be", status)
			}
		}
	})
}

// restock brings back what random requests have made away with, because a shop that sells nothing is soon dull.
func (i *intruder) restock() {
	storetest.Exec(i.t, i.door.store, `UPDATE merchants SET live = false WHERE id = $1`, i.door.shop.ID)
	storetest.Exec(i.t, i.door.store, `UPDATE payment_methods SET deleted_at = created_at WHERE deleted_at IS NULL AND id NOT IN (SELECT id FROM payment_methods ORDER BY id DESC LIMIT 3)`)
	for _, body := range []string{
		`{"sku":"editor-pro","name":"Editor Pro","license_method":"template","prices":[{"currency":"EUR","amount":4900},{"currency":"JPY","amount":7800}]}`,
		`{"sku":"viewer","name":"Viewer","license_method":"pool","prices":[{"currency":"EUR","amount":900}]}`,
	} {
		p := &parcel{method: post, target: "/v1/products", body: []byte(body)}
		p.set("Authorization", "Bearer "+i.door.shop.TestKey)
		p.set("Content-Type", jsonType)
		if status, _, err := i.send(p); err != nil || status != 201 && status != 409 && status != 403 { // there already, or the shop has just gone live again
			i.t.Errorf("restock: %d, %v", status, err)
		}
	}
}

// run sends so many requests and counts the answers by status.
func (i *intruder) run(requests int, seed uint64) map[int]int {
	seen := map[int]int{}
	for n := range requests {
		if n%100 == 0 {
			i.restock()
		}
		p := i.next()
		status, body, err := i.send(p)
		seen[status]++
		switch {
		case err != nil:
			i.t.Errorf("seed %d, request %d: %v\n%q", seed, n, err, p.bytes())
			return seen
		case status >= 500:
			i.t.Errorf("seed %d, request %d: %d %.1000s\n%q", seed, n, status, body, p.bytes())
			if i.t.Failed() && seen[500] > 5 {
				return seen
			}
		case bytes.Contains(body, []byte("goroutine ")) || bytes.Contains(body, []byte("SQLSTATE")):
			i.t.Errorf("seed %d, request %d: tells too much: %.1000s\n%q", seed, n, body, p.bytes())
		}
		if status < 300 {
			i.known.reap(body)
		}
	}
	if i.conn != nil {
		_ = i.conn.Close()
	}
	return seen
}
