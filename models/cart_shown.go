package models

import (
	"context"
	"errors"
	"slices"

	"gorm.io/gorm"
)

// CartShown is a cart as the checkout page shows it: priced exactly as its order would be.
type CartShown struct {
	Cart
	Lines []CartLineShown
	// Gone reports that the cart holds a product that is no longer for sale; it is not among the lines.
	Gone                           bool
	Subtotal, Discount, Tax, Total int64
	TaxInclusive                   bool
	// Refusal says why the promotion code does not apply; empty if there is none or it does.
	Refusal CouponRefusal
	// CouponName is that of the code that applies; Automatic that of the discount that applies by itself.
	CouponName, Automatic string
	Offers                []OfferShown
	Choices               []PayChoice
	// Currencies are those in which every product of the cart has a price.
	Currencies []string
}

// CartLineShown is a line of a CartShown.
type CartLineShown struct {
	Product          *Product
	Line             CartLine
	Name             string
	UnitPrice        int64
	Discount, Total  int64
	Minimum, Maximum int
}

// Gross is the line's price before discounts and tax.
func (l CartLineShown) Gross() int64 { return l.UnitPrice * int64(l.Line.Quantity) }

// Fixed reports whether the line's quantity is that of its signed link.
func (l CartLineShown) Fixed() bool { return l.Line.UnitPrice != nil }

// OfferShown is a special offer that is made for a cart.
type OfferShown struct {
	Offer
	Product *Product
	// Price is the unit price that the product is usually sold for; OfferPrice what it costs with the offer.
	Price, OfferPrice int64
}

// Cart returns a visitor's open cart as the checkout page shows it; not_found if there is none or it is empty. The customer is who
// the taxes and per-customer limits are judged for.
func (s *Store) Cart(ctx context.Context, sc Scope, visitor, currency string) (*CartShown, error) {
	if !knownCurrency(currency) { // PostgreSQL would answer text that it cannot store with an error
		return nil, notFound("cart")
	}
	db := s.read(ctx)
	var c Cart
	err := db.Where("visitor = ? AND merchant_id = ? AND test = ? AND currency = ? AND order_id IS NULL", visitor, sc.MerchantID, sc.Test, currency).Take(&c).Error
	if err != nil {
		return nil, orNotFound(err, "cart")
	}
	shown, _, err := s.showCart(db, &c)
	if err != nil {
		return nil, err
	}
	shown.Choices, err = s.PayChoices(ctx, sc, currency)
	return shown, err
}

// LatestCartCurrency is the currency of the cart that a visitor of a merchant's pages last changed, or "".
func (s *Store) LatestCartCurrency(ctx context.Context, sc Scope, visitor string) (string, error) {
	var c Cart
	err := s.read(ctx).Where("visitor = ? AND merchant_id = ? AND test = ? AND order_id IS NULL", visitor, sc.MerchantID, sc.Test).
		Order("updated_at DESC").Take(&c).Error
	if errors.Is(err, gorm.ErrRecordNotFound) {
		return "", nil
	}
	return c.Currency, err
}

// showCart prices a cart.
func (s *Store) showCart(db *gorm.DB, c *Cart) (*CartShown, []quoteLine, error) {
	products, err := cartProducts(db, c)
	if err != nil {
		return nil, nil, err
	}
	offers, err := s.offersFor(db, c)
	if err != nil {
		return nil, nil, err
	}
	var m Merchant
	if err := db.Where("id = ?", c.MerchantID).Take(&m).Error; err != nil {
		return nil, nil, err
	}
	var lines []quoteLine
	var kept []CartLine
	for _, l := range c.Content.Lines {
		p := products[l.Product]
		if !sellable(p, c, l) {
			continue
		}
		q := quoteLine{Product: p, Quantity: l.Quantity, UnitPrice: l.UnitPrice, Name: l.Name}
		for i := range offers {
			// An add-on is cheaper only together with what it was offered for.
			if o := &offers[i].Offer; o.ID == l.Offer && (o.Kind == OfferReplace || c.Content.has(o.TriggerID)) {
				q.Offer = o
			}
		}
		lines, kept = append(lines, q), append(kept, l)
	}
	r := quoteRequest{
		Scope: Scope{c.MerchantID, c.Test}, Currency: c.Currency, Lines: lines, Coupon: c.Content.Coupon, Customer: c.Content.Customer, Tax: m.Settings.Tax,
	}
	if err := automaticCoupons(db, c.MerchantID).Find(&r.Automatic).Error; err != nil {
		return nil, nil, err
	}
	q, err := quoteFor(db, s, r)
	if err != nil {
		return nil, nil, err
	}
	shown := &CartShown{
		Cart: *c, Subtotal: q.subtotal, Discount: q.discount, Tax: q.tax, Total: q.total, TaxInclusive: q.taxInclusive, Refusal: q.refusal,
	}
	shown.Gone = len(kept) < len(c.Content.Lines)
	for _, coupon := range q.coupons {
		if coupon.Code != nil {
			shown.CouponName = coupon.Name
		} else {
			shown.Automatic = coupon.Name
		}
	}
	for i, l := range lines {
		name := l.Product.Name
		if l.Name != "" {
			name = l.Name
		}
		shown.Lines = append(shown.Lines, CartLineShown{
			Product: l.Product, Line: kept[i], Name: name, UnitPrice: q.lines[i].unitPrice, Discount: q.lines[i].discount, Total: q.lines[i].total,
			Minimum: l.Product.MinQuantity, Maximum: l.Product.MaxQuantity,
		})
	}
	shown.Currencies = commonCurrencies(lines)
	for _, o := range offers {
		taken := slices.ContainsFunc(kept, func(l CartLine) bool { return l.Product == o.ProductID })
		triggered := slices.ContainsFunc(kept, func(l CartLine) bool { return l.Product == o.TriggerID && l.Offer == "" && l.UnitPrice == nil })
		if triggered && !taken && !slices.Contains(c.Content.Declined, o.ID) {
			shown.Offers = append(shown.Offers, o)
		}
	}
	return shown, lines, nil
}

func commonCurrencies(lines []quoteLine) []string {
	var common []string
	for i, l := range lines {
		var own []string
		for _, p := range l.Product.Prices {
			own = append(own, p.Currency)
		}
		if i == 0 {
			common = own
			continue
		}
		common = slices.DeleteFunc(common, func(c string) bool { return !slices.Contains(own, c) })
	}
	slices.Sort(common)
	return common
}

// offersFor are the merchant's offers that can be made in a cart's currency, with the offered products.
func (s *Store) offersFor(db *gorm.DB, c *Cart) ([]OfferShown, error) {
	var offers []Offer
	if err := db.Where("merchant_id = ? AND active AND archived_at IS NULL", c.MerchantID).Order("id").Find(&offers).Error; err != nil {
		return nil, err
	}
	ids := make([]string, len(offers))
	for i := range offers {
		ids[i] = offers[i].ProductID
	}
	var products []Product
	if err := db.Preload("Prices").Where("merchant_id = ? AND id IN ?", c.MerchantID, ids).Find(&products).Error; err != nil {
		return nil, err
	}
	var out []OfferShown
	for _, o := range offers {
		i := slices.IndexFunc(products, func(p Product) bool { return p.ID == o.ProductID })
		if i < 0 || !sellable(&products[i], c, CartLine{}) {
			continue
		}
		full, _ := products[i].price(c.Currency)
		out = append(out, OfferShown{Offer: o, Product: &products[i], Price: full, OfferPrice: full - mulDiv(full, int64(o.PercentBP), 10_000)})
	}
	return out, nil
}
