package models_test

import (
	"strings"
	"testing"
	"time"

	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

// Money that arrives where it cannot be applied is recorded and told of once, however often the gateway says so.
func TestLateMoney(t *testing.T) {
	cases := []struct {
		name string
		// late brings it about that money for the payment returned is late.
		late  func(*testing.T, *models.Store, storetest.Shop, string) *models.Payment
		order models.OrderStatus
	}{
		{"for a cancelled order", func(t *testing.T, s *models.Store, shop storetest.Shop, order string) *models.Payment {
			p := begin(t, s, shop.Test, order)
			ok(s.CancelOrder(t.Context(), shop.Test, order, "", "test"))(t)
			return p
		}, models.OrderDeleted},
		{"for an expired order whose payment was confirmed by the customer", func(t *testing.T, s *models.Store, shop storetest.Shop, order string) *models.Payment {
			p := begin(t, s, shop.Test, order)
			apply(t, s, p.ID, processes)
			storetest.Exec(t, s, `UPDATE orders SET unpaid_since = $1 WHERE id = $2`, time.Now().UTC().Add(-98*24*time.Hour), order)
			if n := ok(s.ExpireOrders(t.Context()))(t); n != 1 {
				t.Fatalf("%d orders expired", n)
			}
			return p
		}, models.OrderDeleted},
		{"for an order that was paid by another", func(t *testing.T, s *models.Store, shop storetest.Shop, order string) *models.Payment {
			p := begin(t, s, shop.Test, order)
			apply(t, s, p.ID, wantsMore)
			storetest.Pay(t, s, shop.Test, order)
			return p
		}, models.OrderPaid},
	}
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				shop := storetest.Merchant(t, s)
				storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
				o := storetest.Order(t, s, shop.Test, "editor", 1)
				given := c.late(t, s, shop, o.ID)
				before := orderOf(t, s, shop.Test, o.ID)
				fulfilments := len(jobsOf(t, s, shop, jobs.KindFulfil))
				late := make([]string, 8)
				refusals(t, race(len(late), func(i int) error {
					p, err := s.ApplyPayment(t.Context(), given.ID, succeeds, "gateway")
					if err == nil {
						late[i] = p.ID
					}
					return err
				}))
				got := orderOf(t, s, shop.Test, o.ID)
				if got.Status != c.order || got.Status != before.Status || len(got.Payments) != len(before.Payments)+1 {
					t.Fatalf("order %s", toJSON(t, got))
				}
				p := got.Payments[len(got.Payments)-1]
				if p.Status != models.PaymentSucceeded || p.Amount != 4900 || p.Currency != "EUR" || p.Gateway != given.Gateway || p.Method != given.Method {
					t.Errorf("the money is recorded as %s", toJSON(t, p))
				}
				for _, id := range late {
					if id != p.ID {
						t.Errorf("the gateway was answered with the payment %s", id)
					}
				}
				if stored := ok(s.Payment(t.Context(), p.ID))(t); stored.Applied || stored.Reference != "ref_1" {
					t.Errorf("recorded %+v", stored)
				}
				if old := ok(s.Payment(t.Context(), given.ID))(t); old.Status != models.PaymentCancelled {
					t.Errorf("the payment that was given up is %s", old.Status)
				}
				if data := eventData(t, s, shop, models.EventPaymentLate); len(data) != 1 || !strings.Contains(data[0], p.ID) {
					t.Errorf("payment.late %q", data)
				}
				if n := len(jobsOf(t, s, shop, jobs.KindFulfil)); n != fulfilments {
					t.Error("late money is fulfilled")
				}
				healthy(t, s)
			})
		}
	})
}

// The customer confirms an attempt after having begun another: that is a payment like any other, and the newer attempt is needless.
func TestMoneyForAnAttemptThatWasGivenUpPaysAnUnpaidOrder(t *testing.T) {
	cases := []struct {
		name    string
		outcome models.PaymentResult
		second  bool
	}{
		{"in favour of another", wantsMore, true},
		{"because it seemed to have failed", fails, false},
		{"because the gateway seemed to have cancelled it", isReturned, false},
	}
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				shop := storetest.Merchant(t, s)
				storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
				o := storetest.Order(t, s, shop.Test, "editor", 1)
				first := begin(t, s, shop.Test, o.ID)
				apply(t, s, first.ID, c.outcome)
				if c.second {
					begin(t, s, shop.Test, o.ID)
				}
				refusals(t, race(6, func(int) error { _, err := s.ApplyPayment(t.Context(), first.ID, succeeds, "gateway"); return err }))
				got := orderOf(t, s, shop.Test, o.ID)
				paid := 0
				for _, p := range got.Payments {
					switch p.Status {
					case models.PaymentSucceeded:
						paid++
					case models.PaymentFailed, models.PaymentCancelled:
					default:
						t.Errorf("a payment is %s yet", p.Status)
					}
				}
				if got.Status != models.OrderPaid || paid != 1 {
					t.Errorf("order %s", toJSON(t, got))
				}
				if events := eventsOf(t, s, shop); strings.Count(events, "payment.succeeded") != 1 || strings.Contains(events, "late") {
					t.Errorf("events %q", events)
				}
				if n := len(jobsOf(t, s, shop, jobs.KindFulfil)); n != 1 {
					t.Errorf("%d fulfilments", n)
				}
				healthy(t, s)
			})
		}
	})
}

// A payment that is being processed when another pays the order ends as a second payment.
func TestASecondPaymentIsLateMoney(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
		o := storetest.Order(t, s, shop.Test, "editor", 1)
		first := begin(t, s, shop.Test, o.ID)
		apply(t, s, first.ID, wantsMore)
		second := begin(t, s, shop.Test, o.ID) // gives up the first
		apply(t, s, second.ID, processes)
		apply(t, s, first.ID, succeeds)
		if got := orderOf(t, s, shop.Test, o.ID); got.Status != models.OrderPaid || got.Payments[1].Status != models.PaymentProcessing {
			t.Fatalf("order %s", toJSON(t, got))
		}
		if p := apply(t, s, second.ID, succeeds); p.ID != second.ID || p.Status != models.PaymentSucceeded || p.Applied {
			t.Errorf("payment %+v", p)
		}
		if got := eventsOf(t, s, shop); got != "order.created payment.late payment.succeeded" {
			t.Errorf("events %q", got)
		}
		if n := len(jobsOf(t, s, shop, jobs.KindFulfil)); n != 1 {
			t.Errorf("%d fulfilments", n)
		}
		healthy(t, s)
	})
}
