package models_test

import (
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

func TestCreateProduct(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop, other := storetest.Merchant(t, s), storetest.Merchant(t, s)
		in := storetest.ProductInput("editor-pro", models.MethodPool)
		in.Prices = append(in.Prices, models.PriceView{Currency: "CHF", Amount: 0})
		p := ok(s.CreateProduct(t.Context(), shop.Test, in))(t)
		want := fmt.Sprintf(`{"id":%q,"sku":"editor-pro","name":"Editor Pro","description":"","license_method":"pool","license_per":"unit","license":{},`+
			`"prices":[{"currency":"CHF","amount":0},{"currency":"EUR","amount":4900}],"min_quantity":1,"max_quantity":1000,`+
			`"show_license_on_order_page":true,"email_license":true,"active":true,"created_at":"TIME","updated_at":"TIME","archived_at":null}`, p.ID)
		for _, name := range []string{p.ID, "editor-pro"} {
			got := ok(s.Product(t.Context(), shop.Live, name))(t) // the catalogue is shared by both modes
			if text := strings.ReplaceAll(toJSON(t, got), p.CreatedAt.UTC().Format("2006-01-02T15:04:05.999999Z"), "TIME"); text != want {
				t.Errorf("product by %s\n got %s\nwant %s", name, text, want)
			}
			_, err := s.Product(t.Context(), other.Test, name)
			wantCode(t, err, models.CodeNotFound)
		}
		for _, name := range []string{"", "nothing", "prd_00000000000000000000000000", "\x00", "a/b", "\xff"} {
			_, err := s.Product(t.Context(), shop.Test, name)
			wantCode(t, err, models.CodeNotFound)
		}
	})
}

func TestProductRefused(t *testing.T) {
	price := func(currency string, amount int64) models.PriceView {
		return models.PriceView{Currency: currency, Amount: amount}
	}
	number := func(n int) *int { return &n }
	cases := map[string]struct {
		change func(*models.ProductInput)
		fields []string
	}{
		"nothing given":          {func(p *models.ProductInput) { *p = models.ProductInput{} }, []string{"sku", "name", "license_method", "prices"}},
		"a SKU of an id":         {func(p *models.ProductInput) { p.SKU = "prd_1" }, []string{"sku"}},
		"a SKU with space":       {func(p *models.ProductInput) { p.SKU = "editor pro" }, []string{"sku"}},
		"a SKU with a dot first": {func(p *models.ProductInput) { p.SKU = ".x" }, []string{"sku"}},
		"a SKU too long":         {func(p *models.ProductInput) { p.SKU = strings.Repeat("x", 65) }, []string{"sku"}},
		"texts":                  {func(p *models.ProductInput) { p.Name, p.Description = strings.Repeat("x", 201), "a\x00" }, []string{"name", "description"}},
		"unknown method":         {func(p *models.ProductInput) { p.LicenseMethod = "carrier-pigeon" }, []string{"license_method"}},
		"unknown per":            {func(p *models.ProductInput) { p.LicensePer = "dozen" }, []string{"license_per"}},
		"settings":               {func(p *models.ProductInput) { p.License = json.RawMessage(`[]`) }, []string{"license"}},
		"settings broken":        {func(p *models.ProductInput) { p.License = json.RawMessage(`{`) }, []string{"license"}},
		"settings large": {func(p *models.ProductInput) {
			p.License = json.RawMessage(`{"x":"` + strings.Repeat("x", 64<<10) + `"}`)
		}, []string{"license"}},
		"prices": {
			func(p *models.ProductInput) {
				p.Prices = []models.PriceView{price("EUR", 1), price("eur", 1), price("EUR", 2), price("XXX", 1), price("USD", -1), price("JPY", models.MaxAmount+1)}
			},
			[]string{"prices[1].currency", "prices[2].currency", "prices[3].currency", "prices[4].amount", "prices[5].amount"},
		},
		"quantities":          {func(p *models.ProductInput) { p.MinQuantity, p.MaxQuantity = number(0), number(10_001) }, []string{"min_quantity", "max_quantity"}},
		"quantities reversed": {func(p *models.ProductInput) { p.MinQuantity, p.MaxQuantity = number(5), number(4) }, []string{"max_quantity"}},
	}
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		for name, c := range cases {
			t.Run(name, func(t *testing.T) {
				in := storetest.ProductInput("editor", models.MethodPool)
				c.change(&in)
				_, err := s.CreateProduct(t.Context(), shop.Test, in)
				wantCode(t, err, models.CodeInvalid)
				wantFields(t, err, c.fields...)
			})
		}
		_, err := s.CreateProduct(t.Context(), shop.Test, models.ProductInput{LicenseMethod: "x"})
		if err == nil || !strings.Contains(err.Error(), "pool, template, signed, emulator") {
			t.Errorf("the error does not list the methods: %v", err)
		}
		if n := storetest.Count(t, s, `SELECT COUNT(*) FROM products`); n != 0 {
			t.Errorf("refused requests made %d products", n)
		}
		in := storetest.ProductInput("editor", models.MethodPool)
		in.MinQuantity, in.Prices = number(5000), []models.PriceView{price("JPY", models.MaxAmount)}
		if p := ok(s.CreateProduct(t.Context(), shop.Test, in))(t); p.MaxQuantity != 5000 {
			t.Errorf("the default maximum is %d, below the minimum", p.MaxQuantity)
		}
	})
}

func TestSignedProduct(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		_, private, err := ed25519.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		in := storetest.ProductInput("given", models.MethodSigned)
		in.SigningKey, in.License = private, json.RawMessage(`{"licensed_to":true}`)
		given := ok(s.CreateProduct(t.Context(), shop.Test, in))(t)
		public, _ := private.Public().(ed25519.PublicKey)
		if want := `{"licensed_to":true,"public_key":"` + hex.EncodeToString(public) + `"}`; string(given.License) != want {
			t.Errorf("license is %s, want %s", given.License, want)
		}
		if n := storetest.Count(t, s, `SELECT COUNT(*) FROM products WHERE signing_key = $1`, []byte(private)); n != 0 {
			t.Error("the private key is stored in the clear")
		}
		v := ok(s.UpdateProduct(t.Context(), shop.Test, "given", models.ProductPatch{Name: models.Some("Renamed"), License: models.Null[json.RawMessage]()}))(t)
		if want := `{"public_key":"` + hex.EncodeToString(public) + `"}`; string(v.License) != want {
			t.Errorf("after a change license is %s, want %s", v.License, want)
		}
		made := storetest.Product(t, s, shop.Test, "made", models.MethodSigned)
		if string(made.License) == string(v.License) || !strings.Contains(string(made.License), `"public_key":"`) {
			t.Errorf("the key that was made is %s", made.License)
		}
		in.SKU, in.SigningKey = "short", private[:32]
		if _, err := s.CreateProduct(t.Context(), shop.Test, in); err == nil {
			t.Error("half a key was accepted")
		}
	})
}

func TestUpdateProduct(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop, other := storetest.Merchant(t, s), storetest.Merchant(t, s)
		p := storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
		storetest.Product(t, s, shop.Test, "viewer", models.MethodTemplate)
		patch := decode[models.ProductPatch](t, `{"sku":"editor-2","name":" Editor 2 ","description":"New","license_per":"item","license":{"pattern":"XX"},
			"license_method":"template","prices":[{"currency":"USD","amount":5500},{"currency":"JPY","amount":6000}],"min_quantity":2,"max_quantity":3,
			"show_license_on_order_page":false,"email_license":false,"active":false}`)
		ok(s.UpdateProduct(t.Context(), shop.Test, p.ID, patch))(t)
		got := ok(s.Product(t.Context(), shop.Test, "editor-2"))(t)
		want := *p
		want.SKU, want.Name, want.Description, want.LicensePer, want.License = "editor-2", "Editor 2", "New", "item", json.RawMessage(`{"pattern":"XX"}`)
		want.Prices = []models.PriceView{{Currency: "JPY", Amount: 6000}, {Currency: "USD", Amount: 5500}}
		want.MinQuantity, want.MaxQuantity, want.ShowLicenseOnOrderPage, want.EmailLicense, want.Active = 2, 3, false, false, false
		want.CreatedAt, want.UpdatedAt = got.CreatedAt, got.UpdatedAt
		if toJSON(t, got) != toJSON(t, want) || !got.UpdatedAt.After(p.UpdatedAt) || !got.CreatedAt.Equal(p.CreatedAt) {
			t.Errorf("changed\n to %s\nwant %s", toJSON(t, got), toJSON(t, want))
		}
		got = ok(s.UpdateProduct(t.Context(), shop.Test, "editor-2", decode[models.ProductPatch](t,
			`{"description":null,"license_per":null,"license":null,"min_quantity":null,"max_quantity":null,"show_license_on_order_page":null,"email_license":null,"active":null}`)))(t)
		if got.Description != "" || got.LicensePer != "unit" || string(got.License) != "{}" || got.MinQuantity != 1 || got.MaxQuantity != 1000 || !got.Active || !got.EmailLicense ||
			!got.ShowLicenseOnOrderPage || len(got.Prices) != 2 {
			t.Errorf("null did not put back the defaults, or touched something else: %s", toJSON(t, got))
		}
		for patch, fields := range map[string][]string{
			`{"license_method":"pool"}`: {"license_method"},
			`{"sku":null,"name":null}`:  {"sku", "name"},
			`{"prices":[]}`:             {"prices"},
			`{"prices":null}`:           {"prices"},
			`{"min_quantity":1001}`:     {"max_quantity"},
			`{"name":"  "}`:             {"name"},
		} {
			_, err := s.UpdateProduct(t.Context(), shop.Test, p.ID, decode[models.ProductPatch](t, patch))
			wantCode(t, err, models.CodeInvalid)
			wantFields(t, err, fields...)
		}
		_, err := s.UpdateProduct(t.Context(), shop.Test, p.ID, models.ProductPatch{SKU: models.Some("viewer")})
		wantCode(t, err, models.CodeConflict)
		wantFields(t, err, "sku")
		_, err = s.UpdateProduct(t.Context(), other.Test, p.ID, models.ProductPatch{Name: models.Some("Mine")})
		wantCode(t, err, models.CodeNotFound)
		if after := ok(s.Product(t.Context(), shop.Test, p.ID))(t); toJSON(t, after) != toJSON(t, got) {
			t.Errorf("refused changes made it %s", toJSON(t, after))
		}
	})
}

func TestSKUsAreUniqueWhileNotArchived(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop, other := storetest.Merchant(t, s), storetest.Merchant(t, s)
		errs := race(6, func(int) error {
			_, err := s.CreateProduct(t.Context(), shop.Test, storetest.ProductInput("editor", models.MethodPool))
			return err
		})
		if n := succeeded(errs); n != 1 {
			t.Errorf("%d of six products got the SKU", n)
		}
		for _, err := range errs {
			if err != nil {
				wantCode(t, err, models.CodeConflict)
				wantFields(t, err, "sku")
			}
		}
		storetest.Product(t, s, other.Test, "editor", models.MethodPool)

		old := ok(s.ArchiveProduct(t.Context(), shop.Test, "editor"))(t)
		if old.ArchivedAt == nil || old.Active {
			t.Errorf("archived: %s", toJSON(t, old))
		}
		again := ok(s.ArchiveProduct(t.Context(), shop.Test, old.ID))(t)
		if !again.ArchivedAt.Equal(*old.ArchivedAt) {
			t.Error("archiving twice changed the time")
		}
		_, err := s.Product(t.Context(), shop.Test, "editor")
		wantCode(t, err, models.CodeNotFound)
		ok(s.Product(t.Context(), shop.Test, old.ID))(t)
		_, err = s.UpdateProduct(t.Context(), shop.Test, old.ID, models.ProductPatch{Active: models.Some(true)})
		wantCode(t, err, models.CodeConflict)
		_, err = s.ArchiveProduct(t.Context(), other.Test, old.ID)
		wantCode(t, err, models.CodeNotFound)

		fresh := storetest.Product(t, s, shop.Test, "editor", models.MethodPool)
		if got := ok(s.Product(t.Context(), shop.Test, "editor"))(t); got.ID != fresh.ID {
			t.Error("the SKU names the archived product")
		}
		list, _, err := s.Products(t.Context(), shop.Test, models.ProductFilter{}, models.Page{})
		if err != nil || len(list) != 1 || list[0].ID != fresh.ID {
			t.Errorf("the list has %d products: %v", len(list), err)
		}
		list, _, err = s.Products(t.Context(), shop.Test, models.ProductFilter{Archived: true}, models.Page{})
		if err != nil || len(list) != 1 || list[0].ID != old.ID {
			t.Errorf("the list of archived ones has %d products: %v", len(list), err)
		}
		_, err = s.CreateOrder(t.Context(), shop.Test, storetest.OrderInput(old.ID, 1))
		wantFields(t, err, "items[0].product")
	})
}
