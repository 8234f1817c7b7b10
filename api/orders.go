package api

import (
	"context"
	"strconv"
	"time"

	"github.com/purser-dev/purser/handlers/payment"
	"github.com/purser-dev/purser/models"
)

// OrderRequest is a storefront's checkout request.
type OrderRequest struct {
	Currency      string            `json:"currency" minLength:"3" maxLength:"3" doc:"ISO 4217, in capitals. Every product of the order needs a price in it." example:"EUR"`
	Locale        string            `json:"locale,omitempty" maxLength:"35" default:"en" doc:"The language of pages and emails, as a BCP 47 tag." example:"en"`
	ExternalID    string            `json:"external_id,omitempty" maxLength:"200" doc:"The storefront's own name for the order. Need not be unique." example:"cart-991"`
	Coupon        string            `json:"coupon,omitempty" maxLength:"100" doc:"A promotion code."`
	Customer      models.Customer   `json:"customer"`
	Items         []OrderLine       `json:"items" minItems:"1" maxItems:"100"`
	PaymentMethod string            `json:"payment_method,omitempty" enum:"card,bank_transfer," doc:"How the customer is going to pay. Without it the payment page asks."`
	Consents      OrderConsents     `json:"consents" doc:"What the customer agreed to. The text's language and the time are kept with the order."`
	ReturnURL     string            `json:"return_url,omitempty" maxLength:"2048" doc:"Where the customer goes after paying." example:"https://shop.example/thanks"`
	Metadata      map[string]string `json:"metadata,omitempty" maxProperties:"50" doc:"The storefront's own data: at most 50 entries, names of at most 40 characters, values of at most 500."`
}

// OrderLine asks for a quantity of a product.
type OrderLine struct {
	Product  string `json:"product" minLength:"1" maxLength:"200" doc:"The product's id or SKU." example:"editor-pro"`
	Quantity int    `json:"quantity,omitempty" minimum:"1" maximum:"1000000" default:"1" doc:"How many units, within the product's limits." example:"2"`
}

// OrderConsents are two separate agreements; both have to be true.
type OrderConsents struct {
	Terms        bool `json:"terms" doc:"The terms of sale."`
	PersonalData bool `json:"personal_data" doc:"The processing of personal data."`
}

type orderOutput struct{ Body *models.OrderView }

type createOrderInput struct{ Body OrderRequest }

type createOrderOutput struct {
	Location string `header:"Location" doc:"The order's address."`
	Body     *models.OrderView
}

func (s *Server) createOrder(ctx context.Context, in *createOrderInput) (*createOrderOutput, error) {
	b := &in.Body
	lines := make([]models.NewLine, len(b.Items))
	for i, l := range b.Items {
		lines[i] = models.NewLine{Product: l.Product, Quantity: l.Quantity}
	}
	method, _ := payment.MethodByName(b.PaymentMethod) // Huma has checked the name
	o, err := s.store.CreateOrder(ctx, scope(ctx), models.NewOrder{
		Currency: b.Currency, Locale: b.Locale, ExternalID: b.ExternalID, Coupon: b.Coupon, Customer: b.Customer, Lines: lines,
		PaymentMethod: b.PaymentMethod, MethodClass: string(method.Class), ReturnURL: b.ReturnURL, Metadata: b.Metadata, Actor: actor(ctx),
		Consents: models.Consents{Terms: b.Consents.Terms, PersonalData: b.Consents.PersonalData, Via: "api"},
	})
	if err != nil {
		return nil, problem(err)
	}
	return &createOrderOutput{Location: s.public + "/v1/orders/" + o.ID, Body: o}, nil
}

type orderInput struct {
	ID string `path:"id" doc:"The order's id." example:"ord_06f0s8nb5xq7v2k1t9w3c4d5ea"`
}

func (s *Server) getOrder(ctx context.Context, in *orderInput) (*orderOutput, error) {
	return answerOrder(s.store.Order(ctx, scope(ctx), in.ID))
}

func answerOrder(o *models.OrderView, err error) (*orderOutput, error) {
	if err != nil {
		return nil, problem(err)
	}
	return &orderOutput{Body: o}, nil
}

type listOrdersInput struct {
	PageInput
	Status            string    `query:"status" enum:"not_paid,paid,deleted,terminated" doc:"Terminated test orders are listed only when asked for."`
	FulfillmentStatus string    `query:"fulfillment_status" enum:"not_delivered,partially_delivered,delivered"`
	Email             string    `query:"email" maxLength:"254" doc:"The customer's email address, whole; case does not matter."`
	Number            string    `query:"number" maxLength:"40"`
	ExternalID        string    `query:"external_id" maxLength:"200"`
	Product           string    `query:"product" maxLength:"200" doc:"A product that is in the order: its id, or the SKU that it has now."`
	CreatedFrom       time.Time `query:"created_from" doc:"From this time on, inclusive."`
	CreatedTo         time.Time `query:"created_to" doc:"Up to this time, inclusive."`
}

func (s *Server) listOrders(ctx context.Context, in *listOrdersInput) (*listOutput[*models.OrderView], error) {
	return listed(s.store.Orders(ctx, scope(ctx), models.OrderFilter{
		Status: in.Status, FulfillmentStatus: in.FulfillmentStatus, Email: in.Email, Number: in.Number, ExternalID: in.ExternalID,
		Product: in.Product, CreatedFrom: in.CreatedFrom, CreatedTo: in.CreatedTo,
	}, in.page()))
}

// timelineOutput has the shape of a list, but is read from its beginning.
type timelineOutput = listOutput[models.TimelineEntry]

type timelineInput struct {
	ID     string `path:"id" doc:"The order's id." example:"ord_06f0s8nb5xq7v2k1t9w3c4d5ea"`
	Limit  int    `query:"limit" minimum:"1" maximum:"100" doc:"How many entries to return; all of them without it."`
	Cursor string `query:"cursor" maxLength:"200" doc:"The next_cursor of the page before."`
}

// getOrderTimeline counts the entries that were read: a timeline grows at its end, but for what is still planned.
func (s *Server) getOrderTimeline(ctx context.Context, in *timelineInput) (*timelineOutput, error) {
	from := 0
	if in.Cursor != "" {
		var err error
		if from, err = strconv.Atoi(in.Cursor); err != nil || from < 0 {
			return nil, problem(models.Invalid("cursor", "must be a next_cursor of this timeline"))
		}
	}
	entries, err := s.store.Timeline(ctx, scope(ctx), in.ID)
	entries, next := entries[min(from, len(entries)):], ""
	if in.Limit > 0 && in.Limit < len(entries) {
		entries, next = entries[:in.Limit], strconv.Itoa(from+in.Limit)
	}
	return listed(entries, next, err)
}

// CancelRequest says why an order is cancelled.
type CancelRequest struct {
	Reason string `json:"reason,omitempty" maxLength:"500" doc:"For the order's timeline; the customer does not see it."`
}

type cancelOrderInput struct {
	ID   string `path:"id" doc:"The order's id." example:"ord_06f0s8nb5xq7v2k1t9w3c4d5ea"`
	Body *CancelRequest
}

func (s *Server) cancelOrder(ctx context.Context, in *cancelOrderInput) (*orderOutput, error) {
	var reason string
	if in.Body != nil {
		reason = in.Body.Reason
	}
	return answerOrder(s.store.CancelOrder(ctx, scope(ctx), in.ID, reason, actor(ctx)))
}

type retryItemInput struct {
	ID   string `path:"id" doc:"The order's id." example:"ord_06f0s8nb5xq7v2k1t9w3c4d5ea"`
	Item string `path:"item" doc:"The item's id." example:"itm_06f0s8nb5xq7v2k1t9w3c4d5eb"`
	Body *noFields
}

func (s *Server) retryItem(ctx context.Context, in *retryItemInput) (*orderOutput, error) {
	return answerOrder(s.store.RetryItem(ctx, scope(ctx), in.ID, in.Item, actor(ctx)))
}
