package api

import (
	"net/url"
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
		for name, v := range ada("action", "continue") {
			form[name] = v
		}
		led := make([]string, 20)
		var all sync.WaitGroup
		for i := range led {
			all.Go(func() {
				one := &browser{d: d, cookies: map[string]string{}}
				for k, v := range b.cookies {
					one.cookies[k] = v
				}
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
			for k, v := range header {
				h[k] = v
			}
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
