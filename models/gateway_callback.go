package models

import (
	"context"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/purser-dev/purser/jobs"
)

// GatewayCallback is what a gateway told us of its own accord, as it waits in the inbox or was applied. Only callbacks whose signature was
// checked come here.
type GatewayCallback struct {
	ID         string `gorm:"primaryKey"`
	MerchantID string
	Test       bool
	Gateway    string
	// EventID is the gateway's own id of what it tells, the same on every repetition.
	EventID string
	// PaymentID is which payment it is about, as the gateway gave it back.
	PaymentID  *string
	Outcome    PaymentResult `gorm:"serializer:json"`
	ReceivedAt time.Time
	AppliedAt  *time.Time // set in the transaction that applied it
}

// NewCallback is a callback whose signature was checked.
type NewCallback struct {
	Gateway, EventID, PaymentID string
	Outcome                     PaymentResult
	// After is how long it is left in the inbox; zero for every gateway that can send a callback later by itself.
	After time.Duration
}

// RecordCallback puts a callback into the inbox, with the promise to apply it. One that is there already is left as it is, without
// another promise; both are a success to the gateway. What the callback is about is looked at when it is applied.
func (s *Store) RecordCallback(ctx context.Context, sc Scope, in NewCallback) error {
	return s.write(ctx, func(t *tx) error {
		cb := GatewayCallback{
			ID: newID("gcb"), MerchantID: sc.MerchantID, Test: sc.Test, Gateway: in.Gateway, EventID: in.EventID,
			PaymentID: nullable(in.PaymentID), Outcome: in.Outcome, ReceivedAt: t.now,
		}
		res := t.Clauses(clause.OnConflict{
			Columns:   []clause.Column{{Name: "merchant_id"}, {Name: "gateway"}, {Name: "test"}, {Name: "event_id"}},
			DoNothing: true,
		}).Create(&cb)
		if res.Error != nil || res.RowsAffected == 0 {
			return res.Error
		}
		j := Job{Args: JobArgs{Callback: cb.ID}, MerchantID: &cb.MerchantID, RunAt: t.now.Add(in.After)}
		if p, err := cb.payment(t.DB); err == nil {
			j.OrderID = &p.OrderID
		} else if CodeOf(err) != CodeNotFound {
			return err
		}
		t.stage(jobs.KindCallback, j)
		return nil
	})
}

// payment is the payment that a callback is about: one of the callback's own merchant, mode and gateway, whatever else the gateway says.
func (c *GatewayCallback) payment(db *gorm.DB) (*Payment, error) {
	if c.PaymentID == nil || !isID(*c.PaymentID, "pay") {
		return nil, notFound("payment")
	}
	var p Payment
	err := db.Where("id = ? AND merchant_id = ? AND test = ? AND gateway = ?", *c.PaymentID, c.MerchantID, c.Test, c.Gateway).Take(&p).Error
	return &p, orNotFound(err, "payment")
}

// CallbackPayment returns the payment that a callback in the inbox is about, for the worker that applies it. ErrNothingToDo: it was
// applied before. Not found: the callback is about no payment of its merchant, mode and gateway.
func (s *Store) CallbackPayment(ctx context.Context, id string) (*Payment, error) {
	cb, err := findCallback(s.read(ctx), id)
	if err != nil {
		return nil, err
	}
	if cb.AppliedAt != nil {
		return nil, ErrNothingToDo
	}
	return cb.payment(s.read(ctx))
}

func findCallback(db *gorm.DB, id string) (*GatewayCallback, error) {
	if !isID(id, "gcb") {
		return nil, notFound("callback")
	}
	var cb GatewayCallback
	err := db.Where("id = ?", id).Take(&cb).Error
	return &cb, orNotFound(err, "callback")
}

// KeepCallback applies a callback as the result of a job, together with the time of it.
func (s *Store) KeepCallback(ctx context.Context, c *Claim) error {
	return s.keep(ctx, c, func(t *tx) error {
		cb, err := findCallback(t.DB, c.Args.Callback)
		if err != nil || cb.AppliedAt != nil {
			return err
		}
		p, err := cb.payment(t.DB)
		if err != nil {
			return err
		}
		if _, err := t.applyPayment(p.ID, cb.Outcome, "gateway:"+cb.Gateway); err != nil {
			return err
		}
		return t.Model(&GatewayCallback{}).Where("id = ? AND applied_at IS NULL", cb.ID).Update("applied_at", t.now).Error
	})
}
