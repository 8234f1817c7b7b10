package models

import (
	"time"
)

// Scope is whose objects a request may see: one merchant's, in one mode.
type Scope struct {
	MerchantID string
	Test       bool
}

// Merchant is a seller that the installation serves.
type Merchant struct {
	ID    string `gorm:"primaryKey"`
	Slug  string
	Name  string
	Email string
	// Live is false while the merchant's hosted pages make test orders.
	Live bool
	// AllowPrivateTargets lets webhooks reach the private networks that the operator allows.
	AllowPrivateTargets bool
	Settings            Settings `gorm:"serializer:json"`
	// DeleteUnpaidAfterS repeats the setting in seconds, for the query that finds expired orders.
	DeleteUnpaidAfterS int64
	CreatedAt          time.Time
	UpdatedAt          time.Time
}
