package models

import (
	"context"
	"crypto/hmac"
	"strings"
	"time"
)

// CheckoutLink is a link that a merchant's server made: signed, so that it may carry what an ordinary one may not.
type CheckoutLink struct {
	ID         string `gorm:"primaryKey"`
	MerchantID string
	Test       bool
	Content    LinkContent `gorm:"serializer:json"`
	SingleUse  bool
	ExpiresAt  *time.Time
	OrderID    *string // of the order that used up a single-use link
	CreatedAt  time.Time
}

// LinkContent is what a signed link puts into the cart.
type LinkContent struct {
	Currency  string            `json:"currency"`
	Items     []LinkItem        `json:"items"`
	Coupon    string            `json:"coupon,omitempty"`
	Locale    string            `json:"locale,omitempty"`
	Customer  Customer          `json:"customer"`
	Metadata  map[string]string `json:"metadata,omitempty"`
	ReturnURL string            `json:"return_url,omitempty"`
}

// LinkItem is a product on a signed link.
type LinkItem struct {
	Product   string `json:"product"` // id or SKU when made, id once stored
	Quantity  int    `json:"quantity"`
	Name      string `json:"name,omitempty"`
	UnitPrice *int64 `json:"unit_price,omitempty"` // minor units
}

// NewCheckoutLink asks for a signed link.
type NewCheckoutLink struct {
	Content   LinkContent
	SingleUse bool
	ExpiresAt *time.Time
}

// CheckoutLinkView is a signed link as the API shows it.
type CheckoutLinkView struct {
	ID        string      `json:"id"`
	Test      bool        `json:"test"`
	URL       string      `json:"url"`
	Content   LinkContent `json:"content"`
	SingleUse bool        `json:"single_use"`
	ExpiresAt *time.Time  `json:"expires_at"`
	Order     *string     `json:"order" doc:"The order that used up a single-use link."`
	CreatedAt time.Time   `json:"created_at"`
}

func (s *Store) linkView(l *CheckoutLink) *CheckoutLinkView {
	return &CheckoutLinkView{
		ID: l.ID, Test: l.Test, URL: s.links + "/link/" + l.ID + "." + s.keys.LinkSignature(l.ID), Content: l.Content, SingleUse: l.SingleUse,
		ExpiresAt: l.ExpiresAt, Order: l.OrderID, CreatedAt: l.CreatedAt,
	}
}

// CreateCheckoutLink makes a signed link.
func (s *Store) CreateCheckoutLink(ctx context.Context, sc Scope, in NewCheckoutLink) (*CheckoutLinkView, error) {
	l := &CheckoutLink{
		ID: newID("lnk"), MerchantID: sc.MerchantID, Test: sc.Test, Content: in.Content, SingleUse: in.SingleUse, ExpiresAt: utc(in.ExpiresAt),
	}
	err := s.write(ctx, func(t *tx) error {
		var bad invalids
		t.checkLink(l, &bad)
		request := NewOrder{
			Currency: l.Content.Currency, Locale: l.Content.Locale, Metadata: l.Content.Metadata, ReturnURL: l.Content.ReturnURL,
			Customer: l.Content.Customer, Consents: Consents{Terms: true, PersonalData: true},
		}
		for _, i := range l.Content.Items {
			request.Lines = append(request.Lines, NewLine{Product: i.Product, Quantity: i.Quantity, Name: i.Name, UnitPrice: i.UnitPrice})
		}
		if request.Customer.Email == "" {
			request.Customer.Email = "nobody@example.com" // may be left to the customer
		}
		request.normalise()
		request.check(&bad)
		var shelf shelf
		if err := together(t.DB, shelf.questions(sc, request.Lines)...); err != nil {
			return err
		}
		products := shelf.find(sc, request.Lines, &bad)
		quotable(&request, products, &bad)
		if err := bad.err(); err != nil {
			return err
		}
		for i := range l.Content.Items {
			l.Content.Items[i].Product = products[l.Content.Items[i].Product].ID
		}
		l.CreatedAt = t.now
		return t.Create(l).Error
	})
	if err != nil {
		return nil, err
	}
	return s.linkView(l), nil
}

func (t *tx) checkLink(l *CheckoutLink, bad *invalids) {
	if l.ExpiresAt != nil && !l.ExpiresAt.After(t.now) {
		bad.add("expires_at", "must be in the future")
	}
	for i, item := range l.Content.Items {
		checkText(bad, "items["+itoa(i)+"].name", item.Name, 200)
		if item.UnitPrice != nil && (*item.UnitPrice < 0 || *item.UnitPrice > MaxAmount) {
			bad.add("items["+itoa(i)+"].unit_price", "must be from 0 to %d minor units", MaxAmount)
		}
	}
}

// CheckoutLinks lists a merchant's signed links in one mode, newest first.
func (s *Store) CheckoutLinks(ctx context.Context, sc Scope, page Page) ([]*CheckoutLinkView, string, error) {
	q := s.read(ctx).Where("merchant_id = ? AND test = ?", sc.MerchantID, sc.Test)
	rows, next, err := paginate(q, page, func(l *CheckoutLink) string { return l.ID })
	views := make([]*CheckoutLinkView, len(rows))
	for i := range rows {
		views[i] = s.linkView(&rows[i])
	}
	return views, next, err
}

// CheckoutLink returns a signed link.
func (s *Store) CheckoutLink(ctx context.Context, sc Scope, id string) (*CheckoutLinkView, error) {
	if !isID(id, "lnk") {
		return nil, notFound("checkout link")
	}
	var l CheckoutLink
	if err := s.read(ctx).Where("id = ? AND merchant_id = ? AND test = ?", id, sc.MerchantID, sc.Test).Take(&l).Error; err != nil {
		return nil, orNotFound(err, "checkout link")
	}
	return s.linkView(&l), nil
}

// LinkState says what became of a signed link.
type LinkState string

// The states of a signed link.
const (
	LinkOpen    LinkState = "open"
	LinkExpired LinkState = "expired"
	LinkUsed    LinkState = "used"
)

// FollowLink puts what a signed link carries into the visitor's cart, in place of what was there. It returns the link's scope and
// currency, so that the page can go on to the checkout; a link that is not open changes nothing. not_found: it is none of ours.
func (s *Store) FollowLink(ctx context.Context, token, visitor string, source map[string]string) (sc Scope, state LinkState, err error) {
	id, signature, _ := strings.Cut(token, ".")
	if !isID(id, "lnk") || !hmac.Equal([]byte(signature), []byte(s.keys.LinkSignature(id))) {
		return sc, "", notFound("checkout link")
	}
	err = s.write(ctx, func(t *tx) error {
		var l CheckoutLink
		if err := t.Where("id = ?", id).Take(&l).Error; err != nil {
			return orNotFound(err, "checkout link")
		}
		sc, state = Scope{l.MerchantID, l.Test}, LinkOpen
		switch {
		case l.OrderID != nil:
			state = LinkUsed
			return nil
		case l.ExpiresAt != nil && !t.now.Before(*l.ExpiresAt):
			state = LinkExpired
			return nil
		}
		c, err := t.openCart(sc, visitor, l.Content.Currency)
		if err != nil {
			return err
		}
		c.LinkID = &l.ID
		return t.changeCart(c, func(content *CartContent) {
			*content = CartContent{
				Coupon: l.Content.Coupon, Locale: l.Content.Locale, Customer: l.Content.Customer, Metadata: l.Content.Metadata,
				ReturnURL: l.Content.ReturnURL, Source: source,
			}
			for _, i := range l.Content.Items {
				content.Lines = append(content.Lines, CartLine{Product: i.Product, Quantity: i.Quantity, Name: i.Name, UnitPrice: i.UnitPrice})
			}
		})
	})
	return sc, state, err
}
