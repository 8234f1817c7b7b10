package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	isolationRate    = 50 // healthy webhooks a second
	isolationTarget  = 100 * time.Millisecond
	isolationBacklog = 400 // deliveries that hang
)

// measureIsolation lets one thing after the other hang, and looks how long the webhooks of a healthy endpoint take meanwhile. The
// baseline is the same endpoint while nothing hangs.
func measureIsolation(ctx context.Context, b *bench) (err error) {
	i, err := b.install(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, i.close()) }()
	dead, err := hangUp()
	if err != nil {
		return err
	}
	defer dead.close()
	i.smtp = dead.address()
	m, err := i.merchant(ctx, "Analytical Engines")
	if err != nil {
		return err
	}
	p, err := i.start(ctx, "run")
	if err != nil {
		return err
	}
	shop := newClient(p.address, m.key)
	defer shop.close()
	healthy, err := newHooks(shop, "custom.healthy")
	if err != nil {
		return err
	}
	defer healthy.receiver.close()
	if _, err := makeProduct(shop, "editor-pro", "template"); err != nil {
		return err
	}
	if _, err := makeEndpoint(shop, "http://"+dead.address()+"/hooks", "custom.hanging"); err != nil {
		return err
	}
	lasting := 20 * time.Second
	if b.quick {
		lasting = 8 * time.Second
	}
	if _, err := healthy.steady(ctx, isolationRate, time.Second); err != nil { // warm up
		return err
	}
	base, err := healthy.steady(ctx, isolationRate, lasting)
	if err != nil {
		return err
	}
	for _, trouble := range []struct {
		what  string
		begin func() error
	}{
		{fmt.Sprintf("%d deliveries queued to an endpoint that hangs", isolationBacklog), func() error {
			for range isolationBacklog {
				if _, err := shop.do("POST", "/v1/events", []byte(`{"type":"custom.hanging","data":{}}`), 201); err != nil {
					return err
				}
			}
			return nil
		}},
		{"a mail server that hangs, 50 paid orders", func() error {
			for range 50 {
				o, err := shop.order("editor-pro")
				if err != nil {
					return err
				}
				if err := shop.pay(o.ID); err != nil {
					return err
				}
			}
			return nil
		}},
	} {
		if err := trouble.begin(); err != nil {
			return err
		}
		got, err := healthy.steady(ctx, isolationRate, lasting)
		if err != nil {
			return err
		}
		b.table.add(row{
			what:     fmt.Sprintf("healthy webhooks at %d a second beside %s, p50 / p99; baseline: without", isolationRate, trouble.what),
			measured: spread(got), baseline: spread(base), ratio: ratio(float64(percentile(got, 0.99)), float64(percentile(base, 0.99))),
			target: "p99 < 100 ms", met: percentile(got, 0.99) < isolationTarget,
		})
	}
	return nil
}
