package mail

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// tagPattern is the form of a tag in a merchant's text. The names are those of Noventiq Checkout
// (docs.noventiq.com, "Email substitution tags"), so that existing texts keep working.
var tagPattern = regexp.MustCompile(`\{[A-Z][A-Z0-9_]*\}`)

// Tags replaces every {NAME} in text whose NAME is in values. Tags without a value are left as they are, and what was
// put in is not searched again, so a customer called "{KEY}" gets nothing.
func Tags(text string, values map[string]string) string {
	return tagPattern.ReplaceAllStringFunc(text, func(tag string) string {
		if value, ok := values[tag[1:len(tag)-1]]; ok {
			return value
		}
		return tag
	})
}

// RequireTag returns an error that names the tag if text does not contain it. name is without braces.
func RequireTag(text, name string) error {
	if strings.Contains(text, "{"+name+"}") {
		return nil
	}
	return fmt.Errorf("must contain the tag {%s}", name)
}

// tagKey stands for the licences of the item, one after the other.
const tagKey = "KEY"

// customerTags are filled in by whoever ordered, which need not be whoever receives the email.
var customerTags = map[string]bool{
	"FULLNAME": true, "FNAME": true, "LNAME": true, "EMAIL": true, "COMPANY": true, "COUNTRY": true, "CITY": true,
	"ZIP": true, "ADDRESS": true, "PHONE": true, "LICENSE_FOR": true, "ADDINFO_TEXT": true,
}

// tagValues are the values of all tags for an email in a language; date is already formatted.
func tagValues(d Data, lang, date string) map[string]string {
	licensee := d.Customer.Company
	if licensee == "" {
		licensee = d.Customer.fullName()
	}
	if licensee == "" {
		licensee = d.Customer.Email
	}
	return map[string]string{
		tagKey:         strings.Join(d.Item.keys(), "\n"),
		"ORDER_ID":     d.Order.Number,
		"PROGRAM_NAME": d.Item.Name,
		"QUANTITY":     strconv.Itoa(d.Item.Quantity),
		"PRICE_ONE":    FormatMoney(lang, d.Item.UnitPrice, d.Order.Currency),
		"PRICE_ALL":    FormatMoney(lang, d.Item.Total, d.Order.Currency),
		"URL":          d.Item.InstructionsURL,
		"URL_FULL":     d.Item.DownloadURL,
		"DATE":         date,

		"FULLNAME":     d.Customer.fullName(),
		"FNAME":        d.Customer.FirstName,
		"LNAME":        d.Customer.LastName,
		"EMAIL":        d.Customer.Email,
		"COMPANY":      d.Customer.Company,
		"COUNTRY":      d.Customer.Country,
		"CITY":         d.Customer.City,
		"ZIP":          d.Customer.Zip,
		"ADDRESS":      d.Customer.Address,
		"PHONE":        d.Customer.Phone,
		"LICENSE_FOR":  licensee,
		"ADDINFO_TEXT": d.Item.CustomerNote,
	}
}
