package handlers_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/purser-dev/purser/handlers"
	"github.com/purser-dev/purser/handlers/mail"
	"github.com/purser-dev/purser/handlers/payment"
	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

// TestTracesOfFailuresTellNoSecret: whoever is called refuses, and quotes what was sent, or does not answer. The traces say so, and nothing
// of what was sent.
func TestTracesOfFailuresTellNoSecret(t *testing.T) {
	each(t, func(b *bench) {
		hooks, away := b.receive([]string{"*"}), b.receive([]string{"*"})
		hooks.answers(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = fmt.Fprintf(w, "%s %v %s", r.URL, r.Header, hooks.got()[len(hooks.got())-1].body)
		})
		away.Close()
		smtp := newRudeSMTP(b)
		smtp.refuse("451")
		sender, err := mail.NewSMTP(smtp.url(), 5*time.Second)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = sender.Close() })
		const key = "sk_test_CanaryCanary7790"
		stripe := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/cs_test_1") {
				panic(http.ErrAbortHandler)
			}
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = fmt.Fprintf(w, `{"error":{"type":"invalid_request_error","message":"%s is not allowed to charge ada@example.com"}}`, r.Header.Get("Authorization"))
		}))
		b.Cleanup(stripe.Close)
		gateway, err := payment.NewStripe(payment.StripeConfig{SecretKey: key, WebhookSecrets: []string{"whsec_CanaryCanary7791"}, APIBase: stripe.URL})
		if err != nil {
			b.Fatal(err)
		}

		o, first := b.begin()
		second, err := b.store.BeginPayment(b.Context(), b.shop.Test, storetest.Order(b, b.store, b.shop.Test, "app", 1).ID,
			models.NewPayment{Method: "card", Gateway: "test", Class: "online", Actor: "test"})
		if err != nil {
			b.Fatal(err)
		}
		for i, p := range []*models.Payment{first, second} {
			processing := models.PaymentResult{Status: models.PaymentProcessing, Reference: fmt.Sprintf("cs_test_%d", i), Ask: time.Millisecond}
			if _, err := b.store.ApplyPayment(b.Context(), p.ID, processing, "test"); err != nil {
				b.Fatal(err)
			}
		}
		paid := storetest.PaidOrder(b, b.store, b.shop.Test, "app", 1)
		told := tracetest.NewInMemoryExporter()
		b.work(func(c *handlers.Config) {
			c.Gateways, c.Mail = map[string]payment.Gateway{"test": gateway}, sender
			c.Tracer = sdktrace.NewTracerProvider(sdktrace.WithSyncer(told)).Tracer("test")
		})

		// The failures that are told, each with the first word of a span's name.
		want := []string{
			"ask: payment: stripe: refused by the gateway: Stripe answered 401", "ask: payment: stripe: no answer", "POST: status 500", "POST: connection refused",
			"send: mail: 451 4.7.1", "process: the gateway does not tell", "process: status 500", "process: connection refused", "process: mail: 451 4.7.1",
		}
		var failures string
		b.Cleanup(func() {
			if b.Failed() {
				b.Logf("the failures that are told:\n%s", failures)
			}
		})
		b.eventually("each failure is told", func() bool {
			failures = ""
			for _, span := range told.GetSpans() {
				if span.Status.Code == codes.Error {
					name, _, _ := strings.Cut(span.Name, " ")
					failures += name + ": " + span.Status.Description + "\n"
				}
			}
			for _, w := range want {
				if !strings.Contains(failures, w) {
					return false
				}
			}
			return true
		})
		all, err := json.Marshal(told.GetSpans())
		if err != nil {
			b.Fatal(err)
		}
		text := strings.ToLower(string(all))
		secrets := []string{
			key, "query-secret", hooks.secret, away.secret, "ada@example.com", "byron", o.OrderURL[strings.LastIndex(o.OrderURL, "/")+1:],
		}
		for _, item := range b.order(paid.ID).Items {
			for _, l := range item.Licenses {
				secrets = append(secrets, l.Key)
			}
		}
		for _, secret := range secrets {
			if strings.Contains(text, strings.ToLower(secret)) {
				b.Errorf("%q is in the traces", secret)
			}
		}
	})
}
