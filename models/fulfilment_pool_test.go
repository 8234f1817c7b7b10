package models_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

// poolKeys makes up n keys.
func poolKeys(prefix string, n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf("%s-%04d", prefix, i)
	}
	return keys
}

// claimAll claims the jobs of a kind that are due, oldest first.
func claimAll(t *testing.T, s *models.Store, shop storetest.Shop, kind string) (claims []*models.Claim) {
	t.Helper()
	for _, j := range jobsOf(t, s, shop, kind) {
		if j.State == models.JobDue {
			claims = append(claims, take(t, s, j))
		}
	}
	return claims
}

// waiting returns the items that wait for keys, oldest first.
func waiting(t *testing.T, s *models.Store, shop storetest.Shop) []string {
	t.Helper()
	return texts(t, s, `SELECT id FROM items WHERE merchant_id = $1 AND waiting_for = 'pool' ORDER BY waiting_since, id`, shop.ID)
}

// licensed returns the keys of each item that has some.
func licensed(t *testing.T, s *models.Store, sc models.Scope) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	page := models.Page{Limit: 100}
	for {
		list, next, err := s.Orders(t.Context(), sc, models.OrderFilter{}, page)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range list {
			for _, i := range o.Items {
				for _, l := range i.Licenses {
					out[i.ID] = append(out[i.ID], l.Key)
				}
			}
		}
		if page.Cursor = next; next == "" {
			return out
		}
	}
}

// fillPool performs the jobs that fill pools, racing with each other.
func fillPool(t *testing.T, s *models.Store, shop storetest.Shop) {
	t.Helper()
	work := slices.DeleteFunc(jobsOf(t, s, shop, jobs.KindFillPool), func(j models.Job) bool { return j.State != models.JobDue })
	refusals(t, race(len(work), func(i int) error { return perform(t, s, work[i]) }))
}

func TestManyBuyersOfFewKeys(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		p := storetest.Product(t, s, shop.Test, "editor", models.MethodPool)
		again := storetest.Again(t, s)
		const buyers, stock = 40, 25
		keys := poolKeys("KEY", buyers)
		ok(s.AddPoolKeys(t.Context(), shop.Test, p.ID, keys[:stock]))(t)
		for range buyers {
			storetest.PaidOrder(t, s, shop.Test, "editor", 1)
		}
		claims := claimAll(t, s, shop, jobs.KindFulfil)
		refusals(t, race(buyers, func(i int) error {
			return []*models.Store{s, again}[i%2].KeepFromPool(t.Context(), claims[i])
		}))

		sold := func(want int) map[string][]string {
			t.Helper()
			got := licensed(t, s, shop.Test)
			var all []string
			for item, k := range got {
				if len(k) != 1 {
					t.Errorf("the item %s has the keys %q", item, k)
				}
				all = append(all, k...)
			}
			slices.Sort(all)
			if !slices.Equal(all, keys[:want]) {
				t.Errorf("sold %q, want each of the first %d keys once", all, want)
			}
			healthy(t, s)
			return got
		}
		sold(stock)
		queue := waiting(t, s, shop)
		if len(queue) != buyers-stock {
			t.Errorf("%d items wait, want %d", len(queue), buyers-stock)
		}
		if n := len(eventData(t, s, shop, models.EventPoolEmpty)); n != 1 {
			t.Errorf("the merchant is told %d times that the pool is empty", n)
		}

		// An upload fills exactly as many as it has keys for, the oldest.
		up := ok(s.AddPoolKeys(t.Context(), shop.Test, p.ID, keys[stock:stock+10]))(t)
		if up.FilledItems != 10 {
			t.Errorf("upload %+v", up)
		}
		fillPool(t, s, shop)
		got := sold(stock + 10)
		for n, item := range queue {
			if (len(got[item]) == 1) != (n < 10) {
				t.Errorf("number %d of the queue has the keys %q", n, got[item])
			}
		}
		if left := waiting(t, s, shop); !slices.Equal(left, queue[10:]) {
			t.Errorf("%q wait, want %q", left, queue[10:])
		}
		// Several uploads at once, and several workers that fill.
		refusals(t, race(5, func(i int) error {
			_, err := s.AddPoolKeys(t.Context(), shop.Test, p.ID, keys[stock+10+i:stock+11+i])
			return err
		}))
		fillPool(t, s, shop)
		sold(buyers)
		if left := waiting(t, s, shop); len(left) != 0 {
			t.Errorf("%q wait yet", left)
		}
		performAll(t, s)
		if sum := *ok(s.PoolSummary(t.Context(), shop.Test, p.ID))(t); sum != (models.PoolSummary{Delivered: buyers}) {
			t.Errorf("pool %+v", sum)
		}
		healthy(t, s)
	})
}

// Buyers of several units at once, from several workers: all of an item's keys or none, and no deadlock.
func TestBuyersOfSeveralUnits(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		p := storetest.Product(t, s, shop.Test, "editor", models.MethodPool)
		again := storetest.Again(t, s)
		keys := poolKeys("KEY", 60)
		ok(s.AddPoolKeys(t.Context(), shop.Test, p.ID, keys))(t)
		units := map[string]int{}
		for n := range 30 {
			o := storetest.PaidOrder(t, s, shop.Test, "editor", 1+n%4)
			units[o.Items[0].ID] = 1 + n%4
		}
		claims := claimAll(t, s, shop, jobs.KindFulfil)
		refusals(t, race(len(claims), func(i int) error {
			return []*models.Store{s, again}[i%2].KeepFromPool(t.Context(), claims[i])
		}))
		seen := map[string]bool{}
		for item, got := range licensed(t, s, shop.Test) {
			if len(got) != units[item] {
				t.Errorf("an item of %d units has %d keys", units[item], len(got))
			}
			for _, k := range got {
				if seen[k] {
					t.Errorf("the key %s is sold twice", k)
				}
				seen[k] = true
			}
		}
		healthy(t, s)
		ok(s.AddPoolKeys(t.Context(), shop.Test, p.ID, poolKeys("MORE", 40)))(t)
		fillPool(t, s, shop)
		if left := waiting(t, s, shop); len(left) != 0 {
			t.Errorf("%d items wait though there are keys", len(left))
		}
		healthy(t, s)
	})
}

func TestThePoolRunsLowOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		p := product(t, s, shop.Test, "editor", models.MethodPool, func(in *models.ProductInput) { in.License = json.RawMessage(`{"low_threshold":5}`) })
		again := storetest.Again(t, s)
		sell := func(quantities ...int) {
			t.Helper()
			for _, n := range quantities {
				storetest.PaidOrder(t, s, shop.Test, "editor", n)
			}
			claims := claimAll(t, s, shop, jobs.KindFulfil)
			refusals(t, race(len(claims), func(i int) error {
				return []*models.Store{s, again}[i%2].KeepFromPool(t.Context(), claims[i])
			}))
		}
		told := func(step string, low, empty int) {
			t.Helper()
			lows, empties := eventData(t, s, shop, models.EventPoolLow), eventData(t, s, shop, models.EventPoolEmpty)
			if len(lows) != low || len(empties) != empty {
				t.Errorf("%s: told %d times that the pool is low and %d times that it is empty, want %d and %d", step, len(lows), len(empties), low, empty)
			}
			emails := storetest.Count(t, s, `SELECT COUNT(*) FROM emails WHERE kind = 'pool_low'`)
			if emails != low {
				t.Errorf("%s: %d emails, want %d", step, emails, low)
			}
		}
		upload := func(prefix string, n int) {
			t.Helper()
			ok(s.AddPoolKeys(t.Context(), shop.Test, p.ID, poolKeys(prefix, n)))(t)
		}
		upload("A", 20)
		sell(1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1)
		told("six left", 0, 0)
		sell(1)
		told("five left", 1, 0)
		if data := eventData(t, s, shop, models.EventPoolLow)[0]; !strings.Contains(data, `"available":5`) || !strings.Contains(data, `"sku":"editor"`) {
			t.Errorf("the event says %s", data)
		}
		sell(1, 1, 1, 1)
		told("one left", 1, 0)
		upload("B", 19)
		told("twenty left", 1, 0)
		sell(1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1) // all at once
		told("sold out", 2, 0)
		sell(1, 1, 1)
		told("empty", 2, 1)
		upload("C", 9) // fills the queue, and six are left
		fillPool(t, s, shop)
		told("filled, six left", 2, 1)
		sell(4) // over the line in one step
		told("two left", 3, 1)
		// Those who wait are filled over the line as well.
		sell(3, 1)
		told("waiting", 3, 2)
		upload("D", 8)
		fillPool(t, s, shop)
		told("filled, six left", 3, 2)
		healthy(t, s)
	})
}

func TestAPoolWithoutAThresholdIsNeverLow(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		p := storetest.Product(t, s, shop.Test, "editor", models.MethodPool)
		ok(s.AddPoolKeys(t.Context(), shop.Test, p.ID, poolKeys("KEY", 1)))(t)
		storetest.PaidOrder(t, s, shop.Test, "editor", 1)
		performAll(t, s)
		if got := eventsOf(t, s, shop); strings.Contains(got, "pool") {
			t.Errorf("events %q", got)
		}
	})
}

// The merchant is told of an empty pool by the first who waits; by the first of the next queue again.
func TestAnEmptyPoolIsToldOfOncePerQueue(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		p := storetest.Product(t, s, shop.Test, "editor", models.MethodPool)
		again := storetest.Again(t, s)
		for queue := range 3 {
			for range 8 {
				storetest.PaidOrder(t, s, shop.Test, "editor", 1)
			}
			claims := claimAll(t, s, shop, jobs.KindFulfil)
			refusals(t, race(len(claims), func(i int) error {
				return []*models.Store{s, again}[i%2].KeepFromPool(t.Context(), claims[i])
			}))
			if n := len(eventData(t, s, shop, models.EventPoolEmpty)); n != queue+1 {
				t.Errorf("told %d times of %d queues", n, queue+1)
			}
			if n := storetest.Count(t, s, `SELECT COUNT(*) FROM emails WHERE kind = 'pool_empty'`); n != queue+1 {
				t.Errorf("%d emails about %d queues", n, queue+1)
			}
			m := ok(s.Mailing(t.Context(), emailIDs(t, s, models.EmailPoolEmpty)[queue]))(t)
			if m.Stock != (models.Stock{Waiting: 8}) || m.Product == nil || m.Product.ID != p.ID {
				t.Errorf("the email says %+v", m.Stock)
			}
			ok(s.AddPoolKeys(t.Context(), shop.Test, p.ID, poolKeys(fmt.Sprint("KEY-", queue), 8)))(t)
			fillPool(t, s, shop)
		}
		healthy(t, s)
	})
}

func emailIDs(t *testing.T, s *models.Store, kind models.EmailKind) []string {
	t.Helper()
	return texts(t, s, `SELECT id FROM emails WHERE kind = $1 ORDER BY id`, string(kind))
}

func TestTestOrdersTakeNoLiveKeys(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		p := storetest.Product(t, s, shop.Test, "editor", models.MethodPool)
		ok(s.AddPoolKeys(t.Context(), shop.Live, p.ID, []string{"LIVE-1"}))(t)
		tried := storetest.PaidOrder(t, s, shop.Test, "editor", 1)
		performAll(t, s)
		if got := keysOf(orderOf(t, s, shop.Test, tried.ID)); len(got) != 0 {
			t.Fatalf("a test order took %q", got)
		}
		bought := storetest.PaidOrder(t, s, shop.Live, "editor", 1)
		performAll(t, s)
		if got := keysOf(orderOf(t, s, shop.Live, bought.ID)); !slices.Equal(got, []string{"LIVE-1"}) {
			t.Errorf("the live order has %q", got)
		}
		if err := s.FillWaiting(t.Context(), p.ID, false); err != nil {
			t.Fatal(err)
		}
		if got := waiting(t, s, shop); len(got) != 1 || got[0] != tried.Items[0].ID {
			t.Errorf("%q wait", got)
		}
		healthy(t, s)
	})
}

// Uploads, orders and fillings of one product at once: checkouts do not wait for uploads, and nobody waits in a circle.
func TestEverythingAtOnceOnOneProduct(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		p := product(t, s, shop.Test, "editor", models.MethodPool, func(in *models.ProductInput) { in.License = json.RawMessage(`{"low_threshold":3}`) })
		again := storetest.Again(t, s)
		const rounds = 3
		for round := range rounds {
			for n := range 12 {
				in := storetest.OrderInput("editor", 1+n%2)
				in.Lines = append(in.Lines, in.Lines[0]) // two items of one product in one order
				storetest.Pay(t, s, shop.Test, ok(s.CreateOrder(t.Context(), shop.Test, in))(t).ID)
			}
			claims := claimAll(t, s, shop, jobs.KindFulfil)
			threshold := []string{`{"license":{"low_threshold":4}}`, `{"license":{}}`}
			refusals(t, race(len(claims)+24, func(i int) error {
				store := []*models.Store{s, again}[i%2]
				if i < len(claims) {
					return store.KeepFromPool(t.Context(), claims[i])
				}
				switch i % 4 {
				case 0:
					_, err := store.AddPoolKeys(t.Context(), shop.Test, p.ID, poolKeys(fmt.Sprintf("KEY-%d-%d", round, i), 6))
					return err
				case 1:
					_, err := store.CreateOrder(t.Context(), shop.Test, storetest.OrderInput("editor", 1))
					return err
				case 2:
					return store.FillWaiting(t.Context(), p.ID, true)
				}
				_, err := store.UpdateProduct(t.Context(), shop.Test, p.ID, decode[models.ProductPatch](t, threshold[i/4%2]))
				return err
			}))
			fillPool(t, s, shop)
			healthy(t, s)
		}
		ok(s.AddPoolKeys(t.Context(), shop.Test, p.ID, poolKeys("LAST", 100)))(t)
		performAll(t, s)
		if left := waiting(t, s, shop); len(left) != 0 {
			t.Errorf("%d items wait though there are keys", len(left))
		}
		if n := storetest.Count(t, s, `SELECT COUNT(*) FROM orders WHERE status = 'paid' AND fulfillment_status <> 'delivered'`); n != 0 {
			t.Errorf("%d paid orders are not delivered", n)
		}
		healthy(t, s)
	})
}
