package api

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/purser-dev/purser/handlers/payment"
	"github.com/purser-dev/purser/handlers/payment/paymenttest"
	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

// stripeShop is a door whose shop takes cards by Stripe, with a stand-in for Stripe behind it.
type stripeShop struct {
	*door
	*paymenttest.StripeServer
	method string
}

func newStripeShop(t testing.TB, s *models.Store) stripeShop {
	t.Helper()
	server := paymenttest.NewStripeServer(t, paymenttest.NewClock(time.Now()))
	d := newDoor(t, s, func(c *Config) {
		c.OpenGateway = func(gateway string, config json.RawMessage) (payment.Gateway, error) {
			if gateway != models.GatewayStripe {
				return payment.Open(gateway, config)
			}
			return payment.NewStripe(payment.StripeConfig{SecretKey: server.Key, WebhookSecrets: []string{server.WebhookSecret}, APIBase: server.URL})
		}
	})
	config := `{"secret_key":"` + server.Key + `","webhook_secrets":["` + server.WebhookSecret + `"]}`
	return stripeShop{d, server, d.paymentMethod(t, d.shop.TestKey, "card", "stripe", config)}
}

// toStripe presses the button of a payment page, and returns the page of Stripe's that it leads to: its session.
func (d stripeShop) toStripe(t testing.TB, b *browser, pay string) string {
	t.Helper()
	page := b.get(t, pay).ok(t, 200)
	return d.pressed(t, b, pay, url.Values{"csrf": {csrf(t, page)}, "attempt": {attemptOf(t, page)}, "method": {"card"}})
}

func (d stripeShop) pressed(t testing.TB, b *browser, pay string, form url.Values) string {
	t.Helper()
	to := b.post(t, pay, form).ok(t, 303).header.Get("Location")
	session, ok := strings.CutPrefix(to, "https://checkout.stripe.com/c/pay/")
	if !ok {
		t.Fatalf("led to %s", to)
	}
	return session
}

// back is the address to which Stripe sends the customer who has paid.
func (d stripeShop) back(t testing.TB) string {
	t.Helper()
	for _, r := range d.Requests() {
		if to := r.Form.Get("success_url"); to != "" {
			return pathOf(to)
		}
	}
	t.Fatal("Stripe was told no address")
	return ""
}

// hears lets Stripe tell of a session, as often as it likes.
func (d stripeShop) hears(t testing.TB, kind, id string, times int) {
	t.Helper()
	for range times {
		header, body := d.Event(kind, id)
		h := map[string]string{}
		for name := range header {
			h[name] = header.Get(name)
		}
		d.knock(t, ask{method: post, path: "/gateway/stripe/callback/" + d.method, body: body, header: h}).ok(t, 200)
	}
	d.apply(t)
}

func TestStripeCustomerIsFasterThanTheCallback(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newStripeShop(t, s)
		b, o := d.browser(), d.order(t, func(body map[string]any) { delete(body, "return_url") })
		order := pathOf(o.OrderURL)
		session := d.toStripe(t, b, pathOf(o.PaymentURL))
		back := d.back(t)

		// Whoever opens the address without having paid, or while Stripe is down, sees an order that is not paid.
		b.get(t, back).leadsTo(t, order)
		d.Fail(500, `{}`)
		b.get(t, back).leadsTo(t, order)
		if got := d.orderNow(t, o.ID); got.Status != models.OrderNotPaid || got.Payments[0].Status != models.PaymentRequiresAction {
			t.Fatalf("the order is %s, its payment %s", got.Status, got.Payments[0].Status)
		}

		d.Pay(session)
		b.get(t, back).leadsTo(t, order)
		if got := d.orderNow(t, o.ID); got.Status != models.OrderPaid || len(got.Payments) != 1 {
			t.Fatalf("the order is %s with %d payments", got.Status, len(got.Payments))
		}
		d.hears(t, "checkout.session.completed", session, 3)
		b.get(t, back).leadsTo(t, order)
		if got := d.orderNow(t, o.ID); len(got.Payments) != 1 || d.events(t, o.ID) != "payment.succeeded" || d.Sessions() != 1 {
			t.Errorf("%d payments, %d pages, events %s", len(got.Payments), d.Sessions(), d.events(t, o.ID))
		}
		if n := d.count(t, "gateway_callbacks"); n != 1 {
			t.Errorf("%d callbacks are in the inbox", n)
		}
		if n := len(storetest.Jobs(t, s, jobs.KindFulfil)); n != 1 {
			t.Errorf("fulfilled %d times", n)
		}
	})
}

// A double click, a reload, the back button and a second tab make one page that can be paid, and one payment.
func TestStripeChargesOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newStripeShop(t, s)
		b, o := d.browser(), d.order(t, func(body map[string]any) { delete(body, "return_url") })
		pay := pathOf(o.PaymentURL)
		page := b.get(t, pay).ok(t, 200)
		form := url.Values{"csrf": {csrf(t, page)}, "attempt": {attemptOf(t, page)}, "method": {"card"}}
		first := d.pressed(t, b, pay, form)
		if again := d.pressed(t, b, pay, form); again != first || d.Sessions() != 1 {
			t.Errorf("pressed twice: %s and %s, %d pages", first, again, d.Sessions())
		}

		// Another tab gets a page of its own, and the first can no longer be paid.
		second := d.toStripe(t, b, pay)
		if _, body := d.Event("checkout.session.expired", first); second == first || !strings.Contains(string(body), `"status": "expired"`) {
			t.Errorf("the page %s is open beside %s: %s", first, second, body)
		}
		// Stripe tells of its end late, which ends nothing else.
		d.hears(t, "checkout.session.expired", first, 1)
		d.Pay(second)

		// Back in the first tab, before any callback: the customer has paid, and is not asked to pay again.
		third := b.get(t, pay).ok(t, 200)
		b.post(t, pay, url.Values{"csrf": {csrf(t, third)}, "attempt": {attemptOf(t, third)}, "method": {"card"}}).leadsTo(t, pay)
		b.get(t, pay).leadsTo(t, pathOf(o.OrderURL))
		d.hears(t, "checkout.session.completed", second, 2)
		if got := d.orderNow(t, o.ID); got.Status != models.OrderPaid || d.Sessions() != 2 || d.succeeded(t, o.ID) != 1 || d.events(t, o.ID) != "payment.succeeded" {
			t.Errorf("the order is %s, %d pages, %d payments succeeded, events %s", got.Status, d.Sessions(), d.succeeded(t, o.ID), d.events(t, o.ID))
		}
	})
}

// timeline lists the kinds of an order's timeline that begin with a prefix.
func (d *door) timeline(t testing.TB, order, prefix string) (found []models.TimelineEntry) {
	t.Helper()
	var all struct{ Data []models.TimelineEntry }
	d.knock(t, ask{method: get, path: "/v1/orders/" + order + "/timeline", key: d.shop.TestKey}).ok(t, 200).into(t, &all)
	for _, e := range all.Data {
		if strings.HasPrefix(e.Kind, prefix) {
			found = append(found, e)
		}
	}
	return found
}

// What Stripe tells of refunds is kept, and seen by staff.
func TestStripeTellsOfRefunds(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newStripeShop(t, s)
		d.knock(t, ask{method: patch, path: "/v1/settings", key: d.shop.TestKey, body: `{"refund_requests":true}`}).ok(t, 200)
		b, o := d.browser(), d.order(t)
		session := d.toStripe(t, b, pathOf(o.PaymentURL))
		d.Pay(session)
		d.hears(t, "checkout.session.completed", session, 1)

		// Somebody gives money back in Stripe's Dashboard.
		d.RefundAtStripe(session, 500)
		d.hears(t, "charge.refunded", session, 3)
		seen := d.timeline(t, o.ID, "refund.elsewhere")
		if len(seen) != 1 || seen[0].Actor != "gateway:stripe" || seen[0].Detail["amount"] != 500.0 || seen[0].Detail["recorded"] != 0.0 || seen[0].Detail["currency"] != "EUR" {
			t.Errorf("the timeline has %+v", seen)
		}

		// The customer asks for a refund, which is made, and Stripe tells how it goes.
		if err := s.RequestRefund(t.Context(), strings.TrimPrefix(pathOf(o.OrderURL), "/order/"), "It does not start."); err != nil {
			t.Fatal(err)
		}
		asked, err := s.OpenRefund(t.Context(), o.ID)
		if err != nil || asked == nil {
			t.Fatal(asked, err)
		}
		gateway, err := d.gateways.Find(t.Context(), "stripe", d.method)
		if err != nil {
			t.Fatal(err)
		}
		out, err := gateway.Refund(t.Context(), payment.RefundRequest{RefundID: asked.ID, Reference: session, Amount: 1000, Currency: "EUR", CreatedAt: asked.CreatedAt})
		if err != nil {
			t.Fatal(err)
		}
		d.hears(t, "refund.updated", out.Reference, 2)
		d.SettleRefund(out.Reference, "failed", "expired_or_canceled_card")
		d.hears(t, "refund.failed", out.Reference, 2)
		var told []any
		for _, e := range d.timeline(t, o.ID, "refund.told") {
			told = append(told, e.Detail["told"])
			if e.Detail["refund"] != asked.ID || e.Detail["reference"] != out.Reference {
				t.Errorf("told %+v", e)
			}
		}
		if !slices.Equal(told, []any{"succeeded", "failed"}) {
			t.Errorf("told %v", told)
		}
		if got := d.orderNow(t, o.ID); got.Status != models.OrderPaid || len(got.Payments) != 1 {
			t.Errorf("the order is %s with %d payments", got.Status, len(got.Payments))
		}
		if n := storetest.Count(t, s, "SELECT COUNT(*) FROM gateway_callbacks WHERE applied_at IS NOT NULL"); n != 4 || d.count(t, "gateway_callbacks") != n {
			t.Errorf("%d of %d callbacks are applied", n, d.count(t, "gateway_callbacks"))
		}
	})
}
