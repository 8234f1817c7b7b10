package api

import (
	"context"
	"errors"
	"time"

	"github.com/purser-dev/purser/handlers/payment"
	"github.com/purser-dev/purser/models"
)

// chargeTimeout bounds the wait for a gateway.
const chargeTimeout = 10 * time.Second

// PaymentRequest asks to pay an order.
type PaymentRequest struct {
	Method string        `json:"method" enum:"card,bank_transfer" doc:"The payment method."`
	Card   *payment.Card `json:"card,omitempty" doc:"For method card with a test key. It is given to the test gateway and never stored."`
}

type createPaymentInput struct {
	ID   string `path:"id" doc:"The order's id." example:"ord_06f0s8nb5xq7v2k1t9w3c4d5ea"`
	Body PaymentRequest
}

type paymentOutput struct{ Body models.PaymentView }

// createPayment records the attempt, asks the gateway, and records its answer. In between no transaction is open; a process
// that ends there leaves the payment pending, and a worker finds out what became of it. Safe to repeat under one idempotency
// key, because both the record and the gateway know the attempt again.
func (s *Server) createPayment(ctx context.Context, in *createPaymentInput) (*paymentOutput, error) {
	o, err := s.store.Order(ctx, scope(ctx), in.ID)
	if err != nil {
		return nil, problem(err)
	}
	method, gateway, err := s.gatewayFor(scope(ctx), &in.Body)
	if err != nil {
		return nil, err
	}
	p, err := s.store.BeginPayment(ctx, scope(ctx), in.ID, models.NewPayment{
		Method: method.Name, Gateway: gateway.Name(), Class: string(method.Class), RequestID: requestIn(ctx).claim, Actor: actor(ctx),
	})
	if err != nil {
		return nil, problem(err)
	}
	if p.Status == models.PaymentPending {
		if p, err = s.charge(ctx, gateway, o, p, in.Body.Card); err != nil {
			return nil, problem(err)
		}
	}
	return &paymentOutput{Body: s.store.PaymentView(p)}, nil
}

// gatewayFor chooses the gateway and refuses what it would refuse, before anything is recorded.
func (s *Server) gatewayFor(sc models.Scope, in *PaymentRequest) (payment.Method, payment.Gateway, error) {
	method, _ := payment.MethodByName(in.Method) // Huma has checked the name
	gateway := s.Gateways[in.Method]
	_, testOnly := gateway.(testGateway)
	switch {
	case in.Card != nil && !sc.Test:
		return method, nil, invalid("card", "is accepted by the test gateway only, with a test key")
	case in.Card != nil && in.Method != payment.MethodCard:
		return method, nil, invalid("card", "goes with method card only")
	case gateway == nil, testOnly && !sc.Test:
		return method, nil, invalid("method", "is not available")
	case in.Card == nil && testOnly:
		return method, nil, invalid("card", "is required")
	case in.Card != nil:
		if wrong := payment.ValidateCard(*in.Card, time.Now()); len(wrong) > 0 {
			return method, nil, problem(payment.FieldErrors(wrong))
		}
	}
	return method, gateway, nil
}

// charge asks the gateway for the money of a payment that was begun. Its answer is recorded even if the client has gone: the
// money may have moved.
func (s *Server) charge(ctx context.Context, g payment.Gateway, o *models.OrderView, p *models.Payment, card *payment.Card) (*models.Payment, error) {
	asking, cancel := context.WithTimeout(ctx, chargeTimeout)
	defer cancel()
	out, err := g.Charge(asking, payment.ChargeRequest{
		PaymentID: p.ID, OrderNumber: o.Number, Amount: p.Amount, Currency: p.Currency, CreatedAt: p.CreatedAt, Card: card, ReturnURL: o.OrderURL,
	})
	var refused payment.FieldErrors
	switch {
	case errors.As(err, &refused):
		// The gateway will not take it as it is, ever: nothing was charged.
		_, failed := s.settled(ctx, p.ID, payment.Outcome{
			Status: payment.StatusFailed, FailureCode: payment.ProcessingError, FailureMessage: payment.ProcessingError.Message(),
		}, actor(ctx))
		return nil, errors.Join(err, failed)
	case err != nil:
		u := newProblem(codeUnavailable, "The payment gateway does not answer. Repeat the request with the same idempotency key.")
		u.cause = err
		return nil, u
	}
	return s.settled(ctx, p.ID, out, actor(ctx))
}

// settled records a gateway's answer.
func (s *Server) settled(ctx context.Context, id string, out payment.Outcome, actor string) (*models.Payment, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closingTimeout)
	defer cancel()
	return s.store.ApplyPayment(ctx, id, models.PaymentResult{
		Status: models.PaymentStatus(out.Status), Reference: out.Reference,
		FailureCode: string(out.FailureCode), FailureMessage: out.FailureMessage, Ask: out.PollAfter,
	}, actor)
}
