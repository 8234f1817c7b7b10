package models

import "time"

// PaymentStatus is the state of a payment; see order_state.go for its moves.
type PaymentStatus string

// The payment statuses.
const (
	PaymentPending        PaymentStatus = "pending"
	PaymentRequiresAction PaymentStatus = "requires_action"
	PaymentProcessing     PaymentStatus = "processing"
	PaymentSucceeded      PaymentStatus = "succeeded"
	PaymentFailed         PaymentStatus = "failed"
	PaymentCancelled      PaymentStatus = "cancelled"
)

// Payment is one attempt to pay an order.
type Payment struct {
	ID             string `gorm:"primaryKey"`
	OrderID        string
	MerchantID     string
	Test           bool
	Method         string
	Gateway        string
	Status         PaymentStatus
	Amount         int64 // minor units
	Currency       string
	Reference      string  // the gateway's
	FailureCode    *string // set when failed
	FailureMessage *string
	// Token makes the address of the test gateway's page unguessable.
	Token string
	// RequestID ties the payment to the idempotent request that made it.
	RequestID *string
	// Applied is true for the one payment that made its order paid.
	Applied   bool
	CreatedAt time.Time
	UpdatedAt time.Time
}
