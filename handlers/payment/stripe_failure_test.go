package payment_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/purser-dev/purser/handlers/payment"
)

// What a failed answer of Stripe's means, whoever asked.
func TestStripeFailures(t *testing.T) {
	t.Parallel()
	fault := func(kind, code, param string) string {
		return fmt.Sprintf(`{"error":{"type":%q,"code":%q,"param":%q,"message":"Told in confidence: ada@example.com sk_test_51Fake0SecretKey"}}`, kind, code, param)
	}
	const (
		repeatable = "repeatable"
		refused    = "refused"
		fields     = "fields"
	)
	for name, tc := range map[string]struct {
		status           int
		body, kind, want string
	}{
		"wrong key": {401, fault("invalid_request_error", "", ""), refused,
			"payment: stripe: refused by the gateway: Stripe answered 401 (type invalid_request_error, code none, parameter none, request req_failed)"},
		"key without the right": {403, fault("invalid_request_error", "more_permissions_required", ""), refused,
			"payment: stripe: refused by the gateway: Stripe answered 403 (type invalid_request_error, code more_permissions_required, parameter none, request req_failed)"},
		"account not ready": {400, fault("invalid_request_error", "", ""), refused,
			"payment: stripe: refused by the gateway: Stripe answered 400 (type invalid_request_error, code none, parameter none, request req_failed)"},
		"parameter of ours": {400, fault("invalid_request_error", "parameter_unknown", "adaptive_pricing[enabled]"), refused,
			"payment: stripe: refused by the gateway: Stripe answered 400 (type invalid_request_error, code parameter_unknown, parameter adaptive_pricing[enabled], request req_failed)"},
		"parameter of the caller's": {400, fault("invalid_request_error", "", "line_items[0][price_data][currency]"), fields, "currency is not accepted by Stripe"},
		"in use":                    {409, fault("invalid_request_error", "idempotency_key_in_use", ""), repeatable, "payment: stripe: Stripe answered 409 (type invalid_request_error, code idempotency_key_in_use, parameter none, request req_failed)"},
		"too many":                  {429, fault("invalid_request_error", "rate_limit", ""), repeatable, "payment: stripe: Stripe answered 429 (type invalid_request_error, code rate_limit, parameter none, request req_failed)"},
		"broken":                    {500, fault("api_error", "", ""), repeatable, "payment: stripe: Stripe answered 500 (type api_error, code none, parameter none, request req_failed)"},
		"odd words":                 {500, fault("<b>\n", "a b", "ключ"), repeatable, "payment: stripe: Stripe answered 500 (type b, code ab, parameter none, request req_failed)"},
		"long words":                {500, fault(strings.Repeat("x", 200), "", ""), repeatable, "payment: stripe: Stripe answered 500 (type " + strings.Repeat("x", 80) + ", code none, parameter none, request req_failed)"},
		"not the API":               {502, "<html>Told in confidence</html>", repeatable, "payment: stripe: the answer is not one of Stripe's API"},
		"nobody's words":            {503, `{"told":"in confidence"}`, repeatable, "payment: stripe: the answer is not one of Stripe's API"},
		"a login page":              {200, "<html>Told in confidence</html>", repeatable, "payment: stripe: the answer is not one of Stripe's API"},
		"an empty object":           {200, "{}", repeatable, "payment: stripe: the answer has no amount of money"},
		"nothing":                   {200, "", repeatable, "payment: stripe: the answer is not one of Stripe's API"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newStripeWorld(t)
			paid := w.charge(t).Reference
			w.server.Pay(paid)
			other := stripeCharge()
			other.PaymentID = "pay_other"
			refund := payment.RefundRequest{RefundID: "rfd_1", Reference: paid, Amount: 100, Currency: "EUR", CreatedAt: w.clock.Now()}
			for name, call := range map[string]func() (payment.Outcome, error){
				"charge":           func() (payment.Outcome, error) { return w.Charge(t.Context(), other) },
				"status":           func() (payment.Outcome, error) { return w.Status(t.Context(), paid) },
				"status of refund": func() (payment.Outcome, error) { return w.Status(t.Context(), "re_1") },
				"refund":           func() (payment.Outcome, error) { return w.Refund(t.Context(), refund) },
			} {
				w.server.Fail(tc.status, tc.body)
				got, err := call()
				if err == nil || err.Error() != tc.want || got != (payment.Outcome{}) {
					t.Errorf("%s: %+v, %v\nwant %s", name, got, err, tc.want)
				}
				if errors.As(err, &payment.FieldErrors{}) != (tc.kind == fields) || errors.Is(err, payment.ErrRefused) != (tc.kind == refused) {
					t.Errorf("%s: %v is not %s", name, err, tc.kind)
				}
				text := fmt.Sprintf("%v %+v %#v %q", err, err, err, err)
				for _, secret := range []string{w.server.Key, "ada@example.com", "confidence"} {
					if strings.Contains(text, secret) {
						t.Errorf("%s: %s came out in %s", name, secret, text)
					}
				}
			}
			// Nothing of it lasts.
			if got, err := w.Charge(t.Context(), other); err != nil || got.Status != payment.StatusRequiresAction {
				t.Errorf("afterwards %+v, %v", got, err)
			}
		})
	}
}

func TestStripeCardErrorFails(t *testing.T) {
	t.Parallel()
	w := newStripeWorld(t)
	w.server.Fail(402, `{"error":{"type":"card_error","code":"card_declined","decline_code":"insufficient_funds","message":"Your card has insufficient funds."}}`)
	want := payment.Outcome{
		Status: payment.StatusFailed, Amount: 9800, Currency: "EUR",
		FailureCode: payment.InsufficientFunds, FailureMessage: payment.InsufficientFunds.Message(),
	}
	if got := w.charge(t); got != want {
		t.Errorf("got %+v", got)
	}
}

// The money may have moved although no answer came; the same call again makes it
// known, and moves nothing twice.
func TestStripeLostAnswers(t *testing.T) {
	t.Parallel()
	w := newStripeWorld(t)
	w.server.Lose()
	got, err := w.Charge(t.Context(), stripeCharge())
	if err == nil || errors.As(err, &payment.FieldErrors{}) || errors.Is(err, payment.ErrRefused) || got != (payment.Outcome{}) {
		t.Errorf("lost: %+v, %v", got, err)
	}
	charge := w.charge(t)
	if w.server.Sessions() != 1 {
		t.Errorf("there are %d payment pages", w.server.Sessions())
	}
	w.server.Pay(charge.Reference)

	req := payment.RefundRequest{RefundID: "rfd_1", Reference: charge.Reference, Amount: 4900, Currency: "EUR", CreatedAt: w.clock.Now()}
	for _, lost := range []int{0, 1, 2} { // of the three calls that a refund makes
		for range lost {
			w.server.Pass()
		}
		w.server.Lose()
		if got, err := w.Refund(t.Context(), req); err == nil || errors.As(err, &payment.FieldErrors{}) || got != (payment.Outcome{}) {
			t.Errorf("lost the answer to call %d: %+v, %v", lost, got, err)
		}
	}
	for _, after := range []time.Duration{0, 48 * time.Hour} {
		w.clock.Advance(after)
		if got, err := w.Refund(t.Context(), req); err != nil || got.Status != payment.StatusSucceeded {
			t.Errorf("%s later: %+v, %v", after, got, err)
		}
	}
	if w.server.Refunded(charge.Reference) != 4900 {
		t.Errorf("%d were given back", w.server.Refunded(charge.Reference))
	}
}

func TestStripeDoesNotAnswer(t *testing.T) {
	t.Parallel()
	w := newStripeWorld(t)
	arrived := make(chan struct{})
	w.server.Hang(arrived)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-arrived
		cancel()
	}()
	if got, err := w.Charge(ctx, stripeCharge()); !errors.Is(err, context.Canceled) || got != (payment.Outcome{}) {
		t.Errorf("%+v, %v", got, err)
	}

	w.server.Hang(make(chan struct{}))
	ctx, cancel = context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if got, err := w.Status(ctx, "cs_test_1"); !errors.Is(err, context.DeadlineExceeded) || got != (payment.Outcome{}) {
		t.Errorf("%+v, %v", got, err)
	}

	// The gateway is as impatient as its HTTP client, too, and does not try again.
	w.server.Hang(make(chan struct{}))
	hasty, err := payment.NewStripe(payment.StripeConfig{
		SecretKey: w.server.Key, WebhookSecrets: []string{w.server.WebhookSecret}, APIBase: w.server.URL,
		HTTPClient: &http.Client{Timeout: 20 * time.Millisecond},
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := hasty.Status(t.Context(), "cs_test_1"); !errors.Is(err, context.DeadlineExceeded) || got != (payment.Outcome{}) {
		t.Errorf("%+v, %v", got, err)
	}
	if n := len(w.server.Requests()); n != 0 {
		t.Errorf("%d requests came through", n)
	}
}
