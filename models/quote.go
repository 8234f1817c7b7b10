package models

import (
	"slices"

	"gorm.io/gorm"
)

// quoteLine is one line that is to be priced.
type quoteLine struct {
	Product  *Product
	Quantity int
	// UnitPrice overrides the product's price, on a signed link.
	UnitPrice *int64
	// Name overrides the product's name, on a signed link.
	Name  string
	Offer *Offer
}

// quoteRequest is what an order's prices depend on.
type quoteRequest struct {
	Scope    Scope
	Currency string
	Lines    []quoteLine
	Coupon   string
	Customer Customer
	Tax      Tax
	// Automatic are the coupons that apply by themselves.
	Automatic []Coupon
	// without are automatic coupons that turned out to be used up.
	without []string
}

// quote is what an order costs. The checkout page shows it and the order is made of it, by the same function.
type quote struct {
	totals
	lines        []pricedLine
	taxInclusive bool
	// coupons are those that apply: the automatic one that takes most off, and the one of the code.
	coupons []Coupon
	// refusal says why the code does not apply.
	refusal CouponRefusal
}

// quoteFor prices lines. Every line has a price in the currency: the caller has seen to that.
func quoteFor(db *gorm.DB, s *Store, r quoteRequest) (*quote, error) {
	q := &quote{taxInclusive: r.Tax.Inclusive}
	for _, l := range r.Lines {
		amount, _ := l.Product.price(r.Currency)
		if l.UnitPrice != nil {
			amount = *l.UnitPrice
		}
		p := pricedLine{product: l.Product.ID, unitPrice: amount, quantity: int64(l.Quantity)}
		if l.Offer != nil {
			p.offer = int64(l.Offer.PercentBP)
		}
		q.lines = append(q.lines, p)
	}
	now := s.now()
	var best *Coupon
	var most int64
	for i := range r.Automatic {
		c := &r.Automatic[i]
		if slices.Contains(r.without, c.ID) || c.refusal(q.lines, r.Currency, now) != "" {
			continue
		}
		if refusal, err := c.usable(db, r.Scope.Test, r.Customer.Email); err != nil {
			return nil, err
		} else if refusal != "" {
			continue
		}
		if off := price(q.lines, []discountRule{c.rule(r.Currency)}, taxRule{}).discount; off > most {
			best, most = c, off
		}
	}
	if best != nil {
		q.coupons = append(q.coupons, *best)
	}
	if r.Coupon != "" {
		c, err := couponByCode(db, r.Scope.MerchantID, r.Coupon)
		switch {
		case CodeOf(err) == CodeNotFound:
			q.refusal = CouponUnknown
		case err != nil:
			return nil, err
		default:
			if q.refusal = c.refusal(q.lines, r.Currency, now); q.refusal == "" {
				if q.refusal, err = c.usable(db, r.Scope.Test, r.Customer.Email); err != nil {
					return nil, err
				}
			}
			if q.refusal == "" {
				q.coupons = append(q.coupons, *c)
			}
		}
	}
	rules := make([]discountRule, len(q.coupons))
	for i := range q.coupons {
		rules[i] = q.coupons[i].rule(r.Currency)
	}
	q.totals = price(q.lines, rules, r.Tax.rule(r.Customer))
	return q, nil
}

// rule is the tax of a customer: the rate of the country, or none for a business elsewhere with a VAT number, which owes the tax
// itself.
func (v Tax) rule(c Customer) taxRule {
	if c.Type == "business" && c.VATNumber != "" && c.Country != v.Country {
		return taxRule{inclusive: v.Inclusive}
	}
	for _, r := range v.Rates {
		if r.Country == c.Country {
			return taxRule{rate: int64(r.RateBP), inclusive: v.Inclusive}
		}
	}
	return taxRule{inclusive: v.Inclusive}
}
