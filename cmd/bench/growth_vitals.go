package main

import (
	"context"
	"time"
)

// vitals is how a shop does.
type vitals struct {
	creation float64 // orders a second
	journey  float64 // orders a second, until the last webhook
	lists    []time.Duration
	rest     float64 // share of a processor that purser and PostgreSQL use when nothing happens: relay, reminders, expiry, metrics

	// The processor time of one of each, with its webhooks, which depends less on what else the machine does.
	creationTime, journeyTime time.Duration
}

// unsold is the SKU of a product that nobody buys.
const unsold = "viewer"

// subject is what the narrow listings are about.
type subject struct {
	order           order
	endpoint, event string
	before          time.Time // there are more orders than a page holds before it
}

// listing is one that merchants and operators look at.
type listing struct{ shown, path string }

// listings are full pages, narrow ones, and ones for which there is nothing to find.
func (s subject) listings() []listing {
	all := []listing{
		{"/v1/orders/…", "/v1/orders/" + s.order.ID},
		{"/v1/orders/…/timeline", "/v1/orders/" + s.order.ID + "/timeline"},
		{"/v1/orders?limit=50&email=…", "/v1/orders?limit=50&email=" + s.order.email},
		{"/v1/orders?limit=50&created_to=…", "/v1/orders?limit=50&created_to=" + s.before.UTC().Format(time.RFC3339)},
		{"/v1/events?limit=50&order=…", "/v1/events?limit=50&order=" + s.order.ID},
		{"/v1/deliveries?limit=50&event=…", "/v1/deliveries?limit=50&event=" + s.event},
		{"/v1/deliveries?limit=50&endpoint=…", "/v1/deliveries?limit=50&endpoint=" + s.endpoint},
	}
	for _, path := range []string{
		"/v1/orders?limit=50",
		"/v1/orders?limit=50&status=paid",
		"/v1/orders?limit=50&status=not_paid",
		"/v1/orders?limit=50&status=deleted",
		"/v1/orders?limit=50&status=terminated",
		"/v1/orders?limit=50&status=paid&fulfillment_status=not_delivered",
		"/v1/orders?limit=50&fulfillment_status=partially_delivered",
		"/v1/orders?limit=50&product=editor-pro",
		"/v1/orders?limit=50&product=" + unsold,
		"/v1/orders?limit=50&external_id=none",
		"/v1/orders?limit=50&created_to=2020-01-01T00:00:00Z",
		"/v1/events?limit=50",
		"/v1/events?limit=50&type=order.delivered",
		"/v1/events?limit=50&type=refund.completed",
		"/v1/deliveries?limit=50",
		"/v1/deliveries?limit=50&status=failed",
	} {
		all = append(all, listing{path, path})
	}
	return all
}

// vitals measures everything that must not get slower.
func (j *journey) vitals(ctx context.Context, lists []listing) (v vitals, err error) {
	n, each := j.b.rounds()
	if _, err := crowd(ctx, 8, each/2, func(context.Context) error { return j.buy() }); err != nil { // warm up
		return v, err
	}
	if err := j.i.quiet(ctx); err != nil {
		return v, err
	}
	before, err := j.i.cpu(ctx)
	if err != nil {
		return v, err
	}
	if err := pause(ctx, 2*each); err != nil {
		return v, err
	}
	after, err := j.i.cpu(ctx)
	if err != nil {
		return v, err
	}
	used := after.minus(before)
	v.rest = (used.purser + used.database).Seconds() / (2 * each).Seconds()

	for _, l := range lists {
		var took []time.Duration
		for range 10 * n {
			began := time.Now()
			if _, err := j.shop.do("GET", l.path, nil, 200); err != nil {
				return v, err
			}
			took = append(took, time.Since(began))
		}
		v.lists = append(v.lists, median(took))
	}
	var rates, journeys []float64
	var created, bought cpuPerOrder
	for range n {
		if err := created.measure(ctx, j, func() (orders float64, err error) {
			first := customers.Load()
			rate, err := crowd(ctx, clients, each, func(context.Context) error { _, err := j.shop.order("editor-pro"); return err })
			rates = append(rates, rate)
			return float64(customers.Load() - first), err
		}); err != nil {
			return v, err
		}
		began := time.Now()
		var orders float64
		if err := bought.measure(ctx, j, func() (float64, error) {
			before := j.paid.Load()
			_, err := crowd(ctx, 8, each, func(context.Context) error { return j.buy() })
			orders = float64(j.paid.Load() - before)
			return orders, err
		}); err != nil {
			return v, err
		}
		journeys = append(journeys, orders/time.Since(began).Seconds())
	}
	v.creationTime, v.journeyTime = created.one(), bought.one()
	v.creation, v.journey = median(rates), median(journeys)
	j.b.say("  %.0f orders/s, %.0f journeys/s, at rest %.3f of a processor", v.creation, v.journey, v.rest)
	return v, nil
}

// cpuPerOrder adds up what orders cost.
type cpuPerOrder struct {
	used   cpu
	orders float64
}

// measure adds what is used by some orders until the last of their promises is kept.
func (c *cpuPerOrder) measure(ctx context.Context, j *journey, run func() (orders float64, err error)) error {
	before, err := j.i.cpu(ctx)
	if err != nil {
		return err
	}
	orders, err := run()
	if err != nil {
		return err
	}
	if err := j.i.quiet(ctx); err != nil {
		return err
	}
	after, err := j.i.cpu(ctx)
	c.used, c.orders = c.used.plus(after.minus(before)), c.orders+orders
	return err
}

func (c *cpuPerOrder) one() time.Duration {
	return time.Duration(float64(c.used.purser+c.used.database+c.used.redis) / c.orders)
}
