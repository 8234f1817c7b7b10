package models_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

// Among thousands of orders and events that are as most are, a listing reads only those that it looks for, even by a plan that PostgreSQL has
// made without looking at the parameters.
func TestListingsSkipWhatTheyDoNotLookFor(t *testing.T) {
	t.Parallel()
	s := storetest.Open(t, "postgres")
	shop := storetest.Merchant(t, s)
	storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
	o := storetest.Order(t, s, shop.Test, "editor", 1)
	storetest.Exec(t, s, `INSERT INTO orders
		SELECT r.* FROM orders o, generate_series(1, 5000) AS n, LATERAL jsonb_populate_record(o, jsonb_build_object(
			'id', left(o.id, 20) || lpad(n::text, 10, '0'), 'number', 'C' || n, 'token', 'copy ' || n,
			'status', 'paid', 'paid_at', o.created_at, 'fulfillment_status', 'delivered', 'delivered_at', o.created_at)) AS r`)
	storetest.Exec(t, s, `INSERT INTO events
		SELECT r.* FROM events e, generate_series(1, 5000) AS n, LATERAL jsonb_populate_record(e, jsonb_build_object(
			'id', left(e.id, 20) || lpad(n::text, 10, '0'), 'fact', 'copy ' || n,
			'order_id', left(e.order_id, 20) || lpad(n::text, 10, '0'))) AS r`)
	storetest.Exec(t, s, `ANALYZE orders, events`)
	orders := func(f models.OrderFilter) string {
		query, values := s.OrdersQuery(t.Context(), shop.Test, f)
		return explain(t, s, query, values)
	}
	events := func(f models.EventFilter) string {
		query, values := s.EventsQuery(t.Context(), shop.Test, f)
		return explain(t, s, query, values)
	}
	for _, c := range []struct{ name, plan, want string }{
		{"terminated orders", orders(models.OrderFilter{Status: "terminated"}), "orders_terminated"},
		{"deleted orders", orders(models.OrderFilter{Status: "deleted"}), "orders_deleted"},
		{"unpaid orders", orders(models.OrderFilter{Status: "not_paid"}), "orders_expiry|orders_reminders"},
		{"orders that are delivered in part", orders(models.OrderFilter{FulfillmentStatus: "partially_delivered"}), "orders_partly_delivered"},
		{"paid orders that are not delivered", orders(models.OrderFilter{Status: "paid", FulfillmentStatus: "not_delivered"}), "orders_undelivered"},
		{"orders by the merchant's own id", orders(models.OrderFilter{ExternalID: "cart-1"}), "orders_external"},
		{"orders up to a time", orders(models.OrderFilter{CreatedTo: o.CreatedAt.Add(-24 * time.Hour)}), "id < "},
		{"orders from a time on", orders(models.OrderFilter{CreatedFrom: o.CreatedAt.Add(24 * time.Hour)}), "id >= "},
		{"orders of a product", orders(models.OrderFilter{Product: "editor"}), `Index Cond: .*\(id >= .*\(id <= |Index Cond: .*\(id <= .*\(id >= `},
		{"events of an uncommon type", events(models.EventFilter{Type: "refund.completed"}), "events_uncommon"},
		{"events of an order", events(models.EventFilter{Order: o.ID}), "events_order"},
	} {
		if !regexp.MustCompile(c.want).MatchString(c.plan) {
			t.Errorf("%s are not found by %s:\n%s", c.name, c.want, c.plan)
		}
	}
}

// Among thousands of unpaid orders, periodic work that is done every second reads only those whose time has come, and of many of those only
// as many as it can act on.
func TestPeriodicWorkSkipsWhatIsNotDue(t *testing.T) {
	t.Parallel()
	s := storetest.Open(t, "postgres")
	shop := storetest.Merchant(t, s)
	storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
	copies(t, s, storetest.Order(t, s, shop.Test, "editor", 1).ID, 5000)
	storetest.Exec(t, s, `ANALYZE orders`)
	var jit string
	if err := s.SQL().QueryRowContext(t.Context(), `SHOW jit`).Scan(&jit); err != nil || jit != "off" {
		t.Errorf("plans that look expensive are compiled: %q, %v", jit, err)
	}
	queries, values := s.DueQueries(t.Context())
	for i, want := range []string{
		`Limit .*\n.*WindowAgg .*\n.*Index Scan using orders_expiry.*\n.*Index Cond: \(\(merchant_id = m\.id\) AND \(unpaid_since <= `,
		`Limit .*\n.*WindowAgg .*\n.*Index Scan using orders_reminders.*\n.*Index Cond: \(\(merchant_id = r\.merchant_id\) AND .* AND \(unpaid_since <= `,
	} {
		plan := explain(t, s, queries[i], values[i])
		if !regexp.MustCompile(want).MatchString(plan) {
			t.Errorf("the plan is not by %s:\n%s", want, plan)
		}
	}
}

// However many promises wait for a time to come, the relay reads only those whose alarm has passed.
func TestTheRelaySkipsWhatWaits(t *testing.T) {
	t.Parallel()
	s := storetest.Open(t, "postgres")
	storetest.Exec(t, s, `INSERT INTO jobs (id, kind, args, state, max_attempts, run_at, alarm_at, created_at)
		SELECT '00000000-0000-7000-8000-' || lpad(n::text, 12, '0'), 'webhook.deliver', '{}', 'due', 10, now() + interval '1 day', now() + interval '1 day', now()
		FROM generate_series(1, 5000) AS n`)
	storetest.Exec(t, s, `ANALYZE jobs`)
	query, values := s.OverdueQuery(t.Context())
	if plan := explain(t, s, query, values); !regexp.MustCompile(`Index Scan using jobs_alarm.*\n.*Index Cond: \(alarm_at <= `).MatchString(plan) {
		t.Errorf("the relay reads what waits:\n%s", plan)
	}
}

// However many keys of a pool are sold, the next one is found among those that are left, by statistics from when all were.
func TestNextKeyIsFoundAmongThoseThatAreLeft(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		p := storetest.Product(t, s, shop.Test, "editor", models.MethodPool)
		keys := make([]string, 5000)
		for i := range keys {
			keys[i] = fmt.Sprintf("KEY-%d", i)
		}
		ok(s.AddPoolKeys(t.Context(), shop.Test, p.ID, keys))(t)
		storetest.Exec(t, s, `ANALYZE pool_keys`)
		query, values := s.NextKeysQuery(t.Context(), p.ID, true)
		var plan string
		if s.Embedded() {
			var id, parent, unused int
			if err := s.SQL().QueryRowContext(t.Context(), "EXPLAIN QUERY PLAN "+query, values...).Scan(&id, &parent, &unused, &plan); err != nil {
				t.Fatal(err)
			}
		} else {
			plan = explain(t, s, query, values)
		}
		if !regexp.MustCompile(`(?i)using (index )?pool_keys_next`).MatchString(plan) || strings.Contains(plan, "Sort") {
			t.Errorf("the next key is not found by the index of those that are left:\n%s", plan)
		}
	})
}

// explain returns the plan that serves every value of the parameters, without what it only filters by.
func explain(t *testing.T, s *models.Store, query string, values []any) string {
	t.Helper()
	conn, err := s.SQL().Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	literals := make([]string, len(values))
	for i, v := range values {
		switch v := v.(type) {
		case string:
			literals[i] = "'" + v + "'"
		case time.Time:
			literals[i] = "'" + v.Format(time.RFC3339Nano) + "'"
		default:
			literals[i] = fmt.Sprint(v)
		}
	}
	for _, statement := range []string{"SET plan_cache_mode = force_generic_plan", "PREPARE listing AS " + query} {
		if _, err := conn.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	rows, err := conn.QueryContext(t.Context(), "EXPLAIN EXECUTE listing ("+strings.Join(literals, ", ")+")")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var plan strings.Builder
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(line, "Filter: ") {
			plan.WriteString(line + "\n")
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.ExecContext(t.Context(), "DEALLOCATE listing"); err != nil {
		t.Fatal(err)
	}
	return plan.String()
}
