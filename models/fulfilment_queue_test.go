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

// A large order that waits is not overtaken by small ones that come later.
func TestTheQueueIsInOrder(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		p := storetest.Product(t, s, shop.Test, "editor", models.MethodPool)
		buy := func(quantity int) string {
			t.Helper()
			o := storetest.PaidOrder(t, s, shop.Test, "editor", quantity)
			for _, c := range claimAll(t, s, shop, jobs.KindFulfil) {
				if err := s.KeepFromPool(t.Context(), c); err != nil {
					t.Fatal(err)
				}
			}
			return o.Items[0].ID
		}
		ok(s.AddPoolKeys(t.Context(), shop.Test, p.ID, poolKeys("KEY", 3)))(t)
		large := buy(5)
		small := buy(1) // there are keys, but somebody waits for them
		if got := waiting(t, s, shop); !slices.Equal(got, []string{large, small}) {
			t.Errorf("%q wait", got)
		}
		ok(s.AddPoolKeys(t.Context(), shop.Test, p.ID, poolKeys("MORE", 1)))(t)
		fillPool(t, s, shop)
		if got := licensed(t, s, shop.Test); len(got) != 0 {
			t.Errorf("somebody was served out of turn: %q", got)
		}
		ok(s.AddPoolKeys(t.Context(), shop.Test, p.ID, poolKeys("LAST", 2)))(t)
		fillPool(t, s, shop)
		if got := licensed(t, s, shop.Test); len(got[large]) != 5 || len(got[small]) != 1 {
			t.Errorf("licences %q", got)
		}
		healthy(t, s)
	})
}

// An item that finds the pool empty while keys are being uploaded gets one of them: either it sees them, or they find it waiting.
func TestNoUploadMissesAnItemThatIsAboutToWait(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		p := storetest.Product(t, s, shop.Test, "editor", models.MethodPool)
		again := storetest.Again(t, s)
		const buyers = 3
		for round := range 25 {
			for range buyers {
				storetest.PaidOrder(t, s, shop.Test, "editor", 1)
			}
			claims := claimAll(t, s, shop, jobs.KindFulfil)
			refusals(t, race(2*buyers, func(i int) error {
				if i < buyers {
					return again.KeepFromPool(t.Context(), claims[i])
				}
				_, err := s.AddPoolKeys(t.Context(), shop.Test, p.ID, []string{fmt.Sprintf("KEY-%d-%d", round, i)})
				return err
			}))
			fillPool(t, s, shop)
			if left := waiting(t, s, shop); len(left) != 0 {
				t.Fatalf("round %d: %d items wait though there are keys", round, len(left))
			}
		}
		healthy(t, s)
	})
}

// An item that queues up behind others just while the last of those is being served is served too.
func TestNobodyIsForgottenAtTheEndOfTheQueue(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		p := storetest.Product(t, s, shop.Test, "editor", models.MethodPool)
		again := storetest.Again(t, s)
		for round := range 25 {
			storetest.PaidOrder(t, s, shop.Test, "editor", 1)
			if err := s.KeepFromPool(t.Context(), claimAll(t, s, shop, jobs.KindFulfil)[0]); err != nil {
				t.Fatal(err)
			}
			const late = 3
			for range late {
				storetest.PaidOrder(t, s, shop.Test, "editor", 1)
			}
			claims := claimAll(t, s, shop, jobs.KindFulfil)
			ok(s.AddPoolKeys(t.Context(), shop.Test, p.ID, poolKeys(fmt.Sprint("KEY-", round), 1+late)))(t)
			fill := claimAll(t, s, shop, jobs.KindFillPool)
			if len(fill) != 1 {
				t.Fatalf("%d jobs fill the pool", len(fill))
			}
			refusals(t, race(1+late, func(i int) error {
				if i == late {
					return s.FillWaiting(t.Context(), p.ID, true)
				}
				return again.KeepFromPool(t.Context(), claims[i])
			}))
			if err := s.Keep(t.Context(), fill[0]); err != nil {
				t.Fatal(err)
			}
			if left := waiting(t, s, shop); len(left) != 0 {
				t.Fatalf("round %d: %d items wait though there are keys", round, len(left))
			}
		}
		healthy(t, s)
	})
}

// An item in the queue whose order is no longer to be fulfilled neither takes a key nor stops the queue.
func TestAnItemThatIsNoLongerWantedLeavesTheQueue(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		p := storetest.Product(t, s, shop.Test, "editor", models.MethodPool)
		gone := storetest.PaidOrder(t, s, shop.Test, "editor", 1)
		next := storetest.PaidOrder(t, s, shop.Test, "editor", 1)
		fulfilFromPool(t, s)
		storetest.Exec(t, s, `UPDATE orders SET status = 'terminated' WHERE id = $1`, gone.ID)
		ok(s.AddPoolKeys(t.Context(), shop.Test, p.ID, []string{"KEY-1"}))(t)
		fillPool(t, s, shop)
		if got := waiting(t, s, shop); len(got) != 0 {
			t.Errorf("%q wait", got)
		}
		if got := keysOf(orderOf(t, s, shop.Test, next.ID)); !slices.Equal(got, []string{"KEY-1"}) {
			t.Errorf("the next has %q", got)
		}
	})
}

// The doctor's check of forgotten items is what these tests rely on, so it has to find one.
func TestTheDoctorFindsAForgottenItem(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		p := storetest.Product(t, s, shop.Test, "editor", models.MethodPool)
		ok(s.AddPoolKeys(t.Context(), shop.Test, p.ID, []string{"KEY-1"}))(t)
		o := storetest.PaidOrder(t, s, shop.Test, "editor", 1)
		storetest.Exec(t, s, `UPDATE items SET waiting_for = 'pool', waiting_since = $1`, time.Now().UTC())
		if r := ok(s.Doctor(t.Context()))(t); r.OK || !strings.Contains(toJSON(t, r), o.Items[0].ID) {
			t.Errorf("doctor: %s", toJSON(t, r))
		}
	})
}
