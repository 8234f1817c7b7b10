package models_test

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

// A row for each reference that the clinic's orders do not have. SHOP, ORDER, PAID, ITEM, PAYMENT, PRODUCT and OTHER are the clinic's.
var furniture = []string{
	`INSERT INTO offers (id, merchant_id, kind, trigger_id, product_id, title, active, created_at, updated_at) VALUES ('ofr_1', 'SHOP', 'addon', 'PRODUCT', 'OTHER', 'x', true, 'NOW', 'NOW')`,
	`UPDATE items SET offer_id = 'ofr_1' WHERE id = 'ITEM'`,
	`INSERT INTO payment_methods (id, merchant_id, test, method, gateway, currencies, config, sealed, active, created_at, updated_at) VALUES ('pmt_1', 'SHOP', true, 'card', 'stripe', '[]', '{}', '', true, 'NOW', 'NOW')`,
	`UPDATE payments SET method_id = 'pmt_1' WHERE id = 'PAYMENT'`,
	`INSERT INTO checkout_links (id, merchant_id, test, content, single_use, order_id, created_at) VALUES ('lnk_1', 'SHOP', true, '{}', true, 'ORDER', 'NOW')`,
	`INSERT INTO carts (id, visitor, merchant_id, test, currency, content, link_id, order_id, created_at, updated_at) VALUES ('crt_1', 'v', 'SHOP', true, 'EUR', '{}', 'lnk_1', 'ORDER', 'NOW', 'NOW')`,
	`INSERT INTO coupons (id, merchant_id, name, percent_bp, amounts, products, active, created_at, updated_at) VALUES ('cpn_1', 'SHOP', 'x', 100, '{}', '[]', true, 'NOW', 'NOW')`,
	`INSERT INTO coupon_uses (coupon_id, order_id, test, customer_email, created_at) VALUES ('cpn_1', 'ORDER', true, 'ada@example.com', 'NOW')`,
	`INSERT INTO refunds (id, order_id, merchant_id, test, status, amount, currency, reason, created_at, updated_at) VALUES ('rfd_1', 'PAID', 'SHOP', true, 'requested', 1, 'EUR', 'x', 'NOW', 'NOW')`,
}

// TestDoctorFindsStrangers gives a row of each reference to another merchant.
func TestDoctorFindsStrangers(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		c := newClinic(t, s)
		viewer := c.paid.Items[0].Product
		for _, statement := range furniture {
			storetest.Exec(t, s, strings.NewReplacer(
				"SHOP", c.shop.ID, "ORDER", c.unpaid.ID, "PAID", c.paid.ID, "ITEM", c.unpaid.Items[0].ID, "PAYMENT", c.paid.Payments[0].ID, "PRODUCT", c.product.ID, "OTHER", viewer,
				"NOW", "2026-01-01 00:00:00+00:00",
			).Replace(statement))
		}
		healthy(t, s)
		for _, reference := range models.References() {
			table, column, _ := strings.Cut(reference, ".")
			ids := texts(t, s, fmt.Sprintf(`SELECT id FROM %s WHERE %s IS NOT NULL AND merchant_id = $1 ORDER BY id LIMIT 1`, table, column), c.shop.ID)
			if len(ids) != 1 {
				t.Errorf("nothing in the clinic has %s", reference)
				continue
			}
			move := fmt.Sprintf(`UPDATE %s SET merchant_id = $1 WHERE id = $2`, table)
			storetest.Exec(t, s, move, c.other.ID, ids[0])
			r := ok(s.Doctor(t.Context()))(t)
			want := fmt.Sprintf("a row of %s refers by %s to", table, column)
			if !slices.ContainsFunc(r.Findings, func(f models.Finding) bool {
				return f.Invariant == 6 && strings.Contains(f.Problem, want) && slices.Contains(f.IDs, ids[0]) && f.Mend != ""
			}) {
				t.Errorf("%s: %s", reference, toJSON(t, r))
			}
			storetest.Exec(t, s, move, c.shop.ID, ids[0])
			healthy(t, s)
		}
	})
}

// TestDoctorFindsStrangePromises stages a promise about each kind of row for its own merchant and order, and for others.
func TestDoctorFindsStrangePromises(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		c := newClinic(t, s)
		storetest.Exec(t, s, fmt.Sprintf(callback, c.shop.ID, true, c.paid.Payments[0].ID, "NULL"))
		now := time.Now().UTC()
		job := jobRow(t, s, "due", now, nil, `{}`)
		set := func(merchant string, order any, state string, finished any) {
			storetest.Exec(t, s, `UPDATE jobs SET merchant_id = $1, order_id = $2, state = $3, finished_at = $4 WHERE id = $5`, merchant, order, state, finished, job)
		}
		for arg, table := range models.Subjects() {
			id := texts(t, s, fmt.Sprintf(`SELECT id FROM %s WHERE merchant_id = $1 ORDER BY id LIMIT 1`, table), c.shop.ID)[0]
			storetest.Exec(t, s, `UPDATE jobs SET args = $1 WHERE id = $2`, fmt.Sprintf(`{"%s":"%s"}`, arg, id), job)
			found := func() {
				t.Helper()
				r := ok(s.Doctor(t.Context()))(t)
				if len(r.Findings) != 1 || r.Findings[0].Invariant != 6 || !slices.Equal(r.Findings[0].IDs, []string{job}) ||
					!strings.Contains(r.Findings[0].Problem, "argument "+arg+" ") {
					t.Errorf("%s: %s", arg, toJSON(t, r))
				}
			}
			set(c.shop.ID, nil, "due", nil)
			healthy(t, s)
			set(c.other.ID, nil, "due", nil)
			found()
			set(c.other.ID, nil, "done", now)
			healthy(t, s)
			switch table {
			case "items", "emails", "payments":
				own := texts(t, s, fmt.Sprintf(`SELECT order_id FROM %s WHERE id = $1`, table), id)[0]
				set(c.shop.ID, own, "due", nil)
				healthy(t, s)
				strange := c.unpaid.ID
				if own == strange {
					strange = c.paid.ID
				}
				set(c.shop.ID, strange, "due", nil)
				found()
			}
		}
	})
}

// TestEverySubjectIsChecked: whoever adds an argument that names a row decides whether the doctor looks at it.
func TestEverySubjectIsChecked(t *testing.T) {
	t.Parallel()
	var names []string
	for _, f := range reflect.VisibleFields(reflect.TypeFor[models.JobArgs]()) {
		if f.Type.Kind() == reflect.String && !slices.Contains([]string{"Server", "Merchant", "Trace"}, f.Name) {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			names = append(names, name)
		}
	}
	slices.Sort(names)
	if checked := slices.Sorted(maps.Keys(models.Subjects())); !slices.Equal(names, checked) {
		t.Errorf("arguments %v, checked are %v", names, checked)
	}
}

// TestDoctorLeavesTheInboxAlone: merchants that share an account at a gateway are told of each other's payments, and nothing is wrong before
// one of them is paid by what another was told.
func TestDoctorLeavesTheInboxAlone(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		c := newClinic(t, s)
		storetest.Exec(t, s, fmt.Sprintf(callback, c.other.ID, true, c.paid.Payments[0].ID, "NULL"))
		healthy(t, s)
		storetest.Exec(t, s, `UPDATE gateway_callbacks SET merchant_id = $1, applied_at = received_at`, c.shop.ID)
		healthy(t, s)
	})
}

// apart are columns that look like references and are checked otherwise, or name nothing of ours.
var apart = map[string]string{
	"deliveries.job_id": "invariant 3", "emails.job_id": "invariant 1", "gateway_callbacks.event_id": "the gateway's own",
	"gateway_callbacks.payment_id": "what a gateway says, whosever it is; a check compares those that were applied", "payments.request_id": "an idempotency key's",
	"orders.external_id": "the merchant's own", "mailbox.message_id": "the email's own", "sessions.account_id": "an operator's or one of a merchant's staff",
	"prices.product_id": "has no merchant of its own", "delivery_attempts.delivery_id": "has no merchant of its own",
	"coupon_counters.coupon_id": "has no merchant of its own",
	"coupon_uses.coupon_id":     "has no merchant of its own; a check compares those of both", "coupon_uses.order_id": "has no merchant of its own; a check compares those of both",
}

// TestEveryReferenceIsChecked: whoever adds a column that names a row of another table decides whether the doctor looks at it.
func TestEveryReferenceIsChecked(t *testing.T) {
	t.Parallel()
	s := storetest.Open(t, "postgres")
	known := models.References()
	columns := texts(t, s, `SELECT table_name || '.' || column_name FROM information_schema.columns WHERE table_schema = 'public'
		AND column_name LIKE '%\_id' AND column_name <> 'merchant_id' AND table_name <> 'goose_db_version' ORDER BY 1`)
	if len(columns) < len(known) {
		t.Fatalf("%d columns are fewer than the %d that are checked", len(columns), len(known))
	}
	for _, column := range columns {
		if slices.Contains(known, column) == (apart[column] != "") {
			t.Errorf("%s is neither in references nor apart with a reason, or in both", column)
		}
	}
}
