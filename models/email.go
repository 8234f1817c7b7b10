package models

import "time"

// EmailKind names what an email is about.
type EmailKind string

// The kinds of emails.
const (
	EmailPaymentConfirmation EmailKind = "payment_confirmation"
	EmailLicense             EmailKind = "license_delivery"
	EmailReminder            EmailKind = "payment_reminder"
	EmailInstructions        EmailKind = "payment_instructions"
	EmailOrderLinks          EmailKind = "order_links"
	EmailPoolLow             EmailKind = "pool_low"
	EmailPoolEmpty           EmailKind = "pool_empty"
	EmailFulfillmentFailed   EmailKind = "fulfillment_failed"
)

// EmailStatus is the state of an email.
type EmailStatus string

// The email statuses.
const (
	EmailPending EmailStatus = "pending"
	EmailSent    EmailStatus = "sent"
	EmailFailed  EmailStatus = "failed"  // refused for good, or every attempt failed
	EmailSkipped EmailStatus = "skipped" // no longer wanted at the moment of sending
)

// Email is one email that is to be sent. The recipient and the text are derived when it is sent, so this row holds nothing
// personal.
type Email struct {
	ID         string `gorm:"primaryKey"`
	MerchantID string
	Test       bool
	Kind       EmailKind
	// Fact is unique: one email per order, item and kind, however many workers race.
	Fact       string
	OrderID    *string
	ItemID     *string
	ProductID  *string
	Stage      int // of a reminder: 0 is the first
	JobID      string
	Status     EmailStatus
	Error      *string
	CreatedAt  time.Time
	FinishedAt *time.Time
}
