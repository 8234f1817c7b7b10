package scheduler

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/jobs/redistest"
	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

// bench is everything around a scheduler: a database and a Redis of its own. Nothing is handed over on commit, so that what reaches
// Redis comes from the relay.
type bench struct {
	*testing.T
	store     *models.Store
	redis     *redistest.Redis
	inspector *asynq.Inspector
	shop      storetest.Shop
	log       *logBuffer
}

// each runs fn on both profiles: PostgreSQL with a real Redis, and SQLite with the in-process one.
func each(t *testing.T, fn func(b *bench)) {
	t.Helper()
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		b := &bench{T: t, store: s, log: &logBuffer{}}
		if s.Embedded() {
			b.redis = redistest.InProcess(t)
		} else {
			b.redis = redistest.Real(t)
		}
		b.inspector = asynq.NewInspectorFromRedisClient(b.redis.Client)
		b.shop = storetest.Merchant(t, s)
		t.Cleanup(func() {
			if t.Failed() {
				t.Logf("the log:\n%s", b.log)
			}
		})
		fn(b)
	})
}

// scheduler makes one that has not been started.
func (b *bench) scheduler(change ...func(*Config)) *Scheduler {
	b.Helper()
	c := Config{Store: b.store, Redis: b.redis.Redis, Log: slog.New(slog.NewTextHandler(b.log, nil))}
	for _, fn := range change {
		fn(&c)
	}
	s := New(c)
	b.Cleanup(s.Shutdown)
	return s
}

// start starts a scheduler, which is shut down when the test ends or by the function that it returns.
func (b *bench) start(change ...func(*Config)) (*Scheduler, func()) {
	b.Helper()
	c := Config{Store: b.store, Redis: b.redis.Redis, Log: slog.New(slog.NewTextHandler(b.log, nil))}
	for _, fn := range change {
		fn(&c)
	}
	s := New(c)
	shutdown := sync.OnceFunc(s.Shutdown)
	b.Cleanup(shutdown)
	if err := s.Start(); err != nil {
		b.Fatal(err)
	}
	return s, shutdown
}

// round runs one round of the relay.
func (b *bench) round(s *Scheduler) {
	b.Helper()
	if err := s.round(b.Context()); err != nil {
		b.Fatalf("a round of the relay: %v", err)
	}
}

// staged pays an order, and returns the promise to fulfil its item, the only one that is left of it.
func (b *bench) staged() models.Job {
	b.Helper()
	if storetest.Count(b, b.store, `SELECT COUNT(*) FROM products`) == 0 {
		storetest.Product(b, b.store, b.shop.Test, "app", models.MethodTemplate)
	}
	o := storetest.PaidOrder(b, b.store, b.shop.Test, "app", 1)
	found, err := b.store.Jobs(b.Context(), models.JobFilter{Kind: jobs.KindFulfil, Order: o.ID, Limit: 10})
	if err != nil || len(found) != 1 {
		b.Fatalf("%d jobs, %v", len(found), err)
	}
	storetest.Exec(b, b.store, `UPDATE jobs SET state = 'done', finished_at = created_at WHERE order_id = $1 AND kind <> $2`, o.ID, jobs.KindFulfil)
	return found[0]
}

// ring lets the alarm of a job go off.
func (b *bench) ring(id string) {
	b.Helper()
	storetest.Exec(b, b.store, `UPDATE jobs SET alarm_at = $1 WHERE id = $2`, ago(time.Second), id)
}

func ago(d time.Duration) time.Time { return time.Now().Add(-d).UTC().Truncate(time.Microsecond) }

func (b *bench) job(id string) models.Job {
	b.Helper()
	j, err := b.store.Job(b.Context(), id)
	if err != nil {
		b.Fatal(err)
	}
	return *j
}

// tasks counts what a queue holds.
func (b *bench) tasks(q jobs.Queue) asynq.QueueInfo {
	b.Helper()
	if err := jobs.RegisterQueues(b.Context(), b.redis.Client); err != nil {
		b.Fatal(err)
	}
	info, err := b.inspector.GetQueueInfo(string(q))
	if err != nil {
		b.Fatal(err)
	}
	return *info
}

// state is where Asynq has a copy of a job, or 0.
func (b *bench) state(j models.Job, epoch int) asynq.TaskState {
	b.Helper()
	kind, err := jobs.KindOf(j.Kind)
	if err != nil {
		b.Fatal(err)
	}
	if err := jobs.RegisterQueues(b.Context(), b.redis.Client); err != nil {
		b.Fatal(err)
	}
	info, err := b.inspector.GetTaskInfo(string(kind.Queue), jobs.TaskID(j.ID, epoch))
	if err != nil {
		return 0
	}
	return info.State
}

// eventually waits until a condition holds.
func (b *bench) eventually(what string, ok func() bool) {
	b.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	late := time.NewTimer(time.Minute)
	defer late.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-late.C:
			b.Fatalf("it never came about that %s", what)
		}
	}
}

// logBuffer collects a log.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *logBuffer) count(text string) int { return strings.Count(l.String(), text) }
