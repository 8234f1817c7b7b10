package models

import "time"

// DeliveryStatus is the state of one event's way to one endpoint.
type DeliveryStatus string

// The delivery statuses.
const (
	DeliveryPending   DeliveryStatus = "pending"
	DeliverySucceeded DeliveryStatus = "succeeded"
	DeliveryFailed    DeliveryStatus = "failed"    // every attempt failed, or the endpoint is gone
	DeliveryCancelled DeliveryStatus = "cancelled" // by an operator, or with its endpoint
)

// Delivery is one event on its way to one endpoint.
type Delivery struct {
	ID             string `gorm:"primaryKey"`
	MerchantID     string
	Test           bool
	EventID        string
	EndpointID     string
	JobID          string
	Status         DeliveryStatus
	Attempts       int
	ResponseStatus *int // of the last attempt that was answered
	CreatedAt      time.Time
	FinishedAt     *time.Time
}

// DeliveryAttempt is one try, kept for the merchant's developers to see.
type DeliveryAttempt struct {
	DeliveryID     string `gorm:"primaryKey"`
	Attempt        int    `gorm:"primaryKey;autoIncrement:false"`
	At             time.Time
	DurationMs     int
	ResponseStatus *int
	Error          *string // set when there was no answer, or none that counts as a success
	Response       string  // the first 2 KiB of the answer
}
