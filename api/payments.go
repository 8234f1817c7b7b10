package api

import (
	"context"
	"errors"
	"slices"
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

// createPayment pays by the first way that is offered for the method and the order's currency.
func (s *Server) createPayment(ctx context.Context, in *createPaymentInput) (*paymentOutput, error) {
	sc := scope(ctx)
	o, choices, err := s.store.OrderToPay(ctx, sc, in.ID)
	if err != nil {
		return nil, problem(err)
	}
	choice, err := choiceOf(choices, sc, &in.Body)
	if err != nil {
		return nil, problem(err)
	}
	p, err := s.pay(ctx, o, sc, choice, in.Body.Card, requestIn(ctx).claim, actor(ctx))
	if err != nil {
		return nil, problem(err)
	}
	return &paymentOutput{Body: s.store.PaymentView(p)}, nil
}

func choiceOf(choices []models.PayChoice, sc models.Scope, in *PaymentRequest) (models.PayChoice, error) {
	switch {
	case in.Card != nil && !sc.Test:
		return models.PayChoice{}, invalid("card", "is accepted by the test gateway only, with a test key")
	case in.Card != nil && in.Method != payment.MethodCard:
		return models.PayChoice{}, invalid("card", "goes with method card only")
	}
	i := slices.IndexFunc(choices, func(c models.PayChoice) bool { return c.Method == in.Method })
	if i < 0 {
		return models.PayChoice{}, invalid("method", "is not available")
	}
	return choices[i], nil
}

// pay records an attempt to pay, asks its gateway, and records the answer; the payment is returned as it is afterwards. In between no
// transaction is open; a process that ends there leaves the payment pending, and a worker finds out what became of it. Safe to repeat
// under one requestID, because both the record and the gateway know the attempt again; without one each call is an attempt of its own,
// which replaces those that still wait for the customer. The errors are problems, or those of models: a conflict where the order cannot
// be paid or a payment of it is being confirmed.
func (s *Server) pay(
	ctx context.Context, o *models.OrderView, sc models.Scope, choice models.PayChoice, card *payment.Card, requestID, actor string,
) (*models.Payment, error) {
	gateway, err := s.gatewayOf(ctx, choice, sc, card)
	if err != nil {
		return nil, err
	}
	if err := s.closePages(ctx, o, requestID); err != nil {
		return nil, err
	}
	method, _ := payment.MethodByName(choice.Method) // models offers only methods that there are
	p, err := s.store.BeginPayment(ctx, sc, o.ID, models.NewPayment{
		Method: choice.Method, Gateway: choice.Gateway, MethodID: choice.MethodID, Class: string(method.Class), RequestID: requestID, Actor: actor,
	})
	if err != nil || p.Status != models.PaymentPending || p.Reference != "" { // it was answered when the request came first
		return p, err
	}
	return s.charge(ctx, gateway, o, p, card, actor)
}

// gatewayOf opens the gateway of a choice and refuses what it would refuse, before anything is recorded.
func (s *Server) gatewayOf(ctx context.Context, choice models.PayChoice, sc models.Scope, card *payment.Card) (payment.Gateway, error) {
	gateway, err := s.gateways.Find(ctx, choice.Gateway, choice.MethodID)
	if err != nil {
		return nil, err
	}
	_, ownPage := gateway.(testGateway)
	switch {
	case ownPage && !sc.Test:
		return nil, invalid("method", "is not available")
	case ownPage && card == nil:
		return nil, invalid("card", "is required")
	case card != nil && choice.Gateway != models.GatewayTest:
		return nil, invalid("card", "is accepted by the test gateway only; the customer gives it to the payment page")
	case card != nil:
		if wrong := payment.ValidateCard(*card, time.Now()); len(wrong) > 0 {
			return nil, payment.FieldErrors(wrong)
		}
	}
	return gateway, nil
}

// closePages closes the payment pages of the attempts that another is begun in favour of, so that nobody pays twice. Where the customer
// was faster, that payment is applied, and the order takes no other. A gateway that does not answer holds nobody up: money that comes
// all the same is recorded as what it is.
func (s *Server) closePages(ctx context.Context, o *models.OrderView, requestID string) error {
	for i := range o.Payments {
		if o.Payments[i].Status != models.PaymentRequiresAction {
			continue
		}
		old, err := s.store.Payment(ctx, o.Payments[i].ID)
		if err != nil {
			return err
		}
		if requestID != "" && textOf(old.RequestID) == requestID {
			return nil // the request is repeated, and this is its own page
		}
		gateway, err := s.gateways.Find(ctx, old.Gateway, textOf(old.MethodID))
		if err != nil {
			continue
		}
		if closer, ok := gateway.(payment.Closer); ok {
			if err := s.closePage(ctx, closer, old); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Server) closePage(ctx context.Context, closer payment.Closer, p *models.Payment) error {
	asking, cancel := context.WithTimeout(ctx, chargeTimeout/2)
	defer cancel()
	out, err := closer.Cancel(asking, p.Reference)
	if err != nil {
		s.log.Warn("a payment page could not be closed", "payment", p.ID, "error", logged(err))
		return nil
	}
	if out.Status == payment.StatusSucceeded || out.Status == payment.StatusProcessing {
		_, err = s.settled(ctx, p.ID, out, "gateway:"+p.Gateway)
	}
	return err
}

// askAfterReturn asks the gateway whose page the customer comes from what became of the payment, because the customer is often faster than
// its callback. A gateway that does not answer is asked again by a worker.
func (s *Server) askAfterReturn(ctx context.Context, o *models.OrderView) error {
	for i := range o.Payments {
		if o.Status != models.OrderNotPaid || o.Payments[i].Status != models.PaymentRequiresAction {
			continue
		}
		p, err := s.store.Payment(ctx, o.Payments[i].ID)
		if err != nil {
			return err
		}
		gateway, err := s.gateways.Find(ctx, p.Gateway, textOf(p.MethodID))
		if err != nil {
			return nil
		}
		asking, cancel := context.WithTimeout(ctx, chargeTimeout/2)
		asking, answered := s.traceCall(asking, "ask "+gateway.Name())
		out, err := gateway.Status(asking, p.Reference)
		answered(err)
		cancel()
		if err != nil {
			s.log.Warn("a gateway does not tell what became of a payment", "payment", p.ID, "error", logged(err))
			return nil
		}
		if _, err := s.settled(ctx, p.ID, out, "gateway:"+p.Gateway); err != nil {
			return err
		}
	}
	return nil
}

func textOf(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// charge asks the gateway for the money of a payment that was begun. Its answer is recorded even if the client has gone: the
// money may have moved.
func (s *Server) charge(
	ctx context.Context, g payment.Gateway, o *models.OrderView, p *models.Payment, card *payment.Card, actor string,
) (*models.Payment, error) {
	asking, cancel := context.WithTimeout(ctx, chargeTimeout)
	defer cancel()
	request := payment.ChargeRequest{
		PaymentID: p.ID, OrderNumber: o.Number, Amount: p.Amount, Currency: p.Currency, CreatedAt: p.CreatedAt, Card: card,
		ReturnURL: o.OrderURL + "?" + returnedParam + "=1", CancelURL: o.PaymentURL, CustomerEmail: o.Customer.Email,
	}
	if o.ReturnURL != nil {
		request.ReturnURL = *o.ReturnURL
	}
	asking, answered := s.traceCall(asking, "charge "+g.Name())
	out, err := g.Charge(asking, request)
	answered(err)
	var wrong payment.FieldErrors
	switch {
	case errors.As(err, &wrong), errors.Is(err, payment.ErrRefused):
		// The gateway will not take it as it is, ever: nothing was charged.
		_, failed := s.settled(ctx, p.ID, payment.Outcome{
			Status: payment.StatusFailed, FailureCode: payment.ProcessingError, FailureMessage: payment.ProcessingError.Message(),
		}, actor)
		if wrong != nil {
			return nil, errors.Join(err, failed)
		}
		u := newProblem(codeUnavailable, "The payment gateway refuses the merchant's account. Choose another payment method.")
		u.cause = errors.Join(err, failed)
		return nil, u
	case err != nil:
		u := newProblem(codeUnavailable, "The payment gateway does not answer. Repeat the request with the same idempotency key.")
		u.cause = err
		return nil, u
	}
	if test, ok := g.(testGateway); ok {
		return s.chargedTest(ctx, test, p, out, actor)
	}
	return s.settled(ctx, p.ID, out, actor)
}

// settled records a gateway's answer.
func (s *Server) settled(ctx context.Context, id string, out payment.Outcome, actor string) (*models.Payment, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closingTimeout)
	defer cancel()
	return s.store.ApplyPayment(ctx, id, paymentResult(out), actor)
}

// paymentResult is a gateway's answer in the words of models.
func paymentResult(out payment.Outcome) models.PaymentResult {
	r := models.PaymentResult{
		Status: models.PaymentStatus(out.Status), Reference: out.Reference, Amount: out.Amount, Currency: out.Currency, RedirectURL: out.RedirectURL,
		FailureCode: string(out.FailureCode), FailureMessage: out.FailureMessage, Ask: out.PollAfter,
	}
	if out.Instructions != nil {
		i := out.Instructions
		r.Instructions = &models.Instructions{
			AccountHolder: i.AccountHolder, IBAN: i.IBAN, BIC: i.BIC, BankName: i.BankName, Reference: i.Reference, Amount: i.Amount,
			Currency: i.Currency, Text: i.Text,
		}
	}
	return r
}
