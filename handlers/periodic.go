package handlers

import (
	"context"
	"errors"

	"github.com/purser-dev/purser/models"
)

// remind stages the payment reminders that are due. Safe to repeat because each order's stage moves by compare-and-set with the email
// that it stages; a run that is cut off leaves the rest to the next tick.
func (w *Worker) remind(ctx context.Context, c *models.Claim) result {
	n, err := w.Store.RemindOrders(ctx)
	if err != nil && !goesOn(ctx, n) {
		return w.unread(c, err)
	}
	w.Log.Debug("reminders staged", "orders", n)
	return w.keepNothing(c)
}

// expire deletes the unpaid orders whose term is over. Safe to repeat because each order is looked at again under its lock; a run that is cut
// off leaves the rest to the next tick. An order that cannot be deleted fails the run, when all the others are.
func (w *Worker) expire(ctx context.Context, c *models.Claim) result {
	n, err := w.Store.ExpireOrders(ctx)
	if n > 0 {
		w.Log.Info("unpaid orders expired", "orders", n)
	}
	if err != nil && !goesOn(ctx, n) {
		return w.unread(c, err)
	}
	return w.keepNothing(c)
}

// goesOn reports that there was more to do than time to do it in, which is no failure: the next tick goes on where this one was. One that got
// nothing done fails, so that somebody hears of it.
func goesOn(ctx context.Context, done int) bool {
	return done > 0 && errors.Is(ctx.Err(), context.DeadlineExceeded)
}

// sweep deletes what retention no longer keeps. Safe to repeat and to cut off because it deletes the oldest first, in batches.
func (w *Worker) sweep(ctx context.Context, c *models.Claim) result {
	n, err := w.Store.Sweep(ctx)
	if err != nil && !goesOn(ctx, int(n.Rows())) {
		return w.unread(c, err)
	}
	return w.keepNothing(c)
}
