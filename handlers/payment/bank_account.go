package payment

import (
	"fmt"
	"regexp"
	"strings"
)

// ibanLengths is the length of an IBAN by country, of the IBAN registry that
// SWIFT keeps for ISO 13616.
var ibanLengths = map[string]int{
	"AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BI": 27, "BR": 29, "BY": 28,
	"CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DJ": 27, "DK": 18, "DO": 28, "EE": 20, "EG": 29, "ES": 24, "FI": 18,
	"FK": 18, "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28, "HN": 28, "HR": 21, "HU": 28,
	"IE": 22, "IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28, "LC": 32, "LI": 21, "LT": 20,
	"LU": 20, "LV": 21, "LY": 25, "MC": 27, "MD": 24, "ME": 22, "MK": 19, "MN": 20, "MR": 27, "MT": 31, "MU": 30, "NI": 28,
	"NL": 18, "NO": 15, "OM": 23, "PK": 24, "PL": 28, "PS": 29, "PT": 25, "QA": 29, "RO": 24, "RS": 22, "RU": 33, "SA": 24,
	"SC": 31, "SD": 18, "SE": 24, "SI": 19, "SK": 24, "SM": 27, "SO": 23, "ST": 25, "SV": 28, "TL": 23, "TN": 24, "TR": 26,
	"UA": 29, "VA": 22, "VG": 24, "XK": 20, "YE": 30,
}

// ibanHeader is the country and the two check digits.
const ibanHeader = 4

// ParseIBAN returns an IBAN (ISO 13616) that a person wrote, spaces and small
// letters included, in the form that computers exchange. It checks the country,
// the length that the country gives it, and the check digits. The error is a
// [FieldError] of the field "iban", which does not repeat the number.
func ParseIBAN(text string) (string, error) {
	iban := strings.ToUpper(strings.Join(strings.Fields(text), ""))
	if len(iban) <= ibanHeader || !isCreditorText(iban) {
		return "", FieldError{"iban", "must have a country code, two check digits and the account in digits and letters"}
	}
	country := iban[:2]
	length, ok := ibanLengths[country]
	switch {
	case !ok:
		return "", FieldError{"iban", "must begin with the code of a country that has IBANs"}
	case len(iban) != length:
		return "", FieldError{"iban", fmt.Sprintf("must have %d digits and letters in %s", length, country)}
	}
	// Comparing is stricter than the remainder alone, which 00, 01 and 99 could
	// also reach.
	if check := 98 - mod97(iban[ibanHeader:]+country+"00"); iban[2:ibanHeader] != fmt.Sprintf("%02d", check) {
		return "", FieldError{"iban", "is not an account number; please check for a typing mistake"}
	}
	return iban, nil
}

// PrintIBAN groups an IBAN by fours, as the standard prints it: DE89 3704 0044
// 0532 0130 00.
func PrintIBAN(iban string) string { return groupByFour(iban) }

// bicPattern is the form of a BIC in ISO 20022, of 8 or 11 characters.
var bicPattern = regexp.MustCompile(`^[A-Z0-9]{4}[A-Z]{2}[A-Z0-9]{2}([A-Z0-9]{3})?$`)

// parseBIC takes spaces and small letters too.
func parseBIC(text string) (string, error) {
	bic := strings.ToUpper(strings.Join(strings.Fields(text), ""))
	if !bicPattern.MatchString(bic) {
		return "", FieldError{"bic", "must have 8 or 11 characters: bank, country, place and perhaps branch"}
	}
	return bic, nil
}
