package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// The targets of webhooks.
const (
	burstTarget  = 2000 // deliveries a second
	steadyRate   = 200
	steadyMedian = 5 * time.Millisecond
	steadyTail   = 20 * time.Millisecond
)

// measureWebhooks lets a backlog of webhooks go at once, and then a steady trickle.
func measureWebhooks(ctx context.Context, b *bench) (err error) {
	i, err := b.install(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, i.close()) }()
	i.smtp = "127.0.0.1:9" // nothing is sent
	m, err := i.merchant(ctx, "Analytical Engines")
	if err != nil {
		return err
	}
	p, err := i.start(ctx, "api")
	if err != nil {
		return err
	}
	shop := newClient(p.address, m.key)
	defer shop.close()
	h, err := newHooks(shop, "custom.bench")
	if err != nil {
		return err
	}
	defer h.close()
	if err := b.measureBurst(ctx, i, h); err != nil {
		return err
	}
	return b.measureSteady(ctx, i, h)
}

// measureBurst compares the worker with a client that has nothing to do but to send.
func (b *bench) measureBurst(ctx context.Context, i *installation, h *hooks) error {
	backlog := 10_000
	if b.quick {
		backlog = 3000
	}
	var used cpu
	var delivered int
	got, base, err := b.alternate(
		func(time.Duration) (float64, error) {
			rate, spent, err := h.burst(ctx, i, backlog)
			used, delivered = used.plus(spent), delivered+backlog
			return rate, err
		},
		func(d time.Duration) (float64, error) { return bareBurst(ctx, d) })
	if err != nil {
		return err
	}
	b.table.add(row{
		what:     fmt.Sprintf("webhooks, a backlog of %d; baseline: such requests by HTTP alone, %d at a time", backlog, clients),
		measured: perSecond(got, "deliveries"), baseline: perSecond(base, "requests"), ratio: ratio(got, base),
		target: "≥ 2000/s", met: got >= burstTarget,
	})
	b.table.add(row{what: "processor time of one webhook: purser + PostgreSQL + Redis", measured: used.since(cpu{}, float64(delivered))})
	return nil
}

// burst makes events while no worker runs, and then lets a worker at them. It returns how many arrived a second, and what it took until
// the last was recorded.
func (h *hooks) burst(ctx context.Context, i *installation, n int) (rate float64, used cpu, err error) {
	h.reset()
	var left atomic.Int64
	left.Store(int64(n))
	errDone := errors.New("done")
	if _, err := crowd(ctx, clients, time.Hour, func(ctx context.Context) error {
		if left.Add(-1) < 0 {
			return errDone
		}
		return h.send(ctx)
	}); !errors.Is(err, errDone) {
		return 0, used, err
	}
	scheduler, err := i.start(ctx, "scheduler")
	if err != nil {
		return 0, used, err
	}
	before, err := i.cpu(ctx)
	if err != nil {
		return 0, used, err
	}
	worker, err := i.start(ctx, "worker")
	if err != nil {
		return 0, used, err
	}
	if err := h.settle(ctx, 5*time.Minute); err != nil {
		return 0, used, err
	}
	if err := i.quiet(ctx); err != nil {
		return 0, used, err
	}
	after, err := i.cpu(ctx)
	if err != nil {
		return 0, used, err
	}
	return h.rate(), after.minus(before), errors.Join(worker.stop(), scheduler.stop())
}

// bareBurst sends requests like webhooks as fast as they go, to a receiver that keeps no account of them.
func bareBurst(ctx context.Context, lasting time.Duration) (float64, error) {
	r, err := receive(nil)
	if err != nil {
		return 0, err
	}
	defer r.close()
	c := newClient(r.address, "")
	defer c.close()
	body := bareHook(1, time.Now())
	return crowd(ctx, clients, lasting, func(context.Context) error {
		_, err := c.do("POST", "/hooks", body, 204)
		return err
	})
}

// measureSteady compares how long webhooks take with requests at the same rate.
func (b *bench) measureSteady(ctx context.Context, i *installation, h *hooks) error {
	for _, role := range []string{"scheduler", "worker"} {
		if _, err := i.start(ctx, role); err != nil {
			return err
		}
	}
	bare, err := newBareHooks()
	if err != nil {
		return err
	}
	defer bare.close()
	for _, side := range []*hooks{h, bare} {
		if _, err := side.steady(ctx, steadyRate, 2*time.Second); err != nil { // warm up
			return err
		}
	}
	got, base, err := b.alternateTimes(
		func(d time.Duration) ([]time.Duration, error) { return h.steady(ctx, steadyRate, d) },
		func(d time.Duration) ([]time.Duration, error) { return bare.steady(ctx, steadyRate, d) })
	if err != nil {
		return err
	}
	b.table.add(row{
		what: fmt.Sprintf("webhooks at %d a second, from the transaction that makes the event to the arrival, p50 / p99; baseline: such requests by HTTP alone",
			steadyRate),
		measured: spread(got), baseline: spread(base), target: "5 / 20 ms",
		met: percentile(got, 0.5) <= steadyMedian && percentile(got, 0.99) <= steadyTail,
	})
	return nil
}
