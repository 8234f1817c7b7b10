package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

const (
	isolationRate    = 50 // healthy webhooks a second
	isolationTarget  = 100 * time.Millisecond
	isolationBacklog = 400 // deliveries that hang
	isolationOrders  = 50  // whose emails hang
)

// trouble is something that hangs for a while.
type trouble struct {
	what       string
	begin, end func() error // at the end nothing is left of it
}

// measureIsolation lets one thing after the other hang, and looks how long the webhooks of a healthy endpoint take meanwhile. The
// baseline is the same endpoint while nothing hangs, half of it before and half after.
func measureIsolation(ctx context.Context, b *bench) (err error) {
	i, err := b.install(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, i.close()) }()
	mute, err := hangUp()
	if err != nil {
		return err
	}
	defer mute.close()
	i.smtp = mute.address()
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
	defer healthy.close()
	lasting := 20 * time.Second
	if b.quick {
		lasting = 8 * time.Second
	}
	if _, err := healthy.steady(ctx, isolationRate, time.Second); err != nil { // warm up
		return err
	}
	before, err := healthy.steady(ctx, isolationRate, lasting/2)
	if err != nil {
		return err
	}
	for _, t := range []trouble{hangingEndpoint(ctx, i, shop), hangingMail(ctx, i, shop, mute)} {
		if err := t.begin(); err != nil {
			return err
		}
		got, err := healthy.steady(ctx, isolationRate, lasting)
		if err != nil {
			return err
		}
		if err := t.end(); err != nil {
			return err
		}
		after, err := healthy.steady(ctx, isolationRate, lasting/2)
		if err != nil {
			return err
		}
		base := slices.Concat(before, after)
		b.say("  %s: %s, before %s, after %s", t.what, spread(got), spread(before), spread(after))
		b.table.add(row{
			what:     fmt.Sprintf("healthy webhooks at %d a second beside %s, p50 / p99; baseline: without, before and after", isolationRate, t.what),
			measured: spread(got), baseline: spread(base), ratio: ratio(float64(percentile(got, 0.99)), float64(percentile(base, 0.99))),
			target: "p99 < 100 ms", met: percentile(got, 0.99) < isolationTarget,
		})
		before = after
	}
	return nil
}

// hangingEndpoint gets many events and answers none. It is over when its merchant deletes it.
func hangingEndpoint(ctx context.Context, i *installation, shop *client) trouble {
	var dead *hang
	var endpoint string
	return trouble{
		what: fmt.Sprintf("%d deliveries queued to an endpoint that hangs", isolationBacklog),
		begin: func() (err error) {
			if dead, err = hangUp(); err != nil {
				return err
			}
			if endpoint, err = makeEndpoint(shop, "http://"+dead.address()+"/hooks", "custom.hanging"); err != nil {
				return err
			}
			for range isolationBacklog {
				if _, err := shop.do("POST", "/v1/events", []byte(`{"type":"custom.hanging","data":{}}`), 201); err != nil {
					return err
				}
			}
			return nil
		},
		end: func() error {
			if _, err := shop.do("DELETE", "/v1/webhook-endpoints/"+endpoint, nil, 200); err != nil {
				return err
			}
			dead.close()
			return i.quiet(ctx)
		},
	}
}

// hangingMail is a mail server that says nothing. It is over when another one takes the emails at its address.
func hangingMail(ctx context.Context, i *installation, shop *client, mute *hang) trouble {
	return trouble{
		what: fmt.Sprintf("a mail server that hangs, %d paid orders", isolationOrders),
		begin: func() error {
			if _, err := makeProduct(shop, "editor-pro", "template"); err != nil {
				return err
			}
			for range isolationOrders {
				o, err := shop.order("editor-pro")
				if err != nil {
					return err
				}
				if err := shop.pay(o.ID); err != nil {
					return err
				}
			}
			return nil
		},
		end: func() error {
			mute.close()
			mail, err := takeMail(mute.address(), func(string, []byte) {})
			if err != nil {
				return err
			}
			defer mail.close()
			return i.quiet(ctx)
		},
	}
}
