package jobs

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
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

// ParseRedisURL understands
//
//	redis://[user:password@]host[:port][/db]       rediss://… with TLS
//	redis-sentinel://[:password@]host[:port][,host…]/master[?db=N&sentinel_password=…]
//	redis-cluster://[user:password@]host[:port][,host…]      with ?tls=true for TLS
//
// Its errors never repeat the URL, which may hold a password.
func ParseRedisURL(raw string) (Redis, error) {
	scheme, _, ok := strings.Cut(raw, "://")
	if !ok {
		return Redis{}, errors.New("expected redis://, rediss://, redis-sentinel:// or redis-cluster://")
	}
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return Redis{}, fmt.Errorf("not a valid %s:// address", scheme)
	}
	password, _ := u.User.Password()
	o := redis.UniversalOptions{
		Username: u.User.Username(), Password: password,
		DialTimeout: 2 * time.Second, ReadTimeout: 2 * time.Second, WriteTimeout: 2 * time.Second,
		ContextTimeoutEnabled: true, MaxRetries: 1, PoolTimeout: 3 * time.Second,
	}
	for _, host := range strings.Split(u.Host, ",") {
		if !strings.Contains(host, ":") || strings.HasSuffix(host, "]") {
			host += ":" + map[bool]string{true: "26379", false: "6379"}[scheme == "redis-sentinel"]
		}
		o.Addrs = append(o.Addrs, host)
	}
	path := strings.Trim(u.Path, "/")
	query := u.Query()
	switch scheme {
	case "redis", "rediss":
		if scheme == "rediss" {
			o.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, ServerName: u.Hostname()}
		}
		if path != "" {
			if o.DB, err = strconv.Atoi(path); err != nil || o.DB < 0 {
				return Redis{}, errors.New("the path of a redis:// address is a database number, such as /0")
			}
		}
		return Redis{options: o}, nil
	case "redis-sentinel":
		if path == "" {
			return Redis{}, errors.New("a redis-sentinel:// address ends in the name of the master, such as /mymaster")
		}
		o.MasterName, o.SentinelPassword = path, query.Get("sentinel_password")
		if db := query.Get("db"); db != "" {
			if o.DB, err = strconv.Atoi(db); err != nil || o.DB < 0 {
				return Redis{}, errors.New("db is a database number")
			}
		}
		return Redis{options: o}, nil
	case "redis-cluster":
		if query.Get("tls") == "true" {
			o.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
		}
		return Redis{options: o, cluster: true}, nil
	}
	return Redis{}, errors.New("expected redis://, rediss://, redis-sentinel:// or redis-cluster://")
}

// MakeRedisClient implements asynq.RedisConnOpt.
func (r Redis) MakeRedisClient() any { return r.Client() }

// Client makes a client; the caller closes it.
func (r Redis) Client() redis.UniversalClient {
	o := r.options
	if r.cluster {
		return redis.NewClusterClient(o.Cluster())
	}
	return redis.NewUniversalClient(&o)
}

// WarnAboutPolicy logs a warning if Redis may evict tasks or may lose its answers, as far as the server tells. Not an error:
// promises survive in the database either way.
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
