package models_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

func TestRacingWorkersRemindOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		settings(t, s, shop, `{"reminders":{"online":["1s","3600s"],"offline":[]}}`)
		storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
		again := storetest.Again(t, s)
		const orders = 30
		for range orders {
			aged(t, s, storetest.Order(t, s, shop.Test, "editor", 1).ID, time.Minute)
		}
		reminded := make([]int, 6)
		refusals(t, race(len(reminded), func(i int) (err error) {
			reminded[i], err = []*models.Store{s, again}[i%2].RemindOrders(t.Context())
			return err
		}))
		total := 0
		for _, n := range reminded {
			total += n
		}
		n := ok(s.RemindOrders(t.Context()))(t) // those that one worker had locked while another looked
		if total += n; total != orders {
			t.Errorf("%d reminders are reported", total)
		}
		if n := storetest.Count(t, s, `SELECT COUNT(DISTINCT order_id) FROM emails WHERE kind = 'payment_reminder'`); n != orders {
			t.Errorf("%d orders were reminded", n)
		}
		if n := storetest.Count(t, s, `SELECT COUNT(*) FROM emails`); n != orders || len(jobsOf(t, s, shop, jobs.KindReminder)) != orders {
			t.Errorf("%d emails are staged", n)
		}
		healthy(t, s)
	})
}

// copies makes n more unpaid orders like one, with their items and events and without all else that comes with them.
func copies(t *testing.T, s *models.Store, orderID string, n int) {
	t.Helper()
	insert := func(table, key string, change map[string]string) {
		rows, err := s.SQL().QueryContext(t.Context(), `SELECT * FROM `+table+` WHERE 1 = 0`)
		if err != nil {
			t.Fatal(err)
		}
		columns, err := rows.Columns()
		if err == nil {
			err = rows.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		values := make([]string, len(columns))
		for i, c := range columns {
			if values[i] = "x." + c; change[c] != "" {
				values[i] = change[c]
			}
		}
		storetest.Exec(t, s, fmt.Sprintf(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d)
			INSERT INTO %s (%s) SELECT %s FROM %s AS x, n WHERE x.%s = $1`, n, table, strings.Join(columns, ", "), strings.Join(values, ", "), table, key), orderID)
	}
	id := func(column string) string { return "substr(x." + column + ", 1, 22) || CAST(10000000 + n.i AS text)" }
	insert("orders", "id", map[string]string{"id": id("id"), "number": "'B' || CAST(1000000000 + n.i AS text)", "token": id("token")})
	insert("items", "order_id", map[string]string{"id": id("id"), "order_id": id("order_id")})
	insert("events", "order_id", map[string]string{"id": id("id"), "order_id": id("order_id"), "fact": id("order_id") + " || ':created'"})
}

// However many orders are due at once, several workers take them in bounded batches, each once.
func TestThousandsOfOrdersAreDueAtOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		settings(t, s, shop, `{"delete_unpaid_after":"1h","reminders":{"online":["10s"],"offline":[]}}`)
		storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
		again := storetest.Again(t, s)
		const orders = 1500
		o := storetest.Order(t, s, shop.Test, "editor", 1)
		aged(t, s, o.ID, 5*time.Minute)
		copies(t, s, o.ID, orders-1)

		all := func(work func(*models.Store) (int, error)) {
			t.Helper()
			total := 0
			for round := 0; total < orders && round < 20; round++ {
				done := make([]int, 3)
				refusals(t, race(len(done), func(i int) (err error) {
					done[i], err = work([]*models.Store{s, again}[i%2])
					return err
				}))
				total += done[0] + done[1] + done[2]
			}
			if total != orders {
				t.Errorf("%d orders were acted on, want %d", total, orders)
			}
		}
		all(func(s *models.Store) (int, error) { return s.RemindOrders(t.Context()) })
		if n := storetest.Count(t, s, `SELECT COUNT(DISTINCT order_id) FROM emails`); n != orders || storetest.Count(t, s, `SELECT COUNT(*) FROM emails`) != orders {
			t.Errorf("%d orders were reminded, want %d", n, orders)
		}
		settings(t, s, shop, `{"delete_unpaid_after":"60s"}`)
		all(func(s *models.Store) (int, error) { return s.ExpireOrders(t.Context()) })
		if n := storetest.Count(t, s, `SELECT COUNT(*) FROM orders WHERE status = 'deleted' AND delete_reason = 'expired'`); n != orders {
			t.Errorf("%d orders are deleted, want %d", n, orders)
		}
		if n := storetest.Count(t, s, `SELECT COUNT(*) FROM events WHERE type = 'order.deleted'`); n != orders {
			t.Errorf("%d events, want %d", n, orders)
		}
		healthy(t, s)
	})
}

// A payment that a gateway takes up at the moment of the expiry has its week, or comes too late: never both.
func TestExpiryAgainstAPayment(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		settings(t, s, shop, `{"delete_unpaid_after":"60s","reminders":{"online":[],"offline":[]}}`)
		storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
		again := storetest.Again(t, s)
		for round := range 16 {
			outcome := []models.PaymentResult{processes, succeeds}[round%2]
			var orders, payments []string
			for range 4 {
				o := storetest.Order(t, s, shop.Test, "editor", 1)
				orders, payments = append(orders, o.ID), append(payments, begin(t, s, shop.Test, o.ID).ID)
				aged(t, s, o.ID, time.Hour)
			}
			refusals(t, race(6, func(i int) error {
				if i >= 4 {
					_, err := again.ExpireOrders(t.Context())
					return err
				}
				_, err := s.ApplyPayment(t.Context(), payments[i], outcome, "gateway")
				return err
			}))
			for _, id := range orders {
				o := orderOf(t, s, shop.Test, id)
				processed := storetest.Count(t, s, `SELECT COUNT(*) FROM history WHERE order_id = $1 AND kind = 'payment.processing'`, id)
				switch {
				case o.Status == models.OrderDeleted && processed == 0 && o.Payments[0].Status == models.PaymentCancelled:
				case o.Status == models.OrderNotPaid && processed == 1 && o.Payments[0].Status == models.PaymentProcessing:
				case o.Status == models.OrderPaid && o.Payments[0].Status == models.PaymentSucceeded && len(o.Payments) == 1:
				default:
					t.Fatalf("order %s", toJSON(t, o))
				}
			}
			healthy(t, s)
		}
	})
}

// An order that somebody holds is left to the next tick: it holds up neither the tick nor the others.
func TestPeriodicWorkWaitsForNobody(t *testing.T) {
	t.Parallel()
	s := storetest.Open(t, "postgres") // SQLite has one writer at a time, so nobody holds anything while another works
	shop := storetest.Merchant(t, s)
	settings(t, s, shop, `{"delete_unpaid_after":"2h","reminders":{"online":["1s"],"offline":[]}}`)
	storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
	held, free := storetest.Order(t, s, shop.Test, "editor", 1), storetest.Order(t, s, shop.Test, "editor", 1)
	aged(t, s, held.ID, time.Hour)
	aged(t, s, free.ID, time.Minute+time.Second)
	err := s.Transaction(t.Context(), func(ctx context.Context) error {
		ok(s.BeginPayment(ctx, shop.Test, held.ID, newPayment))(t)
		working, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if n, err := s.RemindOrders(working); n != 1 || err != nil {
			t.Errorf("%d reminded, %v", n, err)
		}
		settings(t, s, shop, `{"delete_unpaid_after":"60s"}`)
		if n, err := s.ExpireOrders(working); n != 1 || err != nil {
			t.Errorf("%d expired, %v", n, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := ok(s.ExpireOrders(t.Context()))(t); n != 1 || orderOf(t, s, shop.Test, held.ID).Status != models.OrderDeleted {
		t.Errorf("%d expired afterwards", n)
	}
}

// A checkout does not wait for an upload of keys to the product, which may take seconds.
func TestACheckoutDoesNotWaitForAnUpload(t *testing.T) {
	t.Parallel()
	s := storetest.Open(t, "postgres")
	shop := storetest.Merchant(t, s)
	p := storetest.Product(t, s, shop.Test, "editor", models.MethodPool)
	err := s.Transaction(t.Context(), func(ctx context.Context) error {
		ok(s.AddPoolKeys(ctx, shop.Test, p.ID, []string{"KEY-1"}))(t)
		ok(s.UpdateSettings(ctx, shop.Test, models.SettingsPatch{SupportEmail: models.Some("help@example.com")}))(t)
		buying, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		_, err := s.CreateOrder(buying, shop.Test, storetest.OrderInput("editor", 1))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
