package main

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hibiken/asynq"
)

// bareQueues is how many servers the bare tasks have: one for each class of work, as a worker of purser's.
const bareQueues = 4

// bareAsynq is what Asynq does alone, measured several times.
type bareAsynq struct {
	redisURL string
	tasks    []float64 // a second
	hops     []time.Duration
}

// measure adds one measurement, of some seconds of tasks and some hops.
func (a *bareAsynq) measure(ctx context.Context, lasting time.Duration, hops int) error {
	tasks, err := bareTasks(ctx, a.redisURL, lasting)
	if err != nil {
		return err
	}
	took, err := bareHops(ctx, a.redisURL, hops)
	a.tasks, a.hops = append(a.tasks, tasks), append(a.hops, took...)
	return err
}

// bareTasks puts empty tasks through Asynq alone, from several goroutines, and returns how many there were a second.
func bareTasks(ctx context.Context, redisURL string, lasting time.Duration) (float64, error) {
	opt, err := asynq.ParseRedisURI(redisURL)
	if err != nil {
		return 0, err
	}
	var done atomic.Int64
	var names [bareQueues]string
	for n := range names {
		names[n] = "bare" + string(rune('a'+n))
		server := asynq.NewServer(opt, asynq.Config{
			Concurrency: 8, Queues: map[string]int{names[n]: 1}, TaskCheckInterval: 50 * time.Millisecond, LogLevel: asynq.FatalLevel,
		})
		if err := server.Start(asynq.HandlerFunc(func(context.Context, *asynq.Task) error { done.Add(1); return nil })); err != nil {
			return 0, err
		}
		defer server.Shutdown()
	}
	client := asynq.NewClient(opt)
	defer func() { _ = client.Close() }()
	var next atomic.Int64
	if _, err := crowd(ctx, 16, lasting, func(ctx context.Context) error {
		n := next.Add(1)
		for n > done.Load()+2000 { // a backlog would be measured as speed
			if err := pause(ctx, time.Millisecond); err != nil {
				return err
			}
		}
		_, err := client.EnqueueContext(ctx, asynq.NewTask("bare", nil), asynq.Queue(names[n%bareQueues]))
		return err
	}); err != nil {
		return 0, err
	}
	return float64(done.Load()) / lasting.Seconds(), nil
}

// bareHops lets one empty task cause another, by Asynq with its own defaults, and returns how long that takes.
func bareHops(ctx context.Context, redisURL string, times int) ([]time.Duration, error) {
	opt, err := asynq.ParseRedisURI(redisURL)
	if err != nil {
		return nil, err
	}
	client := asynq.NewClient(opt)
	defer func() { _ = client.Close() }()
	arrived := make(chan struct{}, 1)
	var failed error
	var once sync.Once
	server := asynq.NewServer(opt, asynq.Config{Queues: map[string]int{"hop": 1}, LogLevel: asynq.FatalLevel})
	if err := server.Start(asynq.HandlerFunc(func(ctx context.Context, t *asynq.Task) error {
		if t.Type() == "first" {
			if _, err := client.EnqueueContext(ctx, asynq.NewTask("second", nil), asynq.Queue("hop")); err != nil {
				once.Do(func() { failed = err })
			}
			return nil
		}
		arrived <- struct{}{}
		return nil
	})); err != nil {
		return nil, err
	}
	defer server.Shutdown()
	took := make([]time.Duration, 0, times)
	for range times {
		began := time.Now()
		if _, err := client.EnqueueContext(ctx, asynq.NewTask("first", nil), asynq.Queue("hop")); err != nil {
			return nil, err
		}
		select {
		case <-arrived:
			took = append(took, time.Since(began))
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return took, failed
}
