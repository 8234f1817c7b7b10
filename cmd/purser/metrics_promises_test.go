package main

import (
	"log/slog"
	"testing"
	"time"

	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

// A count of promises that took long serves for long, so that scrapes never are what the database is busy with.
func TestPromisesAreCountedAgainAfterARest(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		p := &promises{store: s, log: slog.New(slog.DiscardHandler)}
		unfinished := func() (n int64) {
			t.Helper()
			groups, err := p.count(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, g := range groups {
				n += g.Count
			}
			return n
		}
		if n := unfinished(); n != 0 {
			t.Fatalf("%d promises at first", n)
		}
		p.took = time.Hour
		shop := storetest.Merchant(t, s)
		storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
		storetest.PaidOrder(t, s, shop.Test, "editor", 1)
		if n := unfinished(); n != 0 {
			t.Errorf("%d promises, counted again at once", n)
		}
		p.took = 0
		want := int64(storetest.Count(t, s, `SELECT COUNT(*) FROM jobs WHERE finished_at IS NULL`))
		if n := unfinished(); n != want || n == 0 {
			t.Errorf("%d promises, want %d", n, want)
		}
	})
}
