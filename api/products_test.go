package api

import (
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/purser-dev/purser/handlers/license"
	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

func productBody(sku, method string, change ...func(map[string]any)) map[string]any {
	b := map[string]any{"sku": sku, "name": "Viewer", "license_method": method, "prices": []any{map[string]any{"currency": "EUR", "amount": 1900}}}
	for _, f := range change {
		f(b)
	}
	return b
}

func TestCreateProduct(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newCatalogue(t, s)
		a := d.ask(t, post, "/v1/products", productBody("viewer", "pool")).ok(t, 201)
		id := dig(t, a, "id").(string)
		if got, want := a.header.Get("Location"), storetest.PublicURL+"/v1/products/"+id; got != want {
			t.Errorf("Location is %q, want %q", got, want)
		}
		for name, want := range map[string]string{
			"sku": `"viewer"`, "name": `"Viewer"`, "description": `""`, "license_method": `"pool"`, "license_per": `"unit"`,
			"license": `{"email_text":null,"low_threshold":null}`, "prices": `[{"currency":"EUR","amount":1900}]`, "min_quantity": `1`,
			"max_quantity": `1000`, "show_license_on_order_page": `true`, "email_license": `true`, "active": `true`, "archived_at": `null`,
		} {
			wantMember(t, a, want, name)
		}
		for _, name := range []string{id, "viewer"} {
			if got := d.ask(t, get, "/v1/products/"+name, nil).ok(t, 200); string(got.body) != string(a.body) {
				t.Errorf("%s is %s, was created as %s", name, got.body, a.body)
			}
		}

		full := d.ask(t, post, "/v1/products", productBody("full", "template",
			with("description", "All of it."), with("license_per", "item"), with("min_quantity", 2), with("max_quantity", 5),
			with("show_license_on_order_page", false), with("email_license", false), with("active", false),
			with("license", map[string]any{"pattern": "FULL-XXXXXX-XXXXXX-XXXXXXC", "email_text": "Here you are: {KEY}"}),
			with("prices", []any{map[string]any{"currency": "JPY", "amount": 0}, map[string]any{"currency": "EUR", "amount": 2e3}}),
		)).ok(t, 201)
		for name, want := range map[string]string{
			"description": `"All of it."`, "license_per": `"item"`, "min_quantity": `2`, "max_quantity": `5`, "show_license_on_order_page": `false`,
			"email_license": `false`, "active": `false`,
			"license": `{"pattern":"FULL-XXXXXX-XXXXXX-XXXXXXC","email_text":"Here you are: {KEY}"}`,
		} {
			wantMember(t, full, want, name)
		}
		// What is null is as if it were absent.
		defaults := d.ask(t, post, "/v1/products", productBody("nulls", "emulator", with("license", nil), with("min_quantity", nil), with("active", nil),
			with("license_per", nil), with("description", nil))).ok(t, 201)
		wantMember(t, defaults, `true`, "active")
		wantMember(t, defaults, `1`, "min_quantity")
	})
}

func TestSignedProductHasItsOwnKey(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newCatalogue(t, s)
		var keys []string
		for _, sku := range []string{"one", "two"} {
			a := d.ask(t, post, "/v1/products", productBody(sku, "signed")).ok(t, 201)
			wantMember(t, a, `false`, "license", "licensed_to")
			text := dig(t, a, "license", "public_key").(string)
			public, err := license.ParsePublicKey(text)
			if err != nil {
				t.Fatal(err)
			}
			keys = append(keys, text)
			// The stored private key is this public key's.
			var sealed []byte
			id := dig(t, a, "id").(string)
			if err := s.SQL().QueryRow("SELECT signing_key FROM products WHERE id = $1", id).Scan(&sealed); err != nil {
				t.Fatal(err)
			}
			private, err := s.SigningKey(&models.Product{ID: id, SigningKey: sealed})
			if err != nil {
				t.Fatal(err)
			}
			if !ed25519.Verify(public, []byte("x"), ed25519.Sign(private, []byte("x"))) {
				t.Error("the public key is another pair's")
			}
			// Sending the settings back as they came, changed in another member, changes that member only.
			b := d.ask(t, patch, "/v1/products/"+sku, map[string]any{"license": map[string]any{"public_key": text, "licensed_to": true}}).ok(t, 200)
			wantMember(t, b, `true`, "license", "licensed_to")
			wantMember(t, b, fmt.Sprintf("%q", text), "license", "public_key")
		}
		if keys[0] == keys[1] {
			t.Error("two products have the same key")
		}
		d.ask(t, patch, "/v1/products/one", map[string]any{"license": map[string]any{"public_key": keys[1]}}).want(t, 422, codeInvalid, "license.public_key")
	})
}

func TestUpdateProduct(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newCatalogue(t, s)
		d.ask(t, post, "/v1/products", productBody("viewer", "pool", with("description", "Old."), with("max_quantity", 7),
			with("license", map[string]any{"low_threshold": 5, "email_text": "Yours: {KEY}"}))).ok(t, 201)
		d.ask(t, post, "/v1/products", productBody("pad", "template", with("license", map[string]any{"pattern": "PAD-XXXXXX-XXXXXX-XXXXXXC"}))).ok(t, 201)
		for _, c := range []struct {
			name, sku, patch, member, want string
		}{
			{"nothing", "viewer", `{}`, "name", `"Viewer"`},
			{"a value", "viewer", `{"name":"Viewer 2"}`, "name", `"Viewer 2"`},
			{"what is absent stays", "viewer", `{"active":false}`, "description", `"Old."`},
			{"null puts back a default", "viewer", `{"description":null}`, "description", `""`},
			{"null for a number", "viewer", `{"max_quantity":null}`, "max_quantity", `1000`},
			{"null for a truth", "viewer", `{"active":null}`, "active", `true`},
			{"prices are replaced", "viewer", `{"prices":[{"currency":"USD","amount":2100}]}`, "prices", `[{"currency":"USD","amount":2100}]`},
			{"a setting that is absent stays", "viewer", `{"license":{"low_threshold":9}}`, "license", `{"low_threshold":9,"email_text":"Yours: {KEY}"}`},
			{"a setting that is null goes", "viewer", `{"license":{"email_text":null}}`, "license", `{"low_threshold":9,"email_text":null}`},
			{"settings in one go with a field", "viewer", `{"license":{"low_threshold":3},"name":"Viewer 3"}`, "name", `"Viewer 3"`},
			{"null for all settings", "viewer", `{"license":null}`, "license", `{"low_threshold":null,"email_text":null}`},
			{"a setting's default that is not empty", "pad", `{"license":{"pattern":null}}`, "license", `{"pattern":"` + license.DefaultPattern + `","email_text":null}`},
			{"the method that it has", "pad", `{"license_method":"template"}`, "license_method", `"template"`},
			{"another SKU", "pad", `{"sku":"pad-2"}`, "sku", `"pad-2"`},
		} {
			before := d.ask(t, get, "/v1/products/"+c.sku, nil).ok(t, 200)
			a := d.ask(t, patch, "/v1/products/"+c.sku, c.patch).ok(t, 200)
			got, err := json.Marshal(dig(t, a, c.member))
			if err != nil {
				t.Fatal(err)
			}
			var want any
			if err := json.Unmarshal([]byte(c.want), &want); err != nil {
				t.Fatal(err)
			}
			if canonical, _ := json.Marshal(want); string(got) != string(canonical) {
				t.Errorf("%s: %s is %s, want %s", c.name, c.member, got, canonical)
			}
			if dig(t, a, "created_at") != dig(t, before, "created_at") || dig(t, a, "id") != dig(t, before, "id") {
				t.Errorf("%s: another product came back", c.name)
			}
			if stored := d.ask(t, get, "/v1/products/"+dig(t, a, "id").(string), nil).ok(t, 200); string(stored.body) != string(a.body) {
				t.Errorf("%s: answered %s, stored %s", c.name, a.body, stored.body)
			}
		}
		d.ask(t, get, "/v1/products/pad", nil).want(t, 404, codeNotFound)
		merge := ask{method: patch, path: "/v1/products/pad-2", key: d.shop.TestKey, body: `{"name":"Pad 2"}`, header: map[string]string{"Content-Type": "application/merge-patch+json"}}
		if a := d.knock(t, merge).ok(t, 200); dig(t, a, "name") != "Pad 2" {
			t.Errorf("a merge patch: %s", a.body)
		}
		merge.method, merge.path = post, "/v1/products"
		d.knock(t, merge).want(t, 415, codeUnsupportedMediaType)
	})
}

// The settings are read, merged and written under the product's lock, so that two patches of different settings both count.
func TestUpdateProductSettingsAtOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newCatalogue(t, s)
		d.ask(t, post, "/v1/products", productBody("viewer", "pool")).ok(t, 201)
		for i := range 5 {
			done := make(chan answer, 2)
			for _, settings := range []map[string]any{{"low_threshold": i}, {"email_text": fmt.Sprintf("%d {KEY}", i)}} {
				go func() {
					a := ask{method: patch, path: "/v1/products/viewer", key: d.shop.TestKey, body: map[string]any{"license": settings}}
					r, err := d.App().Test(a.request(t, "http://purser.test"), int(time.Minute.Milliseconds()))
					if err != nil {
						done <- answer{}
						return
					}
					done <- answer{status: r.StatusCode}
				}()
			}
			for range 2 {
				if a := <-done; a.status != 200 {
					t.Fatalf("a patch was answered %d", a.status)
				}
			}
			wantMember(t, d.ask(t, get, "/v1/products/viewer", nil), fmt.Sprintf(`{"low_threshold":%d,"email_text":"%d {KEY}"}`, i, i), "license")
		}
	})
}

func TestListAndArchiveProducts(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newCatalogue(t, s)
		ids := []string{d.product.ID}
		for _, sku := range []string{"a", "b", "c", "d"} {
			ids = append([]string{dig(t, d.ask(t, post, "/v1/products", productBody(sku, "template")).ok(t, 201), "id").(string)}, ids...)
		}
		storetest.Product(t, s, d.other.Test, "foreign", models.MethodTemplate)
		d.pages(t, "/v1/products", ids)
		d.pages(t, "/v1/products?sku=c", ids[1:2])
		d.pages(t, "/v1/products?sku=foreign", nil)
		d.pages(t, "/v1/products?archived=true", nil)

		a := d.ask(t, remove, "/v1/products/c", nil).ok(t, 200)
		if dig(t, a, "archived_at") == nil || dig(t, a, "active") != false {
			t.Errorf("archived as %s", a.body)
		}
		if again := d.ask(t, remove, "/v1/products/"+ids[1], nil).ok(t, 200); string(again.body) != string(a.body) {
			t.Errorf("archiving it again made %s of %s", again.body, a.body)
		}
		d.pages(t, "/v1/products", slices.Delete(slices.Clone(ids), 1, 2))
		d.pages(t, "/v1/products?archived=true", ids[1:2])
		d.ask(t, get, "/v1/products/"+ids[1], nil).ok(t, 200)
		d.ask(t, get, "/v1/products/c", nil).want(t, 404, codeNotFound)
		d.ask(t, patch, "/v1/products/"+ids[1], `{"name":"Back"}`).want(t, 409, codeConflict)
		d.ask(t, post, "/v1/products", productBody("c", "template")).ok(t, 201) // its SKU is free
	})
}

func TestProductsAreOneMerchants(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newCatalogue(t, s)
		p := d.product.ID
		before := d.state(t)
		for _, path := range []string{"/v1/products/" + p, "/v1/products/editor-pro"} {
			for method, body := range map[string]any{get: nil, patch: `{"name":"Mine"}`, remove: nil} {
				d.askAs(t, d.other.TestKey, method, path, body).want(t, 404, codeNotFound)
			}
			d.askAs(t, d.other.TestKey, patch, path, `{"license":{"pattern":null}}`).want(t, 404, codeNotFound)
		}
		if got := d.state(t); got != before {
			t.Errorf("somebody else changed\n%s to\n%s", before, got)
		}
		d.ask(t, post, "/v1/products", productBody("editor-pro", "template")).want(t, 409, codeConflict, "sku")
		d.ask(t, patch, "/v1/products/"+p, `{"sku":"editor-pro"}`).ok(t, 200)
		d.askAs(t, d.other.TestKey, post, "/v1/products", productBody("editor-pro", "template")).ok(t, 201) // everybody may call a product that

		// The catalogue is shared by both modes, and once the merchant is live a test key only reads it.
		d.askAs(t, d.shop.LiveKey, get, "/v1/products/editor-pro", nil).ok(t, 200)
		d.goLive(t)
		before = d.state(t)
		d.ask(t, get, "/v1/products/editor-pro", nil).ok(t, 200)
		d.ask(t, post, "/v1/products", productBody("late", "template")).want(t, 403, codeForbidden)
		d.ask(t, patch, "/v1/products/editor-pro", `{"name":"Late"}`).want(t, 403, codeForbidden)
		d.ask(t, patch, "/v1/products/editor-pro", `{"license":null}`).want(t, 403, codeForbidden)
		d.ask(t, remove, "/v1/products/editor-pro", nil).want(t, 403, codeForbidden)
		if got := d.state(t); got != before {
			t.Errorf("a test key changed\n%s to\n%s", before, got)
		}
		d.askAs(t, d.shop.LiveKey, patch, "/v1/products/editor-pro", `{"name":"Editor Pro 2"}`).ok(t, 200)
	})
}

func TestCreateProductOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newCatalogue(t, s)
		before := d.count(t, "products")
		d.once(t, "/v1/products", productBody("viewer", "signed"))
		if n := d.count(t, "products"); n != before+1 {
			t.Errorf("there are %d products more", n-before)
		}
	})
}
