package api

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

// A reach is whose keys an operation serves.
type reach string

const (
	// modeList is a merchant's collection in one mode: every key sees its own and adds to its own.
	modeList reach = "a collection of one merchant and mode"
	// list is a merchant's collection that both its modes share.
	list reach = "a collection of one merchant"
	// modeThing is an object that other merchants, and the other mode, do not find.
	modeThing reach = "an object of one merchant and mode"
	// thing is an object that other merchants do not find, and both modes of its own do.
	thing reach = "an object of one merchant"
)

// reaches has a row for every operation of routes.go. What a reach promises is asked for by every kind of caller.
var reaches = map[string]reach{
	"createOrder": modeList, "listOrders": modeList, "getOrder": modeThing, "getOrderTimeline": modeThing, "cancelOrder": modeThing, "retryItem": modeThing,
	"createPayment": modeThing, "markOrderPaid": modeThing, "reviveOrder": modeThing,
	"createPaymentMethod": modeList, "listPaymentMethods": modeList, "getPaymentMethod": modeThing, "updatePaymentMethod": modeThing, "deletePaymentMethod": modeThing,
	"createProduct": list, "listProducts": list, "getProduct": thing, "updateProduct": thing, "archiveProduct": thing,
	"addPoolKeys": thing, "getPoolSummary": thing, // of a product, which is shared; its pool is the key's mode's
	"createCoupon": list, "listCoupons": list, "getCoupon": thing, "updateCoupon": thing, "archiveCoupon": thing,
	"createOffer": list, "listOffers": list, "getOffer": thing, "updateOffer": thing, "archiveOffer": thing,
	"createCheckoutLink": modeList, "listCheckoutLinks": modeList, "getCheckoutLink": modeThing,
	"searchLicenses": modeList,
	"getSettings":    list, "updateSettings": list,
	"createWebhookEndpoint": modeList, "listWebhookEndpoints": modeList, "getWebhookEndpoint": modeThing, "updateWebhookEndpoint": modeThing,
	"deleteWebhookEndpoint": modeThing, "testWebhookEndpoint": modeThing,
	"listDeliveries": modeList, "getDelivery": modeThing, "retryDelivery": modeThing,
	"createEvent": modeList, "listEvents": modeList, "getEvent": modeThing,
}

func TestEveryRouteHasAReach(t *testing.T) {
	t.Parallel()
	for i := range routes {
		r := &routes[i]
		switch named := strings.Contains(r.path, "{"); reaches[r.id] {
		case list, modeList:
			if named {
				t.Errorf("%s names an object", r.id)
			}
		case thing, modeThing:
			if !named {
				t.Errorf("%s names no object", r.id)
			}
		default:
			t.Errorf("%s %s (%s) has no row in reaches: nobody has thought of who may", r.method, r.path, r.id)
		}
	}
	for id := range reaches {
		if !slices.ContainsFunc(routes, func(r route) bool { return r.id == id }) {
			t.Errorf("reaches has %s, which is no route", id)
		}
	}
}

// prepare brings an exhibit into the state in which an operation is possible at all.
func (e *exhibit) prepare(t testing.TB, id string) {
	t.Helper()
	switch id {
	case "retryItem":
		storetest.Pay(t, e.store, e.scope, e.order)
		storetest.Exec(t, e.store, "UPDATE items SET fulfillment_status = 'failed', failure = 'no answer' WHERE id = $1", e.item)
	case "retryDelivery":
		storetest.Exec(t, e.store, "UPDATE deliveries SET status = 'failed', finished_at = created_at WHERE status = 'pending'")
		storetest.Exec(t, e.store, "UPDATE jobs SET state = 'dead', finished_at = created_at WHERE kind = 'webhook.deliver' AND state = 'due'")
	}
}

// TestNobodyGetsInWithoutAKey asks every route without a key that counts.
func TestNobodyGetsInWithoutAKey(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		e := newExhibit(t, s)
		revoked, secret, err := s.CreateAPIKey(t.Context(), e.shop.Test, "old")
		if err != nil {
			t.Fatal(err)
		}
		if err := s.RevokeAPIKey(t.Context(), e.shop.ID, revoked.ID); err != nil {
			t.Fatal(err)
		}
		callers := map[string]map[string]string{
			"nobody":            {"Authorization": ""},
			"no scheme":         {"Authorization": e.shop.TestKey},
			"another scheme":    {"Authorization": "Basic " + e.shop.TestKey},
			"an empty key":      {"Authorization": "Bearer "},
			"a wrong key":       {"Authorization": "Bearer psk_test_" + strings.Repeat("A", 43)},
			"no key of ours":    {"Authorization": "Bearer sk_live_1"},
			"a revoked key":     {"Authorization": "Bearer " + secret},
			"a key cut short":   {"Authorization": "Bearer " + e.shop.TestKey[:len(e.shop.TestKey)-1]},
			"a key in capitals": {"Authorization": "Bearer " + strings.ToUpper(e.shop.TestKey)},
			"its other mode":    {"Authorization": "Bearer psk_live_" + strings.TrimPrefix(e.shop.TestKey, "psk_test_")},
			"a NUL":             {"Authorization": "Bearer psk_test_\xff"},
			"a key in a cookie": {"Cookie": e.cookieName(sessionCookie) + "=" + e.shop.TestKey},
		}
		for _, role := range []string{"staff", models.RoleViewer, models.RoleAdmin} {
			session := e.signedIn(t, role).cookies[e.cookieName(sessionCookie)]
			callers["the session of "+role] = map[string]string{"Cookie": e.cookieName(sessionCookie) + "=" + session}
			callers["the session of "+role+" as a key"] = map[string]string{"Authorization": "Bearer " + session}
		}
		before := snapshot(t, s)
		for i := range routes {
			r := &routes[i]
			e.wrongKeys = newAttempts(wrongKeys, wrongKeyPause, time.Now) // each route is knocked at by somebody new
			for who, header := range callers {
				a := e.ask(t, r, "")
				a.header = header
				got := e.knock(t, a)
				if got.status != 401 || got.problem(t).Code != "unauthorized" || got.header.Get("WWW-Authenticate") == "" {
					t.Errorf("%s as %s: %d %s", r.id, who, got.status, got.body)
				}
			}
			if a := e.ask(t, r, e.key); a.method == get {
				a.path, a.key = a.path+"?key="+e.key+"&api_key="+e.key, ""
				if got := e.knock(t, a); got.status != 401 {
					t.Errorf("%s with the key in its address: %d %s", r.id, got.status, got.body)
				}
			}
		}
		if after := snapshot(t, s); after != before {
			t.Errorf("strangers changed something:\n%s\n%s", before, after)
		}
	})
}

// TestOwnersMay asks every route with a key of its objects' own merchant and mode, in both modes.
func TestOwnersMay(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := exhibitor(t, s)
		for _, sc := range []models.Scope{d.shop.Test, d.shop.Live} {
			var e *exhibit // the next route's too, unless it has been changed
			for i := range routes {
				r := &routes[i]
				if e == nil {
					e = exhibitIn(t, d, sc)
				}
				e.prepare(t, r.id)
				a := e.ask(t, r, e.key)
				if r.id == "createPayment" && !sc.Test {
					a.body = `{"method":"bank_transfer"}`
				}
				if got := e.knock(t, a); got.status != r.status {
					t.Errorf("%s, test mode %v: %d %s", r.id, sc.Test, got.status, got.body)
				}
				if r.method != get {
					e = nil
				}
			}
		}
	})
}

// TestStrangersKeysFindNothing asks every route about a merchant's objects with the keys of another merchant, and those of one mode with
// the key of the other.
func TestStrangersKeysFindNothing(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := exhibitor(t, s)
		storetest.Product(t, s, d.other.Test, "editor-pro", models.MethodTemplate)
		storetest.Product(t, s, d.other.Test, "viewer", models.MethodTemplate)
		var e *exhibit // the next route's too, unless it may have been changed
		for i := range routes {
			r := &routes[i]
			if e == nil {
				e = exhibitOf(t, d)
			}
			e.prepare(t, r.id)
			before := storetest.Dump(t, s)
			for who, key := range map[string]string{"the other merchant, test": d.other.TestKey, "the other merchant, live": d.other.LiveKey} {
				e.finds(t, r, who, key, reaches[r.id] == modeThing || reaches[r.id] == thing, owned(before, d.shop.ID, false))
			}
			if left := untouched(before, storetest.Dump(t, s), d.shop.ID); left != "" {
				t.Errorf("%s changed for the other merchant: %s", r.id, left)
			}
			if reaches[r.id] == modeThing || reaches[r.id] == modeList {
				e.finds(t, r, "the other mode", d.shop.LiveKey, reaches[r.id] == modeThing, owned(before, d.shop.ID, true))
				if left := untouched(before, storetest.Dump(t, s), ""); left != "" {
					t.Errorf("%s changed for the other mode: %s", r.id, left)
				}
			} else if got := e.knock(t, e.ask(t, r, d.shop.LiveKey)); got.status != r.status {
				t.Errorf("%s shares its objects between the modes, but answers the live key %d %s", r.id, got.status, got.body)
			}
			if r.method != get {
				e = nil
			}
		}
	})
}

// finds asks a route as a stranger, who must not be told of any of the ids.
func (e *exhibit) finds(t testing.TB, r *route, who, key string, nothing bool, ids []string) {
	t.Helper()
	got := e.knock(t, e.ask(t, r, key))
	want := r.status
	if nothing {
		want = 404
	}
	if got.status != want {
		t.Errorf("%s as %s: %d %s, want %d", r.id, who, got.status, got.body, want)
	}
	for _, id := range ids {
		if strings.Contains(string(got.body), id) {
			t.Errorf("%s tells %s of %s: %s", r.id, who, id, got.body)
		}
	}
}

// owned lists the ids of a merchant's rows, or only of those that belong to test mode.
func owned(dump map[string][]storetest.Row, merchant string, testOnly bool) (ids []string) {
	for _, rows := range dump {
		for _, r := range rows {
			if id := r["id"]; r["merchant_id"] == merchant && len(id) > 20 && (!testOnly || r["test"] == "true" || r["test"] == "1") {
				ids = append(ids, id)
			}
		}
	}
	if !testOnly {
		ids = append(ids, merchant)
	}
	return ids
}

// untouched returns "" if every row is still there as it was, and no new one belongs to the merchant.
func untouched(before, after map[string][]storetest.Row, merchant string) string {
	for table, rows := range before {
		now := map[string]bool{}
		for _, r := range after[table] {
			now[r.String()] = true
		}
		for _, r := range rows {
			// Counters and deduplicated rows of others may change; what is compared is the merchant's.
			if !now[r.String()] && (merchant == "" || r["merchant_id"] == merchant || r["id"] == merchant) {
				return fmt.Sprintf("a row of %s is gone or another: %s", table, r)
			}
		}
		if n := mine(after[table], merchant) - mine(rows, merchant); n != 0 {
			return fmt.Sprintf("%d rows of %s are new", n, table)
		}
	}
	return ""
}

func mine(rows []storetest.Row, merchant string) (n int) {
	for _, r := range rows {
		if merchant != "" && r["merchant_id"] == merchant {
			n++
		}
	}
	return n
}

// TestForeignObjectsInBodies names another merchant's objects where a request may name objects of one's own.
func TestForeignObjectsInBodies(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		e := newExhibit(t, s)
		storetest.Product(t, s, e.other.Test, "editor-pro", models.MethodTemplate)
		theirs := storetest.Order(t, s, e.other.Test, "editor-pro", 1)
		order := func(product, coupon string) string {
			return `{"currency":"EUR","customer":{"email":"eve@example.com"},"items":[{"product":"` + product + `"}],"coupon":"` + coupon + `","consents":{"terms":true,"personal_data":true}}`
		}
		tests := []struct {
			method, path, body string
			status             int
		}{
			{post, "/v1/orders", order(e.product, ""), 422},
			{post, "/v1/coupons", `{"code":"MINE","name":"Mine","percent_bp":100,"products":["` + e.product + `"]}`, 422},
			{post, "/v1/offers", `{"kind":"addon","trigger":"` + e.product + `","product":"editor-pro","title":"Mine"}`, 422},
			{post, "/v1/offers", `{"kind":"addon","trigger":"editor-pro","product":"` + e.product + `","title":"Mine"}`, 422},
			{post, "/v1/checkout-links", `{"currency":"EUR","items":[{"product":"` + e.product + `"}]}`, 422},
			{post, "/v1/orders/" + theirs.ID + "/items/" + e.item + "/retry", "", 404},
			{post, "/v1/orders/" + e.order + "/items/" + theirs.Items[0].ID + "/retry", "", 404},
			{get, "/v1/orders?product=" + e.product, "", 200},
			{get, "/v1/orders?external_id=cart-991", "", 200},
			{get, "/v1/orders?email=ada@example.com", "", 200},
			{get, "/v1/deliveries?endpoint=" + e.endpoint, "", 200},
			{get, "/v1/deliveries?event=" + e.event, "", 200},
			{get, "/v1/orders?cursor=" + e.order, "", 200},
		}
		ids := owned(storetest.Dump(t, s), e.shop.ID, false)
		before := snapshot(t, s)
		for _, tt := range tests {
			a := ask{method: tt.method, path: tt.path, key: e.other.TestKey}
			if tt.body != "" {
				a.body = tt.body
			}
			got := e.knock(t, a)
			if got.status != tt.status && !(strings.Contains(tt.path, "?") && (got.status == 404 || got.status == 422 || got.status == 400)) {
				t.Errorf("%s %s %s: %d %s, want %d", tt.method, tt.path, tt.body, got.status, got.body, tt.status)
			}
			for _, id := range ids {
				if strings.Contains(string(got.body), id) && !strings.Contains(tt.path+tt.body, id) {
					t.Errorf("%s %s tells of %s: %s", tt.method, tt.path, id, got.body)
				}
			}
		}
		if after := snapshot(t, s); after != before {
			t.Errorf("something was recorded:\n%s\n%s", before, after)
		}
	})
}

// TestTestKeysOfALiveMerchant read what the modes share and do not write it; what is their own mode's they go on writing.
func TestTestKeysOfALiveMerchant(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := exhibitor(t, s)
		var e *exhibit // the next route's too, unless it has been changed
		for i := range routes {
			r := &routes[i]
			if e == nil {
				storetest.Exec(t, s, "UPDATE merchants SET live = false WHERE id = $1", d.shop.ID)
				e = exhibitOf(t, d)
				storetest.Exec(t, s, "UPDATE merchants SET live = true WHERE id = $1", d.shop.ID)
			}
			e.prepare(t, r.id)
			want, before := r.status, ""
			if shared := reaches[r.id] == list || reaches[r.id] == thing; shared && r.method != get && r.id != "addPoolKeys" { // a pool is its mode's
				want, before = 403, snapshot(t, s)
			}
			got := e.knock(t, e.ask(t, r, e.key))
			if got.status != want {
				t.Errorf("%s: %d %s, want %d", r.id, got.status, got.body, want)
			}
			if want == 403 {
				if got.problem(t).Code != string(codeForbidden) {
					t.Errorf("%s: %s", r.id, got.body)
				}
				if after := snapshot(t, s); after != before {
					t.Errorf("%s was refused and changed something:\n%s\n%s", r.id, before, after)
				}
			} else if r.method != get {
				e = nil
			}
		}
	})
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
