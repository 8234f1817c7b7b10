package handlers

import (
	"context"
	"errors"
	"net"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/purser-dev/purser/jobs"
)

const (
	blockTime   = 2 * time.Second       // how long a server waits at an empty queue before it looks again
	answerTime  = 2 * time.Second       // by which the answer may be late
	minPause    = time.Millisecond      // after the first call for nothing
	maxPause    = 50 * time.Millisecond // after many, and where Redis does not let us wait
	closingTime = 10 * time.Millisecond // between two looks of a server that has been told to stop, and has not heard it yet
)

// longPoll lets the servers of a worker wait at an empty queue until it has a task, where Asynq would look again and again: a poll that is
// short makes the machine busy for nothing, and one that is long makes every step of an order wait.
//
// Asynq's processor looks into its queue by a script, by a Redis client of ours. When the script found nothing, a hook of that client
// holds the answer back and blocks in Redis, by moving the queue's next task from the queue's end to the same end (BLMOVE): it waits
// while there is none, and changes nothing when there is one. So whoever gives the queue a task calls all servers that wait, be it the
// publisher, an operator's Run, Asynq's forwarder or another version of Purser; a task that came between the look and the wait calls at
// once; and a server that dies while it waits takes nothing with it.
//
// A Redis that does not know or not allow BLMOVE (it is there since version 6.2) is polled every maxPause.
type longPoll struct {
	ctx    context.Context       // ends when no more tasks are wanted
	client redis.UniversalClient // whose closing ends what blocks, which no context does
	block  time.Duration
}

// option makes the clients of one server.
func (l *longPoll) option(r jobs.Redis) patientRedis { return patientRedis{calm{r}, l} }

// patientRedis is an asynq.RedisConnOpt of one server.
type patientRedis struct {
	calm
	poll *longPoll
}

// MakeRedisClient implements asynq.RedisConnOpt.
func (p patientRedis) MakeRedisClient() any {
	client := p.calm.MakeRedisClient().(redis.UniversalClient)
	client.AddHook(&longPollHook{longPoll: p.poll})
	return client
}

// longPollHook is what one server knows. Its state is the processor's, of which a server has one.
type longPollHook struct {
	*longPoll
	called bool          // by a task that was there when the last wait ended
	pause  time.Duration // before the next wait
}

// DialHook leaves dialling as it is.
func (*longPollHook) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

// ProcessPipelineHook leaves pipelines as they are.
func (*longPollHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error { return next(ctx, cmds) }
}

// ProcessHook holds back the answer that a queue is empty.
func (h *longPollHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if pending, ok := dequeued(cmd); ok {
			switch {
			case err == nil:
				h.called, h.pause = false, 0
			case errors.Is(err, redis.Nil):
				h.wait(pending)
			}
		}
		return err
	}
}

// dequeued returns the list that a command of Asynq's takes the next task from (internal/rdb, dequeueCmd). No other script of its server
// asks whether a queue is paused.
func dequeued(cmd redis.Cmder) (pending string, ok bool) {
	args := cmd.Args() // EVALSHA or EVAL, the script, the number of keys, the keys, …
	if name := cmd.Name(); name != "evalsha" && name != "eval" || len(args) < 5 {
		return "", false
	}
	pending, _ = args[3].(string)
	paused, _ := args[4].(string)
	return pending, strings.HasSuffix(pending, ":pending") && strings.HasSuffix(paused, ":paused")
}

// wait returns when there may be a task, or it is time to look again.
func (h *longPollHook) wait(pending string) {
	if h.ctx.Err() != nil {
		time.Sleep(closingTime)
		return
	}
	// Called for nothing: another worker was quicker, or the queue is paused, and what lies in it would call without end. The pauses keep
	// many workers from all running for every task; the quickest takes them then, until its places are full.
	if h.called {
		h.called = false
		h.pause = min(max(2*h.pause, minPause), maxPause)
		rest(h.ctx, h.pause)
	}
	ctx, cancel := context.WithTimeout(h.ctx, h.block+answerTime)
	defer cancel()
	err := h.client.BLMove(ctx, pending, pending, "RIGHT", "RIGHT", h.block).Err()
	switch {
	case err == nil:
		h.called = true
	case errors.Is(err, redis.Nil):
		h.pause = 0
	default:
		rest(h.ctx, maxPause)
	}
}
