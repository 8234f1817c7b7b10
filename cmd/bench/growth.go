package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// The targets of the section growth.
const (
	growthTarget = 1.2 // times what it costs with an empty database
	expiryTarget = 2.0 // times the p99 of checkouts while nothing expires
)

// vitals is how a shop does.
type vitals struct {
	creation float64 // orders a second
	journey  float64 // orders a second, until the last webhook
	lists    []time.Duration
	rest     float64 // share of a processor that purser and PostgreSQL use when nothing happens: relay, reminders, expiry, metrics
}

// lists are the listings that merchants and operators look at. The email is that of one customer.
func lists(email, order string) []string {
	return []string{
		"/v1/orders?limit=50", "/v1/orders?limit=50&status=paid", "/v1/orders?limit=50&email=" + email, "/v1/events?limit=50",
		"/v1/deliveries?limit=50", "/v1/deliveries?limit=50&status=failed", "/v1/orders?limit=50&status=paid&fulfillment_status=not_delivered", "/v1/orders/" + order, "/v1/orders/" + order + "/timeline",
	}
}

// vitals measures everything that must not get slower.
func (j *journey) vitals(ctx context.Context, paths []string) (v vitals, err error) {
	n, each := j.b.rounds()
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

	for _, path := range paths {
		var took []time.Duration
		for range 10 * n {
			began := time.Now()
			if _, err := j.shop.do("GET", path, nil, 200); err != nil {
				return v, err
			}
			took = append(took, time.Since(began))
		}
		v.lists = append(v.lists, median(took))
	}
	var rates, journeys []float64
	for range n {
		rate, err := crowd(ctx, clients, each, func(context.Context) error { _, err := j.shop.order("editor-pro"); return err })
		if err != nil {
			return v, err
		}
		rates = append(rates, rate)
		if err := j.quiet(ctx); err != nil {
			return v, err
		}
		paid, began := j.paid.Load(), time.Now()
		if _, err := crowd(ctx, 8, each, func(context.Context) error { return j.buy() }); err != nil {
			return v, err
		}
		if err := j.quiet(ctx); err != nil {
			return v, err
		}
		journeys = append(journeys, float64(j.paid.Load()-paid)/time.Since(began).Seconds())
	}
	v.creation, v.journey = median(rates), median(journeys)
	return v, nil
}

// quiet waits until every promise is kept.
func (j *journey) quiet(ctx context.Context) (err error) {
	conn, err := pgx.Connect(ctx, j.i.databaseURL)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	for end := time.Now().Add(5 * patience); ; {
		var open int
		if err := conn.QueryRow(ctx, "SELECT count(*) FROM jobs WHERE finished_at IS NULL AND run_at < now() + interval '1 minute'").Scan(&open); err != nil {
			return err
		}
		if open == 0 {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("%d promises are open after %s", open, 5*patience)
		}
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
}

// measureGrowth compares a shop with millions of orders with itself on its first day, and then lets hundreds of thousands expire at once.
func measureGrowth(ctx context.Context, b *bench) (err error) {
	i, err := b.install(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, i.close()) }()
	j, p, err := newJourney(ctx, i, 60_000)
	if err != nil {
		return err
	}
	defer j.close()
	o, err := j.shop.order("editor-pro")
	if err != nil {
		return err
	}
	if err := j.shop.pay(o.ID); err != nil {
		return err
	}
	if err := j.quiet(ctx); err != nil {
		return err
	}
	paths := lists(o.email, o.ID)
	young, err := j.vitals(ctx, paths)
	if err != nil {
		return err
	}
	b.say("  empty: %.0f orders/s, %.0f journeys/s, at rest %.3f of a processor", young.creation, young.journey, young.rest)
	conn, err := pgx.Connect(ctx, i.databaseURL)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	rows, err := templateOf(ctx, conn, o.ID)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := b.fill(ctx, i.databaseURL, rows, 0, b.growth); err != nil {
		return fmt.Errorf("fill the database: %w", err)
	}
	var size string
	if err := conn.QueryRow(ctx, "SELECT pg_size_pretty(pg_database_size(current_database()))").Scan(&size); err != nil {
		return err
	}
	b.say("  %d orders of %d rows in %s, %s", b.growth, len(rows), time.Since(began).Round(time.Second), size)
	old, err := j.vitals(ctx, paths)
	if err != nil {
		return err
	}
	b.say("  full: %.0f orders/s, %.0f journeys/s, at rest %.3f of a processor", old.creation, old.journey, old.rest)
	with := fmt.Sprintf("with %d delivered orders, their %d webhooks and %d finished promises (%s)", b.growth, b.growth*hooksPerOrder, b.growth*jobsPerOrder, size)
	b.compare("orders created over HTTP "+with+"; baseline: without", old.creation, young.creation, "orders")
	b.compare("whole journeys, 8 customers at a time, "+with, old.journey, young.journey, "orders")
	for n, path := range paths {
		shown := path
		switch n {
		case 2:
			shown = "/v1/orders?limit=50&email=…"
		case 7, 8:
			shown = "/v1/orders/…" + path[len("/v1/orders/"+o.ID):]
		}
		// A quarter of a millisecond is the noise of a clock and a network.
		met := float64(old.lists[n]) <= growthTarget*float64(young.lists[n])+float64(time.Second/4000)
		b.table.add(row{
			what: "GET " + shown + ", median", measured: millis(old.lists[n]), baseline: millis(young.lists[n]),
			ratio: ratio(float64(old.lists[n]), float64(young.lists[n])), target: "≤ 1.2 ×", met: met,
		})
	}
	b.table.add(row{
		what: "processor at rest: relay, reminders, expiry, metrics; purser + PostgreSQL", measured: fmt.Sprintf("%.1f %%", 100*old.rest),
		baseline: fmt.Sprintf("%.1f %%", 100*young.rest), ratio: ratio(old.rest, young.rest), target: "≤ 1.2 ×", met: old.rest <= growthTarget*young.rest+0.005,
	})
	return j.measureExpiry(ctx, conn, p)
}

func (b *bench) compare(what string, got, base float64, unit string) {
	b.table.add(row{
		what: what, measured: perSecond(got, unit), baseline: perSecond(base, unit), ratio: ratio(got, base), target: "≥ 0.83 ×", met: got >= base/growthTarget,
	})
}

// measureExpiry lets a tenth of the orders come to their end at the same moment, and looks at what customers notice of it.
func (j *journey) measureExpiry(ctx context.Context, conn *pgx.Conn, p *process) error {
	b := j.b
	n := max(b.growth/10, 1000)
	lasting, rate := time.Minute, 40.0
	if b.quick {
		lasting = 15 * time.Second
	}
	m, err := j.i.merchant(ctx, "Difference Engines") // without webhooks, which are measured elsewhere
	if err != nil {
		return err
	}
	other := newClient(p.address, m.key)
	defer other.close()
	if _, err := makeProduct(other, "viewer", "template"); err != nil {
		return err
	}
	o, err := other.order("viewer")
	if err != nil {
		return err
	}
	// Their time is over once all of them are there.
	rows, err := templateOf(ctx, conn, o.ID)
	if err != nil {
		return err
	}
	if err := b.fill(ctx, j.i.databaseURL, rows, b.growth, n); err != nil {
		return err
	}
	calm, err := j.checkouts(ctx, rate, lasting)
	if err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, "UPDATE orders SET unpaid_since = unpaid_since - interval '91 days' WHERE merchant_id = $1", m.ID); err != nil {
		return err
	}
	began := time.Now()
	busy, err := j.checkouts(ctx, rate, lasting)
	if err != nil {
		return err
	}
	left := func() (left int, err error) {
		err = conn.QueryRow(ctx, "SELECT count(*) FROM orders WHERE merchant_id = $1 AND status = 'not_paid'", m.ID).Scan(&left)
		return left, err
	}
	for end := began.Add(30 * time.Minute); ; {
		open, err := left()
		if err != nil {
			return err
		}
		if open == 0 {
			break
		}
		if time.Now().After(end) {
			return fmt.Errorf("%d of %d orders have not expired", open, n)
		}
		if err := pause(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
	took := time.Since(began)
	quiet, loud := percentile(calm, 0.99), percentile(busy, 0.99)
	b.table.add(row{
		what:     fmt.Sprintf("checkout over HTTP at %.0f/s, p50 / p99, while %d unpaid orders expire (all within %s); baseline: while none does", rate, n, took.Round(time.Second)),
		measured: spread(busy), baseline: spread(calm), ratio: ratio(float64(loud), float64(quiet)), target: "p99 ≤ 2 ×", met: float64(loud) <= expiryTarget*float64(quiet),
	})
	return nil
}

// checkouts lets customers order at a rate, and returns how long each had to wait.
func (j *journey) checkouts(ctx context.Context, rate float64, lasting time.Duration) (took []time.Duration, err error) {
	var mu sync.Mutex
	var all sync.WaitGroup
	began := time.Now()
	for n := 0; ; n++ {
		due := began.Add(time.Duration(float64(n) / rate * float64(time.Second)))
		if due.Sub(began) >= lasting {
			break
		}
		if err := pause(ctx, time.Until(due)); err != nil {
			return nil, err
		}
		all.Go(func() {
			_, failed := j.shop.order("editor-pro")
			mu.Lock()
			defer mu.Unlock()
			took, err = append(took, time.Since(due)), errors.Join(err, failed)
		})
	}
	all.Wait()
	return took, err
}
