package main

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// kind is one kind of fault.
type kind struct {
	name  string // ROLE stands for the role that chance picks
	group string // what it happens to; of a group one fault happens at a time
	// lasts is the shortest and the longest time from begin to end; of those that are over at once, until the process is started again.
	lasts [2]time.Duration
	// short is how long it lasts in a test at most; 0 leaves it out there.
	short time.Duration
	alone bool // it takes too long for a storm
	// begin breaks something and end mends it. Nobody has anything to do with Purser in between.
	begin, end func(ctx context.Context, t *trial, f *fault) error
}

// neverMails is the kind that makes items fail.
const neverMails = "SMTP server says: never"

// The groups.
const (
	processes  = "processes"
	redisGroup = "redis"
	database   = "database"
	redisLine  = "redis line"
	dataLine   = "database line"
	mailServer = "mail server"
	merchant   = "merchant's server"
)

func seconds(from, to float64) [2]time.Duration {
	return [2]time.Duration{time.Duration(from * float64(time.Second)), time.Duration(to * float64(time.Second))}
}

// kinds are all of them.
var kinds = slices.Concat(processKinds(), redisKinds(), databaseKinds(), lineKinds(), outsideKinds())

func processKinds() (out []kind) {
	one := func(role string) func(*trial, *fault) []*process {
		return func(t *trial, f *fault) []*process { return t.roles[role][f.pick%len(t.roles[role]):][:1] }
	}
	every := func(role string) func(*trial, *fault) []*process {
		return func(t *trial, _ *fault) []*process { return t.roles[role] }
	}
	for _, role := range roles {
		out = append(out,
			ending("SIGKILL one "+role, syscall.SIGKILL, one(role), seconds(0.5, 3)),
			ending("SIGKILL every "+role, syscall.SIGKILL, every(role), seconds(1, 6)),
			pausing("SIGSTOP one "+role, one(role), seconds(8, 15)),
			pausing("SIGSTOP every "+role, every(role), seconds(5, 12)),
			ending("SIGTERM every "+role, syscall.SIGTERM, every(role), seconds(0.1, 1)),
		)
	}
	// Longer than any lease, so that what it had in hand has been given to another when it wakes up.
	long := pausing("SIGSTOP one worker beyond its leases", one("worker"), seconds(48, 50))
	long.alone = true
	out = append(out, long)
	for i := range out {
		switch out[i].name {
		case "SIGKILL one worker", "SIGKILL every api", "SIGKILL one scheduler":
			out[i].short = time.Second
		case "SIGSTOP one worker":
			out[i].short = 3 * time.Second
		}
	}
	return out
}

// ending ends processes, and starts them again.
func ending(name string, how syscall.Signal, which func(*trial, *fault) []*process, lasts [2]time.Duration) kind {
	return kind{
		name: name, group: processes, lasts: lasts,
		begin: func(_ context.Context, t *trial, f *fault) error {
			return each(which(t, f), func(p *process) error { p.end(how); return nil })
		},
		end: func(ctx context.Context, t *trial, f *fault) error {
			// Its start may have to wait for a store that is away, too; it is back when the store is.
			return each(which(t, f), (*process).start)
		},
	}
}

// pausing stops processes where they stand, and lets them go on.
func pausing(name string, which func(*trial, *fault) []*process, lasts [2]time.Duration) kind {
	return kind{
		name: name, group: processes, lasts: lasts,
		begin: func(_ context.Context, t *trial, f *fault) error {
			return each(which(t, f), func(p *process) error { p.pause(); return nil })
		},
		end: func(_ context.Context, t *trial, f *fault) error {
			return each(which(t, f), func(p *process) error { p.resume(); return nil })
		},
	}
}

// each does something with all of them at once.
func each(all []*process, do func(*process) error) error {
	errs := make(chan error, len(all))
	for _, p := range all {
		go func() { errs <- do(p) }()
	}
	var out []error
	for range all {
		out = append(out, <-errs)
	}
	return errors.Join(out...)
}

func nothing(context.Context, *trial, *fault) error { return nil }

func redisKinds() []kind {
	setting := func(words ...string) func(context.Context, *trial) error {
		return func(ctx context.Context, t *trial) error {
			_, err := t.redis.do(ctx, append([]string{"CONFIG", "SET"}, words...)...)
			return err
		}
	}
	away := func(ctx context.Context, t *trial, _ *fault) error {
		t.each("redis", (*line).refuse)
		t.redis.kill()
		return t.redis.forget()
	}
	back := func(ctx context.Context, t *trial, _ *fault) error {
		if err := t.redis.start(ctx); err != nil {
			return err
		}
		return t.eachErr("redis", (*line).accept)
	}
	return []kind{
		{
			name: "Redis flushed", group: redisGroup, lasts: seconds(0, 0), short: time.Second, end: nothing,
			begin: func(ctx context.Context, t *trial, _ *fault) error {
				_, err := t.redis.do(ctx, "FLUSHALL")
				return err
			},
		},
		{name: "Redis restarted empty", group: redisGroup, lasts: seconds(0.1, 0.5), begin: away, end: back},
		{name: "Redis stopped", group: redisGroup, lasts: seconds(10, 10), short: 3 * time.Second, begin: away, end: back},
		{
			name: "Redis hung", group: redisGroup, lasts: seconds(10, 10), short: 4 * time.Second,
			begin: func(_ context.Context, t *trial, _ *fault) error { t.redis.server.signal(syscall.SIGSTOP); return nil },
			end:   func(_ context.Context, t *trial, _ *fault) error { t.redis.server.signal(syscall.SIGCONT); return nil },
		},
		{
			name: "Redis full (noeviction)", group: redisGroup, lasts: seconds(6, 12),
			begin: func(ctx context.Context, t *trial, _ *fault) error { return setting("maxmemory", "1mb")(ctx, t) },
			end:   func(ctx context.Context, t *trial, _ *fault) error { return setting("maxmemory", "0")(ctx, t) },
		},
		{
			// Some memory is left, but not enough for what is asked of it: keys vanish while others come.
			name: "Redis evicts (allkeys-random)", group: redisGroup, lasts: seconds(6, 12),
			begin: func(ctx context.Context, t *trial, _ *fault) error {
				used, err := t.redis.usedMemory(ctx)
				if err != nil {
					return err
				}
				return setting("maxmemory", strconv.Itoa(used-used/20), "maxmemory-policy", "allkeys-random")(ctx, t)
			},
			end: func(ctx context.Context, t *trial, _ *fault) error {
				return setting("maxmemory", "0", "maxmemory-policy", "noeviction")(ctx, t)
			},
		},
		{
			// What the system does to the largest process when memory is out. It comes back with what it had some time ago: tasks that
			// were done are there again, and those that came since are not.
			name: "Redis OOM-killed, back with an old snapshot", group: redisGroup, lasts: seconds(3, 5),
			begin: func(ctx context.Context, t *trial, _ *fault) error {
				_, err := t.redis.do(ctx, "SAVE")
				return err
			},
			end: func(ctx context.Context, t *trial, _ *fault) error {
				t.redis.kill()
				err := t.redis.start(ctx)
				return errors.Join(err, t.redis.forget())
			},
		},
	}
}

func databaseKinds() []kind {
	away := func(how syscall.Signal) func(context.Context, *trial, *fault) error {
		return func(_ context.Context, t *trial, _ *fault) error {
			t.postgres.stop(how)
			t.each("postgres", (*line).refuse)
			return nil
		}
	}
	back := func(ctx context.Context, t *trial, _ *fault) error {
		err := t.postgres.start(ctx)
		return errors.Join(err, t.eachErr("postgres", (*line).accept))
	}
	return []kind{
		{name: "PostgreSQL restarted (fast)", group: database, lasts: seconds(0.1, 0.5), begin: away(syscall.SIGINT), end: back},
		{name: "PostgreSQL restarted (immediate)", group: database, lasts: seconds(0.1, 0.5), short: time.Second, begin: away(syscall.SIGQUIT), end: back},
		{name: "PostgreSQL stopped", group: database, lasts: seconds(10, 10), begin: away(syscall.SIGINT), end: back},
		{
			name: "PostgreSQL hung", group: database, lasts: seconds(15, 15),
			begin: func(_ context.Context, t *trial, _ *fault) error { return t.postgres.hang() },
			end:   func(_ context.Context, t *trial, _ *fault) error { return t.postgres.resume() },
		},
		{
			name: "PostgreSQL's connections terminated", group: database, lasts: seconds(0, 0), short: time.Second, end: nothing,
			begin: func(ctx context.Context, t *trial, _ *fault) error {
				for range 5 {
					if _, err := t.postgres.cut(ctx); err != nil {
						return err
					}
					if err := pause(ctx, 400*time.Millisecond); err != nil {
						return err
					}
				}
				return nil
			},
		},
	}
}

func lineKinds() (out []kind) {
	for _, store := range []string{"redis", "postgres"} {
		group, named := redisLine, "Redis"
		if store == "postgres" {
			group, named = dataLine, "PostgreSQL"
		}
		lines := func(t *trial, f *fault) []*line { return []*line{t.lines[f.role+" "+store]} }
		all := func(t *trial, _ *fault) (every []*line) {
			for _, role := range roles {
				every = append(every, t.lines[role+" "+store])
			}
			return every
		}
		cutting := func(ctx context.Context, t *trial, f *fault) error {
			for range 8 {
				for _, l := range all(t, f) {
					l.cut()
				}
				if err := pause(ctx, 300*time.Millisecond); err != nil {
					return err
				}
			}
			return nil
		}
		doing := func(which func(*trial, *fault) []*line, do func(*line)) func(context.Context, *trial, *fault) error {
			return func(_ context.Context, t *trial, f *fault) error {
				for _, l := range which(t, f) {
					do(l)
				}
				return nil
			}
		}
		slow := func(d time.Duration) func(*line) { return func(l *line) { l.slow(d) } }
		silence := func(on bool) func(*line) { return func(l *line) { l.silence(on) } }
		out = append(out,
			kind{
				name: named + " 100 ms away from every role", group: group, lasts: seconds(6, 10),
				begin: doing(all, slow(100*time.Millisecond)), end: doing(all, slow(0)),
			},
			kind{name: "cuts between " + named + " and every role", group: group, begin: cutting, end: nothing},
			kind{
				name: "silence between " + named + " and ROLE", group: group, lasts: seconds(8, 14),
				begin: doing(lines, silence(true)), end: doing(lines, silence(false)),
			},
			kind{
				name: "silence between " + named + " and every role", group: group, lasts: seconds(8, 14),
				begin: doing(all, silence(true)), end: doing(all, silence(false)),
			},
		)
	}
	for i := range out {
		switch {
		case out[i].group == dataLine && strings.HasPrefix(out[i].name, "cuts"):
			out[i].short = time.Second
		case out[i].group == dataLine && strings.HasSuffix(out[i].name, "ROLE"):
			out[i].short = 3 * time.Second
		}
	}
	return out
}

func outsideKinds() (out []kind) {
	mails := func(mood temper) func(context.Context, *trial, *fault) error {
		return func(_ context.Context, t *trial, _ *fault) error { return t.mails.become(mood) }
	}
	hooks := func(mood temper) func(context.Context, *trial, *fault) error {
		return func(_ context.Context, t *trial, _ *fault) error { return t.hooks.become(mood) }
	}
	for _, c := range []struct {
		what string
		mood temper
	}{
		{"refuses connections", refuses}, {"says: later", later}, {"hangs", hangs}, {"answers rubbish", babbles}, {"takes, and does not say so", forgets},
	} {
		out = append(out,
			kind{name: "SMTP server " + c.what, group: mailServer, lasts: seconds(5, 12), begin: mails(c.mood), end: mails(works)},
			kind{name: "receiver " + c.what, group: merchant, lasts: seconds(5, 12), begin: hooks(c.mood), end: hooks(works)},
		)
	}
	out = append(out, kind{name: neverMails, group: mailServer, lasts: seconds(4, 6), begin: mails(never), end: mails(works)})
	for i := range out {
		switch out[i].name {
		case "SMTP server takes, and does not say so", "receiver hangs", "receiver answers rubbish", "SMTP server hangs":
			out[i].short = 2 * time.Second
		}
	}
	return out
}

// pause waits, unless ctx ends first.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
