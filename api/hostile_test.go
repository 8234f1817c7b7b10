package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"

	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

// TestHostileInput sends every operation what no honest client would: nothing may be recorded, and nothing may end in a 500.
func TestHostileInput(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		e := newExhibit(t, s)
		before := snapshot(t, s)
		for i := range routes {
			r := &routes[i]
			for name, a := range hostile(t, e, r) {
				a.key = e.shop.TestKey
				got := e.knock(t, a)
				switch got.status {
				case 400, 404, 405, 413, 415, 422:
					got.problem(t)
				default:
					t.Errorf("%s, %s: %d %s", r.id, name, got.status, got.body)
				}
				if bytes.Contains(got.body, []byte("SQL")) || bytes.Contains(got.body, []byte("goroutine")) {
					t.Errorf("%s, %s: tells too much: %s", r.id, name, got.body)
				}
			}
		}
		if after := snapshot(t, s); after != before {
			t.Errorf("something was recorded:\n%s\n%s", before, after)
		}
		if log := e.log.String(); strings.Contains(log, "level=ERROR") {
			t.Errorf("the log has errors:\n%s", log[strings.Index(log, "level=ERROR"):])
		}
	})
}

func hostile(t testing.TB, e *exhibit, r *route) map[string]ask {
	t.Helper()
	path := e.fill(t, r)
	out := map[string]ask{
		"unknown query parameter": {path: path + "?nope=1"},
		"query parameter twice":   {path: path + "?a=1&a=2"},
		"NUL in the query":        {path: path + "?email=%00"},
		"Latin-1 in the query":    {path: path + "?email=%ff"},
		"broken query escape":     {path: path + "?email=%z"},
		"semicolon in the query":  {path: path + "?a;b=1"},
		"slash at the end":        {path: path + "/"},
		"capital letters":         {path: strings.Replace(path, "/v1/", "/V1/", 1)},
	}
	if i := strings.IndexByte(r.path, '{'); i > 0 {
		for name, id := range map[string]string{
			"NUL in the id": "%00", "Latin-1 in the id": "%ff", "raw bytes in the id": "\xff\xfe", "broken escape in the id": "%z", "a dot": ".",
			"dots in the id": "..%2f..%2fetc", "a quote in the id": "'%20OR%201=1--", "a long id": strings.Repeat("a", 5000), "an emoji": "%F0%9F%92%A9",
			"another kind of id": "key_06f0s8nb5xq7v2k1t9w3c4d5ea",
		} {
			rest := ""
			if j := strings.IndexByte(r.path, '}'); j > 0 {
				rest = strings.ReplaceAll(r.path[j+1:], "{item}", e.item)
			}
			out[name] = ask{path: r.path[:i] + id + rest}
			if body, ok := validBodies[r.id]; ok {
				a := out[name]
				a.body = body
				out[name] = a
			}
		}
	}
	for name, a := range out {
		a.method = r.method
		out[name] = a
	}
	if r.method != post && r.method != patch {
		return out
	}
	for name, body := range map[string]string{
		"half of an object": `{"a":`, "a list": `[1]`, "a string": `"a"`, "a number": `1`, "an unknown field": `{"zzz":1}`, "NUL": `{"reason":"\u0000","name":"\u0000"}`,
		"a field twice": `{"a":1,"a":1}`, "a tower": strings.Repeat(`[`, 200) + strings.Repeat(`]`, 200), "not UTF-8": "{\"a\":\"\xc3\x28\"}",
		"a proto": `{"__proto__":{"a":1}}`, "an empty name": `{"":1}`, "a huge number": `{"a":1e999}`, "a dotted name": `{"a.b":1}`,
		"XML": `<a/>`, "a form": `a=1&b=2`, "many fields": `{` + manyFields(3000) + `}`,
	} {
		out[name] = ask{method: r.method, path: path, body: body}
	}
	body := validBodies[r.id]
	if body == "" {
		body = `{}`
	}
	for name, header := range map[string]map[string]string{
		"as XML":                 {"Content-Type": "application/xml"},
		"as a form":              {"Content-Type": "application/x-www-form-urlencoded"},
		"as multipart":           {"Content-Type": "multipart/form-data; boundary=x"},
		"as nonsense":            {"Content-Type": "/;=;"},
		"compressed":             {"Content-Encoding": "gzip"},
		"compressed twice":       {"Content-Encoding": "gzip, br"},
		"a key that is too long": {idempotencyHeader: strings.Repeat("k", 300)},
	} {
		out[name] = ask{method: r.method, path: path, body: body, header: header}
	}
	if r.method == patch {
		delete(out, "a key that is too long") // means nothing there
	}
	out["too large"] = ask{method: r.method, path: path, body: `{"a":"` + strings.Repeat("x", largeBody) + `"}`}
	for name, member := range wrongTypes(e, r) {
		out[name] = ask{method: r.method, path: path, body: member}
	}
	return out
}

func manyFields(n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `"f%d":%d`, i, i)
	}
	return b.String()
}

// wrongTypes are an operation's valid body with one member after the other of a type that it does not have.
func wrongTypes(e *exhibit, r *route) map[string]string {
	out := map[string]string{}
	op := operationOf(e.api.OpenAPI(), r)
	if op.RequestBody == nil || op.RequestBody.Content[jsonType] == nil {
		return out
	}
	schema := resolved(e.api.OpenAPI(), op.RequestBody.Content[jsonType].Schema)
	for name, p := range schema.Properties {
		p = resolved(e.api.OpenAPI(), p)
		for _, wrong := range []string{`{"a":[{}]}`, `[[{}]]`, `"\ud800"`, `-1.5`, `true`, `99999999999999999999`} {
			if fits(p, wrong) {
				continue
			}
			var valid map[string]json.RawMessage
			if body, ok := validBodies[r.id]; ok {
				if err := json.Unmarshal([]byte(body), &valid); err != nil {
					panic(err)
				}
			} else {
				valid = map[string]json.RawMessage{}
			}
			valid[name] = json.RawMessage(wrong)
			body, err := json.Marshal(valid)
			if err != nil {
				panic(err)
			}
			out[name+" is "+wrong] = string(body)
		}
	}
	return out
}

// fits reports whether a value could be right for a schema, so that it is no test of it.
func fits(p *huma.Schema, value string) bool {
	switch value[0] {
	case '{':
		return p.Type == huma.TypeObject || p.Type == ""
	case '[':
		return p.Type == huma.TypeArray && (p.Items == nil || p.Items.Type == "") || p.Type == ""
	case '"':
		return p.Type == huma.TypeString || p.Type == ""
	case 't':
		return p.Type == huma.TypeBoolean || p.Type == ""
	}
	return p.Type == huma.TypeNumber || p.Type == ""
}

func TestBadOrders(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s)
		in := storetest.ProductInput("dear", models.MethodTemplate)
		in.Prices[0].Amount = models.MaxAmount
		if _, err := s.CreateProduct(t.Context(), d.shop.Test, in); err != nil {
			t.Fatal(err)
		}
		storetest.Product(t, s, d.other.Test, "theirs", models.MethodTemplate)
		storetest.Product(t, s, d.shop.Test, "trial", models.MethodEmulator)
		inactive := false
		off := storetest.ProductInput("off", models.MethodTemplate)
		off.Active = &inactive
		if _, err := s.CreateProduct(t.Context(), d.shop.Test, off); err != nil {
			t.Fatal(err)
		}
		line := func(product any, quantity any) []any {
			return []any{map[string]any{"product": product, "quantity": quantity}}
		}
		customer := func(name string, v any) func(map[string]any) {
			return func(b map[string]any) { b["customer"].(map[string]any)[name] = v }
		}
		without := func(name string) func(map[string]any) { return func(b map[string]any) { delete(b, name) } }
		long := func(n int) string { return strings.Repeat("x", n) }
		many := map[string]any{}
		for i := range 51 {
			many[fmt.Sprint(i)] = "x"
		}
		lines := make([]any, 101)
		for i := range lines {
			lines[i] = line("editor-pro", 1)[0]
		}
		before := snapshot(t, s)
		for name, tc := range map[string]struct {
			change func(map[string]any)
			fields string
		}{
			"no currency":              {without("currency"), "currency"},
			"currency in small":        {with("currency", "eur"), "currency"},
			"no such currency":         {with("currency", "ZZZ"), "currency"},
			"no price in it":           {with("currency", "JPY"), "items[0].product"},
			"currency is a number":     {with("currency", 978), "currency"},
			"no customer":              {without("customer"), "customer"},
			"customer is a string":     {with("customer", "ada"), "customer"},
			"no email":                 {with("customer", map[string]any{}), "customer.email"},
			"email is none":            {customer("email", "ada"), "customer.email"},
			"email with a name":        {customer("email", "Ada <ada@example.com>"), "customer.email"},
			"email with a line break":  {customer("email", "ada@example.com\r\nBcc: x@y.z"), "customer.email"},
			"two emails":               {customer("email", "a@example.com,b@example.com"), "customer.email"},
			"email too long":           {customer("email", long(250)+"@example.com"), "customer.email"},
			"type":                     {customer("type", "robot"), "customer.type"},
			"country by name":          {customer("country", "England"), "customer.country"},
			"country in digits":        {customer("country", "44"), "customer.country"},
			"country that is none":     {customer("country", "XX"), "customer.country"},
			"long name":                {customer("first_name", long(101)), "customer.first_name"},
			"name with a bell":         {customer("last_name", "By\aron"), "customer.last_name"},
			"unknown customer field":   {customer("nickname", "A"), "customer.nickname"},
			"no items":                 {without("items"), "items"},
			"empty items":              {with("items", []any{}), "items"},
			"items is an object":       {with("items", map[string]any{}), "items"},
			"an item is a string":      {with("items", []any{"editor-pro"}), "items[0]"},
			"too many items":           {with("items", lines), "items"},
			"no product":               {with("items", []any{map[string]any{"quantity": 1}}), "items[0].product"},
			"unknown product":          {with("items", line("nope", 1)), "items[0].product"},
			"another merchant's":       {with("items", line("theirs", 1)), "items[0].product"},
			"not for sale":             {with("items", line("off", 1)), "items[0].product"},
			"product is a number":      {with("items", line(7, 1)), "items[0].product"},
			"second item":              {with("items", append(line("editor-pro", 1), line("nope", 1)...)), "items[1].product"},
			"quantity 0":               {with("items", line("editor-pro", 0)), "items[0].quantity"},
			"quantity -1":              {with("items", line("editor-pro", -1)), "items[0].quantity"},
			"quantity 1.5":             {with("items", line("editor-pro", 1.5)), "items[0].quantity"},
			"quantity as text":         {with("items", line("editor-pro", "2")), "items[0].quantity"},
			"quantity beyond products": {with("items", line("editor-pro", 100_001)), "items[0].quantity"},
			"quantity beyond integers": {with("items", line("editor-pro", 1e30)), "items[0].quantity"},
			"more than an order holds": {with("items", line("dear", 2)), "items[0].quantity"},
			"unknown item field":       {with("items", []any{map[string]any{"product": "editor-pro", "price": 1}}), "items[0].price"},
			"no consents":              {without("consents"), "consents"},
			"one consent":              {with("consents", map[string]any{"terms": true}), "consents.personal_data"},
			"consent refused":          {with("consents", map[string]any{"terms": true, "personal_data": false}), "consents.personal_data"},
			"consent as text":          {with("consents", map[string]any{"terms": "true", "personal_data": true}), "consents.terms"},
			"no such method":           {with("payment_method", "cash"), "payment_method"},
			"no such coupon":           {with("coupon", "NOPE"), "coupon"},
			"locale":                   {with("locale", "not a locale"), "locale"},
			"return to a script":       {with("return_url", "javascript:alert(1)"), "return_url"},
			"return to nowhere":        {with("return_url", "https://"), "return_url"},
			"return too far":           {with("return_url", "https://shop.example/"+long(2048)), "return_url"},
			"long external id":         {with("external_id", long(201)), "external_id"},
			"metadata is a list":       {with("metadata", []any{}), "metadata"},
			"metadata of numbers":      {with("metadata", map[string]any{"a": 1}), "metadata.a"},
			"metadata in metadata":     {with("metadata", map[string]any{"a.b": map[string]any{}}), "metadata.a.b"},
			"much metadata":            {with("metadata", many), "metadata"},
			"long metadata":            {with("metadata", map[string]any{"a": long(501)}), "metadata.a"},
			"long name of metadata":    {with("metadata", map[string]any{long(41): "a"}), "metadata"},
			"nameless metadata":        {with("metadata", map[string]any{"": "a"}), "metadata"},
			"a typo":                   {with("curency", "EUR"), "curency"},
			"capital letters":          {with("Locale", "en"), "Locale"},
			"several":                  {func(b map[string]any) { b["currency"] = 1; delete(b, "consents"); b["zzz"] = 1 }, "consents currency zzz"},
		} {
			a := d.knock(t, ask{method: post, path: "/v1/orders", key: d.shop.TestKey, body: orderBody(tc.change)})
			t.Run(name, func(t *testing.T) { a.want(t, 422, codeInvalid, strings.Fields(tc.fields)...) })
		}
		d.knock(t, ask{method: post, path: "/v1/orders", key: d.shop.LiveKey, body: orderBody(with("items", line("trial", 1)))}).want(t, 422, codeInvalid, "items[0].product")
		if after := snapshot(t, s); after != before {
			t.Errorf("something was recorded:\n%s\n%s", before, after)
		}
	})
}

func TestBadQueries(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s)
		for query, fields := range map[string]string{
			"limit=0": "limit", "limit=101": "limit", "limit=-1": "limit", "limit=ten": "limit", "limit=1.5": "limit", "limit=99999999999999999999": "limit",
			"cursor=nope": "cursor", "cursor=%27": "cursor", "cursor=" + strings.Repeat("a", 300): "cursor", "status=open": "status", "fulfillment_status=failed": "fulfillment_status",
			"created_from=yesterday": "created_from", "created_to=2026-01-31": "created_to", "stauts=paid": "stauts", "status=paid&status=paid": "status",
			"limit=0&status=open": "limit status", "email=" + strings.Repeat("a", 255): "email", "a%2Eb=1": "a.b", "email=%EF%BF%BE%00": "email",
		} {
			a := d.knock(t, ask{method: get, path: "/v1/orders?" + query, key: d.shop.TestKey})
			t.Run(query[:min(len(query), 40)], func(t *testing.T) { a.want(t, 422, codeInvalid, strings.Fields(fields)...) })
		}
		for _, query := range []string{"product=%F0%9F%92%A9", "email=%27%20OR%201%3D1", "number=%25", "external_id=%5C", "created_from=0001-01-01T00:00:00Z", "created_to=9999-12-31T23:59:59Z"} {
			d.knock(t, ask{method: get, path: "/v1/orders?" + query, key: d.shop.TestKey}).ok(t, http.StatusOK)
		}
	})
}
