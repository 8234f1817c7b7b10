package api

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/purser-dev/purser/handlers/payment"
	"github.com/purser-dev/purser/models"
)

// askingFor is how long a payment whose gateway was asked and has not answered is shown as being confirmed. Afterwards a worker has
// found out what became of it.
const askingFor = time.Minute

// confirmRefresh is how often a page that waits for a payment looks again, in seconds.
const confirmRefresh = 3

// stripeCheckout is where Stripe's payment pages are, unless the merchant has a domain for them.
const stripeCheckout = "https://checkout.stripe.com"

// payView is what the payment page shows.
type payView struct {
	Order *tokenOrder
	State string // open, action, transfer or confirming
	// Mismatch: money has arrived that is not what was asked for.
	Mismatch bool
	Failed   string // why the last attempt failed: pay.failed_<code>
	Choices  []models.PayChoice
	Attempt  string // under which a press of any of the page's buttons is known again
	Card     cardForm
	// Continue is the gateway's page that waits for the customer.
	Continue string
	Transfer *transferView
}

// transferView is how to pay by bank transfer.
type transferView struct {
	*models.Instructions
	PrintedIBAN, PrintedReference string
	QR                            string // address of the EPC code, or empty
}

// testCards are the cards of the test gateway, with the name of the text that tells what each does.
var testCards = []struct{ Number, Does string }{
	{"4242 4242 4242 4242", "succeeds"}, {"4000 0000 0000 0002", "declined"}, {"4000 0000 0000 9995", "insufficient"},
	{"4000 0000 0000 0069", "expired"}, {"4000 0000 0000 0119", "error"}, {"4000 0025 0000 3155", "confirm"}, {"4000 0000 0000 0077", "later"},
}

// TestCards are the cards of the test gateway.
func (*payView) TestCards() any { return testCards }

// payPage shows how to pay an order, or what has become of its payment.
func (s *Server) payPage(c *fiber.Ctx) error {
	o, err := s.orderOf(c)
	if err != nil {
		return err
	}
	return s.showPay(c, fiber.StatusOK, o, cardForm{})
}

func (s *Server) showPay(c *fiber.Ctx, status int, o *tokenOrder, card cardForm) error {
	switch {
	case o.Status == models.OrderPaid:
		return c.Redirect(o.OrderLink(), fiber.StatusSeeOther)
	case o.Status == models.OrderDeleted && textOf(o.DeleteReason) == models.DeletedExpired:
		return s.shopMessage(c, fiber.StatusGone, o.shop, "pay.order_expired", "number", o.Number)
	case o.Status == models.OrderDeleted:
		return s.shopMessage(c, fiber.StatusGone, o.shop, "pay.order_cancelled", "number", o.Number)
	}
	choices, err := s.payChoices(c.UserContext(), o)
	if err != nil {
		return err
	}
	v := &payView{Order: o, Choices: choices, Attempt: newAttempt(), Card: card}
	v.of(o, s.local)
	sh := o.shop
	sh.Title = sh.Words.T("pay.title", "number", o.Number)
	if v.State == "confirming" {
		sh.Refresh = confirmRefresh
	}
	if slices.ContainsFunc(choices, func(p models.PayChoice) bool { return p.Gateway == models.GatewayStripe }) {
		sh.FormTo = []string{stripeCheckout}
	}
	return s.shopPage(c, status, "pay", sh, v)
}

// payChoices are the ways to pay, the one that the customer chose last first.
func (s *Server) payChoices(ctx context.Context, o *tokenOrder) ([]models.PayChoice, error) {
	choices, err := s.store.PayChoices(ctx, o.scope, o.Currency)
	slices.SortStableFunc(choices, func(a, b models.PayChoice) int {
		chosen := func(p models.PayChoice) int {
			if p.Method == textOf(o.PaymentMethod) {
				return 0
			}
			return 1
		}
		return chosen(a) - chosen(b)
	})
	return choices, err
}

// of sets what the order's payments make of the page: the newest that is not cancelled tells.
func (v *payView) of(o *tokenOrder, local func(string) string) {
	v.State = "open"
	for i := range o.Payments {
		p := &o.Payments[i]
		switch {
		case p.Status == models.PaymentProcessing,
			p.Status == models.PaymentPending && p.Instructions == nil && time.Since(p.CreatedAt) < askingFor:
			v.State = "confirming"
			return
		case p.Status == models.PaymentSucceeded: // and the order is not paid by it
			v.Mismatch = true
		case p.Status == models.PaymentRequiresAction && p.RedirectURL != nil:
			v.State, v.Continue = "action", local(*p.RedirectURL)
		case p.Status == models.PaymentPending && p.Instructions != nil:
			v.State, v.Transfer = "transfer", transferOf(o, p.Instructions)
		}
	}
	if n := len(o.Payments); n > 0 && v.State == "open" && o.Payments[n-1].Status == models.PaymentFailed {
		v.Failed = failureText(textOf(o.Payments[n-1].FailureCode))
	}
}

// failureTexts are the reasons that pages have words for.
var failureTexts = []payment.FailureCode{
	payment.CardDeclined, payment.InsufficientFunds, payment.ExpiredCard, payment.AuthenticationFailed, payment.PaymentExpired,
}

func failureText(code string) string {
	if slices.Contains(failureTexts, payment.FailureCode(code)) {
		return code
	}
	return "other"
}

func transferOf(o *tokenOrder, i *models.Instructions) *transferView {
	v := &transferView{Instructions: i, PrintedIBAN: payment.PrintIBAN(i.IBAN), PrintedReference: payment.PrintCreditorReference(i.Reference)}
	if _, err := payment.EPCPayload(transferDetails(i)); err == nil {
		v.QR = o.PayLink() + "/qr.png"
	}
	return v
}

// newAttempt is a random name for what a page's buttons do.
func newAttempt() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return base64.RawURLEncoding.EncodeToString(b[:])
}

var attemptShape = regexp.MustCompile(`^[A-Za-z0-9_-]{22}$`)

// submitPay pays in the chosen way. However often the same form is sent, it is one attempt; whatever comes of it is shown by the page
// that the answer leads to, so that reloading sends nothing.
func (s *Server) submitPay(c *fiber.Ctx) error {
	o, form, err := s.sentTo(c)
	if err != nil {
		return err
	}
	choices, err := s.payChoices(c.UserContext(), o)
	if err != nil {
		return err
	}
	attempt := form.Get("attempt")
	i := slices.IndexFunc(choices, func(p models.PayChoice) bool { return p.Method == form.Get("method") })
	if o.Status != models.OrderNotPaid || i < 0 || !attemptShape.MatchString(attempt) {
		return c.Redirect(o.PayLink(), fiber.StatusSeeOther)
	}
	var card *payment.Card
	var typed cardForm
	if choices[i].Gateway == models.GatewayTest {
		typed = readCard(form)
		card = typed.card()
		if typed.check(time.Now()); typed.Wrong != nil {
			return s.showPay(c, fiber.StatusUnprocessableEntity, o, typed)
		}
	}
	// The database, the gateway, the database.
	ctx, cancel := context.WithTimeout(requestOf(c).root, 3*requestTimeout)
	defer cancel()
	p, err := s.pay(ctx, o.OrderView, o.scope, choices[i], card, "page:"+o.ID+":"+attempt, actorCustomer)
	if err != nil {
		return s.notPaid(c, o, err)
	}
	return c.Redirect(s.afterPay(o, p), fiber.StatusSeeOther)
}

// notPaid leads back to the page where it tells by itself what is the matter: that a payment is being confirmed, that the order is paid
// or gone, or that the attempt failed.
func (s *Server) notPaid(c *fiber.Ctx, o *tokenOrder, err error) error {
	var p *Problem
	unavailable := errors.As(err, &p) && p.Code == string(codeUnavailable)
	if unavailable {
		s.log.Warn("a payment could not be made", "order", o.ID, "error", logged(err))
	}
	if unavailable || models.CodeOf(err) == models.CodeConflict {
		return c.Redirect(o.PayLink(), fiber.StatusSeeOther)
	}
	return err
}

// afterPay is where the customer goes on after an attempt.
func (s *Server) afterPay(o *tokenOrder, p *models.Payment) string {
	switch p.Status {
	case models.PaymentSucceeded:
		return o.OrderLink()
	case models.PaymentRequiresAction:
		to := textOf(s.store.PaymentView(p).RedirectURL)
		if path := s.local(to); path != to {
			return path
		}
		// The page's policy lets its form lead nowhere else; the page has a link to other places.
		if u, err := url.Parse(to); err == nil && u.Scheme+"://"+u.Host == stripeCheckout {
			return to
		}
	}
	return o.PayLink()
}

// cardForm is the card that the customer typed. Neither its number nor its security code is ever put into a page.
type cardForm struct {
	Expiry      string
	number, cvc string
	Wrong       map[string]string // field to the name of a text: pay.wrong_<name>
}

func readCard(form url.Values) cardForm {
	return cardForm{Expiry: shortened(form.Get("expiry"), 9), number: shortened(form.Get("number"), 40), cvc: shortened(form.Get("cvc"), 10)}
}

var expiryShape = regexp.MustCompile(`^(\d{1,2}) ?[/.-] ?(\d{2}|\d{4})$|^(\d{2})(\d{2})$`)

func (f *cardForm) card() *payment.Card {
	card := &payment.Card{Number: f.number, CVC: f.cvc}
	if m := expiryShape.FindStringSubmatch(strings.TrimSpace(f.Expiry)); m != nil {
		card.ExpMonth, _ = strconv.Atoi(m[1] + m[3])
		card.ExpYear, _ = strconv.Atoi(m[2] + m[4])
	}
	return card
}

// check finds what is wrong with the card, in the words of the form.
func (f *cardForm) check(now time.Time) {
	for _, wrong := range payment.ValidateCard(*f.card(), now) {
		field := strings.TrimPrefix(wrong.Field, "card.")
		if strings.HasPrefix(field, "exp_") {
			field = "expiry"
		}
		if f.Wrong == nil {
			f.Wrong = map[string]string{}
		}
		f.Wrong[field] = field
	}
}

func (f *cardForm) String() string { return "[card]" }
