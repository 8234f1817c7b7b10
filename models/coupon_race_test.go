package models_test

import (
	"testing"
	"time"

	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

// Orders with the same coupons are made, cancelled and expire at once: nobody waits in a circle, and every use that was taken by an order
// that is gone is given back.
func TestOrdersWithCouponsComeAndGo(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		settings(t, s, shop, `{"delete_unpaid_after":"60s","reminders":{"online":[],"offline":[]}}`)
		storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
		percent, uses := 100, 10_000
		coupon := func(code string) string {
			t.Helper()
			return ok(s.CreateCoupon(t.Context(), shop.Test, models.CouponInput{Code: code, Name: "Spring", PercentBP: &percent, MaxUses: &uses, Active: true}))(t).ID
		}
		codes := []string{"A", "B", "C", "D"}
		coupon(codes[0])
		coupon(codes[1])
		coupon("") // applies by itself, beside those that were made before and after it
		coupon(codes[2])
		coupon(codes[3])
		again := storetest.Again(t, s)
		order := func(s *models.Store, code string) (*models.OrderView, error) {
			in := storetest.OrderInput("editor", 1)
			in.Coupon = code
			return s.CreateOrder(t.Context(), shop.Test, in)
		}
		for range 6 {
			for n := range 40 {
				ok(order(s, codes[n%len(codes)]))(t)
			}
			storetest.Exec(t, s, `UPDATE orders SET unpaid_since = $1 WHERE status = 'not_paid'`, time.Now().UTC().Add(-time.Hour))
			cancelled := ok(order(s, "D"))(t)
			refusals(t, race(20, func(i int) error {
				store := []*models.Store{s, again}[i%2]
				switch i % 5 {
				case 0, 1, 2:
					_, err := store.ExpireOrders(t.Context())
					return err
				case 3:
					_, err := order(store, codes[i%len(codes)])
					return err
				}
				_, err := store.CancelOrder(t.Context(), shop.Test, cancelled.ID, "", "test")
				return err
			}))
		}
		for ok(s.ExpireOrders(t.Context()))(t) > 0 {
		}
		wrong := texts(t, s, `SELECT coupon_id FROM coupon_counters c WHERE c.used <> (SELECT COUNT(*) FROM coupon_uses u JOIN orders o ON o.id = u.order_id
			WHERE u.coupon_id = c.coupon_id AND u.test = c.test AND u.released_at IS NULL AND o.status <> 'deleted')`)
		if len(wrong) != 0 {
			t.Errorf("the counters of %d coupons are wrong", len(wrong))
		}
		if n := storetest.Count(t, s, `SELECT COUNT(*) FROM coupon_uses u JOIN orders o ON o.id = u.order_id
			WHERE o.status = 'deleted' AND (u.released_at IS NULL OR u.customer_email <> '')`); n != 0 {
			t.Errorf("%d uses of orders that are gone", n)
		}
		if n := storetest.Count(t, s, `SELECT COUNT(*) FROM orders WHERE status = 'deleted'`); n < 240 {
			t.Errorf("%d orders are gone", n)
		}
		healthy(t, s)
	})
}
