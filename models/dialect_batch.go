package models

import (
	"context"
	"database/sql"
	"encoding/json"
	"time"
)

// What batches ask PostgreSQL: one statement for all, with an array for each column. Rows that somebody else holds are left out, so that
// a statement which holds many never waits for another one, and the two never wait for each other. SQLite is asked one by one.

// batchSettings are what the connections that batches go over ask of PostgreSQL. A batch reaches its rows by their ids. The planner would
// rather read the whole of a table that is small when the statement is prepared, and go on doing so while the table grows; or plan anew
// for each size of a batch, which takes longer than the work.
var batchSettings = map[string]string{"enable_seqscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off", "plan_cache_mode": "force_generic_plan"}

// batches are the groups of a Store, with the pools that they use.
type batches struct {
	claimPool, keepPool *sql.DB // of PostgreSQL; the first does not wait for the disk

	claiming    *group[claimRequest, *claimed]
	dispatching *group[claimRequest, *claimed] // of deliveries
	delivering  *group[delivered, struct{}]
	mailing     *group[sent, struct{}]
}

func (s *Store) openBatches() {
	s.claiming = &group[claimRequest, *claimed]{ask: s.claimTogether, orphan: s.unclaim}
	s.dispatching = s.claiming
	if !s.dialect.sqlite {
		s.dispatching = &group[claimRequest, *claimed]{ask: s.dispatchTogether, orphan: s.unclaim}
	}
	s.delivering = &group[delivered, struct{}]{ask: s.deliveredTogether}
	s.mailing = &group[sent, struct{}]{ask: s.sentTogether}
}

func (b *batches) close() {
	b.claiming.close()
	b.dispatching.close()
	b.delivering.close()
	b.mailing.close()
}

// A batch of claims. What it takes along of other tables is joined before, so that a job is not claimed without it.
const (
	claimFirst = `UPDATE jobs SET state = 'running', attempts = jobs.attempts + 1, alarms = 0,
			alarm_at = clock_timestamp() + free.lease * interval '1 microsecond'
		FROM (SELECT j.id, a.lease, a.n`
	claimThen = ` FROM unnest($1::text[], $2::int[], $3::bigint[]) WITH ORDINALITY AS a (id, epoch, lease, n) JOIN jobs j ON j.id = a.id`
	claimLast = ` WHERE j.state = 'due' AND (j.epoch = a.epoch OR j.run_at <= clock_timestamp()) FOR NO KEY UPDATE OF j SKIP LOCKED) free
		WHERE jobs.id = free.id AND jobs.state = 'due' RETURNING jobs.attempts, jobs.max_attempts, jobs.args, jobs.run_at, free.*`

	claimTogether    = claimFirst + claimThen + claimLast
	dispatchTogether = claimFirst + ", " + dispatchColumns + claimThen + " JOIN deliveries d ON d.id = j.args->>'delivery'" + dispatchJoins + claimLast
)

func (s *Store) claimTogether(ctx context.Context, requests []claimRequest) (map[int]*claimed, error) {
	if s.dialect.sqlite {
		return oneByOne(ctx, s, requests, func(t *tx, r claimRequest) (*claimed, error) { return s.claimAlone(t.DB, r) })
	}
	return s.claimBatch(ctx, claimTogether, requests, func(*claimed) []any { return nil })
}

// dispatchTogether claims deliveries, and loads what they need at once.
func (s *Store) dispatchTogether(ctx context.Context, requests []claimRequest) (map[int]*claimed, error) {
	return s.claimBatch(ctx, dispatchTogether, requests, func(row *claimed) []any {
		row.dispatch = &dispatchRow{}
		return row.dispatch.columns()
	})
}

func (s *Store) claimBatch(ctx context.Context, statement string, requests []claimRequest, more func(*claimed) []any) (map[int]*claimed, error) {
	ids, epochs, leases := make([]string, len(requests)), make([]int, len(requests)), make([]int64, len(requests))
	for i, r := range requests {
		ids[i], epochs[i], leases[i] = r.jobID, r.epoch, r.kind.Lease().Microseconds()
	}
	answers := make(map[int]*claimed, len(requests))
	err := eachRow(ctx, s.claimPool, func(scan func(...any) error) error {
		var id string
		var lease int64
		var n int
		row := &claimed{}
		err := scan(append([]any{&row.Attempts, &row.MaxAttempts, &row.Args, &row.RunAt, &id, &lease, &n}, more(row)...)...)
		answers[n-1] = row
		return err
	}, statement, ids, epochs, leases)
	return answers, err
}

const deliveredTogether = `WITH held AS MATERIALIZED (
		SELECT a.* FROM unnest($2::text[], $3::int[], $4::text[], $5::int[], $6::timestamptz[], $7::int[], $8::int[], $9::text[], $10::text[])
			WITH ORDINALITY AS a (job, fence, delivery, attempt, at, duration_ms, response_status, error, response, n)
		JOIN jobs j ON j.id = a.job WHERE j.state = 'running' AND j.attempts = a.fence FOR NO KEY UPDATE OF j SKIP LOCKED),
	done AS (UPDATE jobs SET state = 'done', finished_at = $1, last_error = NULL FROM held
		WHERE jobs.id = held.job AND jobs.state = 'running' AND jobs.attempts = held.fence RETURNING held.n),
	tried AS (INSERT INTO delivery_attempts (delivery_id, attempt, at, duration_ms, response_status, error, response)
		SELECT delivery, attempt, at, duration_ms, response_status, error, response FROM held),
	moved AS (UPDATE deliveries d SET attempts = held.attempt, response_status = held.response_status,
			status = CASE d.status WHEN 'pending' THEN 'succeeded' ELSE d.status END,
			finished_at = CASE d.status WHEN 'pending' THEN $1 ELSE d.finished_at END
		FROM held WHERE d.id = held.delivery)
	SELECT n FROM done`

func (s *Store) deliveredTogether(ctx context.Context, results []delivered) (map[int]struct{}, error) {
	if s.dialect.sqlite {
		return oneByOne(ctx, s, results, func(t *tx, d delivered) (struct{}, error) { return struct{}{}, t.delivered(&d) })
	}
	n := len(results)
	work, deliveries, responses := make([]string, n), make([]string, n), make([]string, n)
	fences, attempts, durations, statuses := make([]int, n), make([]int, n), make([]int, n), make([]*int, n)
	times, errs := make([]time.Time, n), make([]*string, n)
	for i := range results {
		c, a := results[i].claim, &results[i].attempt
		work[i], fences[i], deliveries[i] = c.JobID, c.Attempt, a.DeliveryID
		attempts[i], times[i], durations[i], statuses[i], errs[i], responses[i] = a.Attempt, a.At, a.DurationMs, a.ResponseStatus, a.Error, a.Response
	}
	return s.kept(ctx, deliveredTogether, s.now(), work, fences, deliveries, attempts, times, durations, statuses, errs, responses)
}

// sentTogether does not lock the orders: nothing else of theirs changes.
const sentTogether = `WITH held AS MATERIALIZED (
		SELECT a.* FROM unnest($2::text[], $3::int[], $4::text[], $5::text[], $6::timestamptz[], $7::json[])
			WITH ORDINALITY AS a (job, fence, email, line, at, detail, n)
		JOIN jobs j ON j.id = a.job WHERE j.state = 'running' AND j.attempts = a.fence FOR NO KEY UPDATE OF j SKIP LOCKED),
	done AS (UPDATE jobs SET state = 'done', finished_at = $1, last_error = NULL FROM held
		WHERE jobs.id = held.job AND jobs.state = 'running' AND jobs.attempts = held.fence RETURNING held.n),
	moved AS (UPDATE emails e SET status = 'sent', error = NULL, finished_at = $1 FROM held
		WHERE e.id = held.email AND e.status = 'pending' RETURNING e.merchant_id, e.order_id, held.line, held.at, held.detail),
	noted AS (INSERT INTO history (id, merchant_id, order_id, at, kind, actor, summary, detail)
		SELECT line, merchant_id, order_id, at, $8, $9, $10, detail FROM moved)
	SELECT n FROM done`

func (s *Store) sentTogether(ctx context.Context, results []sent) (map[int]struct{}, error) {
	if s.dialect.sqlite {
		return oneByOne(ctx, s, results, func(t *tx, r sent) (struct{}, error) { return struct{}{}, t.sent(&r) })
	}
	n := len(results)
	work, emails, lines, details := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	fences, times := make([]int, n), make([]time.Time, n)
	for i := range results {
		c, l := results[i].claim, &results[i].line
		detail, err := json.Marshal(l.Detail)
		if err != nil {
			return nil, err
		}
		work[i], fences[i], emails[i], lines[i], times[i], details[i] = c.JobID, c.Attempt, c.Args.Email, l.ID, l.At, string(detail)
	}
	l := &results[0].line
	return s.kept(ctx, sentTogether, s.now(), work, fences, emails, lines, times, details, l.Kind, l.Actor, l.Summary)
}

// kept runs a statement that answers with the numbers of the results that it has kept, from 1.
func (s *Store) kept(ctx context.Context, statement string, args ...any) (map[int]struct{}, error) {
	kept := map[int]struct{}{}
	err := eachRow(ctx, s.keepPool, func(scan func(...any) error) error {
		var n int
		err := scan(&n)
		kept[n-1] = struct{}{}
		return err
	}, statement, args...)
	return kept, err
}

// eachRow runs a query and hands each row to fn.
func eachRow(ctx context.Context, pool *sql.DB, fn func(scan func(...any) error) error, query string, args ...any) error {
	found, err := pool.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer found.Close()
	for found.Next() {
		if err := fn(found.Scan); err != nil {
			return err
		}
	}
	return found.Err()
}
