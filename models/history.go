package models

import "time"

// Actors who cause changes, beside people and keys, whose actor is their kind and id (api_key:key_…, operator:acc_…).
const (
	actorWorker    = "worker"
	actorScheduler = "scheduler"
	actorCustomer  = "customer"
)

// History is one line of what happened to an order and who or what caused it.
type History struct {
	ID         string `gorm:"primaryKey"`
	MerchantID string
	OrderID    string
	At         time.Time
	Kind       string // order.created, order.paid, payment.failed, item.failed, …
	Actor      string
	Summary    string
	Detail     map[string]any `gorm:"serializer:json"`
}

// TableName keeps GORM from calling the table histories.
func (History) TableName() string { return "history" }

// note adds a line to the order's history. It must not hold licence keys or personal data.
func (t *tx) note(o *Order, kind, actor, summary string, detail map[string]any) {
	if detail == nil {
		detail = map[string]any{}
	}
	t.history = append(t.history, History{
		ID: newID("his"), MerchantID: o.MerchantID, OrderID: o.ID, At: t.now, Kind: kind, Actor: actor, Summary: summary, Detail: detail,
	})
}
