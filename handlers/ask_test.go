package handlers_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/purser-dev/purser/handlers"
	"github.com/purser-dev/purser/handlers/payment"
	"github.com/purser-dev/purser/handlers/payment/paymenttest"
	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

// account is a merchant's account at a stand-in for Stripe that sends no callbacks at all.
type account struct {
	*paymenttest.StripeServer
	b      *bench
	method string
}

func (b *bench) stripe() *account {
	b.Helper()
	server := paymenttest.NewStripeServer(b, paymenttest.NewClock(time.Now()))
	config, err := json.Marshal(map[string]any{"secret_key": server.Key, "webhook_secrets": []string{server.WebhookSecret}})
	if err != nil {
		b.Fatal(err)
	}
	m, err := b.store.CreatePaymentMethod(b.Context(), b.shop.Test, models.PaymentMethodInput{
		Method: "card", Gateway: models.GatewayStripe, Public: json.RawMessage(`{}`), Whole: config, Active: true,
	})
	if err != nil {
		b.Fatal(err)
	}
	b.product("app", models.MethodTemplate, `{}`)
	return &account{server, b, m.ID}
}

func (a *account) open(string, json.RawMessage) (payment.Gateway, error) {
	return payment.NewStripe(payment.StripeConfig{SecretKey: a.Key, WebhookSecrets: []string{a.WebhookSecret}, APIBase: a.URL})
}

// work starts a worker that knows the account.
func (a *account) work() { a.b.work(func(c *handlers.Config) { c.OpenGateway = a.open }) }

// page sends the customer of a new order to a payment page.
func (a *account) page() (*models.OrderView, *models.Payment) {
	b := a.b
	b.Helper()
	o := storetest.Order(b, b.store, b.shop.Test, "app", 1)
	p, err := b.store.BeginPayment(b.Context(), b.shop.Test, o.ID, models.NewPayment{
		Method: "card", Gateway: models.GatewayStripe, MethodID: a.method, Class: "online", Actor: "customer",
	})
	if err != nil {
		b.Fatal(err)
	}
	gateway, err := a.open("", nil)
	if err != nil {
		b.Fatal(err)
	}
	out, err := gateway.Charge(b.Context(), payment.ChargeRequest{
		PaymentID: p.ID, OrderNumber: o.Number, Amount: p.Amount, Currency: p.Currency, CreatedAt: p.CreatedAt, ReturnURL: o.OrderURL,
	})
	if err != nil || out.PollAfter <= 0 {
		b.Fatalf("charge: %+v, %v", out, err)
	}
	p, err = b.store.ApplyPayment(b.Context(), p.ID, models.PaymentResult{
		Status: models.PaymentRequiresAction, Reference: out.Reference, RedirectURL: out.RedirectURL, Ask: out.PollAfter,
	}, "customer")
	if err != nil || p.Status != models.PaymentRequiresAction {
		b.Fatalf("apply: %+v, %v", p, err)
	}
	return o, p
}

// goOff lets the time come for the promise to ask about a payment.
func (b *bench) goOff() models.Job {
	b.Helper()
	j := b.waiting()
	storetest.Exec(b, b.store, `UPDATE jobs SET run_at = $1 WHERE id = $2`, time.Now().UTC().Add(-time.Second).Truncate(time.Microsecond), j.ID)
	b.relay()
	return j
}

// A payment whose callback is lost for good is found by itself.
func TestALostCallbackIsMadeGood(t *testing.T) {
	each(t, func(b *bench) {
		a := b.stripe()
		a.work()
		o, p := a.page()
		if wait := time.Until(b.waiting().RunAt); wait < time.Minute || wait > 2*time.Minute {
			b.Errorf("the gateway is asked in %v", wait)
		}
		// Not paid yet: asked again, each time after a longer pause.
		for range 2 {
			asked := b.jobIn(b.goOff().ID, models.JobDone)
			if next := b.waiting(); next.ID == asked.ID || next.RunAt.Sub(*asked.FinishedAt) < 110*time.Second {
				b.Errorf("asked again at %v, after %v", next.RunAt, asked.FinishedAt)
			}
		}
		if got := b.order(o.ID); got.Status != models.OrderNotPaid || got.Payments[0].Status != models.PaymentRequiresAction {
			b.Errorf("the order is %s, its payment %s", got.Status, got.Payments[0].Status)
		}
		a.Pay(p.Reference)
		b.goOff()
		if got := b.delivered(o.ID); len(got.Payments) != 1 || got.Payments[0].Status != models.PaymentSucceeded {
			b.Errorf("payments %+v", got.Payments)
		}
		b.idle()
		b.sound()
	})
}

// While the customer takes longer, the pauses grow up to their bound; a payment that is open after a month is left to people.
func TestThePausesBetweenQuestionsGrow(t *testing.T) {
	each(t, func(b *bench) {
		a := b.stripe()
		_, p := a.page()
		a.work()
		for _, tc := range []struct{ age, least, most time.Duration }{
			{time.Minute, 2 * time.Minute, 2 * time.Minute},
			{time.Hour, time.Hour, time.Hour + time.Minute},
			{20 * time.Hour, 6 * time.Hour, 6 * time.Hour},
		} {
			storetest.Exec(b, b.store, `UPDATE payments SET created_at = $1 WHERE id = $2`, time.Now().UTC().Add(-tc.age).Truncate(time.Microsecond), p.ID)
			asked := b.jobIn(b.goOff().ID, models.JobDone)
			if pause := b.waiting().RunAt.Sub(*asked.FinishedAt); pause < tc.least-time.Second || pause > tc.most+time.Second {
				b.Errorf("asked %v after it was begun, and again in %v", tc.age, pause)
			}
		}
		storetest.Exec(b, b.store, `UPDATE payments SET created_at = $1 WHERE id = $2`, time.Now().UTC().Add(-31*24*time.Hour).Truncate(time.Microsecond), p.ID)
		b.goOff()
		b.idle()
	})
}

// Money that takes its gateway days, and comes without a callback.
func TestSlowMoneyIsFoundWithoutACallback(t *testing.T) {
	each(t, func(b *bench) {
		a := b.stripe()
		a.work()
		o, p := a.page()
		a.PayLater(p.Reference)
		b.jobIn(b.goOff().ID, models.JobDone)
		if got := b.order(o.ID); got.Payments[0].Status != models.PaymentProcessing {
			b.Fatalf("the payment is %s", got.Payments[0].Status)
		}
		if wait := time.Until(b.waiting().RunAt); wait < 50*time.Minute {
			b.Errorf("asked again in %v", wait)
		}
		b.jobIn(b.goOff().ID, models.JobDone)
		b.waiting()
		a.Arrive(p.Reference)
		b.goOff()
		b.delivered(o.ID)
		b.idle()
		b.sound()
	})
}

// The page of a payment that was given up is closed, so that nobody pays on it; whoever was faster has their money recorded as late.
func TestPagesOfPaymentsThatWereGivenUpAreClosed(t *testing.T) {
	each(t, func(b *bench) {
		a := b.stripe()
		a.work()
		slow, closed := a.page()
		fast, paid := a.page()
		a.Pay(paid.Reference)
		for _, id := range []string{slow.ID, fast.ID} {
			if _, err := b.store.CancelOrder(b.Context(), b.shop.Test, id, "", "test"); err != nil {
				b.Fatal(err)
			}
		}
		b.idle()
		gateway, err := a.open("", nil)
		if err != nil {
			b.Fatal(err)
		}
		if out, err := gateway.Status(b.Context(), closed.Reference); err != nil || out.Status != payment.StatusFailed || out.FailureCode != payment.PaymentExpired {
			b.Errorf("the page is %+v, %v", out, err)
		}
		if got := b.order(slow.ID); len(got.Payments) != 1 || got.Payments[0].Status != models.PaymentCancelled {
			b.Errorf("payments %+v", got.Payments)
		}
		got := b.order(fast.ID)
		if got.Status != models.OrderDeleted || len(got.Payments) != 2 || got.Payments[1].Status != models.PaymentSucceeded {
			b.Errorf("the order is %s with the payments %+v", got.Status, got.Payments)
		}
		if n := storetest.Count(b, b.store, `SELECT COUNT(*) FROM events WHERE type = 'payment.late'`); n != 1 {
			b.Errorf("%d payments were told of as late", n)
		}
		if n := len(storetest.Jobs(b, b.store, jobs.KindFulfil)); n != 0 {
			b.Errorf("late money was fulfilled %d times", n)
		}
		b.sound()
	})
}
