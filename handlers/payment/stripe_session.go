package payment

import (
	"context"
	"errors"
	"fmt"
	"regexp"

	"github.com/stripe/stripe-go/v85"
)

var (
	stripeSessionID = regexp.MustCompile(`^cs_(test|live)_[A-Za-z0-9]{1,200}$`)
	stripeRefundID  = regexp.MustCompile(`^(re|pyr)_[A-Za-z0-9]{1,100}$`)

	errStripeReference = fmt.Errorf("payment: stripe: %w", ErrReference)
)

// Status retrieves the Checkout Session or the refund.
func (g *Stripe) Status(ctx context.Context, reference string) (Outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, stripeTimeout)
	defer cancel()
	switch {
	case stripeSessionID.MatchString(reference):
		return g.sessionStatus(ctx, reference)
	case stripeRefundID.MatchString(reference):
		refund, err := g.api.V1Refunds.Retrieve(ctx, reference, nil)
		if err != nil {
			return Outcome{}, stripeRetrieveFailure(err)
		}
		return stripeRefundOf(refund).outcome()
	}
	return Outcome{}, errStripeReference
}

// Cancel closes the payment page of a charge that was not paid, so that it cannot
// be paid any more beside another payment of the same order. The outcome says where
// the charge stands: failed with [PaymentExpired] when the page was still open, and
// otherwise what the customer did first.
func (g *Stripe) Cancel(ctx context.Context, reference string) (Outcome, error) {
	if !stripeSessionID.MatchString(reference) {
		return Outcome{}, errStripeReference
	}
	ctx, cancel := context.WithTimeout(ctx, stripeTimeout)
	defer cancel()
	session, err := g.api.V1CheckoutSessions.Expire(ctx, reference, nil)
	var fault *stripe.Error
	switch {
	case err == nil:
		return stripeSessionOf(session).outcome()
	case errors.As(err, &fault) && fault.HTTPStatusCode == 400:
		// It is not open.
		return g.sessionStatus(ctx, reference)
	}
	return Outcome{}, stripeRetrieveFailure(err)
}

func (g *Stripe) sessionStatus(ctx context.Context, id string) (Outcome, error) {
	session, err := g.session(ctx, id)
	if err != nil {
		return Outcome{}, err
	}
	return session.outcome()
}

func (g *Stripe) session(ctx context.Context, id string) (stripeSession, error) {
	params := &stripe.CheckoutSessionRetrieveParams{}
	params.AddExpand("payment_intent") // which alone knows why a payment failed
	session, err := g.api.V1CheckoutSessions.Retrieve(ctx, id, params)
	if err != nil {
		return stripeSession{}, stripeRetrieveFailure(err)
	}
	return stripeSessionOf(session), nil
}

// stripeSession is what of a Checkout Session matters here. Callbacks are read into
// it directly: their shape follows the API version of the merchant's webhook
// endpoint, and these fields have been the same in all of them.
type stripeSession struct {
	ID            string            `json:"id"`
	Status        string            `json:"status"`
	PaymentStatus string            `json:"payment_status"`
	AmountTotal   int64             `json:"amount_total"`
	Currency      string            `json:"currency"`
	URL           string            `json:"url"`
	Metadata      map[string]string `json:"metadata"`

	// failed says that a page that was completed will not be paid any more, and why.
	failed FailureCode
	intent string
}

func stripeSessionOf(s *stripe.CheckoutSession) stripeSession {
	out := stripeSession{
		ID: s.ID, Status: string(s.Status), PaymentStatus: string(s.PaymentStatus),
		AmountTotal: s.AmountTotal, Currency: string(s.Currency), URL: s.URL, Metadata: s.Metadata,
	}
	if s.PaymentIntent == nil {
		return out
	}
	out.intent = s.PaymentIntent.ID
	switch s.PaymentIntent.Status {
	case stripe.PaymentIntentStatusRequiresPaymentMethod, stripe.PaymentIntentStatusCanceled:
		out.failed = stripeFailureCode(s.PaymentIntent.LastPaymentError)
	}
	return out
}

// outcome says where the charge stands. Only what Stripe calls paid has succeeded.
func (s stripeSession) outcome() (Outcome, error) {
	amount, currency, err := fromStripe(s.AmountTotal, s.Currency)
	if err != nil {
		return Outcome{}, err
	}
	if !stripeSessionID.MatchString(s.ID) {
		return Outcome{}, errors.New("payment: stripe: the answer has no id of a Checkout Session")
	}
	o := Outcome{Reference: s.ID, Amount: amount, Currency: currency}
	switch {
	case s.PaymentStatus == string(stripe.CheckoutSessionPaymentStatusPaid):
		o.Status = StatusSucceeded
	case s.PaymentStatus != string(stripe.CheckoutSessionPaymentStatusUnpaid):
		return Outcome{}, errors.New("payment: stripe: the answer has a payment status that a charge cannot have")
	case s.Status == string(stripe.CheckoutSessionStatusExpired):
		return o.failed(PaymentExpired), nil
	case s.Status == string(stripe.CheckoutSessionStatusOpen):
		// Also after a declined card: the customer tries again on the same page.
		if !isWebURL(s.URL) {
			return Outcome{}, errors.New("payment: stripe: the answer has no address of the payment page")
		}
		o.Status, o.RedirectURL, o.PollAfter = StatusRequiresAction, s.URL, stripePageAsk
	case s.Status == string(stripe.CheckoutSessionStatusComplete) && s.failed != "":
		return o.failed(s.failed), nil
	case s.Status == string(stripe.CheckoutSessionStatusComplete):
		o.Status, o.PollAfter = StatusProcessing, stripePollAfter
	default:
		return Outcome{}, errors.New("payment: stripe: the answer has an unknown status")
	}
	return o, nil
}

func (o Outcome) failed(code FailureCode) Outcome {
	o.Status, o.FailureCode, o.FailureMessage = StatusFailed, code, code.Message()
	return o
}
