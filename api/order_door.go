package api

import (
	"net/url"
	"strings"

	"github.com/gofiber/fiber/v2"

	"github.com/purser-dev/purser/models"
)

// tokenOrder is the order that the address of a page is about, with the shop around the page.
type tokenOrder struct {
	*models.OrderView
	merchant *models.Merchant
	scope    models.Scope
	token    string
	shop     shop
}

// orderOf loads the order of the address. Wrong, foreign and terminated tokens are not found alike.
func (s *Server) orderOf(c *fiber.Ctx) (*tokenOrder, error) {
	if err := s.allow(c, ordersSought); err != nil {
		return nil, err
	}
	token := c.Params("token")
	o, m, err := s.store.OrderByToken(c.UserContext(), token)
	if err != nil {
		return nil, err
	}
	if err := s.allowKey(orderViews, o.ID); err != nil {
		return nil, err
	}
	return &tokenOrder{o, m, models.Scope{MerchantID: m.ID, Test: o.Test}, token, s.orderShop(c, m, o)}, nil
}

// sentTo is orderOf for a form: its origin and token are checked, and it is counted by the order and by the address.
func (s *Server) sentTo(c *fiber.Ctx) (*tokenOrder, url.Values, error) {
	if err := s.allow(c, orderFormsSent); err != nil {
		return nil, nil, err
	}
	o, err := s.orderOf(c)
	if err != nil {
		return nil, nil, err
	}
	form, err := s.checkCSRF(c)
	if err != nil {
		return nil, nil, err
	}
	return o, form, s.allowKey(orderSends, o.ID)
}

// PayLink leads to the payment page. Links within the order's pages are paths, so that the browser stays on the host that it is on.
func (o *tokenOrder) PayLink() string { return "/pay/" + o.token }

// OrderLink leads to the order's page.
func (o *tokenOrder) OrderLink() string { return "/order/" + o.token }

// ReceiptLink leads to the receipt.
func (o *tokenOrder) ReceiptLink() string { return o.OrderLink() + "/receipt.pdf" }

// Minus is the discount as it stands in the totals.
func (o *tokenOrder) Minus() int64 { return -o.Discount }

// Gross is what a line costs before discounts.
func (o *tokenOrder) Gross(i models.ItemView) int64 { return i.UnitPrice * int64(i.Quantity) }

// ShopLink leads back to where the customer came from, or is empty.
func (o *tokenOrder) ShopLink() string {
	if u, err := url.Parse(textOf(o.ReturnURL)); err == nil && (u.Scheme == "https" || u.Scheme == "http") {
		return u.String()
	}
	return ""
}

// local makes an address of ours a path; others stay as they are.
func (s *Server) local(address string) string {
	if path, ok := strings.CutPrefix(address, s.public+"/"); ok {
		return "/" + path
	}
	return address
}
