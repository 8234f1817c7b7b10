package models_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

// Visitors race for the last use of a discount that applies by itself, which each was shown: one gets it, the others are to see the new total
// before they order.
func TestNobodyOrdersAtATotalThatWasNotShown(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		stores := []*models.Store{s, storetest.Again(t, s)}
		half, once := 5000, 1
		for range 5 {
			shop := storetest.Merchant(t, s)
			editor := storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
			ok(s.CreateCoupon(t.Context(), shop.Test, models.CouponInput{Name: "The first", PercentBP: &half, MaxUses: &once, Active: true}))(t)
			customer := storetest.OrderInput("editor", 1).Customer
			checkouts := make([]models.Checkout, 8)
			for i := range checkouts {
				visitor := s.VisitorDigest(fmt.Sprintf("visitor-%s-%d", shop.ID, i))
				if err := s.ChangeCart(t.Context(), shop.Test, visitor, "EUR", func(c *models.CartContent) {
					c.Set(editor.ID, 1)
					c.Customer = customer
				}); err != nil {
					t.Fatal(err)
				}
				shown := ok(s.Cart(t.Context(), shop.Test, visitor, "EUR"))(t)
				if shown.Total != 2450 {
					t.Fatalf("visitor %d is shown %d", i, shown.Total)
				}
				checkouts[i] = models.Checkout{
					CartID: shown.ID, Visitor: visitor, Customer: customer, Method: "card", Class: "online", Locale: "en", Total: shown.Total,
					Consents: models.Consents{Terms: true, PersonalData: true},
				}
			}
			errs := race(len(checkouts), func(i int) error {
				o, err := stores[i%2].OrderCart(t.Context(), shop.Test, checkouts[i])
				if err == nil && o.Total != checkouts[i].Total {
					return fmt.Errorf("shown %d, ordered at %d", checkouts[i].Total, o.Total)
				}
				return err
			})
			for _, err := range errs {
				if err != nil && !errors.Is(err, models.ErrTotalChanged) {
					t.Error(err)
				}
			}
			if n := succeeded(errs); n != 1 {
				t.Errorf("%d got the one discount", n)
			}
			if n := storetest.Count(t, s, `SELECT COUNT(*) FROM orders WHERE merchant_id = $1`, shop.ID); n != 1 {
				t.Errorf("%d orders were made", n)
			}
		}
		healthy(t, s)
	})
}
