package models_test

import (
	"encoding/base64"
	"fmt"
	"testing"

	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

func TestPages(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop, other := storetest.Merchant(t, s), storetest.Merchant(t, s)
		for i := range 21 {
			storetest.Product(t, s, shop.Test, fmt.Sprintf("p%02d", i), models.MethodPool)
		}
		storetest.Product(t, s, other.Test, "not-mine", models.MethodPool)
		list := func(f models.ProductFilter, limit int, cursor string) ([]*models.ProductView, string) {
			t.Helper()
			rows, next, err := s.Products(t.Context(), shop.Test, f, models.Page{Limit: limit, Cursor: cursor})
			if err != nil {
				t.Fatal(err)
			}
			return rows, next
		}
		if rows, next := list(models.ProductFilter{}, 0, ""); len(rows) != 20 || next == "" || rows[0].SKU != "p20" {
			t.Errorf("the default page has %d rows, next %q", len(rows), next)
		}
		var seen []string
		cursor := ""
		for page := 1; ; page++ {
			rows, next := list(models.ProductFilter{}, 8, cursor)
			for _, r := range rows {
				seen = append(seen, r.SKU)
			}
			if page == 1 {
				storetest.Product(t, s, shop.Test, "added-meanwhile", models.MethodPool)
			}
			if next == "" {
				break
			}
			cursor = next
		}
		if len(seen) != 21 {
			t.Fatalf("saw %d rows: %v", len(seen), seen)
		}
		for i, sku := range seen {
			if want := fmt.Sprintf("p%02d", 20-i); sku != want {
				t.Errorf("row %d is %s, want %s", i, sku, want)
			}
		}
		if rows, next := list(models.ProductFilter{}, 22, ""); len(rows) != 22 || next != "" {
			t.Errorf("a page of exactly all rows: %d rows, next %q", len(rows), next)
		}
		if rows, next := list(models.ProductFilter{SKU: "p07"}, 1, ""); len(rows) != 1 || next != "" || rows[0].SKU != "p07" || len(rows[0].Prices) != 1 {
			t.Errorf("filtered: %s, next %q", toJSON(t, rows), next)
		}
		if rows, _ := list(models.ProductFilter{SKU: "nothing"}, 1, ""); rows == nil || len(rows) != 0 {
			t.Errorf("an empty list is %v, want one that is not null", rows)
		}
		encode := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
		for _, bad := range []string{"?", "a", encode("a b"), encode("\x00"), encode("prd_' OR 1=1"), encode(fmt.Sprintf("%065d", 0)), "prd_00000000000000000000000000="} {
			_, _, err := s.Products(t.Context(), shop.Test, models.ProductFilter{}, models.Page{Cursor: bad})
			wantCode(t, err, models.CodeInvalid)
			wantFields(t, err, "cursor")
		}
		for _, bad := range []int{-1, 101} {
			_, _, err := s.Products(t.Context(), shop.Test, models.ProductFilter{}, models.Page{Limit: bad})
			wantFields(t, err, "limit")
		}
	})
}
