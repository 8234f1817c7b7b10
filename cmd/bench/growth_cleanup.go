package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// cleanUpTarget is how many times the p99 of checkouts while nothing is cleaned up it may be meanwhile.
const cleanUpTarget = 2.0

const (
	unpaidFor = 24 * time.Hour     // the term of the orders that expire
	keptFor   = 7 * 24 * time.Hour // finished promises (retention)
	// tickPatience bounds the wait for the periodic work, of which retention is every ten minutes.
	tickPatience = 15 * time.Minute
)

// measureExpiry lets a tenth as many orders as there are come to their end at the same moment.
func (j *journey) measureExpiry(ctx context.Context, conn *pgx.Conn, p *process) error {
	m, err := j.i.merchant(ctx, "Difference Engines") // without webhooks, which are measured elsewhere
	if err != nil {
		return err
	}
	other := newClient(p.address, m.key)
	defer other.close()
	if _, err := makeProduct(other, "editor-pro", "template"); err != nil {
		return err
	}
	// Reminders are not what is measured.
	if _, err := other.do("PATCH", "/v1/settings", []byte(`{"reminders":{"online":[],"offline":[]}}`), 200); err != nil {
		return err
	}
	o, err := other.order("editor-pro")
	if err != nil {
		return err
	}
	unpaid, err := j.i.specimenOf(ctx, conn, o.ID)
	if err != nil {
		return err
	}
	n := max(j.b.growth/10, 1000)
	population := population{
		specimens: []*specimen{unpaid}, first: j.b.growth, n: n, began: time.Now().Add(-2*unpaidFor - time.Hour), every: unpaidFor / time.Duration(n),
	}
	if err := j.b.fill(ctx, j.i.databaseURL, population, false); err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, "VACUUM ANALYZE orders, items, events, history, jobs"); err != nil {
		return err
	}
	return j.cleanUp(ctx, conn, cleaning{
		what: fmt.Sprintf("%d unpaid orders expire", n), n: n,
		rows: fmt.Sprintf("orders WHERE merchant_id = '%s' AND status = 'not_paid' AND unpaid_since < now() - interval '%d seconds'", m.ID, int(unpaidFor.Seconds())),
		begin: func() error {
			_, err := other.do("PATCH", "/v1/settings", []byte(`{"delete_unpaid_after":"`+unpaidFor.String()+`"}`), 200)
			return err
		},
	})
}

// measureRetention does the same with the finished promises of a tenth of the orders.
func (j *journey) measureRetention(ctx context.Context, conn *pgx.Conn, p population) error {
	old := population{first: 2 * p.n, n: max(p.n/10, 1000), began: time.Now().Add(-keptFor - 2*time.Hour)}
	old.every = time.Hour / time.Duration(old.n)
	for _, s := range p.specimens {
		old.specimens = append(old.specimens, &specimen{map[string][]part{"jobs": s.tables["jobs"]}})
	}
	n := old.rows("jobs")
	return j.cleanUp(ctx, conn, cleaning{
		what: fmt.Sprintf("retention deletes %d finished promises", n), n: n,
		rows:  fmt.Sprintf("jobs WHERE id < '%s'", uuidAt(time.Now().Add(-keptFor))),
		begin: func() error { return j.b.fill(ctx, j.i.databaseURL, old, false) },
	})
}

// cleaning is periodic work of which there is much.
type cleaning struct {
	what  string
	n     int    // of the rows
	rows  string // that it makes go away: a table and a condition
	begin func() error
}

// cleanUp looks at what customers notice of periodic work.
func (j *journey) cleanUp(ctx context.Context, conn *pgx.Conn, c cleaning) error {
	b := j.b
	lasting, rate := time.Minute, 40.0
	if b.quick {
		lasting = 15 * time.Second
	}
	calm, err := j.checkouts(ctx, rate, lasting, nil)
	if err != nil {
		return err
	}
	if err := c.begin(); err != nil {
		return err
	}
	count := func() (left int, err error) {
		err = conn.QueryRow(ctx, "SELECT count(*) FROM "+c.rows).Scan(&left)
		return left, err
	}
	left := c.n
	for end := time.Now().Add(tickPatience); left >= c.n; {
		if time.Now().After(end) {
			return fmt.Errorf("none of %d rows went away within %s", c.n, tickPatience)
		}
		if err := pause(ctx, 200*time.Millisecond); err != nil {
			return err
		}
		if left, err = count(); err != nil {
			return err
		}
	}
	b.say("  %s", c.what)
	began := time.Now()
	done := make(chan error, 1)
	over := make(chan struct{})
	go func() {
		defer close(over)
		for left := true; left; {
			err := pause(ctx, time.Second)
			if err == nil {
				err = conn.QueryRow(ctx, "SELECT EXISTS (SELECT 1 FROM "+c.rows+")").Scan(&left)
			}
			if err == nil && time.Since(began) > time.Hour {
				err = errors.New("it took more than an hour")
			}
			if err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	busy, err := j.checkouts(ctx, rate, lasting, over)
	if err := errors.Join(err, <-done); err != nil {
		return err
	}
	took := time.Since(began)
	b.say("  was over after %s: checkouts %s, before %s", took.Round(time.Second), spread(busy), spread(calm))
	quiet, loud := percentile(calm, 0.99), percentile(busy, 0.99)
	b.table.add(row{
		what:     fmt.Sprintf("checkout over HTTP at %.0f/s, p50 / p99, while %s (all within %s); baseline: while it does not", rate, c.what, took.Round(time.Second)),
		measured: spread(busy), baseline: spread(calm), ratio: ratio(float64(loud), float64(quiet)), target: "p99 ≤ 2 ×",
		met: float64(loud) <= cleanUpTarget*float64(quiet),
	})
	return nil
}

// checkouts lets customers order at a rate for a while, or until something is over, and returns how long each had to wait.
func (j *journey) checkouts(ctx context.Context, rate float64, lasting time.Duration, over <-chan struct{}) (took []time.Duration, err error) {
	var mu sync.Mutex
	var all sync.WaitGroup
	defer all.Wait()
	began := time.Now()
	for n := 0; ; n++ {
		due := began.Add(time.Duration(float64(n) / rate * float64(time.Second)))
		if due.Sub(began) >= lasting {
			break
		}
		select {
		case <-over:
			lasting = 0
			continue
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(time.Until(due)):
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
