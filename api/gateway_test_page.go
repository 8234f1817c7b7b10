package api

import (
	"context"
	"net/http"
	"net/url"
	"regexp"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/purser-dev/purser/handlers/payment"
	"github.com/purser-dev/purser/models"
)

// testGateway is a gateway for test orders only, whose confirmation page is ours.
type testGateway interface {
	payment.Gateway
	Answer(reference string, choice payment.TestChoice) (payment.Outcome, error)
	Callback(outcome payment.Outcome) (http.Header, []byte, error)
}

// testOutcome is what one button of the test gateway's page makes of a payment.
type testOutcome struct {
	answer payment.TestChoice // at once
	told   []testTold         // by callbacks afterwards, in this order
}

type testTold struct {
	answer payment.TestChoice
	after  time.Duration
}

// callbackDelay is how long the page's delayed callback takes.
const callbackDelay = 5 * time.Second

// testOutcomes are the buttons by their values.
var testOutcomes = map[string]testOutcome{
	"succeed": {payment.ChoiceConfirm, nil},
	"fail":    {payment.ChoiceRefuse, nil},
	"decline": {payment.ChoiceDecline, nil},
	"delayed": {payment.ChoiceLater, []testTold{{payment.ChoiceConfirm, callbackDelay}}},
	// The same callback three times.
	"duplicate": {payment.ChoiceLater, []testTold{{payment.ChoiceConfirm, 0}, {payment.ChoiceConfirm, 0}, {payment.ChoiceConfirm, 0}}},
	// The end of the payment before a failure that preceded it.
	"out_of_order": {payment.ChoiceLater, []testTold{{payment.ChoiceConfirm, 0}, {payment.ChoiceDecline, time.Second}}},
}

const actorCustomer = "customer"

// testGatewayView is what the test gateway's page shows.
type testGatewayView struct {
	Payment         *models.Payment
	Order           *models.OrderView
	State           string // waiting, done, failed, cancelled or open
	Failure         string // why it failed: pay.failed_<code>
	Back, OrderLink string // to the shop, empty for nowhere, and to the order
}

// testGatewayPage shows a payment that waits for its customer, or what became of it.
func (s *Server) testGatewayPage(c *fiber.Ctx) error {
	p, o, err := s.testPayment(c)
	if err != nil {
		return err
	}
	return s.showTestPayment(c, p, o)
}

// answerTestGateway does what the customer chose. Pressing twice, or going back and pressing the other button, changes nothing. Whoever
// has the address may answer, programs that try a shop out among them; a browser that knows us also has to have seen the page.
func (s *Server) answerTestGateway(c *fiber.Ctx) error {
	read := s.sentForm
	if s.knownVisitor(c) != "" {
		read = s.checkCSRF
	}
	form, err := read(c)
	if err != nil {
		return err
	}
	p, o, err := s.testPayment(c)
	if err != nil {
		return err
	}
	outcome, ok := testOutcomes[form.Get("outcome")]
	if !ok {
		return invalid("outcome", "must be one of the page's buttons")
	}
	if p.Status == models.PaymentRequiresAction {
		gateway, ok := s.Gateways[p.Gateway].(testGateway)
		if !ok {
			return newProblem(codeNotFound, "")
		}
		if err := s.answerTest(c.UserContext(), gateway, p, outcome); err != nil {
			return err
		}
	}
	if o.ReturnURL != nil {
		return c.Redirect(*o.ReturnURL, fiber.StatusSeeOther)
	}
	return c.Redirect(c.Path(), fiber.StatusSeeOther)
}

// answerTest does what a button says: the answer and what the gateway tells afterwards are one transaction, because nobody else knows it.
func (s *Server) answerTest(ctx context.Context, gateway testGateway, p *models.Payment, outcome testOutcome) error {
	return s.store.Transaction(ctx, func(ctx context.Context) error {
		out, err := gateway.Answer(p.Reference, outcome.answer)
		if err != nil {
			return err
		}
		out.PollAfter = 0
		now, err := s.store.ApplyPayment(ctx, p.ID, paymentResult(out), actorCustomer)
		if err != nil || now.Status != models.PaymentStatus(out.Status) { // somebody else was faster
			return err
		}
		for _, told := range outcome.told {
			if out, err = gateway.Answer(p.Reference, told.answer); err != nil {
				return err
			}
			if err := s.tellTest(ctx, gateway, p, out, told.after); err != nil {
				return err
			}
		}
		return nil
	})
}

// chargedTest records the test gateway's answer to a charge. One that succeeds later does so by a callback.
func (s *Server) chargedTest(ctx context.Context, gateway testGateway, p *models.Payment, out payment.Outcome, actor string) (*models.Payment, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closingTimeout)
	defer cancel()
	out.RedirectURL = "" // the page is ours, and found by the payment's token
	later := out.PollAfter
	out.PollAfter = 0
	err := s.store.Transaction(ctx, func(ctx context.Context) (err error) {
		if p, err = s.store.ApplyPayment(ctx, p.ID, paymentResult(out), actor); err != nil || p.Status != models.PaymentProcessing {
			return err
		}
		out.Status = payment.StatusSucceeded
		return s.tellTest(ctx, gateway, p, out, later)
	})
	return p, err
}

// tellTest is a callback of the test gateway, as it would come to its address: signed, checked and put into the inbox.
func (s *Server) tellTest(ctx context.Context, gateway testGateway, p *models.Payment, out payment.Outcome, after time.Duration) error {
	header, body, err := gateway.Callback(out)
	if err != nil {
		return err
	}
	cb, err := gateway.ParseCallback(header, body)
	if err != nil {
		return err
	}
	return s.store.RecordCallback(ctx, models.Scope{MerchantID: p.MerchantID, Test: true}, models.NewCallback{
		Gateway: gateway.Name(), EventID: cb.ID, PaymentID: cb.PaymentID, Outcome: paymentResult(cb.Outcome), After: after,
	})
}

func (s *Server) testPayment(c *fiber.Ctx) (*models.Payment, *models.OrderView, error) {
	if err := s.allow(c, testsSought); err != nil {
		return nil, nil, err
	}
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
	m, err := s.store.Merchant(c.UserContext(), p.MerchantID)
	if err != nil {
		return err
	}
	v := testGatewayView{
		Payment: p, Order: o, State: "open", Failure: failureText(textOf(p.FailureCode)), Back: textOf(o.ReturnURL), OrderLink: s.local(o.OrderURL),
	}
	switch p.Status {
	case models.PaymentRequiresAction:
		v.State = "waiting"
	case models.PaymentSucceeded:
		v.State = "done"
	case models.PaymentFailed:
		v.State = "failed"
	case models.PaymentCancelled:
		v.State = "cancelled"
	}
	sh := s.orderShop(c, m, o)
	sh.Title, sh.Width = sh.Words.T("pay.gateway_title"), "narrow"
	sh.FormTo = []string{v.Back} // the answer to the form sends the browser there
	if p.Status == models.PaymentProcessing {
		sh.Refresh = confirmRefresh
	}
	return s.shopPage(c, fiber.StatusOK, "gateway_test", sh, v)
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
