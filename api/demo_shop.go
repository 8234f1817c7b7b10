package api

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/gofiber/fiber/v2"

	"github.com/purser-dev/purser/models"
)

// DemoSlug is the slug of the demo merchant, whose storefront is at /demo. Its branding may lead to [DemoLogo], [DemoTerms] and
// [DemoPrivacy].
const DemoSlug = "demo"

// The pages of the demo merchant's own site that its settings name, below the public URL.
const (
	DemoLogo    = "/demo/logo.svg"
	DemoTerms   = "/demo/terms"
	DemoPrivacy = "/demo/privacy"
)

// DemoTextsVersion is the version of [DemoTerms] and [DemoPrivacy].
const DemoTextsVersion = "2026-11"

// The demo's code for a discount, and how many copies its team links are for.
const (
	demoCoupon = "WELCOME10"
	demoTeam   = 5
)

// demoProduct is a product on the demo's storefront, in the chosen currency.
type demoProduct struct {
	models.ProductView
	Price     int64
	Buy, Team string
	Offers    []models.OfferView // what its buyers are offered
}

// demoBundle is several products on one link.
type demoBundle struct {
	Names []string
	Price int64
	Buy   string
}

type demoShopData struct {
	Currency   string
	Currencies []navLink
	Products   []demoProduct
	Bundle     *demoBundle // nil without two products
	Welcome    string      // the address of the link that brings the coupon
	Cart       string
	Coupon     string
	Team       int
	Mailbox    bool
	Cards      []demoCard
}

// demoCard is a card number of the test gateway, with the text that says what becomes of it.
type demoCard struct{ Number, Text string }

var demoCards = []demoCard{
	{"4242424242424242", "demo.card_succeeds"}, {"4000000000000002", "demo.card_declined"},
	{"4000002500003155", "demo.card_confirm"}, {"4000000000000077", "demo.card_later"},
}

// demoMerchant is whose storefront it is. Somebody may have taken the merchant away.
func (s *Server) demoMerchant(c *fiber.Ctx) (*models.Merchant, error) {
	m, err := s.store.MerchantBySlug(c.UserContext(), DemoSlug)
	if models.CodeOf(err) == models.CodeNotFound {
		return nil, errNoPage
	}
	return m, err
}

// demoShopPage is the storefront of the demo merchant: what a merchant's own site would be, which sends customers to checkout links.
func (s *Server) demoShopPage(c *fiber.Ctx) error {
	m, err := s.demoMerchant(c)
	if err != nil {
		return err
	}
	sh := s.shopOf(c, m, "")
	data, err := s.demoShop(c, m, sh.Words)
	if err != nil {
		return err
	}
	sh.Title, sh.Home, sh.Public = sh.Words.T("demo.title"), "/demo", true
	return s.shopPage(c, fiber.StatusOK, "demo", sh, data)
}

func (s *Server) demoShop(c *fiber.Ctx, m *models.Merchant, w words) (*demoShopData, error) {
	sc := hostedScope(m)
	products, _, err := s.store.Products(c.UserContext(), sc, models.ProductFilter{}, models.Page{Limit: 100})
	if err != nil {
		return nil, err
	}
	slices.Reverse(products) // in the order in which they were made
	offers, _, err := s.store.Offers(c.UserContext(), sc, models.Page{Limit: 100})
	if err != nil {
		return nil, err
	}
	d := &demoShopData{Coupon: demoCoupon, Team: demoTeam, Mailbox: s.Mailbox, Cards: demoCards}
	d.Currency, d.Currencies = demoCurrencies(products, c.Query("currency"))
	d.Cart = "/checkout/" + m.Slug + "?currency=" + d.Currency
	for _, p := range products {
		price, ok := priceIn(p, d.Currency)
		if !ok || !p.Active {
			continue
		}
		shown := demoProduct{
			ProductView: *p, Price: price, Buy: demoLink(m, p.SKU, d.Currency, w, "catalogue"),
			Team: demoLink(m, p.SKU, d.Currency, w, "team", "quantity", strconv.Itoa(demoTeam)),
		}
		for _, o := range slices.Backward(offers) {
			if o.Trigger == p.ID && o.Active {
				shown.Offers = append(shown.Offers, *o)
			}
		}
		d.Products = append(d.Products, shown)
	}
	if len(d.Products) == 0 {
		return d, nil
	}
	first := &d.Products[0]
	d.Welcome = demoLink(m, first.SKU, d.Currency, w, "welcome", "coupon", demoCoupon)
	if len(d.Products) > 1 {
		last := &d.Products[len(d.Products)-1]
		d.Bundle = &demoBundle{
			Names: []string{first.Name, last.Name}, Price: first.Price + last.Price,
			Buy: demoLink(m, first.SKU, d.Currency, w, "bundle", "clear", "Y", "add", last.SKU+":1"),
		}
	}
	return d, nil
}

// demoLink is a checkout link as a merchant would put it on a page of its site. more are pairs of further parameters.
func demoLink(m *models.Merchant, sku, currency string, w words, campaign string, more ...string) string {
	query := url.Values{
		"currency": {currency}, "locale": {w.Locale()}, "ref": {"demo"},
		"utm_source": {"demo"}, "utm_medium": {"storefront"}, "utm_campaign": {campaign},
	}
	for pair := range slices.Chunk(more, 2) {
		query.Set(pair[0], pair[1])
	}
	return "/buy/" + m.Slug + "/" + url.PathEscape(sku) + "?" + query.Encode()
}

// demoCurrencies are the currencies that something is sold in, and which of them is chosen.
func demoCurrencies(products []*models.ProductView, wanted string) (chosen string, links []navLink) {
	var all []string
	for _, p := range products {
		for _, price := range p.Prices {
			if !slices.Contains(all, price.Currency) {
				all = append(all, price.Currency)
			}
		}
	}
	slices.Sort(all)
	switch wanted = strings.ToUpper(wanted); {
	case slices.Contains(all, wanted):
		chosen = wanted
	case slices.Contains(all, "EUR"):
		chosen = "EUR"
	case len(all) > 0:
		chosen = all[0]
	}
	for _, code := range all {
		links = append(links, navLink{Label: code, URL: "/demo?currency=" + code + "#products", Current: code == chosen})
	}
	return chosen, links
}

func priceIn(p *models.ProductView, currency string) (int64, bool) {
	i := slices.IndexFunc(p.Prices, func(v models.PriceView) bool { return v.Currency == currency })
	if i < 0 {
		return 0, false
	}
	return p.Prices[i].Amount, true
}

// demoTextPage is a text that customers of the demo agree to.
func (s *Server) demoTextPage(c *fiber.Ctx) error {
	m, err := s.demoMerchant(c)
	if err != nil {
		return err
	}
	id := map[string]string{DemoTerms: "demo.terms", DemoPrivacy: "demo.privacy"}[c.Path()]
	sh := s.shopOf(c, m, "")
	sh.Home, sh.Public = "/demo", true
	return s.shopMessage(c, fiber.StatusOK, sh, id, "merchant", m.Name)
}

// demoLogo is the demo merchant's logo, at an address that its settings can keep.
func (s *Server) demoLogo(c *fiber.Ctx) error {
	logo := assets["nordlicht.svg"]
	c.Set(fiber.HeaderContentType, logo.contentType)
	c.Set(fiber.HeaderCacheControl, "public, max-age=3600")
	return c.Send(logo.body)
}

// frontPage leads visitors of the demo to its storefront. Elsewhere nobody has a reason to be there.
func (s *Server) frontPage(c *fiber.Ctx) error {
	if !s.Demo {
		return errNoPage
	}
	return c.Redirect("/demo", fiber.StatusSeeOther)
}
