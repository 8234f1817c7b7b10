package models

import (
	"context"
	"fmt"
	"time"

	"github.com/purser-dev/purser/jobs"
)

// How long what is finished is kept.
const (
	keepDone  = 7 * 24 * time.Hour  // jobs that succeeded
	keepEnded = 90 * 24 * time.Hour // jobs that are dead or were cancelled
	keepTicks = time.Hour           // periodic jobs, of which there are thousands a day
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
}

// Sweep deletes what retention no longer keeps, the oldest first, in batches that are a transaction each: jobs that were done seven
// days ago (periodic ones an hour ago), jobs that died or were cancelled 90 days ago and whose delivery, email or item is not waiting
// for somebody to retry it, answers of idempotent requests after 24 hours, and expired sessions. Safe to repeat, to race and to cut
// off.
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
		// The keys of ticks sort by their period, so a range of them finds the old ones without reading the others.
		if err := s.deleteBatches(ctx, &n.Jobs, "jobs", "id",
			`SELECT id FROM jobs WHERE dedupe_key >= ? AND dedupe_key < ? AND state = 'done' LIMIT ?`,
			tickKey(k, time.Unix(0, 0)), tickKey(k, now.Add(-keepTicks))); err != nil {
			return n, err
		}
	}
	// Ids are in the order of their making, and nothing ends before it is made: the bound on id keeps the scan to the old rows.
	done, ended := now.Add(-keepDone), now.Add(-keepEnded)
	if err := s.deleteBatches(ctx, &n.Jobs, "jobs", "id",
		`SELECT id FROM jobs WHERE id < ? AND state = 'done' AND finished_at < ? ORDER BY id LIMIT ?`, firstJobID(done), done); err != nil {
		return n, err
	}
	if err := s.deleteBatches(ctx, &n.Jobs, "jobs", "id", endedJobs, firstJobID(ended), ended); err != nil {
		return n, err
	}
	if err := s.deleteBatches(ctx, &n.IdempotencyKeys, "idempotency_keys", "id",
		`SELECT id FROM idempotency_keys WHERE created_at <= ? ORDER BY created_at LIMIT ?`, now.Add(-idempotencyTerm)); err != nil {
		return n, err
	}
	err = s.deleteBatches(ctx, &n.Sessions, "sessions", "digest",
		`SELECT digest FROM sessions WHERE expires_at <= ? ORDER BY expires_at LIMIT ?`, now)
	return n, err
}

// endedJobs leaves out the jobs by which a delivery, an email or an item can still be retried.
const endedJobs = `SELECT j.id FROM jobs j WHERE j.id < ? AND j.state IN ('dead', 'cancelled') AND j.finished_at < ?
	AND NOT EXISTS (SELECT 1 FROM deliveries d JOIN webhook_endpoints w ON w.id = d.endpoint_id
		WHERE d.id = (j.args->>'delivery') AND d.job_id = j.id AND d.status IN ('pending', 'failed') AND w.deleted_at IS NULL)
	AND NOT EXISTS (SELECT 1 FROM emails e WHERE e.id = (j.args->>'email') AND e.job_id = j.id AND e.status IN ('pending', 'failed'))
	AND NOT EXISTS (SELECT 1 FROM items i WHERE i.id = (j.args->>'item') AND i.fulfillment_status = 'failed')
	ORDER BY j.id LIMIT ?`

// deleteBatches deletes what a selection finds, which ends in a bound for the batch, until it finds no more.
func (s *Store) deleteBatches(ctx context.Context, deleted *int64, table, key, selection string, args ...any) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		began := time.Now()
		var n int64
		err := s.write(ctx, func(t *tx) error {
			res := t.Exec("DELETE FROM "+table+" WHERE "+key+" IN ("+selection+")", append(args[:len(args):len(args)], sweepBatch)...)
			n = res.RowsAffected
			return res.Error
		})
		if err != nil {
			return err
		}
		if *deleted += n; n < sweepBatch {
			return nil
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
