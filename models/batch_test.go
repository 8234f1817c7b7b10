package models_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

// crowdOf stages deliveries of as many events, and returns their jobs.
func crowdOf(t *testing.T, s *models.Store, n int) []models.Job {
	t.Helper()
	shop := storetest.Merchant(t, s)
	endpoint(t, s, shop.Test)
	refusals(t, race(n, func(i int) error {
		_, err := s.CreateCustomEvent(t.Context(), shop.Test, "custom.crowd", models.RawJSON(fmt.Sprintf(`{"n":%d}`, i)))
		return err
	}))
	all := storetest.Jobs(t, s, jobs.KindDeliver)
	if len(all) != n {
		t.Fatalf("%d jobs, want %d", len(all), n)
	}
	return all
}

func claimEach(t *testing.T, s *models.Store, all []models.Job) []*models.Claim {
	t.Helper()
	claims := make([]*models.Claim, len(all))
	refusals(t, race(len(all), func(i int) (err error) {
		claims[i], err = s.Claim(t.Context(), all[i].ID, 0, kindOf(t, all[i].Kind))
		return err
	}))
	for i, c := range claims {
		if c == nil {
			t.Fatalf("job %s is not claimed", all[i].ID)
		}
	}
	return claims
}

func attemptOf(d *models.Dispatch) models.DeliveryAttempt {
	status := 204
	return models.DeliveryAttempt{
		DeliveryID: d.DeliveryID, Attempt: d.Attempt, At: time.Now().UTC().Truncate(time.Microsecond), DurationMs: 7, ResponseStatus: &status, Response: "thanks",
	}
}

func TestACrowdClaimsEachJobOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		all, kind := crowdOf(t, s, 100), kindOf(t, jobs.KindDeliver)
		stores := []*models.Store{s, s, storetest.Again(t, s)}
		claims := make([]*models.Claim, len(stores)*len(all))
		refusals(t, race(len(claims), func(i int) (err error) {
			claims[i], err = stores[i/len(all)].Claim(t.Context(), all[i%len(all)].ID, 0, kind)
			return err
		}))
		won := map[string]int{}
		for i, c := range claims {
			if c == nil {
				continue
			}
			j := all[i%len(all)]
			won[c.JobID]++
			if c.JobID != j.ID || c.Args != j.Args || c.Attempt != 1 || c.MaxAttempts != kind.MaxAttempts || c.Kind.Name != kind.Name || !c.RunAt.Equal(j.RunAt) {
				t.Errorf("claim %+v of job %+v", c, j)
			}
		}
		for _, j := range storetest.Jobs(t, s, jobs.KindDeliver) {
			if won[j.ID] != 1 || j.State != models.JobRunning || j.Attempts != 1 {
				t.Errorf("%d workers have job %s, which is %s after %d claims", won[j.ID], j.ID, j.State, j.Attempts)
			}
		}
	})
}

func TestACrowdKeepsItsDeliveries(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		all := crowdOf(t, s, 60)
		claims := claimEach(t, s, all)
		dispatches := make([]*models.Dispatch, len(all))
		refusals(t, race(len(all), func(i int) (err error) {
			dispatches[i], err = s.Dispatch(t.Context(), claims[i])
			return err
		}))
		seen := map[string]bool{}
		for i, d := range dispatches {
			body := string(ok(s.Body(t.Context(), d))(t))
			if d.DeliveryID != claims[i].Args.Delivery || d.Attempt != 1 || d.Secret == "" || !strings.Contains(body, string(d.Event.Data)) || seen[d.Event.ID] {
				t.Errorf("dispatch %+v with body %s", d, body)
			}
			seen[d.Event.ID] = true
		}

		const late, poisoned, again = 0, 1, 2
		ring(t, s, all[late].ID)
		if got := alarms(t, s); len(got) != 1 || got[0].JobID != all[late].ID {
			t.Fatalf("alarms %+v", got)
		}
		// A result that the database refuses: the attempt is there already.
		storetest.Exec(t, s, `INSERT INTO delivery_attempts (delivery_id, attempt, at, duration_ms) VALUES ($1, 1, $2, 0)`, dispatches[poisoned].DeliveryID, time.Now().UTC())
		if err := s.KeepDelivered(t.Context(), claims[again], attemptOf(dispatches[again])); err != nil {
			t.Fatal(err)
		}
		for i, err := range race(len(all), func(i int) error { return s.KeepDelivered(t.Context(), claims[i], attemptOf(dispatches[i])) }) {
			switch i {
			case late, again:
				if !models.IsFenced(err) {
					t.Errorf("a result that came too late: %v", err)
				}
			case poisoned:
				if err == nil || models.CodeOf(err) != "" || models.Unavailable(err) {
					t.Errorf("a result that the database refuses: %v", err)
				}
			default:
				if err != nil {
					t.Errorf("result %d: %v", i, err)
				}
			}
		}
		for i, j := range all {
			want, state, attempts := models.DeliverySucceeded, models.JobDone, 1
			switch i {
			case late:
				want, state, attempts = models.DeliveryPending, models.JobDue, 0
			case poisoned:
				want, state = models.DeliveryPending, models.JobRunning
			}
			sc := models.Scope{MerchantID: *j.MerchantID, Test: true}
			d := ok(s.Delivery(t.Context(), sc, j.Args.Delivery))(t)
			if d.Status != want || (d.FinishedAt != nil) != (want == models.DeliverySucceeded) || len(d.Attempts) != attempts || jobOf(t, s, j.ID).State != state {
				t.Errorf("job %d is %s, its delivery %s", i, jobOf(t, s, j.ID).State, toJSON(t, d))
			}
			if want == models.DeliverySucceeded {
				if a := d.Attempts[0]; d.AttemptCount != 1 || *d.ResponseStatus != 204 || *a.ResponseStatus != 204 || a.Error != nil || a.Response != "thanks" || a.DurationMs != 7 {
					t.Errorf("delivery %s", toJSON(t, d))
				}
			}
		}
		healthy(t, s)
	})
}

// A job that somebody else is moving makes wait who wants that job, and nobody else.
func TestALockedJobHoldsUpItsOwnClaimOnly(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		if s.Embedded() {
			return // it has no locks of rows
		}
		all := crowdOf(t, s, 20)
		other, err := s.SQL().BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = other.Rollback() }()
		if _, err := other.ExecContext(t.Context(), `UPDATE jobs SET epoch = epoch + 1 WHERE id = $1`, all[0].ID); err != nil {
			t.Fatal(err)
		}
		first := make(chan error, 1)
		go func() {
			c, err := s.Claim(t.Context(), all[0].ID, 1, kindOf(t, all[0].Kind))
			if err == nil && c == nil {
				err = errors.New("the locked job was taken for one that somebody else has")
			}
			first <- err
		}()
		claimEach(t, s, all[1:])
		select {
		case err := <-first:
			t.Errorf("the locked job was claimed: %v", err)
		default:
		}
		if err := other.Commit(); err != nil {
			t.Fatal(err)
		}
		if err := <-first; err != nil {
			t.Error(err)
		}
		if j := jobOf(t, s, all[0].ID); j.State != models.JobRunning || j.Attempts != 1 || j.Epoch != 1 {
			t.Errorf("job %+v", j)
		}
	})
}

// Callers who give up are answered at once, do not take the others with them, and leave no job behind that nobody has.
func TestCallersWhoGiveUp(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		all, kind := crowdOf(t, s, 40), kindOf(t, jobs.KindDeliver)
		// While this is open nobody can claim: on the embedded database it has the only connection that writes.
		busy, err := s.SQL().BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = busy.Rollback() }()
		if !s.Embedded() {
			if _, err := busy.ExecContext(t.Context(), `LOCK TABLE jobs IN EXCLUSIVE MODE`); err != nil {
				t.Fatal(err)
			}
		}
		hasty, giveUp := context.WithCancel(t.Context())
		gone, patient := make(chan error, len(all)/2), make(chan error, len(all)/2)
		for i, j := range all {
			ctx, ended := t.Context(), patient
			if i%2 == 0 {
				ctx, ended = hasty, gone
			}
			go func() {
				c, err := s.Claim(ctx, j.ID, 0, kind)
				if err == nil && c == nil {
					err = errors.New("somebody else has the job")
				}
				ended <- err
			}()
		}
		giveUp()
		for range cap(gone) {
			if err := <-gone; !errors.Is(err, context.Canceled) {
				t.Errorf("who gave up got %v", err)
			}
		}
		if err := busy.Rollback(); err != nil {
			t.Fatal(err)
		}
		for range cap(patient) {
			if err := <-patient; err != nil {
				t.Errorf("who waited got %v", err)
			}
		}
		for i := 0; i < len(all); i += 2 {
			var c *models.Claim
			for c == nil && t.Context().Err() == nil {
				c = ok(s.Claim(t.Context(), all[i].ID, 0, kind))(t)
			}
			if c.MaxAttempts-c.Attempt != kind.MaxAttempts-1 {
				t.Errorf("the attempt of one who gave up was counted: %+v", c)
			}
		}
	})
}

func TestAClosedStoreClaimsNothing(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		j, other := crowdOf(t, s, 1)[0], storetest.Again(t, s)
		if err := other.Close(); err != nil {
			t.Fatal(err)
		}
		if c, err := other.Claim(t.Context(), j.ID, 0, kindOf(t, j.Kind)); err == nil || c != nil {
			t.Errorf("claim %+v, error %v", c, err)
		}
		if j := jobOf(t, s, j.ID); j.State != models.JobDue || j.Attempts != 0 {
			t.Errorf("job %+v", j)
		}
	})
}
