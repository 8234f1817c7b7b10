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
	// PaymentID is which payment it is about, as the gateway gave it back; nil for what is told of a refund.
	PaymentID  *string
	Outcome    CallbackOutcome `gorm:"serializer:json"`
	ReceivedAt time.Time
	AppliedAt  *time.Time // set in the transaction that applied it
}

// CallbackSubject is what a callback is about.
type CallbackSubject string

// The subjects of callbacks; payment.Subject has the same. The zero value is a charge.
const (
	CallbackOfRefund      CallbackSubject = "refund"
	CallbackOfRefundTotal CallbackSubject = "refund_total" // the amount is all that was given back of a payment, by whomever
)

// CallbackOutcome is what a callback says.
type CallbackOutcome struct {
	PaymentResult
	Subject CallbackSubject `json:",omitempty"`
	// RefundID is which refund it is about; set with CallbackOfRefund only.
	RefundID string `json:",omitempty"`
}

// NewCallback is a callback whose signature was checked.
type NewCallback struct {
	Gateway, EventID, PaymentID, RefundID string
	Subject                               CallbackSubject
	Outcome                               PaymentResult
	// After is how long it is left in the inbox; zero for every gateway that can send a callback later by itself.
	After time.Duration
}

// RecordCallback puts a callback into the inbox, with the promise to apply it. One that is there already is left as it is, without
// another promise; both are a success to the gateway. What the callback is about is looked at when it is applied.
func (s *Store) RecordCallback(ctx context.Context, sc Scope, in NewCallback) error {
	return s.write(ctx, func(t *tx) error {
		cb := GatewayCallback{
			ID: newID("gcb"), MerchantID: sc.MerchantID, Test: sc.Test, Gateway: in.Gateway, EventID: in.EventID, PaymentID: nullable(in.PaymentID),
			Outcome: CallbackOutcome{in.Outcome, in.Subject, in.RefundID}, ReceivedAt: t.now,
		}
		res := t.Clauses(clause.OnConflict{
			Columns:   []clause.Column{{Name: "merchant_id"}, {Name: "gateway"}, {Name: "test"}, {Name: "event_id"}},
			DoNothing: true,
		}).Create(&cb)
		if res.Error != nil || res.RowsAffected == 0 {
			return res.Error
		}
		j := Job{Args: JobArgs{Callback: cb.ID}, MerchantID: &cb.MerchantID, RunAt: t.now.Add(in.After)}
		if order, err := cb.order(t.DB); err == nil {
			j.OrderID = &order
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

// refund is the refund that a callback is about, of the callback's own merchant and mode.
func (c *GatewayCallback) refund(db *gorm.DB) (*Refund, error) {
	if !isID(c.Outcome.RefundID, "rfd") {
		return nil, notFound("refund")
	}
	var r Refund
	err := db.Where("id = ? AND merchant_id = ? AND test = ?", c.Outcome.RefundID, c.MerchantID, c.Test).Take(&r).Error
	return &r, orNotFound(err, "refund")
}

// order is the id of the order that a callback is about.
func (c *GatewayCallback) order(db *gorm.DB) (string, error) {
	if c.Outcome.Subject == CallbackOfRefund {
		r, err := c.refund(db)
		if err != nil {
			return "", err
		}
		return r.OrderID, nil
	}
	p, err := c.payment(db)
	if err != nil {
		return "", err
	}
	return p.OrderID, nil
}

// CallbackOrder returns the id of the order that a callback in the inbox is about, for the worker that applies it. ErrNothingToDo: it was
// applied before. Not found: the callback is about no payment or refund of its merchant, mode and gateway.
func (s *Store) CallbackOrder(ctx context.Context, id string) (string, error) {
	cb, err := findCallback(s.read(ctx), id)
	if err != nil {
		return "", err
	}
	if cb.AppliedAt != nil {
		return "", ErrNothingToDo
	}
	return cb.order(s.read(ctx))
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
		if err := t.applyCallback(cb); err != nil {
			return err
		}
		return t.Model(&GatewayCallback{}).Where("id = ? AND applied_at IS NULL", cb.ID).Update("applied_at", t.now).Error
	})
}

func (t *tx) applyCallback(cb *GatewayCallback) error {
	if cb.Outcome.Subject == CallbackOfRefund {
		return t.hearOfRefund(cb)
	}
	p, err := cb.payment(t.DB)
	switch {
	case err != nil:
		return err
	case cb.Outcome.Subject == CallbackOfRefundTotal:
		return t.hearOfRefundTotal(cb, p)
	}
	_, err = t.applyPayment(p.ID, cb.Outcome.PaymentResult, "gateway:"+cb.Gateway)
	return err
}
