package models

import (
	"strconv"
	"time"
)

// OrderView is an order as the outside sees it: the API's answer, and the data of an order's events.
type OrderView struct {
	ID                string            `json:"id"`
	Number            string            `json:"number"`
	Test              bool              `json:"test"`
	Status            OrderStatus       `json:"status"`
	FulfillmentStatus FulfillmentStatus `json:"fulfillment_status"`
	RefundStatus      *string           `json:"refund_status"`
	DeleteReason      *string           `json:"delete_reason"`
	Currency          string            `json:"currency"`
	Subtotal          int64             `json:"subtotal"`
	Discount          int64             `json:"discount"`
	Tax               int64             `json:"tax"`
	TaxInclusive      bool              `json:"tax_inclusive"`
	Total             int64             `json:"total"`
	AmountRefunded    int64             `json:"amount_refunded"`
	Locale            string            `json:"locale"`
	ExternalID        *string           `json:"external_id"`
	Coupon            *string           `json:"coupon"`
	Customer          Customer          `json:"customer"`
	PaymentMethod     *string           `json:"payment_method"`
	Items             []ItemView        `json:"items"`
	Payments          []PaymentView     `json:"payments"`
	PaymentURL        string            `json:"payment_url"`
	OrderURL          string            `json:"order_url"`
	ReturnURL         *string           `json:"return_url"`
	Metadata          map[string]string `json:"metadata"`
	Source            map[string]string `json:"source" doc:"Where the customer came from: ref and utm_… of the checkout link."`
	CreatedAt         time.Time         `json:"created_at"`
	PaidAt            *time.Time        `json:"paid_at"`
	DeliveredAt       *time.Time        `json:"delivered_at"`
	DeletedAt         *time.Time        `json:"deleted_at"`
}

// ItemView is one line of an OrderView.
type ItemView struct {
	ID                string            `json:"id"`
	Product           string            `json:"product"`
	SKU               string            `json:"sku"`
	Name              string            `json:"name"`
	Quantity          int               `json:"quantity"`
	UnitPrice         int64             `json:"unit_price"`
	Discount          int64             `json:"discount"`
	Tax               int64             `json:"tax"`
	Total             int64             `json:"total"`
	LicenseMethod     string            `json:"license_method"`
	FulfillmentStatus FulfillmentStatus `json:"fulfillment_status"`
	Failure           *string           `json:"failure"`
	WaitingFor        *string           `json:"waiting_for" doc:"pool while the item is a back-order"`
	Licenses          []LicenseView     `json:"licenses"`
}

// LicenseView is a licence of an ItemView. In stored events the key is masked.
type LicenseView struct {
	ID          string     `json:"id"`
	Key         string     `json:"key"`
	Status      string     `json:"status"`
	DeliveredAt *time.Time `json:"delivered_at"`
}

// PaymentView is one attempt to pay.
type PaymentView struct {
	ID               string        `json:"id"`
	Method           string        `json:"method"`
	Gateway          string        `json:"gateway"`
	Status           PaymentStatus `json:"status"`
	Amount           int64         `json:"amount"`
	Currency         string        `json:"currency"`
	FailureCode      *string       `json:"failure_code"`
	FailureMessage   *string       `json:"failure_message"`
	RedirectURL      *string       `json:"redirect_url" doc:"Where the customer goes on while the status is requires_action."`
	Instructions     *Instructions `json:"instructions" doc:"How to pay by an offline method."`
	AmountReceived   *int64        `json:"amount_received" doc:"What arrived, in currency_received, where that is not what was asked for: an amount or a currency other than the payment's."`
	CurrencyReceived *string       `json:"currency_received" doc:"The currency of amount_received, which may not be that of the payment."`
	CreatedAt        time.Time     `json:"created_at"`
}

// view renders an order whose items, licences and payments are loaded. masked hides licence keys but for their ends.
func (s *Store) view(o *Order, masked bool) (*OrderView, error) {
	v := &OrderView{
		ID: o.ID, Number: o.Number, Test: o.Test, Status: o.Status, FulfillmentStatus: o.FulfillmentStatus, RefundStatus: o.RefundStatus,
		DeleteReason: o.DeleteReason, Currency: o.Currency, Subtotal: o.Subtotal, Discount: o.Discount, Tax: o.Tax,
		TaxInclusive: o.TaxInclusive, Total: o.Total, AmountRefunded: o.AmountRefunded, Locale: o.Locale,
		ExternalID: nullable(o.ExternalID), Coupon: nullable(o.Coupon), Customer: o.Customer, PaymentMethod: nullable(o.PaymentMethod),
		PaymentURL: s.links + "/pay/" + o.Token, OrderURL: s.links + "/order/" + o.Token, ReturnURL: nullable(o.ReturnURL),
		Metadata: o.Metadata, Source: o.Source, CreatedAt: o.CreatedAt, PaidAt: o.PaidAt, DeliveredAt: o.DeliveredAt, DeletedAt: o.DeletedAt,
		Items: make([]ItemView, 0, len(o.Items)), Payments: make([]PaymentView, 0, len(o.Payments)),
	}
	if v.Metadata == nil {
		v.Metadata = map[string]string{}
	}
	if v.Source == nil {
		v.Source = map[string]string{}
	}
	for i := range o.Items {
		iv, err := s.itemView(&o.Items[i], masked)
		if err != nil {
			return nil, err
		}
		v.Items = append(v.Items, iv)
	}
	for i := range o.Payments {
		v.Payments = append(v.Payments, s.PaymentView(&o.Payments[i]))
	}
	return v, nil
}

func (s *Store) itemView(i *Item, masked bool) (ItemView, error) {
	v := ItemView{
		ID: i.ID, Product: i.ProductID, SKU: i.SKU, Name: i.Name, Quantity: i.Quantity, UnitPrice: i.UnitPrice, Discount: i.Discount,
		Tax: i.Tax, Total: i.Total, LicenseMethod: i.LicenseMethod, FulfillmentStatus: i.FulfillmentStatus, Failure: i.Failure,
		WaitingFor: i.WaitingFor, Licenses: make([]LicenseView, 0, len(i.Licenses)),
	}
	for j := range i.Licenses {
		l := &i.Licenses[j]
		key, err := s.LicenseKey(l)
		if err != nil {
			return v, err
		}
		if masked {
			key = mask(key)
		}
		v.Licenses = append(v.Licenses, LicenseView{ID: l.ID, Key: key, Status: l.Status, DeliveredAt: l.DeliveredAt})
	}
	return v, nil
}

// LicenseKey opens a licence's key.
func (s *Store) LicenseKey(l *License) (string, error) {
	b, err := s.keys.Open(l.Ciphertext, l.ID)
	return string(b), err
}

// PaymentView renders a payment.
func (s *Store) PaymentView(p *Payment) PaymentView {
	v := PaymentView{
		ID: p.ID, Method: p.Method, Gateway: p.Gateway, Status: p.Status, Amount: p.Amount, Currency: p.Currency,
		FailureCode: p.FailureCode, FailureMessage: p.FailureMessage, Instructions: p.Instructions, AmountReceived: p.AmountReceived,
		CurrencyReceived: p.ReceivedCurrency, CreatedAt: p.CreatedAt,
	}
	if p.Status == PaymentRequiresAction && p.RedirectURL != nil {
		v.RedirectURL = p.RedirectURL
	} else if p.Status == PaymentRequiresAction {
		u := s.links + "/gateway/" + p.Gateway + "/" + p.Token
		v.RedirectURL = &u
	}
	return v
}

func nullable(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func itoa(n int) string { return strconv.Itoa(n) }
