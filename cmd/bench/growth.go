package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// growthTarget is how many times what it costs with an empty database something may cost with a full one.
const growthTarget = 1.2

// grownWithin is how long ago the copies began, so that retention, which keeps finished promises for a week, still keeps all of theirs.
const grownWithin = 6 * 24 * time.Hour

// measureGrowth compares a shop with millions of orders with itself on its first day, and then has much to clean up at once.
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
	conn, err := pgx.Connect(ctx, i.databaseURL)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	bought, dropped, err := j.firstDay(ctx)
	if err != nil {
		return err
	}
	var s subject
	s.order = bought
	if err := conn.QueryRow(ctx, "SELECT endpoint_id, event_id FROM deliveries ORDER BY id LIMIT 1").Scan(&s.endpoint, &s.event); err != nil {
		return err
	}
	s.before = time.Now()
	young, err := j.vitals(ctx, s.listings())
	if err != nil {
		return err
	}
	population, err := i.grown(ctx, conn, bought.ID, dropped.ID, b.growth)
	if err != nil {
		return err
	}
	if err := p.stop(); err != nil { // it would stand in the way of the indexes' making
		return err
	}
	began := time.Now()
	if err := b.fillFast(ctx, i.databaseURL, population); err != nil {
		return fmt.Errorf("fill the database: %w", err)
	}
	waiting := max(b.growth/10, 1000)
	if err := addWaiting(ctx, conn, waiting); err != nil {
		return fmt.Errorf("add promises that wait: %w", err)
	}
	var size string
	if err := conn.QueryRow(ctx, "SELECT pg_size_pretty(pg_database_size(current_database()))").Scan(&size); err != nil {
		return err
	}
	b.say("  %d orders in %s, %s", b.growth, time.Since(began).Round(time.Second), size)
	if p, err = i.start(ctx, "run"); err != nil {
		return err
	}
	j.shop.close()
	j.shop = newClient(p.address, j.shop.key)
	s.before = population.began.Add(grownWithin / 2)
	old, err := j.vitals(ctx, s.listings())
	if err != nil {
		return err
	}
	with := fmt.Sprintf("with %d orders, 3 of 10 delivered, %d finished promises, %d that wait for their time and %d events (%s)",
		b.growth, population.rows("jobs"), waiting, population.rows("events"), size)
	b.addVitals(with, s.listings(), old, young)
	if err := j.measureExpiry(ctx, conn, p); err != nil {
		return err
	}
	return j.measureRetention(ctx, conn, population)
}

// addWaiting adds promises whose next try is tomorrow: the webhooks of a merchant whose server is away.
func addWaiting(ctx context.Context, conn *pgx.Conn, n int) error {
	_, err := conn.Exec(ctx, `INSERT INTO jobs (id, kind, args, state, attempts, max_attempts, run_at, alarm_at, created_at)
		SELECT $1 || lpad(n::text, 12, '0'), 'webhook.deliver', '{}', 'due', 7, 10, now() + interval '1 day', now() + interval '1 day', now()
		FROM generate_series(1, $2) AS n`, uuidAt(time.Now().Add(-24 * time.Hour))[:24], n)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, "VACUUM ANALYZE jobs")
	return err
}

// firstDay makes enough orders for a page of each kind, and returns one that was delivered and one that was cancelled unpaid. As many are
// neither.
func (j *journey) firstDay(ctx context.Context) (bought, dropped order, err error) {
	if _, err = makeProduct(j.shop, unsold, "template"); err != nil {
		return bought, dropped, err
	}
	for range 60 {
		if bought, err = j.shop.order("editor-pro"); err != nil {
			return bought, dropped, err
		}
		if err = j.shop.pay(bought.ID); err != nil {
			return bought, dropped, err
		}
		if dropped, err = j.shop.order("editor-pro"); err != nil {
			return bought, dropped, err
		}
		if _, err = j.shop.do("POST", "/v1/orders/"+dropped.ID+"/cancel", []byte("{}"), 200); err != nil {
			return bought, dropped, err
		}
		if _, err = j.shop.order("editor-pro"); err != nil {
			return bought, dropped, err
		}
	}
	return bought, dropped, j.i.quiet(ctx)
}

// grown is the population of a shop where, as in most, seven customers of ten leave without paying, and which tells a webhook endpoint of one
// order in ten. Whole journeys with all their webhooks would need two and a half times the room, and say the same about orders, lists and
// promises.
func (i *installation) grown(ctx context.Context, conn *pgx.Conn, bought, dropped string, n int) (p population, err error) {
	delivered, err := i.specimenOf(ctx, conn, bought)
	if err != nil {
		return p, err
	}
	cancelled, err := i.specimenOf(ctx, conn, dropped)
	if err != nil {
		return p, err
	}
	p = population{n: n, began: time.Now().Add(-grownWithin - time.Hour), every: grownWithin / time.Duration(n)}
	told, bare, left := delivered, delivered.untold(), cancelled.untold()
	p.specimens = []*specimen{told, left, left, bare, left, left, bare, left, left, left}
	return p, nil
}

// untold is the specimen as it would be if no webhook endpoint had been subscribed.
func (s *specimen) untold() *specimen {
	return s.without("deliveries", "").without("delivery_attempts", "").without("jobs", "webhook.deliver")
}

func (b *bench) addVitals(with string, lists []listing, old, young vitals) {
	b.compare("orders created over HTTP "+with+"; baseline: without", old.creation, young.creation)
	b.compare("whole journeys, 8 customers at a time, "+with, old.journey, young.journey)
	b.compareTimes("processor time of one order's creation, with its webhook: purser + PostgreSQL + Redis", old.creationTime, young.creationTime)
	b.compareTimes("processor time of one journey: purser + PostgreSQL + Redis", old.journeyTime, young.journeyTime)
	for n, l := range lists {
		b.compareTimes("GET "+l.shown+", median", old.lists[n], young.lists[n])
	}
	b.table.add(row{
		what: "processor at rest: relay, reminders, expiry, metrics; purser + PostgreSQL", measured: fmt.Sprintf("%.1f %%", 100*old.rest),
		baseline: fmt.Sprintf("%.1f %%", 100*young.rest), ratio: ratio(old.rest, young.rest), target: "≤ 1.2 ×", met: old.rest <= growthTarget*young.rest+0.005,
	})
}

func (b *bench) compare(what string, got, base float64) {
	b.table.add(row{
		what: what, measured: perSecond(got, "orders"), baseline: perSecond(base, "orders"), ratio: ratio(got, base), target: "≥ 0.83 ×",
		met: got >= base/growthTarget,
	})
}

func (b *bench) compareTimes(what string, got, base time.Duration) {
	// A quarter of a millisecond is the noise of a clock and a network.
	met := float64(got) <= growthTarget*float64(base)+float64(time.Second/4000)
	b.table.add(row{
		what: what, measured: millis(got), baseline: millis(base), ratio: ratio(float64(got), float64(base)), target: "≤ 1.2 ×", met: met,
	})
}
