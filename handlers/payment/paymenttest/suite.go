// Package paymenttest has what the tests of payment gateways share: what every
// [payment.Gateway] promises, as one suite, and a stand-in for Stripe.
package paymenttest

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/purser-dev/purser/handlers/payment"
)

// Harness is a gateway under test with the world around it.
type Harness struct {
	// Open returns the gateway; each call another instance of the same
	// configuration, as other processes have them.
	Open func() payment.Gateway
	// Clock is the time of the gateway and of the world.
	Clock *Clock
	// Charge is a request that succeeds once Pay was called. The suite gives it a
	// PaymentID and CreatedAt.
	Charge payment.ChargeRequest
	// Pay lets the customer pay the charge with the given reference. Nil for a
	// gateway that never learns of it.
	Pay func(reference string)
	// Refunded is how much was given back of the charge in minor units, by the
	// world's own count. Nil where nobody counts.
	Refunded func(reference string) int64
	// Callback returns what the world sends now about a charge that was paid; again
	// the same callback, signed anew. Nil for a gateway without callbacks.
	Callback func(reference string) (http.Header, []byte)
	// Secrets must come out nowhere.
	Secrets []string
}

// Start is when the suite's tests begin, for the harness's clock.
var Start = time.Date(2026, 11, 30, 23, 0, 0, 0, time.UTC)

// Run tests a gateway. Every test gets a harness of its own.
func Run(t *testing.T, open func(t *testing.T) Harness) {
	t.Helper()
	for name, test := range map[string]func(suite, *testing.T){
		"its name stays":                   suite.name,
		"a charge is asked for once":       suite.chargeOnce,
		"charges are told apart":           suite.chargesApart,
		"status agrees with charge":        suite.status,
		"wrong requests are refused":       suite.wrongCharge,
		"foreign references are refused":   suite.foreignReferences,
		"a refund pays once":               suite.refundOnce,
		"wrong refunds are refused":        suite.wrongRefund,
		"unpaid charges give nothing back": suite.refundUnpaid,
		"callbacks repeat":                 suite.callbackRepeats,
		"callbacks cannot be forged":       suite.callbackForged,
		"callbacks grow old":               suite.callbackOld,
		"an ended context ends calls":      suite.context,
		"secrets stay inside":              suite.secrets,
		"many use it at once":              suite.concurrent,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := open(t)
			test(suite{h, guarded{h.Open(), t, h.Secrets}}, t)
		})
	}
}

type suite struct {
	Harness
	gateway payment.Gateway
}

func (s suite) request(id string) payment.ChargeRequest {
	req := s.Charge
	req.PaymentID, req.CreatedAt = "pay_"+id, Start
	return req
}

func (s suite) refundRequest(id, reference string) payment.RefundRequest {
	return payment.RefundRequest{
		RefundID: "rfd_" + id, Reference: reference, Amount: s.Charge.Amount / 4 / 10 * 10, Currency: s.Charge.Currency, CreatedAt: s.Clock.Now(),
	}
}

func (s suite) charge(t *testing.T, id string) payment.Outcome {
	t.Helper()
	got, err := s.gateway.Charge(t.Context(), s.request(id))
	if err != nil {
		t.Fatalf("charge: %v", err)
	}
	wellFormed(t, got, s.Charge.Amount, s.Charge.Currency)
	return got
}

// paid is a charge that has come to its end, where the gateway can know.
func (s suite) paid(t *testing.T, id string) payment.Outcome {
	t.Helper()
	got := s.charge(t, id)
	if s.Pay != nil {
		s.Pay(got.Reference)
	}
	return got
}

var referencePattern = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,255}$`)

// wellFormed checks that an outcome has what goes with its status and no more.
func wellFormed(t *testing.T, o payment.Outcome, amount int64, currency string) {
	t.Helper()
	if o.Amount != amount || o.Currency != currency {
		t.Errorf("the outcome is about %d %s, not %d %s", o.Amount, o.Currency, amount, currency)
	}
	if !referencePattern.MatchString(o.Reference) && o.Status != payment.StatusFailed {
		t.Errorf("the reference is %q", o.Reference)
	}
	is := func(statuses ...payment.Status) bool {
		return slices.Contains(statuses, o.Status)
	}
	if !is(payment.StatusSucceeded, payment.StatusFailed, payment.StatusRequiresAction, payment.StatusProcessing, payment.StatusPending) {
		t.Errorf("the status is %q", o.Status)
	}
	if is(payment.StatusFailed) != (o.FailureCode != "") || is(payment.StatusFailed) != (o.FailureMessage != "") {
		t.Errorf("%s with failure %q, %q", o.Status, o.FailureCode, o.FailureMessage)
	}
	if is(payment.StatusRequiresAction) != (o.RedirectURL != "") {
		t.Errorf("%s with redirect %q", o.Status, o.RedirectURL)
	}
	if is(payment.StatusProcessing) && o.PollAfter <= 0 || !is(payment.StatusProcessing, payment.StatusRequiresAction) && o.PollAfter != 0 {
		t.Errorf("%s with poll after %s", o.Status, o.PollAfter)
	}
	if o.Instructions != nil && !is(payment.StatusPending) {
		t.Errorf("%s with instructions", o.Status)
	}
	raw, err := json.Marshal(o)
	var back payment.Outcome
	if err != nil || json.Unmarshal(raw, &back) != nil || !reflect.DeepEqual(back, o) {
		t.Errorf("the outcome cannot be stored: %v, %s", err, raw)
	}
}

func (s suite) name(t *testing.T) {
	if name := s.gateway.Name(); !regexp.MustCompile(`^[a-z][a-z_]*$`).MatchString(name) || name != s.Open().Name() {
		t.Errorf("the name is %q, then %q", name, s.Open().Name())
	}
}

func (s suite) chargeOnce(t *testing.T) {
	first := s.charge(t, "1")
	if again := s.charge(t, "1"); !reflect.DeepEqual(again, first) {
		t.Errorf("first %+v\nagain %+v", first, again)
	}
	if s.Pay != nil {
		s.Pay(first.Reference)
	}
	s.Clock.Advance(3 * time.Hour)
	late, err := s.Open().Charge(t.Context(), s.request("1"))
	if err != nil || late.Reference != first.Reference {
		t.Errorf("in another process, hours later: %+v, %v", late, err)
	}
	wellFormed(t, late, s.Charge.Amount, s.Charge.Currency)
}

func (s suite) chargesApart(t *testing.T) {
	one, other := s.charge(t, "1"), s.charge(t, "2")
	if one.Reference == other.Reference {
		t.Errorf("both are %s", one.Reference)
	}
}

func (s suite) status(t *testing.T) {
	charge := s.charge(t, "1")
	got, err := s.Open().Status(t.Context(), charge.Reference)
	if err != nil || !reflect.DeepEqual(got, charge) {
		t.Errorf("charged %+v\nasked   %+v, %v", charge, got, err)
	}
	if s.Pay == nil {
		return
	}
	s.Pay(charge.Reference)
	want := payment.Outcome{Status: payment.StatusSucceeded, Reference: charge.Reference, Amount: s.Charge.Amount, Currency: s.Charge.Currency}
	for range 2 {
		if got, err := s.gateway.Status(t.Context(), charge.Reference); err != nil || got != want {
			t.Errorf("paid, but %+v, %v", got, err)
		}
		s.Clock.Advance(48 * time.Hour)
	}
}

// refuses checks that err names the field and that no outcome is beside it.
func refuses(t *testing.T, name, field string, got payment.Outcome, err error) {
	t.Helper()
	var fields payment.FieldErrors
	if !errors.As(err, &fields) || len(fields) == 0 {
		t.Errorf("%s: %+v, %v", name, got, err)
		return
	}
	for _, f := range fields {
		if f.Field == field && got == (payment.Outcome{}) {
			return
		}
	}
	t.Errorf("%s: %+v, %v, want %s", name, got, err, field)
}

func (s suite) wrongCharge(t *testing.T) {
	for name, tc := range map[string]struct {
		field string
		spoil func(*payment.ChargeRequest)
	}{
		"nothing":        {"amount", func(r *payment.ChargeRequest) { r.Amount = 0 }},
		"less":           {"amount", func(r *payment.ChargeRequest) { r.Amount = -1 }},
		"no currency":    {"currency", func(r *payment.ChargeRequest) { r.Currency = "" }},
		"small letters":  {"currency", func(r *payment.ChargeRequest) { r.Currency = "eur" }},
		"a long code":    {"currency", func(r *payment.ChargeRequest) { r.Currency = "EURO" }},
		"no id":          {"payment_id", func(r *payment.ChargeRequest) { r.PaymentID = "" }},
		"an odd id":      {"payment_id", func(r *payment.ChargeRequest) { r.PaymentID = "pay.1\n" }},
		"a long id":      {"payment_id", func(r *payment.ChargeRequest) { r.PaymentID = strings.Repeat("p", 65) }},
		"no time":        {"created_at", func(r *payment.ChargeRequest) { r.CreatedAt = time.Time{} }},
		"no good at all": {"amount", func(r *payment.ChargeRequest) { *r = payment.ChargeRequest{} }},
	} {
		req := s.request("1")
		tc.spoil(&req)
		got, err := s.gateway.Charge(t.Context(), req)
		refuses(t, name, tc.field, got, err)
	}
}

func (s suite) foreignReferences(t *testing.T) {
	own := s.paid(t, "1").Reference
	for _, reference := range []string{
		"", " ", "pi_1", "cs_test_unknown", "cs_test_", "cs_live_a/../b", "re_unknown", "test.", "transfer.", "transfer.1EUR.A1.",
		own + "\n", " " + own, own + "/expire", own + "?", own[1:], strings.Repeat("cs_test_a", 100),
	} {
		if got, err := s.gateway.Status(t.Context(), reference); !errors.Is(err, payment.ErrReference) || got != (payment.Outcome{}) {
			t.Errorf("status of %q: %+v, %v", reference, got, err)
		}
		got, err := s.gateway.Refund(t.Context(), s.refundRequest("1", reference))
		if !errors.Is(err, payment.ErrReference) || got != (payment.Outcome{}) {
			t.Errorf("refund of %q: %+v, %v", reference, got, err)
		}
	}
}

func (s suite) context(t *testing.T) {
	reference := s.paid(t, "1").Reference
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, call := range map[string]func() (payment.Outcome, error){
		"charge": func() (payment.Outcome, error) { return s.gateway.Charge(ended, s.request("2")) },
		"status": func() (payment.Outcome, error) { return s.gateway.Status(ended, reference) },
		"refund": func() (payment.Outcome, error) { return s.gateway.Refund(ended, s.refundRequest("1", reference)) },
	} {
		if got, err := call(); !errors.Is(err, context.Canceled) || got != (payment.Outcome{}) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	if s.Refunded != nil && s.Refunded(reference) != 0 {
		t.Error("money was given back all the same")
	}
}
