package api

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/purser-dev/purser/handlers/payment"
	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

func (d *door) markPaid(t testing.TB, order, body string) answer {
	t.Helper()
	return d.knock(t, ask{method: post, path: "/v1/orders/" + order + "/mark-paid", key: d.shop.TestKey, body: body})
}

func (d *door) revive(t testing.TB, order string) answer {
	t.Helper()
	return d.knock(t, ask{method: post, path: "/v1/orders/" + order + "/revive", key: d.shop.TestKey})
}

func TestPayingByTransfer(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d, _, _ := newCashier(t, s)
		o := d.order(t)
		var p models.PaymentView
		d.pay(t, o.ID, `{"method":"bank_transfer"}`).ok(t, 201).into(t, &p)
		reference, err := payment.CreditorReference(o.Number)
		if err != nil {
			t.Fatal(err)
		}
		want := models.Instructions{AccountHolder: "Analytical Engines", IBAN: "DE89370400440532013000", BIC: "COBADEFFXXX", Reference: reference, Amount: o.Total, Currency: "EUR"}
		if p.Status != models.PaymentPending || p.Gateway != "bank_transfer" || p.Instructions == nil || *p.Instructions != want || p.RedirectURL != nil {
			t.Fatalf("the payment is %+v with %+v", p, p.Instructions)
		}
		if n := storetest.Count(t, s, "SELECT COUNT(*) FROM emails WHERE kind = 'payment_instructions'"); n != 1 {
			t.Errorf("%d emails with instructions", n)
		}
		var paid models.OrderView
		d.markPaid(t, o.ID, `{"amount":9800,"currency":"EUR","reference":"RF18","note":"Statement 12"}`).ok(t, 200).into(t, &paid)
		if paid.Status != models.OrderPaid || len(paid.Payments) != 1 || paid.Payments[0].Status != models.PaymentSucceeded || paid.Payments[0].ID != p.ID ||
			paid.Payments[0].AmountReceived != nil || paid.Payments[0].CurrencyReceived != nil {
			t.Errorf("the order is %s with %+v", paid.Status, paid.Payments)
		}
		if n := len(storetest.Jobs(t, s, jobs.KindFulfil)); n != 1 {
			t.Errorf("%d fulfilments", n)
		}
		// The same money again is late.
		d.markPaid(t, o.ID, `{"amount":9800,"currency":"EUR"}`).ok(t, 200).into(t, &paid)
		if events := d.events(t, o.ID); events != "payment.succeeded payment.late" || len(paid.Payments) != 2 {
			t.Errorf("events %s, %d payments", events, len(paid.Payments))
		}
	})
}

func TestMoneyThatIsNotWhatWasAskedFor(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d, _, _ := newCashier(t, s)
		for _, money := range []struct {
			amount   int64
			currency string
		}{{9799, "EUR"}, {9801, "EUR"}, {9800, "USD"}, {1, "JPY"}} {
			o := d.order(t)
			d.pay(t, o.ID, `{"method":"bank_transfer"}`).ok(t, 201)
			var got models.OrderView
			d.markPaid(t, o.ID, fmt.Sprintf(`{"amount":%d,"currency":%q}`, money.amount, money.currency)).ok(t, 200).into(t, &got)
			if got.Status != models.OrderNotPaid || d.events(t, o.ID) != "payment.mismatch" {
				t.Errorf("%v: the order is %s, events %s", money, got.Status, d.events(t, o.ID))
			}
			// Both what was asked for and what arrived are told, by the answer and to whoever asks later.
			for _, p := range []models.PaymentView{got.Payments[0], d.orderNow(t, o.ID).Payments[0]} {
				if p.Amount != 9800 || p.Currency != "EUR" || p.AmountReceived == nil || *p.AmountReceived != money.amount ||
					p.CurrencyReceived == nil || *p.CurrencyReceived != money.currency {
					t.Errorf("%v: the payment is %+v", money, p)
				}
			}
		}
		if n := len(storetest.Jobs(t, s, jobs.KindFulfil)); n != 0 {
			t.Errorf("%d fulfilments", n)
		}
		o := d.order(t)
		before := snapshot(t, s)
		for body, field := range map[string]string{
			`{"amount":0,"currency":"EUR"}`: "amount", `{"amount":-1,"currency":"EUR"}`: "amount", `{"amount":1,"currency":"eur"}`: "currency", `{"amount":1}`: "currency",
			`{"amount":1.5,"currency":"EUR"}`: "amount", `{"amount":1,"currency":"EUR","note":"` + strings.Repeat("x", 501) + `"}`: "note",
			`{"amount":1,"currency":"EUR","paid":true}`: "paid",
		} {
			d.markPaid(t, o.ID, body).want(t, 422, codeInvalid, field)
		}
		if after := snapshot(t, s); after != before {
			t.Errorf("something was recorded:\n%s\n%s", before, after)
		}
	})
}

// Money for an order that has expired is kept, and pays the order when staff revive it.
func TestLateMoneyAndReviving(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d, _, method := newCashier(t, s)
		o, p := d.begun(t)
		storetest.Exec(t, s, "UPDATE orders SET unpaid_since = $1 WHERE id = $2", time.Now().UTC().Add(-98*24*time.Hour), o.ID)
		if n, err := s.ExpireOrders(t.Context()); err != nil || n != 1 {
			t.Fatalf("%d orders expired, %v", n, err)
		}
		d.pay(t, o.ID, `{"method":"card"}`).want(t, 409, codeConflict)
		out := succeeded
		out.Reference = "cs_" + p.ID
		for _, event := range []string{"evt_1", "evt_2"} {
			d.callback(t, method, event, p.ID, out).ok(t, 200)
			d.apply(t)
		}
		got := d.orderNow(t, o.ID)
		if got.Status != models.OrderDeleted || d.events(t, o.ID) != "order.deleted payment.late" || len(got.Payments) != 2 || len(storetest.Jobs(t, s, jobs.KindFulfil)) != 0 {
			t.Fatalf("the order is %s with %d payments, events %s", got.Status, len(got.Payments), d.events(t, o.ID))
		}
		for range 2 {
			d.revive(t, o.ID)
		}
		got = d.orderNow(t, o.ID)
		if got.Status != models.OrderPaid || d.events(t, o.ID) != "order.deleted payment.late order.revived payment.succeeded" || len(storetest.Jobs(t, s, jobs.KindFulfil)) != 1 {
			t.Errorf("the order is %s, events %s", got.Status, d.events(t, o.ID))
		}
		d.revive(t, o.ID).want(t, 409, codeConflict)

		// Without money the order waits for it again.
		empty := d.order(t)
		d.knock(t, ask{method: post, path: "/v1/orders/" + empty.ID + "/cancel", key: d.shop.TestKey}).ok(t, 200)
		d.revive(t, empty.ID).ok(t, 200)
		d.pay(t, empty.ID, `{"method":"card"}`).ok(t, 201)
		if got := d.orderNow(t, empty.ID); got.Status != models.OrderNotPaid || got.DeleteReason != nil {
			t.Errorf("the order is %s, %v", got.Status, got.DeleteReason)
		}
	})
}

func TestSwitchingMethods(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d, pages, method := newCashier(t, s)
		o := d.order(t)
		var transfer, first, second models.PaymentView
		d.pay(t, o.ID, `{"method":"bank_transfer"}`).ok(t, 201).into(t, &transfer)
		d.pay(t, o.ID, `{"method":"card"}`, "Idempotency-Key", "first").ok(t, 201).into(t, &first)
		if n := len(pages.closed); n != 0 {
			t.Errorf("%d pages were closed", n)
		}
		d.pay(t, o.ID, `{"method":"card"}`, "Idempotency-Key", "first").ok(t, 201)
		d.pay(t, o.ID, `{"method":"card"}`, "Idempotency-Key", "second").ok(t, 201).into(t, &second)
		if strings.Join(pages.closed, " ") != "cs_"+first.ID {
			t.Errorf("the pages %v were closed, want that of %s", pages.closed, first.ID)
		}
		got := d.orderNow(t, o.ID)
		if len(got.Payments) != 3 || got.Payments[0].Status != models.PaymentCancelled || got.Payments[1].Status != models.PaymentCancelled || got.Payments[2].Status != models.PaymentRequiresAction {
			t.Errorf("payments %+v", got.Payments)
		}
		// The customer pays on the page at the very moment of choosing another way: that is the payment, and there is no other.
		pages.paid["cs_"+second.ID] = true
		d.pay(t, o.ID, `{"method":"bank_transfer"}`).want(t, 409, codeConflict)
		out := succeeded
		out.Reference = "cs_" + second.ID
		d.callback(t, method, "evt_1", second.ID, out).ok(t, 200)
		d.apply(t)
		if got := d.orderNow(t, o.ID); got.Status != models.OrderPaid || len(got.Payments) != 3 || d.events(t, o.ID) != "payment.succeeded" {
			t.Errorf("the order is %s with %d payments, events %s", got.Status, len(got.Payments), d.events(t, o.ID))
		}
		// A page that was closed too late is a second payment.
		out.Reference = "cs_" + first.ID
		d.callback(t, method, "evt_2", first.ID, out).ok(t, 200)
		d.apply(t)
		if d.events(t, o.ID) != "payment.succeeded payment.late" || len(storetest.Jobs(t, s, jobs.KindFulfil)) != 1 {
			t.Errorf("events %s", d.events(t, o.ID))
		}
	})
}

// Whoever tries Purser out can try transfers before they have set up an account; what is live never goes to the sample.
func TestTestOrdersCanBePaidByTransferToASampleAccount(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s)
		o := d.order(t)
		var p models.PaymentView
		d.pay(t, o.ID, `{"method":"bank_transfer"}`).ok(t, 201).into(t, &p)
		if p.Status != models.PaymentPending || p.Instructions == nil || p.Instructions.AccountHolder != "TEST ACCOUNT" || p.Instructions.Reference == "" {
			t.Fatalf("the payment is %+v with %+v", p, p.Instructions)
		}
		var paid models.OrderView
		d.markPaid(t, o.ID, `{"amount":9800,"currency":"EUR","reference":"RF18"}`).ok(t, 200).into(t, &paid)
		if paid.Status != models.OrderPaid || len(paid.Payments) != 1 {
			t.Errorf("the order is %s with %+v", paid.Status, paid.Payments)
		}
		choices, err := s.PayChoices(t.Context(), d.shop.Live, "EUR")
		if err != nil || len(choices) != 0 {
			t.Errorf("live orders are offered %+v, %v", choices, err)
		}
	})
}

func TestWhatIsOffered(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d, _, card := newCashier(t, s)
		usd := storetest.ProductInput("dollars", models.MethodTemplate)
		usd.Prices = []models.PriceView{{Currency: "USD", Amount: 5400}}
		if _, err := s.CreateProduct(t.Context(), d.shop.Test, usd); err != nil {
			t.Fatal(err)
		}
		o := d.order(t)
		dollars := d.order(t, with("currency", "USD"), with("items", []any{map[string]any{"product": "dollars", "quantity": 1}}))
		d.pay(t, o.ID, cardBody("4242424242424242")).want(t, 422, codeInvalid, "card") // Stripe asks for the card itself
		d.pay(t, dollars.ID, `{"method":"bank_transfer"}`).want(t, 422, codeInvalid, "method")
		var p models.PaymentView
		d.pay(t, dollars.ID, cardBody("4242424242424242")).ok(t, 201).into(t, &p)
		if p.Gateway != "test" || p.Status != models.PaymentSucceeded {
			t.Errorf("dollars are taken by %s", p.Gateway)
		}
		live := storetest.Order(t, s, d.shop.Live, "editor-pro", 1)
		pay := ask{method: post, path: "/v1/orders/" + live.ID + "/payments", key: d.shop.LiveKey, body: `{"method":"card"}`}
		d.knock(t, pay).want(t, 422, codeInvalid, "method") // set up for test mode only
		d.knock(t, ask{method: patch, path: "/v1/payment-methods/" + card, key: d.shop.TestKey, body: `{"active":false}`}).ok(t, 200)
		d.pay(t, o.ID, cardBody("4242424242424242")).ok(t, 201).into(t, &p)
		if p.Gateway != "test" {
			t.Errorf("a method that is not active takes money: %+v", p)
		}
	})
}

func TestPaymentMethods(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s)
		body := `{"method":"card","gateway":"stripe","currencies":["EUR","USD"],"config":` + stripeTestConfig + `,"position":3}`
		a := d.knock(t, ask{method: post, path: "/v1/payment-methods", key: d.shop.TestKey, body: body, header: map[string]string{"Idempotency-Key": "k"}}).ok(t, 201)
		var m PaymentMethod
		a.into(t, &m)
		path := "/v1/payment-methods/" + m.ID
		if a.header.Get("Location") != storetest.PublicURL+path || !m.Test || !m.Active || m.Position != 3 || len(m.Currencies) != 2 ||
			string(m.Config) != `{"mode":"test","secret_key":"…4242","webhook_secrets":["…9876"]}` || m.CallbackURL == nil || *m.CallbackURL != storetest.PublicURL+"/gateway/stripe/callback/"+m.ID {
			t.Errorf("made %s at %s", a.body, a.header.Get("Location"))
		}
		change := d.knock(t, ask{method: patch, path: path, key: d.shop.TestKey,
			body: `{"currencies":null,"position":null,"config":{"webhook_secrets":["whsec_SecretSecretSecret1111","whsec_SecretSecretSecret9876"]}}`}).ok(t, 200)
		change.into(t, &m)
		if len(m.Currencies) != 0 || m.Position != 0 || string(m.Config) != `{"mode":"test","secret_key":"…4242","webhook_secrets":["…1111","…9876"]}` {
			t.Errorf("changed into %s", change.body)
		}
		list := d.knock(t, ask{method: get, path: "/v1/payment-methods", key: d.shop.TestKey}).ok(t, 200)
		one := d.knock(t, ask{method: get, path: path, key: d.shop.TestKey}).ok(t, 200)
		if !strings.Contains(string(list.body), m.ID) || string(one.body) != string(change.body) {
			t.Errorf("listed %s, got %s", list.body, one.body)
		}
		// Secrets are in no answer, no log line, and no column as they are.
		for _, place := range []string{string(a.body), string(change.body), string(list.body), d.log.String()} {
			if strings.Contains(place, "SecretSecret") || strings.Contains(place, "sk_test_") {
				t.Errorf("a secret is told: %s", place)
			}
		}
		if n := storetest.Count(t, s, "SELECT COUNT(*) FROM payment_methods WHERE CAST(config AS text) LIKE '%SecretSecret%' OR CAST(sealed AS text) LIKE '%Secret%'"); n != 0 {
			t.Error("a secret is in the database as it is")
		}
		d.knock(t, ask{method: http.MethodDelete, path: path, key: d.shop.TestKey}).ok(t, 200)
		d.knock(t, ask{method: get, path: path, key: d.shop.TestKey}).want(t, 404, codeNotFound)
		d.knock(t, ask{method: patch, path: path, key: d.shop.TestKey, body: `{"config":{}}`}).want(t, 404, codeNotFound)
	})
}

func TestRefusedPaymentMethods(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s)
		id := d.paymentMethod(t, d.shop.TestKey, "bank_transfer", "bank_transfer", bankConfig)
		live := strings.Replace(stripeTestConfig, "sk_test_", "sk_live_", 1)
		of := func(method, gateway, config string) string {
			return `{"method":"` + method + `","gateway":"` + gateway + `","config":` + config + `}`
		}
		for name, tc := range map[string]struct {
			key, body string
			fields    []string
		}{
			"nothing in it":         {d.shop.TestKey, `{}`, []string{"config", "gateway", "method"}},
			"cards by transfer":     {d.shop.TestKey, of("card", "bank_transfer", bankConfig), []string{"gateway"}},
			"transfers by Stripe":   {d.shop.TestKey, of("bank_transfer", "stripe", stripeTestConfig), []string{"gateway"}},
			"the test gateway":      {d.shop.TestKey, of("card", "test", `{}`), []string{"gateway"}},
			"a live key in test":    {d.shop.TestKey, of("card", "stripe", live), []string{"config.secret_key"}},
			"a test key in live":    {d.shop.LiveKey, of("card", "stripe", stripeTestConfig), []string{"config.secret_key"}},
			"an unknown member":     {d.shop.TestKey, of("bank_transfer", "bank_transfer", `{"account_holder":"A","iban":"DE89370400440532013000","swift":"x"}`), []string{"config.swift"}},
			"no account":            {d.shop.TestKey, of("bank_transfer", "bank_transfer", `{}`), []string{"config.account_holder", "config.iban"}},
			"a number for a config": {d.shop.TestKey, of("card", "stripe", `5`), []string{"config"}},
			"a currency of nowhere": {d.shop.TestKey, `{"method":"bank_transfer","gateway":"bank_transfer","currencies":["EUR","eur"],"config":` + bankConfig + `}`, []string{"currencies[1]"}},
		} {
			t.Run(name, func(t *testing.T) {
				d.knock(t, ask{method: post, path: "/v1/payment-methods", key: tc.key, body: tc.body}).want(t, 422, codeInvalid, tc.fields...)
			})
		}
		for body, field := range map[string]string{
			`{"config":null}`: "config", `{"config":{"iban":"DE00"}}`: "config.iban", `{"config":{"secret_key":"sk_test_1"}}`: "config.secret_key",
			`{"method":"card"}`: "method", `{"currencies":["XXX"]}`: "currencies[0]",
		} {
			d.knock(t, ask{method: patch, path: "/v1/payment-methods/" + id, key: d.shop.TestKey, body: body}).want(t, 422, codeInvalid, field)
		}
		if n := d.count(t, "payment_methods"); n != 1 || strings.Contains(d.log.String(), "SecretSecret") {
			t.Errorf("%d methods", n)
		}
	})
}
