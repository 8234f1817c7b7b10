package models_test

import (
	"testing"
	"time"

	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

// expire lets an order's term be over.
func (c campaign) expire(o *models.OrderView) {
	c.Helper()
	storetest.Exec(c.T, c.store, `UPDATE orders SET unpaid_since = $1 WHERE id = $2`, time.Now().UTC().Add(-98*24*time.Hour), o.ID)
	if n := ok(c.store.ExpireOrders(c.Context()))(c.T); n != 1 {
		c.Fatalf("%d orders expired", n)
	}
}

func (c campaign) revive(o *models.OrderView) *models.OrderView {
	c.Helper()
	return ok(c.store.ReviveOrder(c.Context(), c.shop.Test, o.ID, "test"))(c.T)
}

// pays lets an order's money arrive, late or not.
func (c campaign) pays(o *models.OrderView) {
	c.Helper()
	ok(c.store.MarkPaid(c.Context(), c.shop.Test, o.ID, models.ReceivedMoney{Amount: o.Total, Currency: o.Currency, Actor: "test"}))(c.T)
}

// A revived order keeps the discount that it was promised, so that it uses its coupon again, even where another order has taken the last
// use meanwhile.
func TestARevivedOrderUsesItsCouponAgain(t *testing.T) {
	one, many := 1, 5
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		for limits, in := range map[string]models.CouponInput{
			"in all": {MaxUses: &one}, "per customer": {MaxUsesPerCustomer: &one}, "both": {MaxUses: &many, MaxUsesPerCustomer: &one},
		} {
			for how, remove := range map[string]func(campaign, *models.OrderView){"cancelled": campaign.cancel, "expired": campaign.expire} {
				t.Run(how+", "+limits, func(t *testing.T) {
					c := newCampaign(t, s, in)
					first := c.takes("Ada@example.com")
					c.refuses("ada@example.com")
					remove(c, first)
					c.used(0)
					second := c.takes("ada@example.com")
					c.used(1)
					c.pays(first)
					c.pays(second)
					if got := c.revive(first); got.Status != models.OrderPaid || got.Discount != first.Discount {
						t.Errorf("the revived order is %s", toJSON(t, got))
					}
					c.used(2)
					c.refuses("ada@example.com")
				})
				t.Run(how+" and revived in time, "+limits, func(t *testing.T) {
					c := newCampaign(t, s, in)
					first := c.takes("ada@example.com")
					for range 2 {
						remove(c, first)
						c.used(0)
						c.revive(first)
						c.used(1)
						c.refuses("ada@example.com")
					}
					remove(c, first)
					c.takes("ada@example.com")
				})
			}
		}
	})
}

// The counter of a limit may be missing when a use is given back, and when it is taken again.
func TestARevivedOrderOfACouponThatIsNotCounted(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		c := newCampaign(t, s, models.CouponInput{})
		first, second := c.takes("a@example.com"), c.takes("b@example.com")
		c.cancel(first)
		c.revive(first)
		c.used(2)
		c.cancel(second)
		c.patch(`{"max_uses":2}`)
		for range 2 {
			storetest.Exec(t, s, `DELETE FROM coupon_counters`)
			c.cancel(first)
			c.used(0)
			storetest.Exec(t, s, `DELETE FROM coupon_counters`)
			c.revive(first)
			c.used(1)
		}
		c.revive(second)
		c.refuses("c@example.com")
		c.used(2)
		c.patch(`{"max_uses":3}`)
		c.takes("c@example.com")
		c.refuses("d@example.com")
	})
}

// An order that uses two coupons is deleted and revived while others race for what it gives back.
func TestOrdersAreRevivedWhileOthersTakeTheirCoupons(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		again := storetest.Again(t, s)
		uses, tenth := 3, 1000
		c := newCampaign(t, s, models.CouponInput{MaxUses: &uses})
		ok(s.CreateCoupon(t.Context(), c.shop.Test, models.CouponInput{Name: "For all", PercentBP: &tenth, MaxUses: &uses, Active: true}))(t)
		first := c.takes("a@example.com")
		for range 5 {
			refusals(t, race(16, func(i int) error {
				store := []*models.Store{s, again}[i%2]
				switch i % 4 {
				case 0:
					_, err := store.CancelOrder(t.Context(), c.shop.Test, first.ID, "", "test")
					return err
				case 1:
					_, err := store.ReviveOrder(t.Context(), c.shop.Test, first.ID, "test")
					return err
				}
				beside := c
				beside.store = store
				_, err := beside.order("b@example.com")
				return err
			}), models.CodeInvalid)
			healthy(t, s)
		}
		ok(s.ReviveOrder(t.Context(), c.shop.Test, first.ID, "test"))(t)
		orders := storetest.Count(t, s, `SELECT COUNT(*) FROM orders WHERE merchant_id = $1 AND status = 'not_paid'`, c.shop.ID)
		if orders > uses+1 {
			t.Errorf("%d orders use a coupon with %d uses", orders, uses)
		}
		c.refuses("c@example.com")
		c.used(int64(orders))
	})
}

// A limit that a process of an earlier version sets while an order is made, which it does not wait for, may have no counter.
func TestALimitWithoutACounterHolds(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		one := 1
		c := newCampaign(t, s, models.CouponInput{MaxUses: &one})
		if s.Embedded() {
			storetest.Exec(t, s, `CREATE TRIGGER lost BEFORE INSERT ON coupon_counters BEGIN SELECT RAISE(IGNORE); END`)
		} else {
			storetest.Exec(t, s, `CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'`)
			storetest.Exec(t, s, `CREATE TRIGGER lost BEFORE INSERT ON coupon_counters FOR EACH ROW EXECUTE FUNCTION lose()`)
		}
		storetest.Exec(t, s, `DELETE FROM coupon_counters`)
		c.takes("a@example.com")
		c.refuses("b@example.com")
		c.used(1)
	})
}

// Uses outlive the version that keeps those of deleted orders, and counters that an earlier one has left wrong are counted anew.
func TestUsesFromBeforeTheyWereReleased(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		two := 2
		c := newCampaign(t, s, models.CouponInput{MaxUses: &two})
		first, second := c.takes("a@example.com"), c.takes("b@example.com")
		c.cancel(first)
		third := c.takes("c@example.com")
		if down := ok(s.MigrateDown(t.Context()))(t); down != 7 {
			t.Fatalf("version %d was taken back", down)
		}
		if left := texts(t, s, `SELECT order_id FROM coupon_uses WHERE customer_email <> ''`); len(left) != 2 {
			t.Errorf("%d uses are left", len(left))
		}
		storetest.Exec(t, s, `UPDATE coupon_counters SET used = 0`)
		ok(s.Migrate(t.Context()))(t)
		c.refuses("d@example.com")
		c.used(2)
		c.cancel(second)
		c.cancel(third)
		c.used(0)
		c.revive(second)
		c.revive(third)
		c.used(2)
		c.revive(first) // whose use was not kept
		c.used(2)
	})
}
