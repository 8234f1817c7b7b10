package models_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

// clinic is a shop with an order in each stage.
type clinic struct {
	shop, other               storetest.Shop
	product                   *models.ProductView
	unpaid, waiting, paid, up *models.OrderView // up: paid, and its licences are on their way
	delivered                 *models.OrderView
}

func newClinic(t *testing.T, s *models.Store) clinic {
	t.Helper()
	c := clinic{shop: storetest.Merchant(t, s), other: storetest.Merchant(t, s)}
	sc := c.shop.Test
	endpoint(t, s, sc)
	c.product = storetest.Product(t, s, sc, "editor", models.MethodPool)
	storetest.Product(t, s, sc, "viewer", models.MethodTemplate)
	storetest.Product(t, s, c.other.Test, "editor", models.MethodPool)
	ok(s.AddPoolKeys(t.Context(), sc, c.product.ID, []string{"K-1", "K-2", "K-3"}))(t)
	c.delivered = storetest.PaidOrder(t, s, sc, "editor", 1)
	fulfilFromPool(t, s)
	send(t, s)
	c.up = storetest.PaidOrder(t, s, sc, "editor", 1)
	fulfilFromPool(t, s)
	c.waiting = storetest.PaidOrder(t, s, sc, "editor", 5)
	fulfilFromPool(t, s)
	c.unpaid = storetest.Order(t, s, sc, "viewer", 1)
	c.paid = storetest.PaidOrder(t, s, sc, "viewer", 2)
	storetest.Order(t, s, c.other.Test, "editor", 1)
	return c
}

func TestDoctorFindsNothingWrong(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		c := newClinic(t, s)
		for order, want := range map[*models.OrderView]models.FulfillmentStatus{c.delivered: models.Delivered, c.up: models.NotDelivered, c.waiting: models.NotDelivered} {
			if got := ok(s.Order(t.Context(), c.shop.Test, order.ID))(t); got.FulfillmentStatus != want {
				t.Fatalf("the clinic is not as it should be: %s", toJSON(t, got))
			}
		}
		r := ok(s.Doctor(t.Context()))(t)
		if !r.OK || len(r.Findings) != 0 || r.CheckedAt.IsZero() {
			t.Errorf("doctor: %s", toJSON(t, r))
		}
		if text := toJSON(t, r); !strings.Contains(text, `"findings":[]`) {
			t.Errorf("report %s", text)
		}
	})
}

// A breakage breaks one thing behind the store's back. Constraints that would refuse it are taken away first.
type breakage struct {
	what      string
	invariant int
	problem   string // a part of it
	id        func(c clinic) string
	statement func(c clinic) []string
}

// callback puts a merchant's callback, in test mode or live, about a payment into the inbox, with the time at which it was applied.
const callback = `INSERT INTO gateway_callbacks (id, merchant_id, test, gateway, event_id, payment_id, outcome, received_at, applied_at)
	VALUES ('gcb_1', '%s', %t, 'test', 'evt_1', '%s', '{}', '2026-01-01 00:00:00+00:00', %s)`

func breakages() []breakage {
	one := func(format string, args func(c clinic) []any) func(c clinic) []string {
		return func(c clinic) []string { return []string{fmt.Sprintf(format, args(c)...)} }
	}
	anything := func(clinic) string { return "" }
	discount := func(merchant func(c clinic) string, test bool) func(c clinic) []string {
		return func(c clinic) []string {
			return []string{
				fmt.Sprintf(`INSERT INTO coupons (id, merchant_id, name, percent_bp, amounts, products, active, created_at, updated_at)
					VALUES ('cpn_1', '%s', 'x', 100, '{}', '[]', true, '2026-01-01 00:00:00+00:00', '2026-01-01 00:00:00+00:00')`, merchant(c)),
				fmt.Sprintf(`INSERT INTO coupon_uses (coupon_id, order_id, test, customer_email, created_at)
					VALUES ('cpn_1', '%s', %t, 'ada@example.com', '2026-01-01 00:00:00+00:00')`, c.unpaid.ID, test),
			}
		}
	}
	forget := func(kind string) func(c clinic) []string {
		return func(c clinic) []string {
			event := fmt.Sprintf(`order_id = '%s' AND type = '%s'`, c.delivered.ID, kind)
			return []string{`DELETE FROM deliveries WHERE event_id IN (SELECT id FROM events WHERE ` + event + `)`, `DELETE FROM events WHERE ` + event}
		}
	}
	return []breakage{
		{
			"a lost fulfilment", 1, "has no live promise", func(c clinic) string { return c.paid.Items[0].ID },
			one(`DELETE FROM jobs WHERE order_id = '%s' AND kind = 'item.fulfil'`, func(c clinic) []any { return []any{c.paid.ID} }),
		},
		{
			"a lost licence email", 1, "has no live promise", func(c clinic) string { return c.up.Items[0].ID },
			one(`DELETE FROM jobs WHERE order_id = '%s' AND kind = 'email.send'`, func(c clinic) []any { return []any{c.up.ID} }),
		},
		{
			"a pending email without a job", 1, "email is pending", anything,
			one(`DELETE FROM jobs WHERE order_id = '%s' AND kind = 'email.send'`, func(c clinic) []any { return []any{c.paid.ID} }),
		},
		{
			"a back-order that nobody fills", 1, "enough keys", func(c clinic) string { return c.waiting.Items[0].ID },
			one(`UPDATE items SET license_per = 'item' WHERE id = '%s'`, func(c clinic) []any { return []any{c.waiting.Items[0].ID} }),
		},
		{
			"a delivery of what was not paid", 1, "not paid is delivered", func(c clinic) string { return c.unpaid.Items[0].ID },
			one(`UPDATE items SET fulfillment_status = 'delivered', delivered_at = '2026-01-01 00:00:00+00:00' WHERE id = '%s'`, func(c clinic) []any { return []any{c.unpaid.Items[0].ID} }),
		},
		{
			"a delivered item without its licence", 1, "lacks licences", func(c clinic) string { return c.delivered.Items[0].ID },
			one(`DELETE FROM licenses WHERE item_id = '%s'`, func(c clinic) []any { return []any{c.delivered.Items[0].ID} }),
		},
		{
			"an order that contradicts its items", 1, "what its items say", func(c clinic) string { return c.delivered.ID },
			one(`UPDATE orders SET fulfillment_status = 'not_delivered', delivered_at = NULL WHERE id = '%s'`, func(c clinic) []any { return []any{c.delivered.ID} }),
		},
		{
			"one key on two units", 2, "more than one unit", anything,
			one(`UPDATE licenses SET fingerprint = (SELECT fingerprint FROM licenses WHERE item_id = '%s') WHERE item_id = '%s'`, func(c clinic) []any {
				return []any{c.up.Items[0].ID, c.delivered.Items[0].ID}
			}),
		},
		{
			"a licence for a unit that does not exist", 2, "a unit that it does not have", anything,
			one(`UPDATE licenses SET unit = 2 WHERE item_id = '%s'`, func(c clinic) []any { return []any{c.up.Items[0].ID} }),
		},
		{
			"a licence that moved to another order", 2, "another order or product", anything,
			one(`UPDATE licenses SET order_id = '%s' WHERE item_id = '%s'`, func(c clinic) []any { return []any{c.unpaid.ID, c.delivered.Items[0].ID} }),
		},
		{
			"a licence that moved to another product", 2, "another order or product", anything,
			one(`UPDATE licenses SET product_id = '%s' WHERE item_id = '%s'`, func(c clinic) []any { return []any{c.paid.Items[0].Product, c.delivered.Items[0].ID} }),
		},
		{
			"an email that moved to another order", 2, "about an item of another order", anything,
			one(`UPDATE emails SET order_id = '%s' WHERE item_id = '%s'`, func(c clinic) []any { return []any{c.unpaid.ID, c.delivered.Items[0].ID} }),
		},
		{
			"a delivered key back in the pool", 2, "can be sold again", anything,
			one(`UPDATE pool_keys SET state = 'available', item_id = NULL WHERE item_id = '%s'`, func(c clinic) []any { return []any{c.delivered.Items[0].ID} }),
		},
		{
			"a delivered key that is not marked", 2, "not marked so", anything,
			one(`UPDATE pool_keys SET state = 'allocated' WHERE item_id = '%s'`, func(c clinic) []any { return []any{c.delivered.Items[0].ID} }),
		},
		{
			"a key that was taken and is nowhere", 2, "on no licence", anything,
			one(`UPDATE licenses SET pool_key_id = NULL WHERE item_id = '%s'`, func(c clinic) []any { return []any{c.up.Items[0].ID} }),
		},
		{
			"a sold key for sale", 2, "for sale in the pool", anything,
			one(`UPDATE licenses SET pool_key_id = NULL, fingerprint = (SELECT fingerprint FROM pool_keys WHERE state = 'available' LIMIT 1) WHERE item_id = '%s'`,
				func(c clinic) []any { return []any{c.up.Items[0].ID} }),
		},
		{
			"a lost delivery", 3, "pending without a live promise", anything,
			one(`DELETE FROM jobs WHERE order_id = '%s' AND kind = 'webhook.deliver'`, func(c clinic) []any { return []any{c.paid.ID} }),
		},
		{
			"an event that an endpoint is not told of", 3, "no delivery to an endpoint", anything,
			func(c clinic) []string {
				return []string{
					`UPDATE webhook_endpoints SET updated_at = '2026-01-01 00:00:00+00:00'`,
					fmt.Sprintf(`DELETE FROM deliveries WHERE event_id = (SELECT id FROM events WHERE order_id = '%s' AND type = 'order.created')`, c.unpaid.ID),
				}
			},
		},
		{"a forgotten order", 3, "no event order.created", func(c clinic) string { return c.delivered.ID }, forget(models.EventOrderCreated)},
		{"a forgotten payment", 3, "no event payment.succeeded", func(c clinic) string { return c.delivered.ID }, forget(models.EventPaymentSucceeded)},
		{"a forgotten item", 3, "no event product.delivered", func(c clinic) string { return c.delivered.Items[0].ID }, forget(models.EventProductDelivered)},
		{"a forgotten delivery", 3, "no event order.delivered", func(c clinic) string { return c.delivered.ID }, forget(models.EventOrderDelivered)},
		{
			"sums that do not add up", 4, "do not add up", func(c clinic) string { return c.paid.ID },
			one(`UPDATE items SET total = total - 1 WHERE order_id = '%s'`, func(c clinic) []any { return []any{c.paid.ID} }),
		},
		{
			"a refund of more than was paid", 4, "more was refunded", func(c clinic) string { return c.paid.ID },
			one(`UPDATE orders SET amount_refunded = total + 1 WHERE id = '%s'`, func(c clinic) []any { return []any{c.paid.ID} }),
		},
		{
			"a paid order that nobody paid", 4, "without a payment", func(c clinic) string { return c.paid.ID },
			one(`UPDATE payments SET applied = false, status = 'cancelled' WHERE order_id = '%s'`, func(c clinic) []any { return []any{c.paid.ID} }),
		},
		{
			"money that an unpaid order took", 4, "not paid", func(c clinic) string { return c.paid.Payments[0].ID },
			one(`UPDATE orders SET status = 'not_paid', paid_at = NULL WHERE id = '%s'`, func(c clinic) []any { return []any{c.paid.ID} }),
		},
		{
			"an order paid with too little", 4, "not its total", func(c clinic) string { return c.paid.Payments[0].ID },
			one(`UPDATE payments SET amount = amount - 1 WHERE order_id = '%s'`, func(c clinic) []any { return []any{c.paid.ID} }),
		},
		{
			"an order paid in another currency", 4, "not its total", func(c clinic) string { return c.paid.Payments[0].ID },
			one(`UPDATE payments SET currency = 'JPY' WHERE order_id = '%s'`, func(c clinic) []any { return []any{c.paid.ID} }),
		},
		{
			"an alarm that nobody hears", 5, "nobody has looked", anything,
			one(`UPDATE jobs SET alarm_at = '2026-01-01 00:00:00+00:00' WHERE order_id = '%s' AND finished_at IS NULL`, func(c clinic) []any { return []any{c.paid.ID} }),
		},
		{
			"an alarm that never goes off", 5, "too far in the future", anything,
			one(`UPDATE jobs SET alarm_at = '2126-01-01 00:00:00+00:00' WHERE order_id = '%s' AND finished_at IS NULL AND kind = 'item.fulfil'`, func(c clinic) []any { return []any{c.paid.ID} }),
		},
		{
			"work that is put off for a hundred years", 5, "later than any of its kind", anything,
			one(`UPDATE jobs SET run_at = '2126-01-01 00:00:00+00:00', alarm_at = '2126-01-01 00:00:10+00:00' WHERE order_id = '%s' AND kind = 'item.fulfil'`,
				func(c clinic) []any { return []any{c.paid.ID} }),
		},
		{
			"an item of another merchant's product", 6, "items refers by product_id", func(c clinic) string { return c.unpaid.Items[0].ID },
			one(`UPDATE items SET product_id = (SELECT id FROM products WHERE merchant_id = '%s') WHERE id = '%s'`, func(c clinic) []any { return []any{c.other.ID, c.unpaid.Items[0].ID} }),
		},
		{
			"a payment of the other mode", 6, "payments refers by order_id", func(c clinic) string { return c.paid.Payments[0].ID },
			one(`UPDATE payments SET test = false WHERE id = '%s'`, func(c clinic) []any { return []any{c.paid.Payments[0].ID} }),
		},
		{
			"another merchant's delivery", 6, "deliveries refers by event_id", anything,
			one(`UPDATE deliveries SET merchant_id = '%s'`, func(c clinic) []any { return []any{c.other.ID} }),
		},
		{
			"another merchant's coupon", 6, "uses a coupon", func(c clinic) string { return c.unpaid.ID },
			discount(func(c clinic) string { return c.other.ID }, true),
		},
		{
			"a use of a coupon in the other mode", 6, "uses a coupon", func(c clinic) string { return c.unpaid.ID },
			discount(func(c clinic) string { return c.shop.ID }, false),
		},
		{
			"a callback about another merchant's payment", 6, "a callback was applied", func(clinic) string { return "gcb_1" },
			one(callback, func(c clinic) []any {
				return []any{c.other.ID, true, c.paid.Payments[0].ID, "'2026-01-01 00:00:00+00:00'"}
			}),
		},
		{
			"a callback about a payment of the other mode", 6, "a callback was applied", func(clinic) string { return "gcb_1" },
			one(callback, func(c clinic) []any {
				return []any{c.shop.ID, false, c.paid.Payments[0].ID, "'2026-01-01 00:00:00+00:00'"}
			}),
		},
		{
			"an order of nothing", 4, "has no items", func(c clinic) string { return c.unpaid.ID },
			one(`DELETE FROM items WHERE order_id = '%s'`, func(c clinic) []any { return []any{c.unpaid.ID} }),
		},
		{
			"a coupon that was used more often than was counted", 4, "has another number of uses", func(clinic) string { return "cpn_1" },
			func(c clinic) []string {
				return append(discount(func(c clinic) string { return c.shop.ID }, true)(c),
					`UPDATE coupons SET max_uses = 5`, `INSERT INTO coupon_counters (coupon_id, test, used) VALUES ('cpn_1', true, 0)`)
			},
		},
		{
			"a use of a coupon that a revived order has not taken again", 4, "uses a coupon, or", func(c clinic) string { return c.unpaid.ID },
			func(c clinic) []string {
				return append(discount(func(c clinic) string { return c.shop.ID }, true)(c), `UPDATE coupon_uses SET released_at = created_at`)
			},
		},
		{
			"a use of a coupon that a deleted order has not given back", 4, "uses a coupon, or", func(c clinic) string { return c.unpaid.ID },
			func(c clinic) []string {
				return append(discount(func(c clinic) string { return c.shop.ID }, true)(c),
					fmt.Sprintf(`UPDATE orders SET status = 'deleted', deleted_at = created_at, delete_reason = 'cancelled' WHERE id = '%s'`, c.unpaid.ID))
			},
		},
		{
			"one fact twice", 3, "several events for one fact", anything,
			func(c clinic) []string {
				return []string{
					`ALTER TABLE events RENAME TO events_before`, `CREATE TABLE events AS SELECT * FROM events_before`,
					fmt.Sprintf(`UPDATE events SET fact = (SELECT MIN(fact) FROM events WHERE order_id = '%s') WHERE order_id = '%s'`, c.paid.ID, c.paid.ID),
				}
			},
		},
	}
}

// mendable are the findings that Mend takes away.
var mendable = []string{"a lost fulfilment", "a lost licence email", "a pending email without a job", "a back-order that nobody fills", "a lost delivery",
	"a coupon that was used more often than was counted", "a use of a coupon that a revived order has not taken again",
	"a use of a coupon that a deleted order has not given back"}

func TestDoctorFinds(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		profile := "postgres"
		if s.Embedded() {
			profile = "sqlite"
		}
		for _, b := range breakages() {
			t.Run(b.what, func(t *testing.T) {
				t.Parallel()
				s := storetest.Open(t, profile)
				c := newClinic(t, s)
				for _, statement := range b.statement(c) {
					storetest.Exec(t, s, statement)
				}
				if b.invariant == 3 && b.what == "one fact twice" {
					defer storetest.Exec(t, s, `DROP TABLE events`)
				}
				r := ok(s.Doctor(t.Context()))(t)
				if r.OK {
					t.Fatal("the doctor finds nothing")
				}
				i := slices.IndexFunc(r.Findings, func(f models.Finding) bool {
					return f.Invariant == b.invariant && strings.Contains(f.Problem, b.problem)
				})
				if i < 0 {
					t.Fatalf("the doctor finds other things only: %s", toJSON(t, r))
				}
				f := r.Findings[i]
				if len(f.IDs) == 0 || f.More || f.Mend == "" || (b.id(c) != "" && !slices.Contains(f.IDs, b.id(c))) {
					t.Errorf("finding %s, want one about %q", toJSON(t, f), b.id(c))
				}
				if slices.Contains(mendable, b.what) != strings.Contains(f.Mend, "doctor --mend") {
					t.Errorf("mend %q", f.Mend)
				}
				if !slices.Contains(mendable, b.what) {
					return
				}
				// What the finding says mends it does, and the work is then done.
				if n := ok(s.Mend(t.Context()))(t); n == 0 {
					t.Error("nothing was mended")
				}
				healthy(t, s)
				if n := ok(s.Mend(t.Context()))(t); n != 0 {
					t.Errorf("%d were mended again", n)
				}
				for _, j := range storetest.Jobs(t, s, jobs.KindDeliver) {
					endpoint := texts(t, s, `SELECT endpoint_id FROM deliveries WHERE id = $1`, j.Args.Delivery)[0]
					if want := (jobs.Errand{Server: endpoint, Merchant: c.shop.ID}); j.Args.Errand != want {
						t.Errorf("a delivery goes to %+v, as its job tells, want %+v", j.Args.Errand, want)
					}
				}
				performAll(t, s)
				healthy(t, s)
				if o := ok(s.Order(t.Context(), c.shop.Test, c.paid.ID))(t); o.FulfillmentStatus != models.Delivered {
					t.Errorf("the order is %s afterwards", o.FulfillmentStatus)
				}
			})
		}
	})
}

// TestEveryCheckIsBroken: a check that nobody has seen to find something finds nothing, for all we know.
func TestEveryCheckIsBroken(t *testing.T) {
	t.Parallel()
	for _, problem := range models.DoctorProblems() {
		if strings.Contains(problem, "refers by") {
			continue // see TestDoctorFindsStrangers
		}
		if !slices.ContainsFunc(breakages(), func(b breakage) bool { return strings.Contains(problem, b.problem) }) {
			t.Errorf("no case breaks what is found by %q", problem)
		}
	}
}

// TestDoctorKnowsWhoFillsABackOrder: a job that fills another pool, that of the other mode included, fills it for nobody.
func TestDoctorKnowsWhoFillsABackOrder(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		c := newClinic(t, s)
		item := c.waiting.Items[0].ID
		storetest.Exec(t, s, `UPDATE items SET license_per = 'item' WHERE id = $1`, item)
		waits := func() bool {
			return slices.ContainsFunc(ok(s.Doctor(t.Context()))(t).Findings, func(f models.Finding) bool {
				return f.Invariant == 1 && strings.Contains(f.Problem, "enough keys") && slices.Contains(f.IDs, item)
			})
		}
		now := time.Now().UTC()
		job := jobRow(t, s, "due", now, nil, `{}`)
		storetest.Exec(t, s, `UPDATE jobs SET kind = $1 WHERE id = $2`, jobs.KindFillPool, job)
		for _, test := range []bool{true, false} {
			storetest.Exec(t, s, `UPDATE items SET test = $1 WHERE id = $2`, test, item)
			storetest.Exec(t, s, `UPDATE pool_keys SET test = $1 WHERE item_id IS NULL`, test)
			for _, args := range []models.JobArgs{
				{}, {Product: c.product.ID, Test: true}, {Product: c.product.ID}, {Product: c.paid.Items[0].Product, Test: true}, {Product: c.paid.Items[0].Product},
			} {
				storetest.Exec(t, s, `UPDATE jobs SET args = $1 WHERE id = $2`, toJSON(t, args), job)
				fills := args.Product == c.product.ID && args.Test == test
				if waits() == fills {
					t.Errorf("the item in test mode %t, with a job for %+v: it is found to wait: %t", test, args, !fills)
				}
			}
			storetest.Exec(t, s, `UPDATE jobs SET args = $1 WHERE id = $2`, toJSON(t, models.JobArgs{Product: c.product.ID, Test: test}), job)
			storetest.Exec(t, s, `UPDATE jobs SET state = 'done', finished_at = $1 WHERE id = $2`, now, job)
			if !waits() {
				t.Errorf("the item in test mode %t is not found to wait when its job is done", test)
			}
			storetest.Exec(t, s, `UPDATE jobs SET state = 'due', finished_at = NULL WHERE id = $1`, job)
		}
	})
}

// TestDoctorKnowsWhichEventsThereAre loses each event of a delivered order, one at a time, and brings it back as from a backup. An order of
// nothing has one fewer.
func TestDoctorKnowsWhichEventsThereAre(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
		paid := storetest.PaidOrder(t, s, shop.Test, "editor", 1)
		gift := storetest.OrderInput("editor", 1)
		gift.Lines[0].UnitPrice = new(int64)
		free := ok(s.CreateOrder(t.Context(), shop.Test, gift))(t)
		performAll(t, s)
		healthy(t, s)
		for order, want := range map[string]int{paid.ID: 4, free.ID: 3} {
			events := texts(t, s, `SELECT id FROM events WHERE order_id = $1`, order)
			if len(events) != want {
				t.Errorf("%d events, want %d", len(events), want)
			}
			for _, id := range events {
				storetest.Exec(t, s, fmt.Sprintf(`CREATE TABLE backup AS SELECT * FROM events WHERE id = '%s'`, id))
				storetest.Exec(t, s, `DELETE FROM events WHERE id = $1`, id)
				r := ok(s.Doctor(t.Context()))(t)
				if len(r.Findings) != 1 || r.Findings[0].Invariant != 3 || len(r.Findings[0].IDs) != 1 || !strings.Contains(r.Findings[0].Mend, "backup") {
					t.Errorf("without %s: %s", id, toJSON(t, r))
				}
				storetest.Exec(t, s, `INSERT INTO events SELECT * FROM backup`)
				storetest.Exec(t, s, `DROP TABLE backup`)
				healthy(t, s)
			}
		}
	})
}

func TestDoctorBoundsItsReport(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		old := time.Now().UTC().Add(-time.Hour)
		for range 101 {
			jobRow(t, s, "due", old, nil, `{}`)
		}
		r := ok(s.Doctor(t.Context()))(t)
		if len(r.Findings) != 1 || r.Findings[0].Invariant != 5 || len(r.Findings[0].IDs) != 100 || !r.Findings[0].More {
			t.Errorf("report with %d findings", len(r.Findings))
		}
	})
}
