package api

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

// exhibit has one object of each kind, all of them of one merchant and mode.
type exhibit struct {
	*door
	scope                                                                        models.Scope
	key                                                                          string // an API key of the scope
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

// exhibitOf makes an object of each kind in test mode.
func exhibitOf(t testing.TB, d *catalogue) *exhibit {
	t.Helper()
	return exhibitIn(t, d, d.shop.Test)
}

// exhibitIn makes an object of each kind in one of the two modes of the door's shop.
func exhibitIn(t testing.TB, d *catalogue, sc models.Scope) *exhibit {
	t.Helper()
	sku := fmt.Sprintf("exhibit-%d", d.count(t, "products"))
	e := &exhibit{door: d.door, scope: sc, key: d.shop.LiveKey, product: storetest.Product(t, d.store, sc, sku, models.MethodPool).ID}
	if sc.Test {
		e.key = d.shop.TestKey
	}
	var o models.OrderView
	e.post(t, "/v1/orders", orderBody(), &o)
	e.order, e.item = o.ID, o.Items[0].ID
	e.endpoint = e.made(t, "/v1/webhook-endpoints", `{"url":"https://shop.example/hooks"}`)
	e.delivery = e.made(t, "/v1/webhook-endpoints/"+e.endpoint+"/test", nil)
	e.event = e.made(t, "/v1/events", `{"type":"custom.seen","data":{}}`)
	e.coupon = e.made(t, "/v1/coupons", `{"code":"`+strings.ToUpper(sku)+`","name":"Old","percent_bp":500}`)
	e.offer = e.made(t, "/v1/offers", `{"kind":"replace","trigger":"editor-pro","product":"viewer","title":"Old"}`)
	e.link = e.made(t, "/v1/checkout-links", `{"currency":"EUR","items":[{"product":"editor-pro"}]}`)
	storetest.Exec(t, d.store, "UPDATE payment_methods SET deleted_at = created_at") // there may not be many
	e.method = e.made(t, "/v1/payment-methods", validBodies["createPaymentMethod"])
	return e
}

// made posts a body and returns the id of what that makes.
func (e *exhibit) made(t testing.TB, path string, body any) string {
	t.Helper()
	var made struct{ ID string }
	e.post(t, path, body, &made)
	return made.ID
}

func (e *exhibit) post(t testing.TB, path string, body, into any) {
	t.Helper()
	e.knock(t, ask{method: post, path: path, key: e.key, body: body}).ok(t, 201).into(t, into)
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
		a.body = strings.NewReplacer("FRESH", fmt.Sprintf("FRESH-%d", e.count(t, "coupons")), "fresh", fmt.Sprintf("fresh-%d", e.count(t, "products"))).Replace(body)
	}
	return a
}

// snapshot counts and sums up the rows of every table.
func snapshot(t testing.TB, s *models.Store) string {
	t.Helper()
	var out strings.Builder
	dump := storetest.Dump(t, s)
	for _, table := range slices.Sorted(maps.Keys(dump)) {
		rows := make([]string, len(dump[table]))
		for i, r := range dump[table] {
			rows[i] = r.String()
		}
		slices.Sort(rows)
		fmt.Fprintf(&out, "%s=%d:%.4x ", table, len(rows), sha256.Sum256([]byte(strings.Join(rows, "\n"))))
	}
	return out.String()
}
