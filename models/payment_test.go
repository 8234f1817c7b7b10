package models_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

func TestBeginPayment(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
		in := storetest.OrderInput("editor", 2)
		in.PaymentMethod = ""
		o := ok(s.CreateOrder(t.Context(), shop.Test, in))(t)
		p := ok(s.BeginPayment(t.Context(), shop.Test, o.ID, models.NewPayment{Method: "bank_transfer", Gateway: "offline", Class: "offline", Actor: "test"}))(t)
		if p.Status != models.PaymentPending || p.Amount != 9800 || p.Currency != "EUR" || p.Method != "bank_transfer" || p.Gateway != "offline" || !p.Test ||
			p.OrderID != o.ID || p.MerchantID != shop.ID || p.Applied || len(p.Token) != 32 || p.Reference != "" {
			t.Errorf("payment %+v", p)
		}
		got := orderOf(t, s, shop.Test, o.ID)
		if got.Status != models.OrderNotPaid || got.PaymentMethod == nil || *got.PaymentMethod != "bank_transfer" || len(got.Payments) != 1 || got.Payments[0].ID != p.ID {
			t.Errorf("order %s", toJSON(t, got))
		}
		if got := eventsOf(t, s, shop); got != models.EventOrderCreated {
			t.Errorf("beginning a payment is told of: %q", got)
		}
		if j := oneJob(t, s, shop, jobs.KindSettle); j.Args != (models.JobArgs{Payment: p.ID, Errand: jobs.Errand{Server: shop.ID, Merchant: shop.ID}}) || j.State != models.JobDue {
			t.Errorf("job %s", toJSON(t, j))
		}
		if stored := ok(s.Payment(t.Context(), p.ID))(t); toJSON(t, stored) != toJSON(t, p) {
			t.Errorf("stored %s\nanswered %s", toJSON(t, stored), toJSON(t, p))
		}
		healthy(t, s)
	})
}

// waitAMinute makes a shop's payments older, as if the gateway had been asked for them a while ago.
func waitAMinute(t testing.TB, s *models.Store, shop storetest.Shop) {
	t.Helper()
	storetest.Exec(t, s, `UPDATE payments SET created_at = $1, updated_at = $1 WHERE merchant_id = $2`, time.Now().UTC().Add(-61*time.Second).Truncate(time.Microsecond), shop.ID)
}

// A new payment takes the place of one that waits for the customer; one that the gateway is being asked for, or works on, is not
// disturbed.
func TestBeginAnotherPayment(t *testing.T) {
	cases := []struct {
		name     string
		outcome  *models.PaymentResult
		later    bool                 // than a minute after the gateway was asked
		old      models.PaymentStatus // of the first payment, afterwards
		conflict bool
	}{
		{"while the gateway is being asked for the first", nil, false, models.PaymentPending, true},
		{"when nothing was heard of the first for a minute", nil, true, models.PaymentCancelled, false},
		{"while the first waits for a transfer", &models.PaymentResult{Status: models.PaymentPending, Reference: "RF18"}, false, models.PaymentCancelled, false},
		{"while the first waits for the customer", &wantsMore, false, models.PaymentCancelled, false},
		{"while the first is being processed", &processes, false, models.PaymentProcessing, true},
		{"while the first is being processed for long", &processes, true, models.PaymentProcessing, true},
		{"after the first has failed", &fails, false, models.PaymentFailed, false},
		{"after the gateway has cancelled the first", &isReturned, false, models.PaymentCancelled, false},
		{"after the first has succeeded", &succeeds, false, models.PaymentSucceeded, true},
	}
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				shop := storetest.Merchant(t, s)
				storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
				o := storetest.Order(t, s, shop.Test, "editor", 1)
				first := begin(t, s, shop.Test, o.ID)
				if c.outcome != nil {
					apply(t, s, first.ID, *c.outcome)
				}
				if c.later {
					waitAMinute(t, s, shop)
				}
				second, err := s.BeginPayment(t.Context(), shop.Test, o.ID, newPayment)
				got := orderOf(t, s, shop.Test, o.ID).Payments
				if got[0].Status != c.old {
					t.Errorf("the first payment is %s", got[0].Status)
				}
				if c.conflict {
					wantCode(t, err, models.CodeConflict)
					if len(got) != 1 {
						t.Errorf("payments %s", toJSON(t, got))
					}
					return
				}
				if err != nil || len(got) != 2 || got[1].ID != second.ID || got[1].Status != models.PaymentPending {
					t.Fatalf("payments %s (%v)", toJSON(t, got), err)
				}
				waiting := 0
				for _, j := range jobsOf(t, s, shop, jobs.KindSettle) {
					if j.State == models.JobDue {
						waiting++
						if j.Args.Payment != second.ID {
							t.Error("somebody is going to ask about a payment that is over")
						}
					}
				}
				if waiting != 1 {
					t.Errorf("%d promises to ask the gateway", waiting)
				}
				healthy(t, s)
			})
		}
	})
}

func TestARepeatedRequestFindsItsPayment(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
		o := storetest.Order(t, s, shop.Test, "editor", 1)
		request := func(id string) models.NewPayment {
			in := newPayment
			in.RequestID = id
			return in
		}
		ids := make([]string, 12)
		refusals(t, race(len(ids), func(i int) error {
			p, err := s.BeginPayment(t.Context(), shop.Test, o.ID, request("idk_1"))
			if err == nil {
				ids[i] = p.ID
			}
			return err
		}))
		slices.Sort(ids)
		if len(slices.Compact(ids)) != 1 {
			t.Errorf("one request made the payments %q", ids)
		}
		id := ids[0]
		if n := len(jobsOf(t, s, shop, jobs.KindSettle)); n != 1 {
			t.Errorf("%d promises to ask the gateway", n)
		}
		// However its payment has ended meanwhile, and whatever the order is now.
		for _, outcome := range []models.PaymentResult{wantsMore, processes, succeeds} {
			apply(t, s, id, outcome)
			if p := ok(s.BeginPayment(t.Context(), shop.Test, o.ID, request("idk_1")))(t); p.ID != id || p.Status != outcome.Status {
				t.Errorf("repeated: %+v", p)
			}
		}
		_, err := s.BeginPayment(t.Context(), shop.Test, o.ID, request("idk_2"))
		wantCode(t, err, models.CodeConflict)
		if got := orderOf(t, s, shop.Test, o.ID).Payments; len(got) != 1 {
			t.Errorf("payments %s", toJSON(t, got))
		}
	})
}

func TestOnePaymentAtATimeIsUnderWay(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
		o := storetest.Order(t, s, shop.Test, "editor", 1)
		again := storetest.Again(t, s)
		for round := range 3 {
			errs := race(12, func(i int) error {
				_, err := []*models.Store{s, again}[i%2].BeginPayment(t.Context(), shop.Test, o.ID, newPayment)
				return err
			})
			refusals(t, errs, models.CodeConflict)
			statuses := map[models.PaymentStatus]int{}
			for _, p := range orderOf(t, s, shop.Test, o.ID).Payments {
				statuses[p.Status]++
			}
			if succeeded(errs) != 1 || statuses[models.PaymentPending] != 1 || statuses[models.PaymentCancelled] != round || len(statuses) > 2 {
				t.Errorf("%d were begun at once; payments %v", succeeded(errs), statuses)
			}
			waitAMinute(t, s, shop)
		}
		healthy(t, s)
	})
}

// A gateway that tells of its success twenty times at once makes the order paid once, with everything that follows from it once.
func TestASuccessThatIsToldManyTimes(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
		storetest.Product(t, s, shop.Test, "viewer", models.MethodTemplate)
		endpoint(t, s, shop.Test)
		in := storetest.OrderInput("editor", 3)
		in.Lines = append(in.Lines, models.NewLine{Product: "viewer", Quantity: 1})
		o := ok(s.CreateOrder(t.Context(), shop.Test, in))(t)
		p := begin(t, s, shop.Test, o.ID)
		again := storetest.Again(t, s)
		refusals(t, race(20, func(i int) error {
			got, err := []*models.Store{s, again}[i%2].ApplyPayment(t.Context(), p.ID, succeeds, "gateway")
			if err == nil && got.Status != models.PaymentSucceeded {
				t.Errorf("somebody was told that the payment is %s", got.Status)
			}
			return err
		}))
		got := orderOf(t, s, shop.Test, o.ID)
		if got.Status != models.OrderPaid || got.PaidAt == nil || len(got.Payments) != 1 || got.Payments[0].Status != models.PaymentSucceeded {
			t.Errorf("order %s", toJSON(t, got))
		}
		if got := eventsOf(t, s, shop); got != "order.created payment.succeeded" {
			t.Errorf("events %q", got)
		}
		if data := eventData(t, s, shop, models.EventPaymentSucceeded)[0]; data != toJSON(t, got) {
			t.Errorf("the event has %s, the order is %s", data, toJSON(t, got))
		}
		if got := emailsOf(t, s, shop, models.EmailPending); got != "payment_confirmation" {
			t.Errorf("emails %q", got)
		}
		var items []string
		for _, j := range jobsOf(t, s, shop, jobs.KindFulfil) {
			items = append(items, j.Args.Item)
		}
		if want := []string{o.Items[0].ID, o.Items[1].ID}; !slices.Equal(items, want) {
			t.Errorf("fulfilments of %q, want %q", items, want)
		}
		if n := len(jobsOf(t, s, shop, jobs.KindDeliver)); n != 2 {
			t.Errorf("%d webhooks, want two", n)
		}
		if j := oneJob(t, s, shop, jobs.KindSettle); j.State != models.JobDone || j.Attempts != 0 {
			t.Errorf("the promise to ask the gateway is %s", j.State)
		}
		if stored := ok(s.Payment(t.Context(), p.ID))(t); stored.Reference != "ref_1" || !stored.Applied {
			t.Errorf("payment %+v", stored)
		}
		healthy(t, s)
	})
}

// What a gateway says may come in any order. Only what the table of moves allows happens.
func TestOutcomesInAnyOrder(t *testing.T) {
	cases := []struct {
		name   string
		heard  []models.PaymentResult
		status models.PaymentStatus
		order  models.OrderStatus
		events string // beside order.created
	}{
		{"action, processing, success", []models.PaymentResult{wantsMore, processes, succeeds}, models.PaymentSucceeded, models.OrderPaid, "payment.succeeded"},
		{"success, then what came before it", []models.PaymentResult{succeeds, processes, wantsMore}, models.PaymentSucceeded, models.OrderPaid, "payment.succeeded"},
		{"success, then a failure", []models.PaymentResult{succeeds, fails}, models.PaymentSucceeded, models.OrderPaid, "payment.succeeded"},
		{"success, then a cancellation", []models.PaymentResult{succeeds, isReturned}, models.PaymentSucceeded, models.OrderPaid, "payment.succeeded"},
		{"processing, then action", []models.PaymentResult{processes, wantsMore}, models.PaymentProcessing, models.OrderNotPaid, ""},
		{"processing twice", []models.PaymentResult{processes, processes}, models.PaymentProcessing, models.OrderNotPaid, ""},
		{"failure twice", []models.PaymentResult{fails, fails}, models.PaymentFailed, models.OrderNotPaid, "payment.failed"},
		{"failure, then processing", []models.PaymentResult{fails, processes}, models.PaymentFailed, models.OrderNotPaid, "payment.failed"},
		{"failure, then a cancellation", []models.PaymentResult{fails, isReturned}, models.PaymentFailed, models.OrderNotPaid, "payment.failed"},
		{"processing, then a failure", []models.PaymentResult{processes, fails}, models.PaymentFailed, models.OrderNotPaid, "payment.failed"},
		{"a cancellation, then processing", []models.PaymentResult{isReturned, processes}, models.PaymentCancelled, models.OrderNotPaid, ""},
		{"a cancellation, then a failure", []models.PaymentResult{isReturned, fails}, models.PaymentCancelled, models.OrderNotPaid, ""},
		{"back to pending", []models.PaymentResult{wantsMore, {Status: models.PaymentPending}}, models.PaymentRequiresAction, models.OrderNotPaid, ""},
		{"a status that there is not", []models.PaymentResult{{Status: "lost"}}, models.PaymentPending, models.OrderNotPaid, ""},
	}
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				shop := storetest.Merchant(t, s)
				storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
				o := storetest.Order(t, s, shop.Test, "editor", 1)
				p := begin(t, s, shop.Test, o.ID)
				for _, r := range c.heard {
					apply(t, s, p.ID, r)
				}
				got := orderOf(t, s, shop.Test, o.ID)
				if got.Status != c.order || len(got.Payments) != 1 || got.Payments[0].Status != c.status {
					t.Errorf("order %s", toJSON(t, got))
				}
				if got, want := eventsOf(t, s, shop), strings.TrimSpace("order.created "+c.events); got != want {
					t.Errorf("events %q, want %q", got, want)
				}
				healthy(t, s)
			})
		}
	})
}

func TestAFailedPaymentLeavesTheOrderUnpaid(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
		o := storetest.Order(t, s, shop.Test, "editor", 1)
		for n := range 3 {
			p := begin(t, s, shop.Test, o.ID)
			refusals(t, race(5, func(int) error { _, err := s.ApplyPayment(t.Context(), p.ID, fails, "gateway"); return err }))
			got := orderOf(t, s, shop.Test, o.ID)
			last := got.Payments[n]
			if got.Status != models.OrderNotPaid || last.Status != models.PaymentFailed || *last.FailureCode != "card_declined" || *last.FailureMessage != "The card was declined." {
				t.Errorf("order %s", toJSON(t, got))
			}
			if events := eventData(t, s, shop, models.EventPaymentFailed); len(events) != n+1 || !strings.Contains(events[n], last.ID) {
				t.Errorf("%d payment.failed events after %d failures", len(events), n+1)
			}
		}
		if n := len(jobsOf(t, s, shop, jobs.KindFulfil)); n != 0 || emailsOf(t, s, shop, models.EmailPending) != "" {
			t.Errorf("%d fulfilments", n)
		}
		// The customer tries once more.
		if got := storetest.Pay(t, s, shop.Test, o.ID); got.Status != models.OrderPaid || len(got.Payments) != 4 {
			t.Errorf("order %s", toJSON(t, got))
		}
		healthy(t, s)
	})
}

// The promise to ask the gateway, and what the worker who keeps it learns.
func TestSettling(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
		settle := func(payment string, state models.JobState) models.Job {
			t.Helper()
			var found []models.Job
			for _, j := range jobsOf(t, s, shop, jobs.KindSettle) {
				if j.Args.Payment == payment && j.State == state {
					found = append(found, j)
				}
			}
			if len(found) != 1 {
				t.Fatalf("%d promises to ask about the payment are %s", len(found), state)
			}
			return found[0]
		}
		// Nobody has heard of the payment since it was begun: the worker asks, and keeps what it is told.
		lost := storetest.Order(t, s, shop.Test, "editor", 1)
		p := begin(t, s, shop.Test, lost.ID)
		c := take(t, s, settle(p.ID, models.JobDue))
		if err := s.KeepSettled(t.Context(), c, succeeds); err != nil {
			t.Fatal(err)
		}
		settle(p.ID, models.JobDone)
		if got := orderOf(t, s, shop.Test, lost.ID); got.Status != models.OrderPaid {
			t.Errorf("the order is %s", got.Status)
		}
		wantCode(t, s.KeepSettled(t.Context(), c, succeeds), models.CodeFenced)

		// The gateway tells by itself while the worker asks: both are right, and the order is paid once.
		asked := storetest.Order(t, s, shop.Test, "editor", 1)
		p = begin(t, s, shop.Test, asked.ID)
		c = take(t, s, settle(p.ID, models.JobDue))
		refusals(t, race(2, func(i int) error {
			if i == 0 {
				return s.KeepSettled(t.Context(), c, succeeds)
			}
			_, err := s.ApplyPayment(t.Context(), p.ID, succeeds, "gateway")
			return err
		}))
		settle(p.ID, models.JobDone)
		if n := len(eventData(t, s, shop, models.EventPaymentSucceeded)); n != 2 {
			t.Errorf("%d payments succeeded, want two", n)
		}

		// A payment for which the gateway was never asked fails, unless the customer tries again before the worker has said so, be it that the
		// gateway is still being asked then: there is no other payment beside it either.
		gaveUp := models.PaymentResult{Status: models.PaymentFailed, FailureCode: "processing_error", FailureMessage: "The payment could not be processed."}
		for tries, want := range map[string]models.PaymentStatus{"not": models.PaymentFailed, "and is heard": models.PaymentRequiresAction, "and waits": models.PaymentPending} {
			o := storetest.Order(t, s, shop.Test, "editor", 1)
			request := newPayment
			request.RequestID = "request-" + o.ID
			p = ok(s.BeginPayment(t.Context(), shop.Test, o.ID, request))(t)
			c = take(t, s, settle(p.ID, models.JobDue))
			storetest.Exec(t, s, `UPDATE payments SET created_at = $1, updated_at = $1 WHERE id = $2`, time.Now().UTC().Add(-time.Minute), p.ID)
			if tries != "not" {
				if again := ok(s.BeginPayment(t.Context(), shop.Test, o.ID, request))(t); again.ID != p.ID {
					t.Errorf("another payment is begun: %s", again.ID)
				}
				_, err := s.BeginPayment(t.Context(), shop.Test, o.ID, newPayment)
				wantCode(t, err, models.CodeConflict)
			}
			if tries == "and is heard" {
				apply(t, s, p.ID, models.PaymentResult{Status: models.PaymentRequiresAction, Reference: "page-1"})
			}
			if err := s.KeepNeverAsked(t.Context(), c, gaveUp); err != nil {
				t.Fatal(err)
			}
			settle(p.ID, models.JobDone)
			if got := ok(s.Payment(t.Context(), p.ID))(t); got.Status != want {
				t.Errorf("the customer tries again: %s, the payment is %s", tries, got.Status)
			}
			if tries != "not" {
				if j := settle(p.ID, models.JobDue); time.Until(j.RunAt) < 30*time.Second {
					t.Errorf("the gateway is asked again in %v", time.Until(j.RunAt))
				}
			}
		}

		// A gateway that takes its time says when to ask again.
		slow := storetest.Order(t, s, shop.Test, "editor", 1)
		p = begin(t, s, shop.Test, slow.ID)
		later := processes
		later.Ask = 5 * time.Minute
		apply(t, s, p.ID, later)
		settle(p.ID, models.JobDone)
		j := settle(p.ID, models.JobDue)
		if wait := time.Until(j.RunAt); wait < 4*time.Minute || wait > 5*time.Minute || j.AlarmAt.Before(j.RunAt) {
			t.Errorf("the gateway is asked in %s", wait)
		}
		apply(t, s, p.ID, succeeds)
		if j = jobOf(t, s, j.ID); j.State != models.JobDone || j.Attempts != 0 { // it has told by itself
			t.Errorf("the promise to ask is %s after %d attempts", j.State, j.Attempts)
		}

		// One that says nothing more is not asked again.
		silent := storetest.Order(t, s, shop.Test, "editor", 1)
		p = begin(t, s, shop.Test, silent.ID)
		apply(t, s, p.ID, processes)
		settle(p.ID, models.JobDone)
		healthy(t, s)
	})
}

// Payments of many orders at once, each told of several times by several processes, while the orders are cancelled and looked at.
func TestManyPaymentsAtOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
		endpoint(t, s, shop.Test)
		again := storetest.Again(t, s)
		orders := make([]string, 8)
		for n := range orders {
			orders[n] = storetest.Order(t, s, shop.Test, "editor", 1).ID
		}
		refusals(t, race(64, func(i int) error {
			store, order := []*models.Store{s, again}[i%2], orders[i%len(orders)]
			switch i / len(orders) % 4 {
			case 0, 1:
				p, err := store.BeginPayment(t.Context(), shop.Test, order, newPayment)
				if err != nil {
					return err
				}
				outcome := []models.PaymentResult{succeeds, fails, processes}[i%3]
				if _, err = store.ApplyPayment(t.Context(), p.ID, outcome, "gateway"); err != nil {
					return err
				}
				_, err = store.ApplyPayment(t.Context(), p.ID, succeeds, "gateway")
				return err
			case 2:
				_, err := store.CancelOrder(t.Context(), shop.Test, order, "", "test")
				return err
			}
			_, _, err := store.TakeAlarms(t.Context())
			return err
		}), models.CodeConflict)
		for _, id := range orders {
			o := orderOf(t, s, shop.Test, id)
			applied := storetest.Count(t, s, `SELECT COUNT(*) FROM payments WHERE order_id = $1 AND applied`, id)
			events := storetest.Count(t, s, `SELECT COUNT(*) FROM events WHERE order_id = $1 AND type = 'payment.succeeded'`, id)
			late := storetest.Count(t, s, `SELECT COUNT(*) FROM events WHERE order_id = $1 AND type = 'payment.late'`, id)
			money := 0
			for _, p := range o.Payments {
				if p.Status == models.PaymentSucceeded {
					money++
				}
			}
			paid := 0
			if o.Status == models.OrderPaid {
				paid = 1
			}
			if applied != paid || events != paid || late != money-paid {
				t.Errorf("the order is %s with %d payments applied of %d, %d told of and %d late", o.Status, applied, money, events, late)
			}
		}
		performAll(t, s)
		healthy(t, s)
	})
}
