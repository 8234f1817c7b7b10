package models

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/purser-dev/purser/jobs"
)

// dueBatch bounds one transaction of the periodic work.
const dueBatch = 200

// processingGrace is how much longer than its term an unpaid order is kept while its online payment is being processed.
const processingGrace = 7 * 24 * time.Hour

// dueOrders selects orders o by what the rows of another table say: which merchants keep an order for how long, say.
type dueOrders struct {
	rules     string
	condition string
	values    []any
}

// expired selects the unpaid orders whose term is over.
func (s *Store) expired(now time.Time) dueOrders {
	over := "o.unpaid_since <= " + s.dialect.minusSeconds("m.delete_unpaid_after_s")
	long := "o.unpaid_since <= " + s.dialect.minusSeconds("(m.delete_unpaid_after_s + ?)")
	return dueOrders{
		"merchants AS m",
		"o.merchant_id = m.id AND o.status = 'not_paid' AND " + over + " AND (" + long +
			" OR NOT EXISTS (SELECT 1 FROM payments AS p WHERE p.order_id = o.id AND p.status = 'processing'))",
		[]any{now, now, int64(processingGrace / time.Second)},
	}
}

// reminders selects the unpaid orders that are due for their next reminder. One whose term is over is about to be deleted, and its customer
// is not asked any more.
func (s *Store) reminders(now time.Time) dueOrders {
	return dueOrders{
		"reminder_rules AS r JOIN merchants AS m ON m.id = r.merchant_id",
		"o.merchant_id = r.merchant_id AND o.method_class = r.method_class AND o.reminder_stage = r.stage AND o.status = 'not_paid'" +
			" AND o.unpaid_since <= " + s.dialect.minusSeconds("r.after_s") + " AND o.unpaid_since > " + s.dialect.minusSeconds("m.delete_unpaid_after_s"),
		[]any{now, now},
	}
}

// periodic is one kind of periodic work on orders.
type periodic struct {
	due   func(time.Time) dueOrders
	aside setAside
}

// some returns up to n of the orders that are due, without those that are set aside.
func (s *Store) some(ctx context.Context, p *periodic, n int) (ids []string, err error) {
	aside := p.aside.at(s.now())
	due := p.due(s.now())
	statement, limits := s.dialect.some(due, n+len(aside))
	if err := s.read(ctx).Raw(statement, append(due.values[:len(due.values):len(due.values)], limits...)...).Scan(&ids).Error; err != nil {
		return nil, err
	}
	ids = slices.DeleteFunc(ids, func(id string) bool { _, ok := aside[id]; return ok })
	return ids[:min(n, len(ids))], nil
}

// among returns those of some orders that are due.
func (t *tx) among(ids []string, due dueOrders) (still []string, err error) {
	err = t.Raw("SELECT o.id FROM "+due.rules+" JOIN orders AS o ON "+due.condition+" WHERE o.id IN ?",
		append(due.values[:len(due.values):len(due.values)], ids)...).Scan(&still).Error
	return still, err
}

// Due reports whether a periodic kind has anything to do, so that its ticks cost one query while it has not.
func (s *Store) Due(ctx context.Context, kind jobs.Kind) (bool, error) {
	var p *periodic
	switch kind.Name {
	case jobs.KindExpire:
		p = &s.expiry
	case jobs.KindRemind:
		p = &s.reminding
	default:
		return true, nil
	}
	ids, err := s.some(ctx, p, 1)
	if err != nil || len(ids) == 0 {
		return false, err
	}
	busy, err := s.underWay(ctx, kind)
	return !busy, err
}

// underWay reports whether a tick of a kind is still to be done, or is being done: it finds what is due now too, and two at once would
// leave no time between their batches.
func (s *Store) underWay(ctx context.Context, kind jobs.Kind) (bool, error) {
	var ids []string
	err := s.read(ctx).Model(&Job{}).Where("dedupe_key > ? AND dedupe_key < ? AND finished_at IS NULL", tickKey(kind, s.now().Add(-keepTicks)), kind.Name+"A").
		Limit(1).Pluck("id", &ids).Error // 'A' follows on '@'
	return len(ids) > 0, err
}

// ExpireOrders deletes unpaid orders whose term is over, in batches, until none is left or the context ends. It returns how many.
// Safe to repeat and to race because each order is looked at again under its lock.
func (s *Store) ExpireOrders(ctx context.Context) (expired int, err error) {
	return s.eachDue(ctx, &s.expiry, func(t *tx, due []Order) error {
		uses, err := t.holdCouponsOf(due...)
		if err != nil {
			return err
		}
		for i := range due {
			if err := t.expire(&due[i], uses); err != nil {
				return err
			}
		}
		return nil
	})
}

func (t *tx) expire(o *Order, uses []couponUse) error {
	for i := range o.Payments {
		if p := &o.Payments[i]; p.Status == PaymentProcessing {
			// Its week of grace is over. Money that arrives yet is late money.
			if err := t.movePayment(o, p, PaymentCancelled, paymentChange{}, actorScheduler); err != nil {
				return err
			}
		}
	}
	return t.deleteOrder(o, uses, DeletedExpired, actorScheduler, "The order expired unpaid.", "")
}

// RemindOrders stages the reminders that are due, in batches, until none is left or the context ends. It returns for how many orders. One
// that has slept through several gets the latest only.
func (s *Store) RemindOrders(ctx context.Context) (reminded int, err error) {
	return s.eachDue(ctx, &s.reminding, func(t *tx, due []Order) error {
		merchants := make([]string, len(due))
		for i := range due {
			merchants[i] = due[i].MerchantID
		}
		slices.Sort(merchants)
		var rules []reminderRule
		if err := t.Where("merchant_id IN ?", slices.Compact(merchants)).Order("merchant_id, method_class, stage").Find(&rules).Error; err != nil {
			return err
		}
		for i := range due {
			if err := t.remind(&due[i], rules); err != nil {
				return err
			}
		}
		return nil
	})
}

// remind stages the latest reminder that is due of an order, whose present stage is.
func (t *tx) remind(o *Order, rules []reminderRule) error {
	latest := o.ReminderStage
	for _, r := range rules {
		if r.MerchantID == o.MerchantID && r.MethodClass == o.MethodClass && r.Stage > latest &&
			!o.UnpaidSince.Add(time.Duration(r.AfterS)*time.Second).After(t.now) {
			latest = r.Stage
		}
	}
	res := t.Model(&Order{}).Where("id = ? AND status = ? AND reminder_stage = ?", o.ID, OrderNotPaid, o.ReminderStage).
		Update("reminder_stage", latest+1)
	if res.Error != nil || res.RowsAffected == 0 {
		return res.Error
	}
	fact := o.ID + ":reminder:" + o.MethodClass + ":" + itoa(latest) + ":" + o.UnpaidSince.Format(time.RFC3339Nano)
	return t.email(Email{Kind: EmailReminder, Fact: fact, Stage: latest}, o)
}

// eachDue acts on every order that a selection finds, a batch a transaction. It returns on how many. An order on which nobody can act does not
// stand in the way of the others: a batch that fails goes one by one, those that fail then are set aside, and the error that is returned in
// the end names them.
func (s *Store) eachDue(ctx context.Context, p *periodic, act func(*tx, []Order) error) (total int, err error) {
	var failed []error
	for ctx.Err() == nil {
		began := time.Now()
		ids, err := s.some(ctx, p, dueBatch)
		if err != nil {
			return total, err
		}
		n := 0
		if len(ids) > 0 {
			n, err = s.actOn(ctx, ids, p, act)
			total += n
		}
		switch {
		case passing(ctx, err):
			return total, err
		case err != nil:
			for _, id := range ids {
				n, err := s.actOn(ctx, []string{id}, p, act)
				if passing(ctx, err) {
					return total, err
				}
				if total += n; err == nil {
					continue
				}
				s.log.Error("an order that is due is set aside", "order", id, "for", asideFor, "err", ErrorText(err))
				failed = append(failed, errors.New("order "+id+": "+ErrorText(err)))
				if !p.aside.add(id, s.now()) {
					return total, errors.Join(failed...)
				}
			}
		case n == 0 || len(ids) < dueBatch:
			return total, errors.Join(failed...)
		}
		rest(ctx, time.Since(began))
	}
	return total, errors.Join(append(failed, ctx.Err())...)
}

// passing reports that an error is not the order's fault.
func passing(ctx context.Context, err error) bool {
	return err != nil && (ctx.Err() != nil || Unavailable(err))
}

// actOn acts in one transaction on those of some orders that are due yet, and that nobody else holds. It returns on how many.
func (s *Store) actOn(ctx context.Context, ids []string, p *periodic, act func(*tx, []Order) error) (n int, err error) {
	err = s.write(ctx, func(t *tx) error {
		batch, err := t.lockDue(ids, p.due)
		if err != nil || len(batch) == 0 {
			return err
		}
		n = len(batch)
		return act(t, batch)
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}

// rest lets customers have what a batch used for a while: nobody waits for this work, and they do. It ends with the context.
func rest(ctx context.Context, pause time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(min(pause, time.Second)):
	}
}

// lockDue locks those of the orders that nobody else holds, always in the same order, and loads those of them that are due yet: a payment
// or a change of settings may have been quicker. The others are found by the next tick.
func (t *tx) lockDue(ids []string, due func(time.Time) dueOrders) ([]Order, error) {
	var locked []string
	err := t.Raw(`SELECT id FROM orders WHERE id IN ? ORDER BY id`+t.s.dialect.skipLocked(), ids).Scan(&locked).Error
	if err != nil || len(locked) == 0 {
		return nil, err
	}
	still, err := t.among(locked, due(t.now))
	if err != nil || len(still) == 0 {
		return nil, err
	}
	var orders []Order
	if err := t.Where("id IN ?", still).Order("id").Find(&orders).Error; err != nil {
		return nil, err
	}
	return orders, loadOrders(t.DB, orders)
}
