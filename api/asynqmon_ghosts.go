package api

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"
)

// A ghost is an id in one of a queue's lists whose task is gone, as an eviction leaves behind. Asynq's script that estimates a
// queue's memory looks at the first twenty ids of each list and fails on a ghost among them, and with it the screens of all
// queues. Nothing is lost by dropping ghosts: no worker can perform them, and the promise's alarm brings the job back.
//
// The keys are those of Asynq (internal/base): two lists, four sorted sets, and task keys under the prefix.
var ghostScript = redis.NewScript(`
local gone = 0
for i, key in ipairs(KEYS) do
  repeat
    local found = 0
    local ids = redis.call(i <= 2 and "LRANGE" or "ZRANGE", key, 0, 19)
    for _, id in ipairs(ids) do
      if redis.call("EXISTS", ARGV[1] .. id) == 0 then
        if i <= 2 then redis.call("LREM", key, 1, id) else redis.call("ZREM", key, id) end
        found = found + 1
      end
    end
    gone = gone + found
  until found == 0 or gone > 1000
end
return gone`)

// dropGhosts reports whether there were any, in any queue.
func (s *Server) dropGhosts(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	queues, err := s.screens.inspector.Queues()
	if err != nil {
		return false
	}
	dropped := false
	for _, queue := range queues {
		prefix := "asynq:{" + queue + "}:"
		var keys []string
		for _, list := range []string{"pending", "active", "scheduled", "retry", "archived", "completed"} {
			keys = append(keys, prefix+list)
		}
		n, err := ghostScript.Run(ctx, s.redis, keys, prefix+"t:").Int()
		if err != nil {
			s.log.Warn("a queue could not be searched for ids without a task", "queue", queue, "error", logged(err))
			continue
		}
		if n > 0 {
			s.log.Warn("dropped ids without a task from a queue", "queue", queue, "count", n)
			dropped = true
		}
	}
	return dropped
}
