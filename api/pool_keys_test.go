package api

import (
	"fmt"
	"strings"
	"testing"

	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

// upload sends keys as text, one a line.
func (d *catalogue) upload(t testing.TB, key, product, text string) answer {
	t.Helper()
	path := "/v1/products/" + product + "/keys"
	a := d.knock(t, ask{method: post, path: path, key: key, body: text, header: map[string]string{"Content-Type": plainText}})
	if a.status < 300 {
		d.asDocumented(t, post, path, a)
	}
	return a
}

// waiting makes a paid order whose item waits for keys.
func (d *catalogue) waiting(t testing.TB, sc models.Scope, product string, quantity int) *models.OrderView {
	t.Helper()
	o := storetest.PaidOrder(t, d.store, sc, product, quantity)
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
		if err := d.store.KeepFromPool(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	if o, err = d.store.Order(t.Context(), sc, o.ID); err != nil {
		t.Fatal(err)
	}
	if o.Items[0].WaitingFor == nil {
		t.Fatal("the item does not wait")
	}
	return o
}

const summary = "/v1/products/pooled/keys/summary"

func TestAddPoolKeys(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newCatalogue(t, s)
		storetest.Product(t, s, d.shop.Test, "pooled", models.MethodPool)
		sum := func(a answer, added, duplicates, available, filled int) {
			t.Helper()
			want := fmt.Sprintf(`{"added":%d,"duplicates":%d,"available":%d,"filled_items":%d}`, added, duplicates, available, filled)
			if got := strings.TrimSpace(string(a.ok(t, 200).body)); got != want {
				t.Errorf("answered %s, want %s", got, want)
			}
		}
		sum(d.upload(t, d.shop.TestKey, "pooled", "\ufeffONE-1\r\n  TWO-2  \r\n\r\nONE-1\r\nthree three"), 3, 1, 3, 0)
		sum(d.upload(t, d.shop.TestKey, "pooled", "TWO-2\nFOUR-4\n"), 1, 1, 4, 0)
		sum(d.ask(t, post, "/v1/products/pooled/keys", map[string]any{"keys": []string{" FIVE-5 ", "FIVE-5", "ONE-1", "one-1"}}), 2, 2, 6, 0)
		// JSON is what comes without a content type.
		sum(d.knock(t, ask{method: post, path: "/v1/products/pooled/keys", key: d.shop.TestKey, body: `{"keys":["SIX-6"]}`, header: map[string]string{"Content-Type": ""}}), 1, 0, 7, 0)

		wantMember(t, d.ask(t, get, summary, nil).ok(t, 200), `7`, "available")
		// The other mode has a pool of its own, where the same keys are new.
		wantMember(t, d.askAs(t, d.shop.LiveKey, get, summary, nil).ok(t, 200), `0`, "available")
		sum(d.upload(t, d.shop.LiveKey, "pooled", "ONE-1\n"), 1, 0, 1, 0)
		wantMember(t, d.ask(t, get, summary, nil).ok(t, 200), `7`, "available")
		// A live merchant's test pool is still filled by test keys: it is not shared.
		d.goLive(t)
		sum(d.upload(t, d.shop.TestKey, "pooled", "SEVEN-7\n"), 1, 0, 8, 0)
		for _, key := range []string{"ONE-1", "TWO-2", "FIVE-5"} {
			if strings.Contains(d.log.String(), key) {
				t.Errorf("the log has %s", key)
			}
		}
	})
}

func TestPoolKeysFillWaitingItems(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newCatalogue(t, s)
		p := storetest.Product(t, s, d.shop.Test, "pooled", models.MethodPool)
		first := d.waiting(t, d.shop.Test, "pooled", 2)
		second := d.waiting(t, d.shop.Test, "pooled", 2)
		live := d.waiting(t, d.shop.Live, "pooled", 1)
		path := "/v1/products/pooled/keys"
		before := len(storetest.Jobs(t, s, jobs.KindFillPool))

		// Three keys suffice for the older item only; the younger one waits on.
		a := d.once(t, path, map[string]any{"keys": []string{"K-1", "K-2", "K-3"}})
		d.asDocumented(t, post, path, a)
		wantMember(t, a, `1`, "filled_items")
		wantMember(t, a, `3`, "added")
		wantMember(t, a, `1`, "available") // two of them are as good as gone
		staged := storetest.Jobs(t, s, jobs.KindFillPool)[before:]
		if len(staged) != 1 || staged[0].Args.Product != p.ID || !staged[0].Args.Test {
			t.Fatalf("an upload and its repetition staged %v", staged)
		}
		if n, err := s.FillPool(t.Context(), p.ID, true, "worker"); err != nil || n != 1 {
			t.Fatalf("filled %d items: %v", n, err)
		}
		licenses := func(sc models.Scope, id string) (keys []string) {
			o, err := s.Order(t.Context(), sc, id)
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range o.Items[0].Licenses {
				keys = append(keys, l.Key)
			}
			return keys
		}
		if got := strings.Join(licenses(d.shop.Test, first.ID), " "); got != "K-1 K-2" {
			t.Errorf("the older order got %q", got)
		}
		if got := licenses(d.shop.Test, second.ID); len(got) != 0 {
			t.Errorf("the younger order got %q", got)
		}
		if got := licenses(d.shop.Live, live.ID); len(got) != 0 {
			t.Errorf("the live order got %q, which are test keys", got)
		}
		for name, want := range map[string]string{"available": `1`, "allocated": `2`, "delivered": `0`, "revoked": `0`} {
			wantMember(t, d.ask(t, get, summary, nil).ok(t, 200), want, name)
		}
		wantMember(t, d.upload(t, d.shop.TestKey, "pooled", "K-4").ok(t, 200), `1`, "filled_items")
		wantMember(t, d.upload(t, d.shop.LiveKey, "pooled", "K-1").ok(t, 200), `1`, "filled_items")
	})
}

func TestPoolKeysAreOneMerchants(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newCatalogue(t, s)
		p := storetest.Product(t, s, d.shop.Test, "pooled", models.MethodPool)
		before := d.state(t)
		for _, name := range []string{p.ID, "pooled"} {
			d.upload(t, d.other.TestKey, name, "K-1").want(t, 404, codeNotFound)
			d.askAs(t, d.other.TestKey, get, "/v1/products/"+name+"/keys/summary", nil).want(t, 404, codeNotFound)
		}
		d.upload(t, d.shop.TestKey, "editor-pro", "K-1").want(t, 409, codeConflict) // its keys come from a template
		if got := d.state(t); got != before {
			t.Errorf("refused uploads changed\n%s to\n%s", before, got)
		}
	})
}

func TestBadPoolKeys(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newCatalogue(t, s)
		storetest.Product(t, s, d.shop.Test, "pooled", models.MethodPool)
		d.waiting(t, d.shop.Test, "pooled", 1)
		before := d.state(t)
		long := strings.Repeat("k", 4097)
		many := strings.Repeat("k\n", models.MaxPoolUpload+1)
		const secret = "SECRET-KEY"
		for _, c := range []struct {
			name, mediaType, body string
			status                int
			code                  code
			fields                string
			says                  string
		}{
			{"nothing", plainText, "", 400, codeMalformed, "", ""},
			{"blank lines", plainText, " \n\r\n", 422, codeInvalid, "keys", "at least one"},
			{"a control character", plainText, secret + "\nA\x01B", 422, codeInvalid, "keys", "line 2"},
			{"an invisible character", plainText, secret + "\n\nA\u200bB", 422, codeInvalid, "keys", "line 3"},
			{"not UTF-8", plainText, "A\xff", 422, codeInvalid, "keys", "line 1"},
			{"a long line", plainText, long, 422, codeInvalid, "keys", "line 1"},
			{"too many lines", plainText, many, 422, codeInvalid, "keys", "50000"},
			{"too large", plainText, strings.Repeat(secret+"\n", largeBody/len(secret)), 413, codeTooLarge, "", ""},
			{"CSV", "text/csv", secret, 415, codeUnsupportedMediaType, "", "text/plain"},
			{"a form", "application/x-www-form-urlencoded", secret, 415, codeUnsupportedMediaType, "", ""},
			{"no JSON", jsonType, `{"keys":[`, 400, codeMalformed, "", ""},
			{"an array", jsonType, `["A"]`, 422, codeInvalid, "body", ""},
			{"null", jsonType, `null`, 422, codeInvalid, "body", ""},
			{"no keys", jsonType, `{}`, 422, codeInvalid, "keys", "required"},
			{"keys are null", jsonType, `{"keys":null}`, 422, codeInvalid, "keys", ""},
			{"empty", jsonType, `{"keys":[]}`, 422, codeInvalid, "keys", "at least 1"},
			{"no array", jsonType, `{"keys":"` + secret + `"}`, 422, codeInvalid, "keys", "array"},
			{"a number", jsonType, `{"keys":["A",7,null]}`, 422, codeInvalid, "keys[1] keys[2]", "string"},
			{"an empty key", jsonType, `{"keys":["A"," "]}`, 422, codeInvalid, "keys[1]", "empty"},
			{"two lines in one key", jsonType, `{"keys":["` + secret + `\nB"]}`, 422, codeInvalid, "keys[0]", "control"},
			{"NUL", jsonType, `{"keys":["A\u0000"]}`, 422, codeInvalid, "keys[0]", "NUL"},
			{"a long key", jsonType, `{"keys":["A","` + long + `"]}`, 422, codeInvalid, "keys[1]", "4096"},
			{"too many", jsonType, `{"keys":[` + strings.TrimSuffix(strings.Repeat(`"k",`, models.MaxPoolUpload+1), ",") + `]}`, 422, codeInvalid, "keys", "50000"},
			{"another field", jsonType, `{"keys":["A"],"key":"B"}`, 422, codeInvalid, "key", ""},
			{"keys twice", jsonType, `{"keys":["A"],"keys":["B"]}`, 422, codeInvalid, "keys", "once"},
		} {
			a := d.knock(t, ask{method: post, path: "/v1/products/pooled/keys", key: d.shop.TestKey, body: c.body, header: map[string]string{"Content-Type": c.mediaType}})
			t.Log(c.name)
			a.want(t, c.status, c.code, strings.Fields(c.fields)...)
			if !strings.Contains(string(a.body), c.says) {
				t.Errorf("%s: %s does not say %q", c.name, a.body, c.says)
			}
			if strings.Contains(string(a.body)+d.log.String(), secret) {
				t.Errorf("%s: the answer or the log repeats a key", c.name)
			}
		}
		d.knock(t, ask{method: post, path: "/v1/products/pooled/keys?test=1", key: d.shop.TestKey, body: `{"keys":["A"]}`}).want(t, 422, codeInvalid, "test")
		if got := d.state(t); got != before {
			t.Errorf("refused uploads changed\n%s to\n%s", before, got)
		}
	})
}
