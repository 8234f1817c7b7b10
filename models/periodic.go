package models

import (
	"context"
	"slices"
	"time"

	"gorm.io/gorm"

	"github.com/purser-dev/purser/jobs"
)

// dueBatch bounds one transaction of the periodic work.
const dueBatch = 200

// processingGrace is how much longer than its term an unpaid order is kept while its online payment is being processed.
const processingGrace = 7 * 24 * time.Hour

// expired selects the unpaid orders whose term is over.
func (s *Store) expired(db *gorm.DB, now time.Time) *gorm.DB {
	return db.Table("merchants AS m").
		Joins("JOIN orders AS o ON o.merchant_id = m.id AND o.status = 'not_paid' AND o.unpaid_since <= "+s.dialect.minusSeconds("m.delete_unpaid_after_s"), now).
		Where("(o.unpaid_since <= "+s.dialect.minusSeconds("(m.delete_unpaid_after_s + ?)")+
			" OR NOT EXISTS (SELECT 1 FROM payments AS p WHERE p.order_id = o.id AND p.status = 'processing'))", now, int64(processingGrace/time.Second))
}

// reminders selects the unpaid orders that are due for their next reminder. One whose term is over is about to be deleted, and its customer
// is not asked any more.
func (s *Store) reminders(db *gorm.DB, now time.Time) *gorm.DB {
	return db.Table("reminder_rules AS r").
		Joins("JOIN orders AS o ON o.merchant_id = r.merchant_id AND o.method_class = r.method_class AND o.reminder_stage = r.stage"+
			" AND o.status = 'not_paid' AND o.unpaid_since <= "+s.dialect.minusSeconds("r.after_s"), now).
		Joins("JOIN merchants AS m ON m.id = o.merchant_id AND o.unpaid_since > "+s.dialect.minusSeconds("m.delete_unpaid_after_s"), now)
}

// Due reports whether a periodic kind has anything to do, so that its ticks cost one query while it has not.
func (s *Store) Due(ctx context.Context, kind jobs.Kind) (bool, error) {
	db, now := s.read(ctx), s.now()
	var q *gorm.DB
	switch kind.Name {
	case jobs.KindExpire:
		q = s.expired(db, now)
	case jobs.KindRemind:
		q = s.reminders(db, now)
	default:
		return true, nil
	}
	var ids []string
	err := q.Limit(1).Pluck("o.id", &ids).Error
	return len(ids) > 0, err
}

// ExpireOrders deletes unpaid orders whose term is over, in batches, until none is left or the context ends. It returns how many.
// Safe to repeat and to race because each order is looked at again under its lock.
func (s *Store) ExpireOrders(ctx context.Context) (expired int, err error) {
	return s.eachDue(ctx, s.expired, func(t *tx, due []Order) error {
		if err := t.lockCountersOf(due); err != nil {
			return err
		}
		for i := range due {
			if err := t.expire(&due[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

func (t *tx) expire(o *Order) error {
	for i := range o.Payments {
		if p := &o.Payments[i]; p.Status == PaymentProcessing {
			// Its week of grace is over. Money that arrives yet is late money.
			if err := t.movePayment(o, p, PaymentCancelled, paymentChange{}, actorScheduler); err != nil {
				return err
			}
		}
	}
	return t.deleteOrder(o, DeletedExpired, actorScheduler, "The order expired unpaid.", "")
}

// RemindOrders stages the reminders that are due, in batches, until none is left or the context ends. It returns for how many orders. One
// that has slept through several gets the latest only.
func (s *Store) RemindOrders(ctx context.Context) (reminded int, err error) {
	return s.eachDue(ctx, s.reminders, func(t *tx, due []Order) error {
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

// eachDue acts on every order that a selection finds, a batch a transaction. It returns on how many.
func (s *Store) eachDue(ctx context.Context, due func(*gorm.DB, time.Time) *gorm.DB, act func(*tx, []Order) error) (total int, err error) {
	for ctx.Err() == nil {
		var ids []string
		if err := due(s.read(ctx), s.now()).Order("o.unpaid_since").Limit(dueBatch).Pluck("o.id", &ids).Error; err != nil || len(ids) == 0 {
			return total, err
		}
		var batch []Order
		err := s.write(ctx, func(t *tx) error {
			var err error
			if batch, err = t.lockDue(ids, due); err != nil || len(batch) == 0 {
				return err
			}
			return act(t, batch)
		})
		if err != nil {
			return total, err
		}
		total += len(batch)
		if len(ids) < dueBatch || len(batch) == 0 {
			return total, nil
		}
	}
	return total, ctx.Err()
}

// lockDue locks those of the orders that nobody else holds, always in the same order, and loads those of them that are due yet: a payment
// or a change of settings may have been quicker. The others are found by the next tick.
func (t *tx) lockDue(ids []string, due func(*gorm.DB, time.Time) *gorm.DB) ([]Order, error) {
	var locked, still []string
	err := t.Raw(`SELECT id FROM orders WHERE id IN ? ORDER BY id`+t.s.dialect.skipLocked(), ids).Scan(&locked).Error
	if err != nil || len(locked) == 0 {
		return nil, err
	}
	if err := due(t.DB, t.now).Where("o.id IN ?", locked).Pluck("o.id", &still).Error; err != nil || len(still) == 0 {
		return nil, err
	}
	var orders []Order
	if err := t.Where("id IN ?", still).Order("id").Find(&orders).Error; err != nil {
		return nil, err
	}
	return orders, loadOrders(t.DB, orders)
}
