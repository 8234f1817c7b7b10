package api

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

// A pageRow is what each kind of visitor is answered at an address. What no row says of a page is 404 for everybody.
type pageRow struct {
	method, path                   string // of the table of pages, with the names in braces
	at                             string // another address that the page answers; empty for path
	stranger, staff, viewer, admin int
}

// open is a row of a page that is the same for everybody.
func open(method, path string, status int, at ...string) pageRow {
	return pageRow{method, path, strings.Join(at, ""), status, status, status, status}
}

// pageRows has at least one row for each page of routes.go, without the demo.
var pageRows = []pageRow{
	open(get, "/healthz", 200), open(get, "/readyz", 200), open(get, "/openapi.json", 200), open(get, "/docs", 200), open(get, "/", 404),
	open(get, "/assets/{file}", 200), open(get, "/assets/{file}", 404, "/assets/nothing.css"),
	open(get, "/assets/brand/{file}", 200), open(get, "/assets/brand/{file}", 404, "/assets/brand/0b6e4f.css"),
	open(post, "/gateway/test/callback", 400), // without a signature
	open(post, "/gateway/{gateway}/callback/{method}", 400), open(post, "/gateway/{gateway}/callback/{method}", 404, "/gateway/stripe/callback/pmt_1"),
	// Whoever has an address with a token may open it; to everybody else it does not exist.
	open(get, "/gateway/test/{token}", 200), open(get, "/gateway/test/{token}", 404, "/gateway/test/{wrong}"),
	open(post, "/gateway/test/{token}", 422), open(post, "/gateway/test/{token}", 404, "/gateway/test/{wrong}"),
	open(get, "/buy/{id}", 303), open(get, "/buy/{id}", 404, "/buy/prd_1"), open(get, "/buy/{slug}/{sku}", 303), open(get, "/buy/{slug}/{sku}", 404, "/buy/{slug}/none"),
	open(get, "/basket/add/{id}", 303), open(get, "/link/{token}", 303), open(get, "/link/{token}", 404, "/link/{wrong}"),
	open(get, "/checkout/{slug}", 200), open(get, "/checkout/{slug}", 404, "/checkout/nobody"), open(post, "/checkout/{slug}", 403), // without the form's token
	open(get, "/pay/{token}", 200), open(get, "/pay/{token}", 404, "/pay/{wrong}"), open(post, "/pay/{token}", 403), open(post, "/pay/{token}", 404, "/pay/{wrong}"),
	open(get, "/pay/{token}/qr.png", 404), open(get, "/pay/{token}/qr.png", 404, "/pay/{wrong}/qr.png"), // it is paid by card
	open(get, "/order/{token}", 200), open(get, "/order/{token}", 404, "/order/{wrong}"), open(post, "/order/{token}", 403), open(post, "/order/{token}", 404, "/order/{wrong}"),
	open(get, "/order/{token}/receipt.pdf", 404), open(get, "/order/{token}/receipt.pdf", 404, "/order/{wrong}/receipt.pdf"), // it is not paid
	open(get, "/lost/{slug}", 200), open(post, "/lost/{slug}", 403), open(get, "/lost/{slug}", 404, "/lost/nobody"),
	{get, "/operator", "", 200, 403, 200, 200},
	open(post, "/operator", 403),                                // without the door's token
	{post, "/operator/sign-out", "", 303, 403, 403, 403},        // without the session's token, whoever has one
	{post, "/operator/jobs/{id}/retry", "", 401, 403, 403, 403}, // an admin without the token
	{get, "/asynqmon", "", 303, 403, 200, 200},
	{"HEAD", "/asynqmon", "", 303, 403, 200, 200},
	{get, "/asynqmon/*", "/asynqmon/", 303, 403, 200, 200},
	{get, "/asynqmon/*", "/asynqmon/queues/email", 303, 403, 200, 200},
	{get, "/asynqmon/*", "/asynqmon/api/queues", 401, 403, 200, 200},
	{get, "/asynqmon/*", "/asynqmon/static/../api/queues", 401, 403, 200, 200},
	{get, "/asynqmon/*", "/asynqmon/static/js/main.5adda2da.chunk.js", 401, 403, 200, 200},
	{post, "/asynqmon/*", "/asynqmon/api/queues/email:pause", 401, 403, 403, 204},
	{post, "/asynqmon/*", "/asynqmon/api/queues/email:resume", 401, 403, 403, 204},
	{post, "/asynqmon/*", "/asynqmon/api/queues/email/active_tasks:cancel_all", 401, 403, 403, 204},
	{post, "/asynqmon/*", "/asynqmon/api/queues/email/archived_tasks:run_all", 401, 403, 403, 200},
	{remove, "/asynqmon/*", "/asynqmon/api/queues/email/archived_tasks:delete_all", 401, 403, 403, 200},
	{remove, "/asynqmon/*", "/asynqmon/api/queues/email", 401, 403, 403, 204},
	{"PUT", "/asynqmon/*", "/asynqmon/api/queues/email", 405, 405, 405, 405},
	{get, "/mailbox", "", 303, 403, 200, 200},
	{get, "/mailbox/{id}", "", 303, 403, 404, 404},
	{get, "/mailbox/{id}/html", "", 303, 403, 404, 404},
	open(get, "/demo", 404), open(get, "/demo/terms", 404), open(get, "/demo/privacy", 404), open(get, "/demo/logo.svg", 404), open(get, "/demo/webhooks", 404),
	open(post, "/demo/webhooks", 404),
}

// demoRows are the pages that the demo opens. Those of operators stay theirs.
var demoRows = []pageRow{
	open(get, "/", 303), open(get, "/demo", 200), open(get, "/demo/terms", 200), open(get, "/demo/privacy", 200), open(get, "/demo/logo.svg", 200), open(get, "/demo/webhooks", 200),
	open(post, "/demo/webhooks", 401), // without a signature
	open(get, "/mailbox", 200), open(get, "/mailbox/{id}", 404), open(get, "/mailbox/{id}/html", 404),
	{get, "/asynqmon/*", "/asynqmon/api/queues", 401, 403, 200, 200}, {post, "/asynqmon/*", "/asynqmon/api/queues/email:pause", 401, 403, 403, 204},
	{post, "/operator/jobs/{id}/retry", "", 401, 403, 403, 403}, {get, "/operator", "", 200, 403, 200, 200},
}

func TestEveryPageHasARow(t *testing.T) {
	t.Parallel()
	for _, p := range pages {
		if !slices.ContainsFunc(pageRows, func(r pageRow) bool { return r.method == p.method && r.path == p.path }) {
			t.Errorf("%s %s is for %s, and nobody has tried", p.method, p.path, p.who)
		}
		if demo := p.who == visitors || p.who == mailReaders; demo && !slices.ContainsFunc(demoRows, func(r pageRow) bool { return r.method == p.method && r.path == p.path }) {
			t.Errorf("%s %s is for %s, and nobody has tried it with the demo", p.method, p.path, p.who)
		}
	}
	for _, r := range slices.Concat(pageRows, demoRows) {
		known := slices.ContainsFunc(pages, func(p page) bool {
			return p.path == r.path && (p.method == r.method || r.method == "HEAD" || r.method == "PUT")
		})
		if !known {
			t.Errorf("the row of %s %s is of no page", r.method, r.path)
		}
	}
}

// addressOf fills an address with the exhibit's own names: one for the whole path of the page's, or those in braces.
func (e *exhibit) addressOf(t testing.TB, r pageRow, names map[string]string) string {
	t.Helper()
	path := r.at
	if path == "" {
		path = r.path
		if whole, ok := names[path]; ok {
			return whole
		}
	}
	prefix, _, _ := strings.Cut(r.path, "{token}")
	token := strings.TrimPrefix(names[prefix+"{token}"], prefix)
	path = strings.NewReplacer(
		"{token}", token, "{wrong}", wrongToken(token), "{id}", "x", "{slug}", e.shop.Slug, "{sku}", "editor-pro", "{gateway}", "bank_transfer", "{method}", e.method,
	).Replace(path)
	if strings.ContainsAny(path, "{*") || strings.Contains(r.path, "{token}") && token == "" {
		t.Fatalf("the exhibit has nothing for %s", path)
	}
	return path
}

// wrongToken is a token but for one character in its middle.
func wrongToken(token string) string {
	b := []byte(token + "x")
	if i := len(b) / 2; b[i] == 'a' {
		b[i] = 'b'
	} else {
		b[i] = 'a'
	}
	return string(b[:len(b)-1])
}

// namesOf are the exhibit's own words for the names in addresses.
func (e *exhibit) namesOf(t testing.TB) map[string]string {
	t.Helper()
	last := func(address string) string { return address[strings.LastIndexByte(address, '/')+1:] }
	var o models.OrderView
	e.knock(t, ask{method: get, path: "/v1/orders/" + e.order, key: e.key}).ok(t, 200).into(t, &o)
	var p models.PaymentView
	e.post(t, "/v1/orders/"+e.order+"/payments", cardBody("4000002500003155"), &p)
	var link struct{ URL string }
	e.knock(t, ask{method: get, path: "/v1/checkout-links/" + e.link, key: e.key}).ok(t, 200).into(t, &link)
	return map[string]string{
		"/pay/{token}": "/pay/" + last(o.PaymentURL), "/order/{token}": "/order/" + last(o.OrderURL), "/gateway/test/{token}": "/gateway/test/" + last(*p.RedirectURL),
		"/link/{token}": "/link/" + last(link.URL), "/buy/{id}": "/buy/" + e.door.product.ID, "/basket/add/{id}": "/basket/add/" + e.door.product.ID,
		"/assets/{file}": assets["purser.css"].url, "/assets/brand/{file}": brandSheetURL("#0b6e4f"),
	}
}

// TestWhoMayOpenPages asks for every page as everybody.
func TestWhoMayOpenPages(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d, _ := withRedis(t, s, loopbackOpen, func(c *Config) { c.Mailbox = true })
		storetest.Product(t, s, d.shop.Test, "viewer", models.MethodTemplate)
		e := exhibitOf(t, &catalogue{d})
		names := e.namesOf(t)
		if _, _, _, err := s.CreateMerchant(t.Context(), models.MerchantInput{Name: "Nordlicht", Email: "demo@example.com", Slug: DemoSlug}); err != nil {
			t.Fatal(err)
		}
		for _, who := range []string{"stranger", "staff", models.RoleViewer, models.RoleAdmin} {
			b := d.signedIn(t, who)
			for _, demo := range []bool{false, true} {
				d.Demo = demo
				rows := pageRows
				if demo {
					rows = demoRows
				}
				for _, r := range rows {
					e.opens(t, b, who, r, names)
				}
			}
		}
	})
}

// opens asks for one address as somebody, and again with an API key, which is of no use on pages.
func (e *exhibit) opens(t testing.TB, b *browser, who string, r pageRow, names map[string]string) {
	t.Helper()
	e.allowances = allowances{} // how often somebody may ask is another test's
	want := map[string]int{"stranger": r.stranger, "staff": r.staff, models.RoleViewer: r.viewer, models.RoleAdmin: r.admin}[who]
	a := ask{method: r.method, path: e.addressOf(t, r, names), header: maps.Clone(screenHeader)}
	kept := maps.Clone(b.cookies)
	for _, key := range []string{"", e.shop.LiveKey} {
		if a.key = key; key != "" && r.method != get {
			return
		}
		got := b.send(t, a)
		b.cookies = maps.Clone(kept)
		if got.status != want {
			t.Errorf("%s %s as %s, demo %v: %d %.2000s, want %d", r.method, a.path, who, e.Demo, got.status, got.body, want)
		}
		guarded := pages[slices.IndexFunc(pages, func(p page) bool { return p.path == r.path })].who != anyone
		if to := got.header.Get("Location"); got.status == 303 && guarded && !strings.HasPrefix(to, "/operator?next=%2F") {
			t.Errorf("%s as %s: sent to %q", r.path, who, to)
		}
		if got.header.Get("Cache-Control") != "no-store" && got.status >= 300 {
			t.Errorf("%s as %s: Cache-Control %q", r.path, who, got.header.Get("Cache-Control"))
		}
		if got.status >= 400 && strings.Contains(string(got.body), e.order) {
			t.Errorf("%s as %s: the refusal tells of the order: %s", r.path, who, got.body)
		}
	}
}
