package models

import (
	"context"
	"net/mail"
	"regexp"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/language"
)

// NewOrder is a checkout request.
type NewOrder struct {
	Currency      string
	Locale        string
	ExternalID    string
	Coupon        string
	Customer      Customer
	Lines         []NewLine
	PaymentMethod string // empty: chosen later
	MethodClass   string // online or offline; empty means online
	Consents      Consents
	ReturnURL     string
	Metadata      map[string]string
	Actor         string
}

// NewLine asks for a quantity of a product, named by id or SKU.
type NewLine struct {
	Product  string
	Quantity int
}

// The limits of a checkout request.
const (
	maxLines         = 100
	maxLocale        = 35 // of a tag without extensions (RFC 5646, section 4.4.1)
	maxMetadata      = 50
	maxMetadataKey   = 40
	maxMetadataValue = 500
)

var countryCode = regexp.MustCompile(`^[A-Z]{2}$`)

// CreateOrder records a checkout request: the order, its items, the order.created event and everything that follows from it, in
// one transaction. An order whose total is zero is paid at once.
func (s *Store) CreateOrder(ctx context.Context, sc Scope, in NewOrder) (*OrderView, error) {
	var bad invalids
	in.normalise()
	in.check(&bad)
	var view *OrderView
	err := s.write(ctx, func(t *tx) error {
		products, err := t.productsFor(sc, in.Lines, &bad)
		if err != nil {
			return err
		}
		o, err := t.priced(sc, in, products, &bad)
		if err != nil {
			return err
		}
		if o.Number, err = t.nextOrderNumber(); err != nil {
			return err
		}
		if err := t.Omit("Items", "Payments").Create(o).Error; err != nil {
			return err
		}
		if err := t.Omit("Licenses").Create(&o.Items).Error; err != nil {
			return err
		}
		t.note(o, "order.created", in.Actor, "The order was created.", map[string]any{"total": o.Total, "currency": o.Currency})
		if view, err = s.view(o, true); err != nil {
			return err
		}
		if _, err := t.emit(sc, EventOrderCreated, o.ID+":created", &o.ID, view); err != nil {
			return err
		}
		if o.Total > 0 {
			return nil
		}
		if err := t.markPaid(o, in.Actor, "There is nothing to pay."); err != nil {
			return err
		}
		view, err = s.view(o, false)
		return err
	})
	return view, err
}

func (in *NewOrder) normalise() {
	c := &in.Customer
	for _, f := range []*string{&c.Email, &c.FirstName, &c.LastName, &c.Type, &c.Country, &c.Company, &c.VATNumber, &c.City, &c.Zip, &c.Address, &c.Phone} {
		*f = strings.TrimSpace(*f)
	}
	c.Country = strings.ToUpper(c.Country)
	if c.Type == "" {
		c.Type = "individual"
	}
	if in.Locale == "" {
		in.Locale = "en"
	}
	if in.MethodClass == "" {
		in.MethodClass = "online"
	}
}

func (in *NewOrder) check(bad *invalids) {
	if !knownCurrency(in.Currency) {
		bad.add("currency", "must be an ISO 4217 code in capitals, such as EUR")
	}
	if _, err := language.Parse(in.Locale); err != nil || len(in.Locale) > maxLocale {
		bad.add("locale", "must be a language tag, such as en or de-AT")
	}
	if !validEmail(in.Customer.Email) {
		bad.add("customer.email", "must be an email address")
	}
	if in.Customer.Country != "" && !countryCode.MatchString(in.Customer.Country) {
		bad.add("customer.country", "must be a country's two-letter code, such as GB")
	}
	if in.Customer.Type != "individual" && in.Customer.Type != "business" {
		bad.add("customer.type", "must be individual or business")
	}
	checkText(bad, "customer.first_name", in.Customer.FirstName, 100)
	checkText(bad, "customer.last_name", in.Customer.LastName, 100)
	checkText(bad, "customer.company", in.Customer.Company, 200)
	checkText(bad, "customer.vat_number", in.Customer.VATNumber, 50)
	checkText(bad, "customer.city", in.Customer.City, 100)
	checkText(bad, "customer.zip", in.Customer.Zip, 20)
	checkText(bad, "customer.address", in.Customer.Address, 300)
	checkText(bad, "customer.phone", in.Customer.Phone, 50)
	checkText(bad, "external_id", in.ExternalID, 200)
	checkText(bad, "payment_method", in.PaymentMethod, 50)
	if !in.Consents.Terms {
		bad.add("consents.terms", "must be true: the customer has to agree to the terms of sale")
	}
	if !in.Consents.PersonalData {
		bad.add("consents.personal_data", "must be true: the customer has to agree to the processing of personal data")
	}
	if in.Coupon != "" {
		bad.add("coupon", "there is no such coupon")
	}
	if in.ReturnURL != "" {
		if !webAddress(in.ReturnURL) || !utf8.ValidString(in.ReturnURL) {
			bad.add("return_url", "must be an http or https address of at most 2048 characters")
		}
	}
	if len(in.Metadata) > maxMetadata {
		bad.add("metadata", "may have at most %d entries", maxMetadata)
	}
	for k, v := range in.Metadata {
		checkText(bad, "metadata."+shorten(printable(k), maxMetadataKey), v, maxMetadataValue)
		if k == "" || len(k) > maxMetadataKey || printable(k) != k {
			bad.add("metadata", "names must have 1 to %d printable characters", maxMetadataKey)
		}
	}
	if len(in.Lines) == 0 {
		bad.add("items", "must have at least one item")
	}
	if len(in.Lines) > maxLines {
		bad.add("items", "may have at most %d items", maxLines)
	}
}

func checkText(bad *invalids, field, v string, most int) {
	if utf8.RuneCountInString(v) > most {
		bad.add(field, "may have at most %d characters", most)
	}
	if !utf8.ValidString(v) {
		bad.add(field, "must be valid UTF-8")
	}
	if strings.ContainsFunc(v, func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' || r == 0x7f }) {
		bad.add(field, "must not have control characters")
	}
}

// printable is s without control characters, and with a replacement for what is not UTF-8.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, s)
}

// validEmail accepts a bare address with a dotted or local host name, as RFC 5321 writes it.
func validEmail(s string) bool {
	if len(s) > 254 || strings.ContainsAny(s, "<> ") || printable(s) != s {
		return false
	}
	a, err := mail.ParseAddress(s)
	return err == nil && a.Address == s
}

// productsFor loads the products of the lines, keyed by what the lines call them.
func (t *tx) productsFor(sc Scope, lines []NewLine, bad *invalids) (map[string]*Product, error) {
	if len(lines) > maxLines {
		return nil, nil
	}
	names := make([]string, 0, len(lines)) // ids have the shape of a SKU too
	for _, l := range lines {
		if skuPattern.MatchString(l.Product) {
			names = append(names, l.Product)
		}
	}
	var found []Product
	err := t.Preload("Prices").Where("merchant_id = ? AND archived_at IS NULL AND (sku IN ? OR id IN ?)", sc.MerchantID, names, names).Find(&found).Error
	if err != nil {
		return nil, err
	}
	out := make(map[string]*Product, len(found)*2)
	for i := range found {
		out[found[i].ID] = &found[i]
		out[found[i].SKU] = &found[i]
	}
	for i, l := range lines {
		p := out[l.Product]
		field := "items[" + itoa(i) + "]"
		switch {
		case p == nil:
			bad.add(field+".product", "there is no such product")
		case !p.Active:
			bad.add(field+".product", "the product is not for sale")
		case p.LicenseMethod == MethodEmulator && !sc.Test:
			bad.add(field+".product", "a product with emulated licences is for sale in test mode only")
		case l.Quantity < p.MinQuantity || l.Quantity > p.MaxQuantity:
			bad.add(field+".quantity", "must be from %d to %d", p.MinQuantity, p.MaxQuantity)
		}
	}
	return out, nil
}

// priced builds the order from its request, or returns everything that is wrong with the request.
func (t *tx) priced(sc Scope, in NewOrder, products map[string]*Product, bad *invalids) (*Order, error) {
	o := &Order{
		ID: newID("ord"), MerchantID: sc.MerchantID, Test: sc.Test, Status: OrderNotPaid, FulfillmentStatus: NotDelivered,
		Currency: in.Currency, Locale: in.Locale, ExternalID: in.ExternalID, CustomerEmail: strings.ToLower(in.Customer.Email),
		Customer: in.Customer, PaymentMethod: in.PaymentMethod, MethodClass: in.MethodClass, Token: newToken(), ReturnURL: in.ReturnURL,
		Metadata: in.Metadata, Consents: in.Consents, CreatedAt: t.now, UnpaidSince: t.now,
	}
	if o.Metadata == nil {
		o.Metadata = map[string]string{}
	}
	o.Consents.At, o.Consents.Locale = t.now, in.Locale
	for i, l := range in.Lines {
		p := products[l.Product]
		if p == nil || l.Quantity < 1 || l.Quantity > p.MaxQuantity {
			continue
		}
		amount, ok := p.price(in.Currency)
		if !ok {
			// Not where something else is wrong with the product, or the currency is: one cause is one error.
			if field := "items[" + itoa(i) + "].product"; knownCurrency(in.Currency) && !bad.has(field) {
				bad.add(field, "the product has no price in %s", in.Currency)
			}
			continue
		}
		total := amount * int64(l.Quantity) // no overflow: MaxAmount leaves room for any quantity
		if total > MaxAmount || o.Subtotal+total > MaxAmount {
			bad.add("items["+itoa(i)+"].quantity", "makes the order larger than an order can be")
			continue
		}
		o.Subtotal += total
		o.Items = append(o.Items, Item{
			ID: newID("itm"), OrderID: o.ID, MerchantID: sc.MerchantID, Test: sc.Test, Position: i + 1, ProductID: p.ID, SKU: p.SKU, Name: p.Name,
			Quantity: l.Quantity, UnitPrice: amount, Total: total, LicenseMethod: p.LicenseMethod, LicensePer: p.LicensePer,
			FulfillmentStatus: NotDelivered,
		})
	}
	o.Total = o.Subtotal
	return o, bad.err()
}

func (p *Product) price(currency string) (int64, bool) {
	for _, pr := range p.Prices {
		if pr.Currency == currency {
			return pr.Amount, true
		}
	}
	return 0, false
}
