package models

import (
	"context"
	"fmt"
	"net/mail"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/language"
	"gorm.io/gorm"
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
	// Source is where the customer came from: ref and utm_… of the checkout link.
	Source map[string]string
	Actor  string
}

// NewLine asks for a quantity of a product, named by id or SKU.
type NewLine struct {
	Product  string
	Quantity int
	// Offer is the special offer that was accepted for this line.
	Offer *Offer
	// Name and UnitPrice override the product's, on a signed link.
	Name      string
	UnitPrice *int64
}

// The limits of a checkout request.
const (
	maxLines         = 100
	maxLicenses      = 10_000 // of all items; every move of an order reads them all, and has seconds to do it
	maxLocale        = 35     // of a tag without extensions (RFC 5646, section 4.4.1)
	maxMetadata      = 50
	maxMetadataKey   = 40
	maxMetadataValue = 500
)

// CreateOrder records a checkout request: the order, its items, the order.created event and everything that follows from it, in
// one transaction. An order whose total is zero is paid at once.
func (s *Store) CreateOrder(ctx context.Context, sc Scope, in NewOrder) (*OrderView, error) {
	var bad invalids
	in.normalise()
	in.check(&bad)
	var view *OrderView
	err := s.write(ctx, func(t *tx) error {
		c, err := t.counter(sc, in.Lines)
		if err != nil {
			return err
		}
		o, err := t.priced(sc, in, c, &bad)
		if err != nil {
			return err
		}
		o.Number = c.orderNumber()
		if err := t.later(func(db *gorm.DB) *gorm.DB { return db.Omit("Items", "Payments").Create(o) }); err != nil {
			return err
		}
		if err := t.later(func(db *gorm.DB) *gorm.DB { return db.Omit("Licenses").Create(&o.Items) }); err != nil {
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
		*f = strings.ReplaceAll(strings.TrimSpace(*f), "\r\n", "\n") // as forms send the lines of a text
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
	if in.Customer.Country != "" && !IsCountry(in.Customer.Country) {
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
		if k == "" || utf8.RuneCountInString(k) > maxMetadataKey || printable(k) != k {
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
	v = strings.ReplaceAll(v, "\r\n", "\n") // as forms send the lines of a text
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

// counter is what the shop knows when an order is brought to it.
type counter struct {
	shelf     shelf
	merchant  Merchant // its settings only
	automatic []Coupon
	number    int64
}

// orderNumber is the number of the new order: A and ten digits, rising, with gaps.
func (c *counter) orderNumber() string { return fmt.Sprintf("A%010d", c.number) }

// counter reads all that an order's creation depends on, whatever comes of it.
func (t *tx) counter(sc Scope, lines []NewLine) (*counter, error) {
	var c counter
	var endpoints []WebhookEndpoint
	err := together(t.DB, append(c.shelf.questions(sc, lines),
		func(db *gorm.DB) *gorm.DB {
			return db.Where("id = ?", sc.MerchantID).Select("settings").Take(&c.merchant)
		},
		func(db *gorm.DB) *gorm.DB { return automaticCoupons(db, sc.MerchantID).Find(&c.automatic) },
		func(db *gorm.DB) *gorm.DB { return endpointsOf(db, sc).Find(&endpoints) },
		func(db *gorm.DB) *gorm.DB { return db.Raw(t.s.dialect.nextOrderNumber()).Find(&c.number) },
	)...)
	t.subscribe(sc, endpoints)
	return &c, err
}

// shelf is the products that an order's lines name, with their prices.
type shelf struct {
	products []Product
	prices   []Price
}

func (s *shelf) questions(sc Scope, lines []NewLine) []question {
	if len(lines) > maxLines {
		return nil
	}
	names := make([]string, 0, len(lines)) // ids have the shape of a SKU too
	for _, l := range lines {
		if skuPattern.MatchString(l.Product) {
			names = append(names, l.Product)
		}
	}
	named := func(db *gorm.DB) *gorm.DB {
		return db.Where("merchant_id = ? AND archived_at IS NULL AND (sku IN ? OR id IN ?)", sc.MerchantID, names, names)
	}
	return []question{
		func(db *gorm.DB) *gorm.DB { return named(db).Find(&s.products) },
		func(db *gorm.DB) *gorm.DB {
			return db.Where("product_id IN (?)", named(db.Model(&Product{})).Select("id")).Find(&s.prices)
		},
	}
}

// find finds the products of the lines, keyed by what the lines call them.
func (s *shelf) find(sc Scope, lines []NewLine, bad *invalids) map[string]*Product {
	if len(lines) > maxLines {
		return nil
	}
	out := make(map[string]*Product, len(s.products)*2)
	for i := range s.products {
		p := &s.products[i]
		out[p.ID], out[p.SKU] = p, p
	}
	for _, price := range s.prices {
		if p := out[price.ProductID]; p != nil {
			p.Prices = append(p.Prices, price)
		}
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
	return out
}

// priced builds the order from its request and takes its coupons, or returns everything that is wrong with the request.
func (t *tx) priced(sc Scope, in NewOrder, c *counter, bad *invalids) (*Order, error) {
	o := &Order{
		ID: newID("ord"), MerchantID: sc.MerchantID, Test: sc.Test, Status: OrderNotPaid, FulfillmentStatus: NotDelivered,
		Currency: in.Currency, Locale: in.Locale, ExternalID: in.ExternalID, CustomerEmail: strings.ToLower(in.Customer.Email),
		Customer: in.Customer, PaymentMethod: in.PaymentMethod, MethodClass: in.MethodClass, Token: newToken(), ReturnURL: in.ReturnURL,
		Metadata: in.Metadata, Source: in.Source, Consents: in.Consents, CreatedAt: t.now, UnpaidSince: t.now,
	}
	if o.Metadata == nil {
		o.Metadata = map[string]string{}
	}
	if o.Source == nil {
		o.Source = map[string]string{}
	}
	o.Consents.At, o.Consents.Locale = t.now, in.Locale
	lines := quotable(&in, c.shelf.find(sc, in.Lines, bad), bad)
	if err := bad.err(); err != nil {
		return nil, err
	}
	settings := &c.merchant.Settings
	if o.Consents.Via != viaCheckout {
		o.Consents.TermsVersion, o.Consents.PrivacyVersion = settings.TermsVersion, settings.PrivacyVersion
	}
	q, err := t.quoteAndTake(o, quoteRequest{
		Scope: sc, Currency: in.Currency, Lines: lines, Coupon: in.Coupon, Customer: in.Customer, Tax: settings.Tax,
		Automatic: c.automatic,
	})
	if err != nil {
		return nil, err
	}
	o.Subtotal, o.Discount, o.Tax, o.TaxInclusive, o.Total = q.subtotal, q.discount, q.tax, q.taxInclusive, q.total
	if in.Coupon != "" {
		o.Coupon = normalCode(in.Coupon)
	}
	for i, l := range lines {
		p, priced := l.Product, q.lines[i]
		item := Item{
			ID: newID("itm"), OrderID: o.ID, MerchantID: sc.MerchantID, Test: sc.Test, Position: i + 1, ProductID: p.ID, SKU: p.SKU, Name: p.Name,
			Quantity: l.Quantity, UnitPrice: priced.unitPrice, Discount: priced.discount, Tax: priced.tax, Total: priced.total,
			LicenseMethod: p.LicenseMethod, LicensePer: p.LicensePer, FulfillmentStatus: NotDelivered,
		}
		if l.Name != "" {
			item.Name = l.Name
		}
		if l.Offer != nil {
			item.OfferID = &l.Offer.ID
		}
		o.Items = append(o.Items, item)
	}
	return o, nil
}

// quotable turns the lines of a request whose products were found into lines that can be priced.
func quotable(in *NewOrder, products map[string]*Product, bad *invalids) []quoteLine {
	var lines []quoteLine
	var sum int64
	var licenses int
	for i, l := range in.Lines {
		p := products[l.Product]
		if p == nil || l.Quantity < 1 || l.Quantity > p.MaxQuantity {
			continue
		}
		amount, ok := p.price(in.Currency)
		if l.UnitPrice != nil {
			amount, ok = *l.UnitPrice, true
		}
		if !ok {
			// Not where something else is wrong with the product, or the currency is: one cause is one error.
			if field := "items[" + itoa(i) + "].product"; knownCurrency(in.Currency) && !bad.has(field) {
				bad.add(field, "the product has no price in %s", in.Currency)
			}
			continue
		}
		if sum += amount * int64(l.Quantity); sum > MaxAmount { // no overflow: MaxAmount leaves room for any quantity
			bad.add("items["+itoa(i)+"].quantity", "makes the order larger than an order can be")
			break
		}
		if licenses += licensesFor(p.LicensePer, l.Quantity); licenses > maxLicenses {
			bad.add("items["+itoa(i)+"].quantity", "makes more than %d licences, which is the most that an order can have", maxLicenses)
			break
		}
		lines = append(lines, quoteLine{Product: p, Quantity: l.Quantity, UnitPrice: l.UnitPrice, Name: l.Name, Offer: l.Offer})
	}
	return lines
}

// quoteAndTake prices an order and takes a use of each coupon that applies. An automatic one whose last use somebody else has just
// taken is left out; one by code is refused.
func (t *tx) quoteAndTake(o *Order, r quoteRequest) (*quote, error) {
	saved := false
	done := func() error { // or all that follows would be written inside of the savepoint
		if !saved {
			return nil
		}
		return t.later(func(db *gorm.DB) *gorm.DB { return db.Exec("RELEASE SAVEPOINT coupons") })
	}
	for {
		q, err := quoteFor(t.DB, t.s, r)
		switch {
		case err != nil:
			return nil, err
		case q.refusal != "":
			return nil, Invalid("coupon", "%s", q.refusal.Message())
		case len(q.coupons) == 0:
			return q, done()
		}
		// Back at the savepoint it holds no lock of the coupons: another one's may come before them.
		if automatic := q.coupons[0].Code == nil; automatic && !saved {
			saved = true
			if err := t.later(func(db *gorm.DB) *gorm.DB { return db.Exec("SAVEPOINT coupons") }); err != nil {
				return nil, err
			}
		}
		c, refusal, err := t.takeCoupons(q, o)
		switch {
		case err != nil:
			return nil, err
		case refusal == "":
			return q, done()
		case c.Code != nil:
			return nil, Invalid("coupon", "%s", refusal.Message())
		}
		r.without = append(r.without, c.ID)
		if err := t.later(func(db *gorm.DB) *gorm.DB { return db.Exec("ROLLBACK TO SAVEPOINT coupons") }); err != nil {
			return nil, err
		}
	}
}

func (p *Product) price(currency string) (int64, bool) {
	for _, pr := range p.Prices {
		if pr.Currency == currency {
			return pr.Amount, true
		}
	}
	return 0, false
}
