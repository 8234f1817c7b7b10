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

// FormatMoney writes an amount of minor units of an ISO 4217 currency in a form that reads the same in every language:
// 9800 EUR is "98.00 EUR", 9800 JPY "9800 JPY", 9800 KWD "9.800 KWD".
func FormatMoney(minor int64, currency string) string {
	decimals, known := currencyDecimals[currency]
	if !known {
		decimals = 2
	}
	sign, magnitude := "", uint64(minor)
	if minor < 0 {
		sign, magnitude = "-", -uint64(minor)
	}
	digits := strconv.FormatUint(magnitude, 10)
	if pad := decimals + 1 - len(digits); pad > 0 {
		digits = strings.Repeat("0", pad) + digits
	}
	if decimals > 0 {
		point := len(digits) - decimals
		digits = digits[:point] + "." + digits[point:]
	}
	return sign + digits + " " + currency
}
