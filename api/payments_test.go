package api

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/purser-dev/purser/handlers/payment"
	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

func (d *door) pay(t testing.TB, order string, body any, header ...string) answer {
	t.Helper()
	a := ask{method: post, path: "/v1/orders/" + order + "/payments", key: d.shop.TestKey, body: body, header: map[string]string{}}
	for i := 0; i+1 < len(header); i += 2 {
		a.header[header[i]] = header[i+1]
	}
	return d.knock(t, a)
}

func TestTestCards(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s)
		for number, want := range map[string]struct {
			status models.PaymentStatus
			code   string
			order  models.OrderStatus
			event  string
		}{
			"4242424242424242":    {models.PaymentSucceeded, "", models.OrderPaid, "payment.succeeded"},
			"4242 4242-4242 4242": {models.PaymentSucceeded, "", models.OrderPaid, "payment.succeeded"},
			"4000000000000002":    {models.PaymentFailed, "card_declined", models.OrderNotPaid, "payment.failed"},
			"4000000000009995":    {models.PaymentFailed, "insufficient_funds", models.OrderNotPaid, "payment.failed"},
			"4000000000000069":    {models.PaymentFailed, "expired_card", models.OrderNotPaid, "payment.failed"},
			"4000000000000119":    {models.PaymentFailed, "processing_error", models.OrderNotPaid, "payment.failed"},
			"5555555555554444":    {models.PaymentFailed, "card_declined", models.OrderNotPaid, "payment.failed"},
			"4000002500003155":    {models.PaymentRequiresAction, "", models.OrderNotPaid, ""},
			"4000000000000077":    {models.PaymentProcessing, "", models.OrderNotPaid, ""},
		} {
			o := d.order(t)
			var p models.PaymentView
			d.pay(t, o.ID, cardBody(number)).ok(t, 201).into(t, &p)
			if p.Status != want.status || p.Amount != o.Total || p.Currency != "EUR" || p.Method != "card" || p.Gateway != "test" {
				t.Errorf("%s: %+v", number, p)
			}
			if (want.code == "") != (p.FailureCode == nil) || p.FailureCode != nil && (*p.FailureCode != want.code || *p.FailureMessage == "") {
				t.Errorf("%s failed with %v", number, p.FailureCode)
			}
			if (p.RedirectURL != nil) != (want.status == models.PaymentRequiresAction) {
				t.Errorf("%s redirects to %v", number, p.RedirectURL)
			}
			var got models.OrderView
			d.knock(t, ask{method: get, path: "/v1/orders/" + o.ID, key: d.shop.TestKey}).ok(t, 200).into(t, &got)
			if got.Status != want.order || len(got.Payments) != 1 || got.Payments[0].ID != p.ID {
				t.Errorf("%s: the order is %s with %d payments", number, got.Status, len(got.Payments))
			}
			n := storetest.Count(t, s, "SELECT COUNT(*) FROM events WHERE order_id = $1 AND type LIKE 'payment.%'", o.ID)
			of := storetest.Count(t, s, "SELECT COUNT(*) FROM events WHERE order_id = $1 AND type = $2", o.ID, want.event)
			if wantEvents := map[bool]int{true: 0, false: 1}[want.event == ""]; n != wantEvents || of != wantEvents {
				t.Errorf("%s: %d events of the payment, %d of type %s", number, n, of, want.event)
			}
		}
	})
}

func TestCardNeverStays(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s)
		for _, number := range []string{"4000002500003155", "4000000000009995", "4111111111111112"} {
			o := d.order(t)
			d.pay(t, o.ID, cardBody(number), "Idempotency-Key", "card-"+number[12:])
			if strings.Contains(d.log.String(), number) {
				t.Error("the number is in the log")
			}
			for table, columns := range map[string]string{
				"payments": "reference || COALESCE(failure_message, '') || token", "history": "CAST(detail AS text) || summary",
				"events": "CAST(data AS text)", "jobs": "CAST(args AS text)", "idempotency_keys": "request_hash || key || path",
			} {
				if n := storetest.Count(t, s, "SELECT COUNT(*) FROM "+table+" WHERE "+columns+" LIKE $1", "%"+number+"%"); n != 0 {
					t.Errorf("the number is in %s", table)
				}
			}
		}
	})
}

func TestRefusedPayments(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s)
		o := d.order(t)
		live := storetest.Order(t, s, d.shop.Live, "editor-pro", 1)
		with := func(name string, v any) map[string]any {
			b := cardBody("4242424242424242")
			if v == nil {
				delete(b["card"].(map[string]any), name)
			} else {
				b["card"].(map[string]any)[name] = v
			}
			return b
		}
		for name, tc := range map[string]struct {
			order, key string
			body       any
			status     int
			code       code
			fields     []string
		}{
			"no body":                {o.ID, d.shop.TestKey, "", 400, codeMalformed, nil},
			"nothing in it":          {o.ID, d.shop.TestKey, "{}", 422, codeInvalid, []string{"method"}},
			"unknown method":         {o.ID, d.shop.TestKey, `{"method":"cash"}`, 422, codeInvalid, []string{"method"}},
			"method without gateway": {live.ID, d.shop.LiveKey, `{"method":"bank_transfer"}`, 422, codeInvalid, []string{"method"}},
			"no card":                {o.ID, d.shop.TestKey, `{"method":"card"}`, 422, codeInvalid, []string{"card"}},
			"null card":              {o.ID, d.shop.TestKey, `{"method":"card","card":null}`, 422, codeInvalid, []string{"card"}},
			"card is a number":       {o.ID, d.shop.TestKey, `{"method":"card","card":4242424242424242}`, 422, codeInvalid, []string{"card"}},
			"number is a number":     {o.ID, d.shop.TestKey, with("number", 4242424242424242), 422, codeInvalid, []string{"card.number"}},
			"no number":              {o.ID, d.shop.TestKey, with("number", nil), 422, codeInvalid, []string{"card.number"}},
			"wrong check digit":      {o.ID, d.shop.TestKey, with("number", "4242424242424241"), 422, codeInvalid, []string{"card.number"}},
			"month as text":          {o.ID, d.shop.TestKey, with("exp_month", "12"), 422, codeInvalid, []string{"card.exp_month"}},
			"month 13":               {o.ID, d.shop.TestKey, with("exp_month", 13), 422, codeInvalid, []string{"card.exp_month"}},
			"an expired card":        {o.ID, d.shop.TestKey, with("exp_year", 2020), 422, codeInvalid, []string{"card.exp_year"}},
			"a year beyond integers": {o.ID, d.shop.TestKey, with("exp_year", 1e300), 422, codeInvalid, []string{"card.exp_year"}},
			"cvc with letters":       {o.ID, d.shop.TestKey, with("cvc", "12a"), 422, codeInvalid, []string{"card.cvc"}},
			"unknown member":         {o.ID, d.shop.TestKey, with("name", "Ada"), 422, codeInvalid, []string{"card.name"}},
			"card for a transfer":    {o.ID, d.shop.TestKey, `{"method":"bank_transfer","card":{"number":"4242424242424242","exp_month":12,"exp_year":2030,"cvc":"123"}}`, 422, codeInvalid, []string{"card"}},
			"card with a live key":   {live.ID, d.shop.LiveKey, cardBody("4242424242424242"), 422, codeInvalid, []string{"card"}},
			"live without a card":    {live.ID, d.shop.LiveKey, `{"method":"card"}`, 422, codeInvalid, []string{"method"}},
			"no such order":          {"ord_00000000000000000000000000", d.shop.TestKey, cardBody("4242424242424242"), 404, codeNotFound, nil},
			"no order id at all":     {"x", d.shop.TestKey, cardBody("4242424242424242"), 404, codeNotFound, nil},
			"another merchant's":     {o.ID, d.other.TestKey, cardBody("4242424242424242"), 404, codeNotFound, nil},
			"a live order, test key": {live.ID, d.shop.TestKey, cardBody("4242424242424242"), 404, codeNotFound, nil},
			"as a form":              {o.ID, d.shop.TestKey, "method=card", 400, codeMalformed, nil},
		} {
			a := d.knock(t, ask{method: post, path: "/v1/orders/" + tc.order + "/payments", key: tc.key, body: tc.body})
			t.Run(name, func(t *testing.T) { a.want(t, tc.status, tc.code, tc.fields...) })
		}
		if n := d.count(t, "payments"); n != 0 {
			t.Errorf("%d payments were recorded", n)
		}
		if n := len(storetest.Jobs(t, s, jobs.KindSettle)); n != 0 {
			t.Errorf("%d promises were made", n)
		}
	})
}

func TestOrderIsPaidOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s)
		o := d.order(t)
		d.pay(t, o.ID, cardBody("4000000000000002")).ok(t, 201) // declined: try again
		d.pay(t, o.ID, cardBody("4242424242424242")).ok(t, 201)
		d.pay(t, o.ID, cardBody("4242424242424242")).want(t, 409, codeConflict)
		processing := d.order(t)
		d.pay(t, processing.ID, cardBody("4000000000000077")).ok(t, 201)
		d.pay(t, processing.ID, cardBody("4242424242424242")).want(t, 409, codeConflict)
		cancelled := d.order(t)
		d.knock(t, ask{method: post, path: "/v1/orders/" + cancelled.ID + "/cancel", key: d.shop.TestKey}).ok(t, 200)
		d.pay(t, cancelled.ID, cardBody("4242424242424242")).want(t, 409, codeConflict)
		waiting := d.order(t)
		var first models.PaymentView
		d.pay(t, waiting.ID, cardBody("4000002500003155")).ok(t, 201).into(t, &first)
		d.pay(t, waiting.ID, cardBody("4242424242424242")).ok(t, 201)
		if p, err := s.Payment(t.Context(), first.ID); err != nil || p.Status != models.PaymentCancelled {
			t.Errorf("the attempt that waited is %v, %v", p, err)
		}
		if n := storetest.Count(t, s, "SELECT COUNT(*) FROM payments WHERE applied"); n != 2 {
			t.Errorf("%d payments were applied", n)
		}
	})
}

// stubGateway is a gateway that does what a test says.
type stubGateway struct {
	payment.Gateway
	mu      sync.Mutex
	charged []payment.ChargeRequest
	charge  func(ctx context.Context, n int, req payment.ChargeRequest) (payment.Outcome, error)
}

func (g *stubGateway) Name() string { return "stub" }

func (g *stubGateway) Charge(ctx context.Context, req payment.ChargeRequest) (payment.Outcome, error) {
	g.mu.Lock()
	g.charged = append(g.charged, req)
	n := len(g.charged)
	g.mu.Unlock()
	return g.charge(ctx, n, req)
}

func (g *stubGateway) config(c *Config) {
	c.Gateways = map[string]payment.Gateway{models.GatewayTest: g}
}

func TestGatewayThatDoesNotAnswer(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		g := &stubGateway{charge: func(_ context.Context, n int, req payment.ChargeRequest) (payment.Outcome, error) {
			if n == 1 {
				return payment.Outcome{}, errors.New("connection reset by stub.example")
			}
			return payment.Outcome{Status: payment.StatusSucceeded, Reference: "ref_" + req.PaymentID}, nil
		}}
		d := newDoor(t, s, g.config)
		o := d.order(t)
		body := map[string]any{"method": "card"}
		a := d.pay(t, o.ID, body, "Idempotency-Key", "pay")
		a.want(t, 503, codeUnavailable)
		if a.header.Get("Retry-After") == "" || strings.Contains(string(a.body), "stub.example") {
			t.Errorf("answered %v %s", a.header, a.body)
		}
		if !strings.Contains(d.log.String(), "connection reset by stub.example") {
			t.Error("the cause is not in the log")
		}
		// The same request goes on where the first one stopped.
		var p models.PaymentView
		a = d.pay(t, o.ID, body, "Idempotency-Key", "pay").ok(t, 201)
		a.into(t, &p)
		if p.Status != models.PaymentSucceeded || a.header.Get(replayedHeader) != "" {
			t.Errorf("got %+v, %v", p, a.header)
		}
		if len(g.charged) != 2 || g.charged[0].PaymentID != g.charged[1].PaymentID || d.count(t, "payments") != 1 {
			t.Errorf("%d payments, charged %v", d.count(t, "payments"), g.charged)
		}
		if a := d.pay(t, o.ID, body, "Idempotency-Key", "pay").ok(t, 201); a.header.Get(replayedHeader) != "true" || len(g.charged) != 2 {
			t.Errorf("the third time: %v, %d charges", a.header, len(g.charged))
		}
	})
}

func TestGatewayIsAskedOutsideOfTransactions(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		var d *door
		g := &stubGateway{}
		g.charge = func(ctx context.Context, _ int, req payment.ChargeRequest) (payment.Outcome, error) {
			// Somebody else can write to the same order meanwhile, so no lock is held, on SQLite not even the writer's.
			p, err := s.Payment(ctx, req.PaymentID)
			if err != nil || p.Status != models.PaymentPending {
				return payment.Outcome{}, fmt.Errorf("the payment was not recorded before: %v, %w", p, err)
			}
			if _, err := s.ApplyPayment(ctx, req.PaymentID, models.PaymentResult{Status: models.PaymentSucceeded, Reference: "by callback"}, "gateway"); err != nil {
				return payment.Outcome{}, err
			}
			return payment.Outcome{Status: payment.StatusProcessing, Reference: "late", PollAfter: time.Second}, nil
		}
		d = newDoor(t, s, g.config)
		o := d.order(t)
		var p models.PaymentView
		d.pay(t, o.ID, map[string]any{"method": "card"}, "Idempotency-Key", "x").ok(t, 201).into(t, &p)
		if p.Status != models.PaymentSucceeded {
			t.Errorf("the answer that came too late won: %+v", p)
		}
		if req := g.charged[0]; req.OrderNumber != o.Number || req.Amount != o.Total || req.Currency != "EUR" || req.Card != nil {
			t.Errorf("charged %+v", req)
		}
	})
}
