package jobs

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"
)

// allQueues is the key under which Asynq keeps the names of its queues (internal/base, AllQueues).
const allQueues = "asynq:queues"

// RegisterQueues tells Redis the names of all queues. Asynq's clients do so once and then remember that they have; after Redis
// came back empty, its inspector and dashboard would answer "queue not found" until each of them is restarted.
func RegisterQueues(ctx context.Context, c redis.UniversalClient) error {
	names := make([]any, len(Queues))
	for i, q := range Queues {
		names[i] = string(q.Name)
	}
	return c.SAdd(ctx, allQueues, names...).Err()
}

const registerInterval = 5 * time.Second

// KeepQueuesRegistered calls RegisterQueues every few seconds until ctx ends.
func KeepQueuesRegistered(ctx context.Context, c redis.UniversalClient) {
	tick := time.NewTicker(registerInterval)
	defer tick.Stop()
	for {
		try, cancel := context.WithTimeout(ctx, time.Second)
		_ = RegisterQueues(try, c) // Redis may be away; the next round tries again
		cancel()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
