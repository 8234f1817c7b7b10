package api

import (
	"context"
	"net"
	"slices"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

func TestReadiness(t *testing.T) {
	t.Parallel()
	s := storetest.Open(t, "sqlite")
	d := newDoor(t, s)
	d.knock(t, ask{method: get, path: "/healthz"}).ok(t, 200)
	d.knock(t, ask{method: get, path: "/readyz"}).ok(t, 200)
	d.draining.Store(true)
	var got readiness
	d.knock(t, ask{method: get, path: "/readyz"}).ok(t, 503).into(t, &got)
	if got.Status != "draining" {
		t.Errorf("says %+v", got)
	}
	d.draining.Store(false)
	storetest.Exec(t, s, "DELETE FROM goose_db_version WHERE version_id > 0")
	d.knock(t, ask{method: get, path: "/readyz"}).ok(t, 503).into(t, &got)
	if got.Status != "unready" || got.Checks[0].State != "ok" || got.Checks[1].State != "failing" {
		t.Errorf("with an old schema: %+v", got)
	}
	d.knock(t, ask{method: get, path: "/healthz"}).ok(t, 200)
}

func TestReadinessReportsRedis(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = ln.Close() // nobody answers there
	d := newDoor(t, storetest.Open(t, "sqlite"), redisAt(t, "redis://"+ln.Addr().String()))
	var got readiness
	d.knock(t, ask{method: get, path: "/readyz"}).ok(t, 200).into(t, &got)
	if got.Status != "ready" || got.Checks[2] != (checkState{"redis", false, "failing"}) {
		t.Errorf("says %+v", got)
	}
}

// occupy takes every connection to PostgreSQL, so that whoever needs one hangs, until release is called or the test ends.
func occupy(t *testing.T, s *models.Store) (release func()) {
	t.Helper()
	var held []interface{ Close() error }
	for range s.SQL().Stats().MaxOpenConnections {
		c, err := s.SQL().Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, c)
	}
	release = sync.OnceFunc(func() {
		for _, c := range held {
			_ = c.Close()
		}
	})
	t.Cleanup(release)
	return release
}

// TestReadinessTellsHangingFromHealthy: a database that hangs takes no time from the others.
func TestReadinessTellsHangingFromHealthy(t *testing.T) {
	t.Parallel()
	s := storetest.Open(t, "postgres")
	d, _ := withRedis(t, s)
	occupy(t, s)
	var got readiness
	d.knock(t, ask{method: get, path: "/readyz"}).ok(t, 503).into(t, &got)
	want := []checkState{{"database", true, "failing"}, {"schema", true, "failing"}, {"redis", false, "ok"}}
	if got.Status != "unready" || !slices.Equal(got.Checks, want) {
		t.Errorf("says %+v, want %+v", got, want)
	}
}

// whenAsked calls a function before each command that is sent to Redis.
type whenAsked func()

func (f whenAsked) DialHook(next redis.DialHook) redis.DialHook { return next }

func (f whenAsked) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		f()
		return next(ctx, cmd)
	}
}

func (f whenAsked) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// TestReadinessAsksAtOnce: the database answers only once Redis has been asked, which one after the other would never be in time.
func TestReadinessAsksAtOnce(t *testing.T) {
	t.Parallel()
	s := storetest.Open(t, "postgres")
	d, _ := withRedis(t, s)
	d.redis.AddHook(whenAsked(occupy(t, s)))
	var got readiness
	d.knock(t, ask{method: get, path: "/readyz"}).ok(t, 200).into(t, &got)
	if got.Status != "ready" {
		t.Errorf("says %+v", got)
	}
}

// TestReadinessBesideAWriter: somebody who holds SQLite's one writer keeps nobody from reading, and so does not make the API unready.
func TestReadinessBesideAWriter(t *testing.T) {
	t.Parallel()
	for name, holder := range map[string]func(*testing.T, *models.Store) *models.Store{
		"of this process":    func(_ *testing.T, s *models.Store) *models.Store { return s },
		"of another process": func(t *testing.T, s *models.Store) *models.Store { return storetest.Again(t, s) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := storetest.Open(t, "sqlite")
			d := newDoor(t, s)
			writing, err := holder(t, s).SQL().BeginTx(t.Context(), nil) // by BEGIN IMMEDIATE
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = writing.Rollback() })
			var got readiness
			d.knock(t, ask{method: get, path: "/readyz"}).ok(t, 200).into(t, &got)
			if got.Status != "ready" {
				t.Errorf("says %+v", got)
			}
			d.knock(t, ask{method: get, path: "/v1/orders", key: d.shop.TestKey}).ok(t, 200)
		})
	}
}
