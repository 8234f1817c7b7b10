package scheduler

import (
	"errors"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

func TestTheRelayHandsOverWhatRedisLost(t *testing.T) {
	each(t, func(b *bench) {
		s, j := b.scheduler(), b.staged()
		b.round(s)
		if b.state(j, 0) != 0 || s.Relayed() != 0 {
			b.Fatal("a job was handed over before its alarm")
		}
		for n := range 2 {
			b.ring(j.ID)
			b.round(s)
			if got := b.state(j, 0); got != asynq.TaskStatePending {
				b.Fatalf("after its alarm the task is %v", got)
			}
			if got := s.Relayed(); got != int64(n+1) {
				b.Errorf("%d relayed", got)
			}
			b.redis.Flush(b)
		}
		got := b.job(j.ID)
		if got.Epoch != 0 || got.State != models.JobDue || got.Attempts != 0 || got.Alarms != 2 {
			b.Errorf("the row: %+v", got)
		}
		if s.SinceRound() <= 0 || s.SinceRound() > time.Minute {
			b.Errorf("the last round was %v ago", s.SinceRound())
		}
	})
}

func TestTheAlarmIsWoundUpForLongerEachTime(t *testing.T) {
	each(t, func(b *bench) {
		s, j := b.scheduler(), b.staged()
		for n, want := range []time.Duration{10 * time.Second, 20 * time.Second, 30 * time.Second, 30 * time.Second} {
			if n > 0 { // the first was set when the job was staged
				b.ring(j.ID)
				b.round(s)
			}
			got := b.job(j.ID)
			if pause := time.Until(got.AlarmAt); pause > want || pause < want-8*time.Second {
				b.Errorf("alarm %d is wound up for %v, want %v", n+1, pause, want)
			}
		}
	})
}

// Whatever waits in Redis is left there: a new epoch would push it to the back of its queue, and flood Redis under a backlog.
func TestATaskThatWaitsIsLeftWhereItIs(t *testing.T) {
	each(t, func(b *bench) {
		s := b.scheduler()
		for _, c := range []struct {
			state asynq.TaskState
			runAt time.Time
			put   func(j models.Job)
		}{
			{asynq.TaskStatePending, time.Time{}, func(models.Job) {}},
			{asynq.TaskStateScheduled, time.Now().Add(time.Hour), func(models.Job) {}},
			{asynq.TaskStateRetry, time.Time{}, func(j models.Job) { b.move(j, "pending", "retry") }},
		} {
			j := b.staged()
			h := jobs.Handover{JobID: j.ID, Kind: j.Kind, RunAt: c.runAt}
			if ok, err := s.publisher.HandOver(b.Context(), h); !ok || err != nil {
				b.Fatalf("%v, %v", ok, err)
			}
			c.put(j)
			before := b.tasks(jobs.Fulfilment).Size
			b.ring(j.ID)
			b.round(s)
			if got := b.job(j.ID); got.Epoch != 0 || got.Alarms != 1 || !got.AlarmAt.After(time.Now()) {
				b.Errorf("%v: epoch %d, %d alarms, the next in %v", c.state, got.Epoch, got.Alarms, time.Until(got.AlarmAt))
			}
			if got := b.state(j, 0); got != c.state {
				b.Errorf("%v: it is %v now", c.state, got)
			}
			if got := b.tasks(jobs.Fulfilment).Size; got != before {
				b.Errorf("%v: %d tasks became %d", c.state, before, got)
			}
		}
		if s.Relayed() != 0 {
			b.Errorf("%d relayed", s.Relayed())
		}
	})
}

// move takes a job's first task from one of Asynq's places to another, as a worker does or as one leaves it when it dies.
func (b *bench) move(j models.Job, from, to string) {
	b.Helper()
	const script = `local list, zset = {active = 1, pending = 1}, {lease = 1, retry = 1}
		if redis.call("LREM", KEYS[1], 0, ARGV[1]) == 0 then return redis.error_reply("it is not there") end
		if ARGV[2] == "active" then redis.call("LPUSH", KEYS[2], ARGV[1]) redis.call("ZADD", KEYS[4], ARGV[3], ARGV[1])
		else redis.call("ZADD", KEYS[2], ARGV[3], ARGV[1]) end
		redis.call("HSET", KEYS[3], "state", ARGV[2]) return 1`
	kind, err := jobs.KindOf(j.Kind)
	if err != nil {
		b.Fatal(err)
	}
	key := func(name string) string { return "asynq:{" + string(kind.Queue) + "}:" + name }
	id := jobs.TaskID(j.ID, 0)
	keys := []string{key(from), key(to), key("t:" + id), key("lease")}
	if err := b.redis.Client.Eval(b.Context(), script, keys, id, to, time.Now().Add(time.Hour).Unix()).Err(); err != nil {
		b.Fatal(err)
	}
}

// A task whose worker died before it claimed the job is active for as long as Asynq does not notice, and an archived one for ever.
func TestATaskThatWillNotBeTakenGetsANewEpoch(t *testing.T) {
	each(t, func(b *bench) {
		s := b.scheduler()
		for _, c := range []struct {
			state asynq.TaskState
			put   func(j models.Job)
		}{
			{asynq.TaskStateActive, func(j models.Job) { b.move(j, "pending", "active") }},
			{asynq.TaskStateArchived, func(j models.Job) {
				if err := b.inspector.ArchiveTask(string(jobs.Fulfilment), jobs.TaskID(j.ID, 0)); err != nil {
					b.Fatal(err)
				}
			}},
		} {
			j := b.staged()
			if ok, err := s.publisher.HandOver(b.Context(), jobs.Handover{JobID: j.ID, Kind: j.Kind}); !ok || err != nil {
				b.Fatalf("%v, %v", ok, err)
			}
			c.put(j)
			if got := b.state(j, 0); got != c.state {
				b.Fatalf("the task is %v, want %v", got, c.state)
			}
			b.ring(j.ID)
			b.round(s)
			if got := b.job(j.ID); got.Epoch != 1 || got.State != models.JobDue || got.Attempts != 0 {
				b.Errorf("%v: epoch %d, %s", c.state, got.Epoch, got.State)
			}
			if b.state(j, 0) != c.state || b.state(j, 1) != asynq.TaskStatePending {
				b.Errorf("%v: the first copy is %v, the second %v", c.state, b.state(j, 0), b.state(j, 1))
			}
		}
	})
}

// A Redis that evicts keys may lose a queue, or what is to be tried again, and keep the tasks that were in it.
func TestATaskWithoutItsQueueGetsANewEpoch(t *testing.T) {
	const prefix = "asynq:{fulfilment}:"
	each(t, func(b *bench) {
		client := b.redis.Client
		handed := func(s *Scheduler, runAt time.Time) models.Job {
			j := b.staged()
			if ok, err := s.publisher.HandOver(b.Context(), jobs.Handover{JobID: j.ID, Kind: j.Kind, RunAt: runAt}); !ok || err != nil {
				b.Fatalf("%v, %v", ok, err)
			}
			return j
		}
		for _, c := range []struct {
			what  string
			state asynq.TaskState
			lose  func(s *Scheduler, j models.Job) error
			epoch int
		}{
			{"the queue is gone", asynq.TaskStatePending, func(_ *Scheduler, j models.Job) error {
				return client.Del(b.Context(), prefix+"pending").Err()
			}, 1},
			{"and others have come since", asynq.TaskStatePending, func(s *Scheduler, j models.Job) error {
				long := time.Now().Add(-2 * clockDoubt).UnixNano()
				err := client.HSet(b.Context(), prefix+"t:"+jobs.TaskID(j.ID, 0), "pending_since", long).Err()
				err = errors.Join(err, client.Del(b.Context(), prefix+"pending").Err())
				handed(s, time.Time{})
				return err
			}, 1},
			{"a moment ago, as clocks differ", asynq.TaskStatePending, func(s *Scheduler, j models.Job) error {
				handed(s, time.Time{})
				return client.HSet(b.Context(), prefix+"t:"+jobs.TaskID(j.ID, 0), "pending_since", time.Now().Add(-clockDoubt/2).UnixNano()).Err()
			}, 0},
			{"a long queue is before it", asynq.TaskStatePending, func(s *Scheduler, j models.Job) error {
				other := handed(s, time.Time{})
				err := client.LRem(b.Context(), prefix+"pending", 0, jobs.TaskID(other.ID, 0)).Err()
				return errors.Join(err, client.RPush(b.Context(), prefix+"pending", jobs.TaskID(other.ID, 0)).Err(),
					client.HSet(b.Context(), prefix+"t:"+jobs.TaskID(other.ID, 0), "pending_since", time.Now().Add(-time.Hour).UnixNano()).Err())
			}, 0},
			{"what is scheduled is gone", asynq.TaskStateScheduled, func(_ *Scheduler, j models.Job) error {
				return client.Del(b.Context(), prefix+"scheduled").Err()
			}, 1},
			{"what is to be tried again is gone", asynq.TaskStateRetry, func(_ *Scheduler, j models.Job) error {
				b.move(j, "pending", "retry")
				return client.Del(b.Context(), prefix+"retry").Err()
			}, 1},
		} {
			if err := client.Del(b.Context(), prefix+"pending").Err(); err != nil {
				b.Fatal(err)
			}
			s, runAt := b.scheduler(), time.Time{}
			if c.state == asynq.TaskStateScheduled {
				runAt = time.Now().Add(time.Hour)
			}
			j := handed(s, runAt)
			if err := c.lose(s, j); err != nil {
				b.Fatal(err)
			}
			if got := b.state(j, 0); got != c.state {
				b.Fatalf("%s: the task is %v, want %v", c.what, got, c.state)
			}
			b.ring(j.ID)
			b.round(s)
			if got := b.job(j.ID).Epoch; got != 0 {
				b.Errorf("%s: epoch %d after the first alarm", c.what, got)
			}
			b.ring(j.ID)
			b.round(s)
			if got := b.job(j.ID); got.Epoch != c.epoch || got.State != models.JobDue || got.Attempts != 0 {
				b.Errorf("%s: epoch %d, %s", c.what, got.Epoch, got.State)
			}
			if c.epoch == 1 && b.state(j, 1) == 0 {
				b.Errorf("%s: there is no second copy", c.what)
			}
		}
	})
}

// A job that has waited for a day behind a task that Redis claims to have gets one new copy, not one with every alarm from then on.
func TestADayOfConflictsRaisesTheEpochOnce(t *testing.T) {
	each(t, func(b *bench) {
		s, j := b.scheduler(), b.staged()
		if ok, err := s.publisher.HandOver(b.Context(), jobs.Handover{JobID: j.ID, Kind: j.Kind}); !ok || err != nil {
			b.Fatalf("%v, %v", ok, err)
		}
		storetest.Exec(b, b.store, `UPDATE jobs SET run_at = $1, alarms = 2879 WHERE id = $2`, ago(25*time.Hour), j.ID)
		for n, epoch := range []int{0, 1, 1, 1} {
			b.ring(j.ID)
			b.round(s)
			if got := b.job(j.ID); got.Epoch != epoch {
				b.Errorf("after alarm %d it is in epoch %d, want %d", n+1, got.Epoch, epoch)
			}
		}
		if got := b.tasks(jobs.Fulfilment); got.Pending != 2 {
			b.Errorf("%d tasks wait, want 2", got.Pending)
		}
	})
}

func TestALostWorkersJobIsDueAgain(t *testing.T) {
	each(t, func(b *bench) {
		s, j := b.scheduler(), b.staged()
		kind, _ := jobs.KindOf(j.Kind)
		claim, err := b.store.Claim(b.Context(), j.ID, 0, kind)
		if err != nil || claim == nil {
			b.Fatalf("%v, %v", claim, err)
		}
		b.round(s)
		if got := b.job(j.ID); got.State != models.JobRunning {
			b.Fatalf("within its lease it is %s", got.State)
		}
		b.ring(j.ID)
		b.round(s)
		got := b.job(j.ID)
		if got.State != models.JobDue || got.Epoch != 1 || got.Attempts != 1 || b.state(j, 1) != asynq.TaskStatePending {
			b.Errorf("after its lease it is %s in epoch %d after %d attempts, its task %v", got.State, got.Epoch, got.Attempts, b.state(j, 1))
		}
		if err := b.store.Keep(b.Context(), claim); !models.IsFenced(err) {
			b.Errorf("the worker that was given up wrote late: %v", err)
		}
	})
}

func TestAJobThatKillsItsWorkersDies(t *testing.T) {
	each(t, func(b *bench) {
		s, j := b.scheduler(), b.staged()
		storetest.Exec(b, b.store, `UPDATE jobs SET state = 'running', attempts = max_attempts WHERE id = $1`, j.ID)
		b.ring(j.ID)
		other := b.staged()
		b.ring(other.ID)
		b.round(s)
		got := b.job(j.ID)
		if got.State != models.JobDead || got.FinishedAt == nil || got.LastError == nil {
			b.Errorf("it is %s: %v", got.State, got.LastError)
		}
		o, err := b.store.Order(b.Context(), b.shop.Test, *j.OrderID)
		if err != nil {
			b.Fatal(err)
		}
		if o.Items[0].FulfillmentStatus != models.FulfillmentFailed || o.Items[0].Failure == nil {
			b.Errorf("its item is %s", o.Items[0].FulfillmentStatus)
		}
		notices := `SELECT COUNT(*) FROM emails WHERE kind = $1 AND order_id = $2`
		if n := storetest.Count(b, b.store, notices, models.EmailFulfillmentFailed, o.ID); n != 1 {
			b.Errorf("%d notices to the merchant", n)
		}
		if b.state(j, 0) != 0 || b.state(j, 1) != 0 {
			b.Error("it was handed over")
		}
		if b.state(other, 0) != asynq.TaskStatePending {
			b.Error("it held up another job")
		}
	})
}

func TestARoundTakesEveryBatch(t *testing.T) {
	each(t, func(b *bench) {
		for range 6 {
			if _, err := b.store.CreateWebhookEndpoint(b.Context(), b.shop.Test, models.WebhookEndpointInput{
				URL: "https://shop.example/", Secret: "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
			}); err != nil {
				b.Fatal(err)
			}
		}
		const events, alarms = 100, 600 // more than one transaction takes
		for range events {
			if _, err := b.store.CreateCustomEvent(b.Context(), b.shop.Test, "custom.ping", "{}"); err != nil {
				b.Fatal(err)
			}
		}
		storetest.Exec(b, b.store, `UPDATE jobs SET alarm_at = $1`, ago(time.Second))
		s := b.scheduler()
		b.round(s)
		if got := b.tasks(jobs.Webhooks); got.Pending != alarms || s.Relayed() != alarms {
			b.Errorf("%d tasks wait, %d relayed, want %d", got.Pending, s.Relayed(), alarms)
		}
	})
}

func TestTwoSchedulersNeverDouble(t *testing.T) {
	each(t, func(b *bench) {
		const orders = 30
		var staged []models.Job
		for range orders {
			staged = append(staged, b.staged())
		}
		again := storetest.Again(b, b.store)
		one, two := b.scheduler(), b.scheduler(func(c *Config) { c.Store = again })
		// So far ahead are the next alarms of those that were handed over that they do not go off in this test.
		storetest.Exec(b, b.store, `UPDATE jobs SET alarm_at = $1, alarms = 2 WHERE finished_at IS NULL`, ago(time.Second))
		var both sync.WaitGroup
		for _, s := range []*Scheduler{one, two} {
			both.Go(func() {
				if err := s.round(b.Context()); err != nil {
					b.Error(err)
				}
			})
		}
		both.Wait()
		if n := one.Relayed() + two.Relayed(); n != orders {
			b.Errorf("%d relayed, want %d", n, orders)
		}
		if got := b.tasks(jobs.Fulfilment); got.Size != orders {
			b.Errorf("%d tasks, want %d", got.Size, orders)
		}
		for _, j := range staged {
			if got := b.job(j.ID); got.Alarms != 3 || got.Epoch != 0 {
				b.Errorf("a job met %d alarms and is in epoch %d", got.Alarms, got.Epoch)
			}
		}
	})
}

// A Redis that is away must not use up the alarms' backoff.
func TestAlarmsAreNotWoundUpWithoutRedis(t *testing.T) {
	each(t, func(b *bench) {
		j := b.staged()
		b.ring(j.ID)
		rung := b.job(j.ID)
		hung, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		defer hung.Close()
		silent, err := jobs.ParseRedisURL("redis://" + hung.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		b.redis.Stop()
		for name, s := range map[string]*Scheduler{"down": b.scheduler(), "hung": b.scheduler(func(c *Config) { c.Redis = silent })} {
			begun := time.Now()
			if err := s.round(b.Context()); err == nil {
				b.Errorf("%s: the round was complete", name)
			}
			if took := time.Since(begun); took > 4*time.Second {
				b.Errorf("%s: the round took %v", name, took)
			}
			if s.SinceRound() != 0 {
				b.Errorf("%s: a round counts that was not complete", name)
			}
			if got := b.job(j.ID); got.Alarms != rung.Alarms || !got.AlarmAt.Equal(rung.AlarmAt) {
				b.Errorf("%s: the alarm was wound up: %d, %v", name, got.Alarms, got.AlarmAt)
			}
		}
		b.redis.StartEmpty(b)
		b.round(b.scheduler())
		if got := b.state(j, 0); got != asynq.TaskStatePending {
			b.Errorf("with Redis back the task is %v", got)
		}
	})
}

// One line when something stops working, not one for each of the seconds that it does not.
func TestTroubleIsToldOfOnce(t *testing.T) {
	t.Parallel()
	log := &logBuffer{}
	s := &Scheduler{Config: Config{Log: slog.New(slog.NewTextHandler(log, nil))}}
	redis, database := errors.New("no Redis"), errors.New("no database")
	for _, err := range []error{nil, redis, redis, redis, database, database, nil, nil, redis, nil} {
		s.report(err)
	}
	for text, want := range map[string]int{"no Redis": 2, "no database": 1, "works again": 2} {
		if got := log.count(text); got != want {
			t.Errorf("%q is logged %d times, want %d:\n%s", text, got, want, log)
		}
	}
}

func TestARoundWithoutADatabaseIsNotComplete(t *testing.T) {
	each(t, func(b *bench) {
		gone := storetest.Again(b, b.store)
		if err := gone.Close(); err != nil {
			b.Fatal(err)
		}
		s := b.scheduler(func(c *Config) { c.Store = gone })
		if err := s.round(b.Context()); err == nil || s.SinceRound() != 0 {
			b.Errorf("%v, the last complete one was %v ago", err, s.SinceRound())
		}
	})
}
