package payment

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// clock is a gateway's time; a test moves it by hand.
type clock struct{ now time.Time }

func newTestGateway(t testing.TB) (*Test, *clock) {
	t.Helper()
	c := &clock{november}
	gateway, err := NewTest(TestConfig{
		PageURL:        "https://pay.example/test-gateway/",
		CallbackSecret: bytes.Repeat([]byte{1}, 32),
		Now:            func() time.Time { return c.now },
	})
	if err != nil {
		t.Fatal(err)
	}
	return gateway, c
}

func chargeWith(number string) ChargeRequest {
	card := goodCard()
	card.Number = number
	return ChargeRequest{
		PaymentID: "pay_0192f0c1", OrderNumber: "A0000000123", Amount: 9800, Currency: "EUR", CreatedAt: november,
		Card: &card, ReturnURL: "https://shop.example/thanks",
	}
}

func TestCardTable(t *testing.T) {
	t.Parallel()
	const at = ".1796083199000.9800EUR.pay_0192f0c1"
	failed := func(code FailureCode) Outcome {
		return Outcome{Status: StatusFailed, Reference: "test." + string(code) + at, FailureCode: code, FailureMessage: code.Message()}
	}
	for number, want := range map[string]Outcome{
		"4242424242424242":    {Status: StatusSucceeded, Reference: "test.succeeds" + at},
		"4242 4242-4242 4242": {Status: StatusSucceeded, Reference: "test.succeeds" + at},
		"4000000000000002":    failed(CardDeclined),
		"4000000000009995":    failed(InsufficientFunds),
		"4000000000000069":    failed(ExpiredCard),
		"4000000000000119":    failed(ProcessingError),
		"5555555555554444":    failed(CardDeclined), // any other valid number
		"378282246310005":     failed(CardDeclined),
		"4000002500003155": {Status: StatusRequiresAction, Reference: "test.confirm" + at,
			RedirectURL: "https://pay.example/test-gateway/test.confirm" + at},
		"4000000000000077": {Status: StatusProcessing, Reference: "test.delayed" + at, PollAfter: 2 * time.Second},
	} {
		t.Run(number, func(t *testing.T) {
			t.Parallel()
			want.Amount, want.Currency = 9800, "EUR"
			gateway, clock := newTestGateway(t)
			got, err := gateway.Charge(context.Background(), chargeWith(number))
			if err != nil {
				t.Fatal(err)
			}
			if got != want {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
			if text := fmt.Sprintf("%+v", got); strings.Contains(text, number) || strings.Contains(text, number[len(number)-4:]) {
				t.Errorf("the outcome shows the card: %s", text)
			}
			status, err := gateway.Status(context.Background(), got.Reference)
			if err != nil || status != got {
				t.Errorf("status is %+v, %v", status, err)
			}
			// The same call an hour later, in another process.
			other, otherClock := newTestGateway(t)
			otherClock.now = clock.now.Add(time.Hour)
			again, err := other.Charge(context.Background(), chargeWith(number))
			if err != nil || again != got {
				t.Errorf("charged again: %+v, %v", again, err)
			}
		})
	}
}

func TestDelayedCardSucceedsTwoSecondsLater(t *testing.T) {
	t.Parallel()
	gateway, clock := newTestGateway(t)
	req := chargeWith("4000000000000077")
	req.CreatedAt = november.Add(999_999 * time.Nanosecond)
	charge, err := gateway.Charge(context.Background(), req)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		after, pollAfter time.Duration
		want             Status
	}{
		{-time.Hour, 2 * time.Second, StatusProcessing}, // our clock is behind
		{0, 2 * time.Second, StatusProcessing},
		{1500 * time.Millisecond, 500 * time.Millisecond, StatusProcessing},
		{1999 * time.Millisecond, time.Millisecond, StatusProcessing},
		{2 * time.Second, 0, StatusSucceeded},
		{24 * time.Hour, 0, StatusSucceeded},
	} {
		clock.now = november.Add(tc.after)
		got, err := gateway.Status(context.Background(), charge.Reference)
		if err != nil || got.Status != tc.want || got.PollAfter != tc.pollAfter || got.Reference != charge.Reference {
			t.Errorf("after %s: %+v, %v", tc.after, got, err)
		}
	}
}

func TestAnswer(t *testing.T) {
	t.Parallel()
	gateway, _ := newTestGateway(t)
	charge, err := gateway.Charge(context.Background(), chargeWith("4000002500003155"))
	if err != nil {
		t.Fatal(err)
	}
	want := Outcome{Status: StatusSucceeded, Reference: charge.Reference, Amount: 9800, Currency: "EUR"}
	if got, err := gateway.Answer(charge.Reference, ChoiceConfirm); err != nil || got != want {
		t.Errorf("confirmed: %+v, %v", got, err)
	}
	want.Status, want.FailureCode, want.FailureMessage = StatusFailed, AuthenticationFailed, AuthenticationFailed.Message()
	if got, err := gateway.Answer(charge.Reference, ChoiceRefuse); err != nil || got != want {
		t.Errorf("refused: %+v, %v", got, err)
	}
	want.FailureCode, want.FailureMessage = CardDeclined, CardDeclined.Message()
	if got, err := gateway.Answer(charge.Reference, ChoiceDecline); err != nil || got != want {
		t.Errorf("declined: %+v, %v", got, err)
	}
	want = Outcome{Status: StatusProcessing, Reference: charge.Reference, Amount: 9800, Currency: "EUR", PollAfter: 2 * time.Second}
	if got, err := gateway.Answer(charge.Reference, ChoiceLater); err != nil || got != want {
		t.Errorf("later: %+v, %v", got, err)
	}
	if got, err := gateway.Answer(charge.Reference, "perhaps"); err == nil || got != (Outcome{}) {
		t.Errorf("another choice: %+v, %v", got, err)
	}
	declined, err := gateway.Charge(context.Background(), chargeWith("4000000000000002"))
	if err != nil {
		t.Fatal(err)
	}
	for _, reference := range []string{declined.Reference, "", "pi_1"} {
		if got, err := gateway.Answer(reference, ChoiceConfirm); !errors.Is(err, ErrReference) || got != (Outcome{}) {
			t.Errorf("a confirmation makes %q %+v, %v", reference, got, err)
		}
	}
}

func TestChargeRefuses(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		spoil func(*ChargeRequest)
		want  string
	}{
		"no card":        {func(r *ChargeRequest) { r.Card = nil }, "card is required"},
		"mistyped card":  {func(r *ChargeRequest) { r.Card.Number = "4242424242424241" }, "card.number is not a card number; please check for a typing mistake"},
		"expired card":   {func(r *ChargeRequest) { r.Card.ExpYear = 2020 }, "card.exp_year is in the past"},
		"nothing to pay": {func(r *ChargeRequest) { r.Amount = 0 }, "amount must be above zero"},
		"less":           {func(r *ChargeRequest) { r.Amount = -1 }, "amount must be above zero"},
		"currency":       {func(r *ChargeRequest) { r.Currency = "eur" }, "currency must be an ISO 4217 code of three capital letters"},
		"no currency":    {func(r *ChargeRequest) { r.Currency = "" }, "currency must be an ISO 4217 code of three capital letters"},
		"long currency":  {func(r *ChargeRequest) { r.Currency = "EURO" }, "currency must be an ISO 4217 code of three capital letters"},
		"no id":          {func(r *ChargeRequest) { r.PaymentID = "" }, "payment_id must have 1 to 64 letters, digits, _ or -"},
		"dot in id":      {func(r *ChargeRequest) { r.PaymentID = "pay.1" }, "payment_id must have 1 to 64 letters, digits, _ or -"},
		"no time":        {func(r *ChargeRequest) { r.CreatedAt = time.Time{} }, "created_at is required"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			gateway, _ := newTestGateway(t)
			req := chargeWith("4242424242424242")
			tc.spoil(&req)
			got, err := gateway.Charge(context.Background(), req)
			var fields FieldErrors
			if !errors.As(err, &fields) || err.Error() != tc.want {
				t.Errorf("error is %v, want %s", err, tc.want)
			}
			if got != (Outcome{}) {
				t.Errorf("outcome %+v beside an error", got)
			}
		})
	}
}

func TestRefund(t *testing.T) {
	t.Parallel()
	gateway, clock := newTestGateway(t)
	clock.now = november.Add(time.Minute)
	refundOf := func(number string) RefundRequest {
		charge, err := gateway.Charge(context.Background(), chargeWith(number))
		if err != nil {
			t.Fatal(err)
		}
		return RefundRequest{RefundID: "rfd_1", Reference: charge.Reference, Amount: 4900, Currency: "EUR", CreatedAt: clock.now}
	}
	for number, want := range map[string]Status{
		"4242424242424242": StatusSucceeded,
		"4000002500003155": StatusSucceeded,
		"4000000000000077": StatusSucceeded,
		"4000000000000002": StatusFailed,
	} {
		req := refundOf(number)
		got, err := gateway.Refund(context.Background(), req)
		if err != nil || got.Status != want || got.Amount != 4900 || got.Currency != "EUR" {
			t.Errorf("%s: %+v, %v", number, got, err)
		}
		if (want == StatusFailed) != (got.FailureCode == NotRefundable) {
			t.Errorf("%s: failure code is %q", number, got.FailureCode)
		}
		again, err := gateway.Refund(context.Background(), req)
		if err != nil || again != got {
			t.Errorf("%s again: %+v, %v", number, again, err)
		}
		if status, err := gateway.Status(context.Background(), got.Reference); err != nil || status != got {
			t.Errorf("%s: status is %+v, %v", number, status, err)
		}
		req.Reference = got.Reference
		if got, err := gateway.Refund(context.Background(), req); err != nil || got.FailureCode != NotRefundable {
			t.Errorf("%s: the refund of a refund is %+v, %v", number, got, err)
		}
	}
	unfinished := refundOf("4000000000000077")
	clock.now = november.Add(time.Second)
	if got, err := gateway.Refund(context.Background(), unfinished); err != nil || got.FailureCode != NotRefundable {
		t.Errorf("refund of a processing charge: %+v, %v", got, err)
	}
	for want, spoil := range map[string]func(*RefundRequest){
		"amount is more than was charged":                     func(r *RefundRequest) { r.Amount = 9801 },
		"amount must be above zero":                           func(r *RefundRequest) { r.Amount = 0 },
		"currency is not the one that was charged":            func(r *RefundRequest) { r.Currency = "USD" },
		"refund_id must have 1 to 64 letters, digits, _ or -": func(r *RefundRequest) { r.RefundID = "" },
		"created_at is required":                              func(r *RefundRequest) { r.CreatedAt = time.Time{} },
		"payment: test gateway: unknown payment reference":    func(r *RefundRequest) { r.Reference = "pi_1" },
	} {
		req := refundOf("4242424242424242")
		spoil(&req)
		if got, err := gateway.Refund(context.Background(), req); err == nil || err.Error() != want || got != (Outcome{}) {
			t.Errorf("%+v, %v, want %s", got, err, want)
		}
	}
}

func TestStatusRefusesForeignReferences(t *testing.T) {
	t.Parallel()
	gateway, _ := newTestGateway(t)
	for _, reference := range []string{
		"", "pi_1", "test.", "test.succeeds.1.1EUR.", "test.succeeds.1.1EUR.pay.1", "test.succeeds.01.1EUR.pay_1", "test.succeeds.1.01EUR.pay_1",
		"test.succeeds.1.0EUR.pay_1", "test.succeeds.-1.1EUR.pay_1", "test.succeeds.1.1eur.pay_1", "test.unheard_of.1.1EUR.pay_1",
		"test.succeeds.1.1EUR.pay_1\n", " test.succeeds.1.1EUR.pay_1", "test.succeeds.1.9223372036854775808EUR.pay_1",
		"test.succeeds.1.1EUR." + strings.Repeat("p", 65),
	} {
		if got, err := gateway.Status(context.Background(), reference); !errors.Is(err, ErrReference) || got != (Outcome{}) {
			t.Errorf("%q: %+v, %v", reference, got, err)
		}
	}
	if _, err := gateway.Status(context.Background(), "test.succeeds.1.9223372036854775807EUR.pay_1"); err != nil {
		t.Error(err)
	}
}

func TestNewTestRefuses(t *testing.T) {
	t.Parallel()
	for _, config := range []TestConfig{
		{CallbackSecret: make([]byte, 32)},
		{PageURL: "https://pay.example", CallbackSecret: make([]byte, 31)},
	} {
		if gateway, err := NewTest(config); err == nil || gateway != nil {
			t.Errorf("%+v is enough", config)
		}
	}
	gateway, err := NewTest(TestConfig{PageURL: "https://pay.example", CallbackSecret: make([]byte, 32)})
	if err != nil {
		t.Fatal(err)
	}
	if gateway.Name() != "test" {
		t.Errorf("name is %s", gateway.Name())
	}
	if since := time.Since(gateway.config.Now()); since < 0 || since > time.Minute {
		t.Errorf("the clock is %s off", since)
	}
}

func TestEveryFailureHasItsOwnMessage(t *testing.T) {
	t.Parallel()
	general := FailureCode("some_later_code").Message()
	var seen []string
	for _, code := range []FailureCode{CardDeclined, InsufficientFunds, ExpiredCard, ProcessingError, AuthenticationFailed, NotRefundable, PaymentExpired, RefundFailed} {
		message := code.Message()
		if message == general || slices.Contains(seen, message) || strings.Contains(message, "_") || !strings.HasSuffix(message, ".") {
			t.Errorf("%s: %q", code, message)
		}
		seen = append(seen, message)
	}
	if len(seen) != len(failureMessages) {
		t.Errorf("%d codes have messages, %d were looked at", len(failureMessages), len(seen))
	}
}

func TestOnlyTwoStatusesAreFinal(t *testing.T) {
	t.Parallel()
	for status, want := range map[Status]bool{
		StatusSucceeded: true, StatusFailed: true, StatusRequiresAction: false, StatusProcessing: false, StatusPending: false, "": false,
	} {
		if status.Final() != want {
			t.Errorf("%q: %v", status, status.Final())
		}
	}
}

func TestTestReferenceRoundTrip(t *testing.T) {
	t.Parallel()
	kinds := []testKind{kindSucceeds, kindConfirm, kindDelayed, kindRefund, testKind(CardDeclined), testKind(NotRefundable)}
	rapid.Check(t, func(t *rapid.T) {
		want := newTestReference(
			rapid.SampledFrom(kinds).Draw(t, "kind"),
			rapid.StringMatching(`[A-Za-z0-9_-]{1,64}`).Draw(t, "id"),
			rapid.Int64Min(1).Draw(t, "amount"),
			rapid.StringMatching(`[A-Z]{3}`).Draw(t, "currency"),
			time.Unix(0, rapid.Int64Min(0).Draw(t, "at")),
		)
		got, err := parseTestReference(want.String())
		if err != nil || got != want {
			t.Fatalf("%s reads as %+v, %v", want, got, err)
		}
	})
}
