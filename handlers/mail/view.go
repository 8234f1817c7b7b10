package mail

import (
	"fmt"
	"html/template"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"
)

// view is what the templates see: the data, and the words and forms of one language. Its exported methods are for the
// templates of both parts.
type view struct {
	Data
	tr *translator

	ToMerchant bool
	Greets     bool // the email opens with a greeting of ours
	Subject    string
	Title      string
	Body       merchantText // Data.Text
	PayText    merchantText // Data.Instructions.Text
	NoteText   merchantText // Data.Refund.Note
	Brand      template.CSS
	OnBrand    template.CSS // text on Brand
	Logo       string
}

func newView(kind Kind, locale string, d Data) (*view, error) {
	v := &view{Data: d, tr: translators[Language(locale)], ToMerchant: kind.ToMerchant()}
	v.Brand, v.OnBrand = brandColors(d.Merchant.BrandColor)
	if strings.HasPrefix(d.Merchant.LogoURL, "https://") {
		v.Logo = d.Merchant.LogoURL
	}
	date, err := v.tr.date(d.Date)
	if err != nil {
		return nil, err
	}
	v.Body = newMerchantText(d.Text, tagValues(d, v.tr.lang, date), d.Item.keys())
	v.PayText = newMerchantText(d.Instructions.Text, nil, nil)
	v.NoteText = newMerchantText(d.Refund.Note, nil, nil)
	// A text of the merchant that is the whole letter has a greeting of its own.
	v.Greets = !v.ToMerchant && !v.Body.Keys && kind != KindProductInfo
	return v, nil
}

// Lang is the language tag of the email.
func (v *view) Lang() string { return v.tr.lang }

// T is the text of key; pairs are the names and values that it contains.
func (v *view) T(key string, pairs ...any) (string, error) {
	return v.tr.text(key, valuesOf(pairs))
}

// P is T in the plural form of n.
func (v *view) P(key string, n int, pairs ...any) (string, error) {
	return v.tr.plural(key, n, valuesOf(pairs))
}

func valuesOf(pairs []any) map[string]any {
	values := make(map[string]any, len(pairs)/2+1)
	for i := 0; i+1 < len(pairs); i += 2 {
		values[pairs[i].(string)] = pairs[i+1]
	}
	return values
}

// Money writes an amount in the currency of the order.
func (v *view) Money(minor int64) string { return FormatMoney(v.tr.lang, minor, v.Order.Currency) }

// Day writes a date.
func (v *view) Day(t time.Time) (string, error) { return v.tr.date(t) }

// Underline is a line as long as the title.
func (v *view) Underline() string { return strings.Repeat("=", utf8.RuneCountInString(v.Title)) }

// Name is how to address the customer, or "" where that is better left out: a name that is an advertisement would be
// sent to whomever the address belongs to, under the merchant's name.
func (v *view) Name() string {
	name := headerText(v.Customer.fullName())
	if utf8.RuneCountInString(name) > 60 || looksLikeAddress.MatchString(name) {
		return ""
	}
	return name
}

// looksLikeAddress matches what mail programs turn into links by themselves.
var looksLikeAddress = regexp.MustCompile(`(?i)://|@|/|www\.|\pL\.\pL{2,}`)

// Form is how the item is handed over: "one" licence, "several" licences, or as a "file".
func (v *view) Form() string {
	switch len(v.Item.Licenses) {
	case 0:
		return "file"
	case 1:
		return "one"
	default:
		return "several"
	}
}

// LicenseLabel is the heading of the licences.
func (v *view) LicenseLabel() (string, error) {
	if len(v.Item.Licenses) == 1 {
		return v.T("label_license")
	}
	return v.T("label_licenses")
}

// Heading is a label that introduces the lines below it, in plain text.
func (v *view) Heading(label string) (string, error) {
	s, err := v.T("row", "Label", label, "Value", "")
	return strings.TrimSpace(s), err
}

// button is a link that asks to be followed.
type button struct {
	Label, Heading, Fallback, URL string
	Brand, OnBrand                template.CSS
}

// Button is a button with the text of key.
func (v *view) Button(key, url string) (button, error) {
	label, err := v.T(key)
	if err != nil {
		return button{}, err
	}
	return v.button(label, url)
}

// DownloadButton is the button that fetches a file.
func (v *view) DownloadButton(d Download) (button, error) {
	label, err := v.T("button_download", "File", d.Name)
	if err != nil {
		return button{}, err
	}
	return v.button(label, d.URL)
}

func (v *view) button(label, url string) (button, error) {
	b := button{Label: label, URL: url, Brand: v.Brand, OnBrand: v.OnBrand}
	var err error
	if b.Heading, err = v.Heading(label); err != nil {
		return b, err
	}
	b.Fallback, err = v.T("button_fallback")
	return b, err
}

// row is a labelled value. Text is both in one line.
type row struct {
	Label, Value, Text string
	Strong             bool
}

// Rows pairs labels with values and leaves out those that are empty. pairs are the key of a label, its value, and so on.
func (v *view) Rows(pairs ...any) ([]row, error) {
	var rows []row
	for i := 0; i+1 < len(pairs); i += 2 {
		value := fmt.Sprint(pairs[i+1])
		if value == "" {
			continue
		}
		label, err := v.T(pairs[i].(string))
		if err != nil {
			return nil, err
		}
		text, err := v.T("row", "Label", label, "Value", value)
		if err != nil {
			return nil, err
		}
		rows = append(rows, row{Label: label, Value: value, Text: text})
	}
	return rows, nil
}

// LineAmount is the price of a line before discount and tax, so that the lines add up to the subtotal.
func (v *view) LineAmount(i Item) string { return v.Money(i.UnitPrice * int64(i.Quantity)) }

// Totals leads from the lines to the total.
func (v *view) Totals() ([]row, error) {
	var pairs []any
	o := v.Order
	if o.Discount != 0 || o.Tax != 0 && !o.TaxInclusive {
		pairs = append(pairs, "label_subtotal", v.Money(o.Subtotal))
	}
	if o.Discount != 0 {
		pairs = append(pairs, "label_discount", v.Money(-o.Discount))
	}
	if o.Tax != 0 && !o.TaxInclusive {
		pairs = append(pairs, "label_tax", v.Money(o.Tax))
	}
	pairs = append(pairs, "label_total", v.Money(o.Total))
	total := len(pairs)/2 - 1
	if o.Tax != 0 && o.TaxInclusive {
		pairs = append(pairs, "label_tax_included", v.Money(o.Tax))
	}
	rows, err := v.Rows(pairs...)
	if err == nil {
		rows[total].Strong = true
	}
	return rows, err
}

// ItemRows say which item the email is about; more are further pairs as for Rows.
func (v *view) ItemRows(more ...any) ([]row, error) {
	return v.Rows(append([]any{
		"label_order", v.Order.Number, "label_product", v.Item.Name, "label_quantity", v.Item.Quantity,
	}, more...)...)
}

// CustomerRows say to the merchant who bought.
func (v *view) CustomerRows() ([]row, error) {
	c := v.Customer
	return v.Rows("label_customer", c.fullName(), "label_company", c.Company, "label_email", c.Email,
		"label_customer_note", v.Item.CustomerNote)
}

// DownloadRows describe a file.
func (v *view) DownloadRows(d Download) ([]row, error) {
	until, err := v.Day(d.ExpiresAt)
	if err != nil {
		return nil, err
	}
	return v.Rows("label_valid_until", until, "label_checksum", d.SHA256)
}

// HasInstructions reports whether the order is to be paid by an offline method.
func (v *view) HasInstructions() bool { return v.Instructions != Instructions{} }

// AccountRows say where to pay what. Amount and reference stand out: they are what people get wrong.
func (v *view) AccountRows() ([]row, error) {
	i := v.Instructions
	rows, err := v.Rows("label_amount", v.Money(v.Order.Total), "label_account_holder", i.AccountHolder,
		"label_account", i.Account, "label_bank_code", i.BankCode, "label_bank", i.Bank, "label_reference", i.Reference)
	if err != nil {
		return nil, err
	}
	rows[0].Strong = true
	rows[len(rows)-1].Strong = i.Reference != "" || len(rows) == 1
	return rows, nil
}
