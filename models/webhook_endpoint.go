package models

import "time"

// WebhookEndpoint is an address of the merchant's that is told of events.
type WebhookEndpoint struct {
	ID         string `gorm:"primaryKey"`
	MerchantID string
	Test       bool
	URL        string
	// Events are types, prefixes such as order.*, or * for all.
	Events      []string `gorm:"serializer:json"`
	Format      string
	Description string
	// Secret is the signing secret, sealed with the endpoint's id.
	Secret []byte
	// IncludeLicenseKeys puts the licence keys, masked in stored events, into the body when sending.
	IncludeLicenseKeys bool
	Status             string // enabled or disabled
	CreatedAt          time.Time
	UpdatedAt          time.Time
	DeletedAt          *time.Time
}
