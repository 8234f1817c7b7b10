package models_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

// TestDoctorMeasuresAlarms breaks the bound of alarms alone, just so, and mends it by the command that the doctor names.
func TestDoctorMeasuresAlarms(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
		storetest.PaidOrder(t, s, shop.Test, "editor", 1)
		now := time.Now().UTC()
		set := func(id string, run, alarm time.Duration) {
			storetest.Exec(t, s, `UPDATE jobs SET run_at = $1, alarm_at = $2 WHERE id = $3`, now.Add(run), now.Add(alarm), id)
		}
		mail := storetest.Jobs(t, s, jobs.KindSendEmail)[0]
		fulfil := storetest.Jobs(t, s, jobs.KindFulfil)[0]
		done := jobRow(t, s, "done", now, now, `{}`)
		set(done, -time.Hour, 24*time.Hour)
		set(mail.ID, -time.Hour, 9*time.Minute)
		running := take(t, s, fulfil)
		set(fulfil.ID, -time.Hour, 9*time.Minute)
		healthy(t, s)
		wantCode(t, s.RetryJob(t.Context(), fulfil.ID, "cli"), models.CodeConflict) // its worker has it

		set(mail.ID, -time.Hour, 11*time.Minute)
		set(fulfil.ID, -time.Hour, 11*time.Minute)
		want := []string{mail.ID, fulfil.ID}
		r := ok(s.Doctor(t.Context()))(t)
		if len(r.Findings) != 1 {
			t.Fatalf("doctor: %s", toJSON(t, r))
		}
		f := r.Findings[0]
		slices.Sort(f.IDs)
		slices.Sort(want)
		if f.Invariant != 5 || !strings.Contains(f.Problem, "too far in the future") || !slices.Equal(f.IDs, want) || !strings.HasPrefix(f.Mend, "purser jobs retry JOB_ID") {
			t.Errorf("finding %s, want %v", toJSON(t, f), want)
		}
		for _, id := range f.IDs {
			if err := s.RetryJob(t.Context(), id, "cli"); err != nil {
				t.Error(err)
			}
		}
		healthy(t, s)
		// The worker that the job was taken from writes nothing any more.
		wantCode(t, s.Keep(t.Context(), running), models.CodeFenced)
		performAll(t, s)
		healthy(t, s)
	})
}

// TestDoctorMeasuresPauses puts off a job of each kind for as long as it may be, then for longer, and brings it back by the command that the
// doctor names.
func TestDoctorMeasuresPauses(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		now := time.Now().UTC()
		id := jobRow(t, s, "due", now, nil, `{}`)
		set := func(kind string, run, alarm time.Duration) {
			storetest.Exec(t, s, `UPDATE jobs SET kind = $1, run_at = $2, alarm_at = $3 WHERE id = $4`, kind, now.Add(run), now.Add(alarm), id)
		}
		finds := func(problem string) {
			t.Helper()
			r := ok(s.Doctor(t.Context()))(t)
			if len(r.Findings) != 1 || r.Findings[0].Invariant != 5 || !strings.Contains(r.Findings[0].Problem, problem) ||
				!slices.Equal(r.Findings[0].IDs, []string{id}) || !strings.HasPrefix(r.Findings[0].Mend, "purser jobs retry JOB_ID") {
				t.Errorf("doctor: %s, want one finding about %q", toJSON(t, r), problem)
			}
			if err := s.RetryJob(t.Context(), id, "cli"); err != nil {
				t.Error(err)
			}
			healthy(t, s)
		}
		for _, k := range jobs.Kinds {
			set(k.Name, k.Horizon-time.Minute, k.Horizon)
			healthy(t, s)
			set(k.Name, k.Horizon+time.Minute, k.Horizon+2*time.Minute)
			finds("later than any of its kind")
			set(k.Name, k.Horizon+time.Minute, time.Minute) // its alarm only hands over what is not due
			finds("later than any of its kind")
			set(k.Name, k.Horizon/2, k.Horizon/2+11*time.Minute)
			finds("too far in the future")
		}
		set("order.frobnicate", 1000*time.Hour, 1000*time.Hour) // a newer version's
		healthy(t, s)
	})
}

func TestDoctorLeavesLateJobsAlone(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
		storetest.PaidOrder(t, s, shop.Test, "editor", 1)
		// A retry in hours has its alarm in hours, which is as it should be; so has a job that runs its lease.
		far := storetest.Jobs(t, s, jobs.KindSendEmail)[0]
		if _, err := s.Fail(t.Context(), take(t, s, far), jobs.RetryAfter(errTest, 20*time.Hour)); err != nil {
			t.Fatal(err)
		}
		take(t, s, storetest.Jobs(t, s, jobs.KindFulfil)[0])
		if r := ok(s.Doctor(t.Context()))(t); !r.OK {
			t.Errorf("doctor: %s", toJSON(t, r))
		}
	})
}
