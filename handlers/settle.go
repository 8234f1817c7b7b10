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
	keep := func(r models.PaymentResult) result {
		return kept(func(ctx context.Context) error { return w.Store.KeepSettled(ctx, c, r) })
	}
	if p.Reference == "" {
		return keep(models.PaymentResult{
			Status: models.PaymentFailed, FailureCode: string(payment.ProcessingError), FailureMessage: payment.ProcessingError.Message(),
		})
	}
	gateway, err := w.gatewayOf(ctx, p)
	if err != nil {
		return w.unread(c, err)
	}
	out, err := gateway.Status(ctx, p.Reference)
	if err != nil {
		return failed(fmt.Errorf("the gateway does not tell: %w", err))
	}
	if out.Status == payment.StatusProcessing {
		return failed(jobs.RetryAfter(fmt.Errorf("the payment is still being processed"), max(out.PollAfter, time.Second)))
	}
	return keep(paymentResult(out))
}

// gatewayOf is the gateway that a payment goes through, with the merchant's present configuration.
func (w *Worker) gatewayOf(ctx context.Context, p *models.Payment) (payment.Gateway, error) {
	method := ""
	if p.MethodID != nil {
		method = *p.MethodID
	}
	return w.gateways.Find(ctx, p.Gateway, method)
}

// paymentResult is a gateway's answer in the words of models.
func paymentResult(out payment.Outcome) models.PaymentResult {
	return models.PaymentResult{
		Status: models.PaymentStatus(out.Status), Reference: out.Reference, Amount: out.Amount, Currency: out.Currency, RedirectURL: out.RedirectURL,
		FailureCode: string(out.FailureCode), FailureMessage: out.FailureMessage,
	}
}
