package models

import (
	"errors"
	"slices"
	"strings"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
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

type couponCounter struct {
	CouponID string `gorm:"primaryKey"`
	Test     bool   `gorm:"primaryKey"`
	Used     int
}

func (couponCounter) TableName() string { return "coupon_counters" }

type couponUse struct {
	CouponID      string `gorm:"primaryKey"`
	OrderID       string `gorm:"primaryKey"`
	Test          bool
	CustomerEmail string
	CreatedAt     time.Time
}

func (couponUse) TableName() string { return "coupon_uses" }

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

// refusal judges everything about a coupon but its counters.
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

// usable judges a coupon's counters without taking a use.
func (c *Coupon) usable(db *gorm.DB, test bool, email string) (CouponRefusal, error) {
	if c.MaxUses != nil {
		var counter couponCounter
		err := db.Where("coupon_id = ? AND test = ?", c.ID, test).Take(&counter).Error
		if err != nil && !errors.Is(err, gorm.ErrRecordNotFound) {
			return "", err
		}
		if counter.Used >= *c.MaxUses {
			return CouponUsedUp, nil
		}
	}
	if c.MaxUsesPerCustomer != nil && email != "" {
		var n int64
		if err := db.Model(&couponUse{}).Where("coupon_id = ? AND test = ? AND customer_email = ?", c.ID, test, strings.ToLower(email)).Count(&n).Error; err != nil {
			return "", err
		}
		if n >= int64(*c.MaxUsesPerCustomer) {
			return CouponCustomer, nil
		}
	}
	return "", nil
}

// takeCoupon takes one use of a coupon for an order. The counter's row is locked by its update until the transaction ends, so
// however many customers race, no limit is passed.
func (t *tx) takeCoupon(c *Coupon, o *Order) (CouponRefusal, error) {
	if c.MaxUses == nil && c.MaxUsesPerCustomer == nil {
		return "", t.Create(&couponUse{c.ID, o.ID, o.Test, o.CustomerEmail, t.now}).Error
	}
	q := t.Model(&couponCounter{}).Where("coupon_id = ? AND test = ?", c.ID, o.Test)
	if c.MaxUses != nil {
		q = q.Where("used < ?", *c.MaxUses)
	}
	res := q.Update("used", gorm.Expr("used + 1"))
	if res.Error != nil {
		return "", res.Error
	}
	if res.RowsAffected == 0 {
		return CouponUsedUp, nil
	}
	perCustomer := *c
	perCustomer.MaxUses = nil
	refusal, err := perCustomer.usable(t.DB, o.Test, o.CustomerEmail)
	if err != nil {
		return "", err
	}
	if refusal != "" {
		return refusal, t.Model(&couponCounter{}).Where("coupon_id = ? AND test = ?", c.ID, o.Test).Update("used", gorm.Expr("used - 1")).Error
	}
	return "", t.Create(&couponUse{c.ID, o.ID, o.Test, o.CustomerEmail, t.now}).Error
}

// lockCounters makes and locks the counters of limited coupons, in the order of their ids: an order may use two of them, and two orders that
// took them one by one in different orders would wait for each other.
func (t *tx) lockCounters(coupons []Coupon, test bool) error {
	var counters []couponCounter
	for i := range coupons {
		if coupons[i].MaxUses != nil || coupons[i].MaxUsesPerCustomer != nil {
			counters = append(counters, couponCounter{CouponID: coupons[i].ID, Test: test})
		}
	}
	if len(counters) == 0 {
		return nil
	}
	slices.SortFunc(counters, func(a, b couponCounter) int { return strings.Compare(a.CouponID, b.CouponID) })
	// An insert waits for another that inserts the same, so both have to keep to the order.
	if err := t.Clauses(clause.OnConflict{DoNothing: true}).Create(&counters).Error; err != nil {
		return err
	}
	ids := make([]string, len(counters))
	for i := range counters {
		ids[i] = counters[i].CouponID
	}
	var locked []couponCounter
	return t.s.dialect.lock(t.DB, "").Where("coupon_id IN ? AND test = ?", ids, test).Order("coupon_id").Find(&locked).Error
}

// lockCountersOf locks the counters of the coupons that orders use, in the same order, for a transaction that is to give all of them back.
func (t *tx) lockCountersOf(orders []Order) error {
	ids := make([]string, len(orders))
	for i := range orders {
		ids[i] = orders[i].ID
	}
	var locked []couponCounter
	return t.s.dialect.lock(t.DB, "").Where(`EXISTS (SELECT 1 FROM coupon_uses AS u WHERE u.coupon_id = coupon_counters.coupon_id
		AND u.test = coupon_counters.test AND u.order_id IN ?)`, ids).Order("coupon_id, test").Find(&locked).Error
}

// releaseCoupons gives back the uses of an order that was deleted unpaid.
func (t *tx) releaseCoupons(o *Order) error {
	var uses []couponUse
	if err := t.Where("order_id = ?", o.ID).Order("coupon_id").Find(&uses).Error; err != nil {
		return err
	}
	for _, u := range uses {
		if err := t.Where("coupon_id = ? AND order_id = ?", u.CouponID, u.OrderID).Delete(&couponUse{}).Error; err != nil {
			return err
		}
		if err := t.Model(&couponCounter{}).Where("coupon_id = ? AND test = ? AND used > 0", u.CouponID, u.Test).
			Update("used", gorm.Expr("used - 1")).Error; err != nil {
			return err
		}
	}
	return nil
}

// automaticCoupons are the discounts that apply by themselves.
func automaticCoupons(db *gorm.DB, merchantID string) *gorm.DB {
	return db.Where("merchant_id = ? AND code IS NULL AND archived_at IS NULL AND active", merchantID).Order("id")
}
