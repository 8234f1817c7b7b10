package models

import (
	"context"
	"slices"
	"time"

	"gorm.io/gorm"

	"github.com/purser-dev/purser/jobs"
)

// Gateways tell by themselves what became of a payment, and what they tell can be lost for good. So somebody always asks, unless the
// answer has come: this file is the promise to do so.

const (
	// settleAfter is how long a payment whose gateway was asked may stay pending before a worker asks what became of it.
	settleAfter = time.Minute
	// askEvery bounds the pauses between questions, and askFor how long after its beginning a payment is asked about at all. Of a
	// payment that is open even then only its gateway can know.
	askEvery, askFor = 6 * time.Hour, 30 * 24 * time.Hour
	// soon is the longest pause for which the queue keeps the promise itself; the alarm is exact enough for longer ones.
	soon = 30 * time.Second
)

// askLater promises to ask a payment's gateway after a pause; none for a pause of zero. One promise is made for each name.
func (t *tx) askLater(p *Payment, name string, pause time.Duration) {
	if pause <= 0 || t.now.Sub(p.CreatedAt) > askFor {
		return
	}
	t.stage(jobs.KindSettle, Job{
		Args: JobArgs{Payment: p.ID, Errand: p.errand()}, OrderID: &p.OrderID, MerchantID: &p.MerchantID, RunAt: t.now.Add(pause),
		Lazy: pause > soon, DedupeKey: nullable(p.ID + ":settle:" + name),
	})
}

// errand is whose server is asked for the payment: that of the merchant's payment method, or of the gateway that needs none.
func (p *Payment) errand() jobs.Errand {
	if p.MethodID != nil {
		return jobs.Errand{Server: *p.MethodID, Merchant: p.MerchantID}
	}
	return jobs.Errand{Server: p.MerchantID, Merchant: p.MerchantID}
}

// callOffSettling ends the promises to ask the gateway: it has answered.
func (t *tx) callOffSettling(p *Payment) error {
	// ';' follows on ':'.
	return t.later(func(db *gorm.DB) *gorm.DB {
		return db.Exec(`UPDATE jobs SET state = 'done', finished_at = ? WHERE dedupe_key >= ? AND dedupe_key < ? AND state = 'due'`,
			t.now, p.ID+":settle:", p.ID+":settle;")
	})
}

// KeepNeverAsked fails a payment for which its gateway was never asked, as the result of a job. If it was asked after all, by a customer who
// tried again in the meantime, or is being asked at this moment, the payment stays as it is and the gateway is asked later what became of it.
func (s *Store) KeepNeverAsked(ctx context.Context, c *Claim, r PaymentResult) error {
	return s.keep(ctx, c, func(t *tx) error {
		o, err := t.lockOrderBy("(SELECT order_id FROM payments WHERE id = ?)", c.Args.Payment, "payment")
		if err != nil {
			return err
		}
		switch p := o.payment(c.Args.Payment); {
		case p == nil:
			return notFound("payment")
		case p.beingAsked(t.now):
			t.askLater(p, c.JobID, settleAfter)
		case p.Reference == "":
			_, err := t.applyPayment(p.ID, r, actorWorker)
			return err
		case p.Instructions == nil && paymentMoves.allows(p.Status, PaymentFailed):
			t.askLater(p, c.JobID, settleAfter)
		}
		return nil
	})
}

// KeepSettled is ApplyPayment as the result of a job. While the gateway still works on the payment or waits for the customer, it is asked
// again: no sooner than it said, and else after as long as the payment has taken so far, so that whoever takes long costs few questions.
func (s *Store) KeepSettled(ctx context.Context, c *Claim, r PaymentResult) error {
	return s.keep(ctx, c, func(t *tx) error {
		p, err := t.applyPayment(c.Args.Payment, r, actorWorker)
		if err != nil || r.Ask <= 0 {
			return err
		}
		moved := slices.ContainsFunc(t.jobs, func(j Job) bool { return j.Kind == jobs.KindSettle }) // and is asked for by its new status
		if open := p.Status == r.Status || p.Status == PaymentCancelled; open && !moved {
			t.askLater(p, c.JobID, max(r.Ask, min(t.now.Sub(p.CreatedAt), askEvery)))
		}
		return nil
	})
}
