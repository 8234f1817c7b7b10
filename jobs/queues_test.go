package jobs_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/hibiken/asynq"

	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/jobs/redistest"
)

// Asynq's clients announce a queue once in their lives. A Redis that came back empty stays without the names for them.
func TestRegisterQueuesAfterAFlush(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, r *redistest.Redis) {
		p, inspector := newPublisher(t, r.Redis), asynq.NewInspectorFromRedisClient(r.Client)
		for n := range 2 {
			r.Flush(t)
			if ok, err := p.HandOver(t.Context(), handover(n)); !ok || err != nil {
				t.Fatalf("hand over: %v, %v", ok, err)
			}
		}
		if _, err := inspector.GetTaskInfo(string(jobs.Fulfilment), jobs.TaskID(handover(1).JobID, 0)); !errors.Is(err, asynq.ErrQueueNotFound) {
			t.Fatalf("Asynq knows the queue after a flush by itself (%v): registering is needless now", err)
		}
		for range 2 { // the second changes nothing
			if err := jobs.RegisterQueues(t.Context(), r.Client); err != nil {
				t.Fatal(err)
			}
		}
		names, err := inspector.Queues()
		if err != nil {
			t.Fatal(err)
		}
		want := make([]string, len(jobs.Queues))
		for i, q := range jobs.Queues {
			want[i] = string(q.Name)
		}
		slices.Sort(names)
		slices.Sort(want)
		if !slices.Equal(names, want) {
			t.Errorf("registered %v, want %v", names, want)
		}
		info, err := inspector.GetQueueInfo(string(jobs.Fulfilment))
		if err != nil || info.Pending != 1 {
			t.Errorf("the queue with the task that outlived it: %+v, %v", info, err)
		}
	})
}

func TestKeepQueuesRegisteredEnds(t *testing.T) {
	t.Parallel()
	for name, url := range map[string]func(*testing.T) string{
		"with Redis": func(t *testing.T) string { return redistest.InProcess(t).URL }, "with Redis down": closedPort, "with Redis hung": hungRedis,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := parse(t, url(t)).Client()
			defer client.Close()
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				jobs.KeepQueuesRegistered(ctx, client)
			}()
			cancel()
			<-ended
		})
	}
}
