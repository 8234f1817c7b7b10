package api

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

// exhibit has one object of each kind, all of them the test mode's of one merchant.
type exhibit struct {
	*door
	order, item, product, endpoint, event, delivery, coupon, offer, method, link string
}

func newExhibit(t testing.TB, s *models.Store) *exhibit {
	t.Helper()
	return exhibitOf(t, exhibitor(t, s))
}

// exhibitor is a merchant whose exhibits may be many.
func exhibitor(t testing.TB, s *models.Store) *catalogue {
	t.Helper()
	d := newCatalogue(t, s)
	storetest.Product(t, s, d.shop.Test, "viewer", models.MethodTemplate)
	return d
}

// exhibitOf makes an object of each kind.
func exhibitOf(t testing.TB, d *catalogue) *exhibit {
	t.Helper()
	sku := fmt.Sprintf("exhibit-%d", d.count(t, "products"))
	e := &exhibit{door: d.door, product: storetest.Product(t, d.store, d.shop.Test, sku, models.MethodTemplate).ID}
	o := d.order(t)
	e.order, e.item = o.ID, o.Items[0].ID
	e.endpoint = d.endpoint(t, "https://shop.example/hooks")
	var made struct{ ID string }
	d.knock(t, ask{method: post, path: "/v1/webhook-endpoints/" + e.endpoint + "/test", key: d.shop.TestKey}).ok(t, 201)
	var deliveries listOf[models.DeliveryView]
	d.knock(t, ask{method: get, path: "/v1/deliveries", key: d.shop.TestKey}).ok(t, 200).into(t, &deliveries)
	e.delivery = deliveries.Data[0].ID
	d.knock(t, ask{method: post, path: "/v1/events", key: d.shop.TestKey, body: `{"type":"custom.seen","data":{}}`}).ok(t, 201).into(t, &made)
	e.event = made.ID
	d.knock(t, ask{method: post, path: "/v1/coupons", key: d.shop.TestKey, body: `{"code":"` + strings.ToUpper(sku) + `","name":"Old","percent_bp":500}`}).ok(t, 201).into(t, &made)
	e.coupon = made.ID
	d.knock(t, ask{method: post, path: "/v1/offers", key: d.shop.TestKey, body: `{"kind":"replace","trigger":"editor-pro","product":"viewer","title":"Old"}`}).ok(t, 201).into(t, &made)
	e.offer = made.ID
	d.knock(t, ask{method: post, path: "/v1/checkout-links", key: d.shop.TestKey, body: `{"currency":"EUR","items":[{"product":"editor-pro"}]}`}).ok(t, 201).into(t, &made)
	e.link = made.ID
	storetest.Exec(t, d.store, "UPDATE payment_methods SET deleted_at = created_at") // there may not be many
	d.knock(t, ask{method: post, path: "/v1/payment-methods", key: d.shop.TestKey, body: validBodies["createPaymentMethod"]}).ok(t, 201).into(t, &made)
	e.method = made.ID
	return e
}

// fill puts the exhibit's ids into a route's path.
func (e *exhibit) fill(t testing.TB, r *route) string {
	t.Helper()
	ids := map[string]string{
		"/v1/orders/": e.order, "/v1/products/": e.product, "/v1/webhook-endpoints/": e.endpoint, "/v1/deliveries/": e.delivery, "/v1/events/": e.event,
		"/v1/coupons/": e.coupon, "/v1/offers/": e.offer, "/v1/checkout-links/": e.link, "/v1/payment-methods/": e.method,
	}
	path := strings.ReplaceAll(r.path, "{item}", e.item)
	for prefix, id := range ids {
		if strings.HasPrefix(path, prefix) {
			path = strings.ReplaceAll(path, "{id}", id)
		}
	}
	if strings.Contains(path, "{") {
		t.Fatalf("the exhibit has nothing for %s", r.path)
	}
	return path
}

// validBodies are bodies that each operation takes.
var validBodies = map[string]string{
	"createOrder":           `{"currency":"EUR","customer":{"email":"eve@example.com"},"items":[{"product":"editor-pro"}],"consents":{"terms":true,"personal_data":true}}`,
	"createPayment":         `{"method":"card","card":{"number":"4000000000000002","exp_month":12,"exp_year":2040,"cvc":"123"}}`,
	"createCoupon":          `{"code":"FRESH","name":"Fresh","percent_bp":1000}`,
	"updateCoupon":          `{"name":"Changed"}`,
	"createCheckoutLink":    `{"currency":"EUR","items":[{"product":"editor-pro"}]}`,
	"createOffer":           `{"kind":"addon","trigger":"editor-pro","product":"viewer","title":"Fresh"}`,
	"updateOffer":           `{"title":"Changed"}`,
	"markOrderPaid":         `{"amount":1,"currency":"EUR"}`,
	"createPaymentMethod":   `{"method":"bank_transfer","gateway":"bank_transfer","config":{"account_holder":"Analytical Engines","iban":"DE89370400440532013000"}}`,
	"updatePaymentMethod":   `{"position":2}`,
	"createProduct":         `{"sku":"fresh","name":"Fresh","license_method":"pool","prices":[{"currency":"EUR","amount":100}]}`,
	"updateProduct":         `{"name":"Changed"}`,
	"addPoolKeys":           `{"keys":["AAAA-BBBB"]}`,
	"searchLicenses":        `{"key":"AAAA-BBBB"}`,
	"updateSettings":        `{"support_email":"help@example.com"}`,
	"createWebhookEndpoint": `{"url":"https://shop.example/other"}`,
	"updateWebhookEndpoint": `{"description":"Changed"}`,
	"createEvent":           `{"type":"custom.seen","data":{}}`,
}

func (e *exhibit) ask(t testing.TB, r *route, key string) ask {
	t.Helper()
	a := ask{method: r.method, path: e.fill(t, r), key: key}
	if body, ok := validBodies[r.id]; ok {
		a.body = body
	}
	return a
}

// sharedRoutes name objects that test and live mode share.
var sharedRoutes = []string{"Products", "Settings", "Discounts"}

// TestPermissions asks every route of the table as everybody.
func TestPermissions(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		e := newExhibit(t, s)
		revoked, secret, err := s.CreateAPIKey(t.Context(), e.shop.Test, "old")
		if err != nil {
			t.Fatal(err)
		}
		if err := s.RevokeAPIKey(t.Context(), e.shop.ID, revoked.ID); err != nil {
			t.Fatal(err)
		}
		before := snapshot(t, s)
		for i := range routes {
			r := &routes[i]
			e.wrongKeys = newAttempts(wrongKeys, wrongKeyPause, time.Now) // each route is knocked at by somebody new
			for who, header := range map[string]string{
				"nobody":            "",
				"no scheme":         e.shop.TestKey,
				"another scheme":    "Basic " + e.shop.TestKey,
				"an empty key":      "Bearer ",
				"a wrong key":       "Bearer psk_test_" + strings.Repeat("A", 43),
				"no key of ours":    "Bearer sk_live_1",
				"a revoked key":     "Bearer " + secret,
				"a key cut short":   "Bearer " + e.shop.TestKey[:len(e.shop.TestKey)-1],
				"a key in capitals": "Bearer " + strings.ToUpper(e.shop.TestKey),
				"a NUL":             "Bearer psk_test_\xff",
			} {
				a := e.ask(t, r, "")
				a.header = map[string]string{"Authorization": header}
				got := e.knock(t, a)
				if got.status != 401 || got.problem(t).Code != "unauthorized" || got.header.Get("WWW-Authenticate") == "" {
					t.Errorf("%s as %s: %d %s", r.id, who, got.status, got.body)
				}
			}
			named := strings.Contains(r.path, "{")
			shared := slices.Contains(sharedRoutes, r.tag)
			for who, key := range map[string]string{
				"the other merchant, test": e.other.TestKey, "the other merchant, live": e.other.LiveKey, "the live key": e.shop.LiveKey,
			} {
				if who == "the live key" && shared || r.method != get && !named {
					continue
				}
				got := e.knock(t, e.ask(t, r, key))
				switch {
				case named && got.status != 404:
					t.Errorf("%s as %s: %d %s", r.id, who, got.status, got.body)
				case !named && got.status != 200:
					t.Errorf("%s as %s: %d %s", r.id, who, got.status, got.body)
				}
				for _, id := range []string{e.order, e.item, e.product, e.endpoint, e.event, e.delivery, e.shop.ID} {
					if bytes.Contains(got.body, []byte(id)) {
						t.Errorf("%s tells %s of %s", r.id, who, id)
					}
				}
			}
		}
		if after := snapshot(t, s); after != before {
			t.Errorf("strangers changed something:\n%s\n%s", before, after)
		}
		for i := range routes {
			if r := &routes[i]; r.method == get || r.id == "createEvent" || r.id == "createOrder" {
				if got := e.knock(t, e.ask(t, r, e.shop.TestKey)); got.status != r.status {
					t.Errorf("%s with its own key: %d %s", r.id, got.status, got.body)
				}
			}
		}
	})
}

// TestOwnersMay asks every route with its merchant's own key, on objects of its own.
func TestOwnersMay(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := exhibitor(t, s)
		for i := range routes {
			r := &routes[i]
			e := exhibitOf(t, d)
			switch r.id { // what only some states allow
			case "retryItem":
				storetest.Pay(t, s, e.shop.Test, e.order)
				storetest.Exec(t, s, "UPDATE items SET fulfillment_status = 'failed', failure = 'no answer' WHERE id = $1", e.item)
			case "addPoolKeys", "getPoolSummary":
				e.product = storetest.Product(t, s, e.shop.Test, "pooled-"+r.id, models.MethodPool).ID
			case "retryDelivery":
				storetest.Exec(t, s, "UPDATE deliveries SET status = 'failed', finished_at = created_at WHERE status = 'pending'")
				storetest.Exec(t, s, "UPDATE jobs SET state = 'dead', finished_at = created_at WHERE kind = 'webhook.deliver' AND state = 'due'")
			}
			if got := e.knock(t, e.ask(t, r, e.shop.TestKey)); got.status != r.status {
				t.Errorf("%s: %d %s", r.id, got.status, got.body)
			}
		}
	})
}

// snapshot counts and sums up every table that a request could change.
func snapshot(t testing.TB, s *models.Store) string {
	t.Helper()
	var out strings.Builder
	for _, table := range []string{
		"merchants", "products", "prices", "orders", "items", "payments", "pool_keys", "licenses", "events", "webhook_endpoints", "deliveries",
		"emails", "history", "jobs", "idempotency_keys", "api_keys",
	} {
		fmt.Fprintf(&out, "%s=%d ", table, storetest.Count(t, s, "SELECT COUNT(*) FROM "+table))
	}
	for _, column := range []string{"orders.status", "payments.status", "items.fulfillment_status", "webhook_endpoints.status", "products.name", "merchants.settings"} {
		table, name, _ := strings.Cut(column, ".")
		agg := "string_agg(CAST(" + name + " AS text), ',' ORDER BY id)"
		if s.Embedded() {
			agg = "group_concat(" + name + ", ',')"
		}
		var text string
		if err := s.SQL().QueryRowContext(t.Context(), "SELECT COALESCE("+agg+", '') FROM "+table).Scan(&text); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&out, "%s=%s ", column, text)
	}
	return out.String()
}

// TestWrongKeysAreSlowedDown: an address with too many wrong keys gets 429, and a right key is never refused because of it.
func TestWrongKeysAreSlowedDown(t *testing.T) {
	t.Parallel()
	d := newDoor(t, storetest.Open(t, "sqlite"))
	wrong := ask{method: get, path: "/v1/orders", key: "psk_test_wrong"}
	for range wrongKeys {
		if a := d.knock(t, wrong); a.status != 401 {
			t.Fatalf("answered %d before the limit", a.status)
		}
	}
	limited := 0
	for range 100 { // some of the limit comes back meanwhile
		a := d.knock(t, wrong)
		if a.status == 429 {
			limited++
			a.want(t, 429, codeRateLimited)
			if a.header.Get("Retry-After") == "" {
				t.Error("no Retry-After")
			}
		}
	}
	if limited < 20 {
		t.Errorf("%d of 100 were slowed down", limited)
	}
	d.knock(t, ask{method: get, path: "/v1/orders"}).want(t, 401, codeUnauthorized) // nothing was tried
	d.knock(t, ask{method: get, path: "/v1/orders", key: d.shop.TestKey}).ok(t, 200)
}
