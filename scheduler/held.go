package scheduler

import (
	"context"
	"errors"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/models"
)

// holds reports whether Redis has the task where a worker will find it. What the task says of itself is not enough: a Redis that evicts
// keys may have kept the task and lost its queue. That is looked into with the second alarm, so that a backlog costs no more than it must.
func (s *Scheduler) holds(ctx context.Context, a models.Alarm) (bool, error) {
	id := jobs.TaskID(a.JobID, a.Epoch)
	info, err := s.inspector.GetTaskInfo(string(a.Queue), id)
	switch {
	case errors.Is(err, asynq.ErrTaskNotFound):
		return false, nil
	case errors.Is(err, asynq.ErrQueueNotFound):
		return true, nil // it was not registered again yet; that the task is there, the conflict has told
	case err != nil:
		return false, err // nothing is known: an epoch for each job that waits would flood a Redis which has trouble already
	}
	// The keys are those of Asynq (internal/base).
	prefix := "asynq:{" + string(a.Queue) + "}:"
	switch state := info.State; {
	case state != asynq.TaskStatePending && state != asynq.TaskStateRetry && state != asynq.TaskStateScheduled:
		// Active: its worker lost it before it could claim the job. Archived or completed: it will not be taken again.
		return false, nil
	case !a.Again:
		return true, nil
	case state == asynq.TaskStatePending:
		return s.inLine(ctx, prefix, id)
	case state == asynq.TaskStateRetry:
		return s.inSet(ctx, prefix+"retry", id)
	}
	return s.inSet(ctx, prefix+"scheduled", id)
}

func (s *Scheduler) inSet(ctx context.Context, key, id string) (bool, error) {
	err := s.client.ZScore(ctx, key, id).Err()
	if errors.Is(err, redis.Nil) {
		return false, nil
	}
	return err == nil, err
}

// clockDoubt is how far the clocks of those who put tasks into a queue may differ.
const clockDoubt = 10 * time.Second

// inLine reports whether a task that is marked as pending is in its queue. That may be long, so it is not searched: tasks are taken in the
// order in which they came, so nothing that is in it has waited longer than the next to be taken. Where a task does not say since when it
// waits, it is believed.
func (s *Scheduler) inLine(ctx context.Context, prefix, id string) (bool, error) {
	next, err := s.client.LIndex(ctx, prefix+"pending", -1).Result()
	if errors.Is(err, redis.Nil) {
		return false, nil
	}
	if err != nil || next == id {
		return err == nil, err
	}
	own, err := s.waitsSince(ctx, prefix, id)
	if err != nil || own.IsZero() {
		return err == nil, err
	}
	first, err := s.waitsSince(ctx, prefix, next)
	if err != nil || first.IsZero() {
		return err == nil, err
	}
	return !own.Before(first.Add(-clockDoubt)), nil
}

// waitsSince is when a task was put into its queue, or zero if it does not say.
func (s *Scheduler) waitsSince(ctx context.Context, prefix, id string) (time.Time, error) {
	ns, err := s.client.HGet(ctx, prefix+"t:"+id, "pending_since").Int64()
	if errors.Is(err, redis.Nil) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, err
	}
	return time.Unix(0, ns), nil
}
