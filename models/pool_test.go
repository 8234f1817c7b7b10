package models_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

// take claims a job as a worker does.
func take(t *testing.T, s *models.Store, j models.Job) *models.Claim {
	t.Helper()
	kind := ok(jobs.KindOf(j.Kind))(t)
	c := ok(s.Claim(t.Context(), j.ID, j.Epoch, kind))(t)
	if c == nil {
		t.Fatalf("there is no claim on the job of kind %s", j.Kind)
	}
	return c
}

// fulfilFromPool performs the item.fulfil jobs that are due, oldest first.
func fulfilFromPool(t *testing.T, s *models.Store) {
	t.Helper()
	for _, j := range storetest.Jobs(t, s, jobs.KindFulfil) {
		if j.State != models.JobDue {
			continue
		}
		if err := s.KeepFromPool(t.Context(), take(t, s, j)); err != nil {
			t.Fatal(err)
		}
	}
}

func keysOf(o *models.OrderView) (keys []string) {
	for _, i := range o.Items {
		for _, l := range i.Licenses {
			keys = append(keys, l.Key)
		}
	}
	return keys
}

func TestAddPoolKeys(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		p := storetest.Product(t, s, shop.Test, "editor", models.MethodPool)
		upload := func(sc models.Scope, keys ...string) models.PoolUpload {
			t.Helper()
			return *ok(s.AddPoolKeys(t.Context(), sc, "editor", keys))(t)
		}
		if got, want := upload(shop.Test, "K-1", "K-2", "K-2", "K-3"), (models.PoolUpload{Added: 3, Duplicates: 1, Available: 3}); got != want {
			t.Errorf("first upload %+v, want %+v", got, want)
		}
		if got, want := upload(shop.Test, "K-3", "K-4"), (models.PoolUpload{Added: 1, Duplicates: 1, Available: 4}); got != want {
			t.Errorf("second upload %+v, want %+v", got, want)
		}
		if got, want := upload(shop.Live, "K-1"), (models.PoolUpload{Added: 1, Available: 1}); got != want {
			t.Errorf("live upload %+v, want %+v: the pools of both modes are apart", got, want)
		}
		if got, want := upload(shop.Test), (models.PoolUpload{Available: 4}); got != want {
			t.Errorf("empty upload %+v, want %+v", got, want)
		}
		if got, want := *ok(s.PoolSummary(t.Context(), shop.Test, p.ID))(t), (models.PoolSummary{Available: 4}); got != want {
			t.Errorf("summary %+v, want %+v", got, want)
		}
		if n := storetest.Count(t, s, `SELECT COUNT(*) FROM pool_keys WHERE ciphertext = $1 OR fingerprint = $2`, []byte("K-1"), "K-1"); n != 0 {
			t.Error("a key is stored in the clear")
		}
		if n := len(storetest.Jobs(t, s, jobs.KindFillPool)); n != 0 {
			t.Errorf("%d jobs to fill a pool that nobody waits for", n)
		}
	})
}

func TestAddPoolKeysRefused(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop, other := storetest.Merchant(t, s), storetest.Merchant(t, s)
		p := storetest.Product(t, s, shop.Test, "editor", models.MethodPool)
		storetest.Product(t, s, shop.Test, "viewer", models.MethodTemplate)
		_, err := s.AddPoolKeys(t.Context(), shop.Test, "viewer", []string{"K"})
		wantCode(t, err, models.CodeConflict)
		_, err = s.AddPoolKeys(t.Context(), other.Test, p.ID, []string{"K"})
		wantCode(t, err, models.CodeNotFound)
		_, err = s.PoolSummary(t.Context(), other.Test, p.ID)
		wantCode(t, err, models.CodeNotFound)
		_, err = s.AddPoolKeys(t.Context(), shop.Test, p.ID, []string{"K", "", strings.Repeat("x", 4097), "\xff"})
		wantCode(t, err, models.CodeInvalid)
		wantFields(t, err, "keys[1]", "keys[2]", "keys[3]")
		if strings.Contains(err.Error(), "xxx") {
			t.Error("the error repeats a key")
		}
		_, err = s.AddPoolKeys(t.Context(), shop.Test, p.ID, make([]string, models.MaxPoolUpload+1))
		wantFields(t, err, "keys")
		if n := storetest.Count(t, s, `SELECT COUNT(*) FROM pool_keys`); n != 0 {
			t.Errorf("refused uploads added %d keys", n)
		}
	})
}

func TestLargePoolUploadsRace(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		p := storetest.Product(t, s, shop.Test, "editor", models.MethodPool)
		keys := make([]string, 4500)
		for i := range keys {
			keys[i] = fmt.Sprintf("KEY-%05d", i)
		}
		backwards := slices.Clone(keys)
		slices.Reverse(backwards)
		added := make([]int, 4)
		for _, err := range race(len(added), func(i int) error {
			upload := keys
			if i%2 == 1 {
				upload = backwards // taken in opposite orders, rows would be locked in opposite orders
			}
			up, err := s.AddPoolKeys(t.Context(), shop.Test, p.ID, upload)
			if err == nil {
				added[i] = up.Added
			}
			return err
		}) {
			if err != nil {
				t.Error(err)
			}
		}
		total := 0
		for _, n := range added {
			total += n
		}
		if got := ok(s.PoolSummary(t.Context(), shop.Test, p.ID))(t).Available; total != len(keys) || got != len(keys) {
			t.Errorf("uploads say they added %d, the pool has %d, want %d", total, got, len(keys))
		}
	})
}

func TestUploadFillsBackOrdersOldestFirst(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		p := storetest.Product(t, s, shop.Test, "editor", models.MethodPool)
		first := storetest.PaidOrder(t, s, shop.Test, "editor", 2)
		second := storetest.PaidOrder(t, s, shop.Test, "editor", 2)
		third := storetest.PaidOrder(t, s, shop.Test, "editor", 1)
		fulfilFromPool(t, s)

		// Keys of the other mode are not for these orders.
		if up := ok(s.AddPoolKeys(t.Context(), shop.Live, p.ID, []string{"L-1", "L-2"}))(t); up.FilledItems != 0 {
			t.Errorf("a live upload fills %d test items", up.FilledItems)
		}
		if n := len(storetest.Jobs(t, s, jobs.KindFillPool)); n != 0 {
			t.Errorf("the live upload staged %d jobs", n)
		}
		// Three keys are enough for the first, not for the second, and the third does not overtake it.
		up := *ok(s.AddPoolKeys(t.Context(), shop.Test, p.ID, []string{"K-1", "K-2", "K-3"}))(t)
		if want := (models.PoolUpload{Added: 3, Available: 1, FilledItems: 1}); up != want {
			t.Errorf("upload %+v, want %+v", up, want)
		}
		fill := storetest.Jobs(t, s, jobs.KindFillPool)
		if len(fill) != 1 || fill[0].Args != (models.JobArgs{Product: p.ID, Test: true}) {
			t.Fatalf("staged %+v", fill)
		}
		if err := s.FillWaiting(t.Context(), p.ID, true); err != nil {
			t.Fatal(err)
		}
		for order, want := range map[string][]string{first.ID: {"K-1", "K-2"}, second.ID: nil, third.ID: nil} {
			if got := keysOf(ok(s.Order(t.Context(), shop.Test, order))(t)); !slices.Equal(got, want) {
				t.Errorf("order has the keys %q, want %q", got, want)
			}
		}
		if got, want := *ok(s.PoolSummary(t.Context(), shop.Test, p.ID))(t), (models.PoolSummary{Available: 1, Allocated: 2}); got != want {
			t.Errorf("summary %+v, want %+v", got, want)
		}
		// A key that is on an order is known: it cannot come back to the pool.
		up = *ok(s.AddPoolKeys(t.Context(), shop.Test, p.ID, []string{"K-1", "K-4", "K-5"}))(t)
		if want := (models.PoolUpload{Added: 2, Duplicates: 1, FilledItems: 2}); up != want {
			t.Errorf("upload %+v, want %+v", up, want)
		}
	})
}
