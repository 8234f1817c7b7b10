package models

import (
	"context"
	"errors"
	"slices"

	"gorm.io/gorm"
)

// EditCart changes one cart of a visitor under its lock, as ChangeCart does but never making a new one. A cart that has become an
// order stays as it is. not_found: it is none of the visitor's in this scope.
func (s *Store) EditCart(ctx context.Context, sc Scope, visitor, id string, change func(*CartContent)) error {
	return s.write(ctx, func(t *tx) error {
		c, err := t.cartOf(sc, visitor, id)
		if err != nil || c.OrderID != nil {
			return err
		}
		return t.changeCart(c, change)
	})
}

// LeaveLink takes out of a cart what only its signed link allowed: lines with a price of their own, and names. It is for carts
// whose order was refused with ErrLinkOver.
func (s *Store) LeaveLink(ctx context.Context, sc Scope, visitor, id string) error {
	return s.EditCart(ctx, sc, visitor, id, func(c *CartContent) {
		c.Lines = slices.DeleteFunc(c.Lines, func(l CartLine) bool { return l.UnitPrice != nil })
		for i := range c.Lines {
			c.Lines[i].Name = ""
		}
		c.unlinked = true
	})
}

// Clear takes every product out, and the promotion code. The cart no longer belongs to the signed link that it came by.
func (c *CartContent) Clear() {
	c.Lines, c.Coupon, c.Declined, c.unlinked = nil, "", nil, true
}

// LatestOrder is the order that a visitor's carts in a scope last became, nil for none, and where the visitor came from to buy it,
// empty where that is not known.
func (s *Store) LatestOrder(ctx context.Context, sc Scope, visitor string) (o *OrderView, shop string, err error) {
	var c Cart
	err = s.read(ctx).Where("visitor = ? AND merchant_id = ? AND test = ? AND order_id IS NOT NULL", visitor, sc.MerchantID, sc.Test).
		Order("updated_at DESC").Take(&c).Error
	if errors.Is(err, gorm.ErrRecordNotFound) {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", err
	}
	o, err = s.Order(ctx, sc, *c.OrderID)
	return o, c.Content.Shop, err
}

// ForSale returns a product that can be bought on its merchant's hosted pages, by its id alone: ids are unique over all merchants.
// not_found covers everything that is not for sale there now; with it comes the merchant whose product it is or was, if there is one.
func (s *Store) ForSale(ctx context.Context, id string) (*Merchant, *Product, error) {
	if !isID(id, "prd") {
		return nil, nil, notFound("product")
	}
	return s.forSale(ctx, s.read(ctx).Where("id = ?", id))
}

// ForSaleBySKU is ForSale by the merchant's slug and the product's SKU.
func (s *Store) ForSaleBySKU(ctx context.Context, slug, sku string) (*Merchant, *Product, error) {
	m, err := s.MerchantBySlug(ctx, slug)
	if err != nil {
		return nil, nil, err
	}
	if !skuPattern.MatchString(sku) {
		return m, nil, notFound("product")
	}
	_, p, err := s.forSale(ctx, s.read(ctx).Where("merchant_id = ? AND sku = ?", m.ID, sku))
	return m, p, err
}

func (s *Store) forSale(ctx context.Context, q *gorm.DB) (*Merchant, *Product, error) {
	var p Product
	if err := q.Preload("Prices", byCurrency).Order("archived_at IS NOT NULL").Take(&p).Error; err != nil {
		return nil, nil, orNotFound(err, "product")
	}
	m, err := s.Merchant(ctx, p.MerchantID)
	if err != nil {
		return nil, nil, err
	}
	if p.ArchivedAt != nil || !p.Active || len(p.Prices) == 0 || p.LicenseMethod == MethodEmulator && m.Live {
		return m, nil, notFound("product")
	}
	return m, &p, nil
}

// HasPrice reports whether the product is sold in a currency.
func (p *Product) HasPrice(currency string) bool {
	_, ok := p.price(currency)
	return ok
}
