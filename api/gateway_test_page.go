package api

import (
	"net/url"
	"regexp"

	"github.com/gofiber/fiber/v2"

	"github.com/purser-dev/purser/handlers/mail"
	"github.com/purser-dev/purser/handlers/payment"
	"github.com/purser-dev/purser/models"
)

// testGateway is a gateway for test orders only, whose confirmation page is ours.
type testGateway interface {
	payment.Gateway
	Answer(reference string, confirmed bool) (payment.Outcome, error)
}

const actorCustomer = "customer"

// testGatewayView is what the test gateway's page shows.
type testGatewayView struct {
	Amount, Number, Product string
	Status                  models.PaymentStatus
	Failure                 string
	ReturnURL               string
	Waiting                 bool
}

// testGatewayPage shows a payment that waits for its customer, or what became of it.
func (s *Server) testGatewayPage(c *fiber.Ctx) error {
	p, o, err := s.testPayment(c)
	if err != nil {
		return err
	}
	return s.showTestPayment(c, p, o)
}

// answerTestGateway does what the customer chose. Pressing twice, or going back and pressing the other button, changes nothing.
func (s *Server) answerTestGateway(c *fiber.Ctx) error {
	if err := s.sameOrigin(c); err != nil {
		return err
	}
	p, o, err := s.testPayment(c)
	if err != nil {
		return err
	}
	form, err := url.ParseQuery(string(c.Body()))
	if err != nil {
		return newProblem(codeMalformed, "")
	}
	outcome := form.Get("outcome")
	if outcome != "succeed" && outcome != "fail" {
		return invalid("outcome", "must be succeed or fail")
	}
	if p.Status == models.PaymentRequiresAction {
		gateway, ok := s.Gateways[p.Gateway].(testGateway)
		if !ok {
			return newProblem(codeNotFound, "")
		}
		out, err := gateway.Answer(p.Reference, outcome == "succeed")
		if err != nil {
			return err
		}
		if _, err = s.settled(c.UserContext(), p.ID, out, actorCustomer); err != nil {
			return err
		}
	}
	if o.ReturnURL != nil {
		return c.Redirect(*o.ReturnURL, fiber.StatusSeeOther)
	}
	return c.Redirect(c.Path(), fiber.StatusSeeOther)
}

func (s *Server) testPayment(c *fiber.Ctx) (*models.Payment, *models.OrderView, error) {
	p, o, err := s.store.PaymentByToken(c.UserContext(), "test", c.Params("token"))
	if err != nil {
		return nil, nil, err
	}
	if !p.Test { // the test gateway has no business with anybody's money
		return nil, nil, newProblem(codeNotFound, "")
	}
	return p, o, nil
}

func (s *Server) showTestPayment(c *fiber.Ctx, p *models.Payment, o *models.OrderView) error {
	v := testGatewayView{
		Amount: mail.FormatMoney(p.Amount, p.Currency), Number: o.Number, Status: p.Status, Waiting: p.Status == models.PaymentRequiresAction,
	}
	if len(o.Items) > 0 {
		v.Product = o.Items[0].Name
	}
	if p.FailureMessage != nil {
		v.Failure = *p.FailureMessage
	}
	if o.ReturnURL != nil {
		v.ReturnURL = *o.ReturnURL
		// The answer to the form sends the browser there, and browsers hold form-action against that too.
		if origin := originOf(*o.ReturnURL); origin != "" {
			c.Set(fiber.HeaderContentSecurityPolicy, pagePolicy+"; form-action 'self' "+origin)
		}
	}
	return s.show(c, fiber.StatusOK, "gateway_test", view{Title: "Test payment", Brand: "Test gateway", Width: "narrow", Data: v})
}

var plainHost = regexp.MustCompile(`^[A-Za-z0-9.:\[\]-]+$`)

// originOf is the origin of an address, or "" for one that could break out of a policy.
func originOf(address string) string {
	u, err := url.Parse(address)
	if err != nil || !plainHost.MatchString(u.Host) {
		return ""
	}
	return u.Scheme + "://" + u.Host
}
