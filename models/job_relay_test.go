package models_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

func TestWhatAnAlarmDoes(t *testing.T) {
	attempts := kindOf(t, jobs.KindFulfil).MaxAttempts
	cases := []struct {
		name     string
		state    models.JobState
		kind     string
		attempts int
		late     time.Duration // how long ago the alarm went off
		want     models.JobState
		epoch    int
		handed   bool
	}{
		{"a due job whose alarm is still to come is left alone", models.JobDue, jobs.KindFulfil, 1, -time.Minute, models.JobDue, 0, false},
		{"a due job is handed over in the same epoch", models.JobDue, jobs.KindFulfil, 1, time.Minute, models.JobDue, 0, true},
		{"a due job is handed over however often it was tried", models.JobDue, jobs.KindFulfil, attempts, time.Minute, models.JobDue, 0, true},
		{"a running job within its lease is left alone", models.JobRunning, jobs.KindFulfil, 1, -time.Minute, models.JobRunning, 0, false},
		{"a running job past its lease gets a new epoch", models.JobRunning, jobs.KindFulfil, 1, time.Minute, models.JobDue, 1, true},
		{"a running job with its last attempt but one gets a new epoch", models.JobRunning, jobs.KindFulfil, attempts - 1, time.Minute, models.JobDue, 1, true},
		{"a running job past its last lease is dead", models.JobRunning, jobs.KindFulfil, attempts, time.Minute, models.JobDead, 0, false},
		{"a due job of an unknown kind is left to a newer scheduler", models.JobDue, "newer.kind", 1, time.Minute, models.JobDue, 0, false},
		{"a running job of an unknown kind is left to a newer scheduler", models.JobRunning, "newer.kind", attempts, time.Minute, models.JobRunning, 0, false},
		{"a done job is left alone", models.JobDone, jobs.KindFulfil, 1, time.Minute, models.JobDone, 0, false},
		{"a cancelled job is left alone", models.JobCancelled, jobs.KindFulfil, 1, time.Minute, models.JobCancelled, 0, false},
	}
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				shop := storetest.Merchant(t, s)
				storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
				storetest.PaidOrder(t, s, shop.Test, "editor", 1)
				j := oneJob(t, s, shop, jobs.KindFulfil)
				now := time.Now().UTC()
				var finished any
				if c.state == models.JobDone || c.state == models.JobCancelled {
					finished = now
				}
				storetest.Exec(t, s, `UPDATE jobs SET state = $1, kind = $2, attempts = $3, alarm_at = $4, finished_at = $5 WHERE id = $6`,
					string(c.state), c.kind, c.attempts, now.Add(-c.late), finished, j.ID)
				var mine []models.Alarm
				for _, a := range alarms(t, s) {
					if a.JobID == j.ID {
						mine = append(mine, a)
					}
				}
				got := jobOf(t, s, j.ID)
				if got.State != c.want || got.Epoch != c.epoch || got.Attempts != c.attempts {
					t.Errorf("the job is %s in epoch %d after %d attempts", got.State, got.Epoch, got.Attempts)
				}
				if (len(mine) == 1) != c.handed || len(mine) > 1 {
					t.Fatalf("alarms %+v", mine)
				}
				if !c.handed {
					return
				}
				if a := mine[0]; a.Epoch != c.epoch || a.Kind != c.kind || a.Queue != jobs.Fulfilment || a.Old || string(a.Args) != `{"item":"`+j.Args.Item+`"}` || a.RunAt.After(time.Now()) {
					t.Errorf("alarm %+v", a)
				}
				if again := alarms(t, s); slices.ContainsFunc(again, func(a models.Alarm) bool { return a.JobID == j.ID }) {
					t.Error("the alarm was not wound up: it goes off again at once")
				}
			})
		}
	})
}

func TestAlarmsComeFurtherAndFurtherApart(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
		storetest.PaidOrder(t, s, shop.Test, "editor", 1)
		id := oneJob(t, s, shop, jobs.KindFulfil).ID
		pause := func(step string, want time.Duration, since time.Time) {
			t.Helper()
			if got := jobOf(t, s, id).AlarmAt.Sub(since); got < want-time.Second || got > want+5*time.Second {
				t.Errorf("%s the next alarm is in %s, want %s", step, got, want)
			}
		}
		pause("when it is staged", 10*time.Second, jobOf(t, s, id).CreatedAt)
		rings := func(step string, want ...time.Duration) {
			t.Helper()
			for n, w := range want {
				ring(t, s, id)
				at := time.Now()
				alarms(t, s)
				pause(fmt.Sprintf("%s, after alarm %d", step, n+1), w, at)
			}
		}
		rings("unclaimed", 20*time.Second, 30*time.Second, 30*time.Second, 30*time.Second)
		take(t, s, jobOf(t, s, id))
		rings("when its worker was lost", 10*time.Second, 20*time.Second, 30*time.Second)
		at := time.Now()
		v := ok(s.Fail(t.Context(), take(t, s, jobOf(t, s, id)), errTest))(t)
		pause("after a failure", v.Delay+10*time.Second, at)
		rings("failed", 20*time.Second)
	})
}

// A job of the future whose alarm goes off, as all do when an embedded installation starts, is handed over for its time, and its alarm
// stays behind that.
func TestAllAlarmsAreResetForAnEmptyQueue(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
		storetest.PaidOrder(t, s, shop.Test, "editor", 1)
		fulfil, email := oneJob(t, s, shop, jobs.KindFulfil), emailJob(t, s, shop, models.EmailPaymentConfirmation)
		take(t, s, fulfil)
		ok(s.Fail(t.Context(), take(t, s, email), jobs.RetryAfter(errTest, 2*time.Hour)))(t)
		settle := oneJob(t, s, shop, jobs.KindSettle) // done
		if err := s.ResetAlarms(t.Context()); err != nil {
			t.Fatal(err)
		}
		got := map[string]models.Alarm{}
		for _, a := range alarms(t, s) {
			got[a.JobID] = a
		}
		if len(got) != 2 || got[fulfil.ID].Epoch != 1 || got[email.ID].Epoch != 0 || time.Until(got[email.ID].RunAt) < 119*time.Minute {
			t.Errorf("alarms %+v", got)
		}
		if j := jobOf(t, s, email.ID); j.State != models.JobDue || j.AlarmAt.Before(j.RunAt.Add(5*time.Second)) || j.AlarmAt.After(j.RunAt.Add(time.Minute)) {
			t.Errorf("a job due at %s has its alarm at %s", j.RunAt, j.AlarmAt)
		}
		if j := jobOf(t, s, settle.ID); j.State != models.JobDone {
			t.Errorf("a finished job is %s", j.State)
		}
	})
}

func TestOneOfManySchedulersRaisesAnEpoch(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
		storetest.PaidOrder(t, s, shop.Test, "editor", 1)
		j := oneJob(t, s, shop, jobs.KindFulfil)
		old := jobs.Handover{JobID: j.ID, Kind: j.Kind, Epoch: 0, RunAt: j.RunAt}
		raised := make([]bool, 10)
		refusals(t, race(len(raised), func(i int) error {
			h, yes, err := s.RaiseEpoch(t.Context(), old)
			if raised[i] = yes; yes && (h.Epoch != 1 || h.JobID != j.ID) {
				t.Errorf("handover %+v", h)
			}
			return err
		}))
		if n := len(slices.DeleteFunc(raised, func(yes bool) bool { return !yes })); n != 1 || jobOf(t, s, j.ID).Epoch != 1 {
			t.Errorf("raised %d times, to epoch %d", n, jobOf(t, s, j.ID).Epoch)
		}
		take(t, s, jobOf(t, s, j.ID))
		if _, yes, err := s.RaiseEpoch(t.Context(), jobs.Handover{JobID: j.ID, Epoch: 1}); yes || err != nil || jobOf(t, s, j.ID).Epoch != 1 {
			t.Errorf("a running job's epoch was raised (%v)", err)
		}
	})
}

// manyJobs stages at least n webhook deliveries whose alarms have gone off.
func manyJobs(t *testing.T, s *models.Store, shop storetest.Shop, n int) {
	t.Helper()
	const endpoints = 40
	for range endpoints {
		endpoint(t, s, shop.Test)
	}
	for i := range (n + endpoints - 1) / endpoints {
		ok(s.CreateCustomEvent(t.Context(), shop.Test, "custom.n", models.RawJSON(fmt.Sprintf(`{"n":%d}`, i))))(t)
	}
	storetest.Exec(t, s, `UPDATE jobs SET alarm_at = $1`, time.Now().UTC().Add(-time.Minute))
}

// Relays at work together hand every job over once a round, in bounded batches.
func TestRacingRelaysHandEachJobOverOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		manyJobs(t, s, shop, 1200)
		stores := []*models.Store{s, storetest.Again(t, s)}
		var mu sync.Mutex
		seen := map[string]int{}
		refusals(t, race(6, func(i int) error {
			for {
				found, more, err := stores[i%2].TakeAlarms(t.Context())
				if err != nil {
					return err
				}
				if len(found) > 500 {
					t.Errorf("a batch of %d", len(found))
				}
				mu.Lock()
				for _, a := range found {
					seen[a.JobID]++
				}
				mu.Unlock()
				if !more {
					return nil
				}
			}
		}))
		for id, n := range seen {
			if n != 1 {
				t.Errorf("the job %s was handed over %d times", id, n)
			}
		}
		if len(seen) != 1200 {
			t.Errorf("%d jobs were handed over, want 1200", len(seen))
		}
		if found := alarms(t, s); len(found) != 0 {
			t.Errorf("%d alarms are left over", len(found))
		}
	})
}

// A job that cannot be buried, here because a licence of its order does not open, holds up neither the others' burials nor the relay.
func TestOneBurialThatFailsDoesNotStopTheRelay(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		poisoned, fine := storetest.Merchant(t, s), storetest.Merchant(t, s)
		attempts := kindOf(t, jobs.KindFulfil).MaxAttempts
		var lost []models.Job
		for _, shop := range []storetest.Shop{poisoned, fine} {
			storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
			storetest.Product(t, s, shop.Test, "viewer", models.MethodTemplate)
			in := storetest.OrderInput("editor", 1)
			in.Lines = append(in.Lines, models.NewLine{Product: "viewer", Quantity: 1})
			o := ok(s.CreateOrder(t.Context(), shop.Test, in))(t)
			storetest.Pay(t, s, shop.Test, o.ID)
			work := jobsOf(t, s, shop, jobs.KindFulfil)
			if err := perform(t, s, work[0]); err != nil {
				t.Fatal(err)
			}
			take(t, s, work[1])
			storetest.Exec(t, s, `UPDATE jobs SET attempts = $1 WHERE id = $2`, attempts, work[1].ID)
			lost = append(lost, work[1])
		}
		sealed := texts(t, s, `SELECT ciphertext FROM licenses WHERE merchant_id = $1`, poisoned.ID)
		storetest.Exec(t, s, `UPDATE licenses SET ciphertext = $1 WHERE merchant_id = $2`, []byte{1, 2, 3}, poisoned.ID)
		storetest.Exec(t, s, `UPDATE jobs SET alarm_at = $1 WHERE finished_at IS NULL`, time.Now().UTC().Add(-time.Minute))

		if got := alarms(t, s); len(got) != 4 { // the confirmation and the licence email of each
			t.Errorf("%d jobs were handed over, want 4", len(got))
		}
		if j := jobOf(t, s, lost[0].ID); j.State != models.JobRunning || time.Until(j.AlarmAt) < 5*time.Second {
			t.Errorf("the job that cannot be buried is %s with its alarm at %s", j.State, j.AlarmAt)
		}
		if j := jobOf(t, s, lost[1].ID); j.State != models.JobDead {
			t.Errorf("the other one is %s", j.State)
		}
		storetest.Exec(t, s, `UPDATE licenses SET ciphertext = $1 WHERE merchant_id = $2`, []byte(sealed[0]), poisoned.ID)
		ring(t, s, lost[0].ID)
		alarms(t, s)
		if j := jobOf(t, s, lost[0].ID); j.State != models.JobDead {
			t.Errorf("mended, it is %s", j.State)
		}
		healthy(t, s)
	})
}

// Workers that write their results at the very moment when the relay gives them up: each job ends one way, and nobody waits for
// each other in a circle.
func TestResultsAgainstTheRelay(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
		endpoint(t, s, shop.Test, models.EventPaymentSucceeded)
		const rounds, orders = 4, 8
		for range rounds {
			for range orders {
				storetest.PaidOrder(t, s, shop.Test, "editor", 1)
			}
			due := slices.DeleteFunc(jobsOf(t, s, shop, ""), func(j models.Job) bool { return j.State != models.JobDue })
			claims := make([]*models.Claim, len(due))
			for i, j := range due {
				claims[i] = take(t, s, j)
			}
			// The last attempt of each, and its lease is over.
			storetest.Exec(t, s, `UPDATE jobs SET attempts = max_attempts, alarm_at = $1 WHERE state = 'running'`, time.Now().UTC().Add(-time.Minute))
			for i, c := range claims {
				c.Attempt = jobOf(t, s, due[i].ID).Attempts
			}
			errs := race(len(claims)+4, func(i int) error {
				if i >= len(claims) {
					_, _, err := s.TakeAlarms(t.Context())
					return err
				}
				c := claims[i]
				switch {
				case c.Kind.Name == jobs.KindDeliver:
					d, err := s.Dispatch(t.Context(), c)
					if err != nil {
						return nil // the relay was quicker
					}
					a := models.DeliveryAttempt{DeliveryID: d.DeliveryID, Attempt: d.Attempt, At: time.Now().UTC()}
					if i%2 == 0 {
						return s.KeepDelivered(t.Context(), c, a)
					}
					_, err = s.FailDelivery(t.Context(), c, a, errTest)
					return err
				case i%2 == 0:
					_, err := s.Fail(t.Context(), c, errTest)
					return err
				case c.Kind.Name == jobs.KindFulfil:
					return s.KeepLicenses(t.Context(), c, []string{"KEY-" + c.Args.Item})
				default:
					return s.KeepSentOf(t.Context(), c)
				}
			})
			refusals(t, errs, models.CodeFenced)
			if n := storetest.Count(t, s, `SELECT COUNT(*) FROM jobs WHERE state = 'running'`); n != 0 {
				t.Errorf("%d jobs are running yet", n)
			}
			for delivery, job := range map[string]string{"succeeded": "done", "failed": "dead"} {
				d := storetest.Count(t, s, `SELECT COUNT(*) FROM deliveries WHERE status = $1`, delivery)
				j := storetest.Count(t, s, `SELECT COUNT(*) FROM jobs WHERE kind = 'webhook.deliver' AND state = $1`, job)
				if d != j {
					t.Errorf("%d deliveries are %s, %d jobs %s", d, delivery, j, job)
				}
			}
			performAll(t, s)
			healthy(t, s)
		}
	})
}
