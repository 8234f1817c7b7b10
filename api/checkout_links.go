package api

import (
	"context"
	"time"

	"github.com/purser-dev/purser/models"
)

// CheckoutLinkRequest is a new signed link.
type CheckoutLinkRequest struct {
	Currency  string             `json:"currency" minLength:"3" maxLength:"3" doc:"ISO 4217, in capitals. A product without a price in it needs a unit_price here." example:"EUR"`
	Items     []CheckoutLinkItem `json:"items" minItems:"1" maxItems:"50" doc:"What the link puts into the cart, in place of what is there."`
	Coupon    string             `json:"coupon,omitempty" maxLength:"100" doc:"A promotion code; the customer may take it out again."`
	Locale    string             `json:"locale,omitempty" maxLength:"35" doc:"The language of the checkout; without it the browser's." example:"en"`
	Customer  *CheckoutCustomer  `json:"customer,omitempty" doc:"Fills in the form; the customer may change it."`
	Metadata  map[string]string  `json:"metadata,omitempty" maxProperties:"50" doc:"Goes to the order and its webhooks: at most 50 entries, names of at most 40 characters, values of at most 500."`
	ReturnURL string             `json:"return_url,omitempty" maxLength:"2048" doc:"Where the customer goes after paying." example:"https://shop.example/thanks"`
	SingleUse bool               `json:"single_use,omitempty" doc:"Whether the first order uses the link up. It may be opened as often as one likes before."`
	ExpiresAt *time.Time         `json:"expires_at,omitempty" doc:"From then on the link leads nowhere, and a cart that came by it loses the link's prices. Never without it."`
}

// CheckoutLinkItem is a product on a signed link.
type CheckoutLinkItem struct {
	Product   string `json:"product" minLength:"1" maxLength:"200" doc:"The product's id or SKU." example:"editor-pro"`
	Quantity  int    `json:"quantity,omitempty" minimum:"1" maximum:"1000000" default:"1" doc:"How many units, within the product's limits."`
	Name      string `json:"name,omitempty" maxLength:"200" doc:"A name for the cart and the order, in place of the product's." example:"Editor Pro for Ada"`
	UnitPrice *int64 `json:"unit_price,omitempty" minimum:"0" maximum:"1099511627776" doc:"A price in minor units, in place of the product's. The customer cannot change the quantity then." example:"4400"`
}

// CheckoutCustomer is what a link knows of its customer; everything is optional.
type CheckoutCustomer struct {
	Email     string `json:"email,omitempty" maxLength:"254"`
	FirstName string `json:"first_name,omitempty" maxLength:"100"`
	LastName  string `json:"last_name,omitempty" maxLength:"100"`
	Type      string `json:"type,omitempty" enum:"individual,business,"`
	Country   string `json:"country,omitempty" maxLength:"2" doc:"ISO 3166-1 alpha-2, or empty."`
	Company   string `json:"company,omitempty" maxLength:"200"`
	VATNumber string `json:"vat_number,omitempty" maxLength:"50"`
	City      string `json:"city,omitempty" maxLength:"100"`
	Zip       string `json:"zip,omitempty" maxLength:"20"`
	Address   string `json:"address,omitempty" maxLength:"300"`
	Phone     string `json:"phone,omitempty" maxLength:"50"`
}

func (v *CheckoutCustomer) customer() models.Customer {
	if v == nil {
		return models.Customer{}
	}
	return models.Customer{
		Email: v.Email, FirstName: v.FirstName, LastName: v.LastName, Type: v.Type, Country: v.Country, Company: v.Company,
		VATNumber: v.VATNumber, City: v.City, Zip: v.Zip, Address: v.Address, Phone: v.Phone,
	}
}

type createCheckoutLinkInput struct{ Body CheckoutLinkRequest }

type createCheckoutLinkOutput struct {
	Location string `header:"Location" doc:"The link's address in this API."`
	Body     *models.CheckoutLinkView
}

func (s *Server) createCheckoutLink(ctx context.Context, in *createCheckoutLinkInput) (*createCheckoutLinkOutput, error) {
	b := &in.Body
	content := models.LinkContent{
		Currency: b.Currency, Coupon: b.Coupon, Locale: b.Locale, Customer: b.Customer.customer(), Metadata: b.Metadata, ReturnURL: b.ReturnURL,
	}
	for _, i := range b.Items {
		content.Items = append(content.Items, models.LinkItem{Product: i.Product, Quantity: i.Quantity, Name: i.Name, UnitPrice: i.UnitPrice})
	}
	l, err := s.store.CreateCheckoutLink(ctx, scope(ctx), models.NewCheckoutLink{Content: content, SingleUse: b.SingleUse, ExpiresAt: b.ExpiresAt})
	if err != nil {
		return nil, problem(err)
	}
	return &createCheckoutLinkOutput{Location: s.public + "/v1/checkout-links/" + l.ID, Body: l}, nil
}

type listCheckoutLinksInput struct{ PageInput }

func (s *Server) listCheckoutLinks(ctx context.Context, in *listCheckoutLinksInput) (*listOutput[*models.CheckoutLinkView], error) {
	return listed(s.store.CheckoutLinks(ctx, scope(ctx), in.page()))
}

type checkoutLinkInput struct {
	ID string `path:"id" doc:"The link's id." example:"lnk_06f0s8nb5xq7v2k1t9w3c4d5ea"`
}

type checkoutLinkOutput struct{ Body *models.CheckoutLinkView }

func (s *Server) getCheckoutLink(ctx context.Context, in *checkoutLinkInput) (*checkoutLinkOutput, error) {
	l, err := s.store.CheckoutLink(ctx, scope(ctx), in.ID)
	if err != nil {
		return nil, problem(err)
	}
	return &checkoutLinkOutput{Body: l}, nil
}
