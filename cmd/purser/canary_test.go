package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/purser-dev/purser/handlers/license"
	"github.com/purser-dev/purser/jobs/redistest"
	"github.com/purser-dev/purser/models"
)

// aviary is an installation in which everything that is personal or secret has a value that is found wherever it turns up.
type aviary struct {
	*testing.T
	site  *site
	redis *redistest.Redis
	told  *output // everything that anybody said to Redis
	procs []*proc
	shop  *shop
	mails *mailServer
	hooks *httptest.Server
	spans *traceCollector

	mu sync.Mutex
	// sealed are secrets: they are nowhere, not even in the database as they are. personal is what only the database and those whom it
	// is for may see. Both have what it is by its value.
	sealed, personal map[string]string
	refusal          string // how the mail server begins its answer to a message; empty takes it
	problems         []string
	heard            int // webhooks
}

// bird is the customer.
var bird = map[string]any{
	"email": "canary.customer@birds.example", "first_name": "Kanaria", "last_name": "Zeisighausen", "type": "business", "country": "GB", "company": "Gelbfink Holdings",
	"vat_number": "GB999999973", "city": "Puerto Canario", "zip": "ZZ35001", "address": "1 Canary Wharf Lane", "phone": "+44 20 7946 0999",
}

const (
	birdPassword = "canary operator password"
	birdMistyped = "canary mistyped password"
	birdStaff    = "canary.staff@staff.example"
	birdRoost    = "canary staff password"
	birdSMTP     = "canary-smtp-password"
	birdStripe   = "sk_test_51CanaryCanaryCanary7790"
	birdSigning  = "whsec_CanaryCanaryCanary7791"
	birdAnswer   = "canary-answer-of-a-receiver"
	birdOperator = "canary.operator@staff.example"
)

// TestNothingConfidentialLeavesItsPlace takes orders through everything that may go wrong, while mail servers, receivers and callers
// quote what they know, and then looks for it wherever somebody looks who is not meant to see it.
func TestNothingConfidentialLeavesItsPlace(t *testing.T) {
	t.Parallel()
	for name, embedded := range map[string]bool{"separate roles": false, "one process": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := openAviary(t, embedded)
			paid := a.business()
			a.hostile()
			browser, places := a.operators()
			a.lastly(paid)
			maps.Copy(places, browser)
			a.search(places, embedded)
		})
	}
}

func (a *aviary) secret(what, value string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(value) < 8 {
		a.Fatalf("%s is %q, which is too short to be looked for", what, value)
	}
	a.sealed[value] = what
}

func openAviary(t *testing.T, embedded bool) *aviary {
	t.Helper()
	a := &aviary{T: t, redis: redistest.Real(t), mails: &mailServer{}, sealed: map[string]string{}, personal: map[string]string{}}
	a.told, a.spans = watchRedis(t, a.redis), collectTraces(t)
	a.mails.answer = func(m email) string {
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.refusal == "" {
			return ""
		}
		return a.refusal + " <" + m.to + "> will not get this: " + strings.Join(strings.Fields(m.text), " ")[:300]
	}
	env := []string{
		"PURSER_REDIS_URL=" + a.redis.URL, "PURSER_SECRET_KEY=" + newSecretKey(), "PURSER_PUBLIC_URL=http://purser.test",
		"PURSER_ALLOWED_PRIVATE_NETS=127.0.0.0/8", "PURSER_LOG_LEVEL=debug",
		"OTEL_EXPORTER_OTLP_ENDPOINT=" + a.spans.URL, "OTEL_BSP_SCHEDULE_DELAY=100", "OTEL_RESOURCE_ATTRIBUTES=service.namespace=shops",
		"PURSER_SMTP_URL=" + strings.Replace(a.mails.open(t).url, "://", "://canary:"+birdSMTP+"@", 1) + "?tls=none",
	}
	if embedded {
		a.site = demoSite(t, env...)
	} else {
		a.site = newSite(t, append(env, "PURSER_DATABASE_URL="+emptyDatabase(t))...)
	}
	a.site.must(t, "migrate", "up")
	for _, name := range []string{"PURSER_DATABASE_URL", "PURSER_REDIS_URL"} {
		if password := passwordIn(a.site.setting(name)); password != "" {
			a.secret("the password in "+name, password)
		}
	}
	a.secret("the master key", a.site.setting("PURSER_SECRET_KEY"))
	a.secret("the operator's password", birdPassword)
	a.secret("what the operator mistyped", birdMistyped)
	a.secret("the password of a merchant's staff", birdRoost)
	a.secret("the gateway's key", birdStripe)
	a.secret("the gateway's signing secret", birdSigning)
	a.secret("the mail server's password", birdSMTP)
	for name, value := range bird {
		if name != "type" && name != "country" {
			a.personal[value.(string)] = "the customer's " + name
		}
	}
	a.personal[birdAnswer] = "what a receiver answers"

	roles := [][]string{{"api"}, {"worker"}, {"scheduler"}}
	if embedded {
		roles = [][]string{{"run"}}
	}
	for _, args := range roles {
		a.procs = append(a.procs, a.site.start(t, args))
	}
	a.shop = openShop(t, a.site, a.procs[0].serving(t))
	for _, p := range a.procs {
		p.serving(t)
	}
	a.secret("the test key", a.shop.created.APIKeys.Test)
	a.secret("the live key", a.shop.created.APIKeys.Live)
	a.hooks = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		a.mu.Lock()
		a.heard++
		a.mu.Unlock()
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = fmt.Fprintf(w, "%s %v %s", birdAnswer, r.Header, body)
	}))
	t.Cleanup(a.hooks.Close)
	return a
}

// refuse lets the mail server refuse what comes from now on.
func (a *aviary) refuse(answer string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.refusal = answer
}

// ask sends a request of the storefront's, and keeps what is answered if it is a refusal.
func (a *aviary) ask(method, path, contentType, body string, header ...string) (int, string) {
	a.Helper()
	r, err := http.NewRequest(method, a.shop.base+path, strings.NewReader(body))
	if err != nil {
		a.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+a.shop.key)
	r.Header.Set("Content-Type", contentType)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		a.Fatal(err)
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(answer.Body)
	if err != nil {
		a.Fatal(err)
	}
	if answer.StatusCode >= http.StatusInternalServerError {
		a.Errorf("%s %s: %d %s", method, path, answer.StatusCode, raw)
	}
	if answer.StatusCode >= http.StatusBadRequest {
		a.problems = append(a.problems, fmt.Sprintf("%d %v %s", answer.StatusCode, answer.Header, raw))
	}
	return answer.StatusCode, string(raw)
}

func asJSON(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(raw)
}

// business is an order that is paid, one that is declined and one that waits for its customer, while the mail server and the receiver
// refuse everything. It returns the paid one.
func (a *aviary) business() *models.OrderView {
	a.Helper()
	var endpoint struct{ Secret string }
	// With a key, so that the answer is stored.
	code, body := a.ask("POST", "/v1/webhook-endpoints", "application/json", asJSON(map[string]any{
		"url": a.hooks.URL + "/?token=canary-url-token", "include_license_keys": true,
	}), "Idempotency-Key", "once")
	if err := json.Unmarshal([]byte(body), &endpoint); err != nil || code != http.StatusCreated {
		a.Fatalf("%d %s", code, body)
	}
	a.secret("the endpoint's secret", endpoint.Secret)
	a.secret("the endpoint's key", strings.TrimPrefix(endpoint.Secret, "whsec_"))
	a.personal["canary-url-token"] = "a token in the endpoint's address"
	a.shop.must(a, "POST", "/v1/payment-methods", map[string]any{
		"method": "card", "gateway": "stripe", "config": map[string]any{"secret_key": birdStripe, "webhook_secrets": []string{birdSigning}},
	}, nil, http.StatusCreated)
	var methods struct {
		Data []struct{ ID, Gateway string }
	}
	a.shop.must(a, "GET", "/v1/payment-methods", nil, &methods, http.StatusOK)
	stripe := methods.Data[0].ID
	a.ask("POST", "/gateway/stripe/callback/"+stripe, "application/json", asJSON(map[string]any{"customer": bird}), "Stripe-Signature", "t=1,v1=00")
	a.shop.must(a, "DELETE", "/v1/payment-methods/"+stripe, nil, nil, http.StatusOK) // the test gateway takes its place

	for _, p := range []map[string]any{
		{"sku": "pool", "license_method": models.MethodPool},
		{"sku": "signed", "license_method": models.MethodSigned},
		{"sku": "template", "license_method": models.MethodTemplate, "license": map[string]any{"pattern": "TEMPLATEKEY-" + license.DefaultPattern}},
	} {
		p["name"], p["prices"] = "Bird Cage", []map[string]any{{"currency": "EUR", "amount": 1900}}
		a.shop.must(a, "POST", "/v1/products", p, nil, http.StatusCreated)
	}
	var keys []string
	for i := range 6 {
		keys = append(keys, fmt.Sprintf("CANARYPOOL-%04d-KLMN", i))
		a.secret("a key of the pool", keys[i])
	}
	a.shop.must(a, "POST", "/v1/products/pool/keys", strings.Join(keys, "\n"), nil, http.StatusOK)

	a.refuse("451 4.7.1")
	order := func() *models.OrderView {
		in := map[string]any{
			"currency": "EUR", "payment_method": "card", "customer": bird, "consents": map[string]any{"terms": true, "personal_data": true},
			"items":       []line{{"pool", 2}, {"signed", 1}, {"template", 1}},
			"external_id": "canary-external-7783", "return_url": "https://shop.example/thanks?ref=canary-return-7782", "metadata": map[string]any{"note": "canary-metadata-7781"},
		}
		var o models.OrderView
		a.shop.must(a, "POST", "/v1/orders", in, &o, http.StatusCreated)
		token := o.OrderURL[strings.LastIndex(o.OrderURL, "/")+1:]
		a.personal[token] = "an order's token"
		for _, path := range []string{"/order/" + token, "/pay/" + token, "/order/" + token + "/receipt.pdf"} {
			a.ask("GET", path, "text/plain", "")
		}
		return &o
	}
	a.personal["canary-metadata-7781"], a.personal["canary-external-7783"], a.personal["canary-return-7782"] = "metadata", "the external id", "the return address"
	for _, card := range []string{cardDeclined, cardConfirms, cardGood} {
		a.secret("a card number", card)
	}
	declined, waiting, paid := order(), order(), order()
	for id, card := range map[string]string{declined.ID: cardDeclined, paid.ID: cardGood} {
		if _, err := a.shop.pay(id, card); err != nil {
			a.Fatal(err)
		}
	}
	p, err := a.shop.pay(waiting.ID, cardConfirms)
	if err != nil {
		a.Fatal(err)
	}
	if p.RedirectURL != nil {
		a.personal[(*p.RedirectURL)[strings.LastIndex(*p.RedirectURL, "/")+1:]] = "the token of a gateway's page"
	}
	if err := a.shop.confirm(p, "fail"); err == nil {
		a.Log("the confirmation led somewhere")
	}
	a.checkout()
	eventually(a, patience, func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		text := a.site.does(a, "jobs", "list", "--limit", "1000", "--kind", "email.send")
		return a.heard >= 6 && strings.Contains(text, "451 4.7.1")
	}, func() string { return "an email and the webhooks have been refused" })
	return paid
}

var (
	inputTag   = regexp.MustCompile(`<(?:input|button)\b[^>]*>`)
	inputName  = regexp.MustCompile(`\bname="([^"]+)"`)
	inputValue = regexp.MustCompile(`\bvalue="([^"]*)"`)
)

// checkout buys on the hosted pages, first with what is wrong.
func (a *aviary) checkout() {
	a.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		a.Fatal(err)
	}
	browser := &http.Client{Jar: jar, Timeout: 30 * time.Second}
	read := func(answer *http.Response, err error) string {
		if err != nil {
			a.Fatal(err)
		}
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		if err != nil || answer.StatusCode >= 500 {
			a.Fatalf("%s: %s, %v", answer.Request.URL.Path, answer.Status, err)
		}
		return string(body)
	}
	query := url.Values{"currency": {"EUR"}}
	for name, value := range bird {
		query.Set(name, value.(string))
	}
	slug := a.shop.created.Merchant.Slug
	page := read(browser.Get(a.shop.base + "/buy/" + slug + "/template?" + query.Encode()))
	form := func(page string) url.Values {
		f := url.Values{}
		for _, tag := range inputTag.FindAllString(page, -1) {
			name, value := inputName.FindStringSubmatch(tag), inputValue.FindStringSubmatch(tag)
			if name == nil {
				continue
			}
			if value == nil {
				value = []string{"", ""}
			}
			f.Set(name[1], value[1])
		}
		if token := f.Get("csrf"); token != "" {
			a.sealed[token] = "a form's token"
		}
		return f
	}
	for _, email := range []string{"canary.customer(at)birds.example", bird["email"].(string)} {
		f := form(page)
		for name, value := range bird {
			f.Set(name, value.(string))
		}
		f.Set("email", email)
		f.Set("method", "card")
		f.Set("terms", "1")
		f.Set("personal_data", "1")
		page = read(browser.PostForm(a.shop.base+"/checkout/"+slug, f))
	}
	read(browser.PostForm(a.shop.base+"/lost/"+slug, url.Values{"email": {bird["email"].(string)}}))
	base, err := url.Parse(a.shop.base)
	if err != nil {
		a.Fatal(err)
	}
	for _, c := range jar.Cookies(base) {
		if len(c.Value) >= 16 {
			a.sealed[c.Value] = "the cookie " + c.Name
		}
	}
	a.personal["canary.customer(at)birds.example"] = "an email that is none"
}

// hostile sends what is refused, with canaries in it.
func (a *aviary) hostile() {
	a.Helper()
	a.secret("a card number that is none", "4242424242424241")
	a.secret("a key that was not uploaded", "CANARYPOOL-9999-KLMN")
	a.secret("a password in an address", "canary-url-password")
	a.secret("a gateway's key that does not fit", "sk_live_51CanaryCanaryCanary7792")
	a.secret("an API key that is none", "psk_test_CanaryCanaryCanaryCanaryCanaryCanary")
	wrongCustomer := maps.Clone(bird)
	wrongCustomer["email"], wrongCustomer["country"], wrongCustomer["zip"] = "canary.customer(at)birds.example", "Zeisighausen", strings.Repeat("ZZ35001", 100)
	order := map[string]any{"currency": "EUR", "customer": wrongCustomer, "items": []line{{"TEMPLATEKEY", 1}}, "consents": map[string]any{"terms": true, "personal_data": true}}
	unpaid, err := a.shop.order(bird["email"].(string), line{"pool", 1})
	if err != nil {
		a.Fatal(err)
	}
	for _, r := range [][4]string{
		{"POST", "/v1/orders", "application/json", asJSON(order)},
		{"POST", "/v1/orders", "application/json", asJSON(order)[:200]},
		{"POST", "/v1/orders", "application/json", asJSON(map[string]any{"customer": asJSON(bird), "items": asJSON(bird)})},
		{"POST", "/v1/orders", "text/csv", asJSON(bird)},
		{"POST", "/v1/orders/" + unpaid.ID + "/payments", "application/json", `{"method":"card","card":{"number":"4242424242424241","exp_month":12,"exp_year":2040,"cvc":"123"}}`},
		{"POST", "/v1/orders/" + unpaid.ID + "/payments", "application/json", `{"method":"card","card":"4242424242424241"}`},
		{"POST", "/v1/products/pool/keys", "application/json", `{"keys":["CANARYPOOL-9999-KLMN",`},
		{"POST", "/v1/products/pool/keys", "text/plain", "CANARYPOOL-9999-KLMN\nCANARYPOOL-9999-KLMN\x00"},
		{"POST", "/v1/products/none/keys", "text/plain", "CANARYPOOL-9999-KLMN"},
		{"POST", "/v1/licenses/search", "application/json", `{"key":["CANARYPOOL-9999-KLMN"]}`},
		{"POST", "/v1/licenses/search", "application/json", `{"key":"CANARYPOOL-9999-KLMN"}`},
		{"POST", "/v1/webhook-endpoints", "application/json", `{"url":"https://user:canary-url-password@shop.example/"}`},
		{"POST", "/v1/webhook-endpoints", "application/json", `{"url":"https://10.0.0.1/?p=canary-url-password"}`},
		{"POST", "/v1/payment-methods", "application/json", `{"method":"card","gateway":"stripe","config":{"secret_key":"sk_live_51CanaryCanaryCanary7792","webhook_secrets":["canary-url-password"]}}`},
		{"POST", "/v1/payment-methods", "application/json", `{"method":"card","gateway":"stripe","config":"sk_live_51CanaryCanaryCanary7792"}`},
		{"GET", "/v1/orders?cursor=Zeisighausen&email=canary.customer%40birds.example", "text/plain", ""},
		{"GET", "/v1/orders?limit=Zeisighausen&status=Kanaria", "text/plain", ""},
		{"GET", "/v1/orders/CANARYPOOL-9999-KLMN", "text/plain", ""},
		{"GET", "/CANARYPOOL-9999-KLMN?canary.customer@birds.example", "text/plain", ""},
		{"POST", "/gateway/test/callback", "application/json", asJSON(bird)},
		{"POST", "/gateway/none/callback/CANARYPOOL-9999-KLMN", "application/json", asJSON(bird)},
		{"PATCH", "/v1/settings", "application/json", `{"reminders":"Zeisighausen"}`},
		{"POST", "/v1/events", "application/json", `{"type":"Zeisighausen","data":"Kanaria"}`},
	} {
		if code, body := a.ask(r[0], r[1], r[2], r[3]); code < 400 && !strings.Contains(r[1], "search") {
			a.Errorf("%s %s %s: %d %s", r[0], r[1], r[3], code, body)
		}
	}
	a.ask("GET", "/v1/orders", "text/plain", "", "Authorization", "Bearer psk_test_CanaryCanaryCanaryCanaryCanaryCanary")
	a.ask("POST", "/v1/orders", "application/json", `{}`, "Idempotency-Key", "Zeisighausen"+strings.Repeat("x", 300))
}
