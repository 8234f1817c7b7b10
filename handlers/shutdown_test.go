package handlers_test

import (
	"bytes"
	"context"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/purser-dev/purser/handlers"
	"github.com/purser-dev/purser/handlers/mail"
	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

// within fails the test if fn takes too long.
func (b *bench) within(limit time.Duration, fn func()) {
	b.Helper()
	begun := time.Now()
	fn()
	if took := time.Since(begun); took > limit {
		b.Errorf("it took %v, more than %v", took, limit)
	}
}

func TestShutdownLetsAJobFinish(t *testing.T) {
	each(t, func(b *bench) {
		g := newGate(b)
		b.mail.answers(func(ctx context.Context, m mail.Message, _ int) error {
			if b.emailOf(m) == models.EmailLicense {
				g.wait()
			}
			return ctx.Err()
		})
		shutdown := b.work()
		o, j := b.licensedOrder()
		<-g.reached
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			shutdown()
		}()
		b.eventually("the servers have begun to stop", func() bool {
			servers, err := b.inspector.Servers()
			if err != nil {
				b.Fatal(err)
			}
			return len(servers) < len(jobs.Queues)
		})
		next := storetest.PaidOrder(b, b.store, b.shop.Test, "app", 1)
		select {
		case <-ended:
			b.Fatal("it did not wait for the job")
		default:
		}
		g.release()
		<-ended
		j = b.jobIn(j.ID, models.JobDone)
		if j.Attempts != 1 || b.outcomes.count(jobs.KindSendEmail, handlers.OutcomeGivenBack) != 0 {
			b.Errorf("done after %d attempts", j.Attempts)
		}
		b.delivered(o.ID)
		if n := storetest.Count(b, b.store, `SELECT COUNT(*) FROM jobs WHERE order_id = $1 AND attempts > 0`, next.ID); n != 0 {
			b.Errorf("%d jobs of an order that came during the shutdown were begun", n)
		}
		b.sound()
	})
}

func TestShutdownGivesAnOverlongJobBackUncounted(t *testing.T) {
	each(t, func(b *bench) {
		b.mail.answers(func(ctx context.Context, m mail.Message, _ int) error {
			if b.emailOf(m) != models.EmailLicense {
				return nil
			}
			<-ctx.Done()
			return &mail.SendError{Temporary: true, Reason: "cancelled while sending the content"}
		})
		shutdown := b.work(func(c *handlers.Config) { c.ShutdownTimeout = time.Second })
		o, j := b.licensedOrder()
		b.jobIn(j.ID, models.JobRunning)
		b.within(10*time.Second, shutdown)

		j = b.jobIn(j.ID, models.JobDue)
		kind, _ := jobs.KindOf(j.Kind)
		if j.Attempts != 1 || j.MaxAttempts != kind.MaxAttempts+1 || j.LastError != nil || time.Until(j.RunAt) > 0 {
			b.Errorf("given back after %d of %d attempts, due in %v, with %v", j.Attempts, j.MaxAttempts, time.Until(j.RunAt), j.LastError)
		}
		if n := b.outcomes.count(jobs.KindSendEmail, handlers.OutcomeGivenBack); n != 1 {
			b.Errorf("%d given back in the metrics", n)
		}
		if n := b.outcomes.count(jobs.KindSendEmail, handlers.OutcomeFailed); n != 0 {
			b.Errorf("%d failures in the metrics", n)
		}
		info := b.task(j)
		if info == nil || info.Retried != 0 || info.State == asynq.TaskStateActive {
			b.Errorf("Asynq has %+v", info)
		}

		b.mail.answers(nil)
		b.work()
		b.delivered(o.ID)
		if j = b.jobIn(j.ID, models.JobDone); j.Attempts != 2 || j.Epoch != 0 {
			b.Errorf("done after %d attempts in epoch %d: the relay was needed", j.Attempts, j.Epoch)
		}
		b.idle()
		b.sound()
	})
}

// A handler that ignores its context is left behind. Another worker does its job after the lease, and what the old one brings in the
// end is refused.
func TestShutdownLeavesAJobThatIgnoresItsContext(t *testing.T) {
	each(t, func(b *bench) {
		g := newGate(b)
		b.mail.answers(func(_ context.Context, m mail.Message, _ int) error {
			if b.emailOf(m) == models.EmailLicense {
				g.wait()
			}
			return nil
		})
		shutdown := b.work(func(c *handlers.Config) { c.ShutdownTimeout = time.Second })
		o, j := b.licensedOrder()
		<-g.reached
		b.within(10*time.Second, shutdown)
		if j = b.jobIn(j.ID, models.JobRunning); j.Attempts != 1 {
			b.Errorf("running its attempt %d", j.Attempts)
		}

		b.mail.answers(nil)
		b.work()
		b.relay()
		b.delivered(o.ID)
		j = b.jobIn(j.ID, models.JobDone)
		if j.Attempts != 2 || j.Epoch != 1 {
			b.Errorf("done after %d attempts in epoch %d", j.Attempts, j.Epoch)
		}
		g.release()
		b.eventually("the old worker's result is refused", func() bool { return b.outcomes.count(jobs.KindSendEmail, handlers.OutcomeFenced) == 1 })
		if after := b.jobIn(j.ID, models.JobDone); after.Attempts != j.Attempts || !after.FinishedAt.Equal(*j.FinishedAt) {
			b.Errorf("it changed the row: %+v", after)
		}
		b.idle()
		b.sound()
	})
}

func TestShutdownWithoutRedisIsBounded(t *testing.T) {
	each(t, func(b *bench) {
		shutdown := b.work(func(c *handlers.Config) { c.ShutdownTimeout = 2 * time.Second })
		o, _ := b.licensedOrder()
		b.delivered(o.ID)
		b.redis.Stop()
		b.within(20*time.Second, shutdown)
	})
}

// A Redis that answers nothing must not hold up the shutdown, whose end a supervisor enforces.
func TestShutdownWithAHungRedisIsBounded(t *testing.T) {
	each(t, func(b *bench) {
		r, link := b.throughLink(io.Discard)
		g := newGate(b)
		b.mail.answers(func(_ context.Context, m mail.Message, _ int) error {
			if b.emailOf(m) == models.EmailLicense {
				g.wait()
			}
			return nil
		})
		shutdown := b.work(func(c *handlers.Config) { c.Redis, c.ShutdownTimeout = r, 2*time.Second })
		o, _ := b.licensedOrder()
		<-g.reached
		link.freeze()
		g.release()
		b.within(20*time.Second, shutdown)
		b.delivered(o.ID) // the result was kept all the same
	})
}

// Asynq waits without end for the answer to its subscription to cancellations.
func TestShutdownWithARedisThatHangsWhileAsynqSubscribes(t *testing.T) {
	each(t, func(b *bench) {
		var way atomic.Pointer[link]
		var once sync.Once
		hung := make(chan struct{})
		r, l := b.throughLink(writer(func(said []byte) (int, error) {
			if bytes.Contains(said, []byte("subscribe")) {
				once.Do(func() {
					way.Load().freeze()
					close(hung)
				})
			}
			return len(said), nil
		}))
		way.Store(l)
		shutdown := b.work(func(c *handlers.Config) { c.Redis, c.ShutdownTimeout = r, time.Second })
		<-hung
		b.within(20*time.Second, shutdown)
	})
}

// A worker starts while Redis is away, and begins to work when it is there.
func TestAWorkerStartsWithoutRedis(t *testing.T) {
	each(t, func(b *bench) {
		b.redis.Stop()
		b.work()
		b.redis.StartEmpty(b)
		o, _ := b.licensedOrder()
		b.delivered(o.ID)
		b.idle()
		b.sound()
	})
}

func TestNewWorkerRefusesQueuesThatThereAreNot(t *testing.T) {
	t.Parallel()
	for name, queues := range map[string]map[jobs.Queue]int{
		"unknown": {"emial": 1}, "no weight": {jobs.Email: 0}, "negative": {jobs.Email: -1}, "one of two": {jobs.Email: 1, "default": 1},
	} {
		if _, err := handlers.NewWorker(handlers.Config{Queues: queues, Concurrency: 1}); err == nil {
			t.Errorf("%s: %v were taken", name, queues)
		}
	}
}

// A worker serves its own queues and no other.
func TestAWorkerServesItsQueuesOnly(t *testing.T) {
	each(t, func(b *bench) {
		b.work(func(c *handlers.Config) { c.Queues = map[jobs.Queue]int{jobs.Fulfilment: 3, jobs.Webhooks: 1} })
		hooks := b.receive([]string{"payment.succeeded"})
		_, j := b.licensedOrder()
		b.eventually("the webhook is delivered", func() bool { return len(hooks.got()) == 1 })
		info := b.taskIn(j, asynq.TaskStatePending)
		if info.Queue != string(jobs.Email) || len(b.mail.tried()) != 0 {
			b.Errorf("the email's task is in %s, and %d emails were tried", info.Queue, len(b.mail.tried()))
		}
	})
}
