package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// The targets of a purser that has nothing to do.
const (
	memoryTarget = 80 << 20
	readyTarget  = time.Second
	idleTarget   = 0.02 // of a core
)

// footprint is what one program takes of a machine when it has nothing to do, measured several times.
type footprint struct {
	name string // of the profile
	i    *installation
	role string

	ready  []time.Duration
	busy   []float64 // of a core
	memory []int64
}

// measureFootprint starts `purser run` several times and lets it rest; the baseline is a Go program that only listens.
func measureFootprint(ctx context.Context, b *bench) (err error) {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	bare := *b
	bare.purser = self
	least, err := bare.installEmbedded()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, least.close()) }()
	onServers, err := b.install(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, onServers.close()) }()
	onServers.smtp = "127.0.0.1:9" // nothing is sent
	embedded, err := b.installEmbedded()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, embedded.close()) }()
	base := &footprint{i: least, role: idleCommand}
	profiles := []*footprint{{name: "PostgreSQL and Redis", i: onServers, role: "run"}, {name: "embedded stores", i: embedded, role: "run"}}
	all := append([]*footprint{base}, profiles...)
	if err := b.startInTurns(ctx, all); err != nil {
		return err
	}
	if err := b.restTogether(ctx, all); err != nil {
		return err
	}
	for _, p := range profiles {
		b.addFootprint(p, base)
	}
	return nil
}

// startInTurns starts each of them alone, and stops it. The very first start, which makes the database, does not count.
func (b *bench) startInTurns(ctx context.Context, all []*footprint) error {
	n, _ := b.rounds()
	starts := make([]func() (time.Duration, error), len(all))
	for k, f := range all {
		starts[k] = func() (time.Duration, error) {
			p, err := f.i.start(ctx, f.role)
			if err != nil {
				return 0, err
			}
			return p.ready, p.stop()
		}
	}
	ready, err := inTurns(n+1, starts...)
	if err != nil {
		return err
	}
	for k, f := range all {
		f.ready = ready[k][1:]
	}
	return nil
}

// restTogether lets all of them rest at the same time, in rounds. What they do then is too little to be in each other's way, and each can
// be watched for longer than in turns: the kernel counts hundredths of a second, of which a resting purser uses about one a second.
func (b *bench) restTogether(ctx context.Context, all []*footprint) error {
	n, _ := b.rounds()
	settle, lasting := 3*time.Second, 15*time.Second
	if b.quick {
		lasting = 5 * time.Second
	}
	for range n {
		running := make([]*process, len(all))
		for k, f := range all {
			p, err := f.i.start(ctx, f.role)
			if err != nil {
				return err
			}
			running[k] = p
		}
		if err := pause(ctx, settle); err != nil {
			return err
		}
		busy, err := shares(ctx, running, lasting)
		if err != nil {
			return err
		}
		for k, f := range all {
			memory, err := running[k].memory()
			if err != nil {
				return err
			}
			f.busy, f.memory = append(f.busy, busy[k]), append(f.memory, memory)
		}
		for _, p := range running {
			if err := p.stop(); err != nil {
				return err
			}
		}
	}
	return nil
}

// shares tells how much of a core each process uses over a time.
func shares(ctx context.Context, running []*process, over time.Duration) ([]float64, error) {
	before, err := processorTimes(running)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	if err := pause(ctx, over); err != nil {
		return nil, err
	}
	after, err := processorTimes(running)
	if err != nil {
		return nil, err
	}
	lasted := time.Since(began)
	busy := make([]float64, len(running))
	for k := range busy {
		busy[k] = (after[k] - before[k]).Seconds() / lasted.Seconds()
	}
	return busy, nil
}

func processorTimes(running []*process) ([]time.Duration, error) {
	used := make([]time.Duration, len(running))
	for k, p := range running {
		var err error
		if used[k], _, err = processorTime(p.cmd.Process.Pid); err != nil {
			return nil, err
		}
	}
	return used, nil
}

// addFootprint adds the medians of one profile.
func (b *bench) addFootprint(f, base *footprint) {
	memory, busy, ready := median(f.memory), median(f.busy), median(f.ready)
	b.say("  %s: ready after %s, %s of a core, %d bytes", f.name, f.ready, fmt.Sprintf("%.4f", f.busy), f.memory)
	b.table.add(row{
		what: "memory of `purser run` at rest, " + f.name, measured: mebibytes(memory), baseline: mebibytes(median(base.memory)),
		ratio: ratio(float64(memory), float64(median(base.memory))), target: "< 80 MiB", met: memory < memoryTarget,
	})
	b.table.add(row{
		what: "processor that `purser run` uses at rest, " + f.name, measured: ofACore(busy), baseline: ofACore(median(base.busy)),
		target: "< 2 % of a core", met: busy < idleTarget,
	})
	b.table.add(row{
		what: "start of `purser run` until ready, " + f.name, measured: millis(ready), baseline: millis(median(base.ready)),
		ratio: ratio(float64(ready), float64(median(base.ready))), target: "< 1 s", met: ready < readyTarget,
	})
}

func ofACore(share float64) string { return fmt.Sprintf("%.1f %% of a core", 100*share) }

func mebibytes(n int64) string { return fmt.Sprintf("%.0f MiB", float64(n)/(1<<20)) }

// pause waits, unless the run is told to stop.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
