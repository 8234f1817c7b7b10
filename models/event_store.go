package models

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"gorm.io/gorm"
)

// maxEventData bounds the data of a merchant's own event, in bytes.
const maxEventData = 64 << 10

// EventView is an event as the API shows it: the body that endpoints get, and the order that it is about.
type EventView struct {
	ID        string          `json:"id"`
	Type      string          `json:"type"`
	Timestamp time.Time       `json:"timestamp"`
	Test      bool            `json:"test"`
	Order     *string         `json:"order"`
	Data      json.RawMessage `json:"data" doc:"Licence keys are masked."`
}

func (e *Event) view() *EventView {
	return &EventView{e.ID, e.Type, e.CreatedAt, e.Test, e.OrderID, json.RawMessage(e.Data)}
}

// newEvent makes an event that happens once, as each of its kind does when somebody asks for one.
func newEvent(t *tx, sc Scope, kind string, data any) (*Event, error) {
	body, err := json.Marshal(data)
	if err != nil {
		return nil, err
	}
	id := newID("evt")
	return &Event{ID: id, MerchantID: sc.MerchantID, Test: sc.Test, Type: kind, Fact: id, Data: RawJSON(body), CreatedAt: t.now}, nil
}

// CreateCustomEvent sends a merchant's own event to those of its endpoints that are subscribed to it. The type begins with custom.
// and data is a JSON object.
func (s *Store) CreateCustomEvent(ctx context.Context, sc Scope, kind string, data RawJSON) (*EventView, error) {
	var bad invalids
	if len(kind) > maxEventType || !customType.MatchString(kind) {
		bad.add("type", "must be custom. and lower-case words with dots between them, such as custom.license.activated, of at most %d characters", maxEventType)
	}
	var compact bytes.Buffer
	switch {
	case len(data) > maxEventData:
		bad.add("data", "may have at most %d bytes", maxEventData)
	case !utf8.ValidString(string(data)) || json.Compact(&compact, []byte(data)) != nil || compact.Bytes()[0] != '{':
		bad.add("data", "must be a JSON object")
	}
	if err := bad.err(); err != nil {
		return nil, err
	}
	var view *EventView
	err := s.write(ctx, func(t *tx) error {
		e, err := newEvent(t, sc, kind, json.RawMessage(compact.Bytes()))
		if err != nil {
			return err
		}
		subscribers, err := t.endpointsOf(sc)
		if err != nil {
			return err
		}
		t.events = append(t.events, *e)
		for i := range subscribers {
			if subscribers[i].wants(kind) {
				t.deliver(e, &subscribers[i])
			}
		}
		view = e.view()
		return nil
	})
	if err != nil {
		return nil, err
	}
	return view, nil
}

// Event returns an event.
func (s *Store) Event(ctx context.Context, sc Scope, id string) (*EventView, error) {
	if !isID(id, "evt") {
		return nil, notFound("event")
	}
	var e Event
	err := s.read(ctx).Where("id = ? AND merchant_id = ? AND test = ?", id, sc.MerchantID, sc.Test).Take(&e).Error
	if err != nil {
		return nil, orNotFound(err, "event")
	}
	return e.view(), nil
}

// everyOrders are the types of which there is an event for nearly every order: one of them is found among the latest.
var everyOrders = []string{EventOrderCreated, EventPaymentSucceeded, EventProductDelivered, EventOrderDelivered}

// EventFilter narrows a listing of events; empty fields match everything.
type EventFilter struct {
	Type  string
	Order string
}

// narrow adds the filter to a query of events.
func (f *EventFilter) narrow(q *gorm.DB) (*gorm.DB, error) {
	if f.Type != "" {
		if len(f.Type) > maxEventType || !eventType.MatchString(f.Type) {
			return nil, Invalid("type", "is not an event type")
		}
		q = q.Where("type = ?", f.Type)
		if !slices.Contains(everyOrders, f.Type) {
			// In so many words, so that every plan may use the index of these few.
			q = q.Where("type <> '" + strings.Join(everyOrders, "' AND type <> '") + "'")
		}
	}
	if f.Order != "" {
		if !isID(f.Order, "ord") {
			return nil, Invalid("order", "is not the id of an order")
		}
		q = q.Where("order_id = ?", f.Order)
	}
	return q, nil
}

// Events lists a merchant's events in one mode, newest first.
func (s *Store) Events(ctx context.Context, sc Scope, f EventFilter, page Page) ([]*EventView, string, error) {
	q, err := f.narrow(s.read(ctx).Where("merchant_id = ? AND test = ?", sc.MerchantID, sc.Test))
	if err != nil {
		return nil, "", err
	}
	rows, next, err := paginate(q, page, func(e *Event) string { return e.ID })
	if err != nil {
		return nil, "", err
	}
	views := make([]*EventView, len(rows))
	for i := range rows {
		views[i] = rows[i].view()
	}
	return views, next, nil
}
