package models

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"github.com/purser-dev/purser/jobs"
)

// Dispatch is a delivery with everything that one attempt needs.
type Dispatch struct {
	DeliveryID string
	Event      Event
	URL        string
	// IncludeLicenseKeys puts the licence keys, masked in the event, into the body.
	IncludeLicenseKeys bool
	// Secret is the endpoint's signing secret, whsec_….
	Secret string
	// AllowPrivate lets the request reach the private networks that the operator allows.
	AllowPrivate bool
	// Attempt counts from 1.
	Attempt int
}

// dispatchRow is a Dispatch as the database has it.
type dispatchRow struct {
	Dispatch
	status     DeliveryStatus
	endpointID string
	secret     []byte
	deletedAt  *time.Time
}

// What a dispatchRow consists of, beside the delivery d.
const (
	dispatchColumns = `d.id AS delivery_id, d.status, d.attempts, e.id AS event_id, e.merchant_id, e.test, e.type, e.order_id, e.fact, e.data,
		e.created_at, w.id AS endpoint_id, w.url, w.include_license_keys, w.secret, w.deleted_at, m.allow_private_targets`
	dispatchJoins = ` JOIN events e ON e.id = d.event_id JOIN webhook_endpoints w ON w.id = d.endpoint_id JOIN merchants m ON m.id = d.merchant_id`
)

// columns are where dispatchColumns are read into.
func (r *dispatchRow) columns() []any {
	e := &r.Event
	return []any{
		&r.DeliveryID, &r.status, &r.Attempt, &e.ID, &e.MerchantID, &e.Test, &e.Type, &e.OrderID, &e.Fact, &e.Data, &e.CreatedAt,
		&r.endpointID, &r.URL, &r.IncludeLicenseKeys, &r.secret, &r.deletedAt, &r.AllowPrivate,
	}
}

// Dispatch loads a claimed delivery that is to be tried now. ErrNothingToDo: it is finished. Permanent: its endpoint was deleted.
func (s *Store) Dispatch(ctx context.Context, c *Claim) (*Dispatch, error) {
	var err error
	row := c.dispatch
	if row == nil {
		row = &dispatchRow{}
		err = s.read(ctx).Raw("SELECT "+dispatchColumns+" FROM deliveries d"+dispatchJoins+" WHERE d.id = ?", c.Args.Delivery).Row().Scan(row.columns()...)
	}
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, notFound("delivery")
	case err != nil:
		return nil, err
	case row.status != DeliveryPending:
		return nil, ErrNothingToDo
	case row.deletedAt != nil:
		// Staged by a transaction that had read the endpoint before it was deleted.
		return nil, jobs.Permanent(errors.New("the webhook endpoint was deleted"))
	}
	secret, err := s.keys.Open(row.secret, row.endpointID)
	d := row.Dispatch
	d.Secret, d.Attempt = string(secret), row.Attempt+1
	return &d, err
}

// eventBody is the body of a delivery in the standard format. The order of its members is part of the golden files.
type eventBody struct {
	ID        string  `json:"id"`
	Type      string  `json:"type"`
	Timestamp string  `json:"timestamp"`
	Test      bool    `json:"test"`
	Data      RawJSON `json:"data"`
}

// Body is the body of the delivery, the same on every attempt. An endpoint that asked for them gets the licence keys that are
// masked in the stored event.
func (s *Store) Body(ctx context.Context, d *Dispatch) ([]byte, error) {
	data := d.Event.Data
	if d.IncludeLicenseKeys && d.Event.OrderID != nil {
		var err error
		if data, err = s.unmask(ctx, *d.Event.OrderID, data); err != nil {
			return nil, err
		}
	}
	return json.Marshal(eventBody{d.Event.ID, d.Event.Type, d.Event.CreatedAt.UTC().Format(time.RFC3339Nano), d.Event.Test, data})
}

// delivered is an attempt that succeeded.
type delivered struct {
	claim   *Claim
	attempt DeliveryAttempt
}

// KeepDelivered records the attempt that succeeded. It waits for the disk, together with others: a result that is lost in a crash would
// have the receiver get the same event twice, which is allowed but not nice.
func (s *Store) KeepDelivered(ctx context.Context, c *Claim, a DeliveryAttempt) error {
	d := delivered{c, a}
	_, together, err := s.delivering.do(ctx, d)
	if together || err != nil {
		return err
	}
	return s.write(ctx, func(t *tx) error { return t.delivered(&d) })
}

func (t *tx) delivered(d *delivered) error {
	// The job's row before the delivery's, as the relay and the operators do.
	if err := t.finish(d.claim, JobDone, nil); err != nil {
		return err
	}
	if err := t.attempted(&d.attempt); err != nil {
		return err
	}
	return t.finishDelivery(d.claim.Args.Delivery, DeliverySucceeded)
}

// FailDelivery records an attempt that failed, and the pause until the next or that it was the last.
func (s *Store) FailDelivery(ctx context.Context, c *Claim, a DeliveryAttempt, cause error) (Verdict, error) {
	return s.fail(ctx, c, cause, func(t *tx) error { return t.attempted(&a) })
}

func (t *tx) attempted(a *DeliveryAttempt) error {
	if err := t.Create(a).Error; err != nil {
		return err
	}
	return t.Model(&Delivery{}).Where("id = ?", a.DeliveryID).
		Updates(map[string]any{"attempts": a.Attempt, "response_status": a.ResponseStatus}).Error
}

func (t *tx) finishDelivery(id string, to DeliveryStatus) error {
	return t.Model(&Delivery{}).Where("id = ? AND status = ?", id, DeliveryPending).
		Updates(map[string]any{"status": to, "finished_at": t.now}).Error
}

// RetryDelivery tries a finished or waiting delivery again, now, which costs it none of the attempts that it has left. That of a deleted
// endpoint is a conflict.
func (s *Store) RetryDelivery(ctx context.Context, sc Scope, id, actor string) error {
	if !isID(id, "dlv") {
		return notFound("delivery")
	}
	return s.write(ctx, func(t *tx) error {
		var d Delivery
		if err := t.Where("id = ? AND merchant_id = ? AND test = ?", id, sc.MerchantID, sc.Test).Take(&d).Error; err != nil {
			return orNotFound(err, "delivery")
		}
		if err := t.reviveJob(d.JobID, actor); CodeOf(err) != CodeNotFound {
			return err
		}
		return t.redeliver(&d, actor)
	})
}

// redeliver promises anew what was delivered so long ago that its promise was deleted. Of two who ask at once one does it.
func (t *tx) redeliver(d *Delivery, actor string) error {
	var e Event
	if err := t.Select("id", "merchant_id", "order_id").Where("id = ?", d.EventID).Take(&e).Error; err != nil {
		return err
	}
	var o *Order
	if e.OrderID != nil {
		var err error
		if o, err = t.lockOrder(*e.OrderID); err != nil {
			return err
		}
	}
	job := t.stageDelivery(d, &e)
	res := t.Model(&Delivery{}).Where("id = ? AND job_id = ?", d.ID, d.JobID).Update("job_id", job)
	if res.Error != nil {
		return res.Error
	}
	if res.RowsAffected == 0 {
		return conflict("The delivery is being tried again.")
	}
	if o != nil {
		t.note(o, "job.retried", actor, "A job was started again.", map[string]any{"job": job, "job_kind": jobs.KindDeliver})
	}
	return t.reopenDelivery(d.ID)
}
