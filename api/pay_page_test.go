package api

import (
	"bytes"
	"fmt"
	"image/png"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

const (
	goodCard     = "4242 4242 4242 4242"
	declinedCard = "4000000000000002"
)

var attemptField = regexp.MustCompile(`name="attempt" value="([^"]+)"`)

func attemptOf(t testing.TB, page answer) string {
	t.Helper()
	m := attemptField.FindSubmatch(page.body)
	if m == nil {
		t.Fatalf("no attempt in %s", page.body)
	}
	return string(m[1])
}

// pathOf is where a link of the service leads to.
func pathOf(link string) string { return strings.TrimPrefix(link, storetest.PublicURL) }

// cardFormOf is the filled-in card form of a payment page.
func cardFormOf(t testing.TB, page answer, number string) url.Values {
	t.Helper()
	return url.Values{
		"csrf": {csrf(t, page)}, "attempt": {attemptOf(t, page)}, "method": {"card"}, "number": {number},
		"expiry": {fmt.Sprintf("12/%d", (time.Now().Year()+3)%100)}, "cvc": {"123"},
	}
}

func (d *door) succeeded(t testing.TB, orderID string) int {
	t.Helper()
	return storetest.Count(t, d.store, `SELECT COUNT(*) FROM payments WHERE order_id = $1 AND status = 'succeeded'`, orderID)
}

func (a answer) leadsTo(t testing.TB, path string) {
	t.Helper()
	if a.ok(t, 303); a.header.Get("Location") != path {
		t.Errorf("leads to %s, want %s", a.header.Get("Location"), path)
	}
}

func (a answer) shows(t testing.TB, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !bytes.Contains(a.body, []byte(text)) {
			t.Errorf("no %q in %s", text, a.body)
		}
	}
}

func (a answer) hides(t testing.TB, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if bytes.Contains(a.body, []byte(text)) {
			t.Errorf("%q is in %s", text, a.body)
		}
	}
}

func TestPayPageDeclinesThenSucceeds(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s)
		o := d.order(t)
		pay, order, b := pathOf(o.PaymentURL), pathOf(o.OrderURL), d.browser()
		page := b.get(t, pay).ok(t, 200)
		page.shows(t, `autocomplete="cc-number"`, `autocomplete="cc-exp"`, `autocomplete="cc-csc"`, `inputmode="numeric"`, "98.00\u00a0EUR", o.Number, "TEST MODE", `content="noindex"`)
		for name, want := range map[string]string{"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY"} {
			if page.header.Get(name) != want {
				t.Errorf("%s: %q", name, page.header.Get(name))
			}
		}
		form := cardFormOf(t, page, "4242 4242 4242 4241")
		form.Set("cvc", "1")
		form.Set("expiry", "13/x")
		wrong := b.post(t, pay, form).ok(t, 422)
		wrong.shows(t, `aria-describedby="number-error"`, `id="expiry-error"`, `id="cvc-error"`, `value="13/x"`)
		wrong.hides(t, "4241")

		b.post(t, pay, cardFormOf(t, wrong, declinedCard)).leadsTo(t, pay)
		failed := b.get(t, pay).ok(t, 200)
		failed.shows(t, "The card was declined", `role="alert"`)
		if n := d.succeeded(t, o.ID); n != 0 {
			t.Fatalf("%d payments succeeded", n)
		}
		b.post(t, pay, cardFormOf(t, failed, goodCard)).leadsTo(t, order)
		b.get(t, pay).leadsTo(t, order)
		b.post(t, pay, cardFormOf(t, failed, goodCard)).leadsTo(t, pay) // a reload of the sent form
		if n := d.succeeded(t, o.ID); n != 1 {
			t.Errorf("%d payments succeeded", n)
		}
		for _, secret := range []string{"4242424242424242", goodCard, strings.TrimPrefix(pay, "/pay/")} {
			if strings.Contains(d.log.String(), secret) {
				t.Errorf("%s is in the log", secret)
			}
		}
	})
}

func TestPayPageChargesOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s)
		for name, own := range map[string]bool{"one attempt": false, "attempts of their own": true} {
			o := d.order(t)
			pay, b := pathOf(o.PaymentURL), d.browser()
			page := b.get(t, pay).ok(t, 200)
			var wg sync.WaitGroup
			for range 20 {
				form := cardFormOf(t, page, goodCard)
				if own {
					form.Set("attempt", newAttempt())
				}
				wg.Go(func() {
					if got := b.post(t, pay, form); got.status != 303 {
						t.Errorf("%s: %d %s", name, got.status, got.body)
					}
				})
			}
			wg.Wait()
			if n := d.succeeded(t, o.ID); n != 1 {
				t.Errorf("%s: %d payments succeeded", name, n)
			}
			all := storetest.Count(t, s, `SELECT COUNT(*) FROM payments WHERE order_id = $1`, o.ID)
			if all != 1 {
				t.Errorf("%s: %d payments", name, all)
			}
		}
	})
}

func (d *door) bankTransfer(t *testing.T) {
	t.Helper()
	d.knock(t, ask{method: "POST", path: "/v1/payment-methods", key: d.shop.TestKey, body: map[string]any{
		"method": "bank_transfer", "gateway": "bank_transfer", "currencies": []string{"EUR"},
		"config": map[string]any{"account_holder": "Shop <b>& Co", "iban": "DE89370400440532013000", "bic": "COBADEFFXXX", "bank_name": "Commerzbank"},
	}}).ok(t, 201)
}

func TestPayPageSwitchesFromTransferToCard(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s)
		d.bankTransfer(t)
		o := d.order(t)
		pay, b := pathOf(o.PaymentURL), d.browser()
		d.knock(t, ask{method: "GET", path: pay + "/qr.png"}).want(t, 404, codeNotFound)
		page := b.get(t, pay).ok(t, 200)
		form := url.Values{"csrf": {csrf(t, page)}, "attempt": {attemptOf(t, page)}, "method": {"bank_transfer"}}
		b.post(t, pay, form).leadsTo(t, pay)
		b.post(t, pay, form).leadsTo(t, pay)
		told := b.get(t, pay).ok(t, 200)
		told.shows(t, "DE89 3704 0044 0532 0130 00", "COBADEFFXXX", "RF", "98.00\u00a0EUR", "ada@example.com", pay+"/qr.png", "Shop &lt;b&gt;&amp; Co", `autocomplete="cc-number"`)
		if n := storetest.Count(t, s, `SELECT COUNT(*) FROM payments WHERE order_id = $1`, o.ID); n != 1 {
			t.Errorf("%d payments", n)
		}
		code := b.get(t, pay+"/qr.png").ok(t, 200)
		if picture, err := png.Decode(bytes.NewReader(code.body)); err != nil || picture.Bounds().Dx() < 200 {
			t.Errorf("QR code: %v", err)
		}
		b.post(t, pay, cardFormOf(t, told, goodCard)).leadsTo(t, pathOf(o.OrderURL))
		d.knock(t, ask{method: "GET", path: pay + "/qr.png"}).want(t, 404, codeNotFound)
		if n := d.succeeded(t, o.ID); n != 1 {
			t.Errorf("%d payments succeeded", n)
		}
	})
}

func TestPayPageStates(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s)
		b := d.browser()
		later := d.order(t)
		pay := pathOf(later.PaymentURL)
		b.post(t, pay, cardFormOf(t, b.get(t, pay), "4000000000000077")).leadsTo(t, pay)
		waiting := b.get(t, pay).ok(t, 200)
		waiting.shows(t, `http-equiv="refresh" content="3"`, "being confirmed")
		waiting.hides(t, `name="attempt"`)
		b.get(t, pathOf(later.OrderURL)).ok(t, 200).shows(t, "being confirmed")

		confirm := d.order(t)
		pay = pathOf(confirm.PaymentURL)
		sent := b.post(t, pay, cardFormOf(t, b.get(t, pay), "4000002500003155")).ok(t, 303)
		if to := sent.header.Get("Location"); !strings.HasPrefix(to, "/gateway/test/") {
			t.Errorf("leads to %s", to)
		}
		b.get(t, pay).ok(t, 200).shows(t, sent.header.Get("Location"), "One step is missing", `name="attempt"`)

		for id, want := range map[string]string{"cancelled": "was cancelled", "expired": "has expired"} {
			gone := d.order(t)
			if _, err := s.CancelOrder(t.Context(), d.shop.Test, gone.ID, "", "test"); err != nil {
				t.Fatal(err)
			}
			storetest.Exec(t, s, `UPDATE orders SET delete_reason = $1 WHERE id = $2`, id, gone.ID)
			page := b.get(t, pathOf(gone.PaymentURL)).ok(t, 410)
			page.shows(t, want, gone.Number)
			page.hides(t, `name="attempt"`)
			b.get(t, pathOf(gone.OrderURL)).ok(t, 200).shows(t, want)
		}
		for _, path := range []string{"/pay/", "/order/"} {
			for _, token := range []string{"x", strings.Repeat("A", 32), strings.TrimPrefix(pay, "/pay/")[:31] + "!", "' OR 1=1 --"} {
				if got := d.browser().get(t, path+url.PathEscape(token)); got.status != 404 {
					t.Errorf("%s%s answered %d", path, token, got.status)
				}
			}
		}
		page := b.get(t, pay)
		form := cardFormOf(t, page, goodCard)
		form.Set("csrf", "no")
		b.post(t, pay, form).ok(t, 403)
		d.browser().post(t, pay, cardFormOf(t, page, goodCard)).ok(t, 403)
		if n := d.succeeded(t, confirm.ID); n != 0 {
			t.Errorf("%d payments succeeded", n)
		}
	})
}
