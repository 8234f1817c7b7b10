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

// measureFootprint starts `purser run` several times and lets it rest; the baseline is a Go program that only listens.
func measureFootprint(ctx context.Context, b *bench) error {
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
	base, err := b.footprint(ctx, least, idleCommand)
	if err != nil {
		return err
	}
	onServers, err := b.install(ctx)
	if err != nil {
		return err
	}
	onServers.smtp = "127.0.0.1:9" // nothing is sent
	embedded, err := b.installEmbedded()
	if err != nil {
		return err
	}
	for _, profile := range []struct {
		name string
		i    *installation
	}{{"PostgreSQL and Redis", onServers}, {"embedded stores", embedded}} {
		got, err := b.footprint(ctx, profile.i, "run")
		if err != nil {
			return err
		}
		b.table.add(row{
			what: "memory of `purser run` at rest, " + profile.name, measured: mebibytes(got.memory), baseline: mebibytes(base.memory),
			ratio: ratio(float64(got.memory), float64(base.memory)), target: "< 80 MiB", met: got.memory < memoryTarget,
		})
		b.table.add(row{
			what: "processor that `purser run` uses at rest, " + profile.name, measured: ofACore(got.busy), baseline: ofACore(base.busy),
			target: "< 2 % of a core", met: got.busy < idleTarget,
		})
		b.table.add(row{
			what: "start of `purser run` until ready, " + profile.name, measured: millis(got.ready), baseline: millis(base.ready),
			ratio: ratio(float64(got.ready), float64(base.ready)), target: "< 1 s", met: got.ready < readyTarget,
		})
	}
	return nil
}

type footprint struct {
	memory int64
	busy   float64 // of a core, while it rests
	ready  time.Duration
}

// footprint is the median of several starts. The installation is closed afterwards. The very first start, which makes the database, does
// not count.
func (b *bench) footprint(ctx context.Context, i *installation, role string) (f footprint, err error) {
	defer func() { err = errors.Join(err, i.close()) }()
	n, _ := b.rounds()
	settle, rest := 3*time.Second, 20*time.Second
	if b.quick {
		rest = 5 * time.Second
	}
	var ready []time.Duration
	for round := range n + 1 {
		p, err := i.start(ctx, role)
		if err != nil {
			return f, err
		}
		if round > 0 {
			ready = append(ready, p.ready)
		}
		if round == n {
			if err := pause(ctx, settle); err != nil {
				return f, err
			}
			if f.busy, err = p.busy(ctx, rest); err != nil {
				return f, err
			}
			if f.memory, err = p.memory(); err != nil {
				return f, err
			}
		}
		if err := p.stop(); err != nil {
			return f, err
		}
	}
	f.ready = median(ready)
	return f, nil
}

// busy is how much of a core the process uses over a time.
func (p *process) busy(ctx context.Context, over time.Duration) (float64, error) {
	before, _, err := processorTime(p.cmd.Process.Pid)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	if err := pause(ctx, over); err != nil {
		return 0, err
	}
	after, _, err := processorTime(p.cmd.Process.Pid)
	return (after - before).Seconds() / time.Since(began).Seconds(), err
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
