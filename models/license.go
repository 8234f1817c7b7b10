package models

import "time"

// Licence statuses.
const (
	LicenseActive  = "active"
	LicenseRevoked = "revoked"
)

// License is what a customer received for one unit, or for a whole item.
type License struct {
	ID         string `gorm:"primaryKey"`
	MerchantID string
	Test       bool
	OrderID    string
	ItemID     string
	ProductID  string
	Unit       int // 1 to the item's quantity; 1 for a licence per item
	Method     string
	// Ciphertext is the key, sealed with the licence's id; Fingerprint finds it.
	Ciphertext  []byte
	Fingerprint string
	PoolKeyID   *string
	Status      string
	CreatedAt   time.Time
	DeliveredAt *time.Time // when it was sent, or the item was delivered without an email
	RevokedAt   *time.Time
}

// mask keeps the last four characters of a licence key, for stored events.
func mask(key string) string {
	if len(key) <= 8 {
		return "****"
	}
	return "****" + key[len(key)-4:]
}
