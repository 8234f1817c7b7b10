package models

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"gorm.io/gorm"
)

// TimelineEntry is one thing that happened to an order, or that is going to: a job's next attempt is at the time it is due.
type TimelineEntry struct {
	At      time.Time      `json:"at"`
	Kind    string         `json:"kind"`
	Actor   string         `json:"actor"`
	Summary string         `json:"summary"`
	Detail  map[string]any `json:"detail"`
}

// timelineBound is how many rows of each kind a timeline takes, the latest.
const timelineBound = 1000

// timeline collects the entries of one order.
type timeline struct {
	s       *Store
	db      *gorm.DB
	order   string
	actors  map[int64]string // who caused what the history tells, by its time in microseconds
	entries []TimelineEntry
}

// Timeline returns everything that happened to an order, oldest first: moves, payments and staff's actions from its history, licences,
// emails, events and their deliveries, and the jobs that failed or wait. It holds no personal data, and licence keys masked.
func (s *Store) Timeline(ctx context.Context, sc Scope, orderID string) ([]TimelineEntry, error) {
	if !isID(orderID, "ord") {
		return nil, notFound("order")
	}
	db := s.read(ctx)
	var found Order
	if err := db.Select("id").Where("id = ? AND merchant_id = ? AND test = ?", orderID, sc.MerchantID, sc.Test).Take(&found).Error; err != nil {
		return nil, orNotFound(err, "order")
	}
	l := timeline{s: s, db: db, order: orderID, actors: map[int64]string{}, entries: []TimelineEntry{}}
	for _, collect := range []func() error{l.history, l.licenses, l.emails, l.events, l.jobs} {
		if err := collect(); err != nil {
			return nil, err
		}
	}
	// Stable, so that what one transaction wrote stays in the order of the sources above.
	slices.SortStableFunc(l.entries, func(a, b TimelineEntry) int { return a.At.Compare(b.At) })
	return l.entries, nil
}

func (l *timeline) add(at time.Time, kind, actor, summary string, detail map[string]any) {
	l.entries = append(l.entries, TimelineEntry{at, kind, actor, summary, detail})
}

// by returns who caused what was written at a time: whoever the history names for the same transaction, or else a worker.
func (l *timeline) by(at time.Time) string {
	if actor, ok := l.actors[at.UnixMicro()]; ok {
		return actor
	}
	return actorWorker
}

// rows loads the latest rows of the order, oldest first.
func rows[T any](l *timeline, key string) ([]T, error) {
	var out []T
	err := l.db.Where("order_id = ?", l.order).Order(key + " DESC").Limit(timelineBound).Find(&out).Error
	slices.Reverse(out)
	return out, err
}

func (l *timeline) history() error {
	found, err := rows[History](l, "id")
	for _, h := range found {
		l.actors[h.At.UnixMicro()] = h.Actor
		l.add(h.At, h.Kind, h.Actor, h.Summary, h.Detail)
	}
	return err
}

func (l *timeline) licenses() error {
	found, err := rows[License](l, "id")
	if err != nil {
		return err
	}
	for i := range found {
		c := &found[i]
		key, err := l.s.LicenseKey(c)
		if err != nil {
			return err
		}
		detail := map[string]any{"license": c.ID, "item": c.ItemID, "unit": c.Unit, "license_method": c.Method, "key": mask(key)}
		l.add(c.CreatedAt, "license.issued", l.by(c.CreatedAt), "A licence was saved on the order.", detail)
		if c.RevokedAt != nil {
			l.add(*c.RevokedAt, "license.revoked", l.by(*c.RevokedAt), "The licence was revoked.", detail)
		}
	}
	return nil
}

// emails adds the emails that are still to be sent; how each ended is in the history, except for one that was no longer wanted.
func (l *timeline) emails() error {
	found, err := rows[Email](l, "id")
	for _, e := range found {
		detail := map[string]any{"email": e.ID, "email_kind": e.Kind}
		if e.ItemID != nil {
			detail["item"] = *e.ItemID
		}
		l.add(e.CreatedAt, "email.queued", l.by(e.CreatedAt), "An email is to be sent.", detail)
		if e.Status == EmailSkipped && e.FinishedAt != nil {
			l.add(*e.FinishedAt, "email.skipped", actorWorker, "An email was no longer wanted and was not sent.", detail)
		}
	}
	return err
}

func (l *timeline) events() error {
	var found []Event
	err := l.db.Select("id", "type", "created_at").Where("order_id = ?", l.order).Order("id DESC").Limit(timelineBound).Find(&found).Error
	if err != nil {
		return err
	}
	slices.Reverse(found)
	ids, kind := make([]string, len(found)), make(map[string]string, len(found))
	for i, e := range found {
		ids[i], kind[e.ID] = e.ID, e.Type
		l.add(e.CreatedAt, "event.emitted", l.by(e.CreatedAt), "The event "+e.Type+" was recorded.", map[string]any{"event": e.ID, "event_type": e.Type})
	}
	var sent []Delivery
	if err := l.db.Where("event_id IN ?", ids).Order("id DESC").Limit(timelineBound).Find(&sent).Error; err != nil {
		return err
	}
	slices.Reverse(sent)
	return l.deliveries(sent, kind)
}

func (l *timeline) deliveries(sent []Delivery, eventType map[string]string) error {
	ids, detail := make([]string, len(sent)), make(map[string]map[string]any, len(sent))
	for i, d := range sent {
		ids[i] = d.ID
		detail[d.ID] = map[string]any{"delivery": d.ID, "event": d.EventID, "event_type": eventType[d.EventID], "endpoint": d.EndpointID}
	}
	var tries []DeliveryAttempt
	if err := l.db.Omit("response").Where("delivery_id IN ?", ids).Order("at DESC").Limit(timelineBound).Find(&tries).Error; err != nil {
		return err
	}
	for _, a := range slices.Backward(tries) {
		l.attempt(a, detail[a.DeliveryID])
	}
	for _, d := range sent {
		if d.FinishedAt == nil || d.Status == DeliverySucceeded {
			continue // the attempt that succeeded says it
		}
		l.add(*d.FinishedAt, "webhook."+string(d.Status), l.by(*d.FinishedAt), "The delivery of "+eventType[d.EventID]+" is "+string(d.Status)+".", detail[d.ID])
	}
	return nil
}

func (l *timeline) attempt(a DeliveryAttempt, delivery map[string]any) {
	detail := map[string]any{"attempt": a.Attempt, "duration_ms": a.DurationMs, "response_status": a.ResponseStatus}
	maps.Copy(detail, delivery)
	outcome := "was not answered"
	if a.ResponseStatus != nil {
		outcome = "was answered with " + strconv.Itoa(*a.ResponseStatus)
	}
	kind := "webhook.attempt_succeeded"
	if a.Error != nil {
		kind, detail["error"] = "webhook.attempt_failed", *a.Error
	}
	l.add(a.At, kind, actorWorker, fmt.Sprintf("%s, attempt %d, %s.", delivery["event_type"], a.Attempt, outcome), detail)
}

// jobs adds the jobs that failed at least once.
func (l *timeline) jobs() error {
	found, err := rows[Job](l, "id")
	for i := range found {
		j := &found[i]
		detail := map[string]any{"job": j.ID, "job_kind": j.Kind, "attempts": j.Attempts, "max_attempts": j.MaxAttempts}
		if j.LastError != nil {
			detail["error"] = *j.LastError
		}
		switch {
		case j.State == JobDead:
			l.add(*j.FinishedAt, "job.dead", actorWorker, "The job "+j.Kind+" failed for good.", detail)
		case j.State == JobCancelled: // the history has who did it, or the delivery that its endpoint is gone
		case j.State == JobDone && j.Attempts > 1: // what had gone wrong is no longer kept
			l.add(*j.FinishedAt, "job.recovered", actorWorker, fmt.Sprintf("The job %s succeeded at attempt %d.", j.Kind, j.Attempts), detail)
		case j.LastError != nil:
			l.add(j.RunAt, "job.retrying", actorWorker, "The job "+j.Kind+" has failed and is due again.", detail)
		}
	}
	return err
}
