package jobs

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
)

const (
	publisherWorkers = 8
	publisherBacklog = 8192
	handoverTimeout  = 2 * time.Second
)

// Publisher hands promises to Asynq in the background, after the commit that made them. It never makes its caller wait and
// never fails it: what it cannot hand over stays due in the database, and the relay brings it back when its alarm goes off.
type Publisher struct {
	client  *asynq.Client
	queue   chan Handover
	done    sync.WaitGroup
	log     *slog.Logger
	mu      sync.RWMutex // held for writing by Close only, so that nothing is sent on a closed channel
	closed  bool
	giveUp  atomic.Pointer[time.Time] // when Close will have waited long enough; nil before
	dropped atomic.Int64
	failed  atomic.Int64
	handed  atomic.Int64
}

// NewPublisher starts a publisher on a client that stays the caller's to close.
func NewPublisher(c redis.UniversalClient, log *slog.Logger) *Publisher {
	p := &Publisher{client: asynq.NewClientFromRedisClient(c), queue: make(chan Handover, publisherBacklog), log: log}
	for range publisherWorkers {
		p.done.Go(p.work)
	}
	return p
}

// Publish takes promises that have been committed. A full backlog drops them to the relay.
func (p *Publisher) Publish(hs ...Handover) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	for _, h := range hs {
		if p.closed {
			p.dropped.Add(1)
			continue
		}
		select {
		case p.queue <- h:
		default:
			p.dropped.Add(1)
		}
	}
}

func (p *Publisher) work() {
	for h := range p.queue {
		// By deadlines, because the client cannot be interrupted by a cancellation while it reads.
		deadline := time.Now().Add(handoverTimeout)
		if end := p.giveUp.Load(); end != nil {
			if deadline = *end; time.Now().After(deadline) {
				p.failed.Add(1)
				continue
			}
		}
		ctx, cancel := context.WithDeadline(context.Background(), deadline)
		_, err := p.HandOver(ctx, h)
		cancel()
		if err != nil {
			// Quiet on purpose: while Redis is down this happens for every job, and none of them is lost.
			p.failed.Add(1)
			p.log.Debug("job not handed over; its alarm will bring it back", "job", h.JobID, "kind", h.Kind, "err", err)
			continue
		}
		p.handed.Add(1)
	}
}

// HandOver enqueues one promise now. It reports false without an error when Asynq already holds this epoch of the job.
func (p *Publisher) HandOver(ctx context.Context, h Handover) (bool, error) {
	task, opts, err := h.task()
	if err != nil {
		return false, err
	}
	_, err = p.client.EnqueueContext(ctx, task, opts...)
	if errors.Is(err, asynq.ErrTaskIDConflict) {
		return false, nil
	}
	return err == nil, err
}

// Counts tells how many promises were handed over, could not be, and were dropped to the relay, since the start.
func (p *Publisher) Counts() (handed, failed, dropped int64) {
	return p.handed.Load(), p.failed.Load(), p.dropped.Load()
}

// Close hands over what is in the backlog, for at most two seconds, and returns when its goroutines have ended.
func (p *Publisher) Close() {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return
	}
	p.closed = true
	end := time.Now().Add(handoverTimeout)
	p.giveUp.Store(&end)
	close(p.queue)
	p.mu.Unlock()
	p.done.Wait()
}
