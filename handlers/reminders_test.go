package handlers_test

import (
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/purser-dev/purser/handlers"
	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

// age makes an unpaid order older, by hours.
func (b *bench) age(orderID string, hours int) {
	b.Helper()
	since := time.Now().Add(-time.Duration(hours) * time.Hour).UTC().Truncate(time.Microsecond)
	storetest.Exec(b, b.store, `UPDATE orders SET unpaid_since = $1, created_at = $1 WHERE id = $2`, since, orderID)
}

// tick enqueues the tick of a periodic kind, as Asynq's scheduler would, and waits until a worker has taken it.
func (b *bench) tick(kind string) {
	b.Helper()
	k, err := jobs.KindOf(kind)
	if err != nil {
		b.Fatal(err)
	}
	task, opts := jobs.TickTask(k)
	info, err := asynq.NewClientFromRedisClient(b.redis.Client).Enqueue(task, opts...)
	if err != nil {
		b.Fatal(err)
	}
	b.eventually("the tick is over", func() bool {
		_, err := b.inspector.GetTaskInfo(info.Queue, info.ID)
		return err != nil
	})
}

func TestReminders(t *testing.T) {
	each(t, func(b *bench) {
		b.product("app", models.MethodTemplate, `{}`)
		b.work()
		o := storetest.Order(b, b.store, b.shop.Test, "app", 1)
		b.tick(jobs.KindRemind)
		if n := len(storetest.Jobs(b, b.store, jobs.KindRemind)); n != 0 {
			b.Errorf("%d jobs were staged with nothing to remind of", n)
		}
		for n, hours := range []int{2, 49} {
			b.age(o.ID, hours)
			b.eventually("a reminder is sent", func() bool {
				b.tick(jobs.KindRemind) // one period may have seen the tick before already
				return len(b.emailsOf(models.EmailReminder, b.mail.taken())) == n+1
			})
			b.idle()
			b.tick(jobs.KindRemind)
			b.idle()
			if sent := b.emailsOf(models.EmailReminder, b.mail.tried()); len(sent) != n+1 || sent[n].To != "Ada@Example.com" {
				b.Errorf("after %d hours %d reminders", hours, len(sent))
			}
		}
		b.sound()
	})
}

// Whether the order is still unpaid is looked at again when the reminder is sent.
func TestAReminderThatIsNoLongerWanted(t *testing.T) {
	each(t, func(b *bench) {
		b.product("app", models.MethodTemplate, `{}`)
		stop := b.work(func(c *handlers.Config) { c.Queues = map[jobs.Queue]int{jobs.Maintenance: 1} })
		paid, cancelled := storetest.Order(b, b.store, b.shop.Test, "app", 1), storetest.Order(b, b.store, b.shop.Test, "app", 1)
		b.age(paid.ID, 2)
		b.age(cancelled.ID, 2)
		b.tick(jobs.KindRemind)
		b.eventually("both reminders are staged", func() bool {
			return storetest.Count(b, b.store, `SELECT COUNT(*) FROM emails WHERE kind = $1`, models.EmailReminder) == 2
		})
		stop()
		storetest.Pay(b, b.store, b.shop.Test, paid.ID)
		if _, err := b.store.CancelOrder(b.Context(), b.shop.Test, cancelled.ID, "", "staff:test"); err != nil {
			b.Fatal(err)
		}
		b.work()
		b.delivered(paid.ID)
		b.idle()
		if n := len(b.emailsOf(models.EmailReminder, b.mail.tried())); n != 0 {
			b.Errorf("%d customers who have paid or cancelled were reminded", n)
		}
		if n := storetest.Count(b, b.store, `SELECT COUNT(*) FROM emails WHERE kind = $1 AND status = $2`, models.EmailReminder, models.EmailSkipped); n != 2 {
			b.Errorf("%d reminders are skipped, want 2", n)
		}
		b.sound()
	})
}

func TestExpiry(t *testing.T) {
	each(t, func(b *bench) {
		b.product("app", models.MethodTemplate, `{}`)
		hooks := b.receive([]string{"order.deleted"})
		b.work()
		old, young := storetest.Order(b, b.store, b.shop.Test, "app", 1), storetest.Order(b, b.store, b.shop.Test, "app", 1)
		b.age(old.ID, 90*24+1)
		b.age(young.ID, 90*24-1)
		b.tick(jobs.KindExpire)
		b.eventually("the old order is deleted", func() bool { return b.order(old.ID).Status == models.OrderDeleted })
		b.idle()
		if o := b.order(old.ID); o.DeleteReason == nil || *o.DeleteReason != models.DeletedExpired {
			b.Errorf("its reason is %v", o.DeleteReason)
		}
		if o := b.order(young.ID); o.Status != models.OrderNotPaid {
			b.Errorf("an order whose term is not over is %s", o.Status)
		}
		if n := len(hooks.got()); n != 1 {
			b.Errorf("%d webhooks", n)
		}
		b.sound()
	})
}

// Two schedulers' ticks of one period make one job.
func TestTicksOfOnePeriodMakeOneJob(t *testing.T) {
	each(t, func(b *bench) {
		b.work()
		b.work()
		for range 3 {
			b.tick(jobs.KindSweep)
		}
		b.idle()
		found := storetest.Jobs(b, b.store, jobs.KindSweep)
		keys := map[string]bool{}
		for _, j := range found {
			keys[*j.DedupeKey] = true
			if j.State != models.JobDone || j.Attempts != 1 {
				b.Errorf("a sweep is %s after %d attempts", j.State, j.Attempts)
			}
		}
		if len(found) == 0 || len(found) > 2 || len(keys) != len(found) { // two if the period ended in between
			b.Errorf("three ticks made %d jobs with %d keys", len(found), len(keys))
		}
	})
}

// A tick that fails is not kept by Asynq: an hour without a database would leave thousands in the archive.
func TestATickThatFailsLeavesNothingBehind(t *testing.T) {
	postgres(t, func(b *bench) {
		far, link := behindLink(b, b.store)
		far.OnCommit(b.publish)
		b.work(func(c *handlers.Config) { c.Store = far })
		link.cut()
		b.tick(jobs.KindSweep)
		if !b.log.has("a tick was lost") {
			b.Error("the log does not tell of it")
		}
		q, err := b.inspector.GetQueueInfo(string(jobs.Maintenance))
		if err != nil {
			b.Fatal(err)
		}
		if q.Size != 0 {
			b.Errorf("Asynq has %d tasks: %+v", q.Size, q)
		}
		link.mend()
		b.tick(jobs.KindSweep)
		b.idle()
		if n := len(storetest.Jobs(b, b.store, jobs.KindSweep)); n != 1 {
			b.Errorf("the next tick made %d jobs", n)
		}
	})
}
