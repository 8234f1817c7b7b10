package mail

import (
	"strconv"
	"strings"
)

// currencyDecimals lists the ISO 4217 currencies whose minor unit is not a hundredth. ISO's own numbers, not CLDR's:
// CLDR rounds some currencies for display, which would misstate an amount to be paid.
var currencyDecimals = map[string]int{
	"BIF": 0, "CLP": 0, "DJF": 0, "GNF": 0, "ISK": 0, "JPY": 0, "KMF": 0, "KRW": 0, "PYG": 0, "RWF": 0,
	"UGX": 0, "UYI": 0, "VND": 0, "VUV": 0, "XAF": 0, "XOF": 0, "XPF": 0,
	"BHD": 3, "IQD": 3, "JOD": 3, "KWD": 3, "LYD": 3, "OMR": 3, "TND": 3,
	"CLF": 4, "UYW": 4,
}

// numberStyle is how a language writes numbers: CLDR's decimal sign, sign between groups of three digits, and the number of
// digits from which on there are groups.
type numberStyle struct {
	point, group string
	grouped      int
}

var numberStyles = map[string]numberStyle{
	"en": {".", ",", 4},
	"de": {",", ".", 4},
	"fr": {",", "\u202f", 4},
	"es": {",", ".", 5},
	"ru": {",", "\u00a0", 4},
}

// FormatMoney writes an amount of minor units of an ISO 4217 currency as the language of a locale (see [Language]) does, with the
// currency's code, which unlike a $ says which: 980000 EUR is "9,800.00 EUR" in English and "9.800,00 EUR" in German, 9800 JPY
// "9,800 JPY". The spaces in it do not break.
func FormatMoney(locale string, minor int64, currency string) string {
	style := numberStyles[Language(locale)]
	decimals, known := currencyDecimals[currency]
	if !known {
		decimals = 2
	}
	sign, magnitude := "", uint64(minor)
	if minor < 0 {
		sign, magnitude = "\u2212", -uint64(minor)
	}
	digits := strconv.FormatUint(magnitude, 10)
	if pad := decimals + 1 - len(digits); pad > 0 {
		digits = strings.Repeat("0", pad) + digits
	}
	whole, fraction := digits[:len(digits)-decimals], digits[len(digits)-decimals:]
	if len(whole) >= style.grouped {
		for i := len(whole) - 3; i > 0; i -= 3 {
			whole = whole[:i] + style.group + whole[i:]
		}
	}
	if decimals > 0 {
		whole += style.point + fraction
	}
	return sign + whole + "\u00a0" + currency
}
