package models

import (
	"context"
	"fmt"
	"time"

	"github.com/purser-dev/purser/jobs"
)

// How long what is finished is kept.
const (
	keepDone      = 7 * 24 * time.Hour  // jobs that succeeded
	keepEnded     = 90 * 24 * time.Hour // jobs that are dead or were cancelled
	keepTicks     = time.Hour           // periodic jobs, of which there are thousands a day
	keepDeadTicks = 24 * time.Hour      // those that failed; a later one has done their work
	keepCarts     = 90 * 24 * time.Hour // carts that nobody has touched, as unpaid orders
)

const (
	sweepBatch = 1000 // rows that one transaction deletes, so that none is long, nor what it writes to the disk at once
	sweepRest  = 3    // how many times as long as a batch took the next one waits
)

// Swept counts the rows that a sweep has deleted.
type Swept struct {
	Jobs            int64
	IdempotencyKeys int64
	Sessions        int64
	Carts           int64
}

// Rows is how many they are in all.
func (n Swept) Rows() int64 { return n.Jobs + n.IdempotencyKeys + n.Sessions + n.Carts }

// Sweep deletes what retention no longer keeps, the oldest first, in batches that are a transaction each: jobs that were done seven
// days ago (periodic ones an hour ago, or a day if they failed), jobs that died or were cancelled 90 days ago and whose delivery, email or item
// is not waiting for somebody to retry it, answers of idempotent requests after 24 hours, expired sessions, and carts that nobody has touched
// for 90 days. Safe to repeat, to race and to cut off.
//
// It returns what it deleted, also when it was cut off.
func (s *Store) Sweep(ctx context.Context) (Swept, error) { return s.sweep(ctx, s.now()) }

// SweepAt is Sweep as if it were another time.
func (s *Store) SweepAt(ctx context.Context, now time.Time) (Swept, error) {
	return s.sweep(ctx, now.UTC().Truncate(time.Microsecond))
}

func (s *Store) sweep(ctx context.Context, now time.Time) (n Swept, err error) {
	for _, k := range jobs.Kinds {
		if k.Every == 0 {
			continue
		}
		for _, old := range []outdated{
			{where: "j.dedupe_key < ? AND j.state = 'done'", values: []any{tickKey(k, now.Add(-keepTicks))}},
			{where: "j.dedupe_key < ? AND j.state IN ('dead', 'cancelled')", values: []any{tickKey(k, now.Add(-keepDeadTicks))}},
		} {
			// The keys of ticks sort by their period, so a range of them finds the old ones without reading the others.
			old.table, old.key, old.from = "jobs", "dedupe_key", tickKey(k, time.Unix(0, 0))
			if err := s.deleteBatches(ctx, &n.Jobs, old); err != nil {
				return n, err
			}
		}
	}
	// Ids are in the order of their making, and nothing ends before it is made: the bound on id keeps the scan to the old rows.
	done, ended := now.Add(-keepDone), now.Add(-keepEnded)
	for _, old := range []outdated{
		{where: "j.id < ? AND j.state = 'done' AND j.finished_at < ?", values: []any{firstJobID(done), done}},
		{where: "j.id < ? AND j.state IN ('dead', 'cancelled') AND j.finished_at < ?" + beyondRetry, values: []any{firstJobID(ended), ended}},
	} {
		old.table, old.key = "jobs", "id"
		if err := s.deleteBatches(ctx, &n.Jobs, old); err != nil {
			return n, err
		}
	}
	for _, other := range []struct {
		deleted *int64
		old     outdated
	}{
		{&n.IdempotencyKeys, outdated{table: "idempotency_keys", key: "id", where: "j.created_at <= ?", order: "created_at", values: []any{now.Add(-idempotencyTerm)}}},
		{&n.Sessions, outdated{table: "sessions", key: "digest", where: "j.expires_at <= ?", order: "expires_at", values: []any{now}}},
		{&n.Carts, outdated{table: "carts", key: "id", where: "j.updated_at <= ?", order: "updated_at", values: []any{now.Add(-keepCarts)}}},
	} {
		if err := s.deleteBatches(ctx, other.deleted, other.old); err != nil {
			return n, err
		}
	}
	return n, nil
}

// beyondRetry leaves out the jobs by which a delivery, an email or an item can still be retried.
const beyondRetry = ` AND NOT EXISTS (SELECT 1 FROM deliveries d JOIN webhook_endpoints w ON w.id = d.endpoint_id
		WHERE d.id = (j.args->>'delivery') AND d.job_id = j.id AND d.status IN ('pending', 'failed') AND w.deleted_at IS NULL)
	AND NOT EXISTS (SELECT 1 FROM emails e WHERE e.id = (j.args->>'email') AND e.job_id = j.id AND e.status IN ('pending', 'failed'))
	AND NOT EXISTS (SELECT 1 FROM items i WHERE i.id = (j.args->>'item') AND i.fulfillment_status = 'failed')`

// outdated are the rows j of a table that retention no longer keeps.
type outdated struct {
	table, key string // a unique column
	where      string
	values     []any
	// order is the column by which they are found; empty for the key. By the key, each batch begins where the one before it ended, and does not
	// read again what has to stay.
	order string
	from  string // the smallest key
}

// deleteBatches deletes rows until it finds no more. What makes a row outdated is asked again of each when it is deleted: somebody may have
// been quicker, and have given it a new life.
func (s *Store) deleteBatches(ctx context.Context, deleted *int64, old outdated) error {
	cursor, order := old.from, old.order
	if order == "" {
		order = old.key
	}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		began := time.Now()
		var keys []string
		var n int64
		err := s.write(ctx, func(t *tx) error {
			keys = keys[:0]
			values := append(old.values[:len(old.values):len(old.values)], cursor, sweepBatch)
			if err := t.Raw("SELECT j."+old.key+" FROM "+old.table+" j WHERE "+old.where+" AND j."+old.key+" > ? ORDER BY j."+order+" LIMIT ?", values...).
				Scan(&keys).Error; err != nil || len(keys) == 0 {
				return err
			}
			res := t.Exec("DELETE FROM "+old.table+" AS j WHERE j."+old.key+" IN ? AND "+old.where, append([]any{keys}, old.values...)...)
			n = res.RowsAffected
			return res.Error
		})
		if err != nil {
			return err
		}
		if *deleted += n; len(keys) < sweepBatch {
			return nil
		}
		if old.order == "" {
			cursor = keys[len(keys)-1]
		}
		rest(ctx, sweepRest*time.Since(began))
	}
}

func tickKey(k jobs.Kind, period time.Time) string {
	return k.Name + "@" + period.UTC().Format(time.RFC3339)
}

// firstJobID is the smallest id that a job made at a time, or later, can have.
func firstJobID(at time.Time) string {
	ms := max(at.UnixMilli(), 0)
	return fmt.Sprintf("%08x-%04x-7000-8000-000000000000", ms>>16, ms&0xffff)
}
