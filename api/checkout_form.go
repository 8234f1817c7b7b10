package api

import (
	"net/mail"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/purser-dev/purser/models"
)

// The kinds of customers.
const (
	individual = "individual"
	business   = "business"
)

// checkoutForm is what the customer has entered on the checkout page.
type checkoutForm struct {
	Customer models.Customer
	Method   string
	// Terms and PersonalData are the two consents. They are never ticked for anybody.
	Terms, PersonalData bool
	// Coupon is the promotion code as it was typed. Refused is the code that the page said does not apply: continuing with that one
	// continues without it.
	Coupon, Refused string
	Quantities      map[string]string // by product
	// Total is what the page showed; -1 for what is no number.
	Total int64
	// Texts says which texts the page asked consent to; see textsShown.
	Texts string
}

// readCheckout reads the form. What is longer than it can be is cut, so that it may be kept.
func readCheckout(values url.Values) checkoutForm {
	f := checkoutForm{
		Method: shortened(values.Get("method"), 50), Terms: values.Get("terms") != "", PersonalData: values.Get("personal_data") != "",
		Coupon: shortened(values.Get("coupon"), maxCode), Refused: values.Get("refused"), Quantities: map[string]string{},
		Texts: values.Get("texts"),
	}
	for _, field := range customerFields {
		// One more than what is allowed, so that the check afterwards still sees that it was too long.
		*field.of(&f.Customer) = shortened(values.Get(field.name), field.most+1)
	}
	f.Customer.Country = strings.ToUpper(f.Customer.Country)
	if f.Customer.Type != business {
		f.Customer.Type = individual
	}
	for name, v := range values {
		if product, ok := strings.CutPrefix(name, "quantity."); ok {
			f.Quantities[product] = v[0]
		}
	}
	var err error
	if f.Total, err = strconv.ParseInt(values.Get("total"), 10, 64); err != nil {
		f.Total = -1
	}
	return f
}

// shortened is text as it may be stored and shown again: without control characters and of at most so many characters.
func shortened(v string, most int) string {
	v = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, strings.ToValidUTF8(v, ""))
	if v = strings.TrimSpace(v); utf8.RuneCountInString(v) > most {
		v = string([]rune(v)[:most])
	}
	return v
}

// wrongField is a field of the form with the text that says what is wrong with it.
type wrongField struct{ Name, Text string }

// vatNumber is the shape of a VAT number of the European Union (Directive 2006/112/EC, article 215), without its spaces.
var vatNumber = regexp.MustCompile(`^[A-Z]{2}[0-9A-Z+*]{2,12}$`)

// euCountries have VAT numbers of that shape; Greece's begin with EL.
var euCountries = strings.Fields("AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK")

// wrong is what is wrong with the form, in the order of the page. The names of texts are of checkout.error_….
func (f *checkoutForm) wrong(needsCountry bool) []wrongField {
	var out []wrongField
	add := func(wrong bool, name, text string) {
		if wrong && !slices.ContainsFunc(out, func(w wrongField) bool { return w.Name == name }) {
			out = append(out, wrongField{name, text})
		}
	}
	c := &f.Customer
	add(c.Email == "", "email", "email_missing")
	add(!plausibleEmail(c.Email), "email", "email")
	for _, field := range customerFields[1:] {
		switch field.name {
		case "company":
			add(c.Type == business && c.Company == "", "company", "company")
		case "vat_number":
			add(c.Type == business && !plausibleVAT(c), "vat_number", "vat_number")
		case "country":
			add(needsCountry && c.Country == "" || c.Country != "" && !models.IsCountry(c.Country), "country", "country")
			continue
		}
		add(utf8.RuneCountInString(*field.of(c)) > field.most, field.name, "long")
	}
	add(!f.Terms, "terms", "terms")
	add(!f.PersonalData, "personal_data", "personal_data")
	return out
}

func plausibleEmail(v string) bool {
	a, err := mail.ParseAddress(v)
	return err == nil && a.Address == v && len(v) <= 254
}

// plausibleVAT reports whether a business's VAT number can be one. Only the shape is judged: whoever gives a wrong number owes the
// tax itself.
func plausibleVAT(c *models.Customer) bool {
	if c.VATNumber == "" || !slices.Contains(euCountries, c.Country) {
		return true
	}
	n := strings.ToUpper(strings.NewReplacer(" ", "", ".", "", "-", "").Replace(c.VATNumber))
	prefix := c.Country
	if prefix == "GR" {
		prefix = "EL"
	}
	return vatNumber.MatchString(n) && strings.HasPrefix(n, prefix)
}

// customer is who the order is for: of an individual without what only a business has.
func (f *checkoutForm) customer() models.Customer {
	c := f.Customer
	if c.Type != business {
		c.Company, c.VATNumber = "", ""
	}
	return c
}

// keep puts what was entered into the cart, where it survives until the order.
func (f *checkoutForm) keep(content *models.CartContent) {
	country := content.Customer.Country
	content.Customer = f.Customer
	if c := &content.Customer; c.Country != "" && !models.IsCountry(c.Country) {
		c.Country = country
	}
	for _, field := range customerFields {
		if v := field.of(&content.Customer); utf8.RuneCountInString(*v) > field.most {
			*v = string([]rune(*v)[:field.most])
		}
	}
	if f.Method != "" {
		content.Method = f.Method
	}
	for i := range content.Lines {
		l := &content.Lines[i]
		if n, err := strconv.Atoi(strings.TrimSpace(f.Quantities[l.Product])); err == nil && l.UnitPrice == nil {
			l.Quantity = max(n, 0) // none takes the line out
		}
	}
}
