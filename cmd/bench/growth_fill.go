package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
)

// orderTables say for each table which of its rows belong to the order $1, in the order in which they can be written.
var orderTables = []struct{ name, rows string }{
	{"orders", "id = $1"},
	{"items", "order_id = $1"},
	{"payments", "order_id = $1"},
	{"licenses", "order_id = $1"},
	{"events", "order_id = $1"},
	{"deliveries", "event_id IN (SELECT id FROM events WHERE order_id = $1)"},
	{"delivery_attempts", "delivery_id IN (SELECT d.id FROM deliveries d JOIN events e ON e.id = d.event_id WHERE e.order_id = $1)"},
	{"emails", "order_id = $1"},
	{"history", "order_id = $1"},
	{"jobs", "order_id = $1"},
}

// copyMark stands in a template for the number of a copy. It takes the place of the last characters of an id, and numbers are as long.
const (
	copyMark   = "@copy number@"
	copyDigits = 12
)

// template is a row of an order as JSON, in which everything that has to be different in each copy has a mark in it.
type template struct{ table, row string }

// templateOf reads an order with everything that belongs to it. changed replaces text in it once more.
func templateOf(ctx context.Context, conn *pgx.Conn, order string, changed ...string) (rows []template, err error) {
	var pairs []string // what is replaced by what
	for _, t := range orderTables {
		found, err := conn.Query(ctx, "SELECT (to_jsonb(t) - 'pool_key_id')::text, to_jsonb(t) FROM "+t.name+" t WHERE "+t.rows, order)
		if err != nil {
			return nil, err
		}
		var text string
		var fields map[string]any
		if _, err := pgx.ForEachRow(found, []any{&text, &fields}, func() error {
			rows = append(rows, template{t.name, text})
			for _, name := range []string{"id", "token", "request_id", "customer_email"} {
				if own, ok := fields[name].(string); ok && len(own) > copyDigits {
					pairs = append(pairs, own, own[:len(own)-copyDigits]+copyMark)
				}
			}
			if number, ok := fields["number"].(string); ok {
				pairs = append(pairs, number, "C"+copyMark)
			}
			return nil
		}); err != nil {
			return nil, fmt.Errorf("%s: %w", t.name, err)
		}
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("there is no order %s", order)
	}
	marked := strings.NewReplacer(append(pairs, changed...)...)
	for i := range rows {
		rows[i].row = marked.Replace(rows[i].row)
	}
	return rows, nil
}

// copyOrders writes the copies from one number to another, by sets and without asking whether what they refer to is there, in one
// transaction.
func copyOrders(ctx context.Context, conn *pgx.Conn, rows []template, from, to int) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SET LOCAL session_replication_role = replica; SET LOCAL synchronous_commit = off"); err != nil {
			return err
		}
		for _, r := range rows {
			if _, err := tx.Exec(ctx, fmt.Sprintf(`INSERT INTO %s SELECT r.* FROM generate_series($2::bigint, $3::bigint) AS n,
				LATERAL jsonb_populate_record(NULL::%[1]s, replace($1::text, '%s', lpad(n::text, %d, '0'))::jsonb) AS r`, r.table, copyMark, copyDigits),
				r.row, from, to); err != nil {
				return fmt.Errorf("%s: %w", r.table, err)
			}
		}
		return nil
	})
}

// fill writes n copies of an order, numbered from first, on as many connections as there are processors for it, and brings the statistics up to date.
func (b *bench) fill(ctx context.Context, address string, rows []template, first, n int) (err error) {
	const connections, batch = 2, 5000
	work := make(chan int)
	failed := make(chan error, connections)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var all sync.WaitGroup
	for range connections {
		all.Go(func() {
			failed <- func() (err error) {
				defer func() {
					if err != nil {
						cancel()
					}
				}()
				conn, err := pgx.Connect(ctx, address)
				if err != nil {
					return err
				}
				defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
				for from := range work {
					if err := copyOrders(ctx, conn, rows, first+from, first+min(from+batch, n)-1); err != nil {
						return err
					}
				}
				return nil
			}()
		})
	}
	for from := 0; from < n && ctx.Err() == nil; from += batch {
		select {
		case work <- from:
		case <-ctx.Done():
		}
		if tenth := max(n/10/batch*batch, batch); from%tenth == 0 {
			b.say("  %d of %d orders are there", from, n)
		}
	}
	close(work)
	all.Wait()
	for range connections {
		err = errors.Join(err, <-failed)
	}
	if err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, "VACUUM ANALYZE")
	if err == nil {
		_, err = conn.Exec(ctx, "CHECKPOINT")
	}
	return errors.Join(err, conn.Close(ctx))
}
