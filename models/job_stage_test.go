package models_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

func TestStagedWorkCommitsOrRollsBackWithItsCause(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		p := publishing(s)
		shop := storetest.Merchant(t, s)
		storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
		endpoint(t, s, shop.Test, models.EventOrderCreated)
		if got := p.taken(); len(got) != 0 {
			t.Fatalf("setting up handed over %+v", got)
		}
		counts := func() string {
			t.Helper()
			var out []string
			for _, table := range []string{"orders", "items", "events", "deliveries", "jobs", "history", "emails"} {
				if n := storetest.Count(t, s, `SELECT COUNT(*) FROM `+table); n > 0 {
					out = append(out, table)
				}
			}
			return strings.Join(out, " ")
		}
		err := s.Transaction(t.Context(), func(ctx context.Context) error {
			ok(s.CreateOrder(ctx, shop.Test, storetest.OrderInput("editor", 1)))(t)
			if got := p.taken(); len(got) != 0 {
				t.Errorf("handed over before the commit: %+v", got)
			}
			return errTest
		})
		if !errors.Is(err, errTest) {
			t.Fatal(err)
		}
		if got := p.taken(); len(got) != 0 {
			t.Errorf("what was rolled back was handed over: %+v", got)
		}
		if got := counts(); got != "" {
			t.Errorf("the transaction that was rolled back left rows in %s", got)
		}

		// At the commit the promise is in the database before anybody is told of it.
		var visible []string
		s.OnCommit(func(hs ...jobs.Handover) {
			for _, h := range hs {
				j, err := s.Job(t.Context(), h.JobID)
				if err != nil || j.Kind != h.Kind || j.Epoch != h.Epoch {
					t.Errorf("handed over %+v, stored %+v, %v", h, j, err)
				}
				visible = append(visible, h.Kind)
			}
		})
		err = s.Transaction(t.Context(), func(ctx context.Context) error {
			o := ok(s.CreateOrder(ctx, shop.Test, storetest.OrderInput("editor", 1)))(t)
			ok(s.CancelOrder(ctx, shop.Test, o.ID, "", "test"))(t)
			if len(visible) != 0 {
				t.Errorf("handed over before the commit: %q", visible)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if strings.Join(visible, " ") != jobs.KindDeliver || counts() != "orders items events deliveries jobs history" {
			t.Errorf("handed over %q, rows in %s", visible, counts())
		}
	})
}

// A promise that will most likely be called off is not handed over when it is made; its alarm is at its time.
func TestALazyPromiseIsHandedOverByItsAlarmOnly(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		p := publishing(s)
		shop := storetest.Merchant(t, s)
		storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
		o := storetest.Order(t, s, shop.Test, "editor", 1)
		ok(s.BeginPayment(t.Context(), shop.Test, o.ID, models.NewPayment{Method: "card", Gateway: "test", Class: "online", Actor: "test"}))(t)
		if got := p.taken(); len(got) != 0 {
			t.Errorf("handed over %+v", got)
		}
		j := oneJob(t, s, shop, jobs.KindSettle)
		if wait := time.Until(j.RunAt); wait < 50*time.Second || wait > time.Minute {
			t.Errorf("due in %s, want a minute", wait)
		}
		if behind := j.AlarmAt.Sub(j.RunAt); behind < -time.Second || behind > time.Second {
			t.Errorf("its alarm is %s behind its time", behind)
		}
		if found := alarms(t, s); len(found) != 0 {
			t.Errorf("an alarm before its time: %+v", found)
		}
		ring(t, s, j.ID)
		if found := alarms(t, s); len(found) != 1 || found[0].JobID != j.ID || found[0].Epoch != 0 || found[0].Queue != jobs.Payments {
			t.Errorf("alarms %+v", found)
		}
	})
}

// However many schedulers and workers ask for it, a period has one job, and nobody is told of a job that does not exist.
func TestATickIsStagedOncePerPeriod(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		again := storetest.Again(t, s)
		mine, others := publishing(s), publishing(again)
		kind := kindOf(t, jobs.KindSweep)
		now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
		refusals(t, race(20, func(i int) error {
			return []*models.Store{s, again}[i%2].StageTick(t.Context(), kind, now.Add(time.Duration(i)*time.Second))
		}))
		ticks := storetest.Jobs(t, s, kind.Name)
		if len(ticks) != 1 {
			t.Fatalf("%d jobs for one period", len(ticks))
		}
		j := ticks[0]
		if got := append(mine.taken(), others.taken()...); len(got) != 1 || got[0].JobID != j.ID {
			t.Errorf("handed over %+v, the job is %s", got, j.ID)
		}
		if err := s.StageTick(t.Context(), kind, now.Add(kind.Every)); err != nil {
			t.Fatal(err)
		}
		if n := len(storetest.Jobs(t, s, kind.Name)); n != 2 {
			t.Errorf("two periods have %d jobs", n)
		}
		if got := mine.taken(); len(got) != 1 {
			t.Errorf("the next period handed over %+v", got)
		}
	})
}
