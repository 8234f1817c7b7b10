package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	// bound is within which time after a store or a process is back everything has to be as if nothing had been.
	bound = 45 * time.Second
	// shortBound is the same for a test, whose machine has many others to run meanwhile: what recovers by itself does so within it even
	// there, and what waits for somebody does not.
	shortBound = 2 * bound
	// giveUp is when a scene that does not recover is left.
	giveUp = 4 * time.Minute

	// lateAnswer and lateCharge are which answers come too late. A request has ten seconds for the database; one that asks a gateway has
	// them before it and after it, and for the gateway as many.
	lateAnswer = 15 * time.Second
	lateCharge = 35 * time.Second

	around = 1500 * time.Millisecond // with customers, before a fault and after it
)

// played is what came of a scene.
type played struct {
	name      string
	at, lasts time.Duration
	orders    int // that were begun until it was over
	pending   int // that were not complete then
	recovered time.Duration
	waited    bool // whether the recovery was waited for

	before, during float64       // orders per second, if they were measured
	refused        int           // 503s
	slowest        time.Duration // of the answers while the fault lasted
}

// perform plays all scenes with their customers.
func (t *trial) perform(ctx context.Context, scenes []scene, plans []plan) (report []played, err error) {
	for i := range scenes {
		from, to := len(plans)*i/len(scenes), len(plans)*(i+1)/len(scenes)
		p, err := t.play(ctx, &scenes[i], plans[from:to], !t.short || i == len(scenes)-1)
		if err != nil {
			return report, fmt.Errorf("%s: %w", scenes[i].name(), err)
		}
		report = append(report, p)
	}
	return report, nil
}

// play plays one scene.
func (t *trial) play(ctx context.Context, s *scene, plans []plan, recover bool) (played, error) {
	out := played{name: s.name(), at: time.Since(t.begun), lasts: s.lasts(), waited: recover}
	first, margin := time.Now(), around
	if t.short {
		margin /= 3
	}
	length := margin + s.lasts() + margin
	streaming := make(chan struct{})
	go func() {
		defer close(streaming)
		t.stream(ctx, plans, length/time.Duration(max(len(plans), 1)))
	}()
	if err := pause(ctx, margin); err != nil {
		return out, err
	}
	// A test's customers share its machine with other tests: there the speed tells nothing.
	speed := !t.short && s.measured()
	if speed {
		out.before = t.speed(ctx)
	}
	t.say("%s", s.name())
	begun := time.Now()
	measured := make(chan struct{})
	back, err := t.breakAll(ctx, s, measured, func() {
		defer close(measured)
		if speed {
			out.during = t.keepsUp(out.name, out.before, func() float64 { return t.speed(ctx) })
		}
	})
	if err != nil {
		return out, err
	}
	out.lasts = back.Sub(begun)
	out.pending, _ = t.ledger.waiting(back)
	<-streaming
	out.orders = t.ledger.since(first)
	t.judge(s, &out, begun, back)
	if !recover {
		return out, ctx.Err()
	}
	out.recovered, err = t.recover(ctx, back, t.short || s.any(mailServer, merchant))
	if err != nil {
		return out, err
	}
	t.say("  everything is done %.1f s after it was over", out.recovered.Seconds())
	return out, nil
}

// breakAll breaks and mends what the scene says, and returns when everything is back, with the time. While the first fault is on,
// meanwhile runs; that fault lasts until measured is closed.
func (t *trial) breakAll(ctx context.Context, s *scene, measured chan struct{}, meanwhile func()) (back time.Time, err error) {
	var all sync.WaitGroup
	var once sync.Once
	errs := make([]error, len(s.faults))
	for i := range s.faults {
		f := &s.faults[i]
		all.Go(func() {
			if errs[i] = pause(ctx, f.after); errs[i] != nil {
				return
			}
			once.Do(func() { go meanwhile() })
			err := f.begin(ctx, t, f)
			if err == nil {
				err = pause(ctx, f.lasts)
			}
			<-measured
			if err = errors.Join(err, f.end(ctx, t, f)); err != nil {
				errs[i] = fmt.Errorf("%s: %w", f.name, err)
			}
		})
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return time.Time{}, err
	}
	return time.Now(), t.serving(ctx)
}

// judge looks at the answers that customers got while a scene lasted.
func (t *trial) judge(s *scene, out *played, begun, back time.Time) {
	for _, a := range t.client.since(begun, back) {
		if a.status == http.StatusServiceUnavailable {
			out.refused++
			// In a test one scene follows upon the other, and a request may still meet what the last one left behind: a lock of a
			// connection that fell silent, say. One for a new order has nothing to meet.
			if !s.felt() && (a.fresh || !t.short) {
				t.wrong(needless, "%s: a request was answered 503", out.name)
			}
		}
		out.slowest = max(out.slowest, a.took)
		late := lateAnswer
		if a.charge {
			late = lateCharge
		}
		// A process that is stopped cannot answer; all others have to, whatever their stores do.
		if a.took > late && !s.any(processes) && !t.short {
			t.wrong(tooLate, "%s: an answer took %.1f s", out.name, a.took.Seconds())
		}
	}
}

// extra is the name of a customer beyond the plans.
func (t *trial) extra(what string) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.probes++
	return fmt.Sprintf("%s-%d", what, t.probes)
}

// recover buys something now that everything is back, and returns how long after that moment it was delivered with everything that was
// begun before. What a server outside has refused waits for its published pause, or for a person; with help somebody does what these
// people do: the merchant's developer has deliveries sent again, the operator gives dead jobs a new life.
func (t *trial) recover(ctx context.Context, back time.Time, help bool) (time.Duration, error) {
	probe := t.ledger.begin(plan{name: t.extra("probe"), lines: []orderLine{{"pool-unit", 1}, {"signed-unit", 2}}, tries: []try{{card: cardGood}}})
	t.customers.Go(func() {
		if err := t.buy(ctx, probe); err != nil && ctx.Err() == nil {
			t.wrong(lost, "%v", err)
		}
	})
	until := time.Now()
	for rounds := 1; ; rounds++ {
		n, some := t.ledger.waiting(until)
		if n == 0 {
			break
		}
		if time.Since(back) > giveUp {
			t.wrong(tooLate, "%d orders are not done %s after everything was back: %s", n, giveUp, strings.Join(some, "; "))
			return time.Since(back), nil
		}
		if rounds%100 == 0 {
			t.say("  %d orders are not done: %s", n, strings.Join(some, "; "))
		}
		if help && rounds%20 == 0 {
			if err := t.help(ctx); err != nil {
				t.say("  %v", err) // what runs at this moment cannot be started again, and need not
			}
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return 0, err
		}
	}
	took := t.ledger.latest().Sub(back)
	t.inTime(took)
	return max(took, 0), nil
}

// inTime looks at how long after everything was back everything was done.
func (t *trial) inTime(took time.Duration) {
	limit := bound
	if t.short {
		limit = shortBound
	}
	if took > limit {
		t.wrong(tooLate, "everything was done only %.1f s after everything was back", took.Seconds())
	}
}

// latest is when the last purchase became complete.
func (l *ledger) latest() (at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.all {
		if p.complete.After(at) {
			at = p.complete
		}
	}
	return at
}
