package api

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp/fasthttputil"

	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

// fuzzed is a shop with everything in it, behind a door that takes any bytes.
type fuzzed struct {
	*exhibit
	ln      *fasthttputil.InmemoryListener
	token   string // of an order's pages
	session string // an admin's
	visitor string
	asked   int
}

func newFuzzed(f *testing.F) *fuzzed {
	f.Helper()
	d, _ := withRedis(f, storetest.Open(f, "sqlite"), loopbackOpen, func(c *Config) {
		c.Mailbox, c.TrustedProxies = true, []netip.Prefix{netip.MustParsePrefix("0.0.0.0/32")}
	})
	storetest.Product(f, d.store, d.shop.Test, "viewer", models.MethodTemplate)
	z := &fuzzed{exhibit: exhibitOf(f, &catalogue{d}), ln: fasthttputil.NewInmemoryListener(), visitor: strings.Repeat("A", 43)}
	o, err := d.store.Order(f.Context(), z.scope, z.order)
	if err != nil {
		f.Fatal(err)
	}
	z.token = o.OrderURL[strings.LastIndexByte(o.OrderURL, '/')+1:]
	z.session = d.signedIn(f, models.RoleAdmin).cookies[d.cookieName(sessionCookie)]
	go func() { _ = d.Serve(z.ln) }() // the door's own shutdown ends it
	return z
}

// send sends a request as it is, but for what would end it before its time, and fails the test for a 500.
func (z *fuzzed) send(t *testing.T, p *parcel) (int, []byte) {
	t.Helper()
	z.asked++
	p.set("X-Forwarded-For", fmt.Sprintf("10.%d.%d.%d", z.asked>>16&255, z.asked>>8&255, z.asked&255)) // limits are another test's
	p.target = strings.Map(func(r rune) rune {
		if r <= ' ' || r == 0x7f {
			return '+'
		}
		return r
	}, p.target)
	i := &intruder{t: t, door: z.door, ln: z.ln}
	status, body, err := i.send(p)
	if i.conn != nil {
		_ = i.conn.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	if status >= 500 {
		t.Fatalf("%s %s: %d %s", p.method, p.target, status, body)
	}
	return status, body
}

// Any body, query and header of any operation gets an answer that is no 500; refusals are problems, a request that is repeated with its
// idempotency key is answered alike, and what a change answers is what is there.
func FuzzOperation(f *testing.F) {
	z := newFuzzed(f)
	for i := range routes {
		r := &routes[i]
		f.Add(uint8(i), "limit=2&cursor=b3JkXzA", "", jsonType, []byte(validBodies[r.id]))
		if r.method == post {
			f.Add(uint8(i), "", "key-1", "application/json; charset=utf-8", []byte(validBodies[r.id]))
		}
		if r.method == patch {
			f.Add(uint8(i), "", "", jsonType, []byte(strings.Replace(validBodies[r.id], `:"`, `:null,"x":"`, 1)))
		}
		if r.id == "addPoolKeys" {
			f.Add(uint8(i), "", "", plainText, []byte("KEY-1\r\nKEY-2\n\ufeffKEY-1"))
		}
	}
	f.Fuzz(func(t *testing.T, n uint8, query, key, contentType string, body []byte) {
		r := &routes[int(n)%len(routes)]
		ask := func(method string, body []byte) (int, []byte) {
			p := &parcel{method: method, target: z.fill(t, r), body: body}
			if query != "" && method == r.method {
				p.target += "?" + query
			}
			p.set("Authorization", "Bearer "+z.key)
			p.set("Content-Type", contentType)
			if key != "" && r.method == post {
				p.set(idempotencyHeader, key)
			}
			return z.send(t, p)
		}
		status, answer := ask(r.method, body)
		var problem Problem
		if status >= 400 && (json.Unmarshal(answer, &problem) != nil || problem.Status != status || problem.Code == "" || problem.RequestID == "") {
			t.Fatalf("%s is refused with %d %s", r.id, status, answer)
		}
		switch {
		case r.method == post && key != "" && status != 0:
			if again, other := ask(r.method, body); again != status {
				t.Fatalf("%s: first %d %s, again %d %s", r.id, status, answer, again, other)
			}
		case r.method == patch && status == 200:
			query = ""
			if now, is := ask(get, nil); now != 200 || !bytes.Equal(is, answer) {
				t.Fatalf("%s answers %s, and then there is %d %s", r.id, answer, now, is)
			}
		}
	})
}

// Any path, query, cookie and form of any page gets an answer that is no 500.
func FuzzPage(f *testing.F) {
	z := newFuzzed(f)
	buying := url.Values{
		"email": {"ada@example.com"}, "terms": {"1"}, "personal_data": {"1"}, "method": {"card"}, "currency": {"EUR"}, "country": {"GB"}, "number": {"4242424242424242"}, "expiry": {"12/40"}, "cvc": {"123"},
		"attempt": {strings.Repeat("0", 22)}, "action": {"continue"},
	}.Encode()
	for i := range pages {
		for signed := range 2 {
			f.Add(uint8(i), signed == 1, "", "quantity=2&currency=EUR&coupon=X&locale=de&add=viewer:1,x:y", "purser_locale=de", []byte(buying))
		}
		f.Add(uint8(i), true, "%00..%2f\xff", "next=//x.example/&part=html&cursor=%", "purser_visitor=; purser_session=pss_; a=\"", []byte(`{"reference":"test.succeeds.1.1EUR.pay_1","status":"succeeded","amount":1,"currency":"EUR"}`))
	}
	f.Fuzz(func(t *testing.T, n uint8, signed bool, name, query, cookies string, form []byte) {
		pg := &pages[int(n)%len(pages)]
		known := map[string]string{"{slug}": z.shop.Slug, "{sku}": "editor-pro", "{token}": z.token, "{gateway}": "bank_transfer", "{method}": z.method, "{file}": "pages.css", "*": "api/queues"}
		path := pg.path
		for part, value := range known {
			if name != "" {
				value = name
			}
			path = strings.ReplaceAll(path, part, value)
		}
		if name == "" {
			name = z.product
		}
		path = strings.ReplaceAll(path, "{id}", name)
		p := &parcel{method: pg.method, target: path + "?" + query, body: form}
		secret := z.visitor
		if strings.HasPrefix(pg.path, "/operator/") {
			secret = z.session
		}
		if pg.method == post {
			p.set("Content-Type", "application/x-www-form-urlencoded")
			p.set("Origin", storetest.PublicURL)
			p.set("Sec-Fetch-Site", "same-origin")
			switch {
			case strings.Contains(pg.path, "/callback"):
				now := fmt.Sprint(time.Now().Unix())
				m := hmac.New(sha256.New, bytes.Repeat([]byte{1}, 32))
				_, _ = fmt.Fprintf(m, "%s.%s", now, form)
				p.set("Purser-Test-Signature", "t="+now+",v1="+hex.EncodeToString(m.Sum(nil)))
			case !strings.HasPrefix(pg.path, "/asynqmon"):
				p.body = append(bytes.Clone(form), "&csrf="+csrfToken(secret)...)
			}
		}
		all := []string{cookies, z.cookieName(visitorCookie) + "=" + z.visitor, z.cookieName(doorCookie) + "=" + z.visitor}
		if signed {
			all = append(all, z.cookieName(sessionCookie)+"="+z.session)
		}
		p.set("Cookie", strings.Join(all, "; "))
		p.set("Accept", "text/html")
		if pg.path == "/operator/sign-out" && signed {
			return // there is only one session
		}
		z.send(t, p)
	})
}

// Wherever a sign-in leads is on this site.
func FuzzLanding(f *testing.F) {
	for _, seed := range []string{"/operator", "/asynqmon/queues/email?status=archived", "//x.example/operator", "/operator/../../x", "/operator\\@x.example", "https://x.example/operator", "/mailbox/%0d%0aSet-Cookie:a=b", "/docs/\n", "/operator//x.example"} {
		f.Add(seed)
	}
	here, err := url.Parse("https://purser.test/operator")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, next string) {
		to := landing(next)
		u, err := here.Parse(to)
		if err != nil || u.Scheme != "https" || u.Host != "purser.test" || u.User != nil || !strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") || strings.ContainsAny(to, "\r\n\x00\\") {
			t.Fatalf("%q leads to %q: %v", next, to, err)
		}
	})
}

// The bodies of both uploads of licence keys are read to the same end, and no error repeats a key.
func FuzzPoolKeys(f *testing.F) {
	f.Add([]byte("SECRET-KEY-1\nSECRET-KEY-1\r\n  SECRET-KEY-2 \n"))
	f.Add([]byte(`{"keys":["SECRET-KEY-1","SECRET-KEY-1"]}`))
	f.Add([]byte(`{"keys":["SECRET-KEY-1",1,null,{}]}`))
	f.Add([]byte("SECRET-KEY-1\x00\xff"))
	z := newFuzzed(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, read := range []func([]byte) ([]string, int, error){textKeys, z.jsonKeys} {
			keys, repeated, err := read(bytes.Clone(body))
			if err != nil {
				if bytes.Contains(body, []byte("SECRET-KEY")) && strings.Contains(err.Error(), "SECRET-KEY") {
					t.Fatalf("the error tells: %v", err)
				}
				continue
			}
			if len(keys) == 0 || len(keys) > models.MaxPoolUpload || repeated < 0 {
				t.Fatalf("%q has %d keys, %d of them twice", body, len(keys), repeated)
			}
		}
	})
}
