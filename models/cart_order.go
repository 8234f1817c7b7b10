package models

import (
	"context"
	"errors"
	"slices"

	"gorm.io/gorm"
)

// Checkout is what the customer adds to a cart to make an order of it.
type Checkout struct {
	CartID   string
	Visitor  string
	Customer Customer
	Method   string // one of the cart's choices; empty where there is nothing to pay
	Class    string // online or offline
	Consents Consents
	Locale   string
	// Total is what the page showed, in minor units: an order is never made of another.
	Total int64
}

// ErrTotalChanged means that prices have changed since the page was shown; it is to be shown again.
var ErrTotalChanged = &Error{Code: CodeConflict, Message: "The total has changed since the page was shown."}

// ErrLinkOver means that the signed link by which a cart came has expired or was used up meanwhile; see LeaveLink.
var ErrLinkOver = &Error{Code: CodeConflict, Message: "The link that the prices came from is no longer valid."}

// OrderCart makes an order of a cart, exactly once, however often it is asked to: a cart that has become an order gives that order.
func (s *Store) OrderCart(ctx context.Context, sc Scope, in Checkout) (*OrderView, error) {
	var view *OrderView
	err := s.write(ctx, func(t *tx) error {
		c, err := t.cartOf(sc, in.Visitor, in.CartID)
		if err != nil {
			return err
		}
		inside := context.WithValue(ctx, txKey{}, t)
		if c.OrderID != nil {
			view, err = s.Order(inside, sc, *c.OrderID)
			return err
		}
		c.Content.Customer = in.Customer
		shown, lines, err := s.showCart(t.DB, c)
		if err != nil {
			return err
		}
		switch {
		case len(lines) == 0:
			return Invalid("items", "must have at least one item")
		case shown.Refusal != "":
			return Invalid("coupon", "%s", shown.Refusal.Message())
		case shown.Total != in.Total:
			return ErrTotalChanged
		}
		if shown.Total > 0 {
			choices, err := s.PayChoices(inside, sc, c.Currency)
			if err != nil {
				return err
			}
			if !slices.ContainsFunc(choices, func(p PayChoice) bool { return p.Method == in.Method }) {
				return Invalid("payment_method", "must be one of those that are offered")
			}
		}
		if view, err = s.CreateOrder(inside, sc, newOrderOf(c, lines, in)); err != nil {
			return err
		}
		if view.Total != in.Total {
			// It was priced anew: meanwhile a price has changed, or somebody has taken the last use of a discount.
			return ErrTotalChanged
		}
		if err := t.useLink(c, view.ID); err != nil {
			return err
		}
		return t.Model(&Cart{}).Where("id = ? AND order_id IS NULL", c.ID).
			Updates(map[string]any{"order_id": view.ID, "updated_at": t.now}).Error
	})
	return view, err
}

func (t *tx) cartOf(sc Scope, visitor, id string) (*Cart, error) {
	if !isID(id, "crt") {
		return nil, notFound("cart")
	}
	var c Cart
	err := t.s.dialect.lock(t.DB, "").Where("id = ? AND visitor = ? AND merchant_id = ? AND test = ?", id, visitor, sc.MerchantID, sc.Test).Take(&c).Error
	return &c, orNotFound(err, "cart")
}

func newOrderOf(c *Cart, lines []quoteLine, in Checkout) NewOrder {
	o := NewOrder{
		Currency: c.Currency, Locale: in.Locale, Coupon: c.Content.Coupon, Customer: in.Customer, PaymentMethod: in.Method, MethodClass: in.Class,
		Consents: in.Consents, ReturnURL: c.Content.ReturnURL, Metadata: c.Content.Metadata, Source: c.Content.Source, Actor: actorCustomer,
	}
	o.Consents.Via = viaCheckout
	for _, l := range lines {
		o.Lines = append(o.Lines, NewLine{Product: l.Product.ID, Quantity: l.Quantity, Offer: l.Offer, Name: l.Name, UnitPrice: l.UnitPrice})
	}
	return o
}

// useLink marks the signed link that made a cart as used, if it may be used once only.
func (t *tx) useLink(c *Cart, orderID string) error {
	if c.LinkID == nil {
		return nil
	}
	var l CheckoutLink
	err := t.s.dialect.lock(t.DB, "").Where("id = ?", *c.LinkID).Take(&l).Error
	switch {
	case errors.Is(err, gorm.ErrRecordNotFound):
		return nil
	case err != nil:
		return err
	case l.OrderID != nil || l.ExpiresAt != nil && !t.now.Before(*l.ExpiresAt):
		return ErrLinkOver
	case !l.SingleUse:
		return nil
	}
	return t.Model(&l).Update("order_id", orderID).Error
}
