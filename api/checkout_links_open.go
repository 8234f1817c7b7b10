package api

import (
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/gofiber/fiber/v2"

	"github.com/purser-dev/purser/models"
)

// buyProduct opens a checkout link: it puts a product into the visitor's cart and leads to the checkout. A link never breaks: what
// its parameters say that is not known or cannot be is left out. Prices are never taken from it.
func (s *Server) buyProduct(c *fiber.Ctx) error {
	return s.openLink(c, func() (*models.Merchant, *models.Product, error) {
		return s.store.ForSale(c.UserContext(), c.Params("id"))
	})
}

// buySKU is buyProduct by the merchant's slug and the product's SKU.
func (s *Server) buySKU(c *fiber.Ctx) error {
	return s.openLink(c, func() (*models.Merchant, *models.Product, error) {
		return s.store.ForSaleBySKU(c.UserContext(), c.Params("slug"), c.Params("sku"))
	})
}

func (s *Server) openLink(c *fiber.Ctx, find func() (*models.Merchant, *models.Product, error)) error {
	if err := s.allow(c, linksOpened); err != nil {
		return err
	}
	m, p, err := find()
	if models.CodeOf(err) == models.CodeNotFound {
		return s.shopMessage(c, fiber.StatusNotFound, s.shopOf(c, m, ""), "checkout.gone")
	}
	if err != nil {
		return err
	}
	sc := hostedScope(m)
	query := linkQuery(c)
	s.wordsFor(c, "") // remembers the link's language
	var visitor, latest string
	if known := s.knownVisitor(c); known != "" {
		if latest, err = s.store.LatestCartCurrency(c.UserContext(), sc, s.store.VisitorDigest(known)); err != nil {
			return err
		}
	}
	currency := p.Prices[0].Currency
	for _, wanted := range []string{strings.ToUpper(query.Get("currency")), latest} {
		if p.HasPrice(wanted) {
			currency = wanted
			break
		}
	}
	if c.Method() != fiber.MethodGet { // HEAD only asks where the link leads
		return c.Redirect(latestPath(m), fiber.StatusSeeOther)
	}
	visitor = s.store.VisitorDigest(s.visitor(c))
	added, err := s.linkedProducts(c, m, query)
	if err != nil {
		return err
	}
	if query.Get("coupon") != "" && s.allow(c, codesTried) != nil {
		query.Del("coupon")
	}
	guess, shop := likelyCountry(c.Get(fiber.HeaderAcceptLanguage)), s.cameFrom(c)
	err = s.store.ChangeCart(c.UserContext(), sc, visitor, currency, func(content *models.CartContent) {
		if switchedOn(query, "clear") {
			content.Clear()
		}
		quantity := quantityOf(query.Get("quantity"), 1)
		content.Set(p.ID, max(quantity, p.MinQuantity))
		for _, l := range added {
			content.Set(l.Product, l.Quantity)
		}
		fromLink(content, query)
		if content.Customer.Country == "" {
			content.Customer.Country = guess
		}
		if shop != "" {
			content.Shop = shop
		}
	})
	if err != nil {
		return err
	}
	return c.Redirect(latestPath(m), fiber.StatusSeeOther)
}

// followLink opens a signed link, whose content takes the place of what was in the cart.
func (s *Server) followLink(c *fiber.Ctx) error {
	if err := s.allow(c, linksOpened); err != nil {
		return err
	}
	s.wordsFor(c, "")
	if c.Method() != fiber.MethodGet { // a HEAD neither makes a cart nor tells whether there is such a link
		return c.SendStatus(fiber.StatusOK)
	}
	var content models.CartContent
	fromLink(&content, linkQuery(c)) // only to read where the visitor came from
	visitor := s.store.VisitorDigest(s.visitor(c))
	sc, state, err := s.store.FollowLink(c.UserContext(), c.Params("token"), visitor, content.Source)
	if models.CodeOf(err) == models.CodeNotFound {
		return s.shopMessage(c, fiber.StatusNotFound, s.shopOf(c, nil, ""), "checkout.gone") // nobody's
	}
	if err != nil {
		return err
	}
	m, err := s.store.Merchant(c.UserContext(), sc.MerchantID)
	if err != nil {
		return err
	}
	sh := s.shopOf(c, m, "")
	sh.Test = sc.Test
	switch {
	case state == models.LinkExpired:
		return s.shopMessage(c, fiber.StatusGone, sh, "checkout.link_expired")
	case state == models.LinkUsed:
		return s.shopMessage(c, fiber.StatusGone, sh, "checkout.link_used")
	case !sc.Test && !m.Live:
		return s.shopMessage(c, fiber.StatusNotFound, sh, "checkout.not_live")
	}
	to := latestPath(m)
	if sc != hostedScope(m) {
		to += "?" + modeParam + "=test"
	}
	return c.Redirect(to, fiber.StatusSeeOther)
}

// hostedScope is the mode in which a merchant's hosted pages sell.
func hostedScope(m *models.Merchant) models.Scope {
	return models.Scope{MerchantID: m.ID, Test: !m.Live}
}

// latestPath leads to the checkout of the cart that the visitor last changed.
func latestPath(m *models.Merchant) string { return "/checkout/" + m.Slug }

// checkoutPath leads to the checkout of the cart in a currency.
func checkoutPath(m *models.Merchant, currency string) string {
	return latestPath(m) + "?currency=" + url.QueryEscape(currency)
}

// linkQuery reads the parameters of a link as far as they can be read.
func linkQuery(c *fiber.Ctx) url.Values {
	values, _ := url.ParseQuery(string(c.Request().URI().QueryString()))
	for name, given := range values {
		if !clean(name) || !clean(given[0]) {
			delete(values, name)
		}
	}
	return values
}

// switchedOn reads a switch on a link: it is on when it is there and does not say no.
func switchedOn(query url.Values, name string) bool {
	return query.Has(name) && !slices.Contains([]string{"0", "n", "no", "false", "off"}, strings.ToLower(query.Get(name)))
}

// quantityOf reads a quantity; what is none is otherwise.
func quantityOf(v string, otherwise int) int {
	n, err := strconv.Atoi(strings.TrimSpace(v))
	if err != nil || n < 1 {
		return otherwise
	}
	return n
}

// maxLinkProducts bounds how many products one link is read for.
const maxLinkProducts = 50

// linkedProducts are the other products on a link: add=sku:qty,sku,…
func (s *Server) linkedProducts(c *fiber.Ctx, m *models.Merchant, query url.Values) ([]models.CartLine, error) {
	var out []models.CartLine
	for _, list := range query["add"] {
		for part := range strings.SplitSeq(list, ",") {
			if len(out) == maxLinkProducts {
				return out, nil
			}
			name, quantity, _ := strings.Cut(strings.TrimSpace(part), ":")
			_, p, err := s.store.ForSaleBySKU(c.UserContext(), m.Slug, name)
			if models.CodeOf(err) == models.CodeNotFound {
				var owner *models.Merchant
				if owner, p, err = s.store.ForSale(c.UserContext(), name); err == nil && owner.ID != m.ID {
					continue
				}
			}
			if models.CodeOf(err) == models.CodeNotFound {
				continue
			}
			if err != nil {
				return nil, err
			}
			out = append(out, models.CartLine{Product: p.ID, Quantity: max(quantityOf(quantity, 1), p.MinQuantity)})
		}
	}
	return out, nil
}

// customerFields are the customer's data that links and the checkout form carry, with the longest value of each.
var customerFields = []struct {
	name string
	most int
	of   func(*models.Customer) *string
}{
	{"email", 254, func(c *models.Customer) *string { return &c.Email }},
	{"first_name", 100, func(c *models.Customer) *string { return &c.FirstName }},
	{"last_name", 100, func(c *models.Customer) *string { return &c.LastName }},
	{"type", 20, func(c *models.Customer) *string { return &c.Type }},
	{"company", 200, func(c *models.Customer) *string { return &c.Company }},
	{"vat_number", 50, func(c *models.Customer) *string { return &c.VATNumber }},
	{"country", 2, func(c *models.Customer) *string { return &c.Country }},
	{"city", 100, func(c *models.Customer) *string { return &c.City }},
	{"zip", 20, func(c *models.Customer) *string { return &c.Zip }},
	{"address", 300, func(c *models.Customer) *string { return &c.Address }},
	{"phone", 50, func(c *models.Customer) *string { return &c.Phone }},
}

// The limits of what a link carries along; those of metadata are an order's.
const (
	maxSourceEntries, maxSourceValue = 10, 200
	maxMetaEntries                   = 50
	maxMetaName, maxMetaValue        = 40, 500
	maxCode                          = 100
)

// fromLink puts what a link says beside its products into the cart.
func fromLink(content *models.CartContent, query url.Values) {
	if code := strings.TrimSpace(query.Get("coupon")); code != "" && len(code) <= maxCode {
		content.Coupon = code
	}
	if locale, ok := tongueOf(query.Get("locale")); ok {
		content.Locale = locale
	}
	for _, f := range customerFields {
		v := strings.TrimSpace(query.Get(f.name))
		if f.name == "country" {
			v = strings.ToUpper(v)
		}
		wrong := f.name == "country" && !models.IsCountry(v) || f.name == "type" && v != individual && v != business ||
			f.name == "email" && !plausibleEmail(v)
		if v != "" && !wrong && utf8.RuneCountInString(v) <= f.most {
			*f.of(&content.Customer) = v
		}
	}
	if content.Customer.VATNumber != "" && query.Get("type") == "" && query.Get("vat_number") != "" {
		content.Customer.Type = business
	}
	source, metadata := maps.Clone(content.Source), maps.Clone(content.Metadata)
	for _, name := range slices.Sorted(maps.Keys(query)) { // sorted, so that of too many the same are kept
		v := query.Get(name)
		key, isMeta := strings.CutPrefix(name, "metadata[")
		key, closed := strings.CutSuffix(key, "]")
		switch {
		case (name == "ref" || strings.HasPrefix(name, "utm_")) && len(name) <= maxMetaName && v != "" && utf8.RuneCountInString(v) <= maxSourceValue:
			source = put(source, name, v, maxSourceEntries)
		case isMeta && closed && key != "" && utf8.RuneCountInString(key) <= maxMetaName && utf8.RuneCountInString(v) <= maxMetaValue:
			metadata = put(metadata, key, v, maxMetaEntries)
		}
	}
	content.Source, content.Metadata = source, metadata
}

// put sets an entry unless that made more than most.
func put(m map[string]string, name, value string, most int) map[string]string {
	if m == nil {
		m = map[string]string{}
	}
	if _, known := m[name]; known || len(m) < most {
		m[name] = value
	}
	return m
}

// cameFrom is where the visitor came from, as far as the browser tells: another site's origin, or our own demo shop. It is used as
// a link back and for nothing else.
func (s *Server) cameFrom(c *fiber.Ctx) string {
	u, err := url.Parse(c.Get(fiber.HeaderReferer))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return ""
	}
	origin := originOf(u.String())
	if origin == "" || len(origin) > 300 {
		return ""
	}
	if origin != originOf(s.public) && u.Host != string(c.Request().Host()) {
		return origin + "/"
	}
	if u.Path == "/demo" || strings.HasPrefix(u.Path, "/demo/") {
		return u.Path
	}
	return ""
}
