// Package payment talks to payment gateways. It moves money and knows nothing of
// orders: what a payment means for an order is decided by its caller.
//
// It is a leaf: it knows no database and no queue. Card numbers pass through it
// and leave no trace: no reference, outcome or error holds one, and a [Card]
// prints as a mask.
package payment

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"
)

// Gateway takes and returns money. An implementation is safe for concurrent use
// and keeps no state of its own about payments: what it needs later is in the
// reference that it hands out.
//
// An [Outcome] is an answer, also when the answer is no. An error means that
// there is no answer: a [FieldErrors] that the request was never valid and must
// not be repeated as it is; one that wraps [ErrRefused] that nothing has moved,
// and that repeating is in vain before the gateway's settings or the account
// behind them have changed; any other error that the money may have moved, and
// that the same call may be made again, which the request's id makes harmless.
// A call whose context has ended gives the context's error.
type Gateway interface {
	// Name is the gateway's name in the payment's data, such as "test".
	Name() string

	// Charge starts taking money, or takes it. The same request again, which has
	// the same PaymentID, never takes the money twice and gives the same
	// reference.
	Charge(ctx context.Context, req ChargeRequest) (Outcome, error)

	// Status asks what became of the charge or refund with the given reference.
	// It is for charges that are processing, and the way out when a callback was
	// lost.
	Status(ctx context.Context, reference string) (Outcome, error)

	// Refund gives back money of a succeeded charge, all or a part. The same
	// request again, which has the same RefundID, never pays twice. A gateway that
	// cannot send money by itself answers StatusPending; a person confirms.
	Refund(ctx context.Context, req RefundRequest) (Outcome, error)

	// ParseCallback checks that a call to the gateway's callback URL comes from
	// the gateway and reads it. The error wraps [ErrCallback] for anything that
	// is not a genuine callback, and [ErrIgnored] for a genuine one that tells
	// nothing about a payment of ours. Callbacks repeat and overtake each other.
	ParseCallback(header http.Header, body []byte) (Callback, error)
}

// A Closer is a gateway with payment pages that stay open until somebody closes
// them.
type Closer interface {
	// Cancel closes the page of a charge that was not paid. The outcome says where
	// the charge stands: failed when the page was still open, and otherwise what the
	// customer did first.
	Cancel(ctx context.Context, reference string) (Outcome, error)
}

var (
	// ErrReference is wrapped by the error for a reference that the gateway never
	// handed out.
	ErrReference = errors.New("unknown payment reference")
	// ErrCallback is wrapped by the error for a callback that is forged, stale or
	// unreadable.
	ErrCallback = errors.New("callback refused")
	// ErrIgnored is wrapped by the error for a genuine callback that is of no
	// concern: of a kind that is not handled, or about money that was not ours to
	// take. It is answered like one that was handled, or it would be repeated.
	ErrIgnored = errors.New("callback of no concern")
	// ErrRefused is wrapped by the error for a call that the gateway refused for
	// a reason outside the request, such as a wrong API key.
	ErrRefused = errors.New("refused by the gateway")
)

// Status is where a charge or a refund stands. The values are those of the API's
// payment status.
type Status string

const (
	// StatusSucceeded: the money has moved. Final.
	StatusSucceeded Status = "succeeded"
	// StatusFailed: the money has not moved and will not. Final.
	StatusFailed Status = "failed"
	// StatusRequiresAction: the customer must go to Outcome.RedirectURL.
	StatusRequiresAction Status = "requires_action"
	// StatusProcessing: the gateway is at it; a callback will come, or ask again
	// after Outcome.PollAfter.
	StatusProcessing Status = "processing"
	// StatusPending: a person must act, by Outcome.Instructions if it is the
	// customer.
	StatusPending Status = "pending"
)

// Final reports whether the status can no longer change.
func (s Status) Final() bool { return s == StatusSucceeded || s == StatusFailed }

// ChargeRequest asks for money.
type ChargeRequest struct {
	// PaymentID is our id of the payment (pay_…) and the idempotency key.
	PaymentID string
	// OrderNumber is what the customer knows the order by; transfers are matched
	// by it.
	OrderNumber string
	// Amount is in minor units of Currency, above zero.
	Amount int64
	// Currency is an ISO 4217 code.
	Currency string
	// CreatedAt is when the payment was made, as its row says; the same on every
	// repetition of the call.
	CreatedAt time.Time
	// Card is for gateways that take card data from us, which only [Test] does.
	Card *Card
	// ReturnURL is where a gateway with pages of its own sends the customer
	// afterwards.
	ReturnURL string
	// CancelURL is where such a gateway sends the customer who turns back without
	// paying; ReturnURL when empty.
	CancelURL string
	// CustomerEmail fills in the address on such a page; it may be empty.
	CustomerEmail string
	// Description names on such a page what is paid for, in the customer's
	// language; at most 250 characters. Without it the order number does.
	Description string
}

// RefundRequest gives money back.
type RefundRequest struct {
	// RefundID is our id of the refund (rfd_…) and the idempotency key.
	RefundID string
	// Reference is that of the charge.
	Reference string
	// Amount is in minor units of Currency, above zero and at most the charge's.
	Amount int64
	// Currency is the charge's.
	Currency string
	// CreatedAt is when the refund was made, as its row says.
	CreatedAt time.Time
	// Attempt tells a refund that staff start anew, after the outcome was that it
	// failed, from a repetition of the call: the gateway would answer the latter
	// with the old failure. 0 at first; one more each time. Never more after an
	// error, which leaves open whether the money has moved.
	Attempt int
}

// Outcome is a gateway's answer. It holds nothing secret and may be stored.
type Outcome struct {
	Status Status
	// Reference is the gateway's name of the charge or refund. Always set, unless
	// the status is failed: a gateway may refuse what it has given no name yet.
	Reference string
	// Amount and Currency are what the gateway says it moved or will move, which
	// need not be what was asked for.
	Amount   int64
	Currency string
	// FailureCode and FailureMessage are set when the status is failed. The code
	// is for programs, the message is for the customer.
	FailureCode    FailureCode
	FailureMessage string
	// RedirectURL is set when the status is requires_action.
	RedirectURL string
	// Instructions is set when the status is pending and the customer must act.
	Instructions *Instructions
	// PollAfter is when asking again makes sense; set when the status is
	// processing, and when it is requires_action where Status learns what the
	// customer did.
	PollAfter time.Duration
}

// Callback is what a gateway told us of its own accord.
type Callback struct {
	// ID is the same whenever the gateway repeats the callback.
	ID string
	// Subject is what Outcome is about.
	Subject Subject
	// Outcome says where the charge or refund with Outcome.Reference stands.
	Outcome Outcome
	// PaymentID is our id of the payment, as the charge was asked for with it. It
	// finds the payment also when the charge's reference was lost on the way. Empty
	// when the gateway did not give it back, as for [SubjectRefund].
	PaymentID string
	// RefundID is our id of the refund; set with [SubjectRefund] only.
	RefundID string
}

// Subject is what a callback is about.
type Subject string

const (
	// SubjectCharge: the outcome is that of a charge.
	SubjectCharge Subject = "charge"
	// SubjectRefund: the outcome is that of a refund which was asked for here.
	SubjectRefund Subject = "refund"
	// SubjectRefundTotal: the outcome's amount is all that was given back of the
	// payment so far, by whomever, so that a refund which was made on the gateway's
	// own pages is seen. The reference is not one for Status.
	SubjectRefundTotal Subject = "refund_total"
)

// FieldError says what is wrong with one field of a request. Message completes
// the sentence that Field begins ("card.number" "is not …") and never repeats
// the value.
type FieldError struct {
	Field   string
	Message string
}

// Error returns the field and the message.
func (e FieldError) Error() string { return e.Field + " " + e.Message }

// FieldErrors is every field of a request that is wrong; never empty when it is
// returned as an error. errors.As finds the first [FieldError] in it.
type FieldErrors []FieldError

// Error joins the errors of all fields.
func (e FieldErrors) Error() string {
	parts := make([]string, len(e))
	for i, field := range e {
		parts[i] = field.Error()
	}
	return strings.Join(parts, "; ")
}

// Unwrap lets errors.Is and errors.As look at each field's error.
func (e FieldErrors) Unwrap() []error {
	errs := make([]error, len(e))
	for i, field := range e {
		errs[i] = field
	}
	return errs
}
