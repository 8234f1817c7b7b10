package models

import (
	"maps"
	"slices"
	"strings"
	"time"

	"gorm.io/gorm"
)

// Every use of a coupon is a row of coupon_uses that was not released. Those of a coupon that has a limit are counted in coupon_counters
// besides, so that nobody has to count them all; the row of the counter is also what the orders that race for the last use wait for. Orders
// that use a coupon without a limit do not wait for each other. An order that is deleted unpaid releases its uses, and takes them again
// when it is revived.
//
// Whoever makes or releases uses holds their coupons together with others; whoever changes a coupon's limits holds it alone. So a limit
// that is set waits for the orders that know of none, they are all counted, and whoever comes later knows of it.

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
	CustomerEmail string // empty while the use is released: the order keeps it, or forgets it, for both
	CreatedAt     time.Time
	// ReleasedAt is when the order was deleted unpaid; nil while the use counts.
	ReleasedAt *time.Time
}

func (couponUse) TableName() string { return "coupon_uses" }

// limited reports whether the uses of a coupon are counted.
func (c *Coupon) limited() bool { return c.MaxUses != nil || c.MaxUsesPerCustomer != nil }

// isLimited is limited as SQL, on the coupons c.
const isLimited = `(c.max_uses IS NOT NULL OR c.max_uses_per_customer IS NOT NULL)`

// isCurrent is SQL for the uses that count.
const isCurrent = `released_at IS NULL`

// used is how many orders of a mode use a coupon.
func (c *Coupon) used(db *gorm.DB, test bool) (n int, err error) {
	// A counter is missing before the first order only, or where the limit is older than the counting.
	err = db.Raw(`SELECT COALESCE((SELECT used FROM coupon_counters WHERE coupon_id = ? AND test = ?),
		(SELECT COUNT(*) FROM coupon_uses WHERE coupon_id = ? AND test = ? AND `+isCurrent+`))`, c.ID, test, c.ID, test).Scan(&n).Error
	return n, err
}

// usable judges a coupon's limits without taking a use.
func (c *Coupon) usable(db *gorm.DB, test bool, email string) (CouponRefusal, error) {
	if c.MaxUses != nil {
		if used, err := c.used(db, test); err != nil {
			return "", err
		} else if used >= *c.MaxUses {
			return CouponUsedUp, nil
		}
	}
	return c.usableBy(db, test, email)
}

// usableBy judges a coupon's limit for one customer.
func (c *Coupon) usableBy(db *gorm.DB, test bool, email string) (CouponRefusal, error) {
	if c.MaxUsesPerCustomer == nil || email == "" {
		return "", nil
	}
	var n int64
	err := db.Model(&couponUse{}).Where("coupon_id = ? AND test = ? AND customer_email = ? AND "+isCurrent, c.ID, test, strings.ToLower(email)).Count(&n).Error
	if err == nil && n >= int64(*c.MaxUsesPerCustomer) {
		return CouponCustomer, nil
	}
	return "", err
}

// takeCoupons takes one use of each of a quote's coupons for an order, or none of any: then it returns one that does not apply any more,
// and why. The locks that it takes keep their order (see lockCounters), so it is called once, or again from a savepoint.
func (t *tx) takeCoupons(q *quote, o *Order) (*Coupon, CouponRefusal, error) {
	ids := make([]string, len(q.coupons))
	for i := range q.coupons {
		ids[i] = q.coupons[i].ID
	}
	if err := t.holdCoupons(ids); err != nil {
		return nil, "", err
	}
	var counters []couponCounter
	var current []Coupon // the limits that were quoted by may have changed
	err := together(t.DB,
		func(db *gorm.DB) *gorm.DB {
			return t.lockCounters(db.Where("coupon_id IN ? AND test = ?", ids, o.Test)).Find(&counters)
		},
		func(db *gorm.DB) *gorm.DB { return db.Where("id IN ?", ids).Order("id").Find(&current) },
	)
	if err != nil {
		return nil, "", err
	}
	for i := range current {
		c := &current[i]
		used := slices.IndexFunc(counters, func(n couponCounter) bool { return n.CouponID == c.ID })
		why := c.refusal(q.lines, o.Currency, t.now)
		left := c.usableBy
		if used < 0 { // it has no limit; or a process of a version that holds no coupons has just set the first one
			left = c.usable
		}
		switch {
		case !c.Active || c.ArchivedAt != nil:
			why = CouponUnknown
		case why == "" && used >= 0 && c.MaxUses != nil && counters[used].Used >= *c.MaxUses:
			why = CouponUsedUp
		case why == "":
			if why, err = left(t.DB, o.Test, o.CustomerEmail); err != nil {
				return nil, "", err
			}
		}
		if why != "" {
			return c, why, nil
		}
	}
	for i := range current {
		if err := t.addUse(&current[i], o); err != nil {
			return nil, "", err
		}
	}
	return nil, "", nil
}

func (t *tx) addUse(c *Coupon, o *Order) error {
	if c.limited() {
		if err := t.count(c.ID, o.Test, "used + 1"); err != nil {
			return err
		}
	}
	use := couponUse{c.ID, o.ID, o.Test, o.CustomerEmail, t.now, nil}
	return t.later(func(db *gorm.DB) *gorm.DB { return db.Create(&use) })
}

// count changes a coupon's counter, if it has one.
func (t *tx) count(id string, test bool, to string) error {
	return t.later(func(db *gorm.DB) *gorm.DB {
		return db.Model(&couponCounter{}).Where("coupon_id = ? AND test = ?", id, test).Update("used", gorm.Expr(to))
	})
}

// holdCoupons holds coupons until the transaction ends, together with others that do, and sees to it that those with a limit have their
// counters. It comes before uses of the coupons are made or released, and before their limits are read for that.
func (t *tx) holdCoupons(ids []string) error {
	if err := t.hold(ids, false); err != nil {
		return err
	}
	return t.makeCounters(ids)
}

func (t *tx) hold(ids []string, alone bool) error {
	statement := t.s.dialect.hold("coupons", alone)
	if statement == "" {
		return nil
	}
	return t.later(func(db *gorm.DB) *gorm.DB { return db.Exec(statement, ids) })
}

// makeCounters counts the uses of those of the coupons that have a limit but no counter. Nobody else can have changed any of them in a
// transaction that is still open: he would have made the counter himself, and an insert waits for another that inserts the same.
func (t *tx) makeCounters(ids []string) error {
	return t.later(func(db *gorm.DB) *gorm.DB {
		return db.Exec(`INSERT INTO coupon_counters (coupon_id, test, used)
			SELECT c.id, m.test, (SELECT COUNT(*) FROM coupon_uses u WHERE u.coupon_id = c.id AND u.test = m.test AND u.`+isCurrent+`)
			FROM coupons c CROSS JOIN (SELECT true AS test UNION ALL SELECT false) m
			WHERE c.id IN ? AND `+isLimited+` AND NOT EXISTS (SELECT 1 FROM coupon_counters n WHERE n.coupon_id = c.id AND n.test = m.test)
			ORDER BY c.id, m.test ON CONFLICT DO NOTHING`, ids)
	})
}

// recountCoupon counts the uses of a coupon anew, under the limits that it has now. It waits for the transactions that hold the coupon.
func (t *tx) recountCoupon(id string) error {
	if err := t.hold([]string{id}, true); err != nil {
		return err
	}
	if err := t.later(func(db *gorm.DB) *gorm.DB { return db.Where("coupon_id = ?", id).Delete(&couponCounter{}) }); err != nil {
		return err
	}
	return t.makeCounters([]string{id})
}

// lockCounters locks the counters that are asked for in the order of their ids: an order may use two coupons, and two orders that took
// them one by one in different orders would wait for each other.
func (t *tx) lockCounters(db *gorm.DB) *gorm.DB {
	return t.s.dialect.lock(db, "").Order("coupon_id, test")
}

// holdCouponsOf holds the coupons of locked orders and locks their counters, in the same order, for a transaction that is to release the uses
// or to take them again. It returns the uses.
func (t *tx) holdCouponsOf(orders ...Order) ([]couponUse, error) {
	ids := make([]string, len(orders))
	for i := range orders {
		ids[i] = orders[i].ID
	}
	var uses []couponUse
	if err := t.Where("order_id IN ?", ids).Order("coupon_id, order_id").Find(&uses).Error; err != nil || len(uses) == 0 {
		return nil, err
	}
	var coupons []string
	modes := map[bool]bool{}
	for _, u := range uses {
		coupons = append(coupons, u.CouponID)
		modes[u.Test] = true
	}
	coupons = slices.Compact(coupons)
	if err := t.holdCoupons(coupons); err != nil {
		return nil, err
	}
	var locked []couponCounter
	return uses, t.lockCounters(t.Where("coupon_id IN ? AND test IN ?", coupons, slices.Collect(maps.Keys(modes)))).Find(&locked).Error
}

// releaseCoupons gives back those of the uses, whose coupons are held, that an order has which is deleted unpaid.
func (t *tx) releaseCoupons(o *Order, uses []couponUse) error {
	for _, u := range uses {
		if u.OrderID != o.ID || u.ReleasedAt != nil {
			continue
		}
		// A counter that is too low already is for the doctor to find; the order is deleted all the same.
		if err := t.moveUse(u, &t.now, "", "CASE WHEN used > 0 THEN used - 1 ELSE 0 END"); err != nil {
			return err
		}
	}
	return nil
}

// retakeCoupons takes an order's uses again, whose prices it has kept. It asks for no limit, not even where others have taken the last use
// meanwhile: staff have decided that the order stands, and whoever comes later finds that all were used.
func (t *tx) retakeCoupons(o *Order) error {
	uses, err := t.holdCouponsOf(*o)
	if err != nil {
		return err
	}
	for _, u := range uses {
		if u.ReleasedAt == nil {
			continue
		}
		if err := t.moveUse(u, nil, o.CustomerEmail, "used + 1"); err != nil {
			return err
		}
	}
	return nil
}

// moveUse releases a use, or takes it again.
func (t *tx) moveUse(u couponUse, released *time.Time, email, used string) error {
	err := t.later(func(db *gorm.DB) *gorm.DB {
		return db.Model(&couponUse{}).Where("coupon_id = ? AND order_id = ?", u.CouponID, u.OrderID).
			Updates(map[string]any{"released_at": released, "customer_email": email})
	})
	if err != nil {
		return err
	}
	return t.count(u.CouponID, u.Test, used)
}
