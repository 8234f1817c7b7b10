package payment

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/stripe/stripe-go/v85"
)

const (
	// stripeTimeout bounds a call, however patient the caller and the HTTP client
	// are.
	stripeTimeout = 20 * time.Second
	// stripePageLife is how long a customer can pay. Stripe allows 24 hours from
	// its own creation of the page, by its own clock; an hour less leaves room for
	// ours. It is also how long Stripe knows an idempotency key, so that a charge is
	// asked for again only while that is harmless.
	stripePageLife = 23 * time.Hour
	// stripePageMin is what must be left of it; Stripe wants half an hour.
	stripePageMin = 35 * time.Minute
	// stripePageAsk is the pause before asking whether a page was paid: longer than
	// most customers take, whose payment a callback has told of by then.
	stripePageAsk = 2 * time.Minute
	// stripePollAfter is the pause before asking about what takes Stripe days and
	// ends with a callback.
	stripePollAfter = time.Hour
	// maxStripeName is the length of a product's name.
	maxStripeName = 250
)

// The metadata by which objects at Stripe are known to be ours. A merchant's
// account may have others.
const (
	metaPayment = "purser_payment_id"
	metaOrder   = "purser_order_number"
	metaRefund  = "purser_refund_id"
	metaAttempt = "purser_refund_attempt"
)

// Stripe takes money by Stripe Checkout, a page of Stripe's on which the customer
// pays. The reference of a charge is the id of its Checkout Session (cs_…), that of
// a refund the id of the refund (re_…).
//
// What the API is asked to do is as of [stripe.APIVersion], whatever the account's
// default. There is no state beside the configuration, none of the SDK's global
// settings is used, and a gateway is cheap to make for each call.
type Stripe struct {
	api            *stripe.Client
	live           bool
	webhookSecrets []string
	now            func() time.Time
}

var (
	_ Gateway = (*Stripe)(nil)
	_ Closer  = (*Stripe)(nil)
)

// StripeConfig is a merchant's Stripe account. The names of its fields in errors
// are secret_key, webhook_secrets[0] and api_base.
type StripeConfig struct {
	// SecretKey is a secret (sk_…) or restricted (rk_…) key. A restricted one
	// must be allowed to write Checkout Sessions and refunds and to read payment
	// intents. Whether it is a live or a test key decides about callbacks too.
	SecretKey string
	// WebhookSecrets verify callbacks; one at least, and two while one is being
	// replaced. Each is the signing secret (whsec_…) of an endpoint of the same
	// mode, which should send checkout.session.*, charge.refunded and refund.*.
	WebhookSecrets []string
	// APIBase is another address of the API, for tests; Stripe's when empty.
	APIBase string
	// HTTPClient is for tests and proxies; one on http.DefaultTransport when nil.
	HTTPClient *http.Client
	// Now is the clock; time.Now when nil.
	Now func() time.Time
}

// Format prints a mask for every verb.
func (StripeConfig) Format(f fmt.State, _ rune) { printMask(f, "stripe") }

// LogValue returns a mask.
func (StripeConfig) LogValue() slog.Value { return maskValue("stripe") }

var (
	stripeKey    = regexp.MustCompile(`^[sr]k_(test|live)_[A-Za-z0-9_]+$`)
	stripeSecret = regexp.MustCompile(`^whsec_[A-Za-z0-9+/=_-]+$`)
)

// NewStripe makes a gateway; it does not call Stripe. The error is a [FieldErrors].
func NewStripe(config StripeConfig) (*Stripe, error) {
	var wrong FieldErrors
	if !stripeKey.MatchString(config.SecretKey) {
		wrong = append(wrong, FieldError{"secret_key", "must be a secret or restricted key of Stripe: sk_… or rk_…"})
	}
	if len(config.WebhookSecrets) == 0 {
		wrong = append(wrong, FieldError{"webhook_secrets", "must have the signing secret of the webhook endpoint"})
	}
	for i, secret := range config.WebhookSecrets {
		if !stripeSecret.MatchString(secret) {
			wrong = append(wrong, FieldError{fmt.Sprintf("webhook_secrets[%d]", i), "must be a signing secret of Stripe: whsec_…"})
		}
	}
	if config.APIBase != "" && !isWebURL(config.APIBase) {
		wrong = append(wrong, FieldError{"api_base", "must be an http or https URL"})
	}
	if len(wrong) > 0 {
		return nil, wrong
	}
	if config.HTTPClient == nil {
		config.HTTPClient = &http.Client{Timeout: stripeTimeout}
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	backend := &stripe.BackendConfig{
		EnableTelemetry: new(false),
		HTTPClient:      config.HTTPClient,
		// The SDK's own logger writes to standard error, bodies included.
		LeveledLogger: &stripe.LeveledLogger{Level: stripe.LevelNull},
		// The SDK sleeps between its tries without regard to the context. Whoever
		// calls a gateway can repeat the call.
		MaxNetworkRetries: new(int64(0)),
	}
	if config.APIBase != "" {
		backend.URL = new(config.APIBase)
	}
	return &Stripe{
		api:            stripe.NewClient(config.SecretKey, stripe.WithBackends(stripe.NewBackendsWithConfig(backend))),
		live:           strings.HasPrefix(config.SecretKey[1:], "k_live_"),
		webhookSecrets: slices.Clone(config.WebhookSecrets),
		now:            config.Now,
	}, nil
}

// Format prints a mask for every verb.
func (Stripe) Format(f fmt.State, _ rune) { printMask(f, "stripe") }

// LogValue returns a mask.
func (Stripe) LogValue() slog.Value { return maskValue("stripe") }

// Name returns "stripe".
func (g *Stripe) Name() string { return "stripe" }

// Live reports whether the gateway takes real money.
func (g *Stripe) Live() bool { return g.live }

// Charge makes a payment page of Stripe's, to which the customer must go. The page
// can be paid until 23 hours after CreatedAt; after that, and for the last half
// hour before it, the error is a [FieldErrors] that asks for a new payment.
func (g *Stripe) Charge(ctx context.Context, req ChargeRequest) (Outcome, error) {
	expires := req.CreatedAt.Add(stripePageLife)
	amount, wrong := g.validateCharge(req, expires)
	if len(wrong) > 0 {
		return Outcome{}, wrong
	}
	ctx, cancel := context.WithTimeout(ctx, stripeTimeout)
	defer cancel()
	params := stripeSessionParams(req, amount)
	params.ExpiresAt = new(expires.Unix())
	params.SetIdempotencyKey("purser-charge-" + req.PaymentID)
	session, err := g.api.V1CheckoutSessions.Create(ctx, params)
	if err != nil {
		return stripeChargeFailure(err, req)
	}
	if session.LastResponse != nil && session.LastResponse.Header.Get("Idempotent-Replayed") == "true" {
		// What Stripe repeats is the answer of then; the customer may have paid since.
		return g.sessionStatus(ctx, session.ID)
	}
	return stripeSessionOf(session).outcome()
}

func (g *Stripe) validateCharge(req ChargeRequest, expires time.Time) (amount int64, wrong FieldErrors) {
	refuse := func(field, message string) { wrong = append(wrong, FieldError{field, message}) }
	if wrong = validateRequest("payment_id", req.PaymentID, req.Amount, req.Currency, req.CreatedAt); len(wrong) == 0 {
		amount, wrong = toStripe(req.Amount, req.Currency)
		if g.now().Add(stripePageMin).After(expires) {
			refuse("created_at", "is too long ago for a payment page; please begin a new payment")
		}
	}
	if req.OrderNumber == "" || len(req.OrderNumber) > 64 {
		refuse("order_number", "must have 1 to 64 characters")
	}
	if req.Card != nil {
		refuse("card", "is not taken here: the customer gives it to Stripe")
	}
	if !isWebURL(req.ReturnURL) {
		refuse("return_url", "must be an http or https URL")
	}
	if req.CancelURL != "" && !isWebURL(req.CancelURL) {
		refuse("cancel_url", "must be an http or https URL")
	}
	if len([]rune(req.Description)) > maxStripeName {
		refuse("description", fmt.Sprintf("must have at most %d characters", maxStripeName))
	}
	return amount, wrong
}

// stripeSessionParams is the same for the same request, or Stripe would not know
// the request again.
func stripeSessionParams(req ChargeRequest, amount int64) *stripe.CheckoutSessionCreateParams {
	name := req.Description
	if name == "" {
		name = "Order " + req.OrderNumber
	}
	cancelURL := req.CancelURL
	if cancelURL == "" {
		cancelURL = req.ReturnURL
	}
	metadata := map[string]string{metaPayment: req.PaymentID, metaOrder: req.OrderNumber}
	params := &stripe.CheckoutSessionCreateParams{
		Mode:              new(string(stripe.CheckoutSessionModePayment)),
		ClientReferenceID: new(req.PaymentID),
		Metadata:          metadata,
		// Refunds that are made at Stripe are told of by the charge, which has what
		// the payment intent had.
		PaymentIntentData: &stripe.CheckoutSessionCreatePaymentIntentDataParams{Metadata: metadata},
		LineItems: []*stripe.CheckoutSessionCreateLineItemParams{{
			Quantity: new(int64(1)),
			PriceData: &stripe.CheckoutSessionCreateLineItemPriceDataParams{
				Currency:    new(strings.ToLower(req.Currency)),
				UnitAmount:  new(amount),
				ProductData: &stripe.CheckoutSessionCreateLineItemPriceDataProductDataParams{Name: new(name)},
			},
		}},
		// Prices are per currency here; Stripe is not to convert them by its own rate.
		AdaptivePricing: &stripe.CheckoutSessionCreateAdaptivePricingParams{Enabled: new(false)},
		SuccessURL:      new(req.ReturnURL),
		CancelURL:       new(cancelURL),
	}
	if req.CustomerEmail != "" {
		params.CustomerEmail = new(req.CustomerEmail)
	}
	return params
}

func isWebURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.User == nil
}
