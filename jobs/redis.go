package jobs

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
)

// Redis is a parsed PURSER_REDIS_URL. It is an asynq.RedisConnOpt whose clients give up quickly and honour their context:
// go-redis by default lets a hung server block a caller for many seconds.
type Redis struct {
	options redis.UniversalOptions
	cluster bool
}

var _ asynq.RedisConnOpt = Redis{}

// MakeRedisClient implements asynq.RedisConnOpt.
func (r Redis) MakeRedisClient() any { return r.Client() }

// silent keeps go-redis from printing a line of its own to standard error for every connection that fails: each of them is an error
// that its caller gets.
type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

var silence = sync.OnceFunc(func() { redis.SetLogger(silent{}) })

// reloadInterval is how soon a client of a cluster notices that a master which is gone has been replaced. Nobody tells it while the old one
// does not answer, and a minute, go-redis' own choice, is longer than work may stand still.
const reloadInterval = 3 * time.Second

// Client makes a client; the caller closes it.
func (r Redis) Client() redis.UniversalClient {
	silence()
	o := r.options
	if r.cluster {
		cluster := o.Cluster()
		cluster.ClusterStateReloadInterval = reloadInterval
		return redis.NewClusterClient(cluster)
	}
	return redis.NewUniversalClient(&o)
}

// WarnAboutPolicy logs a warning if Redis may evict tasks, as far as the server tells. Not an error: promises survive in the
// database, but each task that is evicted has to wait for its alarm.
func WarnAboutPolicy(ctx context.Context, c redis.UniversalClient, log *slog.Logger) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	policy, err := c.ConfigGet(ctx, "maxmemory-policy").Result()
	if err != nil {
		return
	}
	if p := policy["maxmemory-policy"]; p != "" && p != "noeviction" {
		log.Warn("Redis may evict tasks; set maxmemory-policy to noeviction", "maxmemory_policy", p)
	}
}
