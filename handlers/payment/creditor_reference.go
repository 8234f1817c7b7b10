package payment

import (
	"errors"
	"fmt"
	"strings"
)

// The RF creditor reference of ISO 11649: "RF", two check digits by ISO/IEC 7064
// MOD 97-10, and up to 21 digits and capital letters of the creditor's own. Banks
// check it and carry it to the creditor's statement.
const (
	creditorPrefix       = "RF"
	creditorHeader       = len(creditorPrefix) + 2
	maxCreditorReference = creditorHeader + 21
)

var errCreditorReference = errors.New("payment: not an RF creditor reference")

// CreditorReference returns the RF creditor reference that stands for an order
// number of 1 to 21 digits and capital letters.
func CreditorReference(orderNumber string) (string, error) {
	if orderNumber == "" || creditorHeader+len(orderNumber) > maxCreditorReference || !isCreditorText(orderNumber) {
		return "", errors.New("payment: an order number in a creditor reference must have 1 to 21 digits and capital letters")
	}
	check := 98 - mod97(orderNumber+creditorPrefix+"00")
	return fmt.Sprintf("%s%02d%s", creditorPrefix, check, orderNumber), nil
}

// ParseCreditorReference returns the order number in an RF creditor reference
// that a person or a bank wrote: spaces and small letters are taken too. It fails
// for anything whose check digits are not exactly those of the order number.
func ParseCreditorReference(text string) (orderNumber string, err error) {
	reference := strings.ToUpper(strings.Join(strings.Fields(text), ""))
	if len(reference) <= creditorHeader {
		return "", errCreditorReference
	}
	orderNumber = reference[creditorHeader:]
	// Comparing is stricter than the remainder alone, which 00, 01 and 99 could
	// also reach.
	if want, err := CreditorReference(orderNumber); err != nil || want != reference {
		return "", errCreditorReference
	}
	return orderNumber, nil
}

// PrintCreditorReference groups a reference by fours, as the standard prints it:
// RF18 5390 0754 7034.
func PrintCreditorReference(reference string) string { return groupByFour(reference) }

func groupByFour(text string) string {
	var groups []string
	for len(text) > 4 {
		groups = append(groups, text[:4])
		text = text[4:]
	}
	return strings.Join(append(groups, text), " ")
}

func isCreditorText(text string) bool {
	return strings.Trim(text, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}

// mod97 takes the remainder of text as a number in which A is 10 and Z is 35.
func mod97(text string) int {
	remainder := 0
	for _, c := range text {
		if c >= 'A' {
			remainder = (remainder*100 + int(c-'A') + 10) % 97
			continue
		}
		remainder = (remainder*10 + int(c-'0')) % 97
	}
	return remainder
}
