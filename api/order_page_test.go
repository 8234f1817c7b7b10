package api

import (
	"bytes"
	"compress/zlib"
	"io"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

// delivered makes the licences of an order count as sent.
func (d *catalogue) delivered(t testing.TB, o *models.OrderView) {
	t.Helper()
	now := time.Now().UTC()
	storetest.Exec(t, d.store, `UPDATE licenses SET delivered_at = $1 WHERE item_id = $2`, now, o.Items[0].ID)
	storetest.Exec(t, d.store, `UPDATE items SET fulfillment_status = 'delivered', delivered_at = $1 WHERE id = $2`, now, o.Items[0].ID)
	storetest.Exec(t, d.store, `UPDATE orders SET fulfillment_status = 'delivered', delivered_at = $1 WHERE id = $2`, now, o.ID)
}

func TestOrderPageShowsLicencesWhereItMay(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newCatalogue(t, s)
		const key = `KEY-<b>&"1"</b>`
		o := d.licensed(t, d.shop.Test, key)
		d.browser().get(t, pathOf(o.OrderURL)).ok(t, 200).hides(t, "KEY-") // nothing is shown before it is delivered
		d.delivered(t, o)
		page := d.browser().get(t, pathOf(o.OrderURL)).ok(t, 200)
		page.shows(t, "KEY-&lt;b&gt;&amp;&#34;1&#34;&lt;/b&gt;", `data-copy="`+o.Items[0].Licenses[0].ID+`"`, "Delivered", o.Number, pathOf(o.OrderURL)+"/receipt.pdf", "TEST MODE", `content="noindex"`)
		page.hides(t, key, `name="reason"`, "/pay/")
		for name, want := range map[string]string{"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"} {
			if page.header.Get(name) != want {
				t.Errorf("%s: %q", name, page.header.Get(name))
			}
		}

		waits := storetest.PaidOrder(t, s, d.shop.Test, "editor-pro", 1)
		d.browser().get(t, pathOf(waits.OrderURL)).ok(t, 200).shows(t, `http-equiv="refresh"`, "preparing your delivery")
		storetest.Exec(t, s, `UPDATE items SET waiting_for = 'pool', waiting_since = $1 WHERE order_id = $2`, time.Now().UTC(), waits.ID)
		d.browser().get(t, pathOf(waits.OrderURL)).ok(t, 200).shows(t, "out of stock at the moment")
		storetest.Exec(t, s, `UPDATE items SET waiting_for = NULL, waiting_since = NULL, fulfillment_status = 'failed', failure = 'secret reason' WHERE order_id = $1`, waits.ID)
		failed := d.browser().get(t, pathOf(waits.OrderURL)).ok(t, 200)
		failed.shows(t, "could not deliver this yet")
		failed.hides(t, "secret reason")

		if _, err := s.UpdateProduct(t.Context(), d.shop.Test, d.product.ID, models.ProductPatch{ShowLicenseOnOrderPage: models.Some(false)}); err != nil {
			t.Fatal(err)
		}
		hidden := d.browser().get(t, pathOf(o.OrderURL)).ok(t, 200)
		hidden.hides(t, "KEY-", "data-copy=")
		hidden.shows(t, "sent to you by email")
	})
}

func TestOrderPageEscapesNamesAndLeadsBack(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s)
		const hostile = `<script>alert("1")</script>`
		if _, err := s.UpdateProduct(t.Context(), d.shop.Test, d.product.ID, models.ProductPatch{Name: models.Some(hostile)}); err != nil {
			t.Fatal(err)
		}
		o := d.order(t)
		b := d.browser()
		for _, path := range []string{pathOf(o.OrderURL), pathOf(o.PaymentURL)} {
			page := b.get(t, path).ok(t, 200)
			page.hides(t, "<script>alert")
			page.shows(t, "&lt;script&gt;alert", `href="https://shop.example/thanks"`)
		}
		b.get(t, pathOf(o.OrderURL)).shows(t, `href="`+pathOf(o.PaymentURL)+`"`, "Not paid yet")
		for _, tt := range tongues {
			page := b.get(t, pathOf(o.PaymentURL)+"?locale="+tt.Locale).ok(t, 200)
			page.shows(t, `<html lang="`+tt.Locale+`">`, (words{tt.Locale}).T("pay.number"))
			b.get(t, pathOf(o.OrderURL)+"?locale="+tt.Locale).ok(t, 200).shows(t, (words{tt.Locale}).T("order.state_unpaid"))
		}
		d.knock(t, ask{method: "GET", path: pathOf(o.OrderURL) + "/receipt.pdf"}).want(t, 404, codeNotFound)
	})
}

var pdfStream = regexp.MustCompile(`(?s)stream\r?\n(.*?)\r?\nendstream`)

// TestReceiptIsAPDF prints receipts of every language, with names in letters that no font here has.
func TestReceiptIsAPDF(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s)
		if _, err := s.UpdateProduct(t.Context(), d.shop.Test, d.product.ID, models.ProductPatch{Name: models.Some("Редактор 編集 😀 " + strings.Repeat("long ", 30))}); err != nil {
			t.Fatal(err)
		}
		o := storetest.PaidOrder(t, s, d.shop.Test, "editor-pro", 2)
		for _, tt := range tongues {
			got := d.browser().get(t, pathOf(o.OrderURL)+"/receipt.pdf?locale="+tt.Locale).ok(t, 200)
			if ct := got.header.Get("Content-Type"); ct != "application/pdf" || got.header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s, %s", ct, got.header.Get("Cache-Control"))
			}
			if !bytes.HasPrefix(got.body, []byte("%PDF-1.")) || !bytes.HasSuffix(bytes.TrimSpace(got.body), []byte("%%EOF")) || !bytes.Contains(got.body, []byte("startxref")) {
				t.Errorf("%s: not a PDF: %.40q", tt.Locale, got.body)
			}
			drawn := false
			for _, m := range pdfStream.FindAllSubmatch(got.body, -1) {
				if z, err := zlib.NewReader(bytes.NewReader(m[1])); err == nil {
					text, _ := io.ReadAll(z) // fonts among them are not text
					drawn = drawn || bytes.Contains(text, utf16BE("98"))
				}
			}
			if !drawn {
				t.Errorf("%s: the total is not on the receipt", tt.Locale)
			}
		}
	})
}

// utf16BE is ASCII as PDF has the texts of Unicode fonts.
func utf16BE(text string) []byte {
	var out []byte
	for i := range len(text) {
		out = append(out, 0, text[i])
	}
	return out
}

func TestRefundIsRequestedOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newCatalogue(t, s)
		o := d.licensed(t, d.shop.Test, "KEY-1")
		d.delivered(t, o)
		path, b := pathOf(o.OrderURL), d.browser()
		refunds := func() int { return storetest.Count(t, s, `SELECT COUNT(*) FROM refunds WHERE order_id = $1`, o.ID) }
		if _, err := s.UpdateSettings(t.Context(), d.shop.Test, models.SettingsPatch{RefundRequests: models.Some(true)}); err != nil {
			t.Fatal(err)
		}
		page := b.get(t, path).ok(t, 200)
		page.shows(t, `<label for="reason">`)
		form := url.Values{"csrf": {csrf(t, page)}}
		b.post(t, path, form).ok(t, 422).shows(t, `aria-describedby="reason-error"`)
		form.Set("reason", strings.Repeat("x", 501))
		b.post(t, path, form).ok(t, 422).shows(t, "at most 500")
		form.Set("reason", "<i>It does not fit</i>")
		d.browser().post(t, path, form).ok(t, 403)
		if n := refunds(); n != 0 {
			t.Fatalf("%d refunds", n)
		}
		b.post(t, path, form).leadsTo(t, path)
		b.post(t, path, form).leadsTo(t, path)
		if n := refunds(); n != 1 {
			t.Errorf("%d refunds", n)
		}
		asked := b.get(t, path).ok(t, 200)
		asked.shows(t, "You have asked for 49.00")
		asked.hides(t, `name="reason"`)

		if _, err := s.UpdateSettings(t.Context(), d.shop.Test, models.SettingsPatch{RefundRequests: models.Some(false)}); err != nil {
			t.Fatal(err)
		}
		other := pathOf(storetest.PaidOrder(t, s, d.shop.Test, "editor-pro", 1).OrderURL)
		b.get(t, other).hides(t, `name="reason"`)
		b.post(t, other, form).leadsTo(t, other)
		if n := storetest.Count(t, s, `SELECT COUNT(*) FROM refunds`); n != 1 {
			t.Errorf("%d refunds although they are not requested here", n)
		}
	})
}

func TestLostPageTellsNothing(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s)
		storetest.PaidOrder(t, s, d.shop.Test, "editor-pro", 1)
		m, err := s.Merchant(t.Context(), d.shop.ID)
		if err != nil {
			t.Fatal(err)
		}
		path, b := "/lost/"+m.Slug, d.browser()
		mails := func() int { return storetest.Count(t, s, `SELECT COUNT(*) FROM emails WHERE kind = 'order_links'`) }
		page := b.get(t, path).ok(t, 200)
		page.shows(t, `autocomplete="email"`, `type="email"`)
		form := url.Values{"csrf": {csrf(t, page)}}
		for _, email := range []string{"", "x", "Ada <ada@example.com>", "a@b\r\nBcc: c@d"} {
			form.Set("email", email)
			b.post(t, path, form).ok(t, 422).shows(t, `aria-describedby="email-error"`)
		}
		var bodies [][]byte
		for _, email := range []string{"stranger@example.com", "ADA@example.com", "ada@example.com", "ada@example.com", "ada@example.com"} {
			form.Set("email", email)
			b.post(t, path, form).leadsTo(t, path+"?sent=1")
			bodies = append(bodies, b.get(t, path+"?sent=1").ok(t, 200).body)
			if want := min(len(bodies)-1, 1); mails() != want {
				t.Errorf("%d emails after %s, want %d", mails(), email, want)
			}
		}
		for _, body := range bodies[1:] {
			if !bytes.Equal(body, bodies[0]) {
				t.Errorf("the answers differ:\n%s\n%s", bodies[0], body)
			}
		}
		for range linksAsked.n {
			b.post(t, path, form)
		}
		if got := b.post(t, path, form); got.status != 429 || got.header.Get("Retry-After") == "" {
			t.Errorf("answered %d", got.status)
		}
		b.get(t, "/buy/"+d.product.ID).ok(t, 303) // whoever has asked for too many letters may buy yet
		if got := b.get(t, "/lost/nobody"); got.status != 404 {
			t.Errorf("answered %d", got.status)
		}
	})
}
