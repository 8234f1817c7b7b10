package paymenttest

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// session is a Checkout Session with its payment intent and its charge.
type session struct {
	id, paymentStatus, status, currency string
	amount, refunded                    int64
	url, returnURL                      string
	reference                           string
	metadata, intentMetadata            map[string]string
	expires, created                    time.Time
	intent                              *intent
}

type intent struct {
	id, charge, status, decline string
}

type refund struct {
	id, intent, charge, currency, status, reason string
	amount                                       int64
	created                                      time.Time
	metadata                                     map[string]string
}

// Only what a gateway here has reason to send; the rest is refused, so that a
// misspelt parameter is seen.
var (
	sessionParams = []string{
		"mode", "client_reference_id", "customer_email", "success_url", "cancel_url", "expires_at", "adaptive_pricing[enabled]",
		"line_items[0][quantity]", "line_items[0][price_data][currency]", "line_items[0][price_data][unit_amount]",
		"line_items[0][price_data][product_data][name]",
	}
	refundParams = []string{"payment_intent", "amount"}
	listParams   = []string{"payment_intent", "limit", "starting_after"}

	threeDecimals = []string{"bhd", "jod", "kwd", "omr", "tnd"}
	wholeHundreds = []string{"isk", "ugx"}
	currencies    = append([]string{"eur", "usd", "gbp", "jpy", "mga", "huf"}, append(threeDecimals, wholeHundreds...)...)
)

func unknownParam(form url.Values, known []string, prefixes ...string) *answer {
	for name := range form {
		if !slices.Contains(known, name) && !slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(name, p+"[") }) {
			a := refuse(http.StatusBadRequest, "invalid_request_error", "parameter_unknown", name, "Received unknown parameter: "+name)
			return &a
		}
	}
	return nil
}

func invalid(param, code, message string) answer {
	return refuse(http.StatusBadRequest, "invalid_request_error", code, param, message)
}

func (s *StripeServer) createSession(form url.Values) answer {
	if a := unknownParam(form, sessionParams, "metadata", "payment_intent_data[metadata]"); a != nil {
		return *a
	}
	const price = "line_items[0][price_data]"
	now := s.clock.Now()
	currency := form.Get(price + "[currency]")
	amount, err := strconv.ParseInt(form.Get(price+"[unit_amount]"), 10, 64)
	seconds, errTime := strconv.ParseInt(form.Get("expires_at"), 10, 64)
	expires := time.Unix(seconds, 0)
	success, errURL := url.Parse(form.Get("success_url"))
	switch {
	case form.Get("mode") != "payment":
		return invalid("mode", "", "Invalid mode.")
	case form.Get("line_items[0][quantity]") != "1" || form.Get(price+"[product_data][name]") == "":
		return invalid("line_items[0]", "parameter_missing", "Missing required param.")
	case !slices.Contains(currencies, currency):
		return invalid(price+"[currency]", "", "Invalid currency: "+currency)
	case err != nil || amount < 0:
		return invalid(price+"[unit_amount]", "parameter_invalid_integer", "Invalid integer.")
	case slices.Contains(threeDecimals, currency) && amount%10 != 0, slices.Contains(wholeHundreds, currency) && amount%100 != 0:
		return invalid(price+"[unit_amount]", "", "Invalid amount for the currency.")
	case amount < 50:
		return invalid("", "amount_too_small", "The Checkout Session's total amount due must add up to at least 0.50.")
	case amount > 99_999_999:
		return invalid("", "amount_too_large", "The Checkout Session's total amount must be no more than 999,999.99.")
	case errURL != nil || success.Host == "":
		return invalid("success_url", "url_invalid", "Not a valid URL")
	case form.Get("customer_email") != "" && !strings.Contains(form.Get("customer_email"), "@"):
		return invalid("customer_email", "email_invalid", "Invalid email address: "+form.Get("customer_email"))
	case errTime != nil || expires.Before(now.Add(30*time.Minute)) || expires.After(now.Add(24*time.Hour)):
		return invalid("expires_at", "", "The `expires_at` timestamp must be between 30 minutes and 24 hours from Checkout Session creation.")
	}
	id := s.id("cs_test_a1")
	c := &session{
		id: id, status: "open", paymentStatus: "unpaid", currency: currency, amount: amount,
		url: "https://checkout.stripe.com/c/pay/" + id, returnURL: form.Get("success_url"), reference: form.Get("client_reference_id"),
		metadata: metadata(form, "metadata"), intentMetadata: metadata(form, "payment_intent_data[metadata]"), expires: expires, created: now,
	}
	s.sessions[id] = c
	return answer{http.StatusOK, s.sessionJSON(c, false), true}
}

func metadata(form url.Values, param string) map[string]string {
	out := map[string]string{}
	for name, values := range form {
		if key, ok := strings.CutPrefix(name, param+"["); ok {
			out[strings.TrimSuffix(key, "]")] = values[0]
		}
	}
	return out
}

// sessionJSON has the fields that Stripe sends, as far as a gateway could look at
// them.
func (s *StripeServer) sessionJSON(c *session, expand bool) map[string]any {
	object := map[string]any{
		"id": c.id, "object": "checkout.session", "mode": "payment", "livemode": false, "status": c.status, "payment_status": c.paymentStatus,
		"amount_subtotal": c.amount, "amount_total": c.amount, "currency": c.currency, "client_reference_id": c.reference,
		"metadata": c.metadata, "created": c.created.Unix(), "expires_at": c.expires.Unix(), "success_url": c.returnURL,
		"payment_method_types": []string{"card", "sepa_debit"}, "url": nil, "payment_intent": nil, "customer": nil,
	}
	if c.status == "open" {
		object["url"] = c.url
	}
	if c.intent != nil {
		object["payment_intent"] = c.intent.id
	}
	if c.intent != nil && expand {
		pi := map[string]any{
			"id": c.intent.id, "object": "payment_intent", "amount": c.amount, "currency": c.currency, "status": c.intent.status,
			"latest_charge": c.intent.charge, "metadata": c.intentMetadata, "client_secret": c.intent.id + "_secret_x", "last_payment_error": nil,
		}
		if c.intent.decline != "" {
			pi["last_payment_error"] = map[string]any{
				"type": "card_error", "code": "card_declined", "decline_code": c.intent.decline, "message": "Your card was declined.",
			}
		}
		object["payment_intent"] = pi
	}
	return object
}

// find returns a session as it is now: time closes pages.
func (s *StripeServer) find(id string) *session {
	c := s.sessions[id]
	if c != nil && c.status == "open" && !s.clock.Now().Before(c.expires) {
		c.status = "expired"
	}
	return c
}

func (s *StripeServer) retrieveSession(id string, form url.Values) answer {
	for name, values := range form {
		if !strings.HasPrefix(name, "expand[") || values[0] != "payment_intent" {
			return invalid(name, "parameter_unknown", "Received unknown parameter: "+name)
		}
	}
	c := s.find(id)
	if c == nil {
		return missing("checkout.session", id)
	}
	return answer{http.StatusOK, s.sessionJSON(c, len(form) > 0), true}
}

func (s *StripeServer) expireSession(id string) answer {
	c := s.find(id)
	switch {
	case c == nil:
		return missing("checkout.session", id)
	case c.status != "open":
		return invalid("", "", "Only Checkout Sessions with a status in [\"open\"] can be expired.")
	}
	c.status = "expired"
	return answer{http.StatusOK, s.sessionJSON(c, false), true}
}

func (s *StripeServer) createRefund(form url.Values) answer {
	if a := unknownParam(form, refundParams, "metadata"); a != nil {
		return *a
	}
	amount, err := strconv.ParseInt(form.Get("amount"), 10, 64)
	c := s.byIntent(form.Get("payment_intent"))
	switch {
	case c == nil:
		return missing("payment_intent", form.Get("payment_intent"))
	case c.intent.status != "succeeded":
		return invalid("", "", "This PaymentIntent does not have a successful charge to refund.")
	case c.refunded == c.amount:
		a := invalid("", "charge_already_refunded", "Charge "+c.intent.charge+" has already been refunded.")
		a.keep = true
		return a
	case err != nil || amount <= 0 || amount > c.amount-c.refunded || slices.Contains(threeDecimals, c.currency) && amount%10 != 0:
		return invalid("amount", "", "Refund amount is greater than unrefunded amount on charge")
	}
	return answer{http.StatusOK, refundJSON(s.refund(c, amount, metadata(form, "metadata"))), true}
}

func (s *StripeServer) refund(c *session, amount int64, metadata map[string]string) *refund {
	r := &refund{
		id: s.id("re_3"), intent: c.intent.id, charge: c.intent.charge, currency: c.currency, amount: amount,
		status: "succeeded", created: s.clock.Now(), metadata: metadata,
	}
	c.refunded += amount
	s.refunds = append([]*refund{r}, s.refunds...) // the newest first, as in lists
	return r
}

func (s *StripeServer) byIntent(id string) *session {
	for _, c := range s.sessions {
		if c.intent != nil && c.intent.id == id {
			return c
		}
	}
	return nil
}

func refundJSON(r *refund) map[string]any {
	object := map[string]any{
		"id": r.id, "object": "refund", "amount": r.amount, "currency": r.currency, "status": r.status, "payment_intent": r.intent,
		"charge": r.charge, "created": r.created.Unix(), "metadata": r.metadata, "reason": nil,
	}
	if r.reason != "" {
		object["failure_reason"] = r.reason
	}
	return object
}

// listRefunds gives pages of two, so that readers of one page only are found out.
func (s *StripeServer) listRefunds(form url.Values) answer {
	if a := unknownParam(form, listParams); a != nil {
		return *a
	}
	data, more := []any{}, false
	past := form.Get("starting_after") == ""
	for _, r := range s.refunds {
		switch {
		case !past:
			past = r.id == form.Get("starting_after")
		case r.intent != form.Get("payment_intent"):
		case len(data) == 2:
			more = true
		default:
			data = append(data, refundJSON(r))
		}
	}
	return answer{http.StatusOK, map[string]any{"object": "list", "url": "/v1/refunds", "has_more": more, "data": data}, true}
}

func (s *StripeServer) retrieveRefund(id string) answer {
	for _, r := range s.refunds {
		if r.id == id {
			return answer{http.StatusOK, refundJSON(r), true}
		}
	}
	return missing("refund", id)
}

func missing(kind, id string) answer {
	return refuse(http.StatusNotFound, "invalid_request_error", "resource_missing", kind, "No such "+kind+": '"+id+"'")
}
