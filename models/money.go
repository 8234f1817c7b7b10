package models

import (
	"golang.org/x/text/currency"
)

// MaxAmount bounds every amount, in minor units: what a JSON number holds exactly in every language, and far enough from
// overflow that a price times a quantity, or a sum of lines, can be formed before it is compared.
const MaxAmount int64 = 1 << 40

// knownCurrency reports whether code is a current ISO 4217 code in upper case.
func knownCurrency(code string) bool {
	if len(code) != 3 {
		return false
	}
	u, err := currency.ParseISO(code)
	return err == nil && u.String() == code && code != "XXX" && code != "XTS"
}
