package models

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"gorm.io/gorm"

	"github.com/purser-dev/purser/jobs"
)

// The event types that Purser emits. A merchant's own begin with custom.
const (
	EventOrderCreated      = "order.created"
	EventOrderDelivered    = "order.delivered"
	EventOrderDeleted      = "order.deleted"
	EventOrderRevived      = "order.revived"
	EventRefundRequested   = "refund.requested"
	EventPaymentSucceeded  = "payment.succeeded"
	EventPaymentFailed     = "payment.failed"
	EventPaymentLate       = "payment.late"
	EventPaymentMismatch   = "payment.mismatch"
	EventProductDelivered  = "product.delivered"
	EventFulfillmentFailed = "fulfillment.failed"
	EventPoolLow           = "license.pool_low"
	EventPoolEmpty         = "license.pool_empty"
	EventEndpointTest      = "webhook_endpoint.test"
	customEventPrefix      = "custom."
)

// EventTypes lists every type that an endpoint may subscribe to by name.
var EventTypes = []string{
	EventOrderCreated, EventPaymentSucceeded, EventPaymentFailed, EventProductDelivered, EventOrderDelivered, "product.returned",
	EventOrderDeleted, "order.revived", EventFulfillmentFailed, "refund.requested", "refund.completed", "refund.declined", "license.revoked",
	EventPoolLow, EventPoolEmpty, EventPaymentLate, EventPaymentMismatch, "webhook_endpoint.disabled",
}

// Event is a fact that merchants are told about. It is written in the transaction that made it true.
type Event struct {
	ID         string `gorm:"primaryKey"`
	MerchantID string
	Test       bool
	Type       string
	OrderID    *string
	// Fact identifies what happened, so that one fact has one event however often it is written.
	Fact string
	// Data is the body's data member, with licence keys masked.
	Data      RawJSON
	CreatedAt time.Time
}

// RawJSON is JSON text that is stored as it is.
type RawJSON string

// MarshalJSON returns the text itself.
func (r RawJSON) MarshalJSON() ([]byte, error) {
	if r == "" {
		return []byte("null"), nil
	}
	return []byte(r), nil
}

// UnmarshalJSON keeps the text itself, which is also how pgx reads a column of type json.
func (r *RawJSON) UnmarshalJSON(text []byte) error {
	*r = RawJSON(text)
	return nil
}

// emit records a fact and stages its delivery to every endpoint that is subscribed to it now. It returns the event's id.
func (t *tx) emit(sc Scope, kind, fact string, orderID *string, data any) (string, error) {
	body, err := json.Marshal(data)
	if err != nil {
		return "", err
	}
	e := Event{
		ID: newID("evt"), MerchantID: sc.MerchantID, Test: sc.Test, Type: kind, OrderID: orderID, Fact: fact,
		Data: RawJSON(body), CreatedAt: t.now,
	}
	t.events = append(t.events, e)
	endpoints, err := t.endpointsOf(sc)
	if err != nil {
		return "", err
	}
	for i := range endpoints {
		if endpoints[i].wants(kind) {
			t.deliver(&e, &endpoints[i])
		}
	}
	return e.ID, nil
}

// deliver stages the delivery of one event to one endpoint.
func (t *tx) deliver(e *Event, w *WebhookEndpoint) string {
	d := Delivery{
		ID: newID("dlv"), MerchantID: e.MerchantID, Test: e.Test, EventID: e.ID, EndpointID: w.ID,
		Status: DeliveryPending, CreatedAt: t.now,
	}
	d.JobID = t.stageDelivery(&d, e)
	t.deliveries = append(t.deliveries, d)
	return d.ID
}

// stageDelivery stages the job that takes an event to an endpoint.
func (t *tx) stageDelivery(d *Delivery, e *Event) (job string) {
	args := JobArgs{Delivery: d.ID, Errand: jobs.Errand{Server: d.EndpointID, Merchant: d.MerchantID}}
	return t.stage(jobs.KindDeliver, Job{Args: args, OrderID: e.OrderID, MerchantID: &e.MerchantID})
}

// endpointsOf narrows a query to the endpoints of a scope that get what happens now.
func endpointsOf(db *gorm.DB, sc Scope) *gorm.DB {
	return subscribed(db).Where("merchant_id = ? AND test = ?", sc.MerchantID, sc.Test)
}

func subscribed(db *gorm.DB) *gorm.DB {
	return db.Where("deleted_at IS NULL AND status = 'enabled'").Order("id")
}

// subscribe keeps the endpoints of a scope for the events of the transaction.
func (t *tx) subscribe(sc Scope, endpoints []WebhookEndpoint) {
	if t.endpoints == nil {
		t.endpoints = map[Scope][]WebhookEndpoint{}
	}
	t.endpoints[sc] = endpoints
}

func (t *tx) endpointsOf(sc Scope) ([]WebhookEndpoint, error) {
	if known, ok := t.endpoints[sc]; ok {
		return known, nil
	}
	var found []WebhookEndpoint
	if err := endpointsOf(t.DB, sc).Find(&found).Error; err != nil {
		return nil, err
	}
	t.subscribe(sc, found)
	return found, nil
}

// wants reports whether the endpoint is subscribed to a type: by name, by a prefix such as order.*, or to all by *.
func (w *WebhookEndpoint) wants(kind string) bool {
	return slices.ContainsFunc(w.Events, func(pattern string) bool {
		if prefix, ok := strings.CutSuffix(pattern, "*"); ok {
			return strings.HasPrefix(kind, prefix)
		}
		return pattern == kind
	})
}
