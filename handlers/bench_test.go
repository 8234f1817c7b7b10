package handlers_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/purser-dev/purser/handlers"
	"github.com/purser-dev/purser/handlers/mail"
	"github.com/purser-dev/purser/handlers/payment"
	"github.com/purser-dev/purser/handlers/webhook"
	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/jobs/redistest"
	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

// bench is everything around a worker: a database and a Redis of its own, and fakes of the outside systems.
type bench struct {
	*testing.T
	store     *models.Store
	redis     *redistest.Redis
	publisher *jobs.Publisher
	inspector *asynq.Inspector
	mail      *outbox
	webhooks  *webhook.Sender
	gateway   *payment.Test
	shop      storetest.Shop
	log       *logBuffer
	outcomes  *outcomes
	ahead     atomic.Int64 // nanoseconds by which the gateway's clock is ahead
}

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

// each runs fn on both profiles: PostgreSQL with a real Redis, and SQLite with the in-process one.
func each(t *testing.T, fn func(b *bench)) {
	t.Helper()
	storetest.Each(t, func(t *testing.T, s *models.Store) { fn(newBench(t, s)) })
}

func newBench(t *testing.T, s *models.Store) *bench {
	t.Helper()
	b := &bench{T: t, store: s, mail: &outbox{}, log: &logBuffer{}, outcomes: &outcomes{}}
	if s.Embedded() {
		b.redis = redistest.InProcess(t)
	} else {
		b.redis = redistest.Real(t)
	}
	client := b.redis.Redis.Client()
	b.publisher = jobs.NewPublisher(client, b.logger())
	s.OnCommit(b.publisher.Publish)
	b.inspector = asynq.NewInspectorFromRedisClient(b.redis.Client)
	b.webhooks = webhook.NewSender(webhook.Config{
		UserAgent: "Purser/test", AllowedPrivateNets: loopback, Timeout: 2 * time.Second,
	})
	var err error
	b.gateway, err = payment.NewTest(payment.TestConfig{
		PageURL: storetest.PublicURL + "/gateway/test", CallbackSecret: s.Keys().GatewaySecret("test"),
		Now: func() time.Time { return time.Now().Add(time.Duration(b.ahead.Load())) },
	})
	if err != nil {
		t.Fatal(err)
	}
	b.shop = storetest.Merchant(t, s)
	storetest.Exec(t, s, `UPDATE merchants SET allow_private_targets = $1 WHERE id = $2`, true, b.shop.ID)
	ctx, stop := context.WithCancel(context.Background())
	var relaying sync.WaitGroup
	relaying.Go(func() { b.relayAlarms(ctx) })
	t.Cleanup(func() {
		stop()
		relaying.Wait()
		b.webhooks.Close()
		b.publisher.Close()
		_ = client.Close()
		if t.Failed() {
			t.Logf("the log:\n%s", b.log)
		}
	})
	return b
}

func (b *bench) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(b.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// config is that of a worker on this bench.
func (b *bench) config() handlers.Config {
	return handlers.Config{
		Store: b.store, Redis: b.redis.Redis, Concurrency: 19, Mail: b.mail, MailFrom: "shop@purser.test", Webhooks: b.webhooks,
		Gateways: map[string]payment.Gateway{"test": b.gateway}, PublicURL: storetest.PublicURL, ShutdownTimeout: 10 * time.Second,
		Log: b.logger(), Observe: b.outcomes.observe,
	}
}

// work starts a worker, which is shut down when the test ends, or by the function that it returns.
func (b *bench) work(changes ...func(*handlers.Config)) (shutdown func()) {
	b.Helper()
	c := b.config()
	for _, change := range changes {
		change(&c)
	}
	w, err := handlers.NewWorker(c)
	if err != nil {
		b.Fatal(err)
	}
	if err := w.Start(); err != nil {
		b.Fatal(err)
	}
	shutdown = sync.OnceFunc(w.Shutdown)
	b.Cleanup(shutdown)
	return shutdown
}

// relayAlarms does what a scheduler does on a machine that is so slow that something was not handed over in time. It ends with ctx.
func (b *bench) relayAlarms(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		alarms, _, err := b.store.TakeAlarms(ctx)
		if err != nil {
			continue
		}
		for _, a := range alarms {
			_, _ = b.publisher.HandOver(ctx, a.Handover)
		}
	}
}

func (b *bench) publish(hs ...jobs.Handover) { b.publisher.Publish(hs...) }

// relay hands over what the alarms bring back, as the scheduler would. It lets every alarm go off first.
func (b *bench) relay() {
	b.Helper()
	if err := b.store.ResetAlarms(b.Context()); err != nil {
		b.Fatal(err)
	}
	alarms, _, err := b.store.TakeAlarms(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	for _, a := range alarms {
		if _, err := b.publisher.HandOver(b.Context(), a.Handover); err != nil {
			b.Fatal(err)
		}
	}
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

// job returns the only promise of a kind.
func (b *bench) job(kind string) models.Job {
	b.Helper()
	found := storetest.Jobs(b, b.store, kind)
	if len(found) != 1 {
		b.Fatalf("%d jobs of kind %s, want 1", len(found), kind)
	}
	return found[0]
}

// jobIn waits until a promise is in a state.
func (b *bench) jobIn(id string, state models.JobState) models.Job {
	b.Helper()
	var j *models.Job
	b.eventually("job "+id+" is "+string(state), func() bool {
		var err error
		if j, err = b.store.Job(b.Context(), id); err != nil {
			b.Fatal(err)
		}
		return j.State == state
	})
	return *j
}

// idle waits until no promise is unfinished.
func (b *bench) idle() {
	b.Helper()
	b.eventually("all jobs are finished", func() bool {
		return storetest.Count(b, b.store, `SELECT COUNT(*) FROM jobs WHERE finished_at IS NULL`) == 0
	})
}

// task returns what Asynq knows of the present copy of a job, or nil.
func (b *bench) task(j models.Job) *asynq.TaskInfo {
	b.Helper()
	kind, err := jobs.KindOf(j.Kind)
	if err != nil {
		b.Fatal(err)
	}
	info, err := b.inspector.GetTaskInfo(string(kind.Queue), jobs.TaskID(j.ID, j.Epoch))
	if err != nil {
		return nil
	}
	return info
}

// taskIn waits until Asynq has the present copy of a job in a state.
func (b *bench) taskIn(j models.Job, state asynq.TaskState) *asynq.TaskInfo {
	b.Helper()
	var info *asynq.TaskInfo
	b.eventually("Asynq's task of the job is "+state.String(), func() bool {
		info = b.task(j)
		return info != nil && info.State == state
	})
	return info
}

// run is an operator's "run now" of a task that waits.
func (b *bench) run(j models.Job) {
	b.Helper()
	kind, err := jobs.KindOf(j.Kind)
	if err != nil {
		b.Fatal(err)
	}
	if err := b.inspector.RunTask(string(kind.Queue), jobs.TaskID(j.ID, j.Epoch)); err != nil {
		b.Fatalf("run the task: %v", err)
	}
}

// order returns an order of test mode as it is now.
func (b *bench) order(id string) *models.OrderView {
	b.Helper()
	o, err := b.store.Order(b.Context(), b.shop.Test, id)
	if err != nil {
		b.Fatal(err)
	}
	return o
}

// delivered waits until an order is.
func (b *bench) delivered(id string) *models.OrderView {
	b.Helper()
	var o *models.OrderView
	b.eventually("order "+id+" is delivered", func() bool { o = b.order(id); return o.FulfillmentStatus == models.Delivered })
	return o
}

// sound fails the test if an invariant is broken, or if the log has an error that was not expected.
func (b *bench) sound() {
	b.Helper()
	report, err := b.store.Doctor(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	for _, f := range report.Findings {
		b.Errorf("invariant %d: %s: %v", f.Invariant, f.Problem, f.IDs)
	}
}

// outcomes counts how attempts ended.
type outcomes struct {
	mu   sync.Mutex
	seen map[string]int
}

func (o *outcomes) observe(kind string, outcome handlers.Outcome, _ time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.seen == nil {
		o.seen = map[string]int{}
	}
	o.seen[kind+" "+string(outcome)]++
}

func (o *outcomes) count(kind string, outcome handlers.Outcome) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.seen[kind+" "+string(outcome)]
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

func (l *logBuffer) has(text string) bool { return strings.Contains(l.String(), text) }

var _ mail.Sender = (*outbox)(nil)
