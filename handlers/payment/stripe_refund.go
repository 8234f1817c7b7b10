package payment

import (
	"context"
	"errors"
	"strconv"

	"github.com/stripe/stripe-go/v85"
)

// Refund gives money back to where it came from. A refund that Stripe cannot make
// has the outcome [RefundFailed]; one of a charge that was not paid, or not yet,
// [NotRefundable].
//
// Safe to repeat at any time: within a day Stripe knows the idempotency key, and
// at any time the refund is found again by its metadata.
func (g *Stripe) Refund(ctx context.Context, req RefundRequest) (Outcome, error) {
	if !stripeSessionID.MatchString(req.Reference) {
		return Outcome{}, errStripeReference
	}
	if wrong := validateRefund(req, req.Amount, req.Currency); len(wrong) > 0 {
		return Outcome{}, wrong
	}
	ctx, cancel := context.WithTimeout(ctx, stripeTimeout)
	defer cancel()
	session, err := g.session(ctx, req.Reference)
	if err != nil {
		return Outcome{}, err
	}
	charge, err := session.outcome()
	if err != nil {
		return Outcome{}, err
	}
	wrong := validateRefund(req, charge.Amount, charge.Currency)
	amount, unfit := toStripe(req.Amount, req.Currency)
	if wrong = append(wrong, unfit...); len(wrong) > 0 {
		return Outcome{}, wrong
	}
	if charge.Status != StatusSucceeded || session.intent == "" {
		return Outcome{Amount: req.Amount, Currency: req.Currency}.failed(NotRefundable), nil
	}
	made, err := g.findRefund(ctx, session.intent, req)
	if err != nil {
		return Outcome{}, err
	}
	if made.ID != "" {
		return made.outcome()
	}

	params := &stripe.RefundCreateParams{
		PaymentIntent: new(session.intent),
		Amount:        new(amount),
		Metadata:      map[string]string{metaRefund: req.RefundID, metaAttempt: strconv.Itoa(req.Attempt)},
	}
	params.SetIdempotencyKey("purser-refund-" + req.RefundID + "-" + strconv.Itoa(req.Attempt))
	refund, err := g.api.V1Refunds.Create(ctx, params)
	if err != nil {
		return stripeRefundFailure(err, req)
	}
	return stripeRefundOf(refund).outcome()
}

// findRefund looks for the refund among those that the payment has; the zero value
// when it was not made yet.
func (g *Stripe) findRefund(ctx context.Context, intent string, req RefundRequest) (stripeRefund, error) {
	params := &stripe.RefundListParams{PaymentIntent: new(intent)}
	params.Limit = new(int64(100))
	for refund, err := range g.api.V1Refunds.List(ctx, params).All(ctx) {
		if err != nil {
			return stripeRefund{}, stripeRetrieveFailure(err)
		}
		if refund.Metadata[metaRefund] == req.RefundID && refund.Metadata[metaAttempt] == strconv.Itoa(req.Attempt) {
			return stripeRefundOf(refund), nil
		}
	}
	return stripeRefund{}, nil
}

// stripeRefund is what of a refund matters here; see stripeSession.
type stripeRefund struct {
	ID       string            `json:"id"`
	Status   string            `json:"status"`
	Amount   int64             `json:"amount"`
	Currency string            `json:"currency"`
	Metadata map[string]string `json:"metadata"`
}

func stripeRefundOf(r *stripe.Refund) stripeRefund {
	return stripeRefund{ID: r.ID, Status: string(r.Status), Amount: r.Amount, Currency: string(r.Currency), Metadata: r.Metadata}
}

func (r stripeRefund) outcome() (Outcome, error) {
	amount, currency, err := fromStripe(r.Amount, r.Currency)
	if err != nil {
		return Outcome{}, err
	}
	if !stripeRefundID.MatchString(r.ID) {
		return Outcome{}, errors.New("payment: stripe: the answer has no id of a refund")
	}
	o := Outcome{Reference: r.ID, Amount: amount, Currency: currency}
	switch stripe.RefundStatus(r.Status) {
	case stripe.RefundStatusSucceeded:
		o.Status = StatusSucceeded
	case stripe.RefundStatusPending, stripe.RefundStatusRequiresAction:
		// What is required, Stripe asks the customer for by email.
		o.Status, o.PollAfter = StatusProcessing, stripePollAfter
	case stripe.RefundStatusFailed, stripe.RefundStatusCanceled:
		return o.failed(RefundFailed), nil
	default:
		return Outcome{}, errors.New("payment: stripe: the answer has an unknown status")
	}
	return o, nil
}
