package payment

import (
	"errors"
	"fmt"
	"strings"
)

// The QR code by which a banking app fills in a SEPA transfer: EPC069-12, "Quick
// Response Code: Guidelines to enable data capture for the initiation of a SEPA
// credit transfer". It is drawn with error correction level M.
const (
	maxEPCPayload = 331
	maxEPCAmount  = 99_999_999_999 // cents
	maxEPCName    = 70
)

// The countries of SEPA by the IBANs of their accounts. Outside the European
// Economic Area a transfer needs the BIC.
const (
	eeaCountries       = "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IS IT LI LT LU LV MT NL NO PL PT RO SE SI SK"
	otherSEPACountries = "AD AL CH GB GI MC MD ME MK RS SM VA"
)

// EPCPayload returns the text of the QR code for paying by these instructions. The
// error is a [FieldErrors]: only euros to an account of the SEPA area have such a
// code, so a page shows none when there is an error.
func EPCPayload(i Instructions) (string, error) {
	var wrong FieldErrors
	refuse := func(field, message string) { wrong = append(wrong, FieldError{field, message}) }

	if i.Currency != "EUR" {
		refuse("currency", "must be EUR in an EPC code")
	}
	if i.Amount < 1 || i.Amount > maxEPCAmount {
		refuse("amount", "must be from 0.01 to 999999999.99 in an EPC code")
	}
	if i.AccountHolder == "" {
		refuse("account_holder", "is required")
	}
	if field := (FieldError{}); errors.As(checkText("account_holder", i.AccountHolder, maxEPCName, ""), &field) {
		wrong = append(wrong, field)
	}
	if _, err := ParseCreditorReference(i.Reference); err != nil {
		refuse("reference", "must be an RF creditor reference")
	}
	iban, err := ParseIBAN(i.IBAN)
	inEEA := err == nil && strings.Contains(eeaCountries, iban[:2])
	if field := (FieldError{}); errors.As(err, &field) {
		wrong = append(wrong, field)
	} else if !inEEA && !strings.Contains(otherSEPACountries, iban[:2]) {
		refuse("iban", "must be of a country of the SEPA area in an EPC code")
	}
	switch {
	case i.BIC != "" && !bicPattern.MatchString(i.BIC):
		refuse("bic", "must have 8 or 11 characters: bank, country, place and perhaps branch")
	case i.BIC == "" && err == nil && !inEEA:
		refuse("bic", "is required outside the European Economic Area")
	}
	if len(wrong) > 0 {
		return "", wrong
	}

	payload := strings.Join([]string{
		"BCD", // service tag
		"002", // version: the BIC may be left out
		"1",   // UTF-8
		"SCT", // SEPA credit transfer
		i.BIC,
		i.AccountHolder,
		iban,
		fmt.Sprintf("EUR%d.%02d", i.Amount/100, i.Amount%100),
		"", // purpose
		strings.ToUpper(strings.Join(strings.Fields(i.Reference), "")),
		// What would follow is a text instead of the reference and a note to the
		// payer. Nothing comes after the last element that is filled in.
	}, "\n")
	if len(payload) > maxEPCPayload {
		return "", FieldErrors{{"account_holder", "is too long for an EPC code"}}
	}
	return payload, nil
}
