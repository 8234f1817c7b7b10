package api

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

// orderWith orders quantity of editor-pro (49.00 EUR) with more fields of the request.
func orderWith(d *door, email, more string) ask {
	return ask{method: post, path: "/v1/orders", key: d.shop.TestKey, body: fmt.Sprintf(
		`{"currency":"EUR","customer":{"email":%q,"country":"DE"%s,"items":[{"product":"editor-pro","quantity":3}],"consents":{"terms":true,"personal_data":true}}`, email, more)}
}

// TestDiscountsAndTax follows what comes off an order, and what is added to it, through the API.
func TestDiscountsAndTax(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newCatalogue(t, s)
		d.knock(t, ask{method: post, path: "/v1/coupons", key: d.shop.TestKey, body: `{"code":"spring","name":"Spring","percent_bp":1000}`}).ok(t, 201)
		var o models.OrderView
		d.knock(t, orderWith(d.door, "ada@example.com", `},"coupon":" SPRING "`)).ok(t, 201).into(t, &o)
		if o.Subtotal != 14700 || o.Discount != 1470 || o.Total != 13230 || o.Coupon == nil || *o.Coupon != "SPRING" || o.Items[0].Discount != 1470 {
			t.Errorf("10 %% off: %+v", o)
		}
		d.knock(t, ask{method: patch, path: "/v1/settings", key: d.shop.TestKey, body: `{"tax":{"inclusive":false,"country":"DE","rates":[{"country":"DE","rate_bp":1900}]}}`}).ok(t, 200)
		d.knock(t, orderWith(d.door, "ada@example.com", `},"coupon":"SPRING"`)).ok(t, 201).into(t, &o)
		if o.Tax != 2514 || o.Total != 13230+2514 || o.TaxInclusive { // 132.30 × 0.19 = 25.137
			t.Errorf("tax on top: %+v", o)
		}
		d.knock(t, orderWith(d.door, "ada@example.com", `,"type":"business","vat_number":"DE1"}`)).ok(t, 201).into(t, &o)
		if o.Tax == 0 {
			t.Error("a business in the merchant's own country pays no tax")
		}
		d.knock(t, ask{method: patch, path: "/v1/settings", key: d.shop.TestKey, body: `{"tax":{"inclusive":true,"country":"AT","rates":[{"country":"DE","rate_bp":1900}]}}`}).ok(t, 200)
		d.knock(t, orderWith(d.door, "ada@example.com", `}`)).ok(t, 201).into(t, &o)
		if o.Tax != 2347 || o.Total != 14700 || !o.TaxInclusive { // 147.00 × 19 ÷ 119
			t.Errorf("tax within: %+v", o)
		}
		d.knock(t, orderWith(d.door, "ada@example.com", `,"type":"business","vat_number":"DE1"}`)).ok(t, 201).into(t, &o)
		if o.Tax != 0 || o.Total != 14700 {
			t.Errorf("reverse charge: %+v", o)
		}
	})
}

// TestCouponRefusals: a coupon that does not apply is the error of its field, and nothing is recorded.
func TestCouponRefusals(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newCatalogue(t, s)
		storetest.Product(t, s, d.shop.Test, "viewer", models.MethodTemplate)
		for code, body := range map[string]string{
			"EARLY": `"percent_bp":1000,"starts_at":"2999-01-01T00:00:00Z"`,
			"LATE":  `"percent_bp":1000,"ends_at":"2001-01-01T00:00:00Z"`,
			"OTHER": `"percent_bp":1000,"products":["viewer"]`,
			"YEN":   `"amounts":{"JPY":500}`,
			"OFF":   `"percent_bp":1000,"active":false`,
		} {
			d.knock(t, ask{method: post, path: "/v1/coupons", key: d.shop.TestKey, body: `{"code":"` + code + `","name":"x",` + body + `}`}).ok(t, 201)
		}
		for code, want := range map[string]string{
			"EARLY": "not valid yet", "LATE": "expired", "OTHER": "any of these products", "YEN": "currency", "OFF": "no such coupon", "NONE": "no such coupon",
		} {
			p := d.knock(t, orderWith(d.door, "ada@example.com", `},"coupon":"`+code+`"`)).problem(t)
			if p.Status != 422 || len(p.Errors) != 1 || p.Errors[0].Field != "coupon" || !strings.Contains(p.Errors[0].Message, want) {
				t.Errorf("%s: %+v", code, p)
			}
		}
		if n := storetest.Count(t, s, "SELECT COUNT(*) FROM orders"); n != 0 {
			t.Errorf("%d orders were recorded", n)
		}
		for body, field := range map[string]string{
			`{"name":"x"}`: "percent_bp", `{"name":"x","percent_bp":1,"amounts":{"EUR":1}}`: "percent_bp", `{"name":"x","amounts":{"eur":1}}`: "amounts",
			`{"name":"x","percent_bp":1,"products":["nope"]}`: "products[0]", `{"name":"x","percent_bp":1,"code":"a b"}`: "code",
			`{"name":"x","percent_bp":10001}`: "percent_bp", `{"name":"x","percent_bp":1,"max_uses":0}`: "max_uses",
			`{"name":"x","percent_bp":1,"starts_at":"2026-02-01T00:00:00Z","ends_at":"2026-01-01T00:00:00Z"}`: "ends_at",
		} {
			p := d.knock(t, ask{method: post, path: "/v1/coupons", key: d.shop.TestKey, body: body}).problem(t)
			if p.Status != 422 || len(p.Errors) == 0 || p.Errors[0].Field != field {
				t.Errorf("%s: %+v", body, p)
			}
		}
	})
}

// TestCouponLimitsHold: 100 customers race for a coupon with 10 uses; 10 get it, and who is deleted unpaid gives it back.
func TestCouponLimitsHold(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newCatalogue(t, s)
		d.knock(t, ask{method: post, path: "/v1/coupons", key: d.shop.TestKey, body: `{"code":"TEN","name":"Ten","percent_bp":1000,"max_uses":10}`}).ok(t, 201)
		var got, refused atomic.Int64
		var last atomic.Value
		var all sync.WaitGroup
		for i := range 100 {
			all.Go(func() {
				switch r := d.knock(t, orderWith(d.door, fmt.Sprintf("c%d@example.com", i), `},"coupon":"TEN"`)); r.status {
				case 201:
					var o models.OrderView
					r.into(t, &o)
					last.Store(o.ID)
					got.Add(1)
				case 422:
					refused.Add(1)
				default:
					t.Errorf("%d %s", r.status, r.body)
				}
			})
		}
		all.Wait()
		if got.Load() != 10 || refused.Load() != 90 {
			t.Errorf("%d got the coupon, %d did not", got.Load(), refused.Load())
		}
		id, _ := last.Load().(string)
		d.knock(t, ask{method: post, path: "/v1/orders/" + id + "/cancel", key: d.shop.TestKey, body: `{}`}).ok(t, 200)
		d.knock(t, orderWith(d.door, "late@example.com", `},"coupon":"TEN"`)).ok(t, 201)
		if r := d.knock(t, orderWith(d.door, "later@example.com", `},"coupon":"TEN"`)); r.status != 422 {
			t.Errorf("an eleventh use: %d", r.status)
		}
		d.knock(t, ask{method: post, path: "/v1/coupons", key: d.shop.TestKey, body: `{"code":"ONCE","name":"Once","percent_bp":1000,"max_uses_per_customer":1}`}).ok(t, 201)
		got.Store(0)
		for range 10 {
			all.Go(func() {
				if d.knock(t, orderWith(d.door, "Ada@Example.com", `},"coupon":"ONCE"`)).status == 201 {
					got.Add(1)
				}
			})
		}
		all.Wait()
		if got.Load() != 1 {
			t.Errorf("one customer used the coupon %d times", got.Load())
		}
	})
}
