package api

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

const searchPath = "/v1/licenses/search"

// licensed makes a paid order of one unit whose licence is key.
func (d *catalogue) licensed(t testing.TB, sc models.Scope, key string) *models.OrderView {
	t.Helper()
	o := storetest.PaidOrder(t, d.store, sc, "editor-pro", 1)
	kind, err := jobs.KindOf(jobs.KindFulfil)
	if err != nil {
		t.Fatal(err)
	}
	for _, j := range storetest.Jobs(t, d.store, jobs.KindFulfil) {
		if *j.OrderID != o.ID {
			continue
		}
		c, err := d.store.Claim(t.Context(), j.ID, j.Epoch, kind)
		if err != nil || c == nil {
			t.Fatalf("claim: %v %v", c, err)
		}
		if err := d.store.KeepLicenses(t.Context(), c, []string{key}); err != nil {
			t.Fatal(err)
		}
	}
	if o, err = d.store.Order(t.Context(), sc, o.ID); err != nil {
		t.Fatal(err)
	}
	return o
}

func TestSearchLicenses(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newCatalogue(t, s)
		storetest.Product(t, s, d.other.Test, "editor-pro", models.MethodTemplate)
		const key = "EDIT-7QK4M-9XHTR"
		first, second := d.licensed(t, d.shop.Test, key), d.licensed(t, d.shop.Test, key)
		d.licensed(t, d.shop.Test, key+"-2")
		d.licensed(t, d.shop.Live, key)
		d.licensed(t, d.other.Test, key)

		a := d.ask(t, post, searchPath, map[string]any{"key": "  " + key + "\n"}).ok(t, 200)
		ids, next := a.ids(t)
		if len(ids) != 2 || next != "" {
			t.Fatalf("found %s", a.body)
		}
		for i, o := range []*models.OrderView{second, first} { // newest first
			found := dig(t, a, "data").([]any)[i].(map[string]any)
			for name, want := range map[string]any{
				"id": o.Items[0].Licenses[0].ID, "order": o.ID, "order_number": o.Number, "item": o.Items[0].ID, "product": d.product.ID,
				"sku": "editor-pro", "status": "active", "license_method": "template", "unit": 1.0, "key": key,
			} {
				if found[name] != want {
					t.Errorf("%s is %v, want %v", name, found[name], want)
				}
			}
		}
		for name, key := range map[string]string{"a beginning": "EDIT-7QK4M", "another case": strings.ToLower(key), "nobody's": "EDIT-0", "a pattern": "EDIT-%"} {
			if got := d.ask(t, post, searchPath, map[string]any{"key": key}).ok(t, 200); strings.TrimSpace(string(got.body)) != `{"data":[],"next_cursor":null}` {
				t.Errorf("%s finds %s", name, got.body)
			}
		}
		if ids, _ := d.askAs(t, d.shop.LiveKey, post, searchPath, map[string]any{"key": key}).ok(t, 200).ids(t); len(ids) != 1 {
			t.Errorf("live mode finds %d", len(ids))
		}
		d.once(t, searchPath, map[string]any{"key": key})
		if log := d.log.String(); strings.Contains(log, "EDIT-") {
			t.Errorf("the log has the key: %s", log)
		}
		var answer []byte
		if err := s.SQL().QueryRow("SELECT body FROM idempotency_keys WHERE path = $1", searchPath).Scan(&answer); err != nil {
			t.Fatal(err)
		}
		if len(answer) == 0 || bytes.Contains(answer, []byte("EDIT-")) {
			t.Errorf("the stored answer is %q", answer)
		}
	})
}

func TestSearchLicensesNamesNoKeyInErrors(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newCatalogue(t, s)
		const secret = "SECRET-KEY"
		before := d.state(t)
		for _, body := range []string{
			`{"key":["` + secret + `"]}`, `{"key":"` + strings.Repeat(secret, 500) + `"}`, `{"key":"` + secret + `\u0000"}`, `{"key":"` + secret, `"` + secret + `"`,
		} {
			a := d.ask(t, post, searchPath, body)
			if a.status != 400 && a.status != 422 {
				t.Errorf("answered %d", a.status)
			}
			if strings.Contains(string(a.body)+d.log.String(), secret) {
				t.Errorf("the answer or the log repeats the key: %s", a.body)
			}
		}
		d.knock(t, ask{method: get, path: fmt.Sprintf("%s?key=%s", searchPath, secret), key: d.shop.TestKey}).want(t, 405, codeMethodNotAllowed)
		if strings.Contains(d.log.String(), secret) {
			t.Error("the log has a query string")
		}
		if got := d.state(t); got != before {
			t.Errorf("refused searches changed\n%s to\n%s", before, got)
		}
	})
}
