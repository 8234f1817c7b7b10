package api

import (
	"maps"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

func TestCheckoutFromLinkToOrder(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s)
		b := d.till()
		page := b.buy(t, "/buy/"+d.product.ID+"?quantity=2&ref=letter&utm_campaign=spring&metadata[seat]=9").has(t, "Editor Pro", "98.00")
		o := b.order(t, page)
		if o.Total != 9800 || o.Currency != "EUR" || !o.Test || o.Status != models.OrderNotPaid || o.Customer.Email != "ada@example.com" ||
			o.Metadata["seat"] != "9" || o.PaymentMethod == nil || *o.PaymentMethod != "card" {
			t.Errorf("got %+v", o)
		}
		if again := b.press(t, page, "continue", ada()); again.status != 303 || !strings.HasSuffix(o.PaymentURL, again.header.Get("Location")) {
			t.Errorf("pressing again leads to %d %s", again.status, again.header.Get("Location"))
		}
		if n := d.count(t, "orders"); n != 1 {
			t.Errorf("%d orders", n)
		}
		b.page(t).has(t, "Your cart is empty", o.Number)
	})
}

func TestCheckoutMakesOneOrderHoweverOftenItIsPressed(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s)
		b := d.till()
		page := b.buy(t, "/buy/"+d.product.ID)
		form := formOf(page)
		maps.Copy(form, ada("action", "continue"))
		led := make([]string, 20)
		var all sync.WaitGroup
		for i := range led {
			all.Go(func() {
				one := &browser{d: d, cookies: map[string]string{}}
				maps.Copy(one.cookies, b.cookies)
				led[i] = one.post(t, b.path, form).header.Get("Location")
			})
		}
		all.Wait()
		for _, to := range led {
			if to == "" || to != led[0] || !strings.HasPrefix(to, "/pay/") {
				t.Errorf("led to %q, the first to %q", to, led[0])
			}
		}
		if n := d.count(t, "orders"); n != 1 {
			t.Errorf("%d orders", n)
		}
		if n := d.count(t, "carts"); n != 1 {
			t.Errorf("%d carts: a press made a new one", n)
		}
	})
}

func TestCheckoutRefusals(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s)
		b := d.till()
		page := b.buy(t, "/buy/"+d.product.ID)
		for name, c := range map[string]struct {
			change []string
			text   string
		}{
			"no email":         {[]string{"email", ""}, "email-error"},
			"no address":       {[]string{"email", "ada"}, "email-error"},
			"no terms":         {[]string{"terms", ""}, "terms-error"},
			"no data":          {[]string{"personal_data", ""}, "personal_data-error"},
			"no company":       {[]string{"type", "business"}, "company-error"},
			"a wrong VAT":      {[]string{"type", "business", "company", "A", "country", "DE", "vat_number", "12"}, "vat_number-error"},
			"a foreign VAT":    {[]string{"type", "business", "company", "A", "country", "DE", "vat_number", "FR12345678901"}, "vat_number-error"},
			"no country":       {[]string{"country", "XX"}, "country-error"},
			"too long":         {[]string{"first_name", strings.Repeat("x", 101)}, "first_name-error"},
			"no method":        {[]string{"method", "barter"}, "Choose a payment method"},
			"another total":    {[]string{"total", "1"}, "The total has changed"},
			"no total":         {[]string{"total", "x"}, "The total has changed"},
			"a wrong code":     {[]string{"coupon", "NOPE"}, "There is no such code"},
			"another quantity": {[]string{"quantity." + d.product.ID, "3"}, "The total has changed"},
		} {
			got := b.press(t, page, "continue", ada(c.change...))
			if got.status != 422 && got.status != 409 {
				t.Errorf("%s: %d", name, got.status)
			}
			got.has(t, c.text)
			if kept := c.change[len(c.change)-1]; c.change[0] == "email" && kept != "" {
				got.has(t, `value="`+kept+`"`)
			}
			// Back to where it began, for the next one.
			b.press(t, got, "update", url.Values{"quantity." + d.product.ID: {"1"}, "coupon": {""}})
		}
		if n := d.count(t, "orders"); n != 0 {
			t.Errorf("%d orders", n)
		}
		form := formOf(page)
		form.Set("action", "continue")
		for name, header := range map[string]map[string]string{
			"another site":   {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
			"another origin": {"Origin": "https://evil.example", "Sec-Fetch-Site": ""},
		} {
			h := map[string]string{"Content-Type": "application/x-www-form-urlencoded"}
			maps.Copy(h, header)
			if got := b.send(t, ask{method: post, path: b.path, body: form.Encode(), header: h}); got.status != 403 {
				t.Errorf("%s: %d", name, got.status)
			}
		}
		form.Set("csrf", "x")
		if got := b.post(t, b.path, form); got.status != 403 {
			t.Errorf("a wrong token: %d", got.status)
		}
		// Somebody else's cart is not there.
		stranger := d.till()
		own := stranger.buy(t, "/buy/"+d.product.ID+"?quantity=5")
		stranger.press(t, own, "remove:"+d.product.ID, url.Values{"cart": form["cart"]})
		b.page(t).has(t, `value="1" min`)
	})
}

func TestCheckoutActionsKeepWhatWasTyped(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s)
		d.sells(t, d.shop, "viewer", models.PriceView{Currency: "EUR", Amount: 1900})
		b := d.till()
		page := b.buy(t, "/buy/"+d.product.ID+"?add=viewer")
		_, form, _ := strings.Cut(string(page.body), "<form")
		if _, first, _ := strings.Cut(form, "<button "); !strings.HasPrefix(first, `class="unseen" name="action" value="update"`) {
			t.Errorf("Enter would press %.80s", first)
		}
		typed := url.Values{"email": {"ada@exam"}, "first_name": {`A"da<`}, "country": {"DE"}, "method": {"card"}}
		for _, button := range []string{"update", "coupon", "uncoupon", "remove:" + d.product.ID, "nonsense", "accept:ofr_x", "decline:"} {
			page = b.press(t, page, button, typed).ok(t, 200)
			page.has(t, `value="ada@exam"`, `value="A&#34;da&lt;"`, `value="DE" selected`, "VIEWER").lacks(t, `name="terms" id="terms" value="1" required checked`)
		}
		page.lacks(t, "Editor Pro")
		b.press(t, page, "update", url.Values{"quantity." + productOf(page): {"5000"}}).has(t, "19,000.00", "We changed a quantity")
		b.press(t, page, "update", url.Values{"quantity." + productOf(page): {"0"}}).has(t, "Your cart is empty")
		if n := d.count(t, "orders"); n != 0 {
			t.Errorf("%d orders", n)
		}
	})
}

// productOf is the first product of a page's cart.
func productOf(page answer) string {
	for name := range formOf(page) {
		if id, ok := strings.CutPrefix(name, "quantity."); ok {
			return id
		}
	}
	return ""
}

func TestCheckoutCoupons(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s)
		d.sells(t, d.shop, "viewer", models.PriceView{Currency: "EUR", Amount: 1900})
		for _, body := range []string{
			`{"code":"SPRING","name":"Spring sale","percent_bp":1000}`,
			`{"code":"EARLY","name":"E","percent_bp":1000,"starts_at":"2099-01-01T00:00:00Z"}`,
			`{"code":"LATE","name":"L","percent_bp":1000,"ends_at":"2001-01-01T00:00:00Z"}`,
			`{"code":"VIEW","name":"V","percent_bp":1000,"products":["viewer"]}`,
			`{"code":"DOLLARS","name":"D","amounts":{"USD":500}}`,
			`{"code":"ONCE","name":"O","percent_bp":1000,"max_uses":1}`,
			`{"code":"EACH","name":"C","percent_bp":1000,"max_uses_per_customer":1}`,
		} {
			d.knock(t, ask{method: post, path: "/v1/coupons", key: d.shop.TestKey, body: body}).ok(t, 201)
		}
		for _, code := range []string{"ONCE", "EACH"} {
			one := d.till()
			if o := one.order(t, one.buy(t, "/buy/"+d.product.ID+"?coupon="+code)); o.Total != 4410 || o.Coupon == nil || *o.Coupon != code {
				t.Errorf("%s: %+v", code, o)
			}
		}
		b := d.till()
		page := b.buy(t, "/buy/"+d.product.ID+"?email=ada@example.com")
		for code, want := range map[string]string{
			"nope": "There is no such code", "early": "not valid yet", "late": "has expired", "view": "does not apply to anything", "dollars": "in this currency",
			"once": "as often as it may be", "each": "as often as you may", strings.Repeat("x", 300): "There is no such code", "<b>": "There is no such code",
		} {
			page = b.press(t, page, "coupon", url.Values{"coupon": {code}}).has(t, want, `<p id="coupon-said" class="error">`, "49.00").lacks(t, "44.10", "<b>")
		}
		page = b.press(t, page, "coupon", url.Values{"coupon": {" spring "}}).has(t, "Applied: Spring sale", "44.10")
		page = b.press(t, page, "uncoupon", nil).lacks(t, "44.10", "Applied")
		// Continuing with a code that the page has refused is continuing without it.
		page = b.press(t, page, "coupon", url.Values{"coupon": {"late"}}).has(t, "has expired")
		if o := b.order(t, page); o.Total != 4900 || o.Coupon != nil {
			t.Errorf("got %+v", o)
		}
	})
}

func TestCheckoutOffers(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s)
		viewer := d.sells(t, d.shop, "viewer", models.PriceView{Currency: "EUR", Amount: 1900})
		studio := d.sells(t, d.shop, "studio", models.PriceView{Currency: "EUR", Amount: 9900})
		ids := map[string]string{}
		for sku, body := range map[string]string{
			"viewer": `{"kind":"addon","trigger":"editor-pro","product":"viewer","percent_bp":5000,"title":"<i>Add it</i>"}`,
			"studio": `{"kind":"replace","trigger":"editor-pro","product":"studio","percent_bp":1000,"title":"Get it all"}`,
		} {
			var made struct{ ID string }
			d.knock(t, ask{method: post, path: "/v1/offers", key: d.shop.TestKey, body: body}).ok(t, 201).into(t, &made)
			ids[sku] = made.ID
		}
		b := d.till()
		page := b.buy(t, "/buy/"+d.product.ID+"?quantity=2").has(t, "&lt;i&gt;Add it", "Get it all", "9.50", "89.10").lacks(t, "<i>")
		page = b.press(t, page, "accept:"+ids["viewer"], nil).has(t, "117.00", viewer.ID).lacks(t, "Add it")
		page = b.press(t, page, "decline:"+ids["studio"], nil).lacks(t, "Get it all")
		page = b.press(t, page, "accept:"+ids["studio"], nil).lacks(t, studio.ID) // declined is declined
		if o := b.order(t, page); o.Total != 11700 || len(o.Items) != 2 || o.Items[1].Total != 1900 {
			t.Errorf("got %+v", o)
		}
		page = b.buy(t, "/buy/"+d.product.ID+"?quantity=2")
		page = b.press(t, page, "accept:"+ids["studio"], nil).has(t, "178.20").lacks(t, "Editor Pro")
		if o := b.order(t, page); o.Total != 17820 || len(o.Items) != 1 || o.Items[0].Product != studio.ID {
			t.Errorf("got %+v", o)
		}
	})
}

func TestCheckoutTotalsAreTheOrders(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s)
		d.sells(t, d.shop, "viewer", models.PriceView{Currency: "EUR", Amount: 1999})
		d.knock(t, ask{method: patch, path: "/v1/settings", key: d.shop.TestKey,
			body: `{"tax":{"inclusive":false,"country":"DE","rates":[{"country":"DE","rate_bp":1900},{"country":"FR","rate_bp":2000}]}}`}).ok(t, 200)
		d.knock(t, ask{method: post, path: "/v1/coupons", key: d.shop.TestKey, body: `{"code":"ODD","name":"Odd","percent_bp":333}`}).ok(t, 201)
		for _, c := range []struct {
			change []string
			total  int64 // of 166.99 less 5.56, with the tax that is computed on it by hand
		}{
			{[]string{"country", "DE"}, 19210}, {[]string{"country", "FR"}, 19372}, {[]string{"country", "GB"}, 16143},
			{[]string{"country", "FR", "type", "business", "company", "A", "vat_number", "FR 12 345678901"}, 16143},
			{[]string{"country", "FR", "type", "individual", "company", "A", "vat_number", "FR12345678901"}, 19372},
		} {
			b := d.till()
			page := b.buy(t, "/buy/"+d.product.ID+"?quantity=3&add=viewer:1&coupon=odd")
			page = b.press(t, page, "update", ada(c.change...))
			shown := formOf(page).Get("total")
			o := b.order(t, page, c.change...)
			if o.Total != c.total || shown != formatInt(o.Total) || o.Subtotal-o.Discount+o.Tax != o.Total {
				t.Errorf("%v: the page showed %s, the order has %d, want %d", c.change, shown, o.Total, c.total)
			}
		}
	})
}

func formatInt(n int64) string { return strconv.FormatInt(n, 10) }

func TestCheckoutOfNothingIsPaidAtOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s)
		d.sells(t, d.shop, "free", models.PriceView{Currency: "EUR", Amount: 0})
		b := d.till()
		page := b.buy(t, "/buy/"+d.shop.Slug+"/free").has(t, "There is nothing to pay").lacks(t, `value="card"`)
		if o := b.order(t, page, "method", ""); o.Status != models.OrderPaid || o.PaymentMethod != nil {
			t.Errorf("got %+v", o)
		}
	})
}

func TestCheckoutKeepsEvidenceOfConsents(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s)
		d.knock(t, ask{method: patch, path: "/v1/settings", key: d.shop.TestKey,
			body: `{"branding":{"logo_url":"","color":"","terms_url":"https://shop.example/terms-3","privacy_url":"https://shop.example/privacy"},"support_email":"help@shop.example"}`}).ok(t, 200)
		b := d.till()
		page := b.buy(t, "/buy/"+d.product.ID+"?locale=de").has(t, `href="https://shop.example/terms-3"`, `href="https://shop.example/privacy"`, "help@shop.example")
		o := b.order(t, page)
		if o.Locale != "de" {
			t.Errorf("locale %s", o.Locale)
		}
		var raw string
		if err := s.SQL().QueryRowContext(t.Context(), "SELECT CAST(consents AS text) FROM orders").Scan(&raw); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{`"terms":true`, `"personal_data":true`, `"locale":"de"`, `"via":"checkout"`, `"address":"`, `"terms_url":"https://shop.example/terms-3"`} {
			if !strings.Contains(strings.ReplaceAll(raw, `": `, `":`), want) {
				t.Errorf("no %s in %s", want, raw)
			}
		}
		if log := d.log.String(); strings.Contains(log, "ada@example") || strings.Contains(log, o.Customer.LastName+" ") {
			t.Error("personal data in the log")
		}
	})
}

// consents are what is kept of the orders' consents, in one line each.
func (d *door) consents(t testing.TB) []string {
	t.Helper()
	rows, err := d.store.SQL().QueryContext(t.Context(), "SELECT CAST(consents AS text) FROM orders ORDER BY created_at, id")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var raw string
		if err := rows.Scan(&raw); err != nil {
			t.Fatal(err)
		}
		out = append(out, strings.ReplaceAll(raw, `": `, `":`))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestOrdersKeepTheVersionsOfTheTexts(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s)
		set := func(body string) {
			d.knock(t, ask{method: patch, path: settingsPath, key: d.shop.TestKey, body: body}).ok(t, 200)
		}
		d.order(t)
		set(`{"terms_version":"terms 3","privacy_version":"privacy 5"}`)
		d.order(t)
		b := d.till()
		b.order(t, b.buy(t, "/buy/"+d.product.ID))
		set(`{"terms_version":"terms 4"}`)
		got := d.consents(t)
		if len(got) != 3 || strings.Contains(got[0], "_version") {
			t.Fatalf("got %v", got)
		}
		for _, c := range got[1:] {
			if !strings.Contains(c, `"terms_version":"terms 3"`) || !strings.Contains(c, `"privacy_version":"privacy 5"`) {
				t.Errorf("got %s", c)
			}
		}
	})
}

func TestCheckoutAsksAgainWhenTheTextsHaveChanged(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s)
		const changed = "terms of sale or the privacy notice have changed"
		b := d.till()
		page := b.buy(t, "/buy/"+d.product.ID).lacks(t, changed)
		for _, change := range []string{
			`{"terms_version":"2"}`, `{"privacy_version":"2"}`, `{"privacy_version":null}`,
			`{"branding":{"logo_url":"","color":"","terms_url":"https://shop.example/terms","privacy_url":""}}`,
		} {
			d.knock(t, ask{method: patch, path: settingsPath, key: d.shop.TestKey, body: change}).ok(t, 200)
			page = b.press(t, page, "continue", ada()).ok(t, 409).has(t, changed, `value="ada@example.com"`)
			if form := formOf(page); form.Has("terms") || form.Has("personal_data") {
				t.Errorf("%s: the other text's consents are ticked", change)
			}
		}
		if n := d.count(t, "orders"); n != 0 {
			t.Errorf("%d orders", n)
		}
		unticked := ada("terms", "", "personal_data", "")
		b.press(t, page, "continue", unticked).ok(t, 422).has(t, "terms-error").lacks(t, changed)
		b.order(t, page)
		if got := d.consents(t); len(got) != 1 || !strings.Contains(got[0], `"terms_version":"2"`) || strings.Contains(got[0], "privacy_version") {
			t.Errorf("got %v", got)
		}
		// What was ordered stays ordered, whatever the texts are by now.
		d.knock(t, ask{method: patch, path: settingsPath, key: d.shop.TestKey, body: `{"terms_version":"3"}`}).ok(t, 200)
		b.press(t, page, "continue", ada()).ok(t, 303)
		if n := d.count(t, "orders"); n != 1 {
			t.Errorf("%d orders", n)
		}
	})
}

func TestCheckoutSaysThatAProductIsNoLongerForSale(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s)
		const gone = "no longer for sale"
		viewer := d.sells(t, d.shop, "viewer", models.PriceView{Currency: "EUR", Amount: 0})
		b := d.till()
		page := b.buy(t, "/buy/"+d.product.ID+"?add=viewer:1").lacks(t, gone)
		d.knock(t, ask{method: remove, path: "/v1/products/" + viewer.ID, key: d.shop.TestKey}).ok(t, 200)
		b.page(t).has(t, gone, "Editor Pro").lacks(t, "quantity."+viewer.ID)
		// The total is the same without it; still nobody orders what they were not shown.
		page = b.press(t, page, "continue", ada()).has(t, gone, "Editor Pro").lacks(t, "quantity."+viewer.ID)
		if n := d.count(t, "orders"); n != 0 {
			t.Errorf("%d orders", n)
		}
		b.page(t).lacks(t, gone)
		d.knock(t, ask{method: remove, path: "/v1/products/" + d.product.ID, key: d.shop.TestKey}).ok(t, 200)
		b.page(t).has(t, "Your cart is empty", gone)
		b.press(t, page, "continue", ada()).has(t, "Your cart is empty", gone)
		b.page(t).has(t, "Your cart is empty").lacks(t, gone)
		if n := d.count(t, "orders"); n != 0 {
			t.Errorf("%d orders", n)
		}
	})
}

func TestCheckoutHeaders(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s)
		b := d.till()
		page := b.buy(t, "/buy/"+d.product.ID)
		for _, got := range []answer{page, b.press(t, page, "continue", nil).ok(t, 422)} {
			for name, want := range map[string]string{"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY"} {
				if got.header.Get(name) != want {
					t.Errorf("%s is %q", name, got.header.Get(name))
				}
			}
			if p := got.header.Get("Content-Security-Policy"); !strings.Contains(p, "default-src 'none'") || strings.Contains(p, "unsafe") {
				t.Errorf("policy %q", p)
			}
			for _, inline := range []string{" style=", " onclick=", "<style"} {
				if strings.Contains(string(got.body), inline) {
					t.Errorf("the policy forbids %s", inline)
				}
			}
			for name := range b.cookies {
				if strings.Contains(string(got.body), b.cookies[name]) {
					t.Errorf("the page has the cookie %s", name)
				}
			}
		}
	})
}

func TestCheckoutLimitsCodes(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s)
		b := d.till()
		page := b.buy(t, "/buy/"+d.product.ID)
		for range codesTried.n {
			_ = d.allowKey(codesTried, "0.0.0.0/32")
		}
		b.press(t, page, "coupon", url.Values{"coupon": {"GUESS"}, "email": {"ada@example.com"}}).has(t, "Too many promotion codes", "ada@example.com")
	})
}

// What is no text ends as what is not there, not as an error of the database's.
func TestCheckoutOfWhatIsNoText(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s)
		b := d.till()
		page := b.buy(t, "/buy/"+d.product.ID)
		path, _, _ := strings.Cut(b.path, "?")
		for _, field := range []string{"currency", "cart", "action", "coupon", "method", "total", "quantity." + d.product.ID, "quantity.\xfe"} {
			form := formOf(page)
			form.Set("action", "update")
			form.Set(field, "\xfe\x1a\x00R\x13")
			if got := b.post(t, path, form); got.status >= 500 {
				t.Errorf("%s: %d %s", field, got.status, got.body)
			}
		}
	})
}
