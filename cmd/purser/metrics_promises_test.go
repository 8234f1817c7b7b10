package main

import (
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

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

// However long it takes to count the promises, the oldest alarm is told: it is what the alert on a relay that stands still reads.
func TestTheOldestAlarmIsToldWhenCountingFails(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
		storetest.PaidOrder(t, s, shop.Test, "editor", 1)
		storetest.Exec(t, s, `UPDATE jobs SET alarm_at = $1 WHERE finished_at IS NULL`, time.Now().UTC().Add(-time.Hour))
		p := newPromises(s, slog.New(slog.DiscardHandler))
		registry := prometheus.NewRegistry()
		registry.MustRegister(p)
		told := func() (names []string) {
			t.Helper()
			families, err := registry.Gather()
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range families {
				names = append(names, f.GetName())
				if age := f.GetMetric()[0].GetGauge().GetValue(); f.GetName() == "purser_oldest_alarm_seconds" && (age < 3590 || age > 7200) {
					t.Errorf("the oldest alarm is said to be %v s overdue", age)
				}
			}
			return names
		}
		if names, want := told(), []string{"purser_jobs", "purser_oldest_alarm_seconds", "purser_oldest_due_job_seconds"}; !slices.Equal(names, want) {
			t.Errorf("told %v, want %v", names, want)
		}
		storetest.Exec(t, s, `ALTER TABLE jobs RENAME COLUMN kind TO sort`)
		p.took = 0 // or the numbers of a moment ago would serve
		if names, want := told(), []string{"purser_oldest_alarm_seconds"}; !slices.Equal(names, want) {
			t.Errorf("told %v while counting fails, want %v", names, want)
		}
	})
}
