package api

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"

	"github.com/purser-dev/purser/handlers/license"
	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

// The operations of this file's tests, by their tags.
var catalogueTags = []string{"Products", "Licenses", "Settings", "Webhooks", "Events"}

func TestCatalogueRefusals(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newCatalogue(t, s)
		storetest.Product(t, s, d.shop.Test, "pooled", models.MethodPool)
		endpoint := endpointsPath + "/" + d.endpoint(t, "https://shop.example/a")
		before := d.state(t)
		const (
			product  = `{"sku":"a","name":"A","license_method":"pool","prices":[{"currency":"EUR","amount":1}]`
			template = `{"sku":"a","name":"A","license_method":"template","prices":[{"currency":"EUR","amount":1}],"license":`
			products = "/v1/products"
			pooled   = products + "/pooled"
		)
		priced := func(prices string) string {
			return `{"sku":"a","name":"A","license_method":"pool","prices":` + prices + `}`
		}
		many := func(n int, entry string) string {
			return "[" + strings.TrimSuffix(strings.Repeat(entry+",", n), ",") + "]"
		}
		for _, c := range []struct {
			method, path, body string
			fields             string // of a 422
		}{
			{post, products, `{}`, "license_method name prices sku"},
			{post, products, `[]`, "body"},
			{post, products, product + `,"sku":"b"}`, "sku"},
			{post, products, product + `,"stock":1}`, "stock"},
			{post, products, product + `,"Active":true}`, "Active"},
			{post, products, product + `,"id":"prd_1"}`, "id"},
			{post, products, strings.Replace(product, `"a"`, `""`, 1) + `}`, "sku"},
			{post, products, strings.Replace(product, `"a"`, `"a b"`, 1) + `}`, "sku"},
			{post, products, strings.Replace(product, `"a"`, `"a/b"`, 1) + `}`, "sku"},
			{post, products, strings.Replace(product, `"a"`, `"prd_a"`, 1) + `}`, "sku"},
			{post, products, strings.Replace(product, `"a"`, `"`+strings.Repeat("a", 65)+`"`, 1) + `}`, "sku"},
			{post, products, strings.Replace(product, `"a"`, `7`, 1) + `}`, "sku"},
			{post, products, strings.Replace(product, `"a"`, `null`, 1) + `}`, "sku"},
			{post, products, strings.Replace(product, `"A"`, `"  "`, 1) + `}`, "name"},
			{post, products, strings.Replace(product, `"A"`, `"`+strings.Repeat("A", 201)+`"`, 1) + `}`, "name"},
			{post, products, strings.Replace(product, `"A"`, `"A\u0000"`, 1) + `}`, "name"},
			{post, products, strings.Replace(product, `"A"`, `"A\u0007"`, 1) + `}`, "name"},
			{post, products, product + `,"description":"` + strings.Repeat("A", 5001) + `"}`, "description"},
			{post, products, strings.Replace(product, `"pool"`, `"pools"`, 1) + `}`, "license_method"},
			{post, products, strings.Replace(product, `"pool"`, `""`, 1) + `}`, "license_method"},
			{post, products, product + `,"license_per":"box"}`, "license_per"},
			{post, products, product + `,"min_quantity":0}`, "min_quantity"},
			{post, products, product + `,"min_quantity":1.5}`, "min_quantity"},
			{post, products, product + `,"min_quantity":"2"}`, "min_quantity"},
			{post, products, product + `,"max_quantity":10001}`, "max_quantity"},
			{post, products, product + `,"max_quantity":1e300}`, "max_quantity"},
			{post, products, product + `,"min_quantity":5,"max_quantity":4}`, "max_quantity"},
			{post, products, product + `,"active":"yes"}`, "active"},
			{post, products, priced(`[]`), "prices"},
			{post, products, priced(`{}`), "prices"},
			{post, products, priced(`[{}]`), "prices[0].amount prices[0].currency"},
			{post, products, priced(`[{"currency":"eur","amount":1}]`), "prices[0].currency"},
			{post, products, priced(`[{"currency":"EURO","amount":1}]`), "prices[0].currency"},
			{post, products, priced(`[{"currency":"XXX","amount":1}]`), "prices[0].currency"},
			{post, products, priced(`[{"currency":"EUR","amount":1},{"currency":"USD","amount":-1}]`), "prices[1].amount"},
			{post, products, priced(`[{"currency":"EUR","amount":1},{"currency":"EUR","amount":2}]`), "prices[1].currency"},
			{post, products, priced(`[{"currency":"EUR","amount":1099511627777}]`), "prices[0].amount"},
			{post, products, priced(`[{"currency":"EUR","amount":9223372036854775808}]`), "prices[0].amount"},
			{post, products, priced(`[{"currency":"EUR","amount":1.5}]`), "prices[0].amount"},
			{post, products, priced(`[{"currency":"EUR","amount":"1"}]`), "prices[0].amount"},
			{post, products, priced(`[{"currency":"EUR","amount":1,"tax":2}]`), "prices[0].tax"},
			{post, products, priced(many(201, `{"currency":"EUR","amount":1}`)), "prices"},
			{post, products, product + `,"license":[]}`, "license"},
			{post, products, product + `,"license":{"pattern":"X"}}`, "license.pattern"},
			{post, products, product + `,"license":{"low_threshold":-1,"email_text":"no tag"}}`, "license.email_text license.low_threshold"},
			{post, products, product + `,"license":{"low_threshold":"5"}}`, "license.low_threshold"},
			{post, products, template + `{"pattern":"XXX-C"}}`, "license.pattern"},
			{post, products, template + `{"pattern":7}}`, "license.pattern"},
			{post, products, template + `{"patern":"X"}}`, "license.patern"},
			{post, products, template + `{"email_text":"` + strings.Repeat("{KEY} ", 4000) + `"}}`, "license.email_text"},

			{patch, pooled, `{"stock":1}`, "stock"},
			{patch, pooled, `{"sku":null}`, "sku"},
			{patch, pooled, `{"name":null}`, "name"},
			{patch, pooled, `{"name":" "}`, "name"},
			{patch, pooled, `{"prices":null}`, "prices"},
			{patch, pooled, `{"prices":[]}`, "prices"},
			{patch, pooled, `{"prices":[{"currency":"EUR"}]}`, "prices[0].amount"},
			{patch, pooled, `{"prices":[{"currency":"EUR","amount":1},{"currency":"EUR","amount":1}]}`, "prices[1].currency"},
			{patch, pooled, `{"license_method":"template"}`, "license_method"},
			{patch, pooled, `{"license_method":null}`, "license_method"},
			{patch, pooled, `{"license_per":"box"}`, "license_per"},
			{patch, pooled, `{"min_quantity":0}`, "min_quantity"},
			{patch, pooled, `{"min_quantity":2000}`, "max_quantity"},
			{patch, pooled, `{"max_quantity":9223372036854775808}`, "max_quantity"},
			{patch, pooled, `{"active":1}`, "active"},
			{patch, pooled, `{"license":7}`, "license"},
			{patch, pooled, `{"license":{"pattern":"X"}}`, "license.pattern"},
			{patch, pooled, `{"license":{"low_threshold":1.5}}`, "license.low_threshold"},
			{patch, pooled, `{"license":{"low_threshold":5},"name":""}`, "name"},
			{patch, pooled, `{"license":{"low_threshold":5},"name":"` + "\\u0001" + `"}`, "name"},

			{patch, settingsPath, `{"reminder":{}}`, "reminder"},
			{patch, settingsPath, `{"reminders":[]}`, "reminders"},
			{patch, settingsPath, `{"reminders":{"offlin":[]}}`, "reminders.offlin"},
			{patch, settingsPath, `{"reminders":{"online":"1h"}}`, "reminders.online"},
			{patch, settingsPath, `{"reminders":{"online":["1h",7]}}`, "reminders.online[1]"},
			{patch, settingsPath, `{"reminders":{"online":["1h",null]}}`, "reminders.online[1]"},
			{patch, settingsPath, `{"reminders":{"online":["1h","soon"]}}`, "reminders.online[1]"},
			{patch, settingsPath, `{"reminders":{"online":["2h","1h"],"offline":["-1s"]}}`, "reminders.online[1] reminders.offline[0]"},
			{patch, settingsPath, `{"reminders":{"online":` + many(11, `"1h"`) + `}}`, "reminders.online"},
			{patch, settingsPath, `{"delete_unpaid_after":"0s"}`, "delete_unpaid_after"},
			{patch, settingsPath, `{"delete_unpaid_after":"90 days"}`, "delete_unpaid_after"},
			{patch, settingsPath, `{"delete_unpaid_after":"1000000h"}`, "delete_unpaid_after"},
			{patch, settingsPath, `{"delete_unpaid_after":3600}`, "delete_unpaid_after"},
			{patch, settingsPath, `{"anonymize_after":"1.5"}`, "anonymize_after"},
			{patch, settingsPath, `{"anonymize_after":"1500ms"}`, "anonymize_after"},
			{patch, settingsPath, `{"refund_approval":"nobody"}`, "refund_approval"},
			{patch, settingsPath, `{"support_email":"help"}`, "support_email"},
			{patch, settingsPath, `{"support_url":"javascript:alert(1)"}`, "support_url"},
			{patch, settingsPath, `{"terms_version":"` + strings.Repeat("x", 101) + `"}`, "terms_version"},
			{patch, settingsPath, `{"terms_version":"1\n2","privacy_version":"\u202e3"}`, "terms_version privacy_version"},
			{patch, settingsPath, `{"privacy_version":3}`, "privacy_version"},
			{patch, settingsPath, `{"live":null}`, "live"},
			{patch, settingsPath, `{"live":"true"}`, "live"},

			{post, endpointsPath, `{}`, "url"},
			{post, endpointsPath, `{"url":7}`, "url"},
			{post, endpointsPath, `{"url":null}`, "url"},
			{post, endpointsPath, `{"url":"https://shop.example/","secret":"whsec_1"}`, "secret"},
			{post, endpointsPath, `{"url":"https://shop.example/","events":[]}`, "events"},
			{post, endpointsPath, `{"url":"https://shop.example/","events":"*"}`, "events"},
			{post, endpointsPath, `{"url":"https://shop.example/","events":["order.created","order.made"]}`, "events[1]"},
			{post, endpointsPath, `{"url":"https://shop.example/","events":["*","*"]}`, "events[1]"},
			{post, endpointsPath, `{"url":"https://shop.example/","events":[null]}`, "events[0]"},
			{post, endpointsPath, `{"url":"https://shop.example/","events":` + many(51, `"*"`) + `}`, "events"},
			{post, endpointsPath, `{"url":"https://shop.example/","format":"soap"}`, "format"},
			{post, endpointsPath, `{"url":"https://shop.example/","description":"` + strings.Repeat("a", 501) + `"}`, "description"},
			{post, endpointsPath, `{"url":"https://shop.example/","include_license_keys":1}`, "include_license_keys"},
			{patch, endpoint, `{"url":null}`, "url"},
			{patch, endpoint, `{"url":""}`, "url"},
			{patch, endpoint, `{"events":[]}`, "events"},
			{patch, endpoint, `{"events":["*","order"]}`, "events[1]"},
			{patch, endpoint, `{"secret":"whsec_1"}`, "secret"},
			{patch, endpoint, `{"include_license_keys":"yes"}`, "include_license_keys"},
			{post, endpoint + "/test", `{"type":"order.created"}`, "type"},

			{post, eventsPath, `{}`, "data type"},
			{post, eventsPath, `{"type":"custom.a","data":[]}`, "data"},
			{post, eventsPath, `{"type":"custom.a","data":null}`, "data"},
			{post, eventsPath, `{"type":"order.created","data":{}}`, "type"},
			{post, eventsPath, `{"type":"custom.","data":{}}`, "type"},
			{post, eventsPath, `{"type":"custom.A","data":{}}`, "type"},
			{post, eventsPath, `{"type":"custom.` + strings.Repeat("a", 100) + `","data":{}}`, "type"},
			{post, eventsPath, `{"type":"custom.a","data":{"x":"\u0000"}}`, "data.x"},
			{post, eventsPath, `{"type":"custom.a","data":{"x":"` + strings.Repeat("a", 64<<10) + `"}}`, "data"},
			{post, eventsPath, `{"type":"custom.a","data":{},"order":"ord_1"}`, "order"},

			{post, searchPath, `{}`, "key"},
			{post, searchPath, `{"key":""}`, "key"},
			{post, searchPath, `{"key":" "}`, "key"},
			{post, searchPath, `{"key":"a","limit":1}`, "limit"},

			{get, products + "?active=true", "", "active"},
			{get, products + "?archived=perhaps", "", "archived"},
			{get, products + "?sku=a&sku=b", "", "sku"},
			{get, eventsPath + "?type=ORDER", "", "type"},
			{get, eventsPath + "?order=1", "", "order"},
			{get, deliveriesPath + "?status=lost", "", "status"},
			{get, deliveriesPath + "?endpoint=1&event=1", "", "endpoint"},
			{get, deliveriesPath + "?event=whe_1", "", "event"},
			{post, deliveriesPath + "/dlv_1/retry?now=1", "", "now"},
		} {
			var body any
			if c.body != "" {
				body = c.body
			}
			a := d.knock(t, ask{method: c.method, path: c.path, key: d.shop.TestKey, body: body})
			if a.status != 422 {
				t.Errorf("%s %s %.200s is answered %d %s", c.method, c.path, c.body, a.status, a.body)
				continue
			}
			p := a.problem(t)
			var fields []string
			for _, f := range p.Errors {
				fields = append(fields, f.Field)
			}
			if got := strings.Join(slices.Compact(fields), " "); got != c.fields || p.Code != string(codeInvalid) {
				t.Errorf("%s %s %.200s: %s %q, want %q: %s", c.method, c.path, c.body, p.Code, got, c.fields, a.body)
			}
		}
		if got := d.state(t); got != before {
			t.Errorf("refused requests changed\n%s to\n%s", before, got)
		}
	})
}

// What is true of every operation here is tried on every one of them.
func TestEveryCatalogueOperation(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newCatalogue(t, s)
		before := d.state(t)
		for i := range routes {
			r := &routes[i]
			if !slices.Contains(catalogueTags, r.tag) {
				continue
			}
			knock := func(path, key string, body any) answer {
				return d.knock(t, ask{method: r.method, path: path, key: key, body: body})
			}
			path := strings.Replace(r.path, "{id}", "nothing", 1)
			knock(path, "", nil).want(t, 401, codeUnauthorized)
			knock(path, "psk_test_wrong", nil).want(t, 401, codeUnauthorized)
			if r.method == post || r.method == patch {
				knock(path, d.shop.TestKey, `{"`).want(t, 400, codeMalformed)
				knock(path, d.shop.TestKey, "{\"a\":\"\xff\"}").want(t, 400, codeMalformed)
				d.knock(t, ask{method: r.method, path: path, key: d.shop.TestKey, body: `{}`, header: map[string]string{"Content-Type": "text/html"}}).want(t, 415, codeUnsupportedMediaType)
				knock(path, d.shop.TestKey, strings.Repeat(" ", max(r.body, smallBody)+1)).want(t, 413, codeTooLarge)
			}
			if path != r.path {
				var body any
				switch {
				case r.id == "addPoolKeys":
					body = `{"keys":["A"]}`
				case r.method == patch:
					body = `{}`
				}
				for _, id := range []string{"nothing", "prd_06f0s8nb5xq7v2k1t9w3c4d5ea", "%27%20OR%201=1", "%00", "%F0%9F%94%91", strings.Repeat("a", 2000)} {
					knock(strings.Replace(r.path, "{id}", id, 1), d.shop.TestKey, body).want(t, 404, codeNotFound)
				}
			}
			list := r.method == get && !strings.Contains(r.path, "{") && r.path != settingsPath
			if list {
				for query, field := range map[string]string{"limit=0": "limit", "limit=101": "limit", "limit=-1": "limit", "limit=ten": "limit", "limit=1.5": "limit", "limit=1&limit=2": "limit",
					"cursor=!": "cursor", "cursor=" + strings.Repeat("a", 201): "cursor", "page=2": "page", "limit=0&page=2": "page"} {
					knock(path+"?"+query, d.shop.TestKey, nil).want(t, 422, codeInvalid, field)
				}
				knock(path+"?limit=100", d.shop.TestKey, nil).ok(t, 200)
				knock(path+"?limit=1", d.shop.TestKey, nil).ok(t, 200)
			}
		}
		if got := d.state(t); got != before {
			t.Errorf("refused requests changed\n%s to\n%s", before, got)
		}
	})
}

// The document says enough of every operation, and each example in it is a request that succeeds.
func TestCatalogueDocument(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newCatalogue(t, s)
		storetest.Product(t, s, d.other.Test, "pooled", models.MethodPool)
		hook := dig(t, d.askAs(t, d.other.TestKey, post, endpointsPath, endpointBody("https://shop.example/a")).ok(t, 201), "id").(string)
		ids := map[string]string{"updateProduct": "editor-pro", "addPoolKeys": "pooled", "updateWebhookEndpoint": hook, "testWebhookEndpoint": hook}
		doc := d.api.OpenAPI()
		for i := range routes {
			r := &routes[i]
			if !slices.Contains(catalogueTags, r.tag) {
				continue
			}
			item := doc.Paths[r.path]
			op := map[string]*huma.Operation{get: item.Get, post: item.Post, patch: item.Patch, remove: item.Delete}[r.method]
			if op.Summary == "" || (op.Description == "" && r.method != get) {
				t.Errorf("%s says too little of itself", r.id)
			}
			if op.RequestBody == nil || r.id == "retryDelivery" {
				continue
			}
			for mediaType, media := range op.RequestBody.Content {
				var body any = media.Example
				if media.Example == nil {
					t.Errorf("%s has no example as %s", r.id, mediaType)
				}
				path := strings.Replace(r.path, "{id}", ids[r.id], 1)
				a := d.knock(t, ask{method: r.method, path: path, key: d.other.TestKey, body: body, header: map[string]string{"Content-Type": mediaType}})
				if a.status != r.status {
					t.Errorf("%s: its example as %s is answered %d %s", r.id, mediaType, a.status, a.body)
				}
			}
		}
		methods := doc.Components.Schemas.Map()["ProductRequest"].Properties["license_method"].Enum
		if fmt.Sprint(methods) != fmt.Sprint(license.Methods()) {
			t.Errorf("the document has the methods %v, there are %v", methods, license.Methods())
		}
		if types := d.accepted(routeAt(post, routerPath("/v1/products/{id}/keys"))); !slices.Equal(types, []string{jsonType, plainText}) {
			t.Errorf("keys are uploaded as %q", types)
		}
	})
}

// Whatever models can change, the API offers, under the same name.
func TestMergePatchesAreWhole(t *testing.T) {
	for _, c := range []struct{ models, api any }{
		{models.ProductPatch{}, ProductChanges{}},
		{models.WebhookEndpointPatch{}, WebhookEndpointChanges{}},
	} {
		if want, got := jsonNames(c.models), jsonNames(c.api); !slices.Equal(got, want) {
			t.Errorf("%T has %q, %T has %q", c.api, got, c.models, want)
		}
	}
}

func jsonNames(v any) (names []string) {
	for _, f := range reflect.VisibleFields(reflect.TypeOf(v)) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
