package handlers

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/purser-dev/purser/jobs"
)

// errorPause is how long a worker's command to Redis takes at least when it fails.
const errorPause = 100 * time.Millisecond

// calm makes the Redis clients of a worker's servers wait a moment after an error. At an empty queue a server waits (longPoll), but after
// an error Asynq looks again at once. A Redis that is full or refuses connections answers at once, too, and the two would take the
// machine from those who take orders.
type calm struct{ jobs.Redis }

// MakeRedisClient implements asynq.RedisConnOpt.
func (c calm) MakeRedisClient() any {
	client := c.Client()
	client.AddHook(calmHook{})
	return client
}

type calmHook struct{}

// DialHook leaves dialling as it is: a command that finds no connection fails, and waits then.
func (calmHook) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

// ProcessHook waits after a command that failed.
func (calmHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if isTrouble(err) {
			rest(ctx, errorPause)
		}
		return err
	}
}

// ProcessPipelineHook waits after a pipeline that failed.
func (calmHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := next(ctx, cmds)
		if isTrouble(err) {
			rest(ctx, errorPause)
		}
		return err
	}
}

// isTrouble reports whether err is more than an answer: that there is nothing, or that a script has to be sent whole.
func isTrouble(err error) bool {
	return err != nil && !errors.Is(err, redis.Nil) && !redis.HasErrorPrefix(err, "NOSCRIPT")
}

func rest(ctx context.Context, pause time.Duration) {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
