package paymenttest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/purser-dev/purser/handlers/payment"
)

// guarded looks for secrets in every error and answer of a gateway.
type guarded struct {
	payment.Gateway
	t       *testing.T
	secrets []string
}

func (g guarded) Charge(ctx context.Context, req payment.ChargeRequest) (payment.Outcome, error) {
	o, err := g.Gateway.Charge(ctx, req)
	g.look(o, err)
	return o, err
}

func (g guarded) Status(ctx context.Context, reference string) (payment.Outcome, error) {
	o, err := g.Gateway.Status(ctx, reference)
	g.look(o, err)
	return o, err
}

func (g guarded) Refund(ctx context.Context, req payment.RefundRequest) (payment.Outcome, error) {
	o, err := g.Gateway.Refund(ctx, req)
	g.look(o, err)
	return o, err
}

func (g guarded) ParseCallback(header http.Header, body []byte) (payment.Callback, error) {
	c, err := g.Gateway.ParseCallback(header, body)
	g.look(c, err)
	return c, err
}

func (g guarded) look(values ...any) {
	g.t.Helper()
	lookFor(g.t, g.secrets, values...)
}

// verbs are those that print the whole of a value in one way or another.
var verbs = []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%X"}

// lookFor fails if a secret comes out, as text, in hexadecimal or as the numbers of
// its bytes, when the values are printed.
func lookFor(t *testing.T, secrets []string, values ...any) {
	t.Helper()
	var out bytes.Buffer
	for _, value := range values {
		for _, verb := range verbs {
			fmt.Fprintf(&out, verb+"\n", value)
		}
	}
	text := out.String()
	for _, secret := range secrets {
		numbers := strings.Trim(fmt.Sprint([]byte(secret)), "[]")
		for _, form := range []string{secret, fmt.Sprintf("%x", secret), fmt.Sprintf("%X", secret), numbers} {
			if strings.Contains(text, form) {
				t.Errorf("a secret came out: %s", text)
			}
		}
	}
}

func (s suite) secrets(t *testing.T) {
	gateway := s.Open()
	lookFor(t, s.Secrets, gateway, []payment.Gateway{gateway}, struct{ Gateway payment.Gateway }{gateway})
	var out bytes.Buffer
	for _, handler := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(handler).Info("gateway", "gateway", gateway)
	}
	lookFor(t, s.Secrets, out.String())
	if strings.Count(out.String(), "gateway") < 4 {
		t.Errorf("nothing was logged: %s", out.String())
	}
}

// concurrent is for the race detector, and for answers that got into the wrong
// hands. Calls for one payment at the same time may fail, as long as they may be
// repeated, but never begin two charges.
func (s suite) concurrent(t *testing.T) {
	const workers = 8
	var (
		wg     sync.WaitGroup
		mu     sync.Mutex
		shared = map[string]bool{}
		own    = map[string]bool{}
	)
	for i := range workers {
		wg.Go(func() {
			got, err := s.gateway.Charge(t.Context(), s.request(fmt.Sprintf("own%d", i)))
			if err != nil {
				t.Error(err)
				return
			}
			if status, err := s.gateway.Status(t.Context(), got.Reference); err != nil || status.Reference != got.Reference {
				t.Errorf("status of %s is %+v, %v", got.Reference, status, err)
			}
			common, err := s.gateway.Charge(t.Context(), s.request("shared"))
			if fields := (payment.FieldErrors{}); errors.As(err, &fields) || errors.Is(err, payment.ErrRefused) {
				t.Errorf("the same request at the same time: %v", err)
			}
			mu.Lock()
			defer mu.Unlock()
			own[got.Reference] = true
			if err == nil {
				shared[common.Reference] = true
			}
		})
	}
	wg.Wait()
	if len(own) != workers || len(shared) != 1 {
		t.Errorf("%d payments have %d references, one has %d", workers, len(own), len(shared))
	}

	charge := s.paid(t, "paid")
	refunds := map[string]bool{}
	for range workers {
		wg.Go(func() {
			if s.Callback != nil {
				header, body := s.Callback(charge.Reference)
				if _, err := s.gateway.ParseCallback(header, body); err != nil {
					t.Error(err)
				}
			}
			got, err := s.gateway.Refund(t.Context(), s.refundRequest("1", charge.Reference))
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				refunds[got.Reference] = true
			}
		})
	}
	wg.Wait()
	if len(refunds) != 1 {
		t.Errorf("one refund has %d references", len(refunds))
	}
	if s.Refunded != nil && s.Refunded(charge.Reference) != s.refundRequest("1", "").Amount {
		t.Errorf("%d were given back", s.Refunded(charge.Reference))
	}
}
