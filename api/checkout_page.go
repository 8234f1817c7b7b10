package api

import (
	"errors"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/purser-dev/purser/handlers/payment"
	"github.com/purser-dev/purser/models"
)

// modeParam on the address of a checkout asks for test mode. Only signed links put anything into a cart of another mode than the
// merchant's pages have, so it opens nothing that was not given.
const modeParam = "mode"

// checkoutPage shows the visitor's cart with everything that is asked before an order.
func (s *Server) checkoutPage(c *fiber.Ctx) error {
	d, err := s.desk(c, strings.ToUpper(c.Query("currency")))
	if err != nil {
		return err
	}
	if d.cart == nil {
		return s.emptyCart(c, d)
	}
	form := checkoutForm{Customer: d.cart.Content.Customer, Method: d.cart.Content.Method, Coupon: d.cart.Content.Coupon}
	var notice string
	note := c.Query("note")
	if d.gone != "" {
		note = noteGone
	}
	if slices.Contains(checkoutNotes, note) {
		notice = d.shop.Words.T("checkout.note_" + note)
	}
	return s.showCheckout(c, fiber.StatusOK, d, &form, notice, nil)
}

// desk is where one visitor checks out.
type desk struct {
	merchant *models.Merchant
	scope    models.Scope
	visitor  string // digest
	cart     *models.CartShown
	from     string // where the visitor came from with a cart that is empty now
	gone     string // the cart that holds a product that is no longer for sale
	shop     shop
}

// desk loads the cart of a currency, or without one that which the visitor last changed. The cart is nil if it is empty.
func (s *Server) desk(c *fiber.Ctx, currency string) (*desk, error) {
	m, err := s.store.MerchantBySlug(c.UserContext(), c.Params("slug"))
	if err != nil {
		return nil, err
	}
	d := &desk{merchant: m, scope: hostedScope(m)}
	if c.Query(modeParam) == "test" {
		d.scope.Test = true
	}
	if known := s.knownVisitor(c); known != "" {
		d.visitor = s.store.VisitorDigest(known)
		if err := s.findCart(c, d, currency); err != nil {
			return nil, err
		}
	}
	locale := ""
	if d.cart != nil {
		locale = d.cart.Content.Locale
	}
	d.shop = shop{Merchant: m, Test: d.scope.Test, Words: s.wordsFor(c, locale)}
	d.shop.Title = d.shop.Words.T("checkout.title")
	s.remember(c, d.shop)
	return d, nil
}

func (s *Server) findCart(c *fiber.Ctx, d *desk, currency string) (err error) {
	if currency == "" {
		if currency, err = s.store.LatestCartCurrency(c.UserContext(), d.scope, d.visitor); err != nil || currency == "" {
			return err
		}
	}
	shown, err := s.store.Cart(c.UserContext(), d.scope, d.visitor, currency)
	switch {
	case models.CodeOf(err) == models.CodeNotFound:
		return nil
	case err != nil:
		return err
	}
	if shown.Gone {
		d.gone = shown.ID
	}
	if len(shown.Lines) == 0 {
		d.from = shown.Content.Shop
		return nil
	}
	d.cart = shown
	return nil
}

// emptyCartView says that there is nothing to check out, and leads to where the visitor probably wants to go.
type emptyCartView struct {
	ShopURL string
	Order   *models.OrderView // that was made of the last cart, if it is young
	Link    string            // to its page
	Gone    bool              // what was in the cart is no longer for sale
}

// youngOrder is how long after an order the empty cart that it leaves behind leads to it.
const youngOrder = 24 * time.Hour

func (s *Server) emptyCart(c *fiber.Ctx, d *desk) error {
	if c.Get("HX-Request") != "" { // whatever asked for a part of the page is to load the whole
		if c.Query("note") == noteGone {
			c.Set("HX-Redirect", string(c.Request().URI().RequestURI())) // the page that asked has no such note
		} else {
			c.Set("HX-Refresh", "true")
		}
	}
	v := emptyCartView{ShopURL: d.from, Gone: d.gone != "" || c.Query("note") == noteGone}
	if d.visitor != "" {
		o, shop, err := s.store.LatestOrder(c.UserContext(), d.scope, d.visitor)
		if err != nil {
			return err
		}
		if v.ShopURL == "" {
			v.ShopURL = shop
		}
		if o != nil && o.Status != models.OrderDeleted && time.Since(o.CreatedAt) < youngOrder {
			v.Order, v.Link = o, nextAfter(o)
		}
		if o != nil && o.ReturnURL != nil {
			v.ShopURL = *o.ReturnURL
		}
	}
	d.shop.Title, d.shop.Width = d.shop.Words.T("checkout.empty_title"), "reading"
	return s.shopPage(c, fiber.StatusOK, "checkout_empty", d.shop, v)
}

// nextAfter is where a customer goes after ordering: to pay, or to the order if there is nothing to pay. It is a path, so that the
// browser stays on the host that it is on.
func nextAfter(o *models.OrderView) string {
	to := o.PaymentURL
	if o.Status != models.OrderNotPaid {
		to = o.OrderURL
	}
	if u, err := url.Parse(to); err == nil {
		return u.EscapedPath()
	}
	return to
}

// checkoutNotes are what a page can be told to say after a redirect: checkout.note_<name>.
var checkoutNotes = []string{"limits", "codes", noteGone}

// noteGone says that a product of the cart is no longer for sale.
const noteGone = "gone"

// submitCheckout does what the pressed button says. Whatever it is, what was typed is kept.
func (s *Server) submitCheckout(c *fiber.Ctx) error {
	if err := s.allow(c, checkoutsSent); err != nil {
		return err
	}
	values, err := s.checkCSRF(c)
	if err != nil {
		return err
	}
	currency := values.Get("currency")
	d, err := s.desk(c, currency)
	if err != nil {
		return err
	}
	form, cartID := readCheckout(values), values.Get("cart")
	action, subject, _ := strings.Cut(values.Get("action"), ":")
	note, gone := "", d.gone != "" && d.gone == cartID
	err = s.store.EditCart(c.UserContext(), d.scope, d.visitor, cartID, func(content *models.CartContent) {
		form.keep(content)
		if !s.keepCoupon(c, content, &form, action) {
			note = "codes"
		}
		if d.cart != nil && d.cart.ID == cartID {
			d.act(content, action, subject)
		}
	})
	back := checkoutPath(d.merchant, currency)
	if d.scope != hostedScope(d.merchant) {
		back += "&" + modeParam + "=test"
	}
	if models.CodeOf(err) == models.CodeNotFound {
		return c.Redirect(back, fiber.StatusSeeOther)
	}
	if err != nil {
		return err
	}
	if gone {
		note = noteGone // the customer is to see what is left before any order is made of it
	}
	ordered := d.cart == nil || d.cart.ID != cartID // by an earlier press
	if err := s.findCart(c, d, currency); err != nil {
		return err
	}
	if action == "continue" && note == "" {
		return s.placeOrder(c, d, cartID, ordered, &form)
	}
	if d.limited(&form) && !gone {
		note = "limits"
	}
	if note != "" {
		back += "&note=" + note
	}
	return c.Redirect(back, fiber.StatusSeeOther)
}

// keepCoupon puts the promotion code into the cart. It reports false if too many were tried.
func (s *Server) keepCoupon(c *fiber.Ctx, content *models.CartContent, form *checkoutForm, action string) bool {
	code := form.Coupon
	if action == "uncoupon" || action == "continue" && code != "" && code == form.Refused {
		code, form.Coupon = "", ""
	}
	if code != "" && !strings.EqualFold(code, content.Coupon) && s.allow(c, codesTried) != nil {
		return false
	}
	content.Coupon = code
	return true
}

// act changes the cart as a button says.
func (d *desk) act(content *models.CartContent, action, subject string) {
	switch action {
	case "remove":
		content.Remove(subject)
	case "accept", "decline":
		i := slices.IndexFunc(d.cart.Offers, func(o models.OfferShown) bool { return o.ID == subject })
		switch {
		case i < 0:
		case action == "accept":
			content.Accept(d.cart.Offers[i])
		case !slices.Contains(content.Declined, subject):
			content.Declined = append(content.Declined, subject)
		}
	}
}

// limited reports whether a quantity was asked for that the product's limits do not allow.
func (d *desk) limited(form *checkoutForm) bool {
	return d.cart != nil && slices.ContainsFunc(d.cart.Lines, func(l models.CartLineShown) bool {
		asked := quantityOf(form.Quantities[l.Product.ID], l.Line.Quantity)
		return asked != l.Line.Quantity && l.Line.UnitPrice == nil
	})
}

// placeOrder makes the order and leads on to its payment. Pressing again leads to the same order.
func (s *Server) placeOrder(c *fiber.Ctx, d *desk, cartID string, ordered bool, form *checkoutForm) error {
	wrong := form.wrong(len(d.merchant.Settings.Tax.Rates) > 0)
	if d.cart == nil {
		ordered = true
	}
	if !ordered && form.Texts != textsShown(&d.merchant.Settings) {
		// What was ticked was another text. What else is wrong is said after the next press.
		form.Terms, form.PersonalData = false, false
		return s.showCheckout(c, fiber.StatusConflict, d, form, d.shop.Words.T("checkout.texts_changed"), nil)
	}
	if len(wrong) > 0 && !ordered {
		return s.showCheckout(c, fiber.StatusUnprocessableEntity, d, form, "", wrong)
	}
	if !ordered && d.cart.Total == 0 {
		form.Method = ""
	}
	method, _ := payment.MethodByName(form.Method)
	settings := &d.merchant.Settings
	order, err := s.store.OrderCart(c.UserContext(), d.scope, models.Checkout{
		CartID: cartID, Visitor: d.visitor, Customer: form.customer(), Method: form.Method, Class: string(method.Class),
		Locale: d.shop.Words.Locale(), Total: form.Total,
		Consents: models.Consents{
			Terms: form.Terms, PersonalData: form.PersonalData, Address: s.clientAddr(c).String(),
			TermsURL: settings.Branding.TermsURL, PrivacyURL: settings.Branding.PrivacyURL,
			TermsVersion: settings.TermsVersion, PrivacyVersion: settings.PrivacyVersion,
		},
	})
	if err == nil {
		return c.Redirect(nextAfter(order), fiber.StatusSeeOther)
	}
	if d.cart == nil {
		return c.Redirect("/checkout/"+d.merchant.Slug, fiber.StatusSeeOther)
	}
	return s.refusedOrder(c, d, form, err)
}

// refusedOrder shows the page again with why there is no order.
func (s *Server) refusedOrder(c *fiber.Ctx, d *desk, form *checkoutForm, err error) error {
	notice := ""
	switch {
	case errors.Is(err, models.ErrTotalChanged):
		notice = d.shop.Words.T("checkout.total_changed")
	case errors.Is(err, models.ErrLinkOver):
		notice = d.shop.Words.T("checkout.link_over")
		if err := s.store.LeaveLink(c.UserContext(), d.scope, d.visitor, d.cart.ID); err != nil {
			return err
		}
	case models.CodeOf(err) == models.CodeInvalid:
	default:
		return err
	}
	wrong := wrongFieldsOf(err)
	currency := d.cart.Currency
	d.cart = nil
	if err := s.findCart(c, d, currency); err != nil {
		return err
	}
	if d.cart == nil {
		return s.emptyCart(c, d)
	}
	status := fiber.StatusUnprocessableEntity
	if notice != "" {
		status = fiber.StatusConflict
	}
	return s.showCheckout(c, status, d, form, notice, wrong)
}

// wrongFieldsOf translates what models says about an order into the form's fields.
func wrongFieldsOf(err error) []wrongField {
	var refused *models.Error
	if !errors.As(err, &refused) {
		return nil
	}
	var out []wrongField
	for _, f := range refused.Fields {
		name, text := strings.TrimPrefix(f.Field, "customer."), "long"
		switch {
		case name == "email", name == "country":
			text = name
		case name == "payment_method":
			name, text = "method", "method"
		case name == "coupon":
			continue // the code says itself why it does not apply
		case strings.HasPrefix(name, "items"):
			name, text = "cart", "cart"
		}
		out = append(out, wrongField{name, text})
	}
	return out
}
