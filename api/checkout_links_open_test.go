package api

import (
	"encoding/json"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

// sells adds a product to a shop, with prices in pairs of currency and minor units.
func (d *door) sells(t testing.TB, shop storetest.Shop, sku string, prices ...models.PriceView) *models.ProductView {
	t.Helper()
	in := storetest.ProductInput(sku, models.MethodTemplate)
	in.Name, in.Prices = strings.ToUpper(sku), prices
	p, err := d.store.CreateProduct(t.Context(), shop.Test, in)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// content is what the only cart in the database holds.
func (d *door) content(t testing.TB) (c models.CartContent) {
	t.Helper()
	var raw string
	if err := d.store.SQL().QueryRowContext(t.Context(), "SELECT CAST(content AS text) FROM carts").Scan(&raw); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(raw), &c); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestLinkParameters(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s)
		slug := d.shop.Slug
		viewer := d.sells(t, d.shop, "viewer", models.PriceView{Currency: "EUR", Amount: 1900}, models.PriceView{Currency: "USD", Amount: 2100})
		d.knock(t, ask{method: post, path: "/v1/coupons", key: d.shop.TestKey, body: `{"code":"SPRING","name":"Spring sale","percent_bp":1000}`}).ok(t, 201)
		for link, want := range map[string]string{
			"/buy/" + d.product.ID:                                  "49.00",
			"/buy/" + slug + "/editor-pro":                          "49.00",
			"/buy/" + d.product.ID + "?quantity=3":                  "147.00",
			"/buy/" + d.product.ID + "?quantity=99999":              `value="1000" min`,
			"/buy/" + d.product.ID + "?quantity=-1":                 "49.00",
			"/buy/" + d.product.ID + "?quantity=two":                "49.00",
			"/buy/" + viewer.ID + "?currency=USD":                   "21.00",
			"/buy/" + viewer.ID + "?currency=usd":                   "21.00",
			"/buy/" + viewer.ID + "?currency=JPY":                   "19.00",
			"/buy/" + viewer.ID + "?currency=%00":                   "19.00",
			"/buy/" + d.product.ID + "?coupon=spring":               "44.10",
			"/buy/" + d.product.ID + "?coupon=NOPE":                 "There is no such code",
			"/buy/" + d.product.ID + "?locale=de":                   "Ihr Warenkorb",
			"/buy/" + d.product.ID + "?locale=tlh":                  "Your cart",
			"/buy/" + d.product.ID + "?add=viewer:2":                "87.00",
			"/buy/" + d.product.ID + "?add=viewer:2,nope:3,,:,a:b":  "87.00",
			"/buy/" + d.product.ID + "?add=" + viewer.ID:            "68.00",
			"/buy/" + d.product.ID + "?price=1&unit_price=1&total=": "49.00",
			"/buy/" + d.product.ID + "?%zz=1&a;b=c&quantity=2":      "98.00",
			"/buy/" + d.product.ID + "?email=nobody":                `name="email" type="email" value=""`,
			"/buy/" + d.product.ID + "?email=ada%40example.com":     `value="ada@example.com"`,
			"/buy/" + d.product.ID + "?first_name=Ada&last_name=B":  `value="Ada"`,
			"/buy/" + d.product.ID + "?country=gb":                  `value="GB" selected`,
			"/buy/" + d.product.ID + "?type=business&company=A+Ltd": `value="A Ltd"`,
			"/buy/" + d.product.ID + "?vat_number=DE123456789":      `value="business" id="business" checked`,
			"/buy/" + d.product.ID + "?city=Bonn":                   `value="Bonn"`,
			"/buy/" + d.product.ID + "?zip=53111":                   `value="53111"`,
			"/buy/" + d.product.ID + "?address=Am+Markt+1":          `value="Am Markt 1"`,
			"/buy/" + d.product.ID + "?phone=%2B49228":              `value="&#43;49228"`,
			"/buy/" + d.product.ID + "?first_name=%3Cscript%3E":     `value="&lt;script&gt;"`,
			"/basket/add/" + d.product.ID + "?clear=Y&quantity=2":   "98.00",
		} {
			page := d.till().buy(t, link)
			page.has(t, want).lacks(t, "<script>")
		}
		for _, link := range []string{
			"/buy/prd_00000000000000000000000000", "/buy/nothing", "/buy/" + slug + "/nope", "/buy/nobody/editor-pro", "/basket/add/x", "/buy/%20",
		} {
			if got := d.browser().get(t, link); got.status != 404 {
				t.Errorf("%s: %d", link, got.status)
			}
		}
		d.browser().get(t, "/buy/"+slug+"/nope?locale=fr").ok(t, 404).has(t, "en vente")
		d.knock(t, ask{method: remove, path: "/v1/products/" + viewer.ID, key: d.shop.TestKey}).ok(t, 200)
		d.browser().get(t, "/buy/"+viewer.ID).ok(t, 404).has(t, "not for sale")
		if n := d.count(t, "orders"); n != 0 {
			t.Errorf("%d orders", n)
		}
	})
}

func TestLinkCarriesSourceAndMetadata(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s)
		b := d.till()
		var many strings.Builder
		for i := range 60 {
			many.WriteString("&metadata[k" + string(rune('a'+i/26)) + string(rune('a'+i%26)) + "]=v")
		}
		long := strings.Repeat("x", 501)
		b.buy(t, "/buy/"+d.product.ID+"?ref=letter&utm_source=news&utm_term="+long+"&metadata[long]="+long+"&metadata[]=x&metadata[a=1&other=2&return_url=https://evil.example/"+many.String())
		c := d.content(t)
		if len(c.Source) != 2 || c.Source["ref"] != "letter" || c.Source["utm_source"] != "news" {
			t.Errorf("source %v", c.Source)
		}
		if len(c.Metadata) != 50 || c.Metadata["kaa"] != "v" || c.Metadata["long"] != "" {
			t.Errorf("metadata %v", c.Metadata)
		}
		if c.ReturnURL != "" {
			t.Errorf("an unsigned link may not say where to go after paying: %s", c.ReturnURL)
		}
		o := b.order(t, b.page(t))
		if o.Metadata["kaa"] != "v" || o.ReturnURL != nil {
			t.Errorf("order %+v", o)
		}
		if n := storetest.Count(t, s, "SELECT COUNT(*) FROM orders WHERE CAST(source AS text) LIKE '%letter%'"); n != 1 {
			t.Error("the order does not know where it came from")
		}
		if n := storetest.Count(t, s, "SELECT COUNT(*) FROM events WHERE type = 'order.created' AND CAST(data AS text) LIKE '%\"kaa\":%'"); n != 1 {
			t.Error("the event has no metadata")
		}
	})
}

func TestCartSurvivesAndIsOneForEachCurrency(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s)
		d.sells(t, d.shop, "viewer", models.PriceView{Currency: "EUR", Amount: 1900}, models.PriceView{Currency: "USD", Amount: 2100})
		d.sells(t, d.other, "foreign", models.PriceView{Currency: "EUR", Amount: 700})
		b := d.till()
		b.buy(t, "/buy/"+d.product.ID+"?quantity=2&email=ada@example.com")
		b.buy(t, "/buy/"+d.shop.Slug+"/viewer").has(t, "117.00", "ada@example.com") // stays in the cart's currency
		if n := d.count(t, "carts"); n != 1 {
			t.Errorf("%d carts", n)
		}
		b.buy(t, "/buy/"+d.shop.Slug+"/viewer?quantity=3").has(t, "155.00") // set, not added
		b.buy(t, "/buy/"+d.shop.Slug+"/viewer?currency=USD").has(t, "21.00").lacks(t, "Editor Pro")
		b.buy(t, "/buy/"+d.other.Slug+"/foreign").has(t, "7.00").lacks(t, "VIEWER")
		if n := d.count(t, "carts"); n != 3 {
			t.Errorf("%d carts", n)
		}
		b.get(t, "/checkout/"+d.shop.Slug).has(t, "21.00") // that which was changed last
		b.get(t, "/checkout/"+d.shop.Slug+"?currency=EUR").has(t, "155.00")
		b.buy(t, "/buy/"+d.product.ID+"?currency=EUR&clear=Y").has(t, "49.00").lacks(t, "VIEWER")
		if b.path != "/checkout/"+d.shop.Slug {
			t.Errorf("the link leads to %s", b.path)
		}
		d.till().get(t, "/checkout/"+d.shop.Slug+"?currency=EUR").ok(t, 200).has(t, "Your cart is empty") // a stranger's is none
		d.till().get(t, "/checkout/nobody").ok(t, 404)
		heads := d.browser().send(t, ask{method: "HEAD", path: "/buy/" + d.product.ID}).ok(t, 303)
		if n := d.count(t, "carts"); n != 3 || heads.header.Get("Set-Cookie") != "" {
			t.Error("a HEAD made a cart")
		}
	})
}

func TestCartsOfModesAreApart(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s)
		b := d.till()
		page := b.buy(t, "/buy/"+d.product.ID).has(t, "TEST MODE")
		storetest.Exec(t, s, "UPDATE merchants SET live = $1 WHERE id = $2", true, d.shop.ID)
		b.page(t).has(t, "Your cart is empty").lacks(t, "TEST MODE")
		if got := b.press(t, page, "continue", ada()); got.status != 200 {
			t.Errorf("a test cart after going live: %d", got.status)
		}
		if n := d.count(t, "orders"); n != 0 {
			t.Errorf("%d orders", n)
		}
		b.buy(t, "/buy/"+d.product.ID).has(t, "49.00", "no way to pay").lacks(t, "TEST MODE")
	})
}

func (d *door) link(t testing.TB, body string) models.CheckoutLinkView {
	t.Helper()
	var l models.CheckoutLinkView
	d.knock(t, ask{method: post, path: "/v1/checkout-links", key: d.shop.TestKey, body: body}).ok(t, 201).into(t, &l)
	return l
}

func TestSignedLink(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s)
		body := `{"currency":"JPY","items":[{"product":"editor-pro","quantity":2,"name":"Editor for <Ada>","unit_price":1500}],
			"customer":{"email":"ada@example.com","country":"GB"},"metadata":{"deal":"7"},"return_url":"https://shop.example/thanks","locale":"en","single_use":true}`
		l := d.link(t, body)
		b := d.till()
		page := b.buy(t, pathOf(l.URL)).has(t, "Editor for &lt;Ada&gt;", "3,000", "Quantity: 2", "ada@example.com", "https://shop.example/thanks")
		if b.path != "/checkout/"+d.shop.Slug {
			t.Errorf("the link leads to %s", b.path)
		}
		page.lacks(t, `name="quantity.`)
		b.press(t, page, "update", url.Values{"quantity." + d.product.ID: {"10"}}).has(t, "3,000") // the price was made for two
		late := d.till()
		latePage := late.buy(t, pathOf(l.URL))
		o := b.order(t, page)
		if o.Total != 3000 || o.Currency != "JPY" || o.Items[0].Name != "Editor for <Ada>" || o.Items[0].Quantity != 2 || o.Metadata["deal"] != "7" ||
			o.ReturnURL == nil || *o.ReturnURL != "https://shop.example/thanks" {
			t.Errorf("got %+v", o)
		}
		d.till().get(t, pathOf(l.URL)).ok(t, 410).has(t, "has been used")
		if got := late.press(t, latePage, "continue", ada()); got.status != 200 || d.count(t, "orders") != 1 {
			t.Errorf("a link for one order made %d; the second customer got %d", d.count(t, "orders"), got.status)
		}
		var again models.CheckoutLinkView
		d.knock(t, ask{method: get, path: "/v1/checkout-links/" + l.ID, key: d.shop.TestKey}).ok(t, 200).into(t, &again)
		if again.Order == nil || *again.Order != o.ID || again.URL != l.URL {
			t.Errorf("the link is %+v", again)
		}
	})
}

func TestSignedLinksThatLeadNowhere(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s)
		l := d.link(t, `{"currency":"EUR","items":[{"product":"editor-pro"}]}`)
		other := d.link(t, `{"currency":"EUR","items":[{"product":"editor-pro","unit_price":1}]}`)
		path := pathOf(l.URL)
		_, signature, _ := strings.Cut(path, ".")
		for name, bad := range map[string]string{
			"cut": path[:len(path)-1], "unsigned": "/link/" + l.ID, "no token": "/link/x", "longer": path + "A",
			"another's signature": "/link/" + other.ID + "." + signature,
		} {
			if got := d.browser().get(t, bad); got.status != 404 {
				t.Errorf("%s: %d", name, got.status)
			}
		}
		end := time.Now().Add(time.Hour).In(time.FixedZone("", 2*3600))
		soon := d.link(t, `{"currency":"EUR","items":[{"product":"editor-pro","unit_price":100}],"expires_at":"`+end.Format(time.RFC3339Nano)+`"}`)
		if soon.ExpiresAt == nil || !soon.ExpiresAt.Equal(end.Truncate(time.Microsecond)) || soon.ExpiresAt.Location() != time.UTC {
			t.Errorf("expires at %v, want %v", soon.ExpiresAt, end.UTC())
		}
		b := d.till()
		page := b.buy(t, pathOf(soon.URL)).has(t, "1.00")
		storetest.Exec(t, s, "UPDATE checkout_links SET expires_at = created_at WHERE id = $1", soon.ID)
		b.press(t, page, "continue", ada()).lacks(t, "1.00 EUR")
		d.till().get(t, pathOf(soon.URL)).ok(t, 410).has(t, "has expired")
		if n := d.count(t, "orders"); n != 0 {
			t.Errorf("%d orders by an expired link", n)
		}
		var live models.CheckoutLinkView
		d.knock(t, ask{method: post, path: "/v1/checkout-links", key: d.shop.LiveKey, body: `{"currency":"EUR","items":[{"product":"editor-pro"}]}`}).ok(t, 201).into(t, &live)
		d.till().get(t, pathOf(live.URL)).ok(t, 404).has(t, "not open yet")
		storetest.Exec(t, s, "UPDATE merchants SET live = $1 WHERE id = $2", true, d.shop.ID)
		d.till().buy(t, pathOf(live.URL)).has(t, "49.00").lacks(t, "TEST MODE")
		tester := d.till()
		o := tester.order(t, tester.buy(t, pathOf(l.URL)).has(t, "49.00", "TEST MODE"))
		if !o.Test {
			t.Error("a test link made a live order")
		}
	})
}

func TestCheckoutLinkRefusals(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s)
		for body, fields := range map[string][]string{
			`{"currency":"EUR","items":[]}`:                                                                         {"items"},
			`{"currency":"eur","items":[{"product":"editor-pro"}]}`:                                                 {"currency"},
			`{"currency":"USD","items":[{"product":"editor-pro"}]}`:                                                 {"items[0].product"},
			`{"currency":"EUR","items":[{"product":"nope"}]}`:                                                       {"items[0].product"},
			`{"currency":"EUR","items":[{"product":"editor-pro","unit_price":-1}]}`:                                 {"items[0].unit_price"},
			`{"currency":"EUR","items":[{"product":"editor-pro"}],"expires_at":"2020-01-01T00:00:00Z"}`:             {"expires_at"},
			`{"currency":"EUR","items":[{"product":"editor-pro"}],"customer":{"email":"nobody"}}`:                   {"customer.email"},
			`{"currency":"EUR","items":[{"product":"editor-pro"}],"return_url":"javascript:alert(1)"}`:              {"return_url"},
			`{"currency":"EUR","items":[{"product":"editor-pro"}],"metadata":{"":"x"}}`:                             {"metadata"},
			`{"currency":"EUR","items":[{"product":"editor-pro","quantity":2000}],"customer":{"country":"Narnia"}}`: {"customer.country"},
		} {
			d.knock(t, ask{method: post, path: "/v1/checkout-links", key: d.shop.TestKey, body: body}).want(t, 422, codeInvalid, fields...)
		}
		if n := d.count(t, "checkout_links"); n != 0 {
			t.Errorf("%d links", n)
		}
	})
}

// A link for one order makes one order, however many follow it and press at once. The others keep what they may buy without it.
func TestSingleUseLinkIsUsedOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s)
		var l models.CheckoutLinkView
		d.knock(t, ask{method: post, path: "/v1/checkout-links", key: d.shop.TestKey,
			body: `{"currency":"EUR","single_use":true,"items":[{"product":"editor-pro","unit_price":100}]}`}).ok(t, 201).into(t, &l)
		var placed, over atomic.Int64
		var all sync.WaitGroup
		pages := make([]answer, 12)
		tills := make([]*till, len(pages))
		for i := range tills {
			tills[i] = d.till()
			pages[i] = tills[i].buy(t, pathOf(l.URL)).has(t, "1.00")
		}
		for i, b := range tills {
			all.Go(func() {
				got := b.press(t, pages[i], "continue", ada("email", "c"+strconv.Itoa(i)+"@example.com"))
				switch {
				case got.status == 303 && strings.HasPrefix(got.header.Get("Location"), "/pay/"):
					placed.Add(1)
				case got.status == 409 || got.status == 200:
					over.Add(1)
				default:
					t.Errorf("%d %s", got.status, got.body)
				}
			})
		}
		all.Wait()
		if placed.Load() != 1 || over.Load() != int64(len(tills)-1) || d.count(t, "orders") != 1 {
			t.Errorf("%d placed, %d refused, %d orders", placed.Load(), over.Load(), d.count(t, "orders"))
		}
		d.knock(t, ask{method: get, path: pathOf(l.URL)}).ok(t, 410)
	})
}
