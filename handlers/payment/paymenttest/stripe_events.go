package paymenttest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
)

// Pay lets the customer pay on the page of a session.
func (s *StripeServer) Pay(sessionID string) {
	s.complete(sessionID, "paid", "succeeded")
}

// PayLater lets the customer choose a way of paying that takes days.
func (s *StripeServer) PayLater(sessionID string) {
	s.complete(sessionID, "unpaid", "processing")
}

func (s *StripeServer) complete(sessionID, paymentStatus, intentStatus string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.find(sessionID)
	if c == nil || c.status != "open" {
		s.t.Errorf("stripe server: there is no open session %s", sessionID)
		return
	}
	c.status, c.paymentStatus = "complete", paymentStatus
	c.intent = &intent{id: s.id("pi_3"), charge: s.id("ch_3"), status: intentStatus}
}

// Arrive ends what PayLater began, with the money.
func (s *StripeServer) Arrive(sessionID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.sessions[sessionID]
	c.paymentStatus, c.intent.status = "paid", "succeeded"
}

// Bounce ends what PayLater began, without the money; Stripe gives the reason as a
// decline code.
func (s *StripeServer) Bounce(sessionID, declineCode string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.sessions[sessionID]
	c.intent.status, c.intent.decline = "requires_payment_method", declineCode
}

// SettleRefund gives a refund another status.
func (s *StripeServer) SettleRefund(refundID, status, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.refunds {
		if r.id == refundID {
			r.status, r.reason = status, reason
			if status == "failed" {
				s.byIntent(r.intent).refunded -= r.amount
			}
		}
	}
}

// RefundAtStripe makes a refund that no gateway asked for, as people do in Stripe's
// Dashboard, and returns its id.
func (s *StripeServer) RefundAtStripe(sessionID string, amount int64) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refund(s.sessions[sessionID], amount, map[string]string{}).id
}

// Refunded returns how much was given back of a session, in Stripe's units.
func (s *StripeServer) Refunded(sessionID string) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessions[sessionID].refunded
}

// Sessions returns how many sessions there are.
func (s *StripeServer) Sessions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sessions)
}

// Event returns the event of the given type about a session, a refund, or, for
// types that begin with charge.refunded, the charge of a session, as it is now. The
// same event again has the same id and a new signature.
func (s *StripeServer) Event(kind, id string) (http.Header, []byte) {
	s.mu.Lock()
	var object map[string]any
	if c := s.find(id); c != nil && kind == "charge.refunded" {
		object = map[string]any{
			"id": c.intent.charge, "object": "charge", "amount": c.amount, "amount_refunded": c.refunded, "currency": c.currency,
			"payment_intent": c.intent.id, "metadata": c.intentMetadata, "refunded": c.refunded == c.amount, "status": "succeeded",
		}
	} else if c != nil {
		object = s.sessionJSON(c, false)
	}
	for _, r := range s.refunds {
		if r.id == id {
			object = refundJSON(r)
		}
	}
	s.mu.Unlock()
	if object == nil {
		s.t.Errorf("stripe server: there is no %s to tell of by %s", id, kind)
		return http.Header{}, nil
	}
	name := sha256.Sum256(fmt.Appendf(nil, "%s %v", kind, object))
	body, err := json.MarshalIndent(map[string]any{
		"id": "evt_1" + hex.EncodeToString(name[:8]), "object": "event", "api_version": "2026-03-25.dahlia", "created": s.clock.Now().Unix(),
		"livemode": false, "pending_webhooks": 1, "request": nil, "type": kind, "data": map[string]any{"object": object},
	}, "", "  ")
	if err != nil {
		s.t.Errorf("stripe server: %v", err)
	}
	return s.Sign(body), body
}

// Sign signs a body as Stripe does (https://docs.stripe.com/webhooks#verify-manually).
func (s *StripeServer) Sign(body []byte) http.Header {
	stamp := strconv.FormatInt(s.clock.Now().Unix(), 10)
	mac := hmac.New(sha256.New, []byte(s.WebhookSecret))
	mac.Write([]byte(stamp + "."))
	mac.Write(body)
	header := http.Header{}
	header.Set("Content-Type", "application/json; charset=utf-8")
	header.Set("Stripe-Signature", "t="+stamp+",v1="+hex.EncodeToString(mac.Sum(nil)))
	return header
}
