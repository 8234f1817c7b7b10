package api

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/gofiber/fiber/v2"

	"github.com/purser-dev/purser/models"
)

// checkoutView is what pages/shop_checkout.html shows.
type checkoutView struct {
	Cart    *models.CartShown
	Form    *checkoutForm
	Notice  string
	Wrong   []wrongField
	Methods []methodShown
	Country bool // is required
	ShopURL string
	Texts   string // see textsShown
}

// textsShown is short for the texts that a merchant's checkout asks consent to: another address or version gives another one.
func textsShown(v *models.Settings) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q", []string{v.Branding.TermsURL, v.TermsVersion, v.Branding.PrivacyURL, v.PrivacyVersion}))
	return hex.EncodeToString(sum[:16])
}

// Minus is what the discounts take off, as it stands in a sum.
func (v checkoutView) Minus() int64 { return -v.Cart.Discount }

// methodShown is a way to pay.
type methodShown struct {
	Name    string
	Checked bool
}

// Error is the name of the text that says what is wrong with a field, or empty.
func (v checkoutView) Error(field string) string {
	for _, w := range v.Wrong {
		if w.Name == field {
			return w.Text
		}
	}
	return ""
}

// AddressOpen reports whether the fields that few customers fill in are to be seen.
func (v checkoutView) AddressOpen() bool {
	c := &v.Form.Customer
	return c.Address != "" || c.Zip != "" || c.City != "" || c.Phone != "" ||
		slices.ContainsFunc([]string{"address", "zip", "city", "phone"}, func(f string) bool { return v.Error(f) != "" })
}

// Business reports whether the customer is one.
func (v checkoutView) Business() bool { return v.Form.Customer.Type == business }

// A checkoutField is one line of the form for pages/shop_checkout.html.
type checkoutField struct {
	Name, Value, Error, Type, Autocomplete string
	Most                                   int
	Optional, Live                         bool
}

// inputs are the HTML input types and autofill tokens of the form's text fields (HTML standard, section 4.10.18.7.1). Nothing is
// known to browsers for a VAT number.
var inputs = map[string][2]string{
	"email": {"email", "email"}, "first_name": {"text", "given-name"}, "last_name": {"text", "family-name"}, "company": {"text", "organization"},
	"vat_number": {"text", "off"}, "city": {"text", "address-level2"}, "zip": {"text", "postal-code"}, "address": {"text", "street-address"},
	"phone": {"tel", "tel"},
}

// Field describes a text field to the template.
func (v checkoutView) Field(name string) checkoutField {
	f := checkoutField{Name: name, Error: v.Error(name), Type: inputs[name][0], Autocomplete: inputs[name][1]}
	f.Optional, f.Live = name != "email" && name != "company", name == "vat_number"
	for _, field := range customerFields {
		if field.name == name {
			f.Value, f.Most = *field.of(&v.Form.Customer), field.most
		}
	}
	return f
}

// showCheckout answers with the checkout page.
func (s *Server) showCheckout(c *fiber.Ctx, status int, d *desk, form *checkoutForm, notice string, wrong []wrongField) error {
	content := &d.cart.Content
	v := checkoutView{
		Cart: d.cart, Form: form, Notice: notice, Wrong: wrong, Country: len(d.merchant.Settings.Tax.Rates) > 0, ShopURL: content.ReturnURL,
		Texts: textsShown(&d.merchant.Settings),
	}
	if v.ShopURL == "" {
		v.ShopURL = content.Shop
	}
	for i, choice := range d.cart.Choices {
		chosen := choice.Method == form.Method || i == 0
		if chosen && i > 0 {
			v.Methods[0].Checked = false
		}
		v.Methods = append(v.Methods, methodShown{choice.Method, chosen})
	}
	return s.shopPage(c, status, "checkout", d.shop, v)
}
