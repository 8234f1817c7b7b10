package models

import (
	"context"
	"slices"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// Cart is what a visitor of a merchant's hosted pages is about to buy: one for each merchant, mode and currency.
type Cart struct {
	ID         string `gorm:"primaryKey"`
	Visitor    string // keyed digest of the visitor's cookie
	MerchantID string
	Test       bool
	Currency   string
	Content    CartContent `gorm:"serializer:json"`
	LinkID     *string     // the signed link that it was made by
	// Version rises with every change, so that a change made on an outdated page is seen.
	Version   int
	OrderID   *string // set once, when the cart became an order
	CreatedAt time.Time
	UpdatedAt time.Time
}

// CartContent is what a cart holds.
type CartContent struct {
	Lines  []CartLine `json:"lines"`
	Coupon string     `json:"coupon,omitempty"`
	Locale string     `json:"locale,omitempty"`
	// Customer is filled in from the link, and kept from what was typed before an error.
	Customer Customer `json:"customer"`
	// Source is ref and utm_… of the link.
	Source    map[string]string `json:"source,omitempty"`
	Metadata  map[string]string `json:"metadata,omitempty"`
	ReturnURL string            `json:"return_url,omitempty"`
	// Declined are the special offers that were turned down.
	Declined []string `json:"declined,omitempty"`
	Method   string   `json:"method,omitempty"`
	// Shop is where the visitor came from, for the way back; only ever a link.
	Shop string `json:"shop,omitempty"`
	// unlinked: a change has taken out what the signed link was for.
	unlinked bool
}

// CartLine is one product in a cart.
type CartLine struct {
	Product  string `json:"product"` // id
	Quantity int    `json:"quantity"`
	Offer    string `json:"offer,omitempty"` // the special offer that was accepted
	// Name and UnitPrice come from signed links only.
	Name      string `json:"name,omitempty"`
	UnitPrice *int64 `json:"unit_price,omitempty"`
}

const maxCartLines = 50

// VisitorDigest is how a visitor's cookie is known in the database.
func (s *Store) VisitorDigest(cookie string) string { return s.keys.digest("visitor:" + cookie) }

// openCart finds or makes a visitor's cart and locks it.
func (t *tx) openCart(sc Scope, visitor, currency string) (*Cart, error) {
	fresh := Cart{
		ID: newID("crt"), Visitor: visitor, MerchantID: sc.MerchantID, Test: sc.Test, Currency: currency, CreatedAt: t.now, UpdatedAt: t.now,
	}
	err := t.Clauses(clause.OnConflict{DoNothing: true}).Create(&fresh).Error
	if err != nil {
		return nil, err
	}
	return t.lockCart(sc, visitor, currency)
}

func (t *tx) lockCart(sc Scope, visitor, currency string) (*Cart, error) {
	var c Cart
	err := t.s.dialect.lock(t.DB, "").Where("visitor = ? AND merchant_id = ? AND test = ? AND currency = ? AND order_id IS NULL",
		visitor, sc.MerchantID, sc.Test, currency).Take(&c).Error
	return &c, orNotFound(err, "cart")
}

// ChangeCart changes a visitor's open cart under its lock, making it first if need be. The result is tidied: quantities are brought
// within the products' limits, and lines that cannot be sold in the cart's currency are dropped.
func (s *Store) ChangeCart(ctx context.Context, sc Scope, visitor, currency string, change func(*CartContent)) error {
	if !knownCurrency(currency) {
		return Invalid("currency", "must be an ISO 4217 code in capitals, such as EUR")
	}
	return s.write(ctx, func(t *tx) error {
		c, err := t.openCart(sc, visitor, currency)
		if err != nil {
			return err
		}
		return t.changeCart(c, change)
	})
}

func (t *tx) changeCart(c *Cart, change func(*CartContent)) error {
	change(&c.Content)
	if err := t.tidy(c); err != nil {
		return err
	}
	if c.Content.unlinked {
		c.LinkID = nil
	}
	c.Version++
	c.UpdatedAt = t.now
	return t.Model(c).Select("content", "link_id", "version", "updated_at").Updates(c).Error
}

func (t *tx) tidy(c *Cart) error {
	products, err := cartProducts(t.DB, c)
	if err != nil {
		return err
	}
	kept := make([]CartLine, 0, len(c.Content.Lines))
	for _, l := range c.Content.Lines {
		p := products[l.Product]
		if l.Quantity < 1 || !sellable(p, c, l) || len(kept) == maxCartLines {
			continue
		}
		l.Quantity = min(max(l.Quantity, p.MinQuantity), p.MaxQuantity)
		kept = append(kept, l)
	}
	c.Content.Lines = kept
	return nil
}

func sellable(p *Product, c *Cart, l CartLine) bool {
	if p == nil || !p.Active || p.ArchivedAt != nil || (p.LicenseMethod == MethodEmulator && !c.Test) {
		return false
	}
	_, ok := p.price(c.Currency)
	return ok || l.UnitPrice != nil
}

func cartProducts(db *gorm.DB, c *Cart) (map[string]*Product, error) {
	ids := make([]string, len(c.Content.Lines))
	for i, l := range c.Content.Lines {
		ids[i] = l.Product
	}
	var found []Product
	if err := db.Preload("Prices").Where("merchant_id = ? AND id IN ?", c.MerchantID, ids).Find(&found).Error; err != nil {
		return nil, err
	}
	out := make(map[string]*Product, len(found))
	for i := range found {
		out[found[i].ID] = &found[i]
	}
	return out, nil
}

// Set puts a quantity of a product into the cart, in place of what is there of it. A product that came by a special offer keeps its
// line; one with a price of a signed link keeps its quantity too, because the price was made for it.
func (c *CartContent) Set(product string, quantity int) {
	for i := range c.Lines {
		if c.Lines[i].Product == product {
			if c.Lines[i].UnitPrice == nil {
				c.Lines[i].Quantity = quantity
			}
			return
		}
	}
	c.Lines = append(c.Lines, CartLine{Product: product, Quantity: quantity})
}

func (c *CartContent) has(product string) bool {
	return slices.ContainsFunc(c.Lines, func(l CartLine) bool { return l.Product == product })
}

// Remove takes a product out of the cart, with the add-ons that were offered with it staying.
func (c *CartContent) Remove(product string) {
	c.Lines = slices.DeleteFunc(c.Lines, func(l CartLine) bool { return l.Product == product })
}

// Accept takes a special offer: the product is added, or takes the place of the one that the offer was made for, in its quantity.
func (c *CartContent) Accept(o OfferShown) {
	quantity := 1
	for _, l := range c.Lines {
		if l.Product == o.TriggerID {
			quantity = l.Quantity
		}
	}
	if o.Kind == OfferReplace {
		c.Remove(o.TriggerID)
	}
	c.Remove(o.ProductID)
	c.Lines = append(c.Lines, CartLine{Product: o.ProductID, Quantity: quantity, Offer: o.ID})
}
