package scheduler

import (
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/models/storetest"
)

func periodicKinds() (out []jobs.Kind) {
	for _, k := range jobs.Kinds {
		if k.Every > 0 {
			out = append(out, k)
		}
	}
	return out
}

// entries returns what the dashboard shows of Asynq's schedulers.
func (b *bench) entries() []*asynq.SchedulerEntry {
	b.Helper()
	found, err := b.inspector.SchedulerEntries()
	if err != nil {
		b.Fatal(err)
	}
	return found
}

// ticks counts the ticks of a kind that wait.
func (b *bench) ticks(kind string) (n int) {
	b.Helper()
	if b.tasks(jobs.Maintenance).Size == 0 {
		return 0
	}
	waiting, err := b.inspector.ListPendingTasks(string(jobs.Maintenance), asynq.PageSize(1000))
	if err != nil {
		b.Fatal(err)
	}
	for _, task := range waiting {
		if task.Type == jobs.TickType(kind) {
			n++
		}
	}
	return n
}

func TestPeriodicKindsAreOnTheDashboard(t *testing.T) {
	each(t, func(b *bench) {
		_, shutdown := b.start()
		kinds := periodicKinds()
		b.eventually("the entries are there", func() bool { return len(b.entries()) == len(kinds) })
		for _, k := range kinds {
			found := b.entries()
			i := slices.IndexFunc(found, func(e *asynq.SchedulerEntry) bool { return e.Task.Type() == jobs.TickType(k.Name) })
			if i < 0 {
				b.Errorf("%s is not there", k.Name)
				continue
			}
			if want := "@every " + k.Every.String(); found[i].Spec != want {
				b.Errorf("%s has the spec %q, want %q", k.Name, found[i].Spec, want)
			}
			if next := time.Until(found[i].Next); next > k.Every+time.Second {
				b.Errorf("%s is next due in %v", k.Name, next)
			}
		}
		// No worker runs, and each of the quick kinds has ticked several times by now.
		for _, k := range kinds {
			want := 1
			if k.Every > time.Minute {
				want = 0
			}
			if got := b.ticks(k.Name); got != want {
				b.Errorf("%d ticks of %s wait, want %d", got, k.Name, want)
			}
		}
		if n := storetest.Count(b, b.store, `SELECT COUNT(*) FROM jobs`); n != 0 {
			b.Errorf("the scheduler staged %d jobs by itself", n)
		}
		shutdown()
		if left := b.entries(); len(left) != 0 {
			b.Errorf("%d entries outlive their scheduler", len(left))
		}
	})
}

func TestTwoSchedulersShareTheirTicks(t *testing.T) {
	each(t, func(b *bench) {
		b.start()
		b.start()
		kinds := periodicKinds()
		b.eventually("both have their entries", func() bool { return len(b.entries()) == 2*len(kinds) })
		for _, k := range kinds {
			if got := b.ticks(k.Name); got > 1 {
				b.Errorf("%d ticks of %s wait", got, k.Name)
			}
		}
	})
}

func TestASchedulerRelaysByItself(t *testing.T) {
	each(t, func(b *bench) {
		s, shutdown := b.start()
		j := b.staged()
		b.ring(j.ID)
		b.eventually("the job is handed over", func() bool { return b.state(j, 0) == asynq.TaskStatePending })
		b.eventually("it is counted", func() bool { return s.Relayed() == 1 })
		shutdown()
		b.ring(j.ID)
		b.redis.Flush(b)
		if b.state(j, 0) != 0 {
			b.Error("it relays after its shutdown")
		}
	})
}

func TestASchedulerStartsWithoutRedis(t *testing.T) {
	each(t, func(b *bench) {
		b.redis.Stop()
		b.start()
		j := b.staged()
		b.eventually("it tells that Redis is away", func() bool { return b.log.count("the relay could not complete its round") > 0 })
		b.ring(j.ID)
		b.redis.StartEmpty(b)
		b.eventually("the job is handed over", func() bool { return b.state(j, 0) == asynq.TaskStatePending })
		b.eventually("it tells that Redis is back", func() bool { return b.log.count("the relay works again") == 1 })
		b.eventually("the queues are registered", func() bool {
			names, err := b.inspector.Queues()
			return err == nil && len(names) == len(jobs.Queues)
		})
	})
}

func TestShutdownIsBoundedWithAHungRedis(t *testing.T) {
	each(t, func(b *bench) {
		hung, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		defer hung.Close()
		silent, err := jobs.ParseRedisURL("redis://" + hung.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		_, shutdown := b.start(func(c *Config) { c.Redis = silent })
		b.eventually("it tells that Redis is away", func() bool { return b.log.count("the relay could not complete its round") > 0 })
		begun := time.Now()
		shutdown()
		if took := time.Since(begun); took > 20*time.Second {
			b.Errorf("it took %v", took)
		}
		if strings.Contains(b.log.String(), "panic") {
			b.Error("something panicked")
		}
	})
}
