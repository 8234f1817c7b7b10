package api

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/purser-dev/purser/handlers/payment"
	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

// orderMembers are the members of an order that the contract prints, and those of what is inside it.
var orderMembers = map[string][]string{
	"": {"id", "number", "test", "status", "fulfillment_status", "refund_status", "delete_reason", "currency", "subtotal", "discount", "tax",
		"tax_inclusive", "total", "amount_refunded", "locale", "external_id", "coupon", "customer", "payment_method", "items", "payments",
		"payment_url", "order_url", "metadata", "created_at", "paid_at", "delivered_at", "deleted_at"},
	"customer": {"email", "first_name", "last_name", "type", "country", "company", "vat_number", "city", "zip", "address", "phone"},
	"items": {"id", "product", "sku", "name", "quantity", "unit_price", "discount", "tax", "total", "license_method", "fulfillment_status",
		"failure", "licenses"},
	"payments": {"id", "method", "gateway", "status", "amount", "currency", "failure_code", "created_at"},
}

func TestOrderHasTheShapeOfTheContract(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s)
		o := d.order(t)
		d.knock(t, ask{method: post, path: "/v1/orders/" + o.ID + "/payments", key: d.shop.TestKey, body: cardBody("4242424242424242")}).ok(t, 201)
		var got map[string]any
		d.knock(t, ask{method: get, path: "/v1/orders/" + o.ID, key: d.shop.TestKey}).ok(t, 200).into(t, &got)
		for at, members := range orderMembers {
			of := got
			switch v := got[at].(type) {
			case map[string]any:
				of = v
			case []any:
				of = v[0].(map[string]any)
			}
			for _, m := range members {
				if _, ok := of[m]; !ok {
					t.Errorf("%s has no %s", at, m)
				}
			}
		}
		if got["status"] != "paid" || got["subtotal"] != 9800.0 || got["total"] != 9800.0 || got["test"] != true || got["paid_at"] == nil {
			t.Errorf("order is %v", got)
		}
	})
}

func TestCreateOrder(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s)
		a := d.knock(t, ask{method: post, path: "/v1/orders", key: d.shop.TestKey, body: orderBody()}).ok(t, 201)
		var o models.OrderView
		a.into(t, &o)
		if got, want := a.header.Get("Location"), storetest.PublicURL+"/v1/orders/"+o.ID; got != want {
			t.Errorf("Location is %s, want %s", got, want)
		}
		if o.Customer.Type != "individual" || o.Locale != "en" || *o.ExternalID != "cart-991" || o.Metadata["campaign"] != "x" || !o.Test {
			t.Errorf("got %s", a.body)
		}
		var stored models.OrderView
		d.knock(t, ask{method: get, path: "/v1/orders/" + o.ID, key: d.shop.TestKey}).ok(t, 200).into(t, &stored)
		was, _ := json.Marshal(o)
		is, _ := json.Marshal(stored)
		if string(was) != string(is) {
			t.Errorf("was created as %s, is %s", was, is)
		}
		if n := d.count(t, "orders"); n != 1 {
			t.Errorf("%d orders", n)
		}
	})
}

func TestCreateOrderFillsInWhatIsOptional(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s)
		var o models.OrderView
		d.knock(t, ask{method: post, path: "/v1/orders", key: d.shop.LiveKey, body: `{"currency":"EUR","customer":{"email":"ada@example.com","phone":null},
			"items":[{"product":"` + d.product.ID + `"}],"consents":{"terms":true,"personal_data":true},"metadata":null,"coupon":null}`}).ok(t, 201).into(t, &o)
		if o.Test || o.Items[0].Quantity != 1 || o.Locale != "en" || o.PaymentMethod != nil || o.ExternalID != nil || o.ReturnURL != nil || len(o.Metadata) != 0 {
			t.Errorf("got %+v", o)
		}
	})
}

// TestCreateOrderTakesWhatFormsSend: fields that were left empty, lines as browsers end them, and names in other scripts than Latin.
func TestCreateOrderTakesWhatFormsSend(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s)
		name := strings.Repeat("я", 40)
		body := func(name string) string {
			return `{"currency":"EUR","customer":{"email":"ada@example.com","type":"","country":"","address":"1 Lane\r\nLondon"},"payment_method":"",
				"items":[{"product":"` + d.product.ID + `"}],"consents":{"terms":true,"personal_data":true},"metadata":{"` + name + `":"x\r\ny"}}`
		}
		var o models.OrderView
		d.knock(t, ask{method: post, path: "/v1/orders", key: d.shop.LiveKey, body: body(name)}).ok(t, 201).into(t, &o)
		if o.Customer.Type != "individual" || o.PaymentMethod != nil || o.Customer.Address != "1 Lane\nLondon" || o.Metadata[name] != "x\r\ny" {
			t.Errorf("got %+v", o)
		}
		d.knock(t, ask{method: post, path: "/v1/orders", key: d.shop.LiveKey, body: body(name + "я")}).want(t, 422, codeInvalid, "metadata")
	})
}

func TestOrderOfNothingIsPaidAtOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s)
		in := storetest.ProductInput("free", models.MethodTemplate)
		in.Prices[0].Amount = 0
		if _, err := s.CreateProduct(t.Context(), d.shop.Test, in); err != nil {
			t.Fatal(err)
		}
		o := d.order(t, with("items", []any{map[string]any{"product": "free", "quantity": 1}}))
		if o.Status != models.OrderPaid || o.Total != 0 || o.PaidAt == nil {
			t.Errorf("got %+v", o)
		}
		if n := len(storetest.Jobs(t, s, jobs.KindFulfil)); n != 1 {
			t.Errorf("%d promises to fulfil", n)
		}
	})
}

// TestPaymentMethodsAreDocumented keeps the enum tags in step with the gateways' package.
func TestPaymentMethodsAreDocumented(t *testing.T) {
	t.Parallel()
	d := newDoor(t, storetest.Open(t, "sqlite"))
	for _, schema := range []string{"OrderRequest.payment_method", "PaymentRequest.method"} {
		name, field, _ := strings.Cut(schema, ".")
		enum := d.api.OpenAPI().Components.Schemas.Map()[name].Properties[field].Enum
		enum = slices.DeleteFunc(slices.Clone(enum), func(v any) bool { return v == "" }) // none
		for _, m := range payment.Methods() {
			if !slices.Contains(enum, any(m.Name)) {
				t.Errorf("%s does not know %s", schema, m.Name)
			}
		}
		if len(enum) != len(payment.Methods()) {
			t.Errorf("%s knows %v", schema, enum)
		}
	}
}

func TestListOrders(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s)
		storetest.Product(t, s, d.shop.Test, "viewer", models.MethodTemplate)
		first := d.order(t, with("external_id", "one"))
		second := d.order(t, with("external_id", "two"), with("customer", map[string]any{"email": "Bob@Example.com"}))
		third := d.order(t, with("items", []any{map[string]any{"product": "viewer", "quantity": 1}}))
		storetest.Pay(t, s, d.shop.Test, second.ID)
		d.knock(t, ask{method: post, path: "/v1/orders/" + third.ID + "/cancel", key: d.shop.TestKey}).ok(t, 200)
		live := storetest.Order(t, s, d.shop.Live, "editor-pro", 1)
		later := url.QueryEscape(time.Now().Add(time.Hour).Format(time.RFC3339))
		created := url.QueryEscape(second.CreatedAt.Format(time.RFC3339Nano))
		for query, want := range map[string][]string{
			"":                                  {third.ID, second.ID, first.ID},
			"?status=paid":                      {second.ID},
			"?status=deleted":                   {third.ID},
			"?status=terminated":                {},
			"?fulfillment_status=not_delivered": {third.ID, second.ID, first.ID},
			"?fulfillment_status=delivered":     {},
			"?email=bob@example.com":            {second.ID},
			"?email=BOB%40EXAMPLE.COM":          {second.ID},
			"?email=nobody@example.com":         {},
			"?number=" + first.Number:           {first.ID},
			"?external_id=one":                  {first.ID},
			"?product=viewer":                   {third.ID},
			"?product=" + d.product.ID:          {second.ID, first.ID},
			"?created_from=" + created:          {third.ID, second.ID},
			"?created_to=" + created:            {second.ID, first.ID},
			"?created_from=" + later:            {},
			"?status=paid&email=bob@example.com&product=editor-pro": {second.ID},
			"?status=&email=&limit=":                                {third.ID, second.ID, first.ID},
		} {
			var l listOf[models.OrderView]
			d.knock(t, ask{method: get, path: "/v1/orders" + query, key: d.shop.TestKey}).ok(t, 200).into(t, &l)
			if got := orderIDs(l.Data); !slices.Equal(got, want) || l.NextCursor != nil {
				t.Errorf("%s lists %v, want %v", query, got, want)
			}
		}
		var l listOf[models.OrderView]
		d.knock(t, ask{method: get, path: "/v1/orders", key: d.shop.LiveKey}).ok(t, 200).into(t, &l)
		if got := orderIDs(l.Data); !slices.Equal(got, []string{live.ID}) {
			t.Errorf("the live key lists %v", got)
		}
		if a := d.knock(t, ask{method: get, path: "/v1/orders", key: d.other.TestKey}).ok(t, 200); string(a.body) != `{"data":[],"next_cursor":null}`+"\n" {
			t.Errorf("the other merchant lists %s", a.body)
		}
	})
}

func TestListOrdersByPages(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s)
		var want []string
		for range 5 {
			want = append(want, d.order(t).ID)
		}
		slices.Reverse(want)
		var got []string
		for cursor, pages := "", 0; ; pages++ {
			var l listOf[models.OrderView]
			d.knock(t, ask{method: get, path: "/v1/orders?limit=2&cursor=" + cursor, key: d.shop.TestKey}).ok(t, 200).into(t, &l)
			got = append(got, orderIDs(l.Data)...)
			if l.NextCursor == nil {
				break
			}
			if cursor = *l.NextCursor; pages > 5 {
				t.Fatal("the list has no end")
			}
			d.order(t) // what is added meanwhile is on no later page
		}
		if !slices.Equal(got, want) {
			t.Errorf("pages hold %v, want %v", got, want)
		}
	})
}

func orderIDs(orders []models.OrderView) []string {
	out := []string{}
	for _, o := range orders {
		out = append(out, o.ID)
	}
	return out
}

func TestTimelineIsOldestFirst(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s)
		o := d.order(t)
		d.knock(t, ask{method: post, path: "/v1/orders/" + o.ID + "/payments", key: d.shop.TestKey, body: cardBody("4242424242424242")}).ok(t, 201)
		var l listOf[models.TimelineEntry]
		a := d.knock(t, ask{method: get, path: "/v1/orders/" + o.ID + "/timeline", key: d.shop.TestKey}).ok(t, 200)
		a.into(t, &l)
		var kinds []string
		for i, e := range l.Data {
			kinds = append(kinds, e.Kind)
			if i > 0 && e.At.Before(l.Data[i-1].At) {
				t.Errorf("%s comes after what happened later", e.Kind)
			}
			if e.Actor == "" || e.Summary == "" || e.Detail == nil {
				t.Errorf("incomplete entry %+v", e)
			}
		}
		for _, kind := range []string{"order.created", "payment.created", "payment.succeeded", "order.paid"} {
			if !slices.Contains(kinds, kind) {
				t.Errorf("%v has no %s", kinds, kind)
			}
		}
		if kinds[0] != "order.created" || !strings.HasPrefix(l.Data[0].Actor, "api_key:key_") {
			t.Errorf("begins with %+v", l.Data[0])
		}
		if strings.Contains(string(a.body), "ada@example.com") {
			t.Error("the timeline has personal data")
		}
		d.knock(t, ask{method: get, path: "/v1/orders/" + o.ID + "/timeline", key: d.shop.LiveKey}).want(t, 404, codeNotFound)
	})
}

func TestTimelineByPages(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s)
		o := d.order(t)
		d.knock(t, ask{method: post, path: "/v1/orders/" + o.ID + "/payments", key: d.shop.TestKey, body: cardBody("4242424242424242")}).ok(t, 201)
		read := func(query string) (l listOf[models.TimelineEntry]) {
			d.knock(t, ask{method: get, path: "/v1/orders/" + o.ID + "/timeline" + query, key: d.shop.TestKey}).ok(t, 200).into(t, &l)
			return l
		}
		all := read("")
		if len(all.Data) < 4 || all.NextCursor != nil {
			t.Fatalf("%d entries, then %v", len(all.Data), all.NextCursor)
		}
		var seen []models.TimelineEntry
		for query := "?limit=3"; query != ""; {
			l := read(query)
			seen, query = append(seen, l.Data...), ""
			if l.NextCursor != nil {
				query = "?limit=3&cursor=" + *l.NextCursor
			}
			if len(l.Data) == 0 || len(l.Data) > 3 || (l.NextCursor != nil) != (len(seen) < len(all.Data)) {
				t.Fatalf("a page of %d, then %v", len(l.Data), l.NextCursor)
			}
		}
		if !slices.EqualFunc(seen, all.Data, func(a, b models.TimelineEntry) bool {
			return a.At.Equal(b.At) && a.Kind == b.Kind && a.Summary == b.Summary
		}) {
			t.Errorf("the pages have %+v, the whole has %+v", seen, all.Data)
		}
		if beyond := read("?cursor=100000"); len(beyond.Data) != 0 || beyond.NextCursor != nil {
			t.Errorf("beyond the end: %+v", beyond)
		}
		for query, field := range map[string]string{"?limit=0": "limit", "?limit=101": "limit", "?cursor=x": "cursor", "?cursor=-1": "cursor"} {
			d.knock(t, ask{method: get, path: "/v1/orders/" + o.ID + "/timeline" + query, key: d.shop.TestKey}).want(t, 422, codeInvalid, field)
		}
	})
}

func TestCancelOrder(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s)
		cancel := func(id string, body any) answer {
			return d.knock(t, ask{method: post, path: "/v1/orders/" + id + "/cancel", key: d.shop.TestKey, body: body})
		}
		for name, body := range map[string]any{"no body": nil, "an empty object": "{}", "a reason": map[string]any{"reason": "changed her mind"}} {
			o := d.order(t)
			events := d.count(t, "events")
			var got models.OrderView
			cancel(o.ID, body).ok(t, 200).into(t, &got)
			if got.Status != models.OrderDeleted || *got.DeleteReason != "cancelled" || got.DeletedAt == nil {
				t.Errorf("%s: %+v", name, got)
			}
			cancel(o.ID, body).ok(t, 200) // no second time
			if n := d.count(t, "events") - events; n != 1 {
				t.Errorf("%s: %d events, want order.deleted once", name, n)
			}
		}
		paid := storetest.PaidOrder(t, s, d.shop.Test, "editor-pro", 1)
		cancel(paid.ID, nil).want(t, 409, codeConflict)
		o := d.order(t)
		cancel(o.ID, map[string]any{"reason": strings.Repeat("x", 501)}).want(t, 422, codeInvalid, "reason")
		cancel(o.ID, map[string]any{"reason": 5}).want(t, 422, codeInvalid, "reason")
		cancel("ord_00000000000000000000000000", nil).want(t, 404, codeNotFound)
		for _, key := range []string{d.shop.LiveKey, d.other.TestKey} {
			d.knock(t, ask{method: post, path: "/v1/orders/" + o.ID + "/cancel", key: key}).want(t, 404, codeNotFound)
		}
		var got models.OrderView
		d.knock(t, ask{method: get, path: "/v1/orders/" + o.ID, key: d.shop.TestKey}).ok(t, 200).into(t, &got)
		if got.Status != models.OrderNotPaid {
			t.Errorf("a refused cancellation left the order %s", got.Status)
		}
	})
}

func TestRetryItem(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s)
		o := storetest.PaidOrder(t, s, d.shop.Test, "editor-pro", 1)
		path := "/v1/orders/" + o.ID + "/items/" + o.Items[0].ID + "/retry"
		d.knock(t, ask{method: post, path: path, key: d.shop.TestKey}).want(t, 409, codeConflict)
		storetest.Exec(t, s, "UPDATE items SET fulfillment_status = 'failed', failure = 'no answer' WHERE id = $1", o.Items[0].ID)
		for _, key := range []string{d.shop.LiveKey, d.other.TestKey} {
			d.knock(t, ask{method: post, path: path, key: key}).want(t, 404, codeNotFound)
		}
		d.knock(t, ask{method: post, path: path, key: d.shop.TestKey, body: `{"force":true}`}).want(t, 422, codeInvalid, "force")
		promises := len(storetest.Jobs(t, s, jobs.KindFulfil))
		var got models.OrderView
		d.knock(t, ask{method: post, path: path, key: d.shop.TestKey, body: `{}`}).ok(t, 200).into(t, &got)
		if got.Items[0].FulfillmentStatus != models.NotDelivered || got.Items[0].Failure != nil {
			t.Errorf("got %+v", got.Items[0])
		}
		if n := len(storetest.Jobs(t, s, jobs.KindFulfil)) - promises; n != 1 {
			t.Errorf("%d new promises to fulfil", n)
		}
		other := d.order(t)
		d.knock(t, ask{method: post, path: "/v1/orders/" + other.ID + "/items/" + o.Items[0].ID + "/retry", key: d.shop.TestKey}).want(t, 404, codeNotFound)
	})
}
