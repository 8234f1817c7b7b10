package mail

import (
	"fmt"
	"slices"
	"strings"
)

// Kind names an email that Purser sends. The values are stored, so they never change.
type Kind string

// To the customer.
const (
	KindPaymentInstructions Kind = "payment_instructions" // how to pay an order by an offline method
	KindPaymentReminder     Kind = "payment_reminder"     // the order is still unpaid
	KindPaymentConfirmation Kind = "payment_confirmation" // the money has arrived, or nothing was to be paid
	KindLicenseDelivery     Kind = "license_delivery"     // all keys and downloads of one order item
	KindProductInfo         Kind = "product_info"         // the merchant's text for a product without a licence
	KindRefundCompleted     Kind = "refund_completed"     // the money has been sent back
	KindRefundDeclined      Kind = "refund_declined"      // the refund request was turned down
	KindOrderLinks          Kind = "order_links"          // the answer to "I lost my licence"
)

// To the merchant.
const (
	KindLicenseRequest    Kind = "license_request"    // a person has to provide licences for an order item
	KindFulfillmentFailed Kind = "fulfillment_failed" // an order item waits for a person
	KindPoolLow           Kind = "pool_low"           // a key pool has reached its threshold
	KindPoolEmpty         Kind = "pool_empty"         // a key pool has run dry
)

// need is a part of Data that a kind cannot be rendered without.
type need struct {
	field string
	given func(d Data) bool
}

var (
	needOrder    = need{"Order.Number", func(d Data) bool { return d.Order.Number != "" }}
	needOrderURL = need{"Order.URL", func(d Data) bool { return d.Order.URL != "" }}
	needPayURL   = need{"Order.PayURL", func(d Data) bool { return d.Order.PayURL != "" }}
	needCurrency = need{"Order.Currency", func(d Data) bool { return d.Order.Currency != "" }}
	needItem     = need{"Item.Name", func(d Data) bool { return d.Item.Name != "" }}
	needQuantity = need{"Item.Quantity", func(d Data) bool { return d.Item.Quantity > 0 }}
	needLicenses = need{"Item.Licenses", func(d Data) bool { return len(d.Item.Licenses)+len(d.Item.Downloads) > 0 }}
	needText     = need{"Text", func(d Data) bool { return strings.TrimSpace(d.Text) != "" }}
	needAccount  = need{"Instructions", func(d Data) bool { return d.Instructions != Instructions{} }}
	needRefund   = need{"Refund.Amount", func(d Data) bool { return d.Refund.Amount > 0 }}
	needStock    = need{"Stock.Product", func(d Data) bool { return d.Stock.Product != "" }}
	needPortal   = need{"PortalURL", func(d Data) bool { return d.PortalURL != "" }}
	needOrders   = need{"Orders", func(d Data) bool { return len(d.Orders) > 0 }}
)

// kinds is the table of all emails.
var kinds = map[Kind]struct {
	toMerchant bool
	needs      []need
}{
	KindPaymentInstructions: {needs: []need{needOrder, needCurrency, needPayURL, needAccount}},
	KindPaymentReminder:     {needs: []need{needOrder, needCurrency, needPayURL}},
	KindPaymentConfirmation: {needs: []need{needOrder, needCurrency, needOrderURL}},
	KindLicenseDelivery:     {needs: []need{needOrder, needOrderURL, needItem, needQuantity, needLicenses}},
	KindProductInfo:         {needs: []need{needOrder, needOrderURL, needItem, needQuantity, needText}},
	KindRefundCompleted:     {needs: []need{needOrder, needCurrency, needOrderURL, needRefund}},
	KindRefundDeclined:      {needs: []need{needOrder, needOrderURL}},
	KindOrderLinks:          {needs: []need{needOrders}},

	KindLicenseRequest:    {toMerchant: true, needs: []need{needOrder, needItem, needQuantity, needPortal}},
	KindFulfillmentFailed: {toMerchant: true, needs: []need{needOrder, needItem, needQuantity, needPortal}},
	KindPoolLow:           {toMerchant: true, needs: []need{needStock, needPortal}},
	KindPoolEmpty:         {toMerchant: true, needs: []need{needStock, needPortal}},
}

// Kinds lists all kinds, sorted.
func Kinds() []Kind {
	all := make([]Kind, 0, len(kinds))
	for k := range kinds {
		all = append(all, k)
	}
	slices.Sort(all)
	return all
}

// ToMerchant reports whether the email goes to the merchant instead of the customer.
func (k Kind) ToMerchant() bool { return kinds[k].toMerchant }

// check reports the first field of d that the kind needs and that is empty. An email that lacks its key or its link is
// worse than one that is not sent and seen to be missing.
func (k Kind) check(d Data) error {
	spec, ok := kinds[k]
	if !ok {
		return fmt.Errorf("mail: kind %q: unknown", string(k))
	}
	missing := func(field string) error { return fmt.Errorf("mail: %s: Data.%s is required", k, field) }
	if d.Merchant.Name == "" {
		return missing("Merchant.Name")
	}
	if !spec.toMerchant && d.Merchant.SupportEmail == "" && d.Merchant.SupportURL == "" {
		return missing("Merchant.SupportEmail or Merchant.SupportURL")
	}
	for _, n := range spec.needs {
		if !n.given(d) {
			return missing(n.field)
		}
	}
	return nil
}
