package main

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// diary records the order in which parts start and stop.
type diary struct {
	mu    sync.Mutex
	lines []string
}

func (d *diary) write(line string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, line)
}

func (d *diary) part(name string) part {
	return part{
		name:  name,
		start: func(context.Context, func(error)) error { d.write("+" + name); return nil },
		stop: func(ctx context.Context) error {
			if ctx.Err() != nil {
				d.write("late " + name)
			}
			d.write("-" + name)
			return nil
		},
	}
}

func (d *diary) lifecycle(foundations, roles []part) *lifecycle {
	return &lifecycle{
		foundations: foundations, roles: roles,
		started:      func() { d.write("started") },
		draining:     func() { d.write("draining") },
		drainTimeout: time.Hour,
		log:          slog.New(slog.DiscardHandler),
	}
}

func TestLifecycleOrder(t *testing.T) {
	t.Parallel()
	var d diary
	ctx, cancel := context.WithCancel(context.Background())
	l := d.lifecycle([]part{d.part("ops"), d.part("store"), {name: "nothing"}}, []part{d.part("api")})
	l.started = func() { d.write("started"); cancel() }
	if err := l.run(ctx); err != nil {
		t.Fatal(err)
	}
	want := []string{"+ops", "+store", "+api", "started", "draining", "-api", "-store", "-ops"}
	if !slices.Equal(d.lines, want) {
		t.Errorf("got  %v\nwant %v", d.lines, want)
	}
}

// TestLifecycleRolesDrainTogether: each role waits for the other to have begun, which in sequence would never end.
func TestLifecycleRolesDrainTogether(t *testing.T) {
	t.Parallel()
	var d diary
	var both sync.WaitGroup
	both.Add(2)
	meet := func(context.Context) error { both.Done(); both.Wait(); return nil }
	ctx, cancel := context.WithCancel(context.Background())
	l := d.lifecycle([]part{d.part("store")}, []part{{name: "api", stop: meet}, {name: "worker", stop: meet}})
	l.started = cancel
	if err := l.run(ctx); err != nil {
		t.Fatal(err)
	}
	if want := []string{"+store", "draining", "-store"}; !slices.Equal(d.lines, want) {
		t.Errorf("got %v, want %v", d.lines, want)
	}
}

func TestLifecycleFailedStart(t *testing.T) {
	t.Parallel()
	var d diary
	bad := part{
		name:  "worker",
		start: func(context.Context, func(error)) error { return errors.New("no luck") },
		stop:  func(context.Context) error { d.write("-worker"); return nil },
	}
	err := d.lifecycle([]part{d.part("store")}, []part{d.part("api"), bad, d.part("scheduler")}).run(context.Background())
	if err == nil || err.Error() != "start worker: no luck" {
		t.Errorf("got %v", err)
	}
	if want := []string{"+store", "+api", "draining", "-api", "-store"}; !slices.Equal(d.lines, want) {
		t.Errorf("what started, and nothing else, must stop: got %v, want %v", d.lines, want)
	}
}

func TestLifecycleFailureStopsEverything(t *testing.T) {
	t.Parallel()
	var d diary
	failing := part{name: "api", start: func(_ context.Context, fail func(error)) error {
		go func() {
			fail(errors.New("listener died"))
			fail(errors.New("echo"))
		}()
		return nil
	}, stop: func(context.Context) error { return errors.New("was dead already") }}
	l := d.lifecycle([]part{d.part("store")}, []part{failing})
	l.lameDuck = time.Hour // is for those who serve
	err := l.run(context.Background())
	if err == nil || err.Error() != "listener died\nstop api: was dead already" {
		t.Errorf("got %v", err)
	}
	if want := []string{"+store", "started", "draining", "-store"}; !slices.Equal(d.lines, want) {
		t.Errorf("got %v, want %v", d.lines, want)
	}
}

// TestLifecycleDrainTimeout: a role that does not finish is told so, and the stores still get time to close.
func TestLifecycleDrainTimeout(t *testing.T) {
	t.Parallel()
	var d diary
	ctx, cancel := context.WithCancel(context.Background())
	stuck := part{name: "worker", stop: hanging}
	l := d.lifecycle([]part{d.part("store")}, []part{stuck})
	l.drainTimeout = 10 * time.Millisecond
	l.started = cancel
	err := l.run(ctx)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "stop worker") {
		t.Errorf("got %v", err)
	}
	if want := []string{"+store", "draining", "-store"}; !slices.Equal(d.lines, want) {
		t.Errorf("got %v, want %v", d.lines, want)
	}
}

// TestLifecycleStoppedWhileStarting: a signal during the start is a stop like any other.
func TestLifecycleStoppedWhileStarting(t *testing.T) {
	t.Parallel()
	var d diary
	ctx, cancel := context.WithCancel(context.Background())
	slow := part{name: "store", start: func(ctx context.Context, _ func(error)) error { cancel(); return nil }}
	if err := d.lifecycle([]part{d.part("ops"), slow}, []part{d.part("api")}).run(ctx); err != nil {
		t.Errorf("got %v", err)
	}
	if want := []string{"+ops", "draining", "-ops"}; !slices.Equal(d.lines, want) {
		t.Errorf("got %v, want %v", d.lines, want)
	}
}
