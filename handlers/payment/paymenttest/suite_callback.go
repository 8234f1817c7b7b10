package paymenttest

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/purser-dev/purser/handlers/payment"
)

// refusesCallback checks that nothing comes of a callback.
func (s suite) refusesCallback(t *testing.T, name string, header http.Header, body []byte) {
	t.Helper()
	got, err := s.gateway.ParseCallback(header, body)
	if !errors.Is(err, payment.ErrCallback) || errors.Is(err, payment.ErrIgnored) || got != (payment.Callback{}) {
		t.Errorf("%s: %+v, %v", name, got, err)
	}
}

func (s suite) callbackRepeats(t *testing.T) {
	charge := s.paid(t, "1")
	if s.Callback == nil {
		s.refusesCallback(t, "anything", http.Header{}, []byte(`{"status":"succeeded","reference":"`+charge.Reference+`"}`))
		return
	}
	want := payment.Outcome{Status: payment.StatusSucceeded, Reference: charge.Reference, Amount: s.Charge.Amount, Currency: s.Charge.Currency}
	header, body := s.Callback(charge.Reference)
	first, err := s.gateway.ParseCallback(header, body)
	if err != nil {
		t.Fatal(err)
	}
	if first.ID == "" || first.Subject != payment.SubjectCharge || first.PaymentID != "pay_1" || first.RefundID != "" || first.Outcome != want {
		t.Errorf("callback %+v", first)
	}
	// The very same bytes in another process, and the gateway's own repetition.
	if again, err := s.Open().ParseCallback(header, body); err != nil || again != first {
		t.Errorf("again %+v, %v", again, err)
	}
	s.Clock.Advance(time.Hour)
	header, body = s.Callback(charge.Reference)
	if again, err := s.gateway.ParseCallback(header, body); err != nil || again != first {
		t.Errorf("an hour later %+v, %v", again, err)
	}
	other := s.paid(t, "2")
	header, body = s.Callback(other.Reference)
	if got, err := s.gateway.ParseCallback(header, body); err != nil || got.ID == first.ID || got.PaymentID != "pay_2" {
		t.Errorf("another charge's %+v, %v", got, err)
	}
}

func (s suite) callbackForged(t *testing.T) {
	s.refusesCallback(t, "nothing", nil, nil)
	s.refusesCallback(t, "an empty object", http.Header{}, []byte("{}"))
	charge := s.paid(t, "1")
	if s.Callback == nil {
		return
	}
	header, body := s.Callback(charge.Reference)
	if _, err := s.gateway.ParseCallback(header, body); err != nil {
		t.Fatal(err)
	}
	s.refusesCallback(t, "no header", http.Header{}, body)
	s.refusesCallback(t, "no body", header, nil)
	s.refusesCallback(t, "more body", header, append(append([]byte{}, body...), '\n'))
	for i := range body {
		changed := append([]byte{}, body...)
		changed[i] ^= 1
		s.refusesCallback(t, "changed body", header, changed)
	}
	for name, values := range header {
		if name == "Content-Type" {
			continue
		}
		for i := range values[0] {
			changed := []byte(values[0])
			changed[i] ^= 1
			forged := header.Clone()
			forged.Set(name, string(changed))
			s.refusesCallback(t, "changed header "+string(changed), forged, body)
		}
		for _, value := range []string{"", ",", "=", "t=", "t=,v1=", values[0][1:], "v1=" + values[0], values[0][:len(values[0])-1]} {
			forged := header.Clone()
			forged.Set(name, value)
			s.refusesCallback(t, "header "+value, forged, body)
		}
	}
	// The signature of one callback with the body of another.
	_, others := s.Callback(s.paid(t, "2").Reference)
	s.refusesCallback(t, "another body", header, others)
}

func (s suite) callbackOld(t *testing.T) {
	charge := s.paid(t, "1")
	if s.Callback == nil {
		return
	}
	header, body := s.Callback(charge.Reference)
	s.Clock.Advance(5 * time.Minute)
	if _, err := s.gateway.ParseCallback(header, body); err != nil {
		t.Errorf("after five minutes: %v", err)
	}
	s.Clock.Advance(time.Second)
	s.refusesCallback(t, "stale", header, body)
	s.Clock.Advance(-10*time.Minute - 2*time.Second)
	s.refusesCallback(t, "from the future", header, body)
}
