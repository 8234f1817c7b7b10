package models

import (
	"context"
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

// reminders selects the unpaid orders that are due for their next reminder.
func (s *Store) reminders(db *gorm.DB, now time.Time) *gorm.DB {
	return db.Table("reminder_rules AS r").
		Joins("JOIN orders AS o ON o.merchant_id = r.merchant_id AND o.method_class = r.method_class AND o.reminder_stage = r.stage"+
			" AND o.status = 'not_paid' AND o.unpaid_since <= "+s.dialect.minusSeconds("r.after_s"), now)
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
	return s.eachDue(ctx, s.expired, func(t *tx, id string) error {
		o, err := t.lockOrder(id)
		if err != nil {
			return err
		}
		if o.Status != OrderNotPaid {
			return nil
		}
		for i := range o.Payments {
			if p := &o.Payments[i]; p.Status == PaymentProcessing {
				// Its week of grace is over. Money that arrives yet is late money.
				if err := t.movePayment(o, p, PaymentCancelled, paymentChange{}, actorScheduler); err != nil {
					return err
				}
			}
		}
		return t.deleteOrder(o, DeletedExpired, actorScheduler, "The order expired unpaid.", "")
	})
}

// RemindOrders stages the reminders that are due. An order that has slept through several gets the latest only.
func (s *Store) RemindOrders(ctx context.Context) (reminded int, err error) {
	return s.eachDue(ctx, s.reminders, func(t *tx, id string) error {
		o, err := t.lockOrder(id)
		if err != nil {
			return err
		}
		if o.Status != OrderNotPaid {
			return nil
		}
		var rules []struct {
			Stage  int
			AfterS int64
		}
		if err := t.Table("reminder_rules").Where("merchant_id = ? AND method_class = ? AND stage >= ?", o.MerchantID, o.MethodClass, o.ReminderStage).
			Order("stage").Find(&rules).Error; err != nil {
			return err
		}
		latest := -1
		for _, r := range rules {
			if !o.UnpaidSince.Add(time.Duration(r.AfterS) * time.Second).After(t.now) {
				latest = r.Stage
			}
		}
		if latest < 0 {
			return nil // somebody else was quicker
		}
		res := t.Model(&Order{}).Where("id = ? AND status = ? AND reminder_stage = ?", o.ID, OrderNotPaid, o.ReminderStage).
			Update("reminder_stage", latest+1)
		if res.Error != nil || res.RowsAffected == 0 {
			return res.Error
		}
		fact := o.ID + ":reminder:" + o.MethodClass + ":" + itoa(latest) + ":" + o.UnpaidSince.Format(time.RFC3339Nano)
		return t.email(Email{Kind: EmailReminder, Fact: fact, Stage: latest}, o)
	})
}

// eachDue acts on every order that a selection finds, a batch a transaction.
func (s *Store) eachDue(ctx context.Context, due func(*gorm.DB, time.Time) *gorm.DB, act func(*tx, string) error) (total int, err error) {
	for ctx.Err() == nil {
		var ids []string
		if err := due(s.read(ctx), s.now()).Order("o.unpaid_since").Limit(dueBatch).Pluck("o.id", &ids).Error; err != nil || len(ids) == 0 {
			return total, err
		}
		free := 0
		err := s.write(ctx, func(t *tx) error {
			locked, err := t.lockable(ids)
			if err != nil {
				return err
			}
			free = len(locked)
			for _, id := range locked {
				if err := act(t, id); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return total, err
		}
		total += free
		if len(ids) < dueBatch || free == 0 {
			return total, nil
		}
	}
	return total, ctx.Err()
}

// lockable locks those of the orders that nobody else holds, always in the same order. The others are found by the next tick.
func (t *tx) lockable(ids []string) (locked []string, err error) {
	err = t.Raw(`SELECT id FROM orders WHERE id IN ? AND status = 'not_paid' ORDER BY id`+t.s.dialect.skipLocked(), ids).Scan(&locked).Error
	return locked, err
}
