package models

import "time"

// The kinds of special offers.
const (
	OfferAddon   = "addon"   // the product comes on top of the one that the offer is made for
	OfferReplace = "replace" // it takes that one's place
)

// Offer is a special offer: whoever has the trigger in the cart may take the product, for less if PercentBP is set.
type Offer struct {
	ID          string `gorm:"primaryKey"`
	MerchantID  string
	Kind        string
	TriggerID   string // the product whose buyers are made the offer
	ProductID   string // the product that is offered
	PercentBP   int    // what comes off its price, in hundredths of a percent
	Title       string
	Description string
	Active      bool
	CreatedAt   time.Time
	UpdatedAt   time.Time
	ArchivedAt  *time.Time
}
