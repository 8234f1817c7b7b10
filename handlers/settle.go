package handlers

import (
	"context"
	"fmt"
	"time"

	"github.com/purser-dev/purser/handlers/payment"
	"github.com/purser-dev/purser/models"
)

// settle asks a gateway what became of a payment that is still under way, or closes the page of one that was given up.
//
// Safe to repeat because only moves of the payment's table happen. A payment that the gateway was never asked for, because the process
// ended in between, is failed: nothing was charged. One that is not over is asked about again, by a promise that is made with the answer. A
// gateway that does not answer is tried again; when the attempts are used up the payment stays as it is, for staff to see.
func (w *Worker) settle(ctx context.Context, c *models.Claim) result {
	quick, done := reading(ctx)
	defer done()
	p, err := w.Store.Payment(quick, c.Args.Payment)
	if err != nil {
		return w.unread(c, err)
	}
	switch p.Status {
	case models.PaymentPending, models.PaymentRequiresAction, models.PaymentProcessing, models.PaymentCancelled:
	default:
		return w.keepNothing(c)
	}
	keep := func(r models.PaymentResult) result {
		return kept(func(ctx context.Context) error { return w.Store.KeepSettled(ctx, c, r) })
	}
	switch {
	case p.Reference == "" && p.Status == models.PaymentCancelled:
		return w.keepNothing(c)
	case p.Reference == "":
		return kept(func(ctx context.Context) error {
			return w.Store.KeepNeverAsked(ctx, c, models.PaymentResult{
				Status: models.PaymentFailed, FailureCode: string(payment.ProcessingError), FailureMessage: payment.ProcessingError.Message(),
			})
		})
	}
	gateway, err := w.gatewayOf(quick, p)
	if err != nil {
		return w.unread(c, err)
	}
	ask := gateway.Status
	if closer, ok := gateway.(payment.Closer); ok && p.Status == models.PaymentCancelled {
		ask = closer.Cancel
	}
	var out payment.Outcome
	calling(ctx).call(func() {
		ctx, span := w.traceCall(ctx, "ask "+gateway.Name())
		out, err = ask(ctx, p.Reference)
		endSpan(span, err)
	})
	if err != nil {
		return failed(fmt.Errorf("the gateway does not tell: %w", err))
	}
	r := paymentResult(out)
	if r.Status == models.PaymentProcessing {
		r.Ask = max(r.Ask, time.Second)
	}
	return keep(r)
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
		FailureCode: string(out.FailureCode), FailureMessage: out.FailureMessage, Ask: out.PollAfter,
	}
}
