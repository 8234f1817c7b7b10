package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// foundationTimeout is how long each foundation may take to stop, after the roles have stopped.
const foundationTimeout = 5 * time.Second

// part is something that runs as long as the process does.
type part struct {
	name string
	// start returns once the part serves; what goes on afterwards must not depend on ctx, which ends with the first signal.
	// fail may be called later, from any goroutine, to stop the whole process with an error. A nil start does nothing.
	start func(ctx context.Context, fail func(error)) error
	// stop finishes the work in hand while ctx lasts, then cuts it; it returns when nothing of the part runs any more. A nil stop does nothing.
	stop func(ctx context.Context) error
}

// lifecycle starts the parts of a process in order and stops them again.
type lifecycle struct {
	// foundations serve the roles (stores, publisher, ops): they stop after them, one by one, last started first.
	foundations []part
	// roles take in work (api, worker, scheduler). They drain at the same time, so that each has the whole timeout.
	roles []part
	// started is called once everything serves; draining once, before anything stops. Both may be nil.
	started, draining func()
	drainTimeout      time.Duration
	// lameDuck is how long everything goes on between draining and the stop, so that those who ask whether the process is ready have
	// turned away by then. A process that failed, or has not come to serve, does not wait.
	lameDuck time.Duration
	log      *slog.Logger
}

// run serves until ctx ends, which is no error, or a part fails. Whatever happens, everything that was started has been stopped when it returns.
func (l *lifecycle) run(ctx context.Context) error {
	failed := make(chan error, 1)
	fail := func(err error) {
		select {
		case failed <- err:
		default: // the first failure stops the process, later ones are its echo
		}
	}
	var foundations, roles []part
	err := startAll(ctx, l.foundations, &foundations, fail)
	if err == nil {
		err = startAll(ctx, l.roles, &roles, fail)
	}
	if err == nil {
		if l.started != nil {
			l.started()
		}
		select {
		case <-ctx.Done():
			l.log.Info("stopping: finishing work in hand", "timeout", l.drainTimeout.String())
		case err = <-failed:
			l.log.Error("stopping because a part failed", "error", err)
		}
	} else if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		err = nil
	}
	if l.draining != nil {
		l.draining()
	}
	if err == nil && l.lameDuck > 0 && len(roles) == len(l.roles) {
		select {
		case <-time.After(l.lameDuck):
		case err = <-failed:
		}
	}
	return errors.Join(err, l.stop(context.WithoutCancel(ctx), foundations, roles))
}

func startAll(ctx context.Context, parts []part, started *[]part, fail func(error)) error {
	for _, p := range parts {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if p.start != nil {
			if err := p.start(ctx, fail); err != nil {
				return fmt.Errorf("start %s: %w", p.name, err)
			}
		}
		*started = append(*started, p)
	}
	return nil
}

func (l *lifecycle) stop(ctx context.Context, foundations, roles []part) error {
	var (
		mu       sync.Mutex
		problems []error
	)
	stopOne := func(ctx context.Context, p part) {
		if p.stop == nil {
			return
		}
		if err := p.stop(ctx); err != nil {
			mu.Lock()
			defer mu.Unlock()
			problems = append(problems, fmt.Errorf("stop %s: %w", p.name, err))
		}
	}
	drainCtx, cancel := context.WithTimeout(ctx, l.drainTimeout)
	defer cancel()
	var draining sync.WaitGroup
	for _, p := range roles {
		draining.Go(func() { stopOne(drainCtx, p) })
	}
	draining.Wait()
	for i := len(foundations) - 1; i >= 0; i-- {
		stopCtx, cancel := context.WithTimeout(ctx, foundationTimeout)
		stopOne(stopCtx, foundations[i])
		cancel()
	}
	return errors.Join(problems...)
}
