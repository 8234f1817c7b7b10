package payment_test

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stripe/stripe-go/v85"

	"github.com/purser-dev/purser/handlers/payment"
	"github.com/purser-dev/purser/handlers/payment/paymenttest"
)

func TestWhatStripeIsAskedFor(t *testing.T) {
	t.Parallel()
	w := newStripeWorld(t)
	charge := w.charge(t)
	want := payment.Outcome{
		Status: payment.StatusRequiresAction, Reference: charge.Reference, Amount: 9800, Currency: "EUR",
		RedirectURL: "https://checkout.stripe.com/c/pay/" + charge.Reference, PollAfter: 2 * time.Minute,
	}
	if charge != want {
		t.Errorf("got  %+v\nwant %+v", charge, want)
	}
	requests := w.server.Requests()
	if len(requests) != 1 {
		t.Fatalf("%d requests", len(requests))
	}
	form := url.Values{
		"mode":                {"payment"},
		"client_reference_id": {"pay_0192f0c1"},
		"customer_email":      {"ada@example.com"},
		"success_url":         {"https://shop.example/order/token"},
		"cancel_url":          {"https://shop.example/pay/token"},
		"expires_at":          {fmt.Sprint(paymenttest.Start.Add(23 * time.Hour).Unix())},

		"adaptive_pricing[enabled]":                          {"false"},
		"line_items[0][quantity]":                            {"1"},
		"line_items[0][price_data][currency]":                {"eur"},
		"line_items[0][price_data][unit_amount]":             {"9800"},
		"line_items[0][price_data][product_data][name]":      {"Editor Pro × 2"},
		"metadata[purser_payment_id]":                        {"pay_0192f0c1"},
		"metadata[purser_order_number]":                      {"A0000000123"},
		"payment_intent_data[metadata][purser_payment_id]":   {"pay_0192f0c1"},
		"payment_intent_data[metadata][purser_order_number]": {"A0000000123"},
	}
	if !maps.EqualFunc(requests[0].Form, form, func(a, b []string) bool { return reflect.DeepEqual(a, b) }) {
		t.Errorf("got  %v\nwant %v", requests[0].Form, form)
	}
	header := requests[0].Header
	for name, want := range map[string]string{
		"Idempotency-Key": "purser-charge-pay_0192f0c1",
		"Stripe-Version":  stripe.APIVersion,
		"Authorization":   "Bearer " + w.server.Key,
	} {
		if header.Get(name) != want {
			t.Errorf("%s is %q, want %q", name, header.Get(name), want)
		}
	}
	// Nobody is told about this machine.
	for name := range header {
		if strings.Contains(name, "Telemetry") || strings.Contains(header.Get(name), `"platform":"`+runtime.GOOS) {
			t.Errorf("%s is %s", name, header.Get(name))
		}
	}
	if stripe.Key != "" {
		t.Error("the SDK's global key is set")
	}
}

func TestStripeChargeDefaults(t *testing.T) {
	t.Parallel()
	w := newStripeWorld(t)
	req := stripeCharge()
	req.CancelURL, req.CustomerEmail, req.Description = "", "", ""
	if _, err := w.Charge(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	form := w.server.Requests()[0].Form
	if form.Get("cancel_url") != req.ReturnURL || form.Has("customer_email") || form.Get("line_items[0][price_data][product_data][name]") != "Order A0000000123" {
		t.Errorf("asked for %v", form)
	}
}

func TestStripeChargeRefuses(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		spoil func(*payment.ChargeRequest)
		want  string
	}{
		"a card":           {func(r *payment.ChargeRequest) { r.Card = &payment.Card{Number: "4242424242424242"} }, "card is not taken here: the customer gives it to Stripe"},
		"no way back":      {func(r *payment.ChargeRequest) { r.ReturnURL = "" }, "return_url must be an http or https URL"},
		"an odd way back":  {func(r *payment.ChargeRequest) { r.ReturnURL = "javascript:alert(1)" }, "return_url must be an http or https URL"},
		"a path":           {func(r *payment.ChargeRequest) { r.CancelURL = "/pay" }, "cancel_url must be an http or https URL"},
		"a password":       {func(r *payment.ChargeRequest) { r.CancelURL = "https://a:b@shop.example/" }, "cancel_url must be an http or https URL"},
		"a long name":      {func(r *payment.ChargeRequest) { r.Description = strings.Repeat("é", 251) }, "description must have at most 250 characters"},
		"no order":         {func(r *payment.ChargeRequest) { r.OrderNumber = "" }, "order_number must have 1 to 64 characters"},
		"parts of dinars":  {func(r *payment.ChargeRequest) { r.Amount, r.Currency = 9805, "KWD" }, "amount must be a multiple of 10 minor units, because Stripe takes no smaller parts of KWD"},
		"parts of ariary":  {func(r *payment.ChargeRequest) { r.Amount, r.Currency = 980050, "MGA" }, "amount must be a multiple of 100 minor units, because Stripe takes no smaller parts of MGA"},
		"unclear units":    {func(r *payment.ChargeRequest) { r.Currency = "UGX" }, "currency is not one that Stripe can be paid in"},
		"too late":         {func(r *payment.ChargeRequest) { r.CreatedAt = paymenttest.Start.Add(-22*time.Hour - 26*time.Minute) }, "created_at is too long ago for a payment page; please begin a new payment"},
		"too early":        {func(r *payment.ChargeRequest) { r.CreatedAt = paymenttest.Start.Add(2 * time.Hour) }, "created_at is not accepted by Stripe"},
		"too little":       {func(r *payment.ChargeRequest) { r.Amount = 49 }, "amount is less than Stripe takes"},
		"too much":         {func(r *payment.ChargeRequest) { r.Amount = 100_000_000 }, "amount is more than Stripe takes"},
		"unheard currency": {func(r *payment.ChargeRequest) { r.Currency = "XTS" }, "currency is not accepted by Stripe"},
		"an odd address":   {func(r *payment.ChargeRequest) { r.CustomerEmail = "ada at example" }, "customer.email is not accepted by Stripe"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newStripeWorld(t)
			req := stripeCharge()
			tc.spoil(&req)
			got, err := w.Charge(t.Context(), req)
			var fields payment.FieldErrors
			if !errors.As(err, &fields) || err.Error() != tc.want || got != (payment.Outcome{}) {
				t.Errorf("%+v, %v, want %s", got, err, tc.want)
			}
			if w.server.Sessions() != 0 {
				t.Error("there is a payment page all the same")
			}
		})
	}
}

func TestStripeChargesInItsOwnUnits(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		currency      string
		minor, stripe int64
	}{
		{"EUR", 9801, 9801}, {"JPY", 9801, 9801}, {"HUF", 9801, 9801},
		{"KWD", 9810, 9810}, {"ISK", 9801, 980100}, {"MGA", 980100, 9801},
	} {
		w := newStripeWorld(t)
		req := stripeCharge()
		req.Amount, req.Currency = tc.minor, tc.currency
		charge, err := w.Charge(t.Context(), req)
		if err != nil || charge.Amount != tc.minor || charge.Currency != tc.currency {
			t.Errorf("%s: %+v, %v", tc.currency, charge, err)
			continue
		}
		form := w.server.Requests()[0].Form
		if got := form.Get("line_items[0][price_data][unit_amount]"); got != fmt.Sprint(tc.stripe) {
			t.Errorf("%s: %d went out as %s", tc.currency, tc.minor, got)
		}
		w.server.Pay(charge.Reference)
		refund, err := w.Refund(t.Context(), payment.RefundRequest{
			RefundID: "rfd_1", Reference: charge.Reference, Amount: tc.minor, Currency: tc.currency, CreatedAt: w.clock.Now(),
		})
		if err != nil || refund.Amount != tc.minor || refund.Currency != tc.currency || w.server.Refunded(charge.Reference) != tc.stripe {
			t.Errorf("%s: refund %+v, %v", tc.currency, refund, err)
		}
	}
}

func TestStripePaymentPageToItsEnd(t *testing.T) {
	t.Parallel()
	failed := func(code payment.FailureCode) func(payment.Outcome) payment.Outcome {
		return func(o payment.Outcome) payment.Outcome {
			o.Status, o.RedirectURL, o.PollAfter, o.FailureCode, o.FailureMessage = payment.StatusFailed, "", 0, code, code.Message()
			return o
		}
	}
	succeeded := func(o payment.Outcome) payment.Outcome {
		o.Status, o.RedirectURL, o.PollAfter = payment.StatusSucceeded, "", 0
		return o
	}
	bounce := func(reason string) func(stripeWorld, string) {
		return func(w stripeWorld, id string) { w.server.PayLater(id); w.server.Bounce(id, reason) }
	}
	for name, tc := range map[string]struct {
		happens func(w stripeWorld, id string)
		want    func(payment.Outcome) payment.Outcome
	}{
		"nothing": {func(stripeWorld, string) {}, func(o payment.Outcome) payment.Outcome { return o }},
		"paid":    {func(w stripeWorld, id string) { w.server.Pay(id) }, succeeded},
		"paid slowly": {func(w stripeWorld, id string) { w.server.PayLater(id) }, func(o payment.Outcome) payment.Outcome {
			o.Status, o.RedirectURL, o.PollAfter = payment.StatusProcessing, "", time.Hour
			return o
		}},
		"arrived":             {func(w stripeWorld, id string) { w.server.PayLater(id); w.server.Arrive(id) }, succeeded},
		"expired":             {func(w stripeWorld, _ string) { w.clock.Advance(23 * time.Hour) }, failed(payment.PaymentExpired)},
		"no money":            {bounce("insufficient_funds"), failed(payment.InsufficientFunds)},
		"expired card":        {bounce("expired_card"), failed(payment.ExpiredCard)},
		"processing error":    {bounce("processing_error"), failed(payment.ProcessingError)},
		"not confirmed":       {bounce("authentication_required"), failed(payment.AuthenticationFailed)},
		"a stolen card":       {bounce("stolen_card"), failed(payment.CardDeclined)},
		"a reason of 2040":    {bounce("quantum_decoherence"), failed(payment.CardDeclined)},
		"no reason":           {bounce(""), failed(payment.ProcessingError)},
		"paid, and a day ago": {func(w stripeWorld, id string) { w.server.Pay(id); w.clock.Advance(24 * time.Hour) }, succeeded},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newStripeWorld(t)
			charge := w.charge(t)
			tc.happens(w, charge.Reference)
			if got, want := w.status(t, charge.Reference), tc.want(charge); got != want {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
		})
	}
}

// Stripe repeats its answer of then, which by now is wrong.
func TestStripeChargeRepeatedTellsOfNow(t *testing.T) {
	t.Parallel()
	w := newStripeWorld(t)
	charge := w.charge(t)
	w.server.Pay(charge.Reference)
	if again := w.charge(t); again.Status != payment.StatusSucceeded || again.Reference != charge.Reference || again.RedirectURL != "" {
		t.Errorf("again %+v", again)
	}
	w.clock.Advance(22*time.Hour + 25*time.Minute)
	if again := w.charge(t); again.Reference != charge.Reference {
		t.Errorf("at the last moment %+v", again)
	}
	w.clock.Advance(time.Minute)
	// Soon Stripe will not know the key any more, and would make another page.
	if got, err := w.Charge(t.Context(), stripeCharge()); !errors.As(err, &payment.FieldErrors{}) {
		t.Errorf("after it %+v, %v", got, err)
	}
	if w.server.Sessions() != 1 {
		t.Errorf("there are %d payment pages", w.server.Sessions())
	}
}

func TestStripeChargeChangedIsAnother(t *testing.T) {
	t.Parallel()
	w := newStripeWorld(t)
	w.charge(t)
	req := stripeCharge()
	req.Amount++
	if got, err := w.Charge(t.Context(), req); err == nil || err.Error() != "payment_id was used before for another request" || got != (payment.Outcome{}) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestStripeCancel(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		happens func(w stripeWorld, id string)
		want    payment.Status
		code    payment.FailureCode
	}{
		"open":       {func(stripeWorld, string) {}, payment.StatusFailed, payment.PaymentExpired},
		"paid":       {func(w stripeWorld, id string) { w.server.Pay(id) }, payment.StatusSucceeded, ""},
		"processing": {func(w stripeWorld, id string) { w.server.PayLater(id) }, payment.StatusProcessing, ""},
		"expired":    {func(w stripeWorld, _ string) { w.clock.Advance(24 * time.Hour) }, payment.StatusFailed, payment.PaymentExpired},
	} {
		w := newStripeWorld(t)
		charge := w.charge(t)
		tc.happens(w, charge.Reference)
		for range 2 {
			got, err := w.Cancel(t.Context(), charge.Reference)
			if err != nil || got.Status != tc.want || got.FailureCode != tc.code || got.Reference != charge.Reference {
				t.Errorf("%s: %+v, %v", name, got, err)
			}
		}
		if got := w.status(t, charge.Reference); got.Status != tc.want {
			t.Errorf("%s: then %+v", name, got)
		}
	}
	w := newStripeWorld(t)
	for _, reference := range []string{"", "re_1", "cs_test_unknown"} {
		if got, err := w.Cancel(t.Context(), reference); !errors.Is(err, payment.ErrReference) || got != (payment.Outcome{}) {
			t.Errorf("%q: %+v, %v", reference, got, err)
		}
	}
}

func TestNewStripeRefuses(t *testing.T) {
	t.Parallel()
	good := payment.StripeConfig{SecretKey: "sk_test_1", WebhookSecrets: []string{"whsec_1"}}
	for name, tc := range map[string]struct {
		spoil func(*payment.StripeConfig)
		want  string
	}{
		"no key":           {func(c *payment.StripeConfig) { c.SecretKey = "" }, "secret_key must be a secret or restricted key of Stripe: sk_… or rk_…"},
		"a public key":     {func(c *payment.StripeConfig) { c.SecretKey = "pk_live_1" }, "secret_key must be a secret or restricted key of Stripe: sk_… or rk_…"},
		"a line break":     {func(c *payment.StripeConfig) { c.SecretKey += "\n" }, "secret_key must be a secret or restricted key of Stripe: sk_… or rk_…"},
		"no secret":        {func(c *payment.StripeConfig) { c.WebhookSecrets = nil }, "webhook_secrets must have the signing secret of the webhook endpoint"},
		"an empty secret":  {func(c *payment.StripeConfig) { c.WebhookSecrets = []string{"whsec_1", ""} }, "webhook_secrets[1] must be a signing secret of Stripe: whsec_…"},
		"a key for secret": {func(c *payment.StripeConfig) { c.WebhookSecrets = []string{c.SecretKey} }, "webhook_secrets[0] must be a signing secret of Stripe: whsec_…"},
		"an odd address":   {func(c *payment.StripeConfig) { c.APIBase = "localhost:12111" }, "api_base must be an http or https URL"},
	} {
		config := good
		tc.spoil(&config)
		var fields payment.FieldErrors
		if gateway, err := payment.NewStripe(config); gateway != nil || !errors.As(err, &fields) || err.Error() != tc.want {
			t.Errorf("%s: %v, want %s", name, err, tc.want)
		}
	}
	for key, live := range map[string]bool{"sk_test_1": false, "rk_test_1": false, "sk_live_1": true, "rk_live_1": true, "sk_test_k_live_1": false} {
		good.SecretKey = key
		if gateway, err := payment.NewStripe(good); err != nil || gateway.Live() != live {
			t.Errorf("%s: %v", key, err)
		}
	}
}

func TestGatewaySettingsArePrintedAsMasks(t *testing.T) {
	t.Parallel()
	secrets := []string{"sk_live_51Abc", "whsec_Def", "thirty-two bytes of pure secrecy"}
	text := fmt.Sprintf("%v %+v %#v %d %x %s %q",
		payment.StripeConfig{SecretKey: secrets[0], WebhookSecrets: secrets[1:2]}, &payment.StripeConfig{SecretKey: secrets[0]},
		payment.StripeConfig{SecretKey: secrets[0], WebhookSecrets: secrets[1:2]}, payment.StripeConfig{SecretKey: secrets[0]},
		payment.TestConfig{CallbackSecret: []byte(secrets[2])}, payment.TestConfig{CallbackSecret: []byte(secrets[2])},
		[]payment.StripeConfig{{SecretKey: secrets[0]}})
	if want := "[stripe gateway] [stripe gateway] [stripe gateway] [stripe gateway] [test gateway] [test gateway] [[stripe gateway]]"; text != want {
		t.Errorf("printed %s", text)
	}
	if got := (payment.StripeConfig{}).LogValue().String() + (payment.TestConfig{}).LogValue().String(); got != "[stripe gateway][test gateway]" {
		t.Errorf("logged %s", got)
	}
}
