package api

import (
	"context"
	"errors"
	"net/http"

	"github.com/gofiber/fiber/v2"

	"github.com/purser-dev/purser/handlers/payment"
	"github.com/purser-dev/purser/models"
)

// gatewayCallback takes what the gateway of a merchant's payment method tells. Who calls is known by the signature alone, which is that of
// the method in the address, so that no merchant's gateway can speak of another merchant's payments.
func (s *Server) gatewayCallback(c *fiber.Ctx) error {
	name, id := c.Params("gateway"), c.Params("method")
	configured, sc, _, err := s.store.PaymentMethodConfig(c.UserContext(), id)
	if err != nil || configured != name {
		return noCallbacks(err)
	}
	gateway, err := s.gateways.Find(c.UserContext(), name, id)
	if err != nil {
		return err
	}
	return s.takeCallback(c, gateway, func(context.Context, payment.Callback) (models.Scope, error) { return sc, nil })
}

// testGatewayCallback takes what the test gateway tells, which is the installation's own: its payments say whose they are.
func (s *Server) testGatewayCallback(c *fiber.Ctx) error {
	gateway, err := s.gateways.Find(c.UserContext(), models.GatewayTest, "")
	if err != nil {
		return newProblem(codeNotFound, "")
	}
	return s.takeCallback(c, gateway, func(ctx context.Context, cb payment.Callback) (models.Scope, error) {
		if cb.Subject != payment.SubjectCharge { // its refunds are over at once
			return models.Scope{}, newProblem(codeNotFound, "")
		}
		p, err := s.store.Payment(ctx, cb.PaymentID)
		if err != nil {
			return models.Scope{}, err
		}
		if !p.Test { // the test gateway has no business with anybody's money
			return models.Scope{}, newProblem(codeNotFound, "")
		}
		return models.Scope{MerchantID: p.MerchantID, Test: true}, nil
	})
}

// takeCallback checks a callback, puts it into the inbox, and answers. It is applied by a job, because gateways do not wait long and
// repeat what is not answered soon. Nothing is written down before the signature is known to be right.
func (s *Server) takeCallback(c *fiber.Ctx, gateway payment.Gateway, scopeOf func(context.Context, payment.Callback) (models.Scope, error)) error {
	header := http.Header{}
	for name, value := range c.Request().Header.All() {
		header.Add(string(name), string(value))
	}
	cb, err := gateway.ParseCallback(header, c.Body())
	switch {
	case errors.Is(err, payment.ErrIgnored):
		return c.SendStatus(fiber.StatusOK)
	case err != nil:
		if err := s.allow(c, wrongCallbacks); err != nil {
			return err // one that is right is never refused because of those that were not
		}
		s.log.Warn("a gateway's callback was refused", "gateway", gateway.Name(), "request_id", requestOf(c).id, "error", logged(err))
		return newProblem(codeMalformed, "The callback is not one of the gateway's.")
	}
	sc, err := scopeOf(c.UserContext(), cb)
	if err != nil {
		return err
	}
	subject, ok := callbackSubjects[cb.Subject]
	if !ok {
		s.log.Error("a callback is about something that is not known here", "gateway", gateway.Name(), "subject", string(cb.Subject), "request_id", requestOf(c).id)
		return newProblem(codeMalformed, "The callback is about nothing that is known here.")
	}
	if err := s.store.RecordCallback(c.UserContext(), sc, models.NewCallback{
		Gateway: gateway.Name(), EventID: cb.ID, PaymentID: cb.PaymentID, RefundID: cb.RefundID, Subject: subject, Outcome: paymentResult(cb.Outcome),
	}); err != nil {
		return err
	}
	return c.SendStatus(fiber.StatusOK)
}

var callbackSubjects = map[payment.Subject]models.CallbackSubject{
	payment.SubjectCharge: "", payment.SubjectRefund: models.CallbackOfRefund, payment.SubjectRefundTotal: models.CallbackOfRefundTotal,
}

// noCallbacks is the answer at an address of no payment method; whatever else went wrong is not the caller's.
func noCallbacks(err error) error {
	if err != nil && models.CodeOf(err) != models.CodeNotFound {
		return err
	}
	return newProblem(codeNotFound, "")
}
