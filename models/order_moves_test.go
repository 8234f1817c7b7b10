package models_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

var newPayment = models.NewPayment{Method: "card", Gateway: "test", Class: "online", Actor: "test"}

func begin(t testing.TB, s *models.Store, sc models.Scope, orderID string) *models.Payment {
	t.Helper()
	p, err := s.BeginPayment(t.Context(), sc, orderID, newPayment)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func apply(t testing.TB, s *models.Store, paymentID string, r models.PaymentResult) *models.Payment {
	t.Helper()
	p, err := s.ApplyPayment(t.Context(), paymentID, r, "gateway")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

var (
	succeeds   = models.PaymentResult{Status: models.PaymentSucceeded, Reference: "ref_1"}
	fails      = models.PaymentResult{Status: models.PaymentFailed, Reference: "ref_1", FailureCode: "card_declined", FailureMessage: "The card was declined."}
	processes  = models.PaymentResult{Status: models.PaymentProcessing, Reference: "ref_1"}
	wantsMore  = models.PaymentResult{Status: models.PaymentRequiresAction, Reference: "ref_1"}
	isReturned = models.PaymentResult{Status: models.PaymentCancelled}
)

func orderOf(t testing.TB, s *models.Store, sc models.Scope, id string) *models.OrderView {
	t.Helper()
	o, err := s.Order(t.Context(), sc, id)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestCancelOrder(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
		endpoint(t, s, shop.Test, models.EventOrderDeleted)
		o := storetest.Order(t, s, shop.Test, "editor", 1)
		p := begin(t, s, shop.Test, o.ID)
		got := ok(s.CancelOrder(t.Context(), shop.Test, o.ID, "changed my mind", "api_key:key_1"))(t)
		if got.Status != models.OrderDeleted || got.DeleteReason == nil || *got.DeleteReason != models.DeletedCancelled || got.DeletedAt == nil ||
			got.PaidAt != nil || got.Payments[0].Status != models.PaymentCancelled || got.FulfillmentStatus != models.NotDelivered {
			t.Errorf("order %s", toJSON(t, got))
		}
		if stored := orderOf(t, s, shop.Test, o.ID); toJSON(t, stored) != toJSON(t, got) {
			t.Errorf("stored %s\nanswered %s", toJSON(t, stored), toJSON(t, got))
		}
		// Again is a no-op: no second event, and the first reason stays.
		again := ok(s.CancelOrder(t.Context(), shop.Test, o.ID, "another reason", "api_key:key_2"))(t)
		if toJSON(t, again) != toJSON(t, got) {
			t.Errorf("again %s", toJSON(t, again))
		}
		if got := eventsOf(t, s, shop); got != "order.created order.deleted" {
			t.Errorf("events %q", got)
		}
		if data := eventData(t, s, shop, models.EventOrderDeleted)[0]; !strings.Contains(data, `"delete_reason":"cancelled"`) || !strings.Contains(data, `"status":"deleted"`) {
			t.Errorf("the event has %s", data)
		}
		history := texts(t, s, `SELECT detail FROM history WHERE order_id = $1 AND kind = 'order.deleted' AND actor = 'api_key:key_1'`, o.ID)
		if len(history) != 1 || !strings.Contains(history[0], "changed my mind") {
			t.Errorf("history %q", history)
		}
		// Nobody asks a gateway about a payment that was called off.
		if j := oneJob(t, s, shop, jobs.KindSettle); j.State != models.JobDone || j.Attempts != 0 {
			t.Errorf("the job that settles the payment is %s", j.State)
		}
		_, err := s.BeginPayment(t.Context(), shop.Test, o.ID, newPayment)
		wantCode(t, err, models.CodeConflict)
		if p2 := orderOf(t, s, shop.Test, o.ID).Payments; len(p2) != 1 || p2[0].ID != p.ID {
			t.Errorf("payments %s", toJSON(t, p2))
		}
		healthy(t, s)
	})
}

func TestCancelOrderRefused(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
		paid := storetest.PaidOrder(t, s, shop.Test, "editor", 1)
		paying := storetest.Order(t, s, shop.Test, "editor", 1)
		apply(t, s, begin(t, s, shop.Test, paying.ID).ID, processes)
		free := storetest.Order(t, s, shop.Test, "editor", 1)
		ended := storetest.Order(t, s, shop.Test, "editor", 1)
		storetest.Exec(t, s, `UPDATE orders SET status = 'terminated' WHERE id = $1`, ended.ID)
		events := eventsOf(t, s, shop)

		for name, id := range map[string]string{"a paid order": paid.ID, "an order that is being paid": paying.ID, "a terminated order": ended.ID} {
			before := orderOf(t, s, shop.Test, id)
			_, err := s.CancelOrder(t.Context(), shop.Test, id, "", "test")
			if models.CodeOf(err) != models.CodeConflict {
				t.Errorf("%s: %v, want a conflict", name, err)
			}
			if after := orderOf(t, s, shop.Test, id); toJSON(t, after) != toJSON(t, before) {
				t.Errorf("%s has changed to %s", name, toJSON(t, after))
			}
		}
		for _, reason := range []string{strings.Repeat("x", 501), "\x00", "\xff"} {
			_, err := s.CancelOrder(t.Context(), shop.Test, free.ID, reason, "test")
			wantCode(t, err, models.CodeInvalid)
			wantFields(t, err, "reason")
		}
		if got := orderOf(t, s, shop.Test, free.ID); got.Status != models.OrderNotPaid {
			t.Errorf("a refused cancellation made the order %s", got.Status)
		}
		if got := eventsOf(t, s, shop); got != events {
			t.Errorf("events %q, before %q", got, events)
		}
		ok(s.CancelOrder(t.Context(), shop.Test, free.ID, strings.Repeat("ä", 500), "test"))(t)
		// Once the payment has failed, there is nothing to wait for.
		apply(t, s, orderOf(t, s, shop.Test, paying.ID).Payments[0].ID, fails)
		ok(s.CancelOrder(t.Context(), shop.Test, paying.ID, "", "test"))(t)
	})
}

// Whoever is first wins, and the other is refused or, if it was money, recorded as late: an order is never both paid and deleted.
func TestCancellingAgainstPaying(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
		again := storetest.Again(t, s)
		const rounds = 12
		paid, deleted := 0, 0
		for range rounds {
			o := storetest.Order(t, s, shop.Test, "editor", 1)
			p := begin(t, s, shop.Test, o.ID)
			errs := race(6, func(i int) error {
				if i%2 == 0 {
					_, err := s.ApplyPayment(t.Context(), p.ID, succeeds, "gateway")
					return err
				}
				_, err := again.CancelOrder(t.Context(), shop.Test, o.ID, "", "test")
				return err
			})
			refusals(t, errs, models.CodeConflict)
			got := orderOf(t, s, shop.Test, o.ID)
			late := storetest.Count(t, s, `SELECT COUNT(*) FROM events WHERE order_id = $1 AND type = 'payment.late'`, o.ID)
			succeeded := storetest.Count(t, s, `SELECT COUNT(*) FROM events WHERE order_id = $1 AND type = 'payment.succeeded'`, o.ID)
			gone := storetest.Count(t, s, `SELECT COUNT(*) FROM events WHERE order_id = $1 AND type = 'order.deleted'`, o.ID)
			switch got.Status {
			case models.OrderPaid:
				paid++
				if late != 0 || succeeded != 1 || gone != 0 || len(got.Payments) != 1 {
					t.Errorf("paid with %d late, %d succeeded, %d deleted: %s", late, succeeded, gone, toJSON(t, got.Payments))
				}
			case models.OrderDeleted:
				deleted++
				if late != 1 || succeeded != 0 || gone != 1 || len(got.Payments) != 2 || got.Payments[1].Status != models.PaymentSucceeded {
					t.Errorf("deleted with %d late, %d succeeded, %d deleted: %s", late, succeeded, gone, toJSON(t, got.Payments))
				}
			default:
				t.Errorf("the order is %s", got.Status)
			}
		}
		if paid+deleted != rounds {
			t.Errorf("%d paid and %d deleted of %d", paid, deleted, rounds)
		}
		if n := len(jobsOf(t, s, shop, jobs.KindFulfil)); n != paid {
			t.Errorf("%d fulfilments of %d paid orders", n, paid)
		}
		healthy(t, s)
	})
}

// To every other merchant, and to the other mode, an order does not exist; nor does one whose id is not one.
func TestAnOrderIsNobodyElses(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop, other := storetest.Merchant(t, s), storetest.Merchant(t, s)
		storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
		o := storetest.PaidOrder(t, s, shop.Test, "editor", 1)
		unpaid := storetest.Order(t, s, shop.Test, "editor", 1)
		refuse(t, s, oneJob(t, s, shop, jobs.KindFulfil).ID)
		before := toJSON(t, []any{orderOf(t, s, shop.Test, o.ID), orderOf(t, s, shop.Test, unpaid.ID)})

		doors := map[string]func(models.Scope, string) error{
			"read": func(sc models.Scope, id string) error { _, err := s.Order(t.Context(), sc, id); return err },
			"cancel": func(sc models.Scope, id string) error {
				_, err := s.CancelOrder(t.Context(), sc, id, "", "test")
				return err
			},
			"pay": func(sc models.Scope, id string) error {
				_, err := s.BeginPayment(t.Context(), sc, id, newPayment)
				return err
			},
			"retry an item": func(sc models.Scope, id string) error {
				_, err := s.RetryItem(t.Context(), sc, id, o.Items[0].ID, "test")
				return err
			},
			"timeline": func(sc models.Scope, id string) error { _, err := s.Timeline(t.Context(), sc, id); return err },
		}
		for name, door := range doors {
			for _, sc := range []models.Scope{shop.Live, other.Test, other.Live, {}} {
				for _, id := range []string{o.ID, unpaid.ID} {
					if err := door(sc, id); models.CodeOf(err) != models.CodeNotFound {
						t.Errorf("%s in %+v: %v", name, sc, err)
					}
				}
			}
			for _, id := range []string{"", "ord_", "ord_" + strings.Repeat("0", 26), o.ID[:29], o.ID + "0", strings.ToUpper(o.ID), o.Items[0].ID, o.Number, "\x00", "ord_\xff", o.ID + "\x00"} {
				if err := door(shop.Test, id); models.CodeOf(err) != models.CodeNotFound {
					t.Errorf("%s of %q: %v", name, id, err)
				}
			}
		}
		for _, item := range []string{"", unpaid.Items[0].ID, "\x00", "\xff"} {
			_, err := s.RetryItem(t.Context(), shop.Test, o.ID, item, "test")
			wantCode(t, err, models.CodeNotFound)
		}
		for _, id := range []string{"", "pay_", o.ID, "\x00", "pay_" + strings.Repeat("0", 26)} {
			_, err := s.ApplyPayment(t.Context(), id, succeeds, "gateway")
			wantCode(t, err, models.CodeNotFound)
			_, err = s.Payment(t.Context(), id)
			wantCode(t, err, models.CodeNotFound)
		}
		for _, token := range []string{"", "x", "\x00", "\xff", strings.Repeat("A", 32), strings.Repeat("A", 31) + "\x00"} {
			_, _, err := s.PaymentByToken(t.Context(), "test", token)
			wantCode(t, err, models.CodeNotFound)
		}
		token := texts(t, s, `SELECT token FROM payments`)[0]
		if p, v, err := s.PaymentByToken(t.Context(), "test", token); err != nil || p.OrderID != o.ID || v.ID != o.ID {
			t.Errorf("the payment by its token: %v", err)
		}
		_, _, err := s.PaymentByToken(t.Context(), "another", token)
		wantCode(t, err, models.CodeNotFound)
		if after := toJSON(t, []any{orderOf(t, s, shop.Test, o.ID), orderOf(t, s, shop.Test, unpaid.ID)}); after != before {
			t.Errorf("the orders have changed to %s", after)
		}
		for _, sc := range []models.Scope{shop.Live, other.Test} {
			if list, _, err := s.Orders(t.Context(), sc, models.OrderFilter{}, models.Page{}); err != nil || len(list) != 0 {
				t.Errorf("%+v lists %d orders (%v)", sc, len(list), err)
			}
		}
	})
}

func TestOrders(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop, other := storetest.Merchant(t, s), storetest.Merchant(t, s)
		editor := storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
		storetest.Product(t, s, shop.Test, "viewer", models.MethodTemplate)
		storetest.Product(t, s, other.Test, "editor", models.MethodTemplate)
		storetest.Order(t, s, other.Test, "editor", 1)
		storetest.Order(t, s, shop.Live, "editor", 1)
		make := func(product, email, external string) *models.OrderView {
			t.Helper()
			in := storetest.OrderInput(product, 2)
			in.Customer.Email, in.ExternalID = email, external
			return ok(s.CreateOrder(t.Context(), shop.Test, in))(t)
		}
		a := make("editor", "Ada@Example.com", "cart-1")
		b := make("viewer", "ada@example.com", "cart-2")
		c := make("editor", "bob@example.com", "cart-2")
		d := make("viewer", "eve@example.com", "")
		gone := make("viewer", "eve@example.com", "")
		storetest.Pay(t, s, shop.Test, b.ID)
		performAll(t, s)
		storetest.Pay(t, s, shop.Test, c.ID)
		ok(s.CancelOrder(t.Context(), shop.Test, d.ID, "", "test"))(t)
		storetest.Exec(t, s, `UPDATE orders SET status = 'terminated' WHERE id = $1`, gone.ID)

		cases := []struct {
			name string
			f    models.OrderFilter
			want []*models.OrderView
		}{
			{"all but the terminated, newest first", models.OrderFilter{}, []*models.OrderView{d, c, b, a}},
			{"the terminated when asked for", models.OrderFilter{Status: "terminated"}, []*models.OrderView{gone}},
			{"by status", models.OrderFilter{Status: "paid"}, []*models.OrderView{c, b}},
			{"by another status", models.OrderFilter{Status: "deleted"}, []*models.OrderView{d}},
			{"by fulfilment", models.OrderFilter{FulfillmentStatus: "delivered"}, []*models.OrderView{b}},
			{"by both", models.OrderFilter{Status: "not_paid", FulfillmentStatus: "not_delivered"}, []*models.OrderView{a}},
			{"by email, whatever its case", models.OrderFilter{Email: " ADA@example.COM"}, []*models.OrderView{b, a}},
			{"by part of an email", models.OrderFilter{Email: "ada@"}, nil},
			{"by number", models.OrderFilter{Number: c.Number}, []*models.OrderView{c}},
			{"by external id", models.OrderFilter{ExternalID: "cart-2"}, []*models.OrderView{c, b}},
			{"by product", models.OrderFilter{Product: editor.ID}, []*models.OrderView{c, a}},
			{"by SKU", models.OrderFilter{Product: "viewer"}, []*models.OrderView{d, b}},
			{"by a product that there is not", models.OrderFilter{Product: "nothing"}, nil},
			{"by what cannot be a product", models.OrderFilter{Product: "a\x00b"}, nil},
			{"from a time on", models.OrderFilter{CreatedFrom: c.CreatedAt}, []*models.OrderView{d, c}},
			{"up to a time", models.OrderFilter{CreatedTo: c.CreatedAt}, []*models.OrderView{c, b, a}},
			{"between times of another zone", models.OrderFilter{
				CreatedFrom: b.CreatedAt.In(time.FixedZone("", -7200)), CreatedTo: c.CreatedAt.In(time.FixedZone("", 7200)),
			}, []*models.OrderView{c, b}},
			{"by everything", models.OrderFilter{Status: "paid", Email: "bob@example.com", ExternalID: "cart-2", Product: "editor", Number: c.Number}, []*models.OrderView{c}},
			{"by what does not go together", models.OrderFilter{Email: "bob@example.com", ExternalID: "cart-1"}, nil},
		}
		for _, tc := range cases {
			list, next, err := s.Orders(t.Context(), shop.Test, tc.f, models.Page{})
			if err != nil || next != "" {
				t.Errorf("%s: cursor %q, %v", tc.name, next, err)
			}
			var got, want []string
			for _, o := range list {
				got = append(got, o.ID)
				if toJSON(t, o) != toJSON(t, orderOf(t, s, shop.Test, o.ID)) {
					t.Errorf("%s: listed as %s", tc.name, toJSON(t, o))
				}
			}
			for _, o := range tc.want {
				want = append(want, o.ID)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: %q, want %q", tc.name, got, want)
			}
		}
		for field, f := range map[string]models.OrderFilter{
			"status": {Status: "unpaid"}, "fulfillment_status": {FulfillmentStatus: "failed"}, "email": {Email: "a\x00@b"}, "number": {Number: "\xff"},
			"external_id": {ExternalID: "\x00"},
		} {
			_, _, err := s.Orders(t.Context(), shop.Test, f, models.Page{})
			wantCode(t, err, models.CodeInvalid)
			wantFields(t, err, field)
		}
		ok(s.UpdateProduct(t.Context(), shop.Test, "editor", models.ProductPatch{SKU: models.Some("studio")}))(t)
		for sku, want := range map[string]int{"studio": 2, "editor": 0} {
			if list, _, err := s.Orders(t.Context(), shop.Test, models.OrderFilter{Product: sku}, models.Page{}); err != nil || len(list) != want {
				t.Errorf("once the product is called studio, %s has %d orders (%v), want %d", sku, len(list), err, want)
			}
		}
		// Another one under the same SKU, once the first is gone: the orders of both, and those in between are not theirs.
		ok(s.ArchiveProduct(t.Context(), shop.Test, "studio"))(t)
		make("viewer", "eve@example.com", "")
		storetest.Product(t, s, shop.Test, "studio", models.MethodTemplate)
		if list, _, err := s.Orders(t.Context(), shop.Test, models.OrderFilter{Product: "studio"}, models.Page{}); err != nil || len(list) != 2 {
			t.Errorf("while the new studio is not sold, studio has %d orders (%v), want 2", len(list), err)
		}
		last := make("studio", "eve@example.com", "")
		list, _, err := s.Orders(t.Context(), shop.Test, models.OrderFilter{Product: "studio"}, models.Page{})
		if err != nil || len(list) != 3 || list[0].ID != last.ID || list[1].ID != c.ID || list[2].ID != a.ID {
			t.Errorf("then it has %s (%v)", toJSON(t, list), err)
		}
	})
}

// Pages neither repeat nor miss an order while others come in.
func TestOrdersPageByPage(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
		var want []string
		for range 7 {
			want = append([]string{storetest.Order(t, s, shop.Test, "editor", 1).ID}, want...)
		}
		var got []string
		page := models.Page{Limit: 3}
		for n := 0; ; n++ {
			list, next, err := s.Orders(t.Context(), shop.Test, models.OrderFilter{Email: "ada@example.com"}, page)
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range list {
				got = append(got, o.ID)
			}
			if next == "" || n == 5 {
				break
			}
			storetest.Order(t, s, shop.Test, "editor", 1)
			page.Cursor = next
		}
		if !slices.Equal(got, want) {
			t.Errorf("pages have %q, want %q", got, want)
		}
		for _, p := range []models.Page{{Limit: -1}, {Limit: 101}, {Cursor: "?"}, {Cursor: "AA"}} {
			_, _, err := s.Orders(t.Context(), shop.Test, models.OrderFilter{}, p)
			wantCode(t, err, models.CodeInvalid)
		}
	})
}

// What belongs to the orders of a page comes to the right ones.
func TestAPageOfOrdersIsComplete(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
		storetest.Product(t, s, shop.Test, "viewer", models.MethodTemplate)
		var ids []string
		for n := range 20 {
			in := storetest.OrderInput("editor", 1+n%3)
			in.Lines = append(in.Lines, models.NewLine{Product: "viewer", Quantity: 1})
			o := ok(s.CreateOrder(t.Context(), shop.Test, in))(t)
			storetest.Pay(t, s, shop.Test, o.ID)
			ids = append(ids, o.ID)
		}
		performAll(t, s)
		list, _, err := s.Orders(t.Context(), shop.Test, models.OrderFilter{}, models.Page{Limit: 100})
		if err != nil || len(list) != 20 {
			t.Fatal(len(list), err)
		}
		slices.Reverse(list)
		for n, o := range list {
			if o.ID != ids[n] || len(o.Items) != 2 || len(o.Items[0].Licenses) != 1+n%3 || len(o.Items[1].Licenses) != 1 || len(o.Payments) != 1 {
				t.Fatalf("order %d is %s", n, toJSON(t, o))
			}
			for _, l := range o.Items[0].Licenses {
				if want := fmt.Sprintf("SECRET-%s-", o.Items[0].ID); !strings.HasPrefix(l.Key, want) {
					t.Errorf("a licence of another item: %s", l.Key)
				}
			}
		}
	})
}
