package api

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"html/template"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gofiber/fiber/v2"
)

// docsPage shows the OpenAPI document as a page. It is rendered here, so that it needs no script and nothing from elsewhere.
func (s *Server) docsPage(c *fiber.Ctx) error {
	page, err := s.docs()
	if err != nil {
		return err
	}
	pageHeaders(c, pagePolicy+"; form-action 'none'")
	c.Set(fiber.HeaderCacheControl, "public, max-age=300")
	return c.Send(page)
}

type docsView struct {
	Title, Version, Base string
	Introduction         template.HTML
	Tags                 []docsTag
	Problems             []problemKind
}

type docsTag struct {
	Name, Anchor string
	Description  template.HTML
	Operations   []docsOperation
}

type docsOperation struct {
	ID, Method, Path, Summary string
	Description               template.HTML
	Parameters, Fields        []docsField
	MediaTypes                string
	Curl                      string
	Status                    string
	Answer                    []docsField
	AnswerExample             string
}

// docsField is one line of a table of fields; fields of objects follow theirs with a longer name.
type docsField struct {
	Name, Type  string
	Required    bool
	Description template.HTML
	Limits      string
}

func (s *Server) renderDocs() ([]byte, error) {
	d := s.docsOf(s.api.OpenAPI())
	var out bytes.Buffer
	err := templates["docs"].ExecuteTemplate(&out, "layout", view{
		Title: d.Title, Lang: "en", Brand: "Purser", Footer: []string{"Purser " + s.Version}, Data: d,
	})
	return out.Bytes(), err
}

func (s *Server) docsOf(o *huma.OpenAPI) docsView {
	d := docsView{Title: o.Info.Title, Version: o.Info.Version, Base: s.public, Introduction: prose(o.Info.Description), Problems: problemKinds}
	for _, t := range o.Tags {
		tag := docsTag{Name: t.Name, Anchor: strings.ToLower(t.Name), Description: prose(t.Description)}
		for i := range routes {
			if routes[i].tag == t.Name {
				tag.Operations = append(tag.Operations, s.docsOperationOf(o, &routes[i]))
			}
		}
		if len(tag.Operations) > 0 {
			d.Tags = append(d.Tags, tag)
		}
	}
	return d
}

func (s *Server) docsOperationOf(o *huma.OpenAPI, r *route) docsOperation {
	op := operationOf(o, r)
	d := docsOperation{ID: r.id, Method: r.method, Path: r.path, Summary: op.Summary, Description: prose(op.Description), Status: strconv.Itoa(r.status)}
	for _, p := range op.Parameters {
		f := docsFieldOf(p.Name, p.Schema, p.Required)
		f.Description = prose(cmp.Or(p.Description, p.Schema.Description))
		f.Type += " in " + p.In
		d.Parameters = append(d.Parameters, f)
	}
	var body string
	if op.RequestBody != nil {
		var types []string
		for t, media := range op.RequestBody.Content {
			types = append(types, t)
			if t == jsonType && media.Schema != nil {
				d.Fields = docsFields(o, media.Schema, "", nil)
				body = compact(media.Example)
			}
		}
		slices.Sort(types)
		d.MediaTypes = strings.Join(types, " or ")
	}
	d.Curl = s.curl(r, body)
	if media := answerMedia(op, r); media != nil {
		d.Answer = docsFields(o, media.Schema, "", nil)
		d.AnswerExample = indented(media.Example)
	}
	return d
}

func operationOf(o *huma.OpenAPI, r *route) *huma.Operation {
	item := o.Paths[r.path]
	return map[string]*huma.Operation{get: item.Get, post: item.Post, patch: item.Patch, remove: item.Delete}[r.method]
}

func answerMedia(op *huma.Operation, r *route) *huma.MediaType {
	if answer := op.Responses[strconv.Itoa(r.status)]; answer != nil {
		return answer.Content[jsonType]
	}
	return nil
}

func (s *Server) curl(r *route, body string) string {
	var b strings.Builder
	b.WriteString("curl ")
	if r.method != get {
		b.WriteString("-X " + r.method + " ")
	}
	b.WriteString(s.public + r.path + " \\\n  -H 'Authorization: Bearer psk_test_…'")
	if body != "" {
		b.WriteString(" \\\n  -H 'Content-Type: application/json' \\\n  -d '" + strings.ReplaceAll(body, "'", `'\''`) + "'")
	}
	return b.String()
}

// docsFields flattens a schema: customer, customer.email, items, items[].product, …
func docsFields(o *huma.OpenAPI, schema *huma.Schema, prefix string, inside []string) []docsField {
	var t reflect.Type
	if schema.Ref != "" {
		if slices.Contains(inside, schema.Ref) {
			return nil
		}
		inside = append(inside, schema.Ref)
		t = o.Components.Schemas.TypeFromRef(schema.Ref)
		schema = o.Components.Schemas.SchemaFromRef(schema.Ref)
	}
	if schema.Type == huma.TypeArray {
		return docsFields(o, schema.Items, prefix+"[]", inside)
	}
	if prefix != "" && len(schema.Properties) > 0 {
		prefix += "."
	}
	var out []docsField
	for _, name := range memberNames(schema, t) {
		p := schema.Properties[name]
		out = append(out, docsFieldOf(prefix+name, resolved(o, p), slices.Contains(schema.Required, name)))
		if p.Description != "" {
			out[len(out)-1].Description = prose(p.Description)
		}
		out = append(out, docsFields(o, p, prefix+name, inside)...)
	}
	return out
}

func resolved(o *huma.OpenAPI, s *huma.Schema) *huma.Schema {
	if s.Ref != "" {
		return o.Components.Schemas.SchemaFromRef(s.Ref)
	}
	return s
}

func docsFieldOf(name string, s *huma.Schema, required bool) docsField {
	f := docsField{Name: name, Type: cmp.Or(s.Type, huma.TypeObject), Required: required, Description: prose(s.Description)}
	if s.Type == huma.TypeArray && s.Items != nil {
		f.Type = "array of " + cmp.Or(s.Items.Type, huma.TypeObject)
	}
	if s.Format == "date-time" {
		f.Type = "time"
	}
	if s.Nullable {
		f.Type += " or null"
	}
	var limits []string
	add := func(format string, args ...any) { limits = append(limits, fmt.Sprintf(format, args...)) }
	if len(s.Enum) > 0 {
		add("one of %s", joined(s.Enum))
	}
	if s.Minimum != nil {
		add("from "+plainNumber, *s.Minimum)
	}
	if s.Maximum != nil {
		add("up to "+plainNumber, *s.Maximum)
	}
	if s.MaxLength != nil {
		add("at most %d characters", *s.MaxLength)
	}
	if s.MaxItems != nil {
		add("at most %d entries", *s.MaxItems)
	}
	if s.Default != nil {
		add("default %v", s.Default)
	}
	f.Limits = strings.Join(limits, ", ")
	return f
}

func joined(values []any) string {
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = fmt.Sprint(v)
	}
	return strings.Join(texts, ", ")
}

// prose turns the little of Markdown that our own texts use (paragraphs, `code`, **bold**) into HTML.
func prose(text string) template.HTML {
	if text == "" {
		return ""
	}
	var b strings.Builder
	for paragraph := range strings.SplitSeq(text, "\n\n") {
		for i, part := range strings.Split(template.HTMLEscapeString(paragraph), "`") {
			if i%2 == 1 {
				part = "<code>" + part + "</code>"
			} else {
				part = alternate(part, "**", "<strong>", "</strong>")
			}
			if i == 0 {
				part = "<p>" + part
			}
			b.WriteString(part)
		}
		b.WriteString("</p>")
	}
	return template.HTML(b.String()) // escaped above; the rest is ours
}

func alternate(text, mark, open, end string) string {
	parts := strings.Split(text, mark)
	for i := 1; i < len(parts); i += 2 {
		parts[i] = open + parts[i] + end
	}
	return strings.Join(parts, "")
}

func compact(v any) string {
	if v == nil {
		return ""
	}
	b, _ := json.Marshal(v) // an example of ours, which always marshals
	return string(b)
}

func indented(v any) string {
	if v == nil {
		return ""
	}
	b, _ := json.MarshalIndent(v, "", "  ") // as above
	return string(b)
}
