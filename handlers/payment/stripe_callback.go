package payment

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/stripe/stripe-go/v85"
	"github.com/stripe/stripe-go/v85/webhook"
)

const (
	stripeSignature = "Stripe-Signature"
	// maxStripeBody is larger than any event about a payment: a merchant's endpoint
	// may be sent other events too, which must be recognised to be let pass.
	maxStripeBody = 1 << 20
)

// ParseCallback accepts events that Stripe signed with one of the configured
// secrets within the last five minutes, in the mode of the secret key. It handles
// the end of a payment (checkout.session.completed, .async_payment_succeeded,
// .async_payment_failed, .expired), refunds that were asked for here (refund.* and
// charge.refund.updated) and the total of all refunds (charge.refunded); it ignores
// all others, and those about what was not asked for here.
func (g *Stripe) ParseCallback(header http.Header, body []byte) (Callback, error) {
	if len(body) > maxStripeBody {
		return Callback{}, stripeCallbackError("the body is longer than %d bytes", maxStripeBody)
	}
	event, err := g.verifiedEvent(header.Get(stripeSignature), body)
	if err != nil {
		return Callback{}, err
	}
	if event.Livemode != g.live {
		// A secret of the other mode must not make play money real.
		return Callback{}, stripeCallbackError("the event is of the other mode than the secret key")
	}
	if event.ID == "" || event.Data == nil {
		return Callback{}, stripeCallbackError("the event has no id or no data")
	}
	callback, err := readStripeEvent(event.Type, event.Data.Raw)
	if err != nil {
		return Callback{}, err
	}
	callback.ID = event.ID
	return callback, nil
}

// verifiedEvent checks the signature and then its age, by our own clock.
func (g *Stripe) verifiedEvent(signature string, body []byte) (stripe.Event, error) {
	options := webhook.ConstructEventOptions{
		IgnoreTolerance: true,
		// What is read of an event is the same in all versions.
		IgnoreAPIVersionMismatch: true,
	}
	for _, secret := range g.webhookSecrets {
		event, err := webhook.ConstructEventWithOptions(body, signature, secret, options)
		switch {
		case errors.Is(err, webhook.ErrNoValidSignature):
			continue
		case errors.Is(err, webhook.ErrNotSigned), errors.Is(err, webhook.ErrInvalidHeader):
			return stripe.Event{}, stripeCallbackError("the header %s is missing or not t=…,v1=…", stripeSignature)
		case err != nil:
			// Past the signature, so it is Stripe's; but not an event with its object.
			return stripe.Event{}, stripeCallbackError("the body is not an event with a snapshot payload")
		}
		signed, ok := stripeTimestamp(signature)
		if age := g.now().Sub(signed); !ok || age.Abs() > callbackTolerance {
			return stripe.Event{}, stripeCallbackError("the timestamp is more than %s off", callbackTolerance)
		}
		return event, nil
	}
	return stripe.Event{}, stripeCallbackError("the signature does not match")
}

// stripeTimestamp reads when a header was signed; there must be one time only.
func stripeTimestamp(signature string) (signed time.Time, ok bool) {
	for pair := range strings.SplitSeq(signature, ",") {
		stamp, is := strings.CutPrefix(pair, "t=")
		if !is {
			continue
		}
		seconds, err := strconv.ParseInt(stamp, 10, 64)
		if err != nil || ok {
			return time.Time{}, false
		}
		signed, ok = time.Unix(seconds, 0), true
	}
	return signed, ok
}

// readStripeEvent reads the object of an event whose signature was right.
func readStripeEvent(kind stripe.EventType, object json.RawMessage) (Callback, error) {
	switch kind {
	case stripe.EventTypeCheckoutSessionCompleted, stripe.EventTypeCheckoutSessionAsyncPaymentSucceeded,
		stripe.EventTypeCheckoutSessionAsyncPaymentFailed, stripe.EventTypeCheckoutSessionExpired:
		var session stripeSession
		if json.Unmarshal(object, &session) != nil {
			return Callback{}, stripeCallbackError("the event's object is not a Checkout Session")
		}
		if kind == stripe.EventTypeCheckoutSessionAsyncPaymentFailed {
			session.failed = ProcessingError
		}
		id := session.Metadata[metaPayment]
		if !requestID.MatchString(id) {
			return Callback{}, stripeIgnored("it is about a payment that was not asked for here")
		}
		outcome, err := session.outcome()
		return Callback{Subject: SubjectCharge, Outcome: outcome, PaymentID: id}.readable(err)

	case stripe.EventTypeRefundCreated, stripe.EventTypeRefundUpdated, stripe.EventTypeRefundFailed, stripe.EventTypeChargeRefundUpdated:
		var refund stripeRefund
		if json.Unmarshal(object, &refund) != nil {
			return Callback{}, stripeCallbackError("the event's object is not a refund")
		}
		id := refund.Metadata[metaRefund]
		if !requestID.MatchString(id) {
			return Callback{}, stripeIgnored("it is about a refund that was not asked for here")
		}
		outcome, err := refund.outcome()
		return Callback{Subject: SubjectRefund, Outcome: outcome, RefundID: id}.readable(err)

	case stripe.EventTypeChargeRefunded:
		return readStripeCharge(object)
	}
	return Callback{}, stripeIgnored("events of type %s are not handled", printable(string(kind)))
}

func readStripeCharge(object json.RawMessage) (Callback, error) {
	var charge struct {
		ID             string            `json:"id"`
		AmountRefunded int64             `json:"amount_refunded"`
		Currency       string            `json:"currency"`
		Metadata       map[string]string `json:"metadata"`
	}
	if json.Unmarshal(object, &charge) != nil || charge.ID == "" {
		return Callback{}, stripeCallbackError("the event's object is not a charge")
	}
	id := charge.Metadata[metaPayment]
	if !requestID.MatchString(id) {
		return Callback{}, stripeIgnored("it is about a payment that was not asked for here")
	}
	amount, currency, err := fromStripe(charge.AmountRefunded, charge.Currency)
	outcome := Outcome{Status: StatusSucceeded, Reference: charge.ID, Amount: amount, Currency: currency}
	return Callback{Subject: SubjectRefundTotal, Outcome: outcome, PaymentID: id}.readable(err)
}

// readable returns c, unless its outcome could not be read.
func (c Callback) readable(err error) (Callback, error) {
	if err != nil {
		return Callback{}, stripeCallbackError("%s", strings.TrimPrefix(err.Error(), "payment: stripe: "))
	}
	return c, nil
}

func stripeCallbackError(format string, args ...any) error {
	return fmt.Errorf("payment: stripe: %w: "+format, append([]any{ErrCallback}, args...)...)
}

func stripeIgnored(format string, args ...any) error {
	return fmt.Errorf("payment: stripe: %w: "+format, append([]any{ErrIgnored}, args...)...)
}
