package api

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/jobs/redistest"
	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

const testPassword = "correct horse battery"

// browser is a visitor with cookies.
type browser struct {
	d       *door
	cookies map[string]string
	header  map[string]string // beside the cookies, on every request
}

func (d *door) browser() *browser { return &browser{d: d, cookies: map[string]string{}} }

func (b *browser) send(t testing.TB, a ask) answer {
	t.Helper()
	header := map[string]string{}
	for _, h := range []map[string]string{b.header, a.header} {
		maps.Copy(header, h)
	}
	var pairs []string
	for name, value := range b.cookies {
		pairs = append(pairs, name+"="+value)
	}
	if len(pairs) > 0 {
		header["Cookie"] = strings.Join(pairs, "; ")
	}
	a.header = header
	got := b.d.knock(t, a)
	for _, c := range (&http.Response{Header: got.header}).Cookies() {
		if c.MaxAge < 0 || c.Value == "" {
			delete(b.cookies, c.Name)
			continue
		}
		b.cookies[c.Name] = c.Value
	}
	return got
}

func (b *browser) get(t testing.TB, path string) answer {
	t.Helper()
	return b.send(t, ask{method: "GET", path: path})
}

// post sends a form as a browser does that shows one of our pages.
func (b *browser) post(t testing.TB, path string, form url.Values) answer {
	t.Helper()
	return b.send(t, ask{method: "POST", path: path, body: form.Encode(), header: map[string]string{
		"Content-Type": "application/x-www-form-urlencoded", "Origin": storetest.PublicURL, "Sec-Fetch-Site": "same-origin",
	}})
}

var csrfField = regexp.MustCompile(`name="csrf" value="([^"]+)"`)

// csrf is the token of the first form on a page.
func csrf(t testing.TB, page answer) string {
	t.Helper()
	m := csrfField.FindSubmatch(page.body)
	if m == nil {
		t.Fatalf("no form in %d %s", page.status, page.body)
	}
	return string(m[1])
}

func (b *browser) signIn(t testing.TB, email, password string) answer {
	t.Helper()
	token := csrf(t, b.get(t, "/operator").ok(t, 200))
	return b.post(t, "/operator", url.Values{"csrf": {token}, "email": {email}, "password": {password}})
}

// signedIn is a browser with a session that was opened without the form, which costs less than the whole way.
func (d *door) signedIn(t testing.TB, role string) *browser {
	t.Helper()
	ctx, email := t.Context(), role+"@example.com"
	var err error
	var token string
	switch role {
	case "stranger":
		return d.browser()
	case models.RoleAdmin, models.RoleViewer:
		if _, err = d.store.CreateOperator(ctx, email, role, testPassword); err == nil {
			token, _, err = d.store.SignInOperator(ctx, email, testPassword)
		}
	case "staff":
		if _, err = d.store.CreateStaff(ctx, d.shop.ID, email, models.RoleOwner, testPassword); err == nil {
			token, _, err = d.store.SignInStaff(ctx, d.shop.ID, email, testPassword)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	b := d.browser()
	b.cookies[d.cookieName(sessionCookie)] = token
	return b
}

// withRedis gives a door a Redis of its own: a real one beside PostgreSQL, the in-process one beside SQLite, as they run. What
// is committed through the door's store is handed over to it.
func withRedis(t testing.TB, s *models.Store, change ...func(*Config)) (*door, *redistest.Redis) {
	t.Helper()
	open := redistest.Real
	if s.Embedded() {
		open = redistest.InProcess
	}
	r := open(t)
	if err := jobs.RegisterQueues(context.Background(), r.Client); err != nil {
		t.Fatal(err)
	}
	d := newDoor(t, s, append(change, func(c *Config) { c.Redis = r.Redis })...)
	p := jobs.NewPublisher(r.Client, d.Server.log)
	t.Cleanup(p.Close)
	s.OnCommit(p.Publish)
	return d, r
}
