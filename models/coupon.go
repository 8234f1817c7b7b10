package models

import (
	"slices"
	"strings"
	"time"

	"gorm.io/gorm"
)

// Coupon is a discount, by code or automatic. Test and live mode share it; its counters are kept for each.
type Coupon struct {
	ID         string `gorm:"primaryKey"`
	MerchantID string
	// Code is in capitals; nil for a discount that applies by itself.
	Code *string
	Name string
	// PercentBP is in hundredths of a percent; nil for a fixed amount.
	PercentBP *int
	// Amounts are fixed amounts by currency, in minor units.
	Amounts map[string]int64 `gorm:"serializer:json"`
	// Products that it is for, by id; empty means all.
	Products           []string `gorm:"serializer:json"`
	StartsAt           *time.Time
	EndsAt             *time.Time // not any more at this time
	MaxUses            *int       // orders in a mode
	MaxUsesPerCustomer *int       // orders of one email address in a mode
	Active             bool
	CreatedAt          time.Time
	UpdatedAt          time.Time
	ArchivedAt         *time.Time
}

// CouponRefusal says why a coupon does not apply; the pages translate it.
type CouponRefusal string

// Why a coupon does not apply.
const (
	CouponUnknown  CouponRefusal = "unknown"
	CouponTooEarly CouponRefusal = "too_early"
	CouponExpired  CouponRefusal = "expired"
	CouponUsedUp   CouponRefusal = "used_up"
	CouponCustomer CouponRefusal = "used_by_customer"
	CouponProducts CouponRefusal = "products" // none of its products is in the cart
	CouponCurrency CouponRefusal = "currency" // it has no amount in this currency
)

// Message completes the sentence that the field begins.
func (r CouponRefusal) Message() string {
	switch r {
	case CouponTooEarly:
		return "is not valid yet"
	case CouponExpired:
		return "has expired"
	case CouponUsedUp:
		return "has been used as often as it may be"
	case CouponCustomer:
		return "has been used by this customer as often as it may be"
	case CouponProducts:
		return "does not apply to any of these products"
	case CouponCurrency:
		return "does not apply in this currency"
	}
	return "there is no such coupon"
}

// normalCode is how codes are kept and compared: without spaces around, in capitals.
func normalCode(code string) string { return strings.ToUpper(strings.TrimSpace(code)) }

// couponByCode finds the coupon of a code.
func couponByCode(db *gorm.DB, merchantID, code string) (*Coupon, error) {
	if code = normalCode(code); code == "" || len(code) > 100 || printable(code) != code {
		return nil, notFound("coupon")
	}
	var c Coupon
	err := db.Where("merchant_id = ? AND code = ? AND archived_at IS NULL AND active", merchantID, code).Take(&c).Error
	return &c, orNotFound(err, "coupon")
}

// refusal judges everything about a coupon but its limits.
func (c *Coupon) refusal(lines []pricedLine, currency string, now time.Time) CouponRefusal {
	switch {
	case c.StartsAt != nil && now.Before(*c.StartsAt):
		return CouponTooEarly
	case c.EndsAt != nil && !now.Before(*c.EndsAt):
		return CouponExpired
	case !slices.ContainsFunc(lines, func(l pricedLine) bool { return c.rule(currency).covers(l.product) }):
		return CouponProducts
	case c.PercentBP == nil && c.Amounts[currency] == 0:
		return CouponCurrency
	}
	return ""
}

func (c *Coupon) rule(currency string) discountRule {
	r := discountRule{products: c.Products, fixed: c.Amounts[currency]}
	if c.PercentBP != nil {
		r.percent, r.fixed = int64(*c.PercentBP), 0
	}
	return r
}

// automaticCoupons are the discounts that apply by themselves.
func automaticCoupons(db *gorm.DB, merchantID string) *gorm.DB {
	return db.Where("merchant_id = ? AND code IS NULL AND archived_at IS NULL AND active", merchantID).Order("id")
}
