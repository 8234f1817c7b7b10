package models

import (
	"context"
	"strings"
	"time"
)

// LicenseFound is a licence that a search by its key has found.
type LicenseFound struct {
	ID          string     `json:"id"`
	Key         string     `json:"key"`
	Status      string     `json:"status" enum:"active,revoked"`
	Unit        int        `json:"unit" doc:"Of the item's quantity, from 1."`
	Method      string     `json:"license_method"`
	Order       string     `json:"order"`
	OrderNumber string     `json:"order_number"`
	Item        string     `json:"item"`
	Product     string     `json:"product"`
	SKU         string     `json:"sku"`
	CreatedAt   time.Time  `json:"created_at"`
	DeliveredAt *time.Time `json:"delivered_at"`
	RevokedAt   *time.Time `json:"revoked_at"`
}

// maxLicensesFound bounds a search; a key is on one licence as a rule.
const maxLicensesFound = 100

// SearchLicenses finds a merchant's licences in one mode that have exactly this key, newest first.
func (s *Store) SearchLicenses(ctx context.Context, sc Scope, key string) ([]LicenseFound, error) {
	key = strings.TrimSpace(key)
	if key == "" || len(key) > maxLicenseKey {
		return nil, Invalid("key", "must be a licence key of 1 to %d bytes", maxLicenseKey)
	}
	db := s.read(ctx)
	var licenses []License
	if err := db.Where("merchant_id = ? AND fingerprint = ? AND test = ?", sc.MerchantID, s.keys.Fingerprint(key), sc.Test).
		Order("id DESC").Limit(maxLicensesFound).Find(&licenses).Error; err != nil {
		return nil, err
	}
	orders, items := make([]string, len(licenses)), make([]string, len(licenses))
	for i, l := range licenses {
		orders[i], items[i] = l.OrderID, l.ItemID
	}
	var numbers []Order
	if err := db.Select("id", "number").Where("id IN ?", orders).Find(&numbers).Error; err != nil {
		return nil, err
	}
	var skus []Item
	if err := db.Select("id", "sku").Where("id IN ?", items).Find(&skus).Error; err != nil {
		return nil, err
	}
	name := make(map[string]string, len(numbers)+len(skus))
	for i := range numbers {
		name[numbers[i].ID] = numbers[i].Number
	}
	for i := range skus {
		name[skus[i].ID] = skus[i].SKU
	}
	found := make([]LicenseFound, len(licenses))
	for i, l := range licenses {
		found[i] = LicenseFound{
			ID: l.ID, Key: key, Status: l.Status, Unit: l.Unit, Method: l.Method, Order: l.OrderID, OrderNumber: name[l.OrderID], Item: l.ItemID,
			Product: l.ProductID, SKU: name[l.ItemID], CreatedAt: l.CreatedAt, DeliveredAt: l.DeliveredAt, RevokedAt: l.RevokedAt,
		}
	}
	return found, nil
}
