package payment

import (
	"fmt"
	"math"
	"strings"
)

// stripeUnits lists the currencies whose amounts at Stripe are not simply the minor
// units of ISO 4217 (https://docs.stripe.com/currencies, "Zero-decimal currencies",
// "Three-decimal currencies" and "Special cases"). All zero-decimal currencies of
// ISO but these are the same at Stripe.
var stripeUnits = map[string]struct {
	// times and per convert: an amount at Stripe is ours × times ÷ per.
	times, per int64
	// step is what an amount at Stripe must be a multiple of.
	step int64
}{
	// ISO has no decimals, Stripe keeps two that are always 00.
	"ISK": {times: 100, per: 1, step: 100},
	// ISO has two decimals, Stripe none.
	"MGA": {times: 1, per: 100, step: 1},
	// Three decimals, of which the card networks take two.
	"BHD": {times: 1, per: 1, step: 10},
	"JOD": {times: 1, per: 1, step: 10},
	"KWD": {times: 1, per: 1, step: 10},
	"OMR": {times: 1, per: 1, step: 10},
	"TND": {times: 1, per: 1, step: 10},
}

// stripeUnclear has the currencies that Stripe documents with two different units:
// the Ugandan shilling is in the list of those without decimals, and among the
// special cases with two. A guess would be wrong by a factor of a hundred.
var stripeUnclear = map[string]bool{"UGX": true}

// toStripe converts an amount of minor units to what Stripe calls by the same name.
// What Stripe cannot take is refused, never rounded: the customer would pay another
// amount than the order's.
func toStripe(amount int64, currency string) (int64, FieldErrors) {
	if stripeUnclear[currency] {
		return 0, FieldErrors{{"currency", "is not one that Stripe can be paid in"}}
	}
	unit, special := stripeUnits[currency]
	if !special {
		return amount, nil
	}
	if amount > math.MaxInt64/unit.times {
		return 0, FieldErrors{{"amount", "is too large"}}
	}
	converted := amount * unit.times
	if multiple := unit.per * unit.step / unit.times; multiple > 1 && amount%multiple != 0 {
		return 0, FieldErrors{{"amount", fmt.Sprintf("must be a multiple of %d minor units, because Stripe takes no smaller parts of %s", multiple, currency)}}
	}
	return converted / unit.per, nil
}

// fromStripe converts back. It fails for what Stripe would not say of a charge that
// toStripe let through.
func fromStripe(amount int64, currency string) (minor int64, code string, err error) {
	code = strings.ToUpper(currency)
	if !isCurrency(code) || amount < 0 {
		return 0, "", fmt.Errorf("payment: stripe: the answer has no amount of money")
	}
	if stripeUnclear[code] {
		return 0, "", fmt.Errorf("payment: stripe: the answer is in %s, whose unit is unclear", code)
	}
	unit, special := stripeUnits[code]
	if !special {
		return amount, code, nil
	}
	if amount > math.MaxInt64/unit.per || amount*unit.per%unit.times != 0 {
		return 0, "", fmt.Errorf("payment: stripe: the answer has a part of %s that does not exist", code)
	}
	return amount * unit.per / unit.times, code, nil
}
