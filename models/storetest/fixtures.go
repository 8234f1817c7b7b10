package storetest

import (
	"slices"
	"testing"

	"github.com/purser-dev/purser/models"
)

// Shop is a merchant to test with. It is in test mode, as new merchants are.
type Shop struct {
	*models.Merchant
	Test, Live       models.Scope
	TestKey, LiveKey string
}

// Merchant makes a merchant.
func Merchant(t testing.TB, s *models.Store) Shop {
	t.Helper()
	m, live, test, err := s.CreateMerchant(t.Context(), models.MerchantInput{Name: "Analytical Engines", Email: "shop@example.com"})
	if err != nil {
		t.Fatalf("create a merchant: %v", err)
	}
	return Shop{Merchant: m, Test: models.Scope{MerchantID: m.ID, Test: true}, Live: models.Scope{MerchantID: m.ID}, TestKey: test, LiveKey: live}
}

// ProductInput is a valid product of a method, for 49.00 EUR a unit.
func ProductInput(sku, method string) models.ProductInput {
	return models.ProductInput{
		SKU: sku, Name: "Editor Pro", LicenseMethod: method, Prices: []models.PriceView{{Currency: "EUR", Amount: 4900}},
	}
}

// Product makes a product of a method.
func Product(t testing.TB, s *models.Store, sc models.Scope, sku, method string) *models.ProductView {
	t.Helper()
	p, err := s.CreateProduct(t.Context(), sc, ProductInput(sku, method))
	if err != nil {
		t.Fatalf("create a product: %v", err)
	}
	return p
}

// OrderInput is a valid checkout request for one product.
func OrderInput(product string, quantity int) models.NewOrder {
	return models.NewOrder{
		Currency: "EUR", Locale: "en", PaymentMethod: "card",
		Customer: models.Customer{Email: "Ada@Example.com", FirstName: "Ada", LastName: "Byron", Country: "GB"},
		Lines:    []models.NewLine{{Product: product, Quantity: quantity}},
		Consents: models.Consents{Terms: true, PersonalData: true, Via: "api"},
		Actor:    "test",
	}
}

// Order makes an unpaid order.
func Order(t testing.TB, s *models.Store, sc models.Scope, product string, quantity int) *models.OrderView {
	t.Helper()
	o, err := s.CreateOrder(t.Context(), sc, OrderInput(product, quantity))
	if err != nil {
		t.Fatalf("create an order: %v", err)
	}
	return o
}

// PaidOrder makes an order and pays it.
func PaidOrder(t testing.TB, s *models.Store, sc models.Scope, product string, quantity int) *models.OrderView {
	t.Helper()
	return Pay(t, s, sc, Order(t, s, sc, product, quantity).ID)
}

// Pay pays an unpaid order by a card of the test gateway.
func Pay(t testing.TB, s *models.Store, sc models.Scope, orderID string) *models.OrderView {
	t.Helper()
	p, err := s.BeginPayment(t.Context(), sc, orderID, models.NewPayment{Method: "card", Gateway: "test", Class: "online", Actor: "test"})
	if err != nil {
		t.Fatalf("begin a payment: %v", err)
	}
	if _, err := s.ApplyPayment(t.Context(), p.ID, models.PaymentResult{Status: models.PaymentSucceeded, Reference: "ref_" + p.ID}, "test"); err != nil {
		t.Fatalf("apply a payment: %v", err)
	}
	o, err := s.Order(t.Context(), sc, orderID)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// Jobs lists the promises of a kind, oldest first; all of them for "".
func Jobs(t testing.TB, s *models.Store, kind string) []models.Job {
	t.Helper()
	found, err := s.Jobs(t.Context(), models.JobFilter{Kind: kind, Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(found)
	return found
}

// Count runs a query that returns one number. Its parameters are $1, $2, … on both profiles.
func Count(t testing.TB, s *models.Store, query string, args ...any) int {
	t.Helper()
	var n int
	if err := s.SQL().QueryRowContext(t.Context(), query, args...).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

// Exec changes rows behind the store's back, for what takes long to come about by itself and for what never should. Its parameters are
// $1, $2, … on both profiles.
func Exec(t testing.TB, s *models.Store, statement string, args ...any) {
	t.Helper()
	if _, err := s.SQL().ExecContext(t.Context(), statement, args...); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}
