package api

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/purser-dev/purser/handlers/payment"
	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

// cashier is a stand-in for a merchant's Stripe account: a gateway with a page of its own, whose callbacks are signed by its secret. It
// keeps nothing, so the api and what applies callbacks can open it anew.
type cashier struct {
	payment.Gateway
	secret string
	pages  *cashierPages
}

// cashierPages is what the accounts of all merchants have in common.
type cashierPages struct {
	mu     sync.Mutex
	closed []string
	paid   map[string]bool // references whose customer was faster than whoever closes the page
}

func (p *cashierPages) open(gateway string, config json.RawMessage) (payment.Gateway, error) {
	if gateway != models.GatewayStripe {
		return payment.Open(gateway, config)
	}
	var c struct {
		WebhookSecrets []string `json:"webhook_secrets"`
	}
	if err := json.Unmarshal(config, &c); err != nil {
		return nil, err
	}
	return &cashier{secret: c.WebhookSecrets[0], pages: p}, nil
}

func (*cashier) Name() string { return models.GatewayStripe }

func (*cashier) Charge(_ context.Context, req payment.ChargeRequest) (payment.Outcome, error) {
	return payment.Outcome{
		Status: payment.StatusRequiresAction, Reference: "cs_" + req.PaymentID, Amount: req.Amount, Currency: req.Currency,
		RedirectURL: "https://cashier.example/pay/" + req.PaymentID,
	}, nil
}

func (g *cashier) Cancel(_ context.Context, reference string) (payment.Outcome, error) {
	g.pages.mu.Lock()
	defer g.pages.mu.Unlock()
	g.pages.closed = append(g.pages.closed, reference)
	if g.pages.paid[reference] {
		return payment.Outcome{Status: payment.StatusSucceeded, Reference: reference}, nil
	}
	return payment.Outcome{Status: payment.StatusFailed, Reference: reference, FailureCode: payment.PaymentExpired}, nil
}

const cashierHeader = "Cashier-Secret"

func (g *cashier) ParseCallback(header http.Header, body []byte) (payment.Callback, error) {
	if header.Get(cashierHeader) != g.secret {
		return payment.Callback{}, payment.ErrCallback
	}
	if string(body) == "about the weather" {
		return payment.Callback{}, payment.ErrIgnored
	}
	var cb payment.Callback
	if err := json.Unmarshal(body, &cb); err != nil || cb.ID == "" {
		return payment.Callback{}, payment.ErrCallback
	}
	switch cb.Subject { // no gateway signs an event about anything else
	case payment.SubjectCharge, payment.SubjectRefund, payment.SubjectRefundTotal:
		return cb, nil
	}
	return payment.Callback{}, payment.ErrCallback
}

const (
	stripeTestConfig = `{"secret_key":"sk_test_51SecretSecretSecret4242","webhook_secrets":["whsec_SecretSecretSecret9876"]}`
	bankConfig       = `{"account_holder":"Analytical Engines","iban":"DE89370400440532013000","bic":"COBADEFFXXX"}`
)

// newCashier is a door whose shop takes cards by a cashier and transfers by its bank.
func newCashier(t testing.TB, s *models.Store) (d *door, pages *cashierPages, card string) {
	t.Helper()
	pages = &cashierPages{paid: map[string]bool{}}
	d = newDoor(t, s, func(c *Config) { c.OpenGateway = pages.open })
	card = d.paymentMethod(t, d.shop.TestKey, "card", "stripe", stripeTestConfig)
	d.paymentMethod(t, d.shop.TestKey, "bank_transfer", "bank_transfer", bankConfig)
	return d, pages, card
}

func (d *door) paymentMethod(t testing.TB, key, method, gateway, config string) string {
	t.Helper()
	var m struct{ ID string }
	body := `{"method":"` + method + `","gateway":"` + gateway + `","currencies":["EUR"],"config":` + config + `}`
	d.knock(t, ask{method: post, path: "/v1/payment-methods", key: key, body: body}).ok(t, 201).into(t, &m)
	return m.ID
}

// callback tells of a payment as the cashier would.
func (d *door) callback(t testing.TB, method, event, paymentID string, out payment.Outcome, secret ...string) answer {
	t.Helper()
	body, err := json.Marshal(payment.Callback{ID: event, Subject: payment.SubjectCharge, PaymentID: paymentID, Outcome: out})
	if err != nil {
		t.Fatal(err)
	}
	return d.tell(t, method, body, append(secret, "whsec_SecretSecretSecret9876")[0])
}

func (d *door) tell(t testing.TB, method string, body any, secret string) answer {
	t.Helper()
	return d.knock(t, ask{method: post, path: "/gateway/stripe/callback/" + method, body: body, header: map[string]string{cashierHeader: secret}})
}

// apply performs the promises to apply callbacks, as workers would: all at once.
func (d *door) apply(t testing.TB) {
	t.Helper()
	var all sync.WaitGroup
	for _, j := range storetest.Jobs(t, d.store, jobs.KindCallback) {
		all.Go(func() { d.applyOne(t, j) })
	}
	all.Wait()
}

func (d *door) applyOne(t testing.TB, j models.Job) {
	t.Helper()
	kind, err := jobs.KindOf(jobs.KindCallback)
	if err != nil {
		t.Error(err)
		return
	}
	c, err := d.store.Claim(t.Context(), j.ID, j.Epoch, kind)
	if err == nil && c != nil {
		err = d.store.KeepCallback(t.Context(), c)
	}
	if err != nil {
		t.Errorf("apply a callback: %v", err)
	}
}

func (d *door) orderNow(t testing.TB, id string) (o models.OrderView) {
	t.Helper()
	d.knock(t, ask{method: get, path: "/v1/orders/" + id, key: d.shop.TestKey}).ok(t, 200).into(t, &o)
	return o
}

// events lists the types of an order's events of payments and its own life, oldest first.
func (d *door) events(t testing.TB, order string) string {
	t.Helper()
	rows, err := d.store.SQL().QueryContext(t.Context(), "SELECT type FROM events WHERE order_id = $1 AND type <> 'order.created' ORDER BY id", order)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var all []string
	for rows.Next() {
		var kind string
		if err := rows.Scan(&kind); err != nil {
			t.Fatal(err)
		}
		all = append(all, kind)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return strings.Join(all, " ")
}

var succeeded = payment.Outcome{Status: payment.StatusSucceeded, Amount: 9800, Currency: "EUR"}

// begun is an order whose customer was sent to the cashier's page.
func (d *door) begun(t testing.TB) (models.OrderView, models.PaymentView) {
	t.Helper()
	o := d.order(t)
	var p models.PaymentView
	d.pay(t, o.ID, `{"method":"card"}`).ok(t, 201).into(t, &p)
	if p.Status != models.PaymentRequiresAction || p.Gateway != "stripe" || p.RedirectURL == nil || *p.RedirectURL != "https://cashier.example/pay/"+p.ID {
		t.Fatalf("began %+v", p)
	}
	return o, p
}

func TestCallbacks(t *testing.T) {
	declined := payment.Outcome{Status: payment.StatusFailed, FailureCode: payment.CardDeclined, FailureMessage: "Declined."}
	processing := payment.Outcome{Status: payment.StatusProcessing}
	type told struct {
		event   string
		outcome payment.Outcome
	}
	with := func(amount int64, currency string) payment.Outcome {
		return payment.Outcome{Status: payment.StatusSucceeded, Amount: amount, Currency: currency}
	}
	for name, tc := range map[string]struct {
		told    []told
		records int
		order   models.OrderStatus
		payment models.PaymentStatus
		events  string
	}{
		"once":                  {[]told{{"a", succeeded}}, 1, models.OrderPaid, models.PaymentSucceeded, "payment.succeeded"},
		"twice":                 {[]told{{"a", succeeded}, {"a", succeeded}}, 1, models.OrderPaid, models.PaymentSucceeded, "payment.succeeded"},
		"the same by two names": {[]told{{"a", succeeded}, {"b", succeeded}}, 2, models.OrderPaid, models.PaymentSucceeded, "payment.succeeded"},
		"out of order":          {[]told{{"b", succeeded}, {"a", processing}}, 2, models.OrderPaid, models.PaymentSucceeded, "payment.succeeded"},
		"in order":              {[]told{{"a", processing}, {"b", succeeded}}, 2, models.OrderPaid, models.PaymentSucceeded, "payment.succeeded"},
		"declined":              {[]told{{"a", declined}}, 1, models.OrderNotPaid, models.PaymentFailed, "payment.failed"},
		"declined after paying": {[]told{{"a", succeeded}, {"b", declined}}, 2, models.OrderPaid, models.PaymentSucceeded, "payment.succeeded"},
		"too little":            {[]told{{"a", with(9799, "EUR")}}, 1, models.OrderNotPaid, models.PaymentSucceeded, "payment.mismatch"},
		"too much":              {[]told{{"a", with(9801, "EUR")}}, 1, models.OrderNotPaid, models.PaymentSucceeded, "payment.mismatch"},
		"another currency":      {[]told{{"a", with(9800, "USD")}}, 1, models.OrderNotPaid, models.PaymentSucceeded, "payment.mismatch"},
		"too little, twice":     {[]told{{"a", with(1, "EUR")}, {"b", with(1, "EUR")}}, 2, models.OrderNotPaid, models.PaymentSucceeded, "payment.mismatch"},
	} {
		t.Run(name, func(t *testing.T) {
			storetest.Each(t, func(t *testing.T, s *models.Store) {
				d, _, method := newCashier(t, s)
				o, p := d.begun(t)
				for _, c := range tc.told {
					c.outcome.Reference = "cs_" + p.ID
					d.callback(t, method, "evt_"+c.event, p.ID, c.outcome).ok(t, 200)
					d.apply(t)
				}
				got := d.orderNow(t, o.ID)
				if got.Status != tc.order || len(got.Payments) != 1 || got.Payments[0].Status != tc.payment {
					t.Errorf("the order is %s with the payments %+v", got.Status, got.Payments)
				}
				if events := d.events(t, o.ID); events != tc.events {
					t.Errorf("events %q, want %q", events, tc.events)
				}
				if n, jobs := d.count(t, "gateway_callbacks"), len(storetest.Jobs(t, s, jobs.KindCallback)); n != tc.records || jobs != n {
					t.Errorf("%d records and %d promises, want %d", n, jobs, tc.records)
				}
				if n := storetest.Count(t, s, "SELECT COUNT(*) FROM gateway_callbacks WHERE applied_at IS NULL"); n != 0 {
					t.Errorf("%d callbacks are not applied", n)
				}
			})
		})
	}
}

// A callback may come before the answer to our own question was written down.
func TestCallbackBeforeTheAnswer(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d, _, method := newCashier(t, s)
		o := d.order(t)
		p, err := s.BeginPayment(t.Context(), d.shop.Test, o.ID, models.NewPayment{
			Method: "card", Gateway: "stripe", MethodID: method, Class: "online", Actor: "test",
		})
		if err != nil || p.Reference != "" {
			t.Fatal(p, err)
		}
		out := succeeded
		out.Reference = "cs_early"
		d.callback(t, method, "evt_1", p.ID, out).ok(t, 200)
		d.apply(t)
		// The answer comes at last.
		if p, err = d.settled(t.Context(), p.ID, payment.Outcome{Status: payment.StatusRequiresAction, Reference: "cs_early", RedirectURL: "https://cashier.example/"}, "test"); err != nil {
			t.Fatal(err)
		}
		if got := d.orderNow(t, o.ID); got.Status != models.OrderPaid || p.Status != models.PaymentSucceeded || p.Reference != "cs_early" || d.events(t, o.ID) != "payment.succeeded" {
			t.Errorf("the order is %s, its payment %+v", got.Status, p)
		}
	})
}

func TestRefusedCallbacks(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d, _, method := newCashier(t, s)
		_, p := d.begun(t)
		theirs := d.paymentMethod(t, d.other.TestKey, "card", "stripe", strings.Replace(stripeTestConfig, "Secret9876", "Others9876", 1))
		bank := d.paymentMethod(t, d.shop.TestKey, "bank_transfer", "bank_transfer", bankConfig)
		before := snapshot(t, s)
		for name, tc := range map[string]struct {
			got    answer
			status int
		}{
			"forged":                {d.callback(t, method, "evt_1", p.ID, succeeded, "whsec_guess"), 400},
			"unsigned":              {d.callback(t, method, "evt_1", p.ID, succeeded, ""), 400},
			"no callback at all":    {d.tell(t, method, "x", "whsec_SecretSecretSecret9876"), 400},
			"of no concern":         {d.tell(t, method, "about the weather", "whsec_SecretSecretSecret9876"), 200},
			"another's secret":      {d.callback(t, method, "evt_1", p.ID, succeeded, "whsec_SecretSecretOthers9876"), 400},
			"no such method":        {d.callback(t, "pmt_00000000000000000000000000", "evt_1", p.ID, succeeded), 404},
			"no method's id":        {d.callback(t, "x", "evt_1", p.ID, succeeded), 404},
			"of another gateway":    {d.callback(t, bank, "evt_1", p.ID, succeeded), 404},
			"nobody calls for bank": {d.knock(t, ask{method: post, path: "/gateway/bank_transfer/callback/" + bank, body: "{}"}), 400},
			"too long":              {d.tell(t, method, bytes.Repeat([]byte("x"), smallBody+1), "whsec_SecretSecretSecret9876"), 413},
			"read, not told":        {d.knock(t, ask{method: get, path: "/gateway/stripe/callback/" + method}), 405},
		} {
			if tc.got.status != tc.status {
				t.Errorf("%s: %d %s, want %d", name, tc.got.status, tc.got.body, tc.status)
			}
		}
		if after := snapshot(t, s); after != before || d.count(t, "gateway_callbacks") != 0 {
			t.Errorf("something was recorded:\n%s\n%s", before, after)
		}
		// Another merchant's own gateway speaks of this merchant's payment: kept, and never applied.
		d.callback(t, theirs, "evt_1", p.ID, succeeded, "whsec_SecretSecretOthers9876").ok(t, 200)
		found := storetest.Jobs(t, s, jobs.KindCallback)
		if len(found) != 1 || found[0].OrderID != nil || *found[0].MerchantID != d.other.ID {
			t.Fatalf("promises %+v", found)
		}
		if _, err := s.CallbackOrder(t.Context(), found[0].Args.Callback); models.CodeOf(err) != models.CodeNotFound {
			t.Errorf("another merchant's payment is found: %v", err)
		}
		if got, err := s.Payment(t.Context(), p.ID); err != nil || got.Status != models.PaymentRequiresAction {
			t.Errorf("the payment is %v, %v", got, err)
		}
		for _, secret := range []string{"Secret9876", "Others9876", "4242", "whsec_", "sk_test_"} {
			if strings.Contains(d.log.String(), secret) {
				t.Errorf("the log has %s", secret)
			}
		}
	})
}

func TestRacingCallbacksPayOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d, _, method := newCashier(t, s)
		o, p := d.begun(t)
		out := succeeded
		out.Reference = "cs_" + p.ID
		var all sync.WaitGroup
		for i := range 20 {
			all.Go(func() {
				d.callback(t, method, "evt_"+string(rune('a'+i%4)), p.ID, out).ok(t, 200)
				d.apply(t)
			})
		}
		all.Go(func() { // whoever asks the gateway
			if _, err := d.settled(t.Context(), p.ID, out, "worker"); err != nil {
				t.Error(err)
			}
		})
		all.Wait()
		d.apply(t)
		if got := d.orderNow(t, o.ID); got.Status != models.OrderPaid || len(got.Payments) != 1 || d.events(t, o.ID) != "payment.succeeded" {
			t.Errorf("the order is %s with %d payments and the events %s", got.Status, len(got.Payments), d.events(t, o.ID))
		}
		if n := storetest.Count(t, s, "SELECT COUNT(*) FROM gateway_callbacks WHERE applied_at IS NOT NULL"); n != 4 || len(storetest.Jobs(t, s, jobs.KindFulfil)) != 1 {
			t.Errorf("%d callbacks were applied, and %d fulfilments promised", n, len(storetest.Jobs(t, s, jobs.KindFulfil)))
		}
	})
}

func TestTestGatewayCallback(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s)
		o := d.order(t)
		var p models.PaymentView
		d.pay(t, o.ID, cardBody("4000002500003155")).ok(t, 201).into(t, &p)
		row, err := s.Payment(t.Context(), p.ID)
		if err != nil {
			t.Fatal(err)
		}
		test := d.Gateways["test"].(*payment.Test)
		send := func(reference string) answer {
			header, body, err := test.Callback(payment.Outcome{Status: payment.StatusSucceeded, Reference: reference, Amount: p.Amount, Currency: "EUR"})
			if err != nil {
				t.Fatal(err)
			}
			return d.knock(t, ask{method: post, path: "/gateway/test/callback", body: body, header: map[string]string{payment.TestSignatureHeader: header.Get(payment.TestSignatureHeader)}})
		}
		d.knock(t, ask{method: post, path: "/gateway/test/callback", body: "{}"}).want(t, 400, codeMalformed)
		send(strings.Replace(row.Reference, p.ID, "pay_00000000000000000000000000", 1)).want(t, 404, codeNotFound)
		if n := d.count(t, "gateway_callbacks"); n != 0 {
			t.Errorf("%d callbacks were recorded", n)
		}
		send(row.Reference).ok(t, 200)
		send(row.Reference).ok(t, 200)
		d.apply(t)
		if d.orderStatus(t, o.ID) != models.OrderPaid || d.count(t, "gateway_callbacks") != 1 {
			t.Errorf("the order is %s after %d callbacks", d.orderStatus(t, o.ID), d.count(t, "gateway_callbacks"))
		}
	})
}
