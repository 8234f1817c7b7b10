package payment_test

import (
	"net/http"
	"testing"

	"github.com/purser-dev/purser/handlers/payment"
	"github.com/purser-dev/purser/handlers/payment/paymenttest"
)

// openStripe opens a gateway on a stand-in for Stripe.
func openStripe(t testing.TB, server *paymenttest.StripeServer, clock *paymenttest.Clock) *payment.Stripe {
	t.Helper()
	gateway, err := payment.NewStripe(payment.StripeConfig{
		SecretKey: server.Key, WebhookSecrets: []string{"whsec_ThePreviousOne", server.WebhookSecret}, APIBase: server.URL, Now: clock.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	return gateway
}

func stripeHarness(t *testing.T, mirror string) paymenttest.Harness {
	clock := paymenttest.NewClock(paymenttest.Start)
	server := paymenttest.NewStripeServer(t, clock)
	server.Mirror = mirror
	return paymenttest.Harness{
		Open:     func() payment.Gateway { return openStripe(t, server, clock) },
		Clock:    clock,
		Charge:   stripeCharge(),
		Pay:      server.Pay,
		Refunded: server.Refunded,
		Callback: func(reference string) (http.Header, []byte) {
			return server.Event("checkout.session.completed", reference)
		},
		Secrets: []string{server.Key, server.WebhookSecret, "whsec_ThePreviousOne"},
	}
}

func stripeCharge() payment.ChargeRequest {
	return payment.ChargeRequest{
		PaymentID: "pay_0192f0c1", OrderNumber: "A0000000123", Amount: 9800, Currency: "EUR", CreatedAt: paymenttest.Start,
		ReturnURL: "https://shop.example/order/token", CancelURL: "https://shop.example/pay/token", CustomerEmail: "ada@example.com",
		Description: "Editor Pro × 2",
	}
}

func TestStripeGateway(t *testing.T) {
	t.Parallel()
	paymenttest.Run(t, func(t *testing.T) paymenttest.Harness { return stripeHarness(t, "") })
}

// stripeWorld is a gateway, the Stripe that it talks to, and their time.
type stripeWorld struct {
	*payment.Stripe
	server *paymenttest.StripeServer
	clock  *paymenttest.Clock
}

func newStripeWorld(t testing.TB) stripeWorld {
	t.Helper()
	clock := paymenttest.NewClock(paymenttest.Start)
	server := paymenttest.NewStripeServer(t, clock)
	return stripeWorld{openStripe(t, server, clock), server, clock}
}

func (w stripeWorld) charge(t testing.TB) payment.Outcome {
	t.Helper()
	got, err := w.Charge(t.Context(), stripeCharge())
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func (w stripeWorld) status(t testing.TB, reference string) payment.Outcome {
	t.Helper()
	got, err := w.Status(t.Context(), reference)
	if err != nil {
		t.Fatal(err)
	}
	return got
}
