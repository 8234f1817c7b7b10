package payment

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// delayedOutcome is the end of a charge with the delayed card.
func delayedOutcome(t testing.TB, gateway *Test, clock *clock) Outcome {
	t.Helper()
	charge, err := gateway.Charge(context.Background(), chargeWith("4000000000000077"))
	if err != nil {
		t.Fatal(err)
	}
	clock.now = clock.now.Add(charge.PollAfter)
	outcome, err := gateway.Status(context.Background(), charge.Reference)
	if err != nil {
		t.Fatal(err)
	}
	return outcome
}

func TestCallbackTellsTheOutcome(t *testing.T) {
	t.Parallel()
	gateway, clock := newTestGateway(t)
	succeeded := delayedOutcome(t, gateway, clock)
	confirm, err := gateway.Charge(context.Background(), chargeWith("4000002500003155"))
	if err != nil {
		t.Fatal(err)
	}
	refused, err := gateway.Answer(confirm.Reference, ChoiceRefuse)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []Outcome{succeeded, refused} {
		header, body, err := gateway.Callback(want)
		if err != nil {
			t.Fatal(err)
		}
		// Whoever reads it is another process.
		reader, readerClock := newTestGateway(t)
		readerClock.now = clock.now.Add(5 * time.Minute)
		got, err := reader.ParseCallback(header, body)
		if err != nil {
			t.Fatal(err)
		}
		if got.Outcome != want {
			t.Errorf("got  %+v\nwant %+v", got.Outcome, want)
		}
		clock.now = clock.now.Add(time.Minute)
		header, body, err = gateway.Callback(want)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := reader.ParseCallback(header, body); err != nil || again.ID != got.ID {
			t.Errorf("the repeated callback is %q, %v, the first was %q", again.ID, err, got.ID)
		}
	}
	if _, _, err := gateway.Callback(confirm); err == nil {
		t.Error("a callback tells that nothing has happened yet")
	}
	if _, _, err := gateway.Callback(Outcome{Status: StatusSucceeded, Reference: "pi_1"}); !errors.Is(err, ErrReference) {
		t.Errorf("callback of another gateway's charge: %v", err)
	}
}

func TestParseCallbackRefuses(t *testing.T) {
	t.Parallel()
	gateway, clock := newTestGateway(t)
	outcome := delayedOutcome(t, gateway, clock)
	header, body, err := gateway.Callback(outcome)
	if err != nil {
		t.Fatal(err)
	}
	signature := header.Get(TestSignatureHeader)
	stranger, err := NewTest(TestConfig{PageURL: "https://x.example", CallbackSecret: bytes.Repeat([]byte{2}, 32), Now: gateway.config.Now})
	if err != nil {
		t.Fatal(err)
	}
	forgedHeader, _, err := stranger.Callback(outcome)
	if err != nil {
		t.Fatal(err)
	}
	signed := func(stamp, body string) string {
		return "t=" + stamp + ",v1=" + hex.EncodeToString(gateway.sign(stamp, []byte(body)))
	}
	now := strconv.FormatInt(clock.now.Unix(), 10)
	seconds := func(d time.Duration) string { return strconv.FormatInt(clock.now.Add(d).Unix(), 10) }
	valid := string(body)
	for name, tc := range map[string]struct{ signature, body, want string }{
		"no signature":      {"", valid, "missing"},
		"no timestamp":      {strings.TrimPrefix(signature, "t="), valid, "missing"},
		"no v1":             {"t=" + now, valid, "missing"},
		"empty v1":          {"t=" + now + ",v1=", valid, "signature does not match"},
		"not hexadecimal":   {"t=" + now + ",v1=zz", valid, "signature does not match"},
		"other secret":      {forgedHeader.Get(TestSignatureHeader), valid, "signature does not match"},
		"other timestamp":   {strings.Replace(signature, now, seconds(time.Second), 1), valid, "signature does not match"},
		"other body":        {signature, strings.Replace(valid, "9800", "1", 1), "signature does not match"},
		"longer body":       {signature, valid + " ", "signature does not match"},
		"stale":             {signed(seconds(-301*time.Second), valid), valid, "more than 5m0s off"},
		"from the future":   {signed(seconds(301*time.Second), valid), valid, "more than 5m0s off"},
		"odd timestamp":     {signed("now", valid), valid, "not in Unix seconds"},
		"signed, no JSON":   {signed(now, "hello"), "hello", "not a callback"},
		"unknown field":     {signed(now, `{"x":1}`), `{"x":1}`, "not a callback"},
		"trailing object":   {signed(now, valid+"{}"), valid + "{}", "something follows"},
		"foreign reference": {signed(now, `{"reference":"pi_1","status":"succeeded"}`), `{"reference":"pi_1","status":"succeeded"}`, "reference is unknown"},
		"not final": {signed(now, strings.Replace(valid, `"status":"succeeded"`, `"status":"processing"`, 1)),
			strings.Replace(valid, `"status":"succeeded"`, `"status":"processing"`, 1), "status is not final"},
		"too long": {signed(now, strings.Repeat(" ", maxCallbackBody+1)), strings.Repeat(" ", maxCallbackBody+1), "longer than 65536"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			header := http.Header{}
			if tc.signature != "" {
				header.Set(TestSignatureHeader, tc.signature)
			}
			got, err := gateway.ParseCallback(header, []byte(tc.body))
			if !errors.Is(err, ErrCallback) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error is %v, want %q", err, tc.want)
			}
			if got != (Callback{}) {
				t.Errorf("callback %+v beside an error", got)
			}
		})
	}
}

// What is mismatched is for the caller to see (payment.mismatch), not for the
// gateway to correct.
func TestCallbackMayTellAnotherAmount(t *testing.T) {
	t.Parallel()
	gateway, clock := newTestGateway(t)
	outcome := delayedOutcome(t, gateway, clock)
	outcome.Amount, outcome.Currency = 1, "USD"
	header, body, err := gateway.Callback(outcome)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := gateway.ParseCallback(header, body); err != nil || got.Outcome != outcome {
		t.Errorf("got %+v, %v", got, err)
	}
}

func FuzzParseCallback(f *testing.F) {
	gateway, clock := newTestGateway(f)
	header, body, err := gateway.Callback(delayedOutcome(f, gateway, clock))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(header.Get(TestSignatureHeader), body)
	f.Add("", []byte("{}"))
	f.Add("t=,v1=", []byte(`{"reference":"test.succeeds.1.1EUR.pay_1","status":"failed","failure_code":"x"}`))
	f.Fuzz(func(t *testing.T, signature string, fuzzed []byte) {
		header := http.Header{TestSignatureHeader: {signature}}
		if _, err := gateway.ParseCallback(header, fuzzed); err == nil && !bytes.Equal(fuzzed, body) {
			t.Fatal("forged")
		}
		// Past the signature, any body is read without harm.
		got, err := readTestCallback(fuzzed)
		if err != nil {
			if !errors.Is(err, ErrCallback) {
				t.Fatal(err)
			}
			return
		}
		if _, err := parseTestReference(got.Outcome.Reference); err != nil || !got.Outcome.Status.Final() {
			t.Fatalf("%+v, %v", got, err)
		}
	})
}
