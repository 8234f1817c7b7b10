package api

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"

	"github.com/purser-dev/purser/models/storetest"
)

func TestOpenAPIDocument(t *testing.T) {
	t.Parallel()
	d := newDoor(t, storetest.Open(t, "sqlite"))
	a := d.knock(t, ask{method: get, path: "/openapi.json"}).ok(t, 200)
	var doc struct {
		OpenAPI string
		Info    struct{ Title, Version, Description string }
		Servers []struct{ URL string }
		Tags    []struct{ Name, Description string }
		Paths   map[string]map[string]struct {
			OperationID, Summary string
			Tags                 []string
			Security             []any
			Responses            map[string]struct {
				Content map[string]struct{ Schema, Example any }
			}
			RequestBody *struct {
				Content map[string]struct{ Schema, Example any }
			}
		}
		Components struct {
			Schemas         map[string]any
			SecuritySchemes map[string]struct{ Type, Scheme string }
		}
		Security []map[string][]string
	}
	a.into(t, &doc)
	if doc.OpenAPI != "3.1.0" || doc.Info.Version != "test" || doc.Servers[0].URL != storetest.PublicURL {
		t.Errorf("document %s of version %s for %v", doc.OpenAPI, doc.Info.Version, doc.Servers)
	}
	if s := doc.Components.SecuritySchemes[apiKeyScheme]; s.Type != "http" || s.Scheme != "bearer" || len(doc.Security) != 1 {
		t.Errorf("security %+v, %v", s, doc.Security)
	}
	documented := 0
	for path, operations := range doc.Paths {
		for method, op := range operations {
			documented++
			i := slices.IndexFunc(routes, func(r route) bool { return r.path == path && strings.EqualFold(r.method, method) })
			if i < 0 || routes[i].id != op.OperationID {
				t.Errorf("%s %s is documented as %s and not in the table", method, path, op.OperationID)
				continue
			}
			if !slices.ContainsFunc(doc.Tags, func(tag struct{ Name, Description string }) bool {
				return tag.Name == op.Tags[0] && tag.Description != ""
			}) {
				t.Errorf("%s has tag %v, which is not described", op.OperationID, op.Tags)
			}
			if op.Summary == "" || op.Security != nil {
				t.Errorf("%s: summary %q, security of its own %v", op.OperationID, op.Summary, op.Security)
			}
			for status, response := range op.Responses {
				problem, isProblem := response.Content[problemType]
				if isProblem != (status >= "400") || isProblem && problem.Schema == nil {
					t.Errorf("%s answers %s with %v", op.OperationID, status, response.Content)
				}
			}
			if op.RequestBody != nil && op.RequestBody.Content[jsonType].Example == nil {
				t.Errorf("%s has no example", op.OperationID)
			}
		}
	}
	if documented != len(routes) {
		t.Errorf("%d of %d routes are documented", documented, len(routes))
	}
	if text := string(a.body); strings.Contains(text, "$schema") || strings.Contains(text, "unpkg") {
		t.Error("the document has what Huma puts in by default")
	}
	for id := range descriptions {
		if !slices.ContainsFunc(routes, func(r route) bool { return r.id == id }) {
			t.Errorf("%s is described and does not exist", id)
		}
	}
}

// TestExamplesAreValid holds every example against its schema.
func TestExamplesAreValid(t *testing.T) {
	t.Parallel()
	d := newDoor(t, storetest.Open(t, "sqlite"))
	o := d.api.OpenAPI()
	for i := range routes {
		op := operationOf(o, &routes[i])
		media := map[string]*huma.MediaType{"answer": answerMedia(op, &routes[i])}
		if op.RequestBody != nil {
			media["request"] = op.RequestBody.Content[jsonType]
		}
		for of, m := range media {
			if m == nil || m.Schema == nil {
				continue
			}
			raw, err := json.Marshal(m.Example)
			if err != nil {
				t.Fatal(err)
			}
			var example any
			if err := json.Unmarshal(raw, &example); err != nil {
				t.Fatal(err)
			}
			mode := map[string]huma.ValidateMode{"answer": huma.ModeReadFromServer, "request": huma.ModeWriteToServer}[of]
			res := &huma.ValidateResult{}
			huma.Validate(o.Components.Schemas, m.Schema, huma.NewPathBuffer(nil, 0), mode, example, res)
			for _, err := range res.Errors {
				t.Errorf("%s, %s: %v\n%s", routes[i].id, of, err, raw)
			}
		}
	}
}

// TestSchemasCannotPanic: Huma compares the entries of a list of unique items as map keys, which panics for objects, and it does so
// before it has checked their type.
func TestSchemasCannotPanic(t *testing.T) {
	t.Parallel()
	d := newDoor(t, storetest.Open(t, "sqlite"))
	if strings.Contains(string(d.document), "uniqueItems") {
		t.Error("a schema asks for unique items")
	}
}

func TestDocsPage(t *testing.T) {
	t.Parallel()
	d := newDoor(t, storetest.Open(t, "sqlite"))
	a := d.knock(t, ask{method: get, path: "/docs"}).ok(t, 200)
	page := string(a.body)
	if strings.Contains(page, "<script") || strings.Contains(page, "style=") || strings.Contains(a.header.Get("Content-Security-Policy"), "unsafe") {
		t.Error("the page has scripts or styles of its own")
	}
	for _, from := range regexp.MustCompile(`(?:src|href)="([^"]*)"`).FindAllStringSubmatch(page, -1) {
		if !strings.HasPrefix(from[1], "/") && !strings.HasPrefix(from[1], "#") {
			t.Errorf("the page loads or links %s", from[1])
		}
	}
	for _, r := range routes {
		if !strings.Contains(page, `id="`+r.id+`"`) || !strings.Contains(page, `href="#`+r.id+`"`) || !strings.Contains(page, r.path) {
			t.Errorf("%s is not on the page", r.id)
		}
	}
	for _, k := range problemKinds {
		if !strings.Contains(page, `id="problem-`+string(k.Code)+`"`) {
			t.Errorf("%s is not on the page", k.Code)
		}
	}
	ids := map[string]bool{}
	for _, id := range regexp.MustCompile(` id="([^"]*)"`).FindAllStringSubmatch(page, -1) {
		if ids[id[1]] {
			t.Errorf("two elements have the id %s", id[1])
		}
		ids[id[1]] = true
	}
	for _, want := range []string{"customer.email", "items[].product", "curl -X POST https://purser.test/v1/orders", "4000002500003155"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page has no %s", want)
		}
	}
}

func TestProse(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                     "",
		"a <b> & c":            "<p>a &lt;b&gt; &amp; c</p>",
		"`x<y` and `**z**`.":   "<p><code>x&lt;y</code> and <code>**z**</code>.</p>",
		"**A** b **c**\n\nd":   "<p><strong>A</strong> b <strong>c</strong></p><p>d</p>",
		"`<script>` `unclosed": "<p><code>&lt;script&gt;</code> <code>unclosed</code></p>",
	} {
		if got := string(prose(text)); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
}
