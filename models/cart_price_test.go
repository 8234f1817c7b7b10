package models_test

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

// Whatever is in a cart, in currencies of no, two and three decimals, with a code, an automatic discount, an offer and any tax: the order
// costs to the cent what the page showed, its lines add up to it, and nothing in it is negative.
func TestAnOrderCostsWhatItsCartShowed(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		n := 0
		rapid.Check(t, func(rt *rapid.T) {
			n++
			c := pricedCart{T: t, store: s, rapid: rt, shop: storetest.Merchant(t, s), currency: rapid.SampledFrom([]string{"JPY", "EUR", "KWD"}).Draw(rt, "currency")}
			c.fill(fmt.Sprintf("visitor-%d", n))
			c.check()
		})
	})
}

// pricedCart is a visitor's cart in a shop of its own.
type pricedCart struct {
	*testing.T
	store    *models.Store
	rapid    *rapid.T
	shop     storetest.Shop
	currency string
	visitor  string
	customer models.Customer
}

func (c *pricedCart) number(name string, least, most int) int {
	return rapid.IntRange(least, most).Draw(c.rapid, name)
}

func (c *pricedCart) either(name string) bool { return rapid.Bool().Draw(c.rapid, name) }

// coupon is a discount of any kind; without a code it applies by itself.
func (c *pricedCart) coupon(code string, products []string) {
	in := models.CouponInput{Code: code, Name: "Discount " + code, Active: true}
	if c.either("percent") {
		bp := c.number("bp", 1, 10_000)
		in.PercentBP = &bp
	} else {
		in.Amounts = map[string]int64{c.currency: int64(c.number("off", 1, 300_000))}
	}
	if c.either("some products") {
		in.Products = products[:1]
	}
	ok(c.store.CreateCoupon(c.Context(), c.shop.Test, in))(c.T)
}

func (c *pricedCart) fill(visitor string) {
	c.visitor = c.store.VisitorDigest(visitor)
	var products []string
	for i := range c.number("products", 1, 4) {
		in := storetest.ProductInput(fmt.Sprintf("p%d", i), models.MethodTemplate)
		in.Prices = []models.PriceView{{Currency: c.currency, Amount: int64(c.number("price", 0, 100_000))}}
		products = append(products, ok(c.store.CreateProduct(c.Context(), c.shop.Test, in))(c.T).ID)
	}
	settings(c.T, c.store, c.shop, fmt.Sprintf(`{"tax":{"inclusive":%t,"country":"DE","rates":[{"country":"FR","rate_bp":%d}]}}`, c.either("inclusive"), c.number("rate", 0, 3000)))
	if c.either("automatic") {
		c.coupon("", products)
	}
	if len(products) > 1 && c.either("offer") {
		ok(c.store.CreateOffer(c.Context(), c.shop.Test, models.OfferInput{
			Kind: rapid.SampledFrom([]string{models.OfferAddon, models.OfferReplace}).Draw(c.rapid, "kind"), Trigger: products[0],
			Product: products[len(products)-1], PercentBP: c.number("offered", 0, 10_000), Title: "Take it", Active: true,
		}))(c.T)
		products = products[:len(products)-1] // what is offered is not in the cart yet
	}
	code := ""
	if c.either("code") {
		code = "CODE"
		c.coupon(code, products)
	}
	c.customer = models.Customer{Email: "ada@example.com", Country: rapid.SampledFrom([]string{"FR", "GB", "DE"}).Draw(c.rapid, "country"), Type: "individual"}
	if c.either("business") {
		c.customer.Type, c.customer.Company, c.customer.VATNumber = "business", "Engines", "FR12345678901"
	}
	c.change(func(content *models.CartContent) {
		for _, p := range products {
			content.Set(p, c.number("quantity", 1, 20))
		}
		content.Coupon, content.Customer = code, c.customer
	})
	if offers := c.shown().Offers; len(offers) > 0 && c.either("accepted") {
		c.change(func(content *models.CartContent) { content.Accept(offers[0]) })
	}
}

func (c *pricedCart) change(change func(*models.CartContent)) {
	if err := c.store.ChangeCart(c.Context(), c.shop.Test, c.visitor, c.currency, change); err != nil {
		c.rapid.Fatal(err)
	}
}

func (c *pricedCart) shown() *models.CartShown {
	return ok(c.store.Cart(c.Context(), c.shop.Test, c.visitor, c.currency))(c.T)
}

func (c *pricedCart) check() {
	shown := c.shown()
	if shown.Refusal != "" {
		c.change(func(content *models.CartContent) { content.Coupon = "" })
		shown = c.shown()
	}
	o, err := c.store.OrderCart(c.Context(), c.shop.Test, models.Checkout{
		CartID: shown.ID, Visitor: c.visitor, Customer: c.customer, Method: "card", Class: "online", Locale: "en", Total: shown.Total,
		Consents: models.Consents{Terms: true, PersonalData: true},
	})
	if err != nil {
		c.rapid.Fatal(err)
	}
	if o.Subtotal != shown.Subtotal || o.Discount != shown.Discount || o.Tax != shown.Tax || o.Total != shown.Total || o.TaxInclusive != shown.TaxInclusive {
		c.rapid.Fatalf("the page showed %+v, the order is %s", shown, toJSON(c.T, o))
	}
	var subtotal, discount, tax, total int64
	for i, item := range o.Items {
		gross := item.UnitPrice * int64(item.Quantity)
		want := gross - item.Discount
		if !o.TaxInclusive {
			want += item.Tax
		}
		if line := shown.Lines[i]; item.Total != want || item.Total != line.Total || item.Discount < 0 || item.Discount > gross || item.Tax < 0 || item.Total < 0 {
			c.rapid.Fatalf("line %d: the page showed %+v, the order has %+v", i, line, item)
		}
		subtotal, discount, tax, total = subtotal+gross, discount+item.Discount, tax+item.Tax, total+item.Total
	}
	if subtotal != o.Subtotal || discount != o.Discount || tax != o.Tax || total != o.Total {
		c.rapid.Fatalf("the lines do not add up: %s", toJSON(c.T, o))
	}
	if free := o.Total == 0; free != (o.Status == models.OrderPaid) {
		c.rapid.Fatalf("an order of %d is %s", o.Total, o.Status)
	}
	if reverse := c.customer.Type == "business" && c.customer.Country != "DE" || c.customer.Country != "FR"; reverse && o.Tax != 0 {
		c.rapid.Fatalf("a %s in %s owes %d of tax", c.customer.Type, c.customer.Country, o.Tax)
	}
}
