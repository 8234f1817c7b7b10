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

const operator = "operator:acc_1"

func TestAnOperatorRetriesADeadJob(t *testing.T) {
	cases := []struct {
		name, kind string
		job        func(*testing.T, *models.Store, storetest.Shop) models.Job
	}{
		{"fulfilment", jobs.KindFulfil, func(t *testing.T, s *models.Store, shop storetest.Shop) models.Job {
			return oneJob(t, s, shop, jobs.KindFulfil)
		}},
		{"licence email", jobs.KindSendEmail, func(t *testing.T, s *models.Store, shop storetest.Shop) models.Job {
			if err := perform(t, s, oneJob(t, s, shop, jobs.KindFulfil)); err != nil {
				t.Fatal(err)
			}
			return emailJob(t, s, shop, models.EmailLicense)
		}},
		{"webhook", jobs.KindDeliver, func(t *testing.T, s *models.Store, shop storetest.Shop) models.Job {
			return oneJob(t, s, shop, jobs.KindDeliver)
		}},
	}
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		p := publishing(s)
		for _, c := range cases {
			for _, cancelled := range []bool{false, true} {
				name := c.name + " that died"
				if cancelled {
					name = c.name + " that was cancelled"
				}
				t.Run(name, func(t *testing.T) {
					shop := storetest.Merchant(t, s)
					storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
					endpoint(t, s, shop.Test, models.EventPaymentSucceeded)
					o := storetest.PaidOrder(t, s, shop.Test, "editor", 1)
					j := c.job(t, s, shop)
					attempts := 1
					if cancelled {
						attempts = 0
						if err := s.CancelJob(t.Context(), j.ID, operator); err != nil {
							t.Fatal(err)
						}
					} else {
						refuse(t, s, j.ID)
					}
					p.taken()
					if err := s.RetryJob(t.Context(), j.ID, operator); err != nil {
						t.Fatal(err)
					}
					got := jobOf(t, s, j.ID)
					if got.State != models.JobDue || got.Epoch != 1 || got.Attempts != attempts || got.MaxAttempts != attempts+kindOf(t, c.kind).MaxAttempts ||
						got.FinishedAt != nil || got.Alarms != 0 || time.Until(got.RunAt) > 0 || time.Until(got.AlarmAt) > 11*time.Second {
						t.Errorf("job %s", toJSON(t, got))
					}
					if handed := p.taken(); len(handed) != 1 || handed[0].JobID != j.ID || handed[0].Epoch != 1 {
						t.Errorf("handed over %+v", handed)
					}
					if item := ok(s.Order(t.Context(), shop.Test, o.ID))(t).Items[0]; item.FulfillmentStatus != models.NotDelivered || item.Failure != nil {
						t.Errorf("the item is %s", item.FulfillmentStatus)
					}
					healthy(t, s)
					performAll(t, s)
					if view := ok(s.Order(t.Context(), shop.Test, o.ID))(t); view.FulfillmentStatus != models.Delivered {
						t.Errorf("the order is %s", view.FulfillmentStatus)
					}
					if n := storetest.Count(t, s, `SELECT COUNT(*) FROM deliveries WHERE merchant_id = $1 AND status = 'succeeded'`, shop.ID); n != 1 {
						t.Errorf("%d deliveries succeeded", n)
					}
					if n := storetest.Count(t, s, `SELECT COUNT(*) FROM emails WHERE merchant_id = $1 AND kind = 'license_delivery'`, shop.ID); n != 1 {
						t.Errorf("%d licence emails", n)
					}
					if n := storetest.Count(t, s, `SELECT COUNT(*) FROM history WHERE order_id = $1 AND kind = 'job.retried' AND actor = $2`, o.ID, operator); n != 1 {
						t.Errorf("the history has %d retries by the operator", n)
					}
					healthy(t, s)
				})
			}
		}
	})
}

func TestAnOperatorRunsAWaitingJobNow(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
		storetest.PaidOrder(t, s, shop.Test, "editor", 1)
		j := oneJob(t, s, shop, jobs.KindFulfil)
		ok(s.Fail(t.Context(), take(t, s, j), jobs.RetryAfter(errTest, 5*time.Hour)))(t)
		before := jobOf(t, s, j.ID)
		if err := s.RetryJob(t.Context(), j.ID, operator); err != nil {
			t.Fatal(err)
		}
		got := jobOf(t, s, j.ID)
		if got.State != models.JobDue || got.Epoch != 1 || time.Until(got.RunAt) > 0 || got.MaxAttempts != before.MaxAttempts+1 || got.Attempts != before.Attempts {
			t.Errorf("job %s", toJSON(t, got))
		}
		if got.LastError == nil {
			t.Error("the last error is forgotten")
		}
	})
}

func TestADeliveryIsRetriedHoweverItEnded(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop, other := storetest.Merchant(t, s), storetest.Merchant(t, s)
		storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
		w := endpoint(t, s, shop.Test, models.EventOrderCreated)
		storetest.Order(t, s, shop.Test, "editor", 1)
		j := oneJob(t, s, shop, jobs.KindDeliver)
		id := j.Args.Delivery
		attempt := func(number int, status int) models.DeliveryAttempt {
			return models.DeliveryAttempt{DeliveryID: id, Attempt: number, At: time.Now().UTC(), ResponseStatus: &status}
		}
		state := func(want models.DeliveryStatus, attempts int) {
			t.Helper()
			d := ok(s.Delivery(t.Context(), shop.Test, id))(t)
			if d.Status != want || len(d.Attempts) != attempts || (d.FinishedAt == nil) != (want == models.DeliveryPending) {
				t.Errorf("delivery %s", toJSON(t, d))
			}
			healthy(t, s)
		}
		retry := func() {
			t.Helper()
			if err := s.RetryDelivery(t.Context(), shop.Test, id, "api_key:key_1"); err != nil {
				t.Fatal(err)
			}
		}
		ok(s.FailDelivery(t.Context(), take(t, s, j), attempt(1, 500), jobs.Permanent(errTest)))(t)
		state(models.DeliveryFailed, 1)
		retry()
		state(models.DeliveryPending, 1)
		again := take(t, s, jobOf(t, s, j.ID))
		if d := ok(s.Dispatch(t.Context(), again))(t); d.Attempt != 2 || d.Secret != whsec {
			t.Errorf("the next attempt is number %d", d.Attempt)
		}
		if err := s.KeepDelivered(t.Context(), again, attempt(2, 200)); err != nil {
			t.Fatal(err)
		}
		state(models.DeliverySucceeded, 2)
		retry() // the receiver lost it
		state(models.DeliveryPending, 2)
		retry() // twice is once
		state(models.DeliveryPending, 2)
		claim := take(t, s, jobOf(t, s, j.ID))
		wantCode(t, s.RetryDelivery(t.Context(), shop.Test, id, "api_key:key_1"), models.CodeConflict)
		ok(s.FailDelivery(t.Context(), claim, attempt(3, 500), errTest))(t)
		state(models.DeliveryPending, 3)

		for _, sc := range []models.Scope{shop.Live, other.Test} {
			wantCode(t, s.RetryDelivery(t.Context(), sc, id, "api_key:key_1"), models.CodeNotFound)
		}
		for _, wrong := range []string{"", "dlv_", "dlv_\x00", "\xff", j.ID} {
			wantCode(t, s.RetryDelivery(t.Context(), shop.Test, wrong, "api_key:key_1"), models.CodeNotFound)
		}
		// A developer who tries again and again while he mends his server leaves himself as many attempts as there were, at the same times.
		left := jobOf(t, s, j.ID)
		for n := range 3 {
			retry()
			ok(s.FailDelivery(t.Context(), take(t, s, jobOf(t, s, j.ID)), attempt(4+n, 500), errTest))(t)
			got := jobOf(t, s, j.ID)
			if got.MaxAttempts-got.Attempts != left.MaxAttempts-left.Attempts || time.Until(got.RunAt) > 10*time.Second {
				t.Errorf("%d of %d attempts, the next in %v; before %d of %d", got.Attempts, got.MaxAttempts, time.Until(got.RunAt), left.Attempts, left.MaxAttempts)
			}
		}
		state(models.DeliveryPending, 6)

		// Its promise is kept for a week only, the delivery for good.
		retry()
		if err := s.KeepDelivered(t.Context(), take(t, s, jobOf(t, s, j.ID)), attempt(7, 200)); err != nil {
			t.Fatal(err)
		}
		storetest.Exec(t, s, `DELETE FROM jobs WHERE id = $1`, j.ID)
		refusals(t, race(4, func(int) error { return s.RetryDelivery(t.Context(), shop.Test, id, "api_key:key_1") }), models.CodeConflict)
		state(models.DeliveryPending, 7)
		j = oneJob(t, s, shop, jobs.KindDeliver)
		if d := ok(s.Dispatch(t.Context(), take(t, s, j)))(t); d.Attempt != 8 {
			t.Errorf("the attempt after the deletion is number %d", d.Attempt)
		}
		storetest.Exec(t, s, `UPDATE jobs SET state = 'due', attempts = 0 WHERE id = $1`, j.ID)
		if err := s.DeleteWebhookEndpoint(t.Context(), shop.Test, w.ID); err != nil {
			t.Fatal(err)
		}
		state(models.DeliveryCancelled, 7)
		wantCode(t, s.RetryDelivery(t.Context(), shop.Test, id, "api_key:key_1"), models.CodeConflict)
		wantCode(t, s.RetryJob(t.Context(), j.ID, operator), models.CodeConflict)
		state(models.DeliveryCancelled, 7)
	})
}

// An event may be staged for an endpoint that is deleted before the commit. Nothing is sent to it then.
func TestADeliveryToADeletedEndpointFails(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
		w := endpoint(t, s, shop.Test, models.EventOrderCreated)
		storetest.Order(t, s, shop.Test, "editor", 1)
		storetest.Exec(t, s, `UPDATE webhook_endpoints SET deleted_at = $1 WHERE id = $2`, time.Now().UTC(), w.ID)
		j := oneJob(t, s, shop, jobs.KindDeliver)
		c := take(t, s, j)
		_, err := s.Dispatch(t.Context(), c)
		if !jobs.IsPermanent(err) {
			t.Fatalf("dispatch: %v, want a permanent error", err)
		}
		if v := ok(s.Fail(t.Context(), c, err))(t); !v.Dead {
			t.Errorf("verdict %+v", v)
		}
		if n := storetest.Count(t, s, `SELECT COUNT(*) FROM deliveries WHERE status = 'failed'`); n != 1 {
			t.Error("the delivery has not failed")
		}
		healthy(t, s)
	})
}

func TestRetryAndCancelRefused(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
		storetest.PaidOrder(t, s, shop.Test, "editor", 1)
		fulfil, email := oneJob(t, s, shop, jobs.KindFulfil), emailJob(t, s, shop, models.EmailPaymentConfirmation)
		claim := take(t, s, fulfil)
		if err := s.KeepSentOf(t.Context(), take(t, s, email)); err != nil {
			t.Fatal(err)
		}
		newer := oneJob(t, s, shop, jobs.KindSettle)
		storetest.Exec(t, s, `UPDATE jobs SET kind = 'newer.kind', state = 'dead' WHERE id = $1`, newer.ID)
		before := toJSON(t, storetest.Jobs(t, s, ""))

		for _, do := range []func(id string) error{
			func(id string) error { return s.RetryJob(t.Context(), id, operator) },
			func(id string) error { return s.CancelJob(t.Context(), id, operator) },
		} {
			wantCode(t, do(fulfil.ID), models.CodeConflict) // running
			wantCode(t, do(email.ID), models.CodeConflict)  // done
			for _, unknown := range []string{"01900000-0000-7000-8000-000000000000", "", "x", "\x00", "\xff", fulfil.ID + " "} {
				wantCode(t, do(unknown), models.CodeNotFound)
				_, err := s.Job(t.Context(), unknown)
				wantCode(t, err, models.CodeNotFound)
			}
		}
		wantCode(t, s.RetryJob(t.Context(), newer.ID, operator), models.CodeConflict)
		if after := toJSON(t, storetest.Jobs(t, s, "")); after != before {
			t.Errorf("what was refused changed the jobs from %s to %s", before, after)
		}
		if err := s.KeepLicenses(t.Context(), claim, []string{"KEY"}); err != nil {
			t.Errorf("the worker is disturbed: %v", err)
		}
	})
}

func TestAnOperatorCancelsAJob(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
		endpoint(t, s, shop.Test, models.EventPaymentSucceeded)
		o := storetest.PaidOrder(t, s, shop.Test, "editor", 1)
		fulfil, deliver := oneJob(t, s, shop, jobs.KindFulfil), oneJob(t, s, shop, jobs.KindDeliver)
		for range 2 { // the second time changes nothing
			for _, j := range []models.Job{fulfil, deliver} {
				if err := s.CancelJob(t.Context(), j.ID, operator); err != nil {
					t.Fatal(err)
				}
				got := jobOf(t, s, j.ID)
				if got.State != models.JobCancelled || got.FinishedAt == nil || got.LastError == nil || *got.LastError != "cancelled by an operator" {
					t.Errorf("job %s", toJSON(t, got))
				}
				if c, err := s.Claim(t.Context(), j.ID, 0, kindOf(t, j.Kind)); c != nil || err != nil {
					t.Errorf("a cancelled job was claimed (%v)", err)
				}
			}
			item := ok(s.Order(t.Context(), shop.Test, o.ID))(t).Items[0]
			if item.FulfillmentStatus != models.FulfillmentFailed || item.Failure == nil || *item.Failure != "cancelled by an operator" {
				t.Errorf("item %s", toJSON(t, item))
			}
			if got, want := eventsOf(t, s, shop), "fulfillment.failed order.created payment.succeeded"; got != want {
				t.Errorf("events %q, want %q", got, want)
			}
			if n := storetest.Count(t, s, `SELECT COUNT(*) FROM deliveries WHERE status = 'cancelled'`); n != 1 {
				t.Error("the delivery is not cancelled")
			}
			healthy(t, s)
		}
	})
}

// A dead job that is cancelled leaves the list of what an operator has to see to. What its death meant has happened once already.
func TestCancellingADeadJobPutsItAway(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
		storetest.PaidOrder(t, s, shop.Test, "editor", 1)
		j := oneJob(t, s, shop, jobs.KindFulfil)
		refuse(t, s, j.ID)
		if n := ok(s.DeadJobs(t.Context()))(t); n != 1 {
			t.Errorf("%d dead jobs", n)
		}
		before := eventsOf(t, s, shop)
		if err := s.CancelJob(t.Context(), j.ID, operator); err != nil {
			t.Fatal(err)
		}
		if n := ok(s.DeadJobs(t.Context()))(t); n != 0 || jobOf(t, s, j.ID).State != models.JobCancelled {
			t.Errorf("%d dead jobs, this one is %s", n, jobOf(t, s, j.ID).State)
		}
		if got := *jobOf(t, s, j.ID).LastError; got != errTest.Error() {
			t.Errorf("its error is now %q", got)
		}
		if after := eventsOf(t, s, shop); after != before {
			t.Errorf("events %q, before %q", after, before)
		}
	})
}

// Two fulfilments of one item are under way after both the item and its old job were retried. The one that loses must not fail an
// item that has its licences.
func TestTheDeathOfANeedlessFulfilmentFailsNothing(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
		o := storetest.PaidOrder(t, s, shop.Test, "editor", 1)
		old := oneJob(t, s, shop, jobs.KindFulfil)
		refuse(t, s, old.ID)
		ok(s.RetryItem(t.Context(), shop.Test, o.ID, o.Items[0].ID, "api_key:key_1"))(t)
		if err := s.RetryJob(t.Context(), old.ID, operator); err != nil {
			t.Fatal(err)
		}
		both := jobsOf(t, s, shop, jobs.KindFulfil)
		if len(both) != 2 {
			t.Fatalf("%d fulfilments", len(both))
		}
		slower := take(t, s, jobOf(t, s, old.ID))
		if err := perform(t, s, both[1]); err != nil {
			t.Fatal(err)
		}
		if v := ok(s.Fail(t.Context(), slower, jobs.Permanent(errTest)))(t); !v.Dead {
			t.Fatalf("verdict %+v", v)
		}
		if item := ok(s.Order(t.Context(), shop.Test, o.ID))(t).Items[0]; item.FulfillmentStatus != models.NotDelivered || len(item.Licenses) != 1 {
			t.Errorf("item %s", toJSON(t, item))
		}
		healthy(t, s)
		performAll(t, s)
		if got := ok(s.Order(t.Context(), shop.Test, o.ID))(t); got.FulfillmentStatus != models.Delivered || len(keysOf(got)) != 1 {
			t.Errorf("the order is %s", got.FulfillmentStatus)
		}
		if n := len(eventData(t, s, shop, models.EventFulfillmentFailed)); n != 1 {
			t.Errorf("%d fulfillment.failed events, want the one of the first failure", n)
		}
		healthy(t, s)
	})
}

// Operators, workers and the relay at the same jobs: whatever comes of it is consistent, and nobody waits in a circle.
func TestOperatorsAgainstWorkersAndRelay(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
		endpoint(t, s, shop.Test)
		for range 6 {
			storetest.PaidOrder(t, s, shop.Test, "editor", 1)
		}
		for range 3 {
			all := jobsOf(t, s, shop, "")
			errs := race(4*len(all), func(i int) error {
				j := all[i/4]
				switch i % 4 {
				case 0:
					return s.RetryJob(t.Context(), j.ID, operator)
				case 1:
					return s.CancelJob(t.Context(), j.ID, operator)
				case 2:
					return perform(t, s, j)
				}
				if i%8 == 3 {
					_, _, err := s.TakeAlarms(t.Context())
					return err
				}
				c, err := s.Claim(t.Context(), j.ID, j.Epoch, kindOf(t, j.Kind))
				if err != nil || c == nil {
					return err
				}
				_, err = s.Fail(t.Context(), c, errTest)
				return err
			})
			refusals(t, errs, models.CodeConflict, models.CodeFenced)
			healthy(t, s)
		}
		// Whatever was cancelled or died is retried in the end.
		for range 3 {
			storetest.Exec(t, s, `UPDATE jobs SET run_at = $1 WHERE state = 'due' AND kind <> 'payment.settle'`, time.Now().UTC().Add(-time.Second))
			performAll(t, s)
			for _, j := range jobsOf(t, s, shop, "") {
				if j.State == models.JobDead || j.State == models.JobCancelled {
					if err := s.RetryJob(t.Context(), j.ID, operator); err != nil {
						t.Fatalf("%s: %v", toJSON(t, j), err)
					}
				}
			}
		}
		performAll(t, s)
		list, _, err := s.Orders(t.Context(), shop.Test, models.OrderFilter{}, models.Page{})
		if err != nil || len(list) != 6 {
			t.Fatal(len(list), err)
		}
		for _, o := range list {
			if o.FulfillmentStatus != models.Delivered || len(keysOf(o)) != 1 {
				t.Errorf("the order is %s with %d keys", o.FulfillmentStatus, len(keysOf(o)))
			}
		}
		for _, kind := range []string{models.EventProductDelivered, models.EventOrderDelivered, models.EventPaymentSucceeded} {
			if n := len(eventData(t, s, shop, kind)); n != 6 {
				t.Errorf("%d events %s", n, kind)
			}
		}
		healthy(t, s)
	})
}

// The list of jobs is newest first, bounded, and narrowed by what is asked for.
func TestJobs(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
		first := storetest.PaidOrder(t, s, shop.Test, "editor", 1)
		storetest.PaidOrder(t, s, shop.Test, "editor", 1)
		all := ok(s.Jobs(t.Context(), models.JobFilter{Limit: 1000}))(t)
		if !slices.IsSortedFunc(all, func(a, b models.Job) int { return strings.Compare(b.ID, a.ID) }) || len(all) != 6 {
			t.Errorf("%d jobs", len(all))
		}
		for _, c := range []struct {
			f    models.JobFilter
			want int
		}{
			{models.JobFilter{Limit: 2}, 2},
			{models.JobFilter{Kind: jobs.KindFulfil, Limit: 100}, 2},
			{models.JobFilter{Order: first.ID, Limit: 100}, 3},
			{models.JobFilter{State: models.JobDone, Limit: 100}, 2}, // settling is called off by the payment
			{models.JobFilter{State: models.JobDue, Kind: jobs.KindSendEmail, Order: first.ID, Limit: 100}, 1},
			{models.JobFilter{State: models.JobDead, Limit: 100}, 0},
		} {
			if got := ok(s.Jobs(t.Context(), c.f))(t); len(got) != c.want {
				t.Errorf("%+v: %d jobs, want %d", c.f, len(got), c.want)
			}
		}
	})
}
