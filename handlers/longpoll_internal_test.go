package handlers

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/jobs/redistest"
)

// patient is a worker whose servers look into their queues when they are called, and never because time has passed.
type patient struct {
	*testing.T
	worker    *Worker
	redis     *redistest.Redis
	client    *asynq.Client
	inspector *asynq.Inspector
	shutdown  func()

	mu     sync.Mutex
	waits  []time.Time // when the servers began to wait
	before func(wait int)
}

// eachPatient runs fn on both kinds of Redis with a worker that serves queues.
func eachPatient(t *testing.T, fn func(p *patient), queues ...jobs.Queue) {
	t.Helper()
	t.Parallel()
	redistest.Each(t, func(t *testing.T, r *redistest.Redis) { fn(newPatient(t, r, queues...)) })
}

func newPatient(t *testing.T, r *redistest.Redis, queues ...jobs.Queue) *patient {
	t.Helper()
	weights := map[jobs.Queue]int{}
	for _, q := range queues {
		weights[q] = 1
	}
	w, err := NewWorker(Config{Redis: r.Redis, Concurrency: 5, Queues: weights, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	w.poll.block = time.Hour
	p := &patient{
		T: t, worker: w, redis: r, client: asynq.NewClientFromRedisClient(r.Client), inspector: asynq.NewInspectorFromRedisClient(r.Client),
		shutdown: sync.OnceFunc(w.Shutdown),
	}
	w.poll.client.AddHook(waitHook{p: p})
	return p
}

// start lets the worker begin.
func (p *patient) start() {
	p.Helper()
	if err := p.worker.Start(); err != nil {
		p.Fatal(err)
	}
	p.Cleanup(p.shutdown)
}

// waitHook notes every wait before it begins.
type waitHook struct {
	calmHook
	p *patient
}

func (h waitHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if cmd.Name() == "blmove" {
			h.p.mu.Lock()
			h.p.waits = append(h.p.waits, time.Now())
			n, before := len(h.p.waits), h.p.before
			h.p.mu.Unlock()
			if before != nil {
				before(n)
			}
		}
		return next(ctx, cmd)
	}
}

// waited returns when the waits so far began.
func (p *patient) waited() []time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]time.Time(nil), p.waits...)
}

func (p *patient) eventually(what string, ok func() bool) {
	p.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.NewTimer(time.Minute)
	defer late.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-late.C:
			p.Fatalf("it never came about that %s", what)
		}
	}
}

func (p *patient) waitsFor(n int) {
	p.Helper()
	p.eventually("the servers wait", func() bool { return len(p.waited()) >= n })
}

// enqueue adds a task of a kind that there is none of: the worker archives it as soon as it takes it.
func (p *patient) enqueue(q jobs.Queue, opts ...asynq.Option) string {
	p.Helper()
	info, err := p.client.Enqueue(asynq.NewTask("no.such", nil), append(opts, asynq.Queue(string(q)))...)
	if err != nil {
		p.Fatal(err)
	}
	return info.ID
}

// taken waits until the worker has taken a task.
func (p *patient) taken(q jobs.Queue, id string) {
	p.Helper()
	p.eventually("the task is taken", func() bool {
		info, err := p.inspector.GetTaskInfo(string(q), id)
		return err == nil && info.State == asynq.TaskStateArchived
	})
}

// No server looks again by itself here, so it has been called if it takes a task.
func TestWhoeverEnqueuesCallsTheServerThatWaits(t *testing.T) {
	for name, come := range map[string]func(p *patient) string{
		"a new task":              func(p *patient) string { return p.enqueue(jobs.Email) },
		"one whose time has come": func(p *patient) string { return p.enqueue(jobs.Email, asynq.ProcessIn(time.Second)) },
		"one that an operator runs": func(p *patient) string {
			id := p.enqueue(jobs.Email, asynq.ProcessIn(time.Hour))
			if err := p.inspector.RunTask(string(jobs.Email), id); err != nil {
				p.Fatal(err)
			}
			return id
		},
		"one of a queue that was paused": func(p *patient) string {
			if err := p.inspector.PauseQueue(string(jobs.Email)); err != nil {
				p.Fatal(err)
			}
			id, before := p.enqueue(jobs.Email), len(p.waited())
			p.waitsFor(before + 3)
			if info, err := p.inspector.GetTaskInfo(string(jobs.Email), id); err != nil || info.State != asynq.TaskStatePending {
				p.Errorf("a task of a queue that is paused: %+v, %v", info, err)
			}
			if err := p.inspector.UnpauseQueue(string(jobs.Email)); err != nil {
				p.Fatal(err)
			}
			return id
		},
	} {
		t.Run(name, func(t *testing.T) {
			eachPatient(t, func(p *patient) {
				p.enqueue(jobs.Email) // so that the queue is known
				p.start()
				p.waitsFor(1)
				p.taken(jobs.Email, come(p))
				p.taken(jobs.Email, come(p))
			}, jobs.Email)
		})
	}
}

func TestATaskThatComesBetweenTheLookAndTheWaitIsTaken(t *testing.T) {
	eachPatient(t, func(p *patient) {
		ids := make(chan string, 3)
		p.before = func(wait int) {
			if wait <= cap(ids) {
				ids <- p.enqueue(jobs.Email)
			}
		}
		p.start()
		for range cap(ids) {
			p.taken(jobs.Email, <-ids)
		}
	}, jobs.Email)
}

func TestAServerWaitsAnewAfterRedisWasAway(t *testing.T) {
	eachPatient(t, func(p *patient) {
		p.start()
		p.waitsFor(1)
		p.redis.Stop()
		p.redis.StartEmpty(p)
		p.taken(jobs.Email, p.enqueue(jobs.Email))
	}, jobs.Email)
}

func TestAServerThatMayNotWaitPolls(t *testing.T) {
	t.Parallel()
	p := newPatient(t, redistest.Real(t), jobs.Email)
	if err := p.redis.Client.Do(t.Context(), "ACL", "SETUSER", "default", "-blmove").Err(); err != nil {
		t.Fatal(err)
	}
	p.start()
	for range 3 {
		p.waitsFor(len(p.waited()) + 2)
		p.taken(jobs.Email, p.enqueue(jobs.Email))
	}
	p.calm(func() {})
}

func TestAServerDoesNotSpinAtAQueueThatIsPaused(t *testing.T) {
	eachPatient(t, func(p *patient) {
		p.enqueue(jobs.Email)
		if err := p.inspector.PauseQueue(string(jobs.Email)); err != nil {
			p.Fatal(err)
		}
		p.start()
		p.calm(func() { p.enqueue(jobs.Email) })
	}, jobs.Email)
}

// calm fails the test if the servers look into their queues without pauses. A slow machine makes those longer, never shorter.
func (p *patient) calm(meanwhile func()) {
	p.Helper()
	const growing, steady = 10, 10 // waits, while the pauses grow and then
	p.waitsFor(growing)
	meanwhile()
	p.waitsFor(growing + steady)
	waits := p.waited()[growing-1 : growing+steady]
	if pause := waits[steady].Sub(waits[0]) / steady; pause < maxPause/2 {
		p.Errorf("it looks every %s", pause)
	}
}

func TestShutdownDoesNotWaitForWhatMayNeverCome(t *testing.T) {
	eachPatient(t, func(p *patient) {
		p.start()
		p.waitsFor(len(jobs.Queues))
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			p.shutdown()
		}()
		select {
		case <-ended:
		case <-time.After(time.Minute):
			p.Fatal("it waits for tasks")
		}
	})
}
