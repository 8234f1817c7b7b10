package models

import (
	"context"
	"fmt"

	"github.com/purser-dev/purser/jobs"
)

// mender mends a finding's row, mostly by staging anew what it has lost. It runs in a transaction in which the row was found broken once more.
type mender func(t *tx, id string) error

// Mend starts again what was lost: the fulfilment of items, the filling of back-orders, emails and deliveries without a live promise. It
// counts the uses of coupons anew where their number is wrong, and gives back or takes again those that do not fit their order's status. It
// returns how many findings it has mended. Safe to repeat, and while everything runs: each row is looked at again under its order's lock, and
// work that is done twice has its effect once. What else the doctor finds needs a person.
func (s *Store) Mend(ctx context.Context) (started int, err error) {
	for _, check := range doctorChecks {
		if check.mender == nil {
			continue
		}
		for from := ""; ; {
			var ids []string
			q := fmt.Sprintf(`SELECT id FROM (%s) broken WHERE id > ? ORDER BY id LIMIT ?`, check.query)
			if err := s.read(ctx).Raw(q, from, foundBound).Scan(&ids).Error; err != nil {
				return started, err
			}
			for _, id := range ids {
				mended, err := s.mendOne(ctx, check, id)
				if err != nil {
					return started, fmt.Errorf("%s: %w", id, err)
				}
				if mended {
					started++
				}
			}
			if len(ids) < foundBound {
				break
			}
			from = ids[len(ids)-1]
		}
	}
	return started, nil
}

func (s *Store) mendOne(ctx context.Context, check doctorCheck, id string) (mended bool, err error) {
	err = s.write(ctx, func(t *tx) error {
		mended = false
		if check.order != "" {
			var orders []string
			if err := t.Raw(check.order, id).Scan(&orders).Error; err != nil {
				return err
			}
			for _, o := range orders {
				if _, err := t.lockOrder(o); err != nil {
					return err
				}
			}
		}
		var still []string
		if err := t.Raw(fmt.Sprintf(`SELECT id FROM (%s) broken WHERE id = ?`, check.query), id).Scan(&still).Error; err != nil || len(still) == 0 {
			return err
		}
		mended = true
		return check.mender(t, id)
	})
	return mended && err == nil, err
}

// The orders of what is mended, whose locks come before those of jobs.
const (
	orderOfItem     = `SELECT order_id FROM items WHERE id = ?`
	orderOfEmail    = `SELECT order_id FROM emails WHERE id = ? AND order_id IS NOT NULL`
	orderOfDelivery = `SELECT e.order_id FROM deliveries d JOIN events e ON e.id = d.event_id WHERE d.id = ? AND e.order_id IS NOT NULL`
)

func mendFulfilment(t *tx, id string) error {
	var i Item
	if err := t.Where("id = ?", id).Take(&i).Error; err != nil {
		return err
	}
	t.stageFulfilment(&i)
	return nil
}

func mendFilling(t *tx, id string) error {
	var i Item
	if err := t.Where("id = ?", id).Take(&i).Error; err != nil {
		return err
	}
	t.stage(jobs.KindFillPool, Job{Args: JobArgs{Product: i.ProductID, Test: i.Test}, MerchantID: &i.MerchantID})
	return nil
}

func mendCouponUses(t *tx, id string) error {
	o, err := t.lockOrder(id)
	if err != nil {
		return err
	}
	if o.Status != OrderDeleted {
		return t.retakeCoupons(o)
	}
	uses, err := t.holdCouponsOf(*o)
	if err != nil {
		return err
	}
	return t.releaseCoupons(o, uses)
}

func mendEmail(t *tx, id string) error {
	var e Email
	if err := t.Where("id = ?", id).Take(&e).Error; err != nil {
		return err
	}
	job := t.stage(e.jobKind(), Job{Args: JobArgs{Email: e.ID}, OrderID: e.OrderID, MerchantID: &e.MerchantID})
	return t.Model(&Email{}).Where("id = ?", e.ID).Update("job_id", job).Error
}

func mendDeliveryJob(t *tx, id string) error {
	var d Delivery
	if err := t.Where("id = ?", id).Take(&d).Error; err != nil {
		return err
	}
	var e Event
	if err := t.Where("id = ?", d.EventID).Take(&e).Error; err != nil {
		return err
	}
	return t.Model(&Delivery{}).Where("id = ?", d.ID).Update("job_id", t.stageDelivery(&d, &e)).Error
}
