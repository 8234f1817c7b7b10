package payment_test

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/purser-dev/purser/handlers/payment"
	"github.com/purser-dev/purser/handlers/payment/paymenttest"
)

// startStripeMock builds and starts github.com/stripe/stripe-mock, which answers by the description of its API that
// Stripe publishes, with one fixed example for each kind of object. It is one of the tools of .ci, with the
// description in it, so that no test depends on the network.
func startStripeMock(t *testing.T) (address string) {
	t.Helper()
	program := filepath.Join(t.TempDir(), "stripe-mock")
	build := exec.CommandContext(t.Context(), "go", "build", "-modfile=.ci/tools/go.mod", "-o", program, "github.com/stripe/stripe-mock")
	build.Dir = "../.." // where go.mod is
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if told, err := build.CombinedOutput(); err != nil {
		t.Fatalf("stripe-mock cannot be built: %v\n%s", err, told)
	}
	mock := exec.CommandContext(t.Context(), program, "-http-addr", "127.0.0.1:0", "-https-addr", "127.0.0.1:0")
	out, err := mock.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := mock.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = mock.Process.Kill() // it may have ended with the context
		_ = mock.Wait()
	})
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if address, ok := strings.CutPrefix(lines.Text(), "Listening for HTTP at address: "); ok {
			go func() {
				for lines.Scan() { // or the pipe fills up
				}
			}()
			return "http://" + address
		}
	}
	t.Fatal("stripe-mock ended")
	return ""
}

func TestStripeAsDescribed(t *testing.T) {
	t.Parallel()
	mock := startStripeMock(t)

	// Every request of the whole suite is one that the description allows.
	t.Run("requests", func(t *testing.T) {
		paymenttest.Run(t, func(t *testing.T) paymenttest.Harness { return stripeHarness(t, mock) })
		w := newStripeWorld(t)
		w.server.Mirror = mock
		if _, err := w.Cancel(t.Context(), w.charge(t).Reference); err != nil {
			t.Error(err)
		}
	})

	// The SDK reads complete objects, of which the stand-in sends a part only. The
	// example of a session is one without an amount, and must not become a payment.
	t.Run("objects", func(t *testing.T) {
		gateway, err := payment.NewStripe(payment.StripeConfig{
			SecretKey: "sk_test_123", WebhookSecrets: []string{"whsec_1"}, APIBase: mock, Now: paymenttest.NewClock(paymenttest.Start).Now,
		})
		if err != nil {
			t.Fatal(err)
		}
		refund, err := gateway.Status(t.Context(), "re_3Example")
		if err != nil || refund.Status != payment.StatusSucceeded || refund.Reference != "re_3Example" || refund.Amount != 100 || refund.Currency != "USD" {
			t.Errorf("%+v, %v", refund, err)
		}
		const want = "payment: stripe: the answer has no amount of money"
		if got, err := gateway.Status(t.Context(), "cs_test_Example"); err == nil || err.Error() != want || got != (payment.Outcome{}) {
			t.Errorf("%+v, %v", got, err)
		}
		if got, err := gateway.Charge(t.Context(), stripeCharge()); err == nil || err.Error() != want || got != (payment.Outcome{}) {
			t.Errorf("%+v, %v", got, err)
		}
	})
}
