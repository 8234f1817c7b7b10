package models

import (
	"context"
	"slices"
	"strings"
	"time"

	"gorm.io/gorm"
)

// DeliveryView is a delivery as the API shows it.
type DeliveryView struct {
	ID             string         `json:"id"`
	Test           bool           `json:"test"`
	Event          string         `json:"event"`
	EventType      string         `json:"event_type"`
	Endpoint       string         `json:"endpoint"`
	Status         DeliveryStatus `json:"status" enum:"pending,succeeded,failed,cancelled"`
	AttemptCount   int            `json:"attempt_count"`
	ResponseStatus *int           `json:"response_status" doc:"The status code of the last attempt that was answered."`
	NextAttemptAt  *time.Time     `json:"next_attempt_at" doc:"When the next attempt is due, while the status is pending."`
	CreatedAt      time.Time      `json:"created_at"`
	FinishedAt     *time.Time     `json:"finished_at"`
}

// DeliveryDetail is a delivery with all its attempts, first to last.
type DeliveryDetail struct {
	DeliveryView
	Attempts []DeliveryAttemptView `json:"attempts"`
}

// DeliveryAttemptView is one try.
type DeliveryAttemptView struct {
	Attempt        int       `json:"attempt"`
	At             time.Time `json:"at"`
	DurationMs     int       `json:"duration_ms"`
	ResponseStatus *int      `json:"response_status"`
	Error          *string   `json:"error"`
	Response       string    `json:"response" doc:"The first 2 KiB of the answer."`
}

// deliveryRow is a delivery with what its view takes from other tables.
type deliveryRow struct {
	Delivery
	eventType string
	nextRun   *time.Time
}

func (d *deliveryRow) view() DeliveryView {
	v := DeliveryView{
		ID: d.ID, Test: d.Test, Event: d.EventID, EventType: d.eventType, Endpoint: d.EndpointID, Status: d.Status, AttemptCount: d.Attempts,
		ResponseStatus: d.ResponseStatus, CreatedAt: d.CreatedAt, FinishedAt: d.FinishedAt,
	}
	if d.Status == DeliveryPending {
		v.NextAttemptAt = d.nextRun
	}
	return v
}

// DeliveryFilter narrows a listing of deliveries; empty fields match everything.
type DeliveryFilter struct {
	Endpoint string
	Event    string
	Status   DeliveryStatus
}

var deliveryStatuses = []DeliveryStatus{DeliveryPending, DeliverySucceeded, DeliveryFailed, DeliveryCancelled}

func deliveries(db *gorm.DB, sc Scope) *gorm.DB {
	return db.Where("merchant_id = ? AND test = ?", sc.MerchantID, sc.Test)
}

// Deliveries lists a merchant's deliveries in one mode, newest first.
func (s *Store) Deliveries(ctx context.Context, sc Scope, f DeliveryFilter, page Page) ([]DeliveryView, string, error) {
	q := deliveries(s.read(ctx), sc)
	for _, c := range []struct{ field, value, prefix string }{{"endpoint", f.Endpoint, "whe"}, {"event", f.Event, "evt"}} {
		if c.value == "" {
			continue
		}
		if !isID(c.value, c.prefix) {
			return nil, "", Invalid(c.field, "is not the id of an %s", c.field)
		}
		q = q.Where(c.field+"_id = ?", c.value)
	}
	if f.Status != "" {
		if !slices.Contains(deliveryStatuses, f.Status) {
			return nil, "", Invalid("status", "must be one of %s", joined(deliveryStatuses))
		}
		if q = q.Where("status = ?", f.Status); f.Status != DeliverySucceeded {
			q = q.Where("status <> 'succeeded'") // in so many words, so that every plan may use the index of these few
		}
	}
	found, next, err := paginate(q, page, func(d *Delivery) string { return d.ID })
	if err != nil {
		return nil, "", err
	}
	rows, err := deliveryRows(s.read(ctx), found)
	if err != nil {
		return nil, "", err
	}
	views := make([]DeliveryView, len(rows))
	for i := range rows {
		views[i] = rows[i].view()
	}
	return views, next, nil
}

func joined[S ~string](values []S) string {
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = string(v)
	}
	return strings.Join(texts, ", ")
}

// deliveryRows adds the events' types and the times of the next attempts, with one query each.
func deliveryRows(db *gorm.DB, found []Delivery) ([]deliveryRow, error) {
	events, jobIDs := make([]string, len(found)), make([]string, len(found))
	for i, d := range found {
		events[i], jobIDs[i] = d.EventID, d.JobID
	}
	var types []Event
	if err := db.Select("id", "type").Where("id IN ?", events).Find(&types).Error; err != nil {
		return nil, err
	}
	var waiting []Job
	if err := db.Select("id", "run_at").Where("id IN ? AND finished_at IS NULL", jobIDs).Find(&waiting).Error; err != nil {
		return nil, err
	}
	typeOf, runAt := make(map[string]string, len(types)), make(map[string]*time.Time, len(waiting))
	for _, e := range types {
		typeOf[e.ID] = e.Type
	}
	for i := range waiting {
		runAt[waiting[i].ID] = &waiting[i].RunAt
	}
	rows := make([]deliveryRow, len(found))
	for i, d := range found {
		rows[i] = deliveryRow{d, typeOf[d.EventID], runAt[d.JobID]}
	}
	return rows, nil
}

// Delivery returns a delivery with its attempts.
func (s *Store) Delivery(ctx context.Context, sc Scope, id string) (*DeliveryDetail, error) {
	if !isID(id, "dlv") {
		return nil, notFound("delivery")
	}
	var v *DeliveryDetail
	// A worker may be writing an attempt and what it leads to.
	err := s.snapshot(ctx, func(db *gorm.DB) error {
		var d Delivery
		if err := deliveries(db, sc).Where("id = ?", id).Take(&d).Error; err != nil {
			return orNotFound(err, "delivery")
		}
		rows, err := deliveryRows(db, []Delivery{d})
		if err != nil {
			return err
		}
		var attempts []DeliveryAttempt
		if err := db.Where("delivery_id = ?", id).Order("attempt").Find(&attempts).Error; err != nil {
			return err
		}
		v = &DeliveryDetail{DeliveryView: rows[0].view(), Attempts: make([]DeliveryAttemptView, len(attempts))}
		for i, a := range attempts {
			v.Attempts[i] = DeliveryAttemptView{a.Attempt, a.At, a.DurationMs, a.ResponseStatus, a.Error, a.Response}
		}
		return nil
	})
	return v, err
}
