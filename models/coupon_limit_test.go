package models_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

// campaign is a coupon whose limits change while orders use it.
type campaign struct {
	*testing.T
	store *models.Store
	shop  storetest.Shop
	id    string
}

func newCampaign(t *testing.T, s *models.Store, in models.CouponInput) campaign {
	t.Helper()
	half := 5000
	c := campaign{T: t, store: s, shop: storetest.Merchant(t, s)}
	storetest.Product(t, s, c.shop.Test, "editor", models.MethodTemplate)
	in.Code, in.Name, in.PercentBP, in.Active = "SPRING", "Spring", &half, true
	c.id = ok(s.CreateCoupon(t.Context(), c.shop.Test, in))(t).ID
	return c
}

func (c campaign) order(email string) (*models.OrderView, error) {
	in := storetest.OrderInput("editor", 1)
	in.Coupon, in.Customer.Email = "SPRING", email
	return c.store.CreateOrder(c.Context(), c.shop.Test, in)
}

func (c campaign) patch(patch string) {
	c.Helper()
	ok(c.store.UpdateCoupon(c.Context(), c.shop.Test, c.id, decode[models.CouponPatch](c.T, patch)))(c.T)
}

// takes asserts that the next order of a customer may use the coupon.
func (c campaign) takes(email string) *models.OrderView {
	c.Helper()
	return ok(c.order(email))(c.T)
}

// refuses asserts that it may not.
func (c campaign) refuses(email string) {
	c.Helper()
	_, err := c.order(email)
	wantFields(c.T, err, "coupon")
}

func (c campaign) cancel(o *models.OrderView) {
	c.Helper()
	ok(c.store.CancelOrder(c.Context(), c.shop.Test, o.ID, "", "test"))(c.T)
}

// used asserts how many orders use the coupon, and that all of them were counted.
func (c campaign) used(want int64) {
	c.Helper()
	if got := ok(c.store.CouponByID(c.Context(), c.shop.Test, c.id))(c.T).Used; got != want {
		c.Errorf("%d orders use the coupon, want %d", got, want)
	}
	healthy(c.T, c.store)
}

func TestALimitCountsTheUsesBeforeIt(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		c := newCampaign(t, s, models.CouponInput{})
		first, _ := c.takes("a@example.com"), c.takes("b@example.com")
		c.patch(`{"max_uses":2}`)
		c.refuses("c@example.com")
		c.patch(`{"max_uses":3}`)
		third := c.takes("c@example.com")
		c.refuses("d@example.com")
		c.used(3)
		c.cancel(first) // was made before the limit
		c.takes("d@example.com")
		c.refuses("e@example.com")
		c.used(3)
		c.patch(`{"max_uses":2}`)
		c.cancel(third)
		c.refuses("e@example.com")
		c.used(2)
	})
}

func TestALimitThatIsTakenAwayAndSetAgain(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		one := 1
		c := newCampaign(t, s, models.CouponInput{MaxUses: &one})
		first := c.takes("a@example.com")
		c.refuses("b@example.com")
		c.patch(`{"max_uses":null}`)
		second := c.takes("b@example.com")
		c.takes("c@example.com")
		c.cancel(first)
		c.patch(`{"max_uses":2}`)
		c.refuses("d@example.com")
		c.used(2)
		c.patch(`{"name":"Summer"}`)
		c.refuses("d@example.com")
		c.cancel(second)
		c.takes("d@example.com")
		c.refuses("e@example.com")
		c.used(2)
	})
}

func TestALimitForEachCustomerThatIsSetLater(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		c := newCampaign(t, s, models.CouponInput{})
		first := c.takes("a@example.com")
		c.takes("A@example.com")
		c.takes("b@example.com")
		c.patch(`{"max_uses_per_customer":2}`)
		c.refuses("a@example.com")
		c.takes("b@example.com")
		c.refuses("b@example.com")
		c.cancel(first)
		c.takes("a@example.com")
		c.refuses("a@example.com")
		c.patch(`{"max_uses":4,"max_uses_per_customer":null}`)
		c.refuses("c@example.com")
		c.used(4)
	})
}

// In a database of an earlier version the counter of a limit may be missing, or have begun at nothing.
func TestALimitFromBeforeUsesWereCounted(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		two := 2
		c := newCampaign(t, s, models.CouponInput{MaxUses: &two})
		first := c.takes("a@example.com")
		c.takes("b@example.com")
		for _, damage := range []string{`DELETE FROM coupon_counters`, `UPDATE coupon_counters SET used = 0`} {
			storetest.Exec(t, s, damage)
			ok(s.Mend(t.Context()))(t)
			c.refuses("c@example.com")
			c.used(2)
		}
		storetest.Exec(t, s, `DELETE FROM coupon_counters`)
		c.cancel(first)
		c.takes("c@example.com")
		c.refuses("d@example.com")
		c.used(2)
	})
}

// Orders race against a limit that is set, and against those that are cancelled: as soon as the limit is there, the uses pass it
// no more.
func TestOrdersRaceAgainstALimit(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		again := storetest.Again(t, s)
		for round := range 5 {
			c := newCampaign(t, s, models.CouponInput{})
			beside := c
			beside.store = again
			early := []*models.OrderView{c.takes("a@example.com"), c.takes("b@example.com")}
			var atLimit int64
			made := race(16, func(i int) error {
				switch i {
				case 4:
					v, err := again.UpdateCoupon(t.Context(), c.shop.Test, c.id, decode[models.CouponPatch](t, `{"max_uses":6}`))
					if err == nil {
						atLimit = v.Used
					}
					return err
				case 9:
					_, err := s.CancelOrder(t.Context(), c.shop.Test, early[0].ID, "", "test")
					return err
				}
				_, err := []campaign{c, beside}[i%2].order(fmt.Sprintf("c%d@example.com", i))
				return err
			})
			refusals(t, made, models.CodeInvalid)
			used := ok(s.CouponByID(t.Context(), c.shop.Test, c.id))(t).Used
			if used > max(atLimit, 6) || used < 5 {
				t.Errorf("round %d: %d uses, there were %d when the limit of 6 was set", round, used, atLimit)
			}
			for ; used < 6; used++ {
				c.takes("d@example.com")
			}
			c.refuses("e@example.com")
			healthy(t, s)
		}
	})
}

// A coupon without a limit has no row that its orders wait for: one that takes long holds up no other.
func TestOrdersWithAnUnlimitedCouponDoNotWaitForEachOther(t *testing.T) {
	t.Parallel()
	c := newCampaign(t, storetest.Open(t, "postgres"), models.CouponInput{})
	err := c.store.Transaction(t.Context(), func(ctx context.Context) error {
		in := storetest.OrderInput("editor", 1)
		in.Coupon = "SPRING"
		if _, err := c.store.CreateOrder(ctx, c.shop.Test, in); err != nil {
			return err
		}
		c.takes("b@example.com") // on another connection, while the first has not committed
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	c.used(2)
}

// Of two discounts that apply by themselves, one is better for the cheap product and the other for the dear one, and a code may be used with both.
// Whoever finds his better one used up goes on to the other, and nobody waits in a circle.
func TestOrdersGoOnToAnotherDiscount(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		stores := []*models.Store{s, storetest.Again(t, s)}
		few, many, half, tenth := 2, 100, 5000, 1000
		for range 4 {
			shop := storetest.Merchant(t, s)
			storetest.Product(t, s, shop.Test, "dear", models.MethodTemplate)
			cheap := storetest.ProductInput("cheap", models.MethodTemplate)
			cheap.Prices[0].Amount = 1000
			ok(s.CreateProduct(t.Context(), shop.Test, cheap))(t)
			coupon := func(in models.CouponInput) string {
				t.Helper()
				in.Name, in.Active = "Spring", true
				return ok(s.CreateCoupon(t.Context(), shop.Test, in))(t).ID
			}
			used := map[string]int64{
				coupon(models.CouponInput{Amounts: map[string]int64{"EUR": 900}, MaxUses: &many}): 14,
				coupon(models.CouponInput{PercentBP: &half, MaxUses: &few}):                       2,
				coupon(models.CouponInput{Code: "SPRING", PercentBP: &tenth, MaxUses: &many}):     16,
			}
			refusals(t, race(16, func(i int) error {
				in := storetest.OrderInput([]string{"dear", "cheap"}[i%2], 1)
				in.Coupon = "SPRING"
				_, err := stores[i/2%2].CreateOrder(t.Context(), shop.Test, in)
				return err
			}))
			for id, want := range used {
				if got := ok(s.CouponByID(t.Context(), shop.Test, id))(t).Used; got != want {
					t.Errorf("a coupon was used by %d orders, want %d", got, want)
				}
			}
		}
		healthy(t, s)
	})
}
