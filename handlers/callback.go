package handlers

import (
	"context"
	"errors"

	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/models"
)

// callback applies what a gateway told us of a payment or a refund.
//
// Safe to repeat, and in any order with other callbacks and with our own questions, because only moves of the payment's table happen and
// an applied callback is not applied again. Permanent: a callback about a payment or refund that its merchant does not have in that mode
// through that gateway. It is dead at once, for operators to see; a genuine callback means that money may have moved.
func (w *Worker) callback(ctx context.Context, c *models.Claim) result {
	quick, done := reading(ctx)
	defer done()
	_, err := w.Store.CallbackOrder(quick, c.Args.Callback)
	switch {
	case errors.Is(err, models.ErrNothingToDo):
		return w.keepNothing(c)
	case models.CodeOf(err) == models.CodeNotFound:
		return failed(jobs.Permanent(errors.New("the callback is about no payment or refund of its merchant, mode and gateway")))
	case err != nil:
		return w.unread(c, err)
	}
	return kept(func(ctx context.Context) error { return w.Store.KeepCallback(ctx, c) })
}
