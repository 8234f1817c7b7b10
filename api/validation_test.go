package api

import (
	"testing"

	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

// TestLimitsAreToldAsPlainNumbers: whoever reads a refusal gets every digit of the limit, however large it is.
func TestLimitsAreToldAsPlainNumbers(t *testing.T) {
	t.Parallel()
	d := newDoor(t, storetest.Open(t, "sqlite"))
	for _, tt := range []struct {
		method, path string
		body         any
		want         models.FieldError
	}{
		{
			post, "/v1/orders", orderBody(with("items", []any{map[string]any{"product": "editor-pro", "quantity": 1000001}})),
			models.FieldError{Field: "items[0].quantity", Message: "must be at most 1000000"},
		},
		{
			post, "/v1/orders", orderBody(with("items", []any{map[string]any{"product": "editor-pro", "quantity": 0}})),
			models.FieldError{Field: "items[0].quantity", Message: "must be at least 1"},
		},
		{
			post, "/v1/products", `{"sku":"a","name":"A","license_method":"pool","prices":[{"currency":"EUR","amount":1099511627777}]}`,
			models.FieldError{Field: "prices[0].amount", Message: "must be at most 1099511627776"},
		},
		{
			patch, "/v1/products/editor-pro", `{"prices":[{"currency":"EUR","amount":-1}]}`,
			models.FieldError{Field: "prices[0].amount", Message: "must be at least 0"},
		},
		{get, "/v1/orders?limit=101", nil, models.FieldError{Field: "limit", Message: "must be at most 100"}},
	} {
		a := d.knock(t, ask{method: tt.method, path: tt.path, key: d.shop.TestKey, body: tt.body})
		a.want(t, 422, codeInvalid, tt.want.Field)
		if got := a.problem(t).Errors[0]; got != tt.want {
			t.Errorf("%s %s: %+v, want %+v", tt.method, tt.path, got, tt.want)
		}
	}
}
