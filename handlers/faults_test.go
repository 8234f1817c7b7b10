package handlers_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/purser-dev/purser/handlers"
	"github.com/purser-dev/purser/handlers/mail"
	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

func TestTwoWorkersRaceForOnePromise(t *testing.T) {
	each(t, func(b *bench) {
		stop := b.work(func(c *handlers.Config) { c.Queues = map[jobs.Queue]int{jobs.Fulfilment: 1} })
		o, j := b.licensedOrder()
		stop()
		const copies = 10
		for epoch := 1; epoch < copies; epoch++ {
			if ok, err := b.publisher.HandOver(b.Context(), jobs.Handover{JobID: j.ID, Kind: j.Kind, Epoch: epoch}); !ok || err != nil {
				b.Fatalf("%v, %v", ok, err)
			}
		}
		again := storetest.Again(b, b.store)
		again.OnCommit(b.publish)
		b.work()
		b.work(func(c *handlers.Config) { c.Store = again })
		b.delivered(o.ID)
		b.idle()
		b.eventually("every other copy was skipped", func() bool { return b.outcomes.count(jobs.KindSendEmail, handlers.OutcomeSkipped) == copies-1 })
		if n := len(b.emailsOf(models.EmailLicense, b.mail.tried())); n != 1 {
			b.Errorf("the email was sent %d times", n)
		}
		if j = b.jobIn(j.ID, models.JobDone); j.Attempts != 1 {
			b.Errorf("%d attempts", j.Attempts)
		}
		b.sound()
	})
}

func TestAPanicIsAFailureLikeAnyOther(t *testing.T) {
	each(t, func(b *bench) {
		b.mail.answers(func(_ context.Context, m mail.Message, _ int) error {
			if b.emailOf(m) == models.EmailLicense {
				panic("cannot send to " + m.To)
			}
			return nil
		})
		b.work()
		o, j := b.licensedOrder()
		info := b.taskIn(j, asynq.TaskStateRetry)
		j = b.jobIn(j.ID, models.JobDue)
		const want = "the job panicked; the worker's log has the stack"
		if j.Attempts != 1 || j.LastError == nil || *j.LastError != want || info.LastErr != want {
			b.Errorf("%d attempts, the row says %v, Asynq says %q", j.Attempts, j.LastError, info.LastErr)
		}
		if b.log.has("Ada@") {
			b.Error("the log has what the panic said")
		}
		if !b.log.has("a job panicked") || !b.log.has("faults_test.go") {
			b.Error("the log lacks the panic's stack")
		}
		b.mail.answers(nil)
		b.run(j)
		b.delivered(o.ID) // by the same worker
		b.sound()
	})
}

// A result is written although Redis went away while the job ran, and nothing is done again when it is back.
func TestAResultIsKeptWithoutRedis(t *testing.T) {
	each(t, func(b *bench) {
		g := newGate(b)
		b.mail.answers(func(_ context.Context, m mail.Message, _ int) error {
			if b.emailOf(m) == models.EmailLicense {
				g.wait()
			}
			return nil
		})
		b.work()
		o, j := b.licensedOrder()
		<-g.reached
		b.redis.Stop()
		g.release()
		b.delivered(o.ID)
		b.jobIn(j.ID, models.JobDone)
		b.redis.StartEmpty(b)
		b.relay() // what could not be handed over, and nothing else
		b.idle()
		if n := len(b.emailsOf(models.EmailLicense, b.mail.tried())); n != 1 {
			b.Errorf("the licence was sent %d times", n)
		}
		if n := storetest.Count(b, b.store, `SELECT COUNT(*) FROM jobs WHERE attempts > 1`); n != 0 {
			b.Errorf("%d jobs were done again", n)
		}
		b.sound()
	})
}

// postgres runs fn on PostgreSQL alone, for what takes away a database: the embedded one is in the worker's own process.
func postgres(t *testing.T, fn func(b *bench)) {
	t.Helper()
	t.Parallel()
	fn(newBench(t, storetest.Open(t, "postgres")))
}

func TestAClaimThatTheDatabaseDidNotAnswerIsNotCounted(t *testing.T) {
	postgres(t, func(b *bench) {
		far, link := behindLink(b, b.store)
		far.OnCommit(b.publish)
		stop := b.work(func(c *handlers.Config) { c.Queues = map[jobs.Queue]int{jobs.Fulfilment: 1} })
		o, j := b.licensedOrder()
		stop()
		link.cut()
		b.work(func(c *handlers.Config) { c.Store = far })
		info := b.taskIn(j, asynq.TaskStateRetry)
		if info.Retried != 0 || info.LastErr != "the database does not answer" {
			b.Errorf("Asynq counts %d tries, with %q", info.Retried, info.LastErr)
		}
		if j = b.jobIn(j.ID, models.JobDue); j.Attempts != 0 || j.LastError != nil {
			b.Errorf("the row counts %d attempts: %v", j.Attempts, j.LastError)
		}
		link.mend()
		b.delivered(o.ID)
		if j = b.jobIn(j.ID, models.JobDone); j.Attempts != 1 || j.Epoch != 0 {
			b.Errorf("done after %d attempts in epoch %d", j.Attempts, j.Epoch)
		}
		b.idle()
		b.sound()
	})
}

// A connection that is cut in the middle of things is replaced while the result is being written.
func TestAResultIsWrittenOverANewConnection(t *testing.T) {
	postgres(t, func(b *bench) {
		far, link := behindLink(b, b.store)
		far.OnCommit(b.publish)
		var once sync.Once
		b.mail.answers(func(_ context.Context, m mail.Message, _ int) error {
			if b.emailOf(m) == models.EmailLicense {
				once.Do(func() {
					link.cut()
					mended := time.AfterFunc(300*time.Millisecond, link.mend)
					b.Cleanup(func() { mended.Stop() })
				})
			}
			return nil
		})
		b.work(func(c *handlers.Config) { c.Store = far })
		o, _ := b.licensedOrder()
		b.delivered(o.ID)
		b.idle()
		if n := len(b.emailsOf(models.EmailLicense, b.mail.tried())); n != 1 {
			b.Errorf("the licence was sent %d times", n)
		}
		b.sound()
	})
}

// A result that the database does not take at all is made again after the lease. That is the one way in which an email goes out twice,
// and then it has the same Message-ID.
func TestAResultThatCannotBeWrittenIsMadeAgain(t *testing.T) {
	postgres(t, func(b *bench) {
		far, link := behindLink(b, b.store)
		far.OnCommit(b.publish)
		var once sync.Once
		sent := make(chan struct{})
		b.mail.answers(func(_ context.Context, m mail.Message, _ int) error {
			if b.emailOf(m) == models.EmailLicense {
				once.Do(func() {
					link.cut()
					close(sent)
				})
			}
			return nil
		})
		storetest.Product(b, b.store, b.shop.Test, "app", models.MethodTemplate)
		// The other email first, or its result may meet the fault as well.
		confirm := b.work(func(c *handlers.Config) { c.Queues = map[jobs.Queue]int{jobs.Email: 1} })
		o := storetest.PaidOrder(b, b.store, b.shop.Test, "app", 1)
		b.eventually("the payment is confirmed", func() bool { return b.outcomes.count(jobs.KindSendEmail, handlers.OutcomeKept) == 1 })
		confirm()
		shutdown := b.work(func(c *handlers.Config) { c.Store = far })
		<-sent
		shutdown() // it would go on trying for half a minute
		j := b.emailJob(o.ID, models.EmailLicense)
		if n := b.outcomes.count(jobs.KindSendEmail, handlers.OutcomeUnwritten); n != 1 {
			b.Errorf("%d results were not written, want one", n)
		}
		if j = b.jobIn(j.ID, models.JobRunning); j.Attempts != 1 {
			b.Errorf("%d attempts", j.Attempts)
		}
		b.work()
		b.relay()
		b.delivered(o.ID)
		if j = b.jobIn(j.ID, models.JobDone); j.Attempts != 2 || j.Epoch != 1 {
			b.Errorf("done after %d attempts in epoch %d", j.Attempts, j.Epoch)
		}
		tries := b.emailsOf(models.EmailLicense, b.mail.tried())
		if len(tries) != 2 || tries[0].MessageID != tries[1].MessageID {
			b.Errorf("%d tries: %v", len(tries), tries)
		}
		b.idle()
		b.sound()
	})
}

// A job that could not be read costs no attempt: the database's troubles must not use up what is meant for the job's own.
func TestAnAttemptThatTheDatabasePreventsIsNotCounted(t *testing.T) {
	postgres(t, func(b *bench) {
		o, j := func() (*models.OrderView, models.Job) {
			stop := b.work(func(c *handlers.Config) { c.Queues = map[jobs.Queue]int{jobs.Fulfilment: 1} })
			defer stop()
			return b.licensedOrder()
		}()
		holder, err := storetest.Again(b, b.store).SQL().Begin()
		if err != nil {
			b.Fatal(err)
		}
		defer func() { _ = holder.Rollback() }()
		for _, statement := range []string{"SET LOCAL idle_in_transaction_session_timeout = 0", "LOCK TABLE emails IN ACCESS EXCLUSIVE MODE"} {
			if _, err := holder.Exec(statement); err != nil {
				b.Fatal(err)
			}
		}
		b.work()
		b.eventually("the job is given back", func() bool {
			now, err := b.store.Job(b.Context(), j.ID)
			return err == nil && now.State == models.JobDue && now.Attempts > 0
		})
		if err := holder.Rollback(); err != nil {
			b.Fatal(err)
		}
		b.delivered(o.ID)
		b.idle()
		kind, err := jobs.KindOf(j.Kind)
		if err != nil {
			b.Fatal(err)
		}
		j = b.jobIn(j.ID, models.JobDone)
		if j.Attempts < 2 || j.MaxAttempts != kind.MaxAttempts+j.Attempts-1 {
			b.Errorf("%d attempts of %d: want all but one uncounted", j.Attempts, j.MaxAttempts)
		}
		if n := b.outcomes.count(jobs.KindSendEmail, handlers.OutcomeFailed); n != 0 {
			b.Errorf("%d attempts count as failed", n)
		}
		if n := len(b.emailsOf(models.EmailLicense, b.mail.tried())); n != 1 {
			b.Errorf("the licence was sent %d times", n)
		}
		b.sound()
	})
}
