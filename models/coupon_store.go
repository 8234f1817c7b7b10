package models

import (
	"context"
	"strings"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// CouponInput is a new coupon. Without a code it applies by itself.
type CouponInput struct {
	Code               string
	Name               string
	PercentBP          *int
	Amounts            map[string]int64
	Products           []string // ids or SKUs
	StartsAt, EndsAt   *time.Time
	MaxUses            *int
	MaxUsesPerCustomer *int
	Active             bool
}

// CouponPatch is a JSON merge patch of a coupon. What it takes off cannot change: orders have been made with it.
type CouponPatch struct {
	Name               Optional[string]    `json:"name"`
	StartsAt           Optional[time.Time] `json:"starts_at"`
	EndsAt             Optional[time.Time] `json:"ends_at"`
	MaxUses            Optional[int]       `json:"max_uses"`
	MaxUsesPerCustomer Optional[int]       `json:"max_uses_per_customer"`
	Active             Optional[bool]      `json:"active"`
}

// CouponView is a coupon as the API shows it.
type CouponView struct {
	ID                 string           `json:"id"`
	Code               *string          `json:"code" doc:"null for a discount that applies by itself."`
	Name               string           `json:"name"`
	PercentBP          *int             `json:"percent_bp" doc:"Hundredths of a percent; null for fixed amounts."`
	Amounts            map[string]int64 `json:"amounts" doc:"Fixed amounts by currency, in minor units."`
	Products           []string         `json:"products" doc:"The ids of the products that it is for; empty for all."`
	StartsAt           *time.Time       `json:"starts_at"`
	EndsAt             *time.Time       `json:"ends_at"`
	MaxUses            *int             `json:"max_uses"`
	MaxUsesPerCustomer *int             `json:"max_uses_per_customer"`
	Used               int64            `json:"used" doc:"How many orders of this mode use it."`
	Active             bool             `json:"active"`
	CreatedAt          time.Time        `json:"created_at"`
	UpdatedAt          time.Time        `json:"updated_at"`
	ArchivedAt         *time.Time       `json:"archived_at"`
}

func (c *Coupon) check() error {
	var bad invalids
	if c.Code != nil && (*c.Code == "" || len(*c.Code) > 40 || !skuPattern.MatchString(*c.Code)) {
		bad.add("code", "must have 1 to 40 letters, digits, dots, dashes or underscores")
	}
	if strings.TrimSpace(c.Name) == "" {
		bad.add("name", "must not be empty")
	}
	checkText(&bad, "name", c.Name, 100)
	if (c.PercentBP != nil) == (len(c.Amounts) > 0) {
		bad.add("percent_bp", "must be set, or else amounts")
	}
	if c.PercentBP != nil && (*c.PercentBP < 1 || *c.PercentBP > 10_000) {
		bad.add("percent_bp", "must be from 1 to 10000 hundredths of a percent")
	}
	for currency, amount := range c.Amounts {
		if !knownCurrency(currency) {
			bad.add("amounts", "must have ISO 4217 codes in capitals, such as EUR, as names")
		}
		if amount < 1 || amount > MaxAmount {
			bad.add("amounts."+shorten(printable(currency), 10), "must be from 1 to %d minor units", MaxAmount)
		}
	}
	if c.StartsAt != nil && c.EndsAt != nil && !c.EndsAt.After(*c.StartsAt) {
		bad.add("ends_at", "must be later than starts_at")
	}
	for _, limit := range []struct {
		field string
		n     *int
	}{{"max_uses", c.MaxUses}, {"max_uses_per_customer", c.MaxUsesPerCustomer}} {
		if limit.n != nil && (*limit.n < 1 || *limit.n > 1_000_000_000) {
			bad.add(limit.field, "must be at least 1")
		}
	}
	return bad.err()
}

// CreateCoupon adds a coupon. Its code must not be in use.
func (s *Store) CreateCoupon(ctx context.Context, sc Scope, in CouponInput) (*CouponView, error) {
	c := &Coupon{
		ID: newID("cpn"), MerchantID: sc.MerchantID, Name: strings.TrimSpace(in.Name), PercentBP: in.PercentBP, Amounts: in.Amounts,
		StartsAt: utc(in.StartsAt), EndsAt: utc(in.EndsAt), MaxUses: in.MaxUses, MaxUsesPerCustomer: in.MaxUsesPerCustomer, Active: in.Active,
	}
	if code := normalCode(in.Code); code != "" {
		c.Code = &code
	}
	if c.Amounts == nil {
		c.Amounts = map[string]int64{}
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	err := s.write(ctx, func(t *tx) (err error) {
		if err := t.sharedWriter(sc); err != nil {
			return err
		}
		if c.Products, err = t.productIDs(sc, in.Products, "products"); err != nil {
			return err
		}
		c.CreatedAt, c.UpdatedAt = t.now, t.now
		res := t.Clauses(clause.OnConflict{DoNothing: true}).Create(c)
		if res.Error == nil && res.RowsAffected == 0 {
			return conflict("There is a coupon with the code %s already.", *c.Code)
		}
		return res.Error
	})
	if err != nil {
		return nil, err
	}
	return s.couponView(ctx, sc, c)
}

func utc(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	u := t.UTC().Truncate(time.Microsecond)
	return &u
}

// productIDs finds the ids of products named by id or SKU.
func (t *tx) productIDs(sc Scope, names []string, field string) ([]string, error) {
	ids := make([]string, len(names))
	for i, name := range names {
		p, err := findProduct(t.DB, sc, name)
		if CodeOf(err) == CodeNotFound {
			return nil, Invalid(field+"["+itoa(i)+"]", "there is no such product")
		}
		if err != nil {
			return nil, err
		}
		ids[i] = p.ID
	}
	return ids, nil
}

func (s *Store) couponView(ctx context.Context, sc Scope, c *Coupon) (*CouponView, error) {
	v := &CouponView{
		ID: c.ID, Code: c.Code, Name: c.Name, PercentBP: c.PercentBP, Amounts: c.Amounts, Products: c.Products, StartsAt: c.StartsAt, EndsAt: c.EndsAt,
		MaxUses: c.MaxUses, MaxUsesPerCustomer: c.MaxUsesPerCustomer, Active: c.Active, CreatedAt: c.CreatedAt, UpdatedAt: c.UpdatedAt, ArchivedAt: c.ArchivedAt,
	}
	return v, s.read(ctx).Model(&couponUse{}).Where("coupon_id = ? AND test = ? AND "+isCurrent, c.ID, sc.Test).Count(&v.Used).Error
}

func findCoupon(db *gorm.DB, sc Scope, id string) (*Coupon, error) {
	if !isID(id, "cpn") {
		return nil, notFound("coupon")
	}
	var c Coupon
	err := db.Where("id = ? AND merchant_id = ?", id, sc.MerchantID).Take(&c).Error
	return &c, orNotFound(err, "coupon")
}

// CouponByID returns a coupon with the uses of the scope's mode.
func (s *Store) CouponByID(ctx context.Context, sc Scope, id string) (*CouponView, error) {
	c, err := findCoupon(s.read(ctx), sc, id)
	if err != nil {
		return nil, err
	}
	return s.couponView(ctx, sc, c)
}

// Coupons lists a merchant's coupons, newest first.
func (s *Store) Coupons(ctx context.Context, sc Scope, page Page) ([]*CouponView, string, error) {
	q := s.read(ctx).Where("merchant_id = ? AND archived_at IS NULL", sc.MerchantID)
	rows, next, err := paginate(q, page, func(c *Coupon) string { return c.ID })
	if err != nil {
		return nil, "", err
	}
	views := make([]*CouponView, len(rows))
	for i := range rows {
		if views[i], err = s.couponView(ctx, sc, &rows[i]); err != nil {
			return nil, "", err
		}
	}
	return views, next, nil
}

// UpdateCoupon changes when and how often a coupon may be used.
func (s *Store) UpdateCoupon(ctx context.Context, sc Scope, id string, patch CouponPatch) (*CouponView, error) {
	return s.changeCoupon(ctx, sc, id, func(c *Coupon, bad *invalids) {
		patch.Name.require(&c.Name, "name", bad)
		patch.Active.require(&c.Active, "active", bad)
		applyPointer(patch.StartsAt, &c.StartsAt)
		applyPointer(patch.EndsAt, &c.EndsAt)
		c.StartsAt, c.EndsAt = utc(c.StartsAt), utc(c.EndsAt)
		applyPointer(patch.MaxUses, &c.MaxUses)
		applyPointer(patch.MaxUsesPerCustomer, &c.MaxUsesPerCustomer)
	})
}

// ArchiveCoupon ends a coupon for good and frees its code. Orders that use it keep their prices.
func (s *Store) ArchiveCoupon(ctx context.Context, sc Scope, id string) (*CouponView, error) {
	return s.changeCoupon(ctx, sc, id, func(c *Coupon, _ *invalids) {
		now := s.now()
		if c.ArchivedAt == nil {
			c.ArchivedAt = &now
		}
		c.Active = false
	})
}

func (s *Store) changeCoupon(ctx context.Context, sc Scope, id string, change func(*Coupon, *invalids)) (*CouponView, error) {
	var c *Coupon
	err := s.write(ctx, func(t *tx) (err error) {
		if err := t.sharedWriter(sc); err != nil {
			return err
		}
		if c, err = findCoupon(s.dialect.lock(t.DB, ""), sc, id); err != nil {
			return err
		}
		var bad invalids
		change(c, &bad)
		if err := bad.err(); err != nil {
			return err
		}
		if err := c.check(); err != nil {
			return err
		}
		c.UpdatedAt = t.now
		err = t.Model(c).Select("name", "starts_at", "ends_at", "max_uses", "max_uses_per_customer", "active", "updated_at", "archived_at").Updates(c).Error
		if err != nil {
			return err
		}
		return t.recountCoupon(id)
	})
	if err != nil {
		return nil, err
	}
	return s.couponView(ctx, sc, c)
}

// applyPointer writes a patch to a field whose default is to be absent.
func applyPointer[T any](o Optional[T], field **T) {
	switch {
	case o.Null:
		*field = nil
	case o.Set:
		v := o.Value
		*field = &v
	}
}
