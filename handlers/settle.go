package handlers

import (
	"context"
	"fmt"
	"time"

	"github.com/purser-dev/purser/handlers/payment"
	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/models"
)

// settle asks a gateway what became of a payment that is still under way.
//
// Safe to repeat because only moves of the payment's table happen. A payment that the gateway was never asked for, because the process
// ended in between, is failed: nothing was charged. A gateway that does not answer is asked again; when the attempts are used up the
// payment stays as it is, for staff to see.
func (w *Worker) settle(ctx context.Context, c *models.Claim) result {
	p, err := w.Store.Payment(ctx, c.Args.Payment)
	if err != nil {
		return w.unread(c, err)
	}
	switch p.Status {
	case models.PaymentPending, models.PaymentProcessing:
	default:
		return w.keepNothing(c)
	}
	gateway, ok := w.Gateways[p.Gateway]
	if !ok {
		return failed(fmt.Errorf("there is no gateway %s", p.Gateway))
	}
	keep := func(r models.PaymentResult) result {
		return kept(func(ctx context.Context) error { return w.Store.KeepSettled(ctx, c, r) })
	}
	if p.Reference == "" {
		return keep(models.PaymentResult{
			Status: models.PaymentFailed, FailureCode: string(payment.ProcessingError), FailureMessage: payment.ProcessingError.Message(),
		})
	}
	out, err := gateway.Status(ctx, p.Reference)
	if err != nil {
		return failed(fmt.Errorf("the gateway does not tell: %w", err))
	}
	if out.Status == payment.StatusProcessing {
		return failed(jobs.RetryAfter(fmt.Errorf("the payment is still being processed"), max(out.PollAfter, time.Second)))
	}
	return keep(models.PaymentResult{
		Status: models.PaymentStatus(out.Status), Reference: out.Reference,
		FailureCode: string(out.FailureCode), FailureMessage: out.FailureMessage,
	})
}
