package payment

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

func TestStripeAmounts(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		currency      string
		minor, stripe int64
		want          string // the error
	}{
		{"EUR", 1, 1, ""},
		{"JPY", 500, 500, ""},
		{"KRW", 500, 500, ""},
		{"HUF", 1045, 1045, ""},
		{"TWD", 80045, 80045, ""},
		{"ISK", 5, 500, ""},
		{"MGA", 500, 5, ""},
		{"MGA", 550, 0, "amount must be a multiple of 100 minor units, because Stripe takes no smaller parts of MGA"},
		{"KWD", 5120, 5120, ""},
		{"KWD", 5124, 0, "amount must be a multiple of 10 minor units, because Stripe takes no smaller parts of KWD"},
		{"TND", 1, 0, "amount must be a multiple of 10 minor units, because Stripe takes no smaller parts of TND"},
		{"UGX", 500, 0, "currency is not one that Stripe can be paid in"},
		{"ISK", math.MaxInt64 / 100, math.MaxInt64 / 100 * 100, ""},
		{"ISK", math.MaxInt64/100 + 1, 0, "amount is too large"},
	} {
		got, wrong := toStripe(tc.minor, tc.currency)
		if got != tc.stripe || wrong.Error() != tc.want {
			t.Errorf("%d %s goes out as %d, %v", tc.minor, tc.currency, got, wrong)
		}
	}
	for _, tc := range []struct {
		currency string
		amount   int64
	}{{"isk", 550}, {"ugx", 500}, {"", 500}, {"EURO", 500}, {"eur", -1}, {"mga", math.MaxInt64/100 + 1}} {
		if got, code, err := fromStripe(tc.amount, tc.currency); err == nil || got != 0 || code != "" {
			t.Errorf("%d %q comes back as %d %s", tc.amount, tc.currency, got, code)
		}
	}
}

func TestStripeAmountsComeBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		currency := rapid.SampledFrom([]string{"EUR", "JPY", "KWD", "BHD", "JOD", "OMR", "TND", "ISK", "MGA", "CLP"}).Draw(t, "currency")
		minor := rapid.Int64Range(1, 1<<40).Draw(t, "minor")
		out, wrong := toStripe(minor, currency)
		if wrong != nil {
			return
		}
		if back, code, err := fromStripe(out, currency); err != nil || back != minor || code != currency {
			t.Fatalf("%d %s goes out as %d and comes back as %d %s, %v", minor, currency, out, back, code, err)
		}
	})
}
