package api

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"

	"github.com/purser-dev/purser/handlers/webhook"
	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

// loopbackOpen is a sender whose operator allows private targets on the loopback interface.
func loopbackOpen(c *Config) {
	c.Webhooks = webhook.NewSender(webhook.Config{AllowedPrivateNets: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
}

// catalogue is a door whose test key's requests are short to write.
type catalogue struct{ *door }

func newCatalogue(t testing.TB, s *models.Store) *catalogue {
	t.Helper()
	return &catalogue{newDoor(t, s, loopbackOpen)}
}

// ask knocks with the test key and checks a success against what the document promises.
func (d *catalogue) ask(t testing.TB, method, path string, body any) answer {
	t.Helper()
	return d.askAs(t, d.shop.TestKey, method, path, body)
}

func (d *catalogue) askAs(t testing.TB, key, method, path string, body any) answer {
	t.Helper()
	a := d.knock(t, ask{method: method, path: path, key: key, body: body})
	if a.status < 300 {
		d.asDocumented(t, method, path, a)
	}
	return a
}

// asDocumented fails the test if an answer is not what the OpenAPI document says of its operation.
func (d *catalogue) asDocumented(t testing.TB, method, path string, a answer) {
	t.Helper()
	path, _, _ = strings.Cut(path, "?")
	doc := d.api.OpenAPI()
	for i := range routes {
		r := &routes[i]
		if r.method != method || !matches(r.path, path) {
			continue
		}
		item := doc.Paths[r.path]
		op := map[string]*huma.Operation{get: item.Get, post: item.Post, patch: item.Patch, remove: item.Delete}[method]
		response := op.Responses[fmt.Sprint(a.status)]
		if response == nil || response.Content[jsonType] == nil {
			t.Fatalf("%s does not document its answer %d", r.id, a.status)
		}
		var body any
		a.into(t, &body)
		found := &huma.ValidateResult{}
		huma.Validate(doc.Components.Schemas, response.Content[jsonType].Schema, huma.NewPathBuffer(nil, 0), huma.ModeReadFromServer, body, found)
		for _, err := range found.Errors {
			t.Errorf("%s answers otherwise than documented: %v in %s", r.id, err, a.body)
		}
		return
	}
	t.Fatalf("%s %s is no route", method, path)
}

func matches(pattern, path string) bool {
	p, q := strings.Split(pattern, "/"), strings.Split(path, "/")
	if len(p) != len(q) {
		return false
	}
	for i := range p {
		if p[i] != q[i] && !strings.HasPrefix(p[i], "{") {
			return false
		}
	}
	return true
}

// ids lists the ids of a list's entries and its next cursor.
func (a answer) ids(t testing.TB) (ids []string, next string) {
	t.Helper()
	var list struct {
		Data []struct {
			ID string `json:"id"`
		} `json:"data"`
		NextCursor *string `json:"next_cursor"`
	}
	a.into(t, &list)
	for _, e := range list.Data {
		ids = append(ids, e.ID)
	}
	if list.NextCursor != nil {
		next = *list.NextCursor
	}
	return ids, next
}

// pages walks over a list, two entries at a time, and fails the test unless it has exactly these ids, newest first.
func (d *catalogue) pages(t testing.TB, path string, newestFirst []string) {
	t.Helper()
	var got []string
	sep := "?"
	if strings.Contains(path, "?") {
		sep = "&"
	}
	cursor := ""
	for range len(newestFirst) + 2 {
		ids, next := d.ask(t, get, path+sep+"limit=2"+cursor, nil).ok(t, 200).ids(t)
		if got = append(got, ids...); next == "" {
			if strings.Join(got, " ") != strings.Join(newestFirst, " ") {
				t.Errorf("%s lists %q, want %q", path, got, newestFirst)
			}
			return
		}
		if len(ids) != 2 {
			t.Errorf("%s has a page of %d with a next one", path, len(ids))
		}
		cursor = "&cursor=" + next
	}
	t.Errorf("%s does not end", path)
}

// once sends a POST twice under one idempotency key and fails the test unless the second answer is the first one.
func (d *catalogue) once(t testing.TB, path string, body any) answer {
	t.Helper()
	a := ask{method: post, path: path, key: d.shop.TestKey, body: body, header: map[string]string{idempotencyHeader: "same " + path}}
	first, second := d.knock(t, a), d.knock(t, a)
	if first.status >= 300 {
		t.Fatalf("%s answers %d %s", path, first.status, first.body)
	}
	if first.header.Get(replayedHeader) != "" || second.header.Get(replayedHeader) != "true" {
		t.Errorf("%s: the second answer is not a replay", path)
	}
	if second.status != first.status || string(second.body) != string(first.body) || second.header.Get("Location") != first.header.Get("Location") {
		t.Errorf("%s answers %d %s first and %d %s then", path, first.status, first.body, second.status, second.body)
	}
	return first
}

// state is everything that a refused request could have changed.
func (d *catalogue) state(t testing.TB) string {
	t.Helper()
	var b strings.Builder
	for _, table := range []string{"products", "prices", "pool_keys", "webhook_endpoints", "events", "deliveries", "jobs", "orders", "licenses", "emails"} {
		fmt.Fprintf(&b, "%s=%d ", table, d.count(t, table))
	}
	for _, query := range []string{
		"SELECT settings FROM merchants WHERE id = $1", "SELECT live FROM merchants WHERE id = $1",
		"SELECT MAX(updated_at) FROM products WHERE merchant_id = $1", "SELECT MAX(updated_at) FROM webhook_endpoints WHERE merchant_id = $1",
	} {
		var v any
		if err := d.store.SQL().QueryRowContext(t.Context(), query, d.shop.ID).Scan(&v); err != nil {
			t.Fatal(err)
		}
		if raw, ok := v.([]byte); ok {
			v = string(raw)
		}
		fmt.Fprintln(&b, v)
	}
	return b.String()
}

// dig digs a member out of an answer: dig(t, a, "license", "pattern").
func dig(t testing.TB, a answer, path ...string) any {
	t.Helper()
	var v any
	a.into(t, &v)
	for _, name := range path {
		m, ok := v.(map[string]any)
		if !ok {
			t.Fatalf("no %s in %s", strings.Join(path, "."), a.body)
		}
		if v, ok = m[name]; !ok {
			t.Fatalf("no %s in %s", strings.Join(path, "."), a.body)
		}
	}
	return v
}

// wantMember fails the test unless a member is what JSON text says.
func wantMember(t testing.TB, a answer, text string, path ...string) {
	t.Helper()
	got, err := json.Marshal(dig(t, a, path...))
	if err != nil {
		t.Fatal(err)
	}
	var want any
	if err := json.Unmarshal([]byte(text), &want); err != nil {
		t.Fatal(err)
	}
	canonical, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(canonical) {
		t.Errorf("%s is %s, want %s", strings.Join(path, "."), got, canonical)
	}
}

// goLive makes the shop live, so that test keys may no longer write what both modes share.
func (d *catalogue) goLive(t testing.TB) {
	t.Helper()
	storetest.Exec(t, d.store, "UPDATE merchants SET live = true WHERE id = $1", d.shop.ID)
}
