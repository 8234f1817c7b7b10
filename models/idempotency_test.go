package models_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

func claim(s *models.Store, sc models.Scope, key, hash string) (*models.IdempotencyClaim, *models.StoredAnswer, error) {
	return s.ClaimIdempotency(context.Background(), sc, "POST", "/v1/orders", key, hash)
}

func TestIdempotency(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop, other := storetest.Merchant(t, s), storetest.Merchant(t, s)
		c, answer, err := claim(s, shop.Test, "k", "hash")
		if err != nil || c == nil || answer != nil {
			t.Fatalf("first: %v %v %v", c, answer, err)
		}
		_, _, err = claim(s, shop.Test, "k", "hash")
		wantCode(t, err, models.CodeIdempotencyInProgress)
		_, _, err = claim(s, shop.Test, "k", "other hash")
		wantCode(t, err, models.CodeIdempotencyReused)

		body := []byte("{\"key\":\"SECRET-KEY\"}\x00\xff")
		if err := s.FinishIdempotency(t.Context(), c, 201, map[string]string{"Location": "/v1/orders/x"}, body); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			again, answer, err := claim(s, shop.Test, "k", "hash")
			if err != nil || again != nil || answer == nil {
				t.Fatalf("again: %v %v %v", again, answer, err)
			}
			if answer.Status != 201 || answer.Headers["Location"] != "/v1/orders/x" || string(answer.Body) != string(body) {
				t.Errorf("the stored answer is %+v", answer)
			}
		}
		_, _, err = claim(s, shop.Test, "k", "other hash")
		wantCode(t, err, models.CodeIdempotencyReused)
		wantCode(t, s.FinishIdempotency(t.Context(), c, 200, nil, nil), models.CodeIdempotencyInProgress) // an answer is final
		if err := s.ReleaseIdempotency(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if _, answer, err := claim(s, shop.Test, "k", "hash"); err != nil || answer == nil || answer.Status != 201 {
			t.Errorf("after releasing an answered claim: %+v %v", answer, err)
		}
		if n := storetest.Count(t, s, `SELECT COUNT(*) FROM idempotency_keys WHERE body = $1 OR request_hash = 'hash'`, body); n != 0 {
			t.Error("the body or the hash of the request is stored in the clear")
		}

		// The key is scoped to merchant, mode, method and path.
		for _, sc := range []models.Scope{shop.Live, other.Test} {
			if c, _, err := claim(s, sc, "k", "hash"); err != nil || c == nil {
				t.Errorf("%+v: %v", sc, err)
			}
		}
		for _, r := range [][2]string{{"PUT", "/v1/orders"}, {"POST", "/v1/products"}} {
			if c, _, err := s.ClaimIdempotency(t.Context(), shop.Test, r[0], r[1], "k", "hash"); err != nil || c == nil {
				t.Errorf("%v: %v", r, err)
			}
		}
		for _, bad := range []string{"", strings.Repeat("k", 256), "a\x00", "a\nb", "\xff"} {
			_, _, err := claim(s, shop.Test, bad, "hash")
			wantCode(t, err, models.CodeInvalid)
			wantFields(t, err, "Idempotency-Key")
		}
		if c, _, err := claim(s, shop.Test, strings.Repeat("ä", 255), "hash"); err != nil || c == nil {
			t.Errorf("255 characters: %v", err)
		}
	})
}

func TestIdempotencyIsClaimedOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop, second := storetest.Merchant(t, s), storetest.Again(t, s)
		for range 5 {
			key := t.Name() + time.Now().String()
			errs := race(12, func(i int) error {
				store := s
				if i%2 == 1 {
					store = second
				}
				c, answer, err := claim(store, shop.Test, key, "hash")
				if err == nil && (c == nil || answer != nil) {
					return errors.New("no claim")
				}
				return err
			})
			if n := succeeded(errs); n != 1 {
				t.Errorf("%d of twelve requests run", n)
			}
			for _, err := range errs {
				if err != nil {
					wantCode(t, err, models.CodeIdempotencyInProgress)
				}
			}
		}
	})
}

func TestIdempotencyKeepsTheAnswerWithTheEffect(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
		run := func(c *models.IdempotencyClaim, after error) error {
			return s.Transaction(t.Context(), func(ctx context.Context) error {
				if _, err := s.CreateOrder(ctx, shop.Test, storetest.OrderInput("editor", 1)); err != nil {
					return err
				}
				if err := s.FinishIdempotency(ctx, c, 201, nil, []byte("made")); err != nil {
					return err
				}
				return after
			})
		}
		orders := func() int { t.Helper(); return storetest.Count(t, s, `SELECT COUNT(*) FROM orders`) }
		c, _, err := claim(s, shop.Test, "k", "hash")
		if err != nil {
			t.Fatal(err)
		}
		if err := run(c, errTest); !errors.Is(err, errTest) {
			t.Fatal(err)
		}
		if n := orders(); n != 0 {
			t.Errorf("%d orders after a rollback", n)
		}
		_, _, err = claim(s, shop.Test, "k", "hash") // neither effect nor answer; the claim still runs
		wantCode(t, err, models.CodeIdempotencyInProgress)

		// Its process is lost. Another request takes over, under the same id, and the first one comes to nothing.
		storetest.Exec(t, s, `UPDATE idempotency_keys SET lease_until = $1`, time.Now().UTC().Add(-time.Hour))
		_, _, err = claim(s, shop.Test, "k", "other hash")
		wantCode(t, err, models.CodeIdempotencyReused)
		heir, _, err := claim(s, shop.Test, "k", "hash")
		if err != nil || heir == nil || heir.ID != c.ID {
			t.Fatalf("taking over: %+v %v", heir, err)
		}
		wantCode(t, run(c, nil), models.CodeIdempotencyInProgress)
		if n := orders(); n != 0 {
			t.Errorf("the request that was given up made %d orders", n)
		}
		if err := s.ReleaseIdempotency(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		_, _, err = claim(s, shop.Test, "k", "hash") // the release of a stale claim releases nothing
		wantCode(t, err, models.CodeIdempotencyInProgress)
		if err := run(heir, nil); err != nil {
			t.Fatal(err)
		}
		if n := orders(); n != 1 {
			t.Errorf("%d orders, want 1", n)
		}
		if _, answer, err := claim(s, shop.Test, "k", "hash"); err != nil || answer == nil || string(answer.Body) != "made" {
			t.Errorf("the answer is %+v (%v)", answer, err)
		}
	})
}

func TestIdempotencyIsTakenOverOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		if _, _, err := claim(s, shop.Test, "k", "hash"); err != nil {
			t.Fatal(err)
		}
		storetest.Exec(t, s, `UPDATE idempotency_keys SET lease_until = $1`, time.Now().UTC().Add(-time.Hour))
		errs := race(10, func(int) error { _, _, err := claim(s, shop.Test, "k", "hash"); return err })
		if n := succeeded(errs); n != 1 {
			t.Errorf("%d of ten requests took over", n)
		}
	})
}

func TestIdempotencyReleaseAndTerm(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		first, _, err := claim(s, shop.Test, "k", "hash")
		if err != nil {
			t.Fatal(err)
		}
		if err := s.ReleaseIdempotency(t.Context(), first); err != nil {
			t.Fatal(err)
		}
		second, answer, err := claim(s, shop.Test, "k", "hash")
		if err != nil || answer != nil || second == nil || second.ID != first.ID {
			t.Fatalf("after a release: %+v %+v %v", second, answer, err)
		}
		if err := s.FinishIdempotency(t.Context(), second, 200, nil, nil); err != nil {
			t.Fatal(err)
		}
		age := func(d time.Duration) {
			t.Helper()
			storetest.Exec(t, s, `UPDATE idempotency_keys SET created_at = $1`, time.Now().UTC().Add(-d).Truncate(time.Microsecond))
		}
		age(24*time.Hour - time.Minute)
		if _, answer, err := claim(s, shop.Test, "k", "hash"); err != nil || answer == nil || len(answer.Body) != 0 {
			t.Errorf("within a day: %+v %v", answer, err)
		}
		age(24*time.Hour + time.Minute)
		third, answer, err := claim(s, shop.Test, "k", "another request")
		if err != nil || answer != nil || third == nil || third.ID == first.ID {
			t.Errorf("after a day: %+v %+v %v", third, answer, err)
		}
		if n := storetest.Count(t, s, `SELECT COUNT(*) FROM idempotency_keys`); n != 1 {
			t.Errorf("%d rows for one key", n)
		}
	})
}
