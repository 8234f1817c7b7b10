package payment_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/purser-dev/purser/handlers/payment"
	"github.com/purser-dev/purser/handlers/payment/paymenttest"
)

// Each file has an event as Stripe sends it, and the callback or the error that is
// made of it. Adding a file adds a test.
func TestStripeEvents(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/stripe/*.json")
	if err != nil || len(files) < 30 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	clock := paymenttest.NewClock(paymenttest.Start)
	server := paymenttest.NewStripeServer(t, clock)
	gateway := openStripe(t, server, clock)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
			t.Parallel()
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var want struct {
				Event    json.RawMessage
				Callback payment.Callback
				Error    string
			}
			if err := json.Unmarshal(raw, &want); err != nil {
				t.Fatal(err)
			}
			got, err := gateway.ParseCallback(server.Sign(want.Event), want.Event)
			if got != want.Callback {
				t.Errorf("got  %+v\nwant %+v", got, want.Callback)
			}
			kind, message, _ := strings.Cut(want.Error, ": ")
			if (err != nil) != (want.Error != "") || err != nil && !strings.HasSuffix(err.Error(), ": "+message) {
				t.Errorf("error is %v, want %s", err, want.Error)
			}
			if errors.Is(err, payment.ErrIgnored) != (kind == "ignored") || errors.Is(err, payment.ErrCallback) != (kind == "refused") {
				t.Errorf("error is %v, want it %s", err, kind)
			}
		})
	}
	if requests := server.Requests(); len(requests) != 0 {
		t.Errorf("reading callbacks asked Stripe: %+v", requests)
	}
}

func TestStripeSignatureVectors(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("testdata/stripe-signature.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Vectors []struct {
			Name, Secret, Payload, Header string
			Timestamp                     int64
			Valid                         bool
		}
	}
	if err := json.Unmarshal(raw, &file); err != nil || len(file.Vectors) < 9 {
		t.Fatalf("%d vectors, %v", len(file.Vectors), err)
	}
	for _, v := range file.Vectors {
		t.Run(v.Name, func(t *testing.T) {
			t.Parallel()
			now := time.Unix(v.Timestamp, 0)
			gateway, err := payment.NewStripe(payment.StripeConfig{
				SecretKey: "sk_test_1", WebhookSecrets: []string{v.Secret}, Now: func() time.Time { return now },
			})
			if err != nil {
				t.Fatal(err)
			}
			_, err = gateway.ParseCallback(http.Header{"Stripe-Signature": {v.Header}}, []byte(v.Payload))
			// An event of no concern is genuine as well.
			if genuine := !errors.Is(err, payment.ErrCallback); genuine != v.Valid {
				t.Errorf("genuine: %v, %v", genuine, err)
			}
		})
	}
}

func TestStripeCallbackSecrets(t *testing.T) {
	t.Parallel()
	clock := paymenttest.NewClock(paymenttest.Start)
	server := paymenttest.NewStripeServer(t, clock)
	body := []byte(`{"object":"event","id":"evt_1","type":"product.created","data":{"object":{}}}`)
	for name, tc := range map[string]struct {
		secrets []string
		want    error
	}{
		"the only one":   {[]string{server.WebhookSecret}, payment.ErrIgnored},
		"the first":      {[]string{server.WebhookSecret, "whsec_Other"}, payment.ErrIgnored},
		"the last":       {[]string{"whsec_Other", "whsec_Another", server.WebhookSecret}, payment.ErrIgnored},
		"none of them":   {[]string{"whsec_Other", "whsec_Another"}, payment.ErrCallback},
		"a part of one":  {[]string{server.WebhookSecret[:len(server.WebhookSecret)-1]}, payment.ErrCallback},
		"in other cases": {[]string{"whsec_fakesigningsecret"}, payment.ErrCallback},
	} {
		gateway, err := payment.NewStripe(payment.StripeConfig{SecretKey: server.Key, WebhookSecrets: tc.secrets, Now: clock.Now})
		if err != nil {
			t.Fatal(err)
		}
		// Whoever configured the gateway may go on using the slice.
		clear(tc.secrets)
		if got, err := gateway.ParseCallback(server.Sign(body), body); !errors.Is(err, tc.want) || got != (payment.Callback{}) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func TestStripeCallbackLength(t *testing.T) {
	t.Parallel()
	clock := paymenttest.NewClock(paymenttest.Start)
	server := paymenttest.NewStripeServer(t, clock)
	gateway := openStripe(t, server, clock)
	event := func(length int) []byte {
		const head, tail = `{"object":"event","id":"evt_1","type":"product.created","data":{"object":{"x":"`, `"}}}`
		return []byte(head + strings.Repeat("x", length-len(head)-len(tail)) + tail)
	}
	longest := event(1 << 20)
	if _, err := gateway.ParseCallback(server.Sign(longest), longest); !errors.Is(err, payment.ErrIgnored) {
		t.Errorf("a mebibyte: %v", err)
	}
	longer := event(1<<20 + 1)
	if _, err := gateway.ParseCallback(server.Sign(longer), longer); !errors.Is(err, payment.ErrCallback) || !strings.Contains(err.Error(), "longer than 1048576") {
		t.Errorf("one byte more: %v", err)
	}
}

func TestLiveStripeTakesLiveEvents(t *testing.T) {
	t.Parallel()
	clock := paymenttest.NewClock(paymenttest.Start)
	server := paymenttest.NewStripeServer(t, clock)
	gateway, err := payment.NewStripe(payment.StripeConfig{SecretKey: "rk_live_1", WebhookSecrets: []string{server.WebhookSecret}, Now: clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]bool{"session-live": true, "session-completed-paid": false} {
		raw, err := os.ReadFile("testdata/stripe/" + file + ".json")
		if err != nil {
			t.Fatal(err)
		}
		var vector struct{ Event json.RawMessage }
		if err := json.Unmarshal(raw, &vector); err != nil {
			t.Fatal(err)
		}
		got, err := gateway.ParseCallback(server.Sign(vector.Event), vector.Event)
		if (err == nil) != want || (got.Outcome.Status == payment.StatusSucceeded) != want || !want && !errors.Is(err, payment.ErrCallback) {
			t.Errorf("%s: %+v, %v", file, got, err)
		}
	}
}

func FuzzStripeParseCallback(f *testing.F) {
	clock := paymenttest.NewClock(paymenttest.Start)
	server := paymenttest.NewStripeServer(f, clock)
	gateway := openStripe(f, server, clock)
	files, err := filepath.Glob("testdata/stripe/*.json")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		var vector struct{ Event json.RawMessage }
		if err := json.Unmarshal(raw, &vector); err != nil {
			f.Fatal(err)
		}
		f.Add(server.Sign(vector.Event).Get("Stripe-Signature"), []byte(vector.Event))
	}
	f.Fuzz(func(t *testing.T, signature string, body []byte) {
		if got, err := gateway.ParseCallback(http.Header{"Stripe-Signature": {signature}}, body); err == nil &&
			signature != server.Sign(body).Get("Stripe-Signature") {
			t.Fatalf("forged: %+v", got)
		}
		// Past the signature, any body is read without harm.
		got, err := gateway.ParseCallback(server.Sign(body), body)
		if err != nil {
			if errors.Is(err, payment.ErrCallback) == errors.Is(err, payment.ErrIgnored) || got != (payment.Callback{}) {
				t.Fatalf("%+v, %v", got, err)
			}
			return
		}
		if got.ID == "" || got.Outcome.Reference == "" || got.Outcome.Currency == "" || got.PaymentID == "" && got.RefundID == "" {
			t.Fatalf("%+v", got)
		}
	})
}
