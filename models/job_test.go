package models_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

func TestExactlyOneOfManyWorkersClaimsAJob(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
		o := storetest.PaidOrder(t, s, shop.Test, "editor", 1)
		j := oneJob(t, s, shop, jobs.KindFulfil)
		stores := []*models.Store{s, storetest.Again(t, s)}
		kind := kindOf(t, jobs.KindFulfil)

		claims := make([]*models.Claim, 30)
		before := time.Now()
		errs := race(len(claims), func(i int) (err error) {
			claims[i], err = stores[i%2].Claim(t.Context(), j.ID, 0, kind)
			return err
		})
		after := time.Now()

		refusals(t, errs)
		var won []*models.Claim
		for _, c := range claims {
			if c != nil {
				won = append(won, c)
			}
		}
		if len(won) != 1 {
			t.Fatalf("%d workers have the job", len(won))
		}
		if c := won[0]; c.JobID != j.ID || c.Attempt != 1 || c.MaxAttempts != kind.MaxAttempts || c.Args != (models.JobArgs{Item: o.Items[0].ID}) || c.Kind.Name != kind.Name {
			t.Errorf("claim %+v", c)
		}
		got := jobOf(t, s, j.ID)
		if got.State != models.JobRunning || got.Attempts != 1 || got.Epoch != 0 || got.FinishedAt != nil {
			t.Errorf("job %+v", got)
		}
		if got.AlarmAt.Before(before.Add(kind.Lease()-time.Second)) || got.AlarmAt.After(after.Add(kind.Lease()+time.Second)) {
			t.Errorf("the lease ends at %s, which is not %s from now", got.AlarmAt, kind.Lease())
		}
	})
}

func TestClaimingWhatIsNotThere(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
		storetest.PaidOrder(t, s, shop.Test, "editor", 1)
		j, kind := oneJob(t, s, shop, jobs.KindFulfil), kindOf(t, jobs.KindFulfil)
		if err := s.Keep(t.Context(), take(t, s, j)); err != nil {
			t.Fatal(err)
		}
		for name, id := range map[string]string{"a finished job": j.ID, "an unknown job": "01900000-0000-7000-8000-000000000000"} {
			if c, err := s.Claim(t.Context(), id, 0, kind); c != nil || err != nil {
				t.Errorf("%s: claim %+v, error %v", name, c, err)
			}
		}
		if got := jobOf(t, s, j.ID); got.State != models.JobDone || got.Attempts != 1 {
			t.Errorf("claiming a finished job changed it: %+v", got)
		}
	})
}

func TestACopyMayClaimOnceItsJobIsDue(t *testing.T) {
	cases := []struct {
		name    string
		epoch   int // of the copy; the job's is 1
		runIn   time.Duration
		claimed bool
	}{
		{"the current copy before the time is an operator's run now", 1, time.Hour, true},
		{"the current copy at its time", 1, -time.Second, true},
		{"a stale copy before the time", 0, time.Hour, false},
		{"a stale copy once the job is due", 0, -time.Second, true},
		{"a copy of the future before the time", 2, time.Hour, false},
	}
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				shop := storetest.Merchant(t, s)
				storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
				storetest.PaidOrder(t, s, shop.Test, "editor", 1)
				j := oneJob(t, s, shop, jobs.KindFulfil)
				storetest.Exec(t, s, `UPDATE jobs SET epoch = 1, run_at = $1 WHERE id = $2`, time.Now().UTC().Add(c.runIn), j.ID)
				claim := ok(s.Claim(t.Context(), j.ID, c.epoch, kindOf(t, j.Kind)))(t)
				if (claim != nil) != c.claimed {
					t.Errorf("claim %+v", claim)
				}
				if got := jobOf(t, s, j.ID); (got.State == models.JobRunning) != c.claimed || got.Epoch != 1 {
					t.Errorf("the job is %s in epoch %d", got.State, got.Epoch)
				}
			})
		}
	})
}

// A worker whose claim was given up must not write anything, however it ends: not before somebody else has the job, not while, not
// afterwards.
func TestAClaimThatWasGivenUpCannotWrite(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
		storetest.PaidOrder(t, s, shop.Test, "editor", 1)
		j := oneJob(t, s, shop, jobs.KindFulfil)
		late := take(t, s, j)
		ring(t, s, j.ID)
		if got := alarms(t, s); len(got) != 1 || got[0].JobID != j.ID || got[0].Epoch != 1 {
			t.Fatalf("alarms %+v", got)
		}
		lateTries := func(when string) {
			t.Helper()
			tries := map[string]func() error{
				"keep":         func() error { return s.Keep(t.Context(), late) },
				"keep a key":   func() error { return s.KeepLicenses(t.Context(), late, []string{"LATE"}) },
				"give back":    func() error { return s.GiveBack(t.Context(), late, 0) },
				"fail":         func() error { _, err := s.Fail(t.Context(), late, errTest); return err },
				"fail forever": func() error { _, err := s.Fail(t.Context(), late, jobs.Permanent(errTest)); return err },
			}
			before := jobOf(t, s, j.ID)
			for name, try := range tries {
				if err := try(); !models.IsFenced(err) {
					t.Errorf("%s: %s: %v, want it fenced", when, name, err)
				}
			}
			if after := jobOf(t, s, j.ID); toJSON(t, after) != toJSON(t, before) {
				t.Errorf("%s: the late worker changed the job from %s to %s", when, toJSON(t, before), toJSON(t, after))
			}
			if n := storetest.Count(t, s, `SELECT COUNT(*) FROM licenses`); n != 0 {
				t.Errorf("%s: the late worker wrote %d licences", when, n)
			}
			if strings.Contains(eventsOf(t, s, shop), models.EventFulfillmentFailed) {
				t.Errorf("%s: the late worker failed the item", when)
			}
		}
		lateTries("while the job is due again")
		fresh := take(t, s, jobOf(t, s, j.ID))
		if fresh.Attempt != 2 {
			t.Errorf("the second claim is attempt %d", fresh.Attempt)
		}
		lateTries("while another worker has the job")
		if err := s.Keep(t.Context(), fresh); err != nil {
			t.Fatal(err)
		}
		lateTries("after another worker has kept it")
	})
}

func TestAFailedAttemptIsDueAgain(t *testing.T) {
	cases := []struct {
		name     string
		cause    error
		min, max time.Duration
	}{
		{"after the kind's pause", errTest, 2 * time.Second, 2400 * time.Millisecond},
		{"after the failure's own pause", jobs.RetryAfter(errTest, 7*time.Minute), 7 * time.Minute, 7 * time.Minute},
		{"at once if the failure says so", jobs.RetryAfter(errTest, 0), 0, 0},
	}
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				shop := storetest.Merchant(t, s)
				storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
				o := storetest.PaidOrder(t, s, shop.Test, "editor", 1)
				j := oneJob(t, s, shop, jobs.KindFulfil)
				before := time.Now()
				v := ok(s.Fail(t.Context(), take(t, s, j), c.cause))(t)
				after := time.Now()
				if v.Dead || v.Delay < c.min || v.Delay > c.max {
					t.Errorf("verdict %+v", v)
				}
				got := jobOf(t, s, j.ID)
				if got.State != models.JobDue || got.Attempts != 1 || got.Epoch != 0 || got.FinishedAt != nil || got.LastError == nil || *got.LastError != errTest.Error() {
					t.Errorf("job %s", toJSON(t, got))
				}
				if got.RunAt.Before(before.Add(v.Delay-time.Second)) || got.RunAt.After(after.Add(v.Delay+time.Second)) {
					t.Errorf("due at %s, which is not %s from now", got.RunAt, v.Delay)
				}
				if pause := got.AlarmAt.Sub(got.RunAt); pause < 9*time.Second || pause > 11*time.Second {
					t.Errorf("the alarm is %s behind the due time, want 10 s", pause)
				}
				if view := ok(s.Order(t.Context(), shop.Test, o.ID))(t); view.Items[0].FulfillmentStatus != models.NotDelivered {
					t.Errorf("the item is %s", view.Items[0].FulfillmentStatus)
				}
				healthy(t, s)
			})
		}
	})
}

func TestAJobGivenBackHasNotFailed(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
		storetest.PaidOrder(t, s, shop.Test, "editor", 1)
		j := oneJob(t, s, shop, jobs.KindFulfil)
		kind := kindOf(t, j.Kind)
		const shutdowns = 20 // far more than the kind has attempts
		for range shutdowns {
			if err := s.GiveBack(t.Context(), take(t, s, jobOf(t, s, j.ID)), 0); err != nil {
				t.Fatal(err)
			}
		}
		got := jobOf(t, s, j.ID)
		if got.State != models.JobDue || got.Attempts != shutdowns || got.MaxAttempts-got.Attempts != kind.MaxAttempts || got.LastError != nil || time.Until(got.RunAt) > 0 {
			t.Errorf("job %s", toJSON(t, got))
		}
		// The next failure is the first: it pauses as long as a first one, and is not the last.
		v := ok(s.Fail(t.Context(), take(t, s, got), errTest))(t)
		if v.Dead || v.Delay > 3*time.Second {
			t.Errorf("verdict %+v", v)
		}
	})
}

// exhaust fails a job until it is dead and returns how many failures that took.
func exhaust(t *testing.T, s *models.Store, id string) int {
	t.Helper()
	for n := 1; n < 100; n++ {
		v := ok(s.Fail(t.Context(), take(t, s, jobOf(t, s, id)), errTest))(t)
		if v.Dead {
			return n
		}
	}
	t.Fatal("the job does not die")
	return 0
}

// lose lets a job's workers vanish until the relay finds its attempts used up.
func lose(t *testing.T, s *models.Store, id string) int {
	t.Helper()
	for n := 1; n < 100; n++ {
		take(t, s, jobOf(t, s, id))
		ring(t, s, id)
		alarms(t, s)
		if jobOf(t, s, id).State == models.JobDead {
			return n
		}
	}
	t.Fatal("the job does not die")
	return 0
}

// refuse lets a job fail for good at its first attempt.
func refuse(t *testing.T, s *models.Store, id string) int {
	t.Helper()
	if v := ok(s.Fail(t.Context(), take(t, s, jobOf(t, s, id)), jobs.Permanent(errTest)))(t); !v.Dead {
		t.Fatal("a permanent failure is not the end")
	}
	return 1
}

// What the death of a job means for the business is the same whoever finds it: the worker at its last attempt, the worker at a permanent
// failure, or the relay.
func TestTheConsequenceOfADeadJob(t *testing.T) {
	ends := []struct {
		name   string
		end    func(*testing.T, *models.Store, string) int
		all    bool // it takes all attempts
		reason string
	}{
		{"attempts used up", exhaust, true, errTest.Error()},
		{"permanent", refuse, false, errTest.Error()},
		{"worker lost", lose, true, "the worker was lost while it performed this job"},
	}
	cases := []struct {
		name string
		kind string
		// job brings the job about and returns its id.
		job  func(*testing.T, *models.Store, storetest.Shop) string
		item models.FulfillmentStatus
		// failed are the emails that have failed, pending those that are to be sent.
		failed, pending string
		failures        int // fulfillment.failed events
		delivery        models.DeliveryStatus
	}{
		{
			name: "fulfilment", kind: jobs.KindFulfil, item: models.FulfillmentFailed, failures: 1, pending: "fulfillment_failed payment_confirmation", delivery: models.DeliveryPending,
			job: func(t *testing.T, s *models.Store, shop storetest.Shop) string {
				return oneJob(t, s, shop, jobs.KindFulfil).ID
			},
		},
		{
			name: "licence email", kind: jobs.KindSendEmail, item: models.FulfillmentFailed, failures: 1, failed: "license_delivery",
			pending: "fulfillment_failed payment_confirmation", delivery: models.DeliveryPending,
			job: func(t *testing.T, s *models.Store, shop storetest.Shop) string {
				if err := perform(t, s, oneJob(t, s, shop, jobs.KindFulfil)); err != nil {
					t.Fatal(err)
				}
				return emailJob(t, s, shop, models.EmailLicense).ID
			},
		},
		{
			name: "confirmation email", kind: jobs.KindSendEmail, item: models.NotDelivered, failed: "payment_confirmation", delivery: models.DeliveryPending,
			job: func(t *testing.T, s *models.Store, shop storetest.Shop) string {
				return emailJob(t, s, shop, models.EmailPaymentConfirmation).ID
			},
		},
		{
			name: "webhook", kind: jobs.KindDeliver, item: models.NotDelivered, pending: "payment_confirmation", delivery: models.DeliveryFailed,
			job: func(t *testing.T, s *models.Store, shop storetest.Shop) string {
				return oneJob(t, s, shop, jobs.KindDeliver).ID
			},
		},
		{
			name: "settling", kind: jobs.KindSettle, item: models.NotDelivered, pending: "payment_confirmation", delivery: models.DeliveryPending,
			job: func(t *testing.T, s *models.Store, shop storetest.Shop) string {
				o := storetest.Order(t, s, shop.Test, "editor", 1)
				ok(s.BeginPayment(t.Context(), shop.Test, o.ID, models.NewPayment{Method: "card", Gateway: "test", Class: "online", Actor: "test"}))(t)
				for _, j := range jobsOf(t, s, shop, jobs.KindSettle) {
					if j.State == models.JobDue {
						return j.ID
					}
				}
				t.Fatal("nobody is going to ask the gateway")
				return ""
			},
		},
	}
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		for _, c := range cases {
			for _, e := range ends {
				t.Run(c.name+", "+e.name, func(t *testing.T) {
					shop := storetest.Merchant(t, s)
					storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
					endpoint(t, s, shop.Test, models.EventPaymentSucceeded)
					o := storetest.PaidOrder(t, s, shop.Test, "editor", 1)
					id := c.job(t, s, shop)
					want := 1
					if e.all {
						want = kindOf(t, c.kind).MaxAttempts
					}
					if n := e.end(t, s, id); n != want {
						t.Errorf("died of %d attempts, want %d", n, want)
					}
					j := jobOf(t, s, id)
					if j.State != models.JobDead || j.FinishedAt == nil || j.LastError == nil || *j.LastError != e.reason {
						t.Errorf("job %s", toJSON(t, j))
					}
					item := ok(s.Order(t.Context(), shop.Test, o.ID))(t).Items[0]
					if item.FulfillmentStatus != c.item {
						t.Errorf("the item is %s", item.FulfillmentStatus)
					}
					if c.item == models.FulfillmentFailed && (item.Failure == nil || !strings.Contains(*item.Failure, e.reason)) {
						t.Errorf("the item's failure does not say %q", e.reason)
					}
					if got := emailsOf(t, s, shop, models.EmailFailed); got != c.failed {
						t.Errorf("emails that failed: %q, want %q", got, c.failed)
					}
					if got := emailsOf(t, s, shop, models.EmailPending); got != c.pending {
						t.Errorf("emails to be sent: %q, want %q", got, c.pending)
					}
					if n := strings.Count(eventsOf(t, s, shop), models.EventFulfillmentFailed); n != c.failures {
						t.Errorf("%d fulfillment.failed events, want %d", n, c.failures)
					}
					if n := storetest.Count(t, s, `SELECT COUNT(*) FROM deliveries WHERE merchant_id = $1 AND status = $2`, shop.ID, string(c.delivery)); n != 1 {
						t.Errorf("the delivery is not %s", c.delivery)
					}
					healthy(t, s)
					// Dead is final: neither a copy of the task nor the relay brings it back.
					if again, err := s.Claim(t.Context(), id, j.Epoch, kindOf(t, c.kind)); again != nil || err != nil {
						t.Errorf("a dead job was claimed: %+v, %v", again, err)
					}
					ring(t, s, id)
					for _, a := range alarms(t, s) {
						if a.JobID == id {
							t.Errorf("a dead job has an alarm: %+v", a)
						}
					}
				})
			}
		}
	})
}

func TestAnErrorsTextIsKeptShort(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
		storetest.PaidOrder(t, s, shop.Test, "editor", 1)
		j := oneJob(t, s, shop, jobs.KindFulfil)
		ok(s.Fail(t.Context(), take(t, s, j), errors.New(strings.Repeat("ä", 1000))))(t)
		got := *jobOf(t, s, j.ID).LastError
		if len(got) > 510 || !strings.HasPrefix(got, "ää") || strings.Contains(got, "\uFFFD") {
			t.Errorf("kept %d bytes of the error: %q", len(got), got)
		}
	})
}
