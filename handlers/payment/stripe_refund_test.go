package payment_test

import (
	"errors"
	"maps"
	"net/url"
	"reflect"
	"testing"
	"time"

	"github.com/purser-dev/purser/handlers/payment"
)

// paidWorld has a charge that was paid, and a refund to ask for.
func paidWorld(t *testing.T) (stripeWorld, payment.RefundRequest) {
	t.Helper()
	w := newStripeWorld(t)
	charge := w.charge(t)
	w.server.Pay(charge.Reference)
	return w, payment.RefundRequest{RefundID: "rfd_1", Reference: charge.Reference, Amount: 4900, Currency: "EUR", CreatedAt: w.clock.Now()}
}

func (w stripeWorld) refund(t *testing.T, req payment.RefundRequest) payment.Outcome {
	t.Helper()
	got, err := w.Refund(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestWhatStripeIsAskedToGiveBack(t *testing.T) {
	t.Parallel()
	w, req := paidWorld(t)
	w.refund(t, req)
	requests := w.server.Requests()
	last := requests[len(requests)-1]
	intent := last.Form.Get("payment_intent")
	want := url.Values{
		"payment_intent": {intent}, "amount": {"4900"},
		"metadata[purser_refund_id]": {"rfd_1"}, "metadata[purser_refund_attempt]": {"0"},
	}
	if last.Path != "/v1/refunds" || !maps.EqualFunc(last.Form, want, func(a, b []string) bool { return reflect.DeepEqual(a, b) }) || intent == "" {
		t.Errorf("asked %s %s for %v", last.Method, last.Path, last.Form)
	}
	if key := last.Header.Get("Idempotency-Key"); key != "purser-refund-rfd_1-0" {
		t.Errorf("the idempotency key is %s", key)
	}
}

func TestStripeRefundToItsEnd(t *testing.T) {
	t.Parallel()
	for status, want := range map[string]payment.Status{
		"succeeded": payment.StatusSucceeded, "pending": payment.StatusProcessing, "requires_action": payment.StatusProcessing,
		"failed": payment.StatusFailed, "canceled": payment.StatusFailed,
	} {
		w, req := paidWorld(t)
		made := w.refund(t, req)
		w.server.SettleRefund(made.Reference, status, "expired_or_canceled_card")
		w.clock.Advance(48 * time.Hour)
		asked, again := w.status(t, made.Reference), w.refund(t, req)
		if asked != again || asked.Status != want || asked.Reference != made.Reference || asked.Amount != 4900 {
			t.Errorf("%s: asked %+v, again %+v", status, asked, again)
		}
		if (asked.FailureCode == payment.RefundFailed) != (want == payment.StatusFailed) || (asked.PollAfter == time.Hour) != (want == payment.StatusProcessing) {
			t.Errorf("%s: %+v", status, asked)
		}
	}
	w, req := paidWorld(t)
	made := w.refund(t, req)
	w.server.SettleRefund(made.Reference, "undreamt_of", "")
	if got, err := w.Status(t.Context(), made.Reference); err == nil || got != (payment.Outcome{}) {
		t.Errorf("an unknown status: %+v, %v", got, err)
	}
}

// A refund that failed is begun anew by staff, under the same id.
func TestStripeRefundAttempts(t *testing.T) {
	t.Parallel()
	w, req := paidWorld(t)
	first := w.refund(t, req)
	w.server.SettleRefund(first.Reference, "failed", "expired_or_canceled_card")
	if again := w.refund(t, req); again.Status != payment.StatusFailed || again.Reference != first.Reference {
		t.Errorf("a repetition is a new refund: %+v", again)
	}
	req.Attempt = 1
	second := w.refund(t, req)
	if second.Status != payment.StatusSucceeded || second.Reference == first.Reference {
		t.Errorf("begun anew: %+v", second)
	}
	w.clock.Advance(48 * time.Hour)
	if again := w.refund(t, req); again != second {
		t.Errorf("the new one again: %+v", again)
	}
	if got := w.server.Refunded(req.Reference); got != 4900 {
		t.Errorf("%d were given back", got)
	}
}

func TestStripeRefundsMadeElsewhereCount(t *testing.T) {
	t.Parallel()
	w, req := paidWorld(t)
	w.server.RefundAtStripe(req.Reference, 8000)
	got, err := w.Refund(t.Context(), req)
	if err == nil || err.Error() != "amount is not accepted by Stripe" || got != (payment.Outcome{}) {
		t.Errorf("more than is left: %+v, %v", got, err)
	}
	w.server.RefundAtStripe(req.Reference, 1800)
	want := payment.Outcome{
		Status: payment.StatusFailed, Amount: 4900, Currency: "EUR",
		FailureCode: payment.RefundFailed, FailureMessage: payment.RefundFailed.Message(),
	}
	if got := w.refund(t, req); got != want {
		t.Errorf("nothing left: %+v", got)
	}
}

func TestStripeRefundRefusals(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]string{
		`"type":"invalid_request_error","code":"charge_disputed"`:         "",
		`"type":"invalid_request_error","code":"refund_disputed_payment"`: "",
		`"type":"invalid_request_error","code":"balance_insufficient"`:    "",
		`"type":"card_error","code":"card_declined"`:                      "",
		`"type":"idempotency_error"`:                                      "refund_id was used before for another request",
		`"type":"invalid_request_error","code":"resource_missing"`:        "payment: stripe: refused by the gateway: Stripe answered 400 (type invalid_request_error, code resource_missing, parameter none, request req_failed)",
	} {
		w, req := paidWorld(t)
		w.server.Pass()
		w.server.Pass()
		w.server.Fail(400, `{"error":{`+code+`}}`)
		got, err := w.Refund(t.Context(), req)
		switch {
		case want == "" && (err != nil || got.Status != payment.StatusFailed || got.FailureCode != payment.RefundFailed || got.Amount != 4900):
			t.Errorf("%s: %+v, %v", code, got, err)
		case want != "" && (err == nil || err.Error() != want || got != (payment.Outcome{})):
			t.Errorf("%s: %+v, %v", code, got, err)
		}
	}
}

func TestStripeRefundCallbacks(t *testing.T) {
	t.Parallel()
	w, req := paidWorld(t)
	made := w.refund(t, req)
	got, err := w.ParseCallback(w.server.Event("refund.updated", made.Reference))
	if err != nil || got.Subject != payment.SubjectRefund || got.RefundID != "rfd_1" || got.PaymentID != "" || got.Outcome != made {
		t.Errorf("%+v, %v", got, err)
	}
	elsewhere := w.server.RefundAtStripe(req.Reference, 100)
	if got, err := w.ParseCallback(w.server.Event("refund.created", elsewhere)); !errors.Is(err, payment.ErrIgnored) || got != (payment.Callback{}) {
		t.Errorf("%+v, %v", got, err)
	}
	got, err = w.ParseCallback(w.server.Event("charge.refunded", req.Reference))
	if err != nil || got.Subject != payment.SubjectRefundTotal || got.PaymentID != "pay_0192f0c1" || got.RefundID != "" || got.Outcome.Amount != 5000 || got.Outcome.Currency != "EUR" {
		t.Errorf("%+v, %v", got, err)
	}
}
