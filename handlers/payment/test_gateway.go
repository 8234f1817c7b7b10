package payment

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"
)

// testCards says what the test gateway does with a card. The numbers are those
// that Stripe publishes for testing, so that people know them; none is a card
// that a bank has issued. Any other valid number is declined.
var testCards = map[string]testKind{
	"4242424242424242": kindSucceeds,
	"4000000000000002": testKind(CardDeclined),
	"4000000000009995": testKind(InsufficientFunds),
	"4000000000000069": testKind(ExpiredCard),
	"4000000000000119": testKind(ProcessingError),
	"4000002500003155": kindConfirm,
	"4000000000000077": kindDelayed,
}

// Test is a gateway that moves no money. What it does depends on the card number
// alone, it remembers nothing, and it reaches nobody. Test orders only.
type Test struct {
	config TestConfig
}

var _ Gateway = (*Test)(nil)

// TestConfig is what a [Test] gateway needs.
type TestConfig struct {
	// PageURL is where the gateway's confirmation page is served; the reference
	// follows after a slash.
	PageURL string
	// CallbackSecret signs the gateway's callbacks; at least 32 bytes.
	CallbackSecret []byte
	// Now is the clock; time.Now when nil.
	Now func() time.Time
}

// NewTest makes a test gateway. It fails for an incomplete configuration.
func NewTest(config TestConfig) (*Test, error) {
	if config.PageURL == "" {
		return nil, errors.New("payment: test gateway: PageURL is empty")
	}
	if len(config.CallbackSecret) < 32 {
		return nil, errors.New("payment: test gateway: CallbackSecret has fewer than 32 bytes")
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	config.PageURL = strings.TrimSuffix(config.PageURL, "/")
	return &Test{config}, nil
}

// Format prints a mask for every verb.
func (TestConfig) Format(f fmt.State, _ rune) { printMask(f, "test") }

// LogValue returns a mask.
func (TestConfig) LogValue() slog.Value { return maskValue("test") }

// Format prints a mask for every verb.
func (Test) Format(f fmt.State, _ rune) { printMask(f, "test") }

// Name returns "test".
func (g *Test) Name() string { return "test" }

// Charge does what [ChargeRequest.Card] says; a card is required.
func (g *Test) Charge(ctx context.Context, req ChargeRequest) (Outcome, error) {
	if err := ctx.Err(); err != nil {
		return Outcome{}, err
	}
	wrong := validateRequest("payment_id", req.PaymentID, req.Amount, req.Currency, req.CreatedAt)
	if req.Card == nil {
		wrong = append(wrong, FieldError{"card", "is required"})
	} else {
		wrong = append(wrong, ValidateCard(*req.Card, g.config.Now())...)
	}
	if len(wrong) > 0 {
		return Outcome{}, wrong
	}
	kind, ok := testCards[req.Card.digits()]
	if !ok {
		kind = testKind(CardDeclined)
	}
	charge := newTestReference(kind, req.PaymentID, req.Amount, req.Currency, req.CreatedAt)
	if kind == kindDelayed {
		// Processing even when CreatedAt is long ago by our clock: the point of
		// this card is that the end comes later, by a callback.
		return charge.processing(testDelay), nil
	}
	return g.outcome(charge), nil
}

// Status answers as if it had remembered the charge. It does not know what the
// customer answered on the confirmation page: such a charge stays
// requires_action here and is settled by [Test.Answer].
func (g *Test) Status(ctx context.Context, reference string) (Outcome, error) {
	if err := ctx.Err(); err != nil {
		return Outcome{}, err
	}
	r, err := parseTestReference(reference)
	if err != nil {
		return Outcome{}, err
	}
	return g.outcome(r), nil
}

// TestChoice is what is chosen on the confirmation page.
type TestChoice string

const (
	// ChoiceConfirm: the charge succeeds.
	ChoiceConfirm TestChoice = "confirm"
	// ChoiceRefuse: it fails with [AuthenticationFailed].
	ChoiceRefuse TestChoice = "refuse"
	// ChoiceDecline: it fails with [CardDeclined].
	ChoiceDecline TestChoice = "decline"
	// ChoiceLater: it is processing, until a callback tells its end.
	ChoiceLater TestChoice = "later"
)

// Answer is what the confirmation page does with a charge that requires action.
// The error wraps [ErrReference] for any other charge.
func (g *Test) Answer(reference string, choice TestChoice) (Outcome, error) {
	r, err := parseTestReference(reference)
	if err != nil {
		return Outcome{}, err
	}
	if r.kind != kindConfirm {
		return Outcome{}, fmt.Errorf("payment: test gateway: %w: the charge does not wait for an answer", ErrReference)
	}
	switch choice {
	case ChoiceConfirm:
		return r.succeeded(), nil
	case ChoiceRefuse:
		return r.failed(AuthenticationFailed), nil
	case ChoiceDecline:
		return r.failed(CardDeclined), nil
	case ChoiceLater:
		return r.processing(testDelay), nil
	}
	return Outcome{}, fmt.Errorf("payment: test gateway: there is no choice %q", choice)
}

// Refund succeeds at once for a charge that succeeded or waited for the
// customer's answer, and otherwise fails with [NotRefundable]. It cannot know
// how much of the charge was refunded before.
func (g *Test) Refund(ctx context.Context, req RefundRequest) (Outcome, error) {
	if err := ctx.Err(); err != nil {
		return Outcome{}, err
	}
	charge, err := parseTestReference(req.Reference)
	if err != nil {
		return Outcome{}, err
	}
	if wrong := validateRefund(req, charge.amount, charge.currency); len(wrong) > 0 {
		return Outcome{}, wrong
	}
	refund := newTestReference(kindRefund, req.RefundID, req.Amount, req.Currency, req.CreatedAt)
	if charge.kind != kindRefund && (charge.kind == kindConfirm || g.outcome(charge).Status == StatusSucceeded) {
		return refund.succeeded(), nil
	}
	refund.kind = testKind(NotRefundable)
	return refund.failed(NotRefundable), nil
}

// outcome says where a charge or refund stands now.
func (g *Test) outcome(r testReference) Outcome {
	switch r.kind {
	case kindSucceeds, kindRefund:
		return r.succeeded()
	case kindConfirm:
		o := r.moved(StatusRequiresAction)
		o.RedirectURL = g.config.PageURL + "/" + o.Reference
		return o
	case kindDelayed:
		left := r.createdAt.Add(testDelay).Sub(g.config.Now())
		if left <= 0 {
			return r.succeeded()
		}
		// A clock that runs behind the database's must not make anyone wait longer.
		return r.processing(min(left, testDelay))
	default:
		return r.failed(FailureCode(r.kind))
	}
}

func (r testReference) moved(status Status) Outcome {
	return Outcome{Status: status, Reference: r.String(), Amount: r.amount, Currency: r.currency}
}

func (r testReference) processing(left time.Duration) Outcome {
	o := r.moved(StatusProcessing)
	o.PollAfter = left
	return o
}

func (r testReference) succeeded() Outcome { return r.moved(StatusSucceeded) }

func (r testReference) failed(code FailureCode) Outcome {
	return r.moved(StatusFailed).failed(code)
}
