package scheduler

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/models"
)

// Config is what a Scheduler needs.
type Config struct {
	Store *models.Store
	Redis jobs.Redis
	Log   *slog.Logger
}

// Scheduler runs the relay and the periodic ticks.
type Scheduler struct {
	Config
	client    redis.UniversalClient
	publisher *jobs.Publisher
	inspector *asynq.Inspector
	periodic  *asynq.Scheduler
	ticks     redis.UniversalClient // the periodic scheduler's own, see Shutdown
	trouble   string                // what keeps the relay from working, as it was logged
	stop      context.CancelFunc
	running   sync.WaitGroup
	relayed   atomic.Int64
	lastRound atomic.Int64 // Unix milliseconds of the relay's last complete round, or of its start
}

const shutdownPatience = 2 * time.Second

// New makes a scheduler; Start lets it begin. The publisher hands over what the relay brings back.
func New(c Config) *Scheduler {
	s := &Scheduler{Config: c, client: c.Redis.Client()}
	s.inspector = asynq.NewInspectorFromRedisClient(s.client)
	s.publisher = jobs.NewPublisher(s.client, c.Log)
	return s
}

// Start begins and returns at once, also while Redis is away.
func (s *Scheduler) Start() error {
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	s.lastRound.Store(time.Now().UnixMilli())
	s.running.Go(func() { s.relay(ctx) })
	s.running.Go(func() { jobs.KeepQueuesRegistered(ctx, s.client) })
	if err := s.startPeriodic(); err != nil {
		s.Shutdown()
		return fmt.Errorf("start the periodic ticks: %w", err)
	}
	return nil
}

// Shutdown returns when every goroutine of the scheduler has ended, also of one that was never started.
func (s *Scheduler) Shutdown() {
	if s.periodic != nil {
		// At its end Asynq's scheduler asks Redis several things, one after the other, and waits for each answer. A Redis that gives
		// none must not hold up the process, so its connections are cut then.
		patience := time.AfterFunc(shutdownPatience, func() { _ = s.ticks.Close() })
		s.periodic.Shutdown()
		patience.Stop()
		_ = s.ticks.Close()
	}
	if s.stop != nil {
		s.stop()
	}
	s.running.Wait()
	s.publisher.Close()
	_ = s.client.Close()
}

// Relayed counts the promises that the relay has handed over again, for the metrics.
func (s *Scheduler) Relayed() int64 { return s.relayed.Load() }

// SinceRound is how long ago the relay last completed a round, or has tried to since its start, for the metrics.
func (s *Scheduler) SinceRound() time.Duration {
	at := s.lastRound.Load()
	if at == 0 {
		return 0
	}
	return time.Since(time.UnixMilli(at))
}
