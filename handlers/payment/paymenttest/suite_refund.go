package paymenttest

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/purser-dev/purser/handlers/payment"
)

func (s suite) refundOnce(t *testing.T) {
	charge := s.paid(t, "1")
	req := s.refundRequest("1", charge.Reference)
	first, err := s.gateway.Refund(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	wellFormed(t, first, req.Amount, req.Currency)
	if first.Status == payment.StatusFailed || first.Status == payment.StatusRequiresAction || first.Reference == charge.Reference {
		t.Errorf("the refund is %+v", first)
	}
	if first.Instructions != nil {
		t.Error("the customer is told to pay for a refund")
	}
	// A day is how long gateways usually know what they were asked before.
	for _, after := range []time.Duration{0, time.Minute, 48 * time.Hour} {
		s.Clock.Advance(after)
		again, err := s.Open().Refund(t.Context(), req)
		if err != nil || !reflect.DeepEqual(again, first) {
			t.Errorf("%s later: %+v, %v\nfirst: %+v", after, again, err, first)
		}
	}
	if got, err := s.gateway.Status(t.Context(), first.Reference); err != nil || !reflect.DeepEqual(got, first) {
		t.Errorf("status is %+v, %v", got, err)
	}
	// More refunds than one, so that the first is not the only one to be found.
	for _, id := range []string{"2", "3"} {
		other, err := s.gateway.Refund(t.Context(), s.refundRequest(id, charge.Reference))
		if err != nil || other.Reference == first.Reference {
			t.Errorf("another refund is %+v, %v", other, err)
		}
	}
	s.Clock.Advance(48 * time.Hour)
	if again, err := s.gateway.Refund(t.Context(), req); err != nil || again.Reference != first.Reference {
		t.Errorf("after others: %+v, %v", again, err)
	}
	if s.Refunded != nil && s.Refunded(charge.Reference) != 3*req.Amount {
		t.Errorf("%d were given back by three refunds of %d", s.Refunded(charge.Reference), req.Amount)
	}
	if got, err := s.gateway.Refund(t.Context(), s.refundRequest("4", first.Reference)); err == nil && got.Status != payment.StatusFailed ||
		err != nil && !errors.Is(err, payment.ErrReference) {
		t.Errorf("the refund of a refund is %+v, %v", got, err)
	}
}

func (s suite) wrongRefund(t *testing.T) {
	charge := s.paid(t, "1")
	for name, tc := range map[string]struct {
		field string
		spoil func(*payment.RefundRequest)
	}{
		"more":             {"amount", func(r *payment.RefundRequest) { r.Amount = s.Charge.Amount + 10 }},
		"nothing":          {"amount", func(r *payment.RefundRequest) { r.Amount = 0 }},
		"less":             {"amount", func(r *payment.RefundRequest) { r.Amount = -10 }},
		"another currency": {"currency", func(r *payment.RefundRequest) { r.Currency = "CHF" }},
		"no currency":      {"currency", func(r *payment.RefundRequest) { r.Currency = "" }},
		"no id":            {"refund_id", func(r *payment.RefundRequest) { r.RefundID = "" }},
		"an odd id":        {"refund_id", func(r *payment.RefundRequest) { r.RefundID = "rfd.1" }},
		"no time":          {"created_at", func(r *payment.RefundRequest) { r.CreatedAt = time.Time{} }},
		"a negative try":   {"attempt", func(r *payment.RefundRequest) { r.Attempt = -1 }},
	} {
		req := s.refundRequest("1", charge.Reference)
		tc.spoil(&req)
		got, err := s.gateway.Refund(t.Context(), req)
		refuses(t, name, tc.field, got, err)
	}
	if s.Refunded != nil && s.Refunded(charge.Reference) != 0 {
		t.Error("money was given back all the same")
	}
}

func (s suite) refundUnpaid(t *testing.T) {
	charge := s.charge(t, "1")
	req := s.refundRequest("1", charge.Reference)
	got, err := s.gateway.Refund(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	wellFormed(t, got, req.Amount, req.Currency)
	if s.Pay == nil {
		// Only a person knows whether it was paid, and that person confirms.
		if got.Status != payment.StatusPending {
			t.Errorf("got %+v", got)
		}
		return
	}
	if got.Status != payment.StatusFailed || got.FailureCode != payment.NotRefundable {
		t.Errorf("got %+v", got)
	}
}
