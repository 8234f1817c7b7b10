package models

import (
	"encoding/json"
	"time"
)

// The licence generation methods.
const (
	MethodPool     = "pool"
	MethodTemplate = "template"
	MethodSigned   = "signed"
	MethodEmulator = "emulator"
)

// Product is something that a merchant sells.
type Product struct {
	ID            string `gorm:"primaryKey"`
	MerchantID    string
	SKU           string
	Name          string
	Description   string
	LicenseMethod string
	LicensePer    string // unit or item
	// License holds the method's own settings.
	License json.RawMessage `gorm:"serializer:json"`
	// SigningKey is the Ed25519 private key of the signed method, sealed with the product's id.
	SigningKey             []byte
	MinQuantity            int
	MaxQuantity            int
	ShowLicenseOnOrderPage bool
	EmailLicense           bool
	Active                 bool
	CreatedAt              time.Time
	UpdatedAt              time.Time
	ArchivedAt             *time.Time
	Prices                 []Price `gorm:"foreignKey:ProductID"`
}

// Price is a product's price in one currency, in minor units.
type Price struct {
	ProductID string `gorm:"primaryKey"`
	Currency  string `gorm:"primaryKey"`
	Amount    int64
}
