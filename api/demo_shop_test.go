package api

import (
	"bytes"
	"html"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

// withDemoShop makes the demo merchant with three products and an offer.
func withDemoShop(t *testing.T, s *models.Store) *door {
	t.Helper()
	d := newDoor(t, s, func(c *Config) { c.Demo, c.Mailbox = true, true })
	m, _, _, err := s.CreateMerchant(t.Context(), models.MerchantInput{Name: "Nordlicht Software", Email: "merchant@demo.example", Slug: DemoSlug})
	if err != nil {
		t.Fatal(err)
	}
	sc := models.Scope{MerchantID: m.ID, Test: true}
	for _, p := range []models.ProductInput{
		{SKU: "editor-pro", Name: "Editor Pro", Description: "Writes.", Prices: []models.PriceView{{Currency: "EUR", Amount: 4900}, {Currency: "JPY", Amount: 7800}}},
		{SKU: "only-yen", Name: "Only Yen", Prices: []models.PriceView{{Currency: "JPY", Amount: 100}}},
		{SKU: "studio", Name: "Studio", Prices: []models.PriceView{{Currency: "EUR", Amount: 12900}, {Currency: "JPY", Amount: 19800}}},
	} {
		p.LicenseMethod = models.MethodTemplate
		if _, err := s.CreateProduct(t.Context(), sc, p); err != nil {
			t.Fatal(err)
		}
	}
	for title, active := range map[string]bool{"Studio instead": true, "Not any more": false} {
		if _, err := s.CreateOffer(t.Context(), sc, models.OfferInput{
			Kind: models.OfferReplace, Trigger: "editor-pro", Product: "studio", PercentBP: 2000, Title: title, Active: active,
		}); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

var buyLink = regexp.MustCompile(`href="(/buy/[^"]+)"`)

func TestDemoShopSellsThroughCheckoutLinks(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := withDemoShop(t, s)
		got := d.browser().get(t, "/demo?locale=de").ok(t, 200)
		for _, want := range []string{
			"TESTMODUS", "Editor Pro", "49,00\u00a0EUR", "129,00\u00a0EUR", `<span lang="en">Studio instead</span>`, `lang="en">Writes.`,
			"4242424242424242", `href="/mailbox"`, `href="/demo/webhooks"`, `href="/checkout/demo?currency=EUR"`, "178,00\u00a0EUR",
		} {
			if !bytes.Contains(got.body, []byte(want)) {
				t.Errorf("no %s in %s", want, got.body)
			}
		}
		for _, never := range []string{"Only Yen", "Not any more"} {
			if bytes.Contains(got.body, []byte(never)) {
				t.Errorf("%s is offered in euros", never)
			}
		}
		if got.header.Get("Referrer-Policy") != "same-origin" { // the checkout leads back to where its customer came from
			t.Errorf("Referrer-Policy %s", got.header.Get("Referrer-Policy"))
		}
		links := map[string]url.Values{}
		for _, m := range buyLink.FindAllSubmatch(got.body, -1) {
			u, err := url.Parse(html.UnescapeString(string(m[1])))
			if err != nil {
				t.Fatal(err)
			}
			q := u.Query()
			for name, want := range map[string]string{"currency": "EUR", "locale": "de", "ref": "demo", "utm_source": "demo", "utm_medium": "storefront"} {
				if q.Get(name) != want {
					t.Errorf("%s: %s %q, want %q", u, name, q.Get(name), want)
				}
			}
			links[u.Path+" "+q.Get("utm_campaign")] = q
		}
		for link, want := range map[string]url.Values{
			"/buy/demo/editor-pro catalogue": {}, "/buy/demo/studio catalogue": {}, "/buy/demo/studio team": {"quantity": {"5"}},
			"/buy/demo/editor-pro bundle": {"clear": {"Y"}, "add": {"studio:1"}}, "/buy/demo/editor-pro welcome": {"coupon": {"WELCOME10"}},
		} {
			q, ok := links[link]
			if !ok {
				t.Errorf("no link %s among %v", link, links)
			}
			for name := range want {
				if q.Get(name) != want.Get(name) {
					t.Errorf("%s: %s %q", link, name, q.Get(name))
				}
			}
		}

		yen := string(d.browser().get(t, "/demo?currency=jpy").ok(t, 200).body)
		if !strings.Contains(yen, "Only Yen") || !strings.Contains(yen, "7,800\u00a0JPY") || !strings.Contains(yen, `aria-current="true">JPY`) || strings.Contains(yen, "EUR</p>") {
			t.Errorf("in yen: %s", yen)
		}
		if odd := d.browser().get(t, "/demo?currency=%22%3E%3Cscript%3E").ok(t, 200); !bytes.Contains(odd.body, []byte("49.00\u00a0EUR")) {
			t.Errorf("in no currency: %s", odd.body)
		}
		if front := d.browser().get(t, "/"); front.status != 303 || front.header.Get("Location") != "/demo" {
			t.Errorf("the front page: %d %v", front.status, front.header)
		}
	})
}

// TestDemoShopAsWhole follows every link of the storefront in every language.
func TestDemoShopAsWhole(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := withDemoShop(t, s)
		for _, tongue := range tongues {
			for path, says := range map[string]string{
				"/demo": "demo.products", DemoTerms: "demo.terms_title", DemoPrivacy: "demo.privacy_title",
			} {
				b := d.browser()
				got := b.get(t, path+"?locale="+tongue.Locale).ok(t, 200)
				if text := (words{tongue.Locale}).T(says); !bytes.Contains(got.body, []byte(html.EscapeString(text))) {
					t.Errorf("%s in %s does not say %s", path, tongue.Locale, text)
				}
				for _, m := range regexp.MustCompile(`(?:href|src)="(/[^"#]+)"`).FindAllSubmatch(got.body, -1) {
					link := html.UnescapeString(string(m[1]))
					if followed := b.get(t, link); followed.status != 200 && followed.status != 303 {
						t.Errorf("%s in %s leads to %s: %d", path, tongue.Locale, link, followed.status)
					}
				}
			}
		}
		if logo := d.browser().get(t, DemoLogo).ok(t, 200); logo.header.Get("Content-Type") != "image/svg+xml" || !bytes.HasPrefix(logo.body, []byte("<svg")) {
			t.Errorf("%v", logo.header)
		}
	})
}

func TestNoDemoShopWithoutDemo(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s)
		for _, path := range []string{"/", "/demo", DemoTerms, DemoPrivacy, DemoLogo} {
			d.knock(t, ask{method: "GET", path: path}).want(t, 404, codeNotFound)
		}
		demo := newDoor(t, s, func(c *Config) { c.Demo = true })
		demo.knock(t, ask{method: "GET", path: "/demo"}).want(t, 404, codeNotFound) // nobody has the slug
	})
}
