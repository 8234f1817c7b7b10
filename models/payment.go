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
	// MethodID is the merchant's payment method; empty for the test gateway.
	MethodID *string
	// RedirectURL is where the customer goes on while the status is requires_action.
	RedirectURL *string
	// Instructions tell the customer how to pay by an offline method.
	Instructions *Instructions `gorm:"serializer:json"`
	// AmountReceived and ReceivedCurrency are set when they are not what was asked for.
	AmountReceived   *int64
	ReceivedCurrency *string
	Note             string // of whoever marked it paid
	// Applied is true for the one payment that made its order paid.
	Applied   bool
	CreatedAt time.Time
	UpdatedAt time.Time
}

// Instructions tell a customer how to pay by bank transfer.
type Instructions struct {
	AccountHolder string `json:"account_holder"`
	IBAN          string `json:"iban"`
	BIC           string `json:"bic"`
	BankName      string `json:"bank_name"`
	// Reference is the RF creditor reference that the customer has to quote.
	Reference string `json:"reference"`
	Amount    int64  `json:"amount"`
	Currency  string `json:"currency"`
	Text      string `json:"text"`
}
