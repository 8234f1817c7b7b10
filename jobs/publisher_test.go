package jobs_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/jobs/redistest"
)

// lockedBuffer collects a log.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newPublisher(t *testing.T, r jobs.Redis) *jobs.Publisher {
	t.Helper()
	client := r.Client()
	p := jobs.NewPublisher(client, slog.New(slog.DiscardHandler))
	t.Cleanup(func() {
		p.Close()
		_ = client.Close()
	})
	return p
}

func parse(t *testing.T, url string) jobs.Redis {
	t.Helper()
	r, err := jobs.ParseRedisURL(url)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func handover(n int) jobs.Handover {
	return jobs.Handover{JobID: fmt.Sprintf("job%d", n), Kind: jobs.KindFulfil, Args: json.RawMessage(`{"item":"itm_1"}`)}
}

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.NewTimer(time.Minute)
	defer late.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-late.C:
			t.Fatalf("it never came about that %s", what)
		}
	}
}

func TestPublisherHandsOver(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, r *redistest.Redis) {
		p, inspector := newPublisher(t, r.Redis), asynq.NewInspectorFromRedisClient(r.Client)
		now, later := handover(1), handover(2)
		later.RunAt = time.Now().Add(time.Hour)
		past := handover(3)
		past.RunAt = time.Now().Add(-time.Hour)
		p.Publish(now, later, past)
		eventually(t, "all three are handed over", func() bool { handed, _, _ := p.Counts(); return handed == 3 })

		for _, c := range []struct {
			h     jobs.Handover
			state asynq.TaskState
		}{{now, asynq.TaskStatePending}, {later, asynq.TaskStateScheduled}, {past, asynq.TaskStatePending}} {
			info, err := inspector.GetTaskInfo(string(jobs.Fulfilment), jobs.TaskID(c.h.JobID, 0))
			if err != nil {
				t.Fatalf("%s: %v", c.h.JobID, err)
			}
			kind, _ := jobs.KindOf(jobs.KindFulfil)
			if info.State != c.state || info.Type != jobs.KindFulfil || info.Timeout != kind.TaskTimeout() || info.Retention != 0 || info.MaxRetry < 100 {
				t.Errorf("%s: %+v", c.h.JobID, info)
			}
			if string(info.Payload) != `{"item":"itm_1"}` {
				t.Errorf("%s has the payload %s", c.h.JobID, info.Payload)
			}
			if c.state == asynq.TaskStateScheduled && info.NextProcessAt.Sub(c.h.RunAt).Abs() > time.Second {
				t.Errorf("it is scheduled for %v, want %v", info.NextProcessAt, c.h.RunAt)
			}
		}
	})
}

func TestHandingOverOneEpochTwiceIsANoOp(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, r *redistest.Redis) {
		p, inspector := newPublisher(t, r.Redis), asynq.NewInspectorFromRedisClient(r.Client)
		h := handover(1)
		if ok, err := p.HandOver(t.Context(), h); !ok || err != nil {
			t.Fatalf("the first hand-over: %v, %v", ok, err)
		}
		if ok, err := p.HandOver(t.Context(), h); ok || err != nil {
			t.Errorf("the second hand-over: %v, %v", ok, err)
		}
		p.Publish(h)
		eventually(t, "the conflict is counted as handed over", func() bool { handed, _, _ := p.Counts(); return handed == 1 })
		h.Epoch = 1
		if ok, err := p.HandOver(t.Context(), h); !ok || err != nil {
			t.Errorf("the next epoch: %v, %v", ok, err)
		}
		q, err := inspector.GetQueueInfo(string(jobs.Fulfilment))
		if err != nil {
			t.Fatal(err)
		}
		if q.Size != 2 || q.Pending != 2 {
			t.Errorf("%d tasks, %d of them pending, want one an epoch", q.Size, q.Pending)
		}
	})
}

func TestHandOverRefusesAnUnknownKind(t *testing.T) {
	t.Parallel()
	r := redistest.InProcess(t)
	p := newPublisher(t, r.Redis)
	h := handover(1)
	h.Kind = "order.frobnicate"
	if ok, err := p.HandOver(t.Context(), h); ok || err == nil {
		t.Errorf("%v, %v", ok, err)
	}
	if keys := r.Client.Keys(t.Context(), "*").Val(); len(keys) > 0 {
		t.Errorf("something reached Redis: %v", keys)
	}
}

// hungRedis accepts connections and never answers.
func hungRedis(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	var mu sync.Mutex
	var conns []net.Conn
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, c)
			mu.Unlock()
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		serving.Wait()
		for _, c := range conns {
			_ = c.Close()
		}
	})
	return "redis://" + l.Addr().String()
}

func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return "redis://" + l.Addr().String()
}

func TestPublishNeverWaitsAndCloseIsBounded(t *testing.T) {
	t.Parallel()
	for name, url := range map[string]func(*testing.T) string{"hung": hungRedis, "down": closedPort} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log := &lockedBuffer{}
			client := parse(t, url(t)).Client()
			defer client.Close()
			p := jobs.NewPublisher(client, slog.New(slog.NewTextHandler(log, nil)))
			const promises = 20_000
			begun := time.Now()
			for n := range promises {
				p.Publish(handover(n))
			}
			if took := time.Since(begun); took > 20*time.Second {
				t.Errorf("publishing took %v", took)
			}
			if _, _, dropped := p.Counts(); dropped == 0 {
				t.Error("nothing was dropped, so the backlog has no bound")
			}
			begun = time.Now()
			p.Close()
			if took := time.Since(begun); took > 20*time.Second {
				t.Errorf("closing took %v", took)
			}
			handed, failed, dropped := p.Counts()
			if handed != 0 || handed+failed+dropped != promises {
				t.Errorf("%d handed over, %d failed, %d dropped: together not %d", handed, failed, dropped, promises)
			}
			p.Publish(handover(promises))
			if _, _, after := p.Counts(); after != dropped+1 {
				t.Error("a promise that came after Close was not counted as dropped")
			}
			p.Close() // once more changes nothing
			if log.String() != "" {
				t.Errorf("a Redis that is away fills the log: %.200s", log)
			}
		})
	}
}

func TestCloseHandsOverTheBacklog(t *testing.T) {
	t.Parallel()
	r := redistest.InProcess(t)
	client := r.Redis.Client()
	defer client.Close()
	p := jobs.NewPublisher(client, slog.New(slog.DiscardHandler))
	const promises = 100 // few enough for a slow machine: closing does not wait long
	for n := range promises {
		p.Publish(handover(n))
	}
	p.Close()
	if handed, failed, dropped := p.Counts(); handed != promises || failed+dropped != 0 {
		t.Errorf("%d handed over, %d failed, %d dropped", handed, failed, dropped)
	}
}

func TestPublishAndCloseRace(t *testing.T) {
	t.Parallel()
	r := redistest.InProcess(t)
	client := r.Redis.Client()
	defer client.Close()
	p := jobs.NewPublisher(client, slog.New(slog.DiscardHandler))
	var all sync.WaitGroup
	for g := range 4 {
		all.Go(func() {
			for n := range 200 {
				p.Publish(handover(g*1000 + n))
			}
		})
	}
	all.Go(p.Close)
	all.Wait()
	handed, failed, dropped := p.Counts()
	if handed+failed+dropped != 800 {
		t.Errorf("%d handed over, %d failed, %d dropped: together not 800", handed, failed, dropped)
	}
}

func TestHandOverHonoursItsContext(t *testing.T) {
	t.Parallel()
	p := newPublisher(t, parse(t, hungRedis(t)))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	begun := time.Now()
	if _, err := p.HandOver(ctx, handover(1)); err == nil || errors.Is(err, asynq.ErrTaskIDConflict) {
		t.Errorf("a Redis that never answers took a task: %v", err)
	}
	if took := time.Since(begun); took > 4*time.Second {
		t.Errorf("it took %v", took)
	}
}
