package scheduler

import (
	"slices"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

func TestStrays(t *testing.T) {
	each(t, func(b *bench) {
		s := b.scheduler()
		handOver := func(j models.Job, epoch int, runAt time.Time) string {
			b.Helper()
			h := jobs.Handover{JobID: j.ID, Kind: j.Kind, Epoch: epoch, RunAt: runAt}
			if ok, err := s.publisher.HandOver(b.Context(), h); !ok || err != nil {
				b.Fatalf("%v, %v", ok, err)
			}
			return jobs.TaskID(j.ID, epoch)
		}
		strays := func(limit int) []string {
			b.Helper()
			ids, err := Strays(b.Context(), b.redis.Client, b.store, limit)
			if err != nil {
				b.Fatal(err)
			}
			slices.Sort(ids)
			return ids
		}
		now, later := time.Time{}, time.Now().Add(time.Hour)
		kept, lost, finished := b.staged(), b.staged(), b.staged()
		handOver(kept, 0, now)
		handOver(kept, 1, later)
		handOver(finished, 0, later)
		storetest.Exec(b, b.store, `UPDATE jobs SET state = 'done', finished_at = run_at WHERE id = $1`, finished.ID)
		if got := strays(10); len(got) != 0 {
			b.Fatalf("every task has its promise: %q", got)
		}

		want := []string{handOver(lost, 0, now), handOver(lost, 1, later), "somebody-elses"}
		task, options := asynq.NewTask("other", nil), []asynq.Option{asynq.TaskID("somebody-elses"), asynq.Queue(string(jobs.Email))}
		other := asynq.NewClientFromRedisClient(b.redis.Client)
		if _, err := other.EnqueueContext(b.Context(), task, options...); err != nil {
			b.Fatal(err)
		}
		kind, err := jobs.KindOf(jobs.KindExpire)
		if err != nil {
			b.Fatal(err)
		}
		tick, options := jobs.TickTask(kind)
		if _, err := other.EnqueueContext(b.Context(), tick, options...); err != nil {
			b.Fatal(err)
		}
		storetest.Exec(b, b.store, `DELETE FROM jobs WHERE id = $1`, lost.ID)
		slices.Sort(want)
		if got := strays(10); !slices.Equal(got, want) {
			b.Errorf("got %q, want %q", got, want)
		}
		if got := strays(2); len(got) != 2 {
			b.Errorf("want two of them: %q", got)
		}
		b.redis.Stop()
		if _, err := Strays(b.Context(), b.redis.Client, b.store, 10); err == nil {
			b.Error("a Redis that does not answer is no queue without strays")
		}
	})
}

// A backlog is longer than what is read at a time.
func TestStraysInABacklog(t *testing.T) {
	each(t, func(b *bench) {
		s := b.scheduler()
		lost := b.staged()
		storetest.Exec(b, b.store, `DELETE FROM jobs WHERE id = $1`, lost.ID)
		const backlog = strayBatch + 200
		for epoch := range backlog {
			if ok, err := s.publisher.HandOver(b.Context(), jobs.Handover{JobID: lost.ID, Kind: lost.Kind, Epoch: epoch}); !ok || err != nil {
				b.Fatalf("%v, %v", ok, err)
			}
		}
		ids, err := Strays(b.Context(), b.redis.Client, b.store, 2*backlog)
		if err != nil {
			b.Fatal(err)
		}
		slices.Sort(ids)
		if n := len(slices.Compact(ids)); n != backlog {
			b.Errorf("%d strays, want %d", n, backlog)
		}
	})
}
