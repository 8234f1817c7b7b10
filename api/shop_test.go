package api

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

// withTryPages adds pages of the shop that tests need to a door.
func withTryPages(d *door) {
	try := func(path string, do func(c *fiber.Ctx, sh shop) error) {
		d.add(get, path, d.enter(path, requestTimeout, nil), func(c *fiber.Ctx) error {
			m, err := d.store.Merchant(c.UserContext(), d.shop.ID)
			if err != nil {
				return err
			}
			return do(c, d.shopOf(c, m, c.Get("X-Preferred")))
		})
	}
	try("/try", func(c *fiber.Ctx, sh shop) error { return d.shopMessage(c, 200, sh, "common.not_found") })
	try("/try/form", func(c *fiber.Ctx, sh shop) error {
		return c.SendString(fmt.Sprintf(`name="csrf" value="%s" %s`, shopView{shop: sh, s: d.Server, c: c}.CSRF(), d.visitor(c)))
	})
	twice := &allowance{2, time.Minute}
	try("/try/limit", func(c *fiber.Ctx, sh shop) error {
		if err := d.allow(c, twice); err != nil {
			return err
		}
		return c.SendString("ok")
	})
	try("/try/error", func(c *fiber.Ctx, sh shop) error { return errors.New("secret reason") })
	try("/try/panic", func(c *fiber.Ctx, sh shop) error { panic("secret reason") })
	d.add(post, "/try/form", d.enter("/try/form", requestTimeout, nil), d.readBody, func(c *fiber.Ctx) error {
		form, err := d.checkCSRF(c)
		if err != nil {
			return err
		}
		return c.SendString("hello " + form.Get("name"))
	})
}

func (d *door) settings(t *testing.T, patch models.SettingsPatch) {
	t.Helper()
	if _, err := d.store.UpdateSettings(t.Context(), d.shop.Live, patch); err != nil {
		t.Fatal(err)
	}
}

func TestShopPagesLookLikeTheirMerchant(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s)
		withTryPages(d)
		plain := d.browser().get(t, "/try").ok(t, 200)
		for _, want := range []string{
			`<html lang="en">`, "TEST MODE", `<a class="skip" href="#main">`, `<main id="main"`, "<header>", "<footer", `name="viewport"`, `content="noindex"`,
		} {
			if !bytes.Contains(plain.body, []byte(want)) {
				t.Errorf("no %s in %s", want, plain.body)
			}
		}
		merchant, err := s.Merchant(t.Context(), d.shop.ID)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(plain.body, []byte(`href="mailto:`+merchant.Email+`"`)) || bytes.Contains(plain.body, []byte("/assets/brand/")) || bytes.Contains(plain.body, []byte("<img")) {
			t.Errorf("a merchant without settings: %s", plain.body)
		}
		if len(plain.header.Values("Set-Cookie")) > 0 {
			t.Errorf("a page without a form sets %v", plain.header.Values("Set-Cookie"))
		}

		d.settings(t, models.SettingsPatch{
			Live: models.Some(true), SupportEmail: models.Some("help@shop.example"), SupportURL: models.Some("https://shop.example/help"),
			Branding: models.Some(models.Branding{
				Color: "#FFCC00", LogoURL: "https://cdn.shop.example/logo.svg", TermsURL: "https://shop.example/terms", PrivacyURL: "https://shop.example/privacy",
			}),
		})
		branded := d.browser().get(t, "/try").ok(t, 200)
		for _, want := range []string{
			`src="https://cdn.shop.example/logo.svg"`, `href="mailto:help@shop.example"`, `href="https://shop.example/help"`, `href="https://shop.example/terms"`, `href="https://shop.example/privacy"`,
		} {
			if !bytes.Contains(branded.body, []byte(want)) {
				t.Errorf("no %s in %s", want, branded.body)
			}
		}
		if bytes.Contains(branded.body, []byte("TEST MODE")) || bytes.Contains(branded.body, []byte("test-mode")) {
			t.Error("a live page says that it is in test mode")
		}
		if policy := branded.header.Get("Content-Security-Policy"); !strings.Contains(policy, "img-src 'self' data: https://cdn.shop.example;") {
			t.Errorf("policy %s", policy)
		}
		sheet := regexp.MustCompile(`/assets/brand/ffcc00\.[0-9a-f]{12}\.css`).Find(branded.body)
		css := d.browser().get(t, string(sheet)).ok(t, 200)
		if ct := css.header.Get("Content-Type"); ct != "text/css; charset=utf-8" || !bytes.Contains(css.body, []byte("--brand:#ffcc00;--on-brand:#000000")) {
			t.Errorf("%s: %s", ct, css.body)
		}
		if cached := css.header.Get("Cache-Control"); cached != "public, max-age=31536000, immutable" {
			t.Errorf("Cache-Control %s", cached)
		}
		for _, path := range []string{"/assets/brand/ffcc00.css", "/assets/brand/ffcc00.000000000000.css", "/assets/brand/FFCC00.000000000000.css", "/assets/brand/x.css", "/assets/brand/"} {
			d.knock(t, ask{method: "GET", path: path}).want(t, 404, codeNotFound)
		}
	})
}

func TestShopPagesKeepToThemselves(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s)
		withTryPages(d)
		got := d.browser().get(t, "/try")
		for name, want := range map[string]string{
			"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff",
			"Content-Type": "text/html; charset=utf-8", "Content-Language": "en", "Cross-Origin-Opener-Policy": "same-origin",
			"Content-Security-Policy": "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
		} {
			if got.header.Get(name) != want {
				t.Errorf("%s: %q, want %q", name, got.header.Get(name), want)
			}
		}
		for _, m := range regexp.MustCompile(`(?:src|href)="(/assets/[^"]+)"`).FindAllSubmatch(got.body, -1) {
			d.browser().get(t, string(m[1])).ok(t, 200)
		}
		policy := shopPolicy(shop{FormTo: []string{"https://pay.example/x?y", "https://pay.example/z", "javascript:alert(1)", "https://a;script-src *"}})
		if !strings.Contains(policy, "form-action 'self' https://pay.example; base-uri") {
			t.Errorf("policy %s", policy)
		}
	})
}

func TestLanguageOfPages(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s)
		withTryPages(d)
		lang := func(b *browser, path string, header map[string]string) string {
			t.Helper()
			got := b.send(t, ask{method: "GET", path: path, header: header}).ok(t, 200)
			m := regexp.MustCompile(`<html lang="(\w+)">`).FindSubmatch(got.body)
			if m == nil || got.header.Get("Content-Language") != string(m[1]) {
				t.Fatalf("%s", got.body)
			}
			return string(m[1])
		}
		german := map[string]string{"Accept-Language": "de-AT"}
		cart := map[string]string{"Accept-Language": "de-AT", "X-Preferred": "fr_FR"}
		b := d.browser()
		for _, step := range []struct {
			path   string
			header map[string]string
			want   string
		}{
			{"/try", nil, "en"},
			{"/try", german, "de"},
			{"/try", cart, "fr"},
			{"/try?locale=xx", german, "de"},
			{"/try?locale=ru", cart, "ru"}, // chosen,
			{"/try", cart, "ru"},           // and remembered
			{"/try?locale=es-MX", nil, "es"},
			{"/try", nil, "es"},
		} {
			if got := lang(b, step.path, step.header); got != step.want {
				t.Errorf("%s %v is in %s, want %s", step.path, step.header, got, step.want)
			}
		}
		b.cookies[d.cookieName(localeCookie)] = `"><script>`
		if got := lang(b, "/try", nil); got != "en" {
			t.Errorf("a damaged cookie gives %s", got)
		}
		page := d.browser().get(t, "/try?coupon=A%26B&locale=de&locale=fr")
		for _, t2 := range tongues {
			if want := `href="/try?coupon=A%26B&amp;locale=` + t2.Locale + `" lang="` + t2.Locale + `"`; !bytes.Contains(page.body, []byte(want)) {
				t.Errorf("no %s in %s", want, page.body)
			}
		}
	})
}

func TestVisitorsFormsAreTheirOwn(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s)
		withTryPages(d)
		b := d.browser()
		page := b.get(t, "/try/form").ok(t, 200)
		token := csrf(t, page)
		cookies := (&http.Response{Header: page.header}).Cookies()
		if len(cookies) != 1 || len(cookies[0].Value) != 43 || !cookies[0].HttpOnly || !cookies[0].Secure || cookies[0].SameSite != http.SameSiteLaxMode || cookies[0].Name != "__Host-purser_visitor" {
			t.Fatalf("cookies %v", page.header.Values("Set-Cookie"))
		}
		if !strings.HasSuffix(string(page.body), " "+cookies[0].Value) || token == cookies[0].Value {
			t.Errorf("the visitor changes within a request: %s", page.body)
		}
		again := b.get(t, "/try/form")
		if csrf(t, again) != token || len(again.header.Values("Set-Cookie")) > 0 {
			t.Errorf("a known visitor gets another cookie: %s %v", again.body, again.header)
		}
		form := url.Values{"csrf": {token}, "name": {"Ada"}}
		if got := b.post(t, "/try/form", form).ok(t, 200); string(got.body) != "hello Ada" {
			t.Errorf("%s", got.body)
		}
		send := func(b *browser, form url.Values, header map[string]string) answer {
			header["Content-Type"] = "application/x-www-form-urlencoded"
			return b.send(t, ask{method: "POST", path: "/try/form", body: form.Encode(), header: header})
		}
		// Pages without a referrer send "Origin: null"; old browsers do not say more.
		send(b, form, map[string]string{"Origin": "null"}).ok(t, 200)
		send(b, form, map[string]string{"Origin": "null", "Sec-Fetch-Site": "same-origin"}).ok(t, 200)
		for name, got := range map[string]answer{
			"another site":          send(b, form, map[string]string{"Origin": "https://evil.example"}),
			"another site, unnamed": send(b, form, map[string]string{"Origin": "null", "Sec-Fetch-Site": "cross-site"}),
			"no token":              b.post(t, "/try/form", url.Values{"name": {"Ada"}}),
			"no token, no origin":   send(b, url.Values{}, map[string]string{"Origin": "null"}),
			"a stranger's token":    d.browser().post(t, "/try/form", form),
		} {
			if got.status != 403 || bytes.Contains(got.body, []byte("hello")) {
				t.Errorf("%s: %d %s", name, got.status, got.body)
			}
		}
		for _, damaged := range []string{"short", strings.Repeat("!", 43), strings.Repeat("A", 44)} {
			other := d.browser()
			other.cookies["__Host-purser_visitor"] = damaged
			if got := other.get(t, "/try/form"); strings.Contains(string(got.body), damaged) || other.cookies["__Host-purser_visitor"] == damaged {
				t.Errorf("%s is taken for a visitor", damaged)
			}
		}
	})
}

func TestErrorsOfCustomersArePages(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s)
		withTryPages(d)
		b := d.browser()
		ask := func(path string) answer {
			return b.send(t, ask{method: "GET", path: path, header: map[string]string{"Accept": "text/html", "Accept-Language": "fr"}})
		}
		ask("/try/limit").ok(t, 200)
		ask("/try/limit").ok(t, 200)
		merchant, err := s.Merchant(t.Context(), d.shop.ID)
		if err != nil {
			t.Fatal(err)
		}
		for _, tt := range []struct {
			path, says string
			status     int
			merchants  bool
		}{
			{"/no-such-page", "Il n’y a rien ici", 404, false},
			{"/try/limit", "Un instant", 429, true},
			{"/try/error", "Un problème est survenu de notre côté", 500, true},
			{"/try/panic", "Un problème est survenu de notre côté", 500, true},
		} {
			got := ask(tt.path).ok(t, tt.status)
			if !bytes.Contains(got.body, []byte(tt.says)) || !bytes.Contains(got.body, []byte(`<html lang="fr">`)) || bytes.Contains(got.body, []byte("secret")) {
				t.Errorf("%s: %s", tt.path, got.body)
			}
			if bytes.Contains(got.body, []byte(merchant.Name)) != tt.merchants {
				t.Errorf("%s: the merchant's page: %v", tt.path, !tt.merchants)
			}
			if (got.header.Get("Retry-After") == "30") != (tt.status == 429) {
				t.Errorf("%s: Retry-After %q", tt.path, got.header.Get("Retry-After"))
			}
			if id := got.header.Get("X-Request-Id"); bytes.Contains(got.body, []byte(id)) != (tt.status == 500) {
				t.Errorf("%s: the request's id", tt.path)
			}
			if got.header.Get("Referrer-Policy") != "no-referrer" || got.header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s: %v", tt.path, got.header)
			}
		}
		part := d.knock(t, htmxAsk("/no-such-page")).ok(t, 404) // what htmx sends
		if !bytes.Contains(part.body, []byte(`<main id="main"`)) {
			t.Errorf("htmx gets %s", part.body)
		}
		d.knock(t, askJSON("/try/error")).want(t, 500, codeInternal)
		d.knock(t, askJSON("/no-such-page")).want(t, 404, codeNotFound)
	})
}

func htmxAsk(path string) ask {
	return ask{method: "GET", path: path, header: map[string]string{"Accept": "*/*", "HX-Request": "true"}}
}

func askJSON(path string) ask { return ask{method: "GET", path: path} }

func TestAllowancesAreApart(t *testing.T) {
	t.Parallel()
	s := &Server{}
	links, codes := &allowance{3, time.Minute}, &allowance{3, time.Minute}
	for i := range links.n {
		if err := s.allowKey(links, "ada"); err != nil {
			t.Fatalf("%d: %v", i, err)
		}
	}
	err := s.allowKey(links, "ada")
	var p *Problem
	if !errors.As(err, &p) || p.Status != 429 || p.retryAfter <= 0 || p.retryAfter > 20*time.Second {
		t.Errorf("%+v", err)
	}
	if err := errors.Join(s.allowKey(codes, "ada"), s.allowKey(links, "bob")); err != nil {
		t.Error(err)
	}
}

// TestBrandColoursCanBeRead holds merchants' colours, nice or not, against WCAG 2.2 AA on the backgrounds of purser.css.
func TestBrandColoursCanBeRead(t *testing.T) {
	t.Parallel()
	light, dark, _ := strings.Cut(string(assets["purser.css"].body), "prefers-color-scheme: dark")
	base := func(css, name string) string {
		return regexp.MustCompile(`--` + name + `: (#[0-9a-f]{6});`).FindStringSubmatch(css)[1]
	}
	for _, colour := range []string{"#000000", "#ffffff", "#ffcc00", "#ff0000", "#00ff00", "#0000ff", "#808080", "#767676", "#0b6e4f", "#e91e63", "#7f7f00", "#123456", "#fedcba", "#6b6bff"} {
		first, second, ok := strings.Cut(brandSheet(colour), "@media")
		if !ok {
			t.Fatal(brandSheet(colour))
		}
		for _, scheme := range []struct{ name, base, brand string }{{"light", light, first}, {"dark", dark, second}} {
			own := map[string]string{}
			for _, m := range regexp.MustCompile(`--([a-z-]+):(#[0-9a-f]{6})`).FindAllStringSubmatch(scheme.brand, -1) {
				own[m[1]] = m[2]
			}
			if own["brand"] != colour {
				t.Errorf("%s is changed to %s", colour, own["brand"])
			}
			pairs := [][2]string{{own["on-brand"], own["brand"]}, {own["on-brand"], own["brand-strong"]}, {base(scheme.base, "text"), own["accent-soft"]}}
			for _, back := range []string{"canvas", "surface", "sunken"} {
				pairs = append(pairs, [2]string{own["accent"], base(scheme.base, back)}, [2]string{own["accent-strong"], base(scheme.base, back)})
			}
			for _, pair := range pairs {
				if got := contrast(t, pair[0], pair[1]); got < 4.5 {
					t.Errorf("%s, %s: %s on %s is %.2f", colour, scheme.name, pair[0], pair[1], got)
				}
			}
		}
	}
	if got := brandSheetURL("red;}"); got != "" {
		t.Errorf("%q", got)
	}
}

// TestVendoredLibrariesAreUnmodified compares them with the checksums that were written down when they were fetched.
func TestVendoredLibrariesAreUnmodified(t *testing.T) {
	t.Parallel()
	sums, err := assetFiles.ReadFile("assets/vendor/SHA256SUMS")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for line := range strings.Lines(string(sums)) {
		sum, name, ok := strings.Cut(strings.TrimSpace(line), "  ")
		if !ok {
			t.Fatalf("line %q", line)
		}
		want[name] = sum
	}
	folders, err := assetFiles.ReadDir("assets/vendor")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, folder := range folders {
		if !folder.IsDir() {
			continue
		}
		licence := false
		files, err := assetFiles.ReadDir("assets/vendor/" + folder.Name())
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if f.Name() == "LICENSE" {
				licence = true
				continue
			}
			name := folder.Name() + "/" + f.Name()
			body, err := assetFiles.ReadFile("assets/vendor/" + name)
			if err != nil {
				t.Fatal(err)
			}
			sum := sha256.Sum256(body)
			if seen++; hex.EncodeToString(sum[:]) != want[name] {
				t.Errorf("%s is not the file whose checksum is in SHA256SUMS", name)
			}
		}
		if !licence {
			t.Errorf("%s has no LICENSE", folder.Name())
		}
	}
	if seen != len(want) || seen == 0 {
		t.Errorf("%d files, %d checksums", seen, len(want))
	}
}
