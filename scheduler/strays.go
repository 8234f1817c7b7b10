package scheduler

import (
	"context"
	"fmt"
	"slices"

	"github.com/redis/go-redis/v9"

	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/models"
)

// strayBatch is how many tasks are looked up at a time.
const strayBatch = 1000

// Strays returns the ids of up to limit tasks that wait or run in Redis although no promise stands behind them: they come from another
// database, or this one was restored from a backup. Workers skip them. Left out are archived tasks, whose promises retention may have
// deleted, and the queue of periodic work, whose ticks have none. What moves while it is looked for may be missed.
func Strays(ctx context.Context, c redis.UniversalClient, store *models.Store, limit int) ([]string, error) {
	var strays []string
	for _, q := range jobs.Queues {
		if q.Name == jobs.Maintenance {
			continue
		}
		// The keys are those of Asynq (internal/base): two lists and two sorted sets. Its inspector gives up at the first id whose
		// task is gone.
		prefix := "asynq:{" + string(q.Name) + "}:"
		for _, list := range []struct {
			key  string
			read func(ctx context.Context, key string, start, stop int64) *redis.StringSliceCmd
		}{
			{"pending", c.LRange}, {"active", c.LRange}, {"scheduled", c.ZRange}, {"retry", c.ZRange},
		} {
			for from := int64(0); ; from += strayBatch {
				ids, err := list.read(ctx, prefix+list.key, from, from+strayBatch-1).Result()
				if err != nil {
					return nil, fmt.Errorf("read the queue %s: %w", q.Name, err)
				}
				found, err := unpromised(ctx, store, ids)
				if err != nil {
					return nil, err
				}
				if strays = append(strays, found...); len(strays) >= limit {
					return strays[:limit], nil
				}
				if len(ids) < strayBatch {
					break
				}
			}
		}
	}
	return strays, nil
}

// unpromised returns those of the tasks that have no promise, or an id that is none of ours.
func unpromised(ctx context.Context, store *models.Store, taskIDs []string) ([]string, error) {
	jobIDs := make([]string, len(taskIDs)) // empty where the task's id is none of ours
	for i, id := range taskIDs {
		jobIDs[i], _, _ = jobs.ParseTaskID(id)
	}
	missing, err := store.Unpromised(ctx, jobIDs)
	if err != nil {
		return nil, err
	}
	var strays []string
	for i, id := range taskIDs {
		if slices.Contains(missing, jobIDs[i]) {
			strays = append(strays, id)
		}
	}
	return strays, nil
}
