package api

import (
	"bytes"
	"errors"
	"html/template"
	"net/url"
	"slices"
	"strings"

	"github.com/gofiber/fiber/v2"

	"github.com/purser-dev/purser/models"
)

// A shop is what every customers' page has around its own content: whose page it is, in which language and mode. Only Title has
// no useful zero value.
type shop struct {
	Merchant *models.Merchant // nil on pages that are nobody's
	Test     bool             // what happens on the page happens in test mode, and the page says so
	Words    words            // zero: what the visitor's browser asks for
	Title    string           // translated
	Width    string           // narrow for a form, reading for text, and empty for two columns
	Public   bool             // nothing personal is on the page: it may be indexed and named as a referrer
	Home     string           // where the merchant's name leads to; empty for nowhere
	Refresh  int              // seconds after which the page loads itself again; 0 for never
	// FormTo are the addresses outside of this site to which an answer to a form of the page may redirect. Browsers hold the
	// page's policy against those too.
	FormTo []string
}

// shopOf is the shop of a merchant's page that is not about one order: in the mode that the merchant's pages are in.
func (s *Server) shopOf(c *fiber.Ctx, m *models.Merchant, locale string) shop {
	return s.remember(c, shop{Merchant: m, Test: m != nil && !m.Live, Words: s.wordsFor(c, locale)})
}

// orderShop is the shop of a page about an order: in the order's mode, which its merchant may have left since.
func (s *Server) orderShop(c *fiber.Ctx, m *models.Merchant, o *models.OrderView) shop {
	return s.remember(c, shop{Merchant: m, Test: o.Test, Words: s.wordsFor(c, o.Locale)})
}

type shopKey struct{}

// remember keeps the shop for the case that the request ends with an error, whose page then looks like the merchant's.
func (s *Server) remember(c *fiber.Ctx, sh shop) shop {
	c.Locals(shopKey{}, sh)
	return sh
}

// shopView is what customers' templates see: the shop, its texts, and the page's own Data.
type shopView struct {
	shop
	Data any
	s    *Server
	c    *fiber.Ctx
}

// T is a text: {{.T "cart.items" "count" .Data.Count}}.
func (v shopView) T(id string, args ...any) string { return v.Words.T(id, args...) }

// Linked is a text with a link in it; see words.Linked.
func (v shopView) Linked(id, href string, args ...any) template.HTML {
	return v.Words.Linked(id, href, args...)
}

// Money is an amount in the page's language.
func (v shopView) Money(minor int64, currency string) string { return v.Words.Money(minor, currency) }

// Part is the same view over other data, for {{template "name" ($.Part .)}} within a range.
func (v shopView) Part(data any) shopView { v.Data = data; return v }

// CSRF is the token that forms of the page carry in the field csrf: {{template "csrf" .}}. It makes the visitor known.
func (v shopView) CSRF() string { return csrfToken(v.s.visitor(v.c)) }

// Name is whose page it is.
func (v shopView) Name() string {
	if v.Merchant == nil {
		return "Purser"
	}
	return v.Merchant.Name
}

// Branding is how the merchant's pages look.
func (v shopView) Branding() models.Branding {
	if v.Merchant == nil {
		return models.Branding{}
	}
	return v.Merchant.Settings.Branding
}

// SupportEmail and SupportURL are how to reach the merchant. One that has set neither is reached where its notices go.
func (v shopView) SupportEmail() string {
	if v.Merchant == nil {
		return ""
	}
	if st := v.Merchant.Settings; st.SupportEmail != "" || st.SupportURL != "" {
		return st.SupportEmail
	}
	return v.Merchant.Email
}

// SupportURL is the merchant's page for questions, or empty.
func (v shopView) SupportURL() string {
	if v.Merchant == nil {
		return ""
	}
	return v.Merchant.Settings.SupportURL
}

// Lost is the address of the page for customers who have lost their licence, or empty.
func (v shopView) Lost() string {
	if v.Merchant == nil {
		return ""
	}
	return "/lost/" + v.Merchant.Slug
}

// Tongue is the page's language in its own words.
func (v shopView) Tongue() string {
	i := slices.IndexFunc(tongues, func(t tongue) bool { return t.Locale == v.Words.Locale() })
	return tongues[i].Name
}

// tongueLink leads to the same page in another language.
type tongueLink struct {
	tongue
	URL     string
	Current bool
}

// Tongues are the languages to choose from.
func (v shopView) Tongues() []tongueLink {
	out := make([]tongueLink, 0, len(tongues))
	for _, t := range tongues {
		query := url.Values{}
		if reads(v.c) {
			query, _ = url.ParseQuery(string(v.c.Request().URI().QueryString())) // what cannot be read is left out
		}
		query.Set("locale", t.Locale)
		out = append(out, tongueLink{t, v.c.Path() + "?" + query.Encode(), t.Locale == v.Words.Locale()})
	}
	return out
}

// BrandSheet is the address of the stylesheet with the merchant's colour, or empty.
func (v shopView) BrandSheet() string { return brandSheetURL(v.Branding().Color) }

// shopPage answers with a customers' page: pages/shop_<name>.html within pages/shop.html.
func (s *Server) shopPage(c *fiber.Ctx, status int, name string, sh shop, data any) error {
	if sh.Words == (words{}) {
		sh.Words = s.wordsFor(c, "")
	}
	page, ok := shopTemplates[name]
	if !ok {
		return errors.New("api: no page shop_" + name)
	}
	view := shopView{shop: sh, Data: data, s: s, c: c}
	var out bytes.Buffer
	if err := page.ExecuteTemplate(&out, "shop", view); err != nil {
		return err
	}
	pageHeaders(c, shopPolicy(sh))
	if !sh.Public {
		c.Set(fiber.HeaderReferrerPolicy, "no-referrer")
	}
	c.Set(fiber.HeaderContentLanguage, sh.Words.Locale())
	c.Vary(fiber.HeaderAcceptLanguage, fiber.HeaderCookie)
	return c.Status(status).Send(out.Bytes())
}

// shopPolicy is the Content-Security-Policy of a customers' page: our own scripts, styles and images, and the merchant's logo.
func shopPolicy(sh shop) string {
	images, forms := "", ""
	if sh.Merchant != nil {
		if origin := originOf(sh.Merchant.Settings.Branding.LogoURL); origin != "" {
			images = " " + origin
		}
	}
	for _, address := range sh.FormTo {
		if origin := originOf(address); origin != "" && !strings.Contains(forms, origin) {
			forms += " " + origin
		}
	}
	return "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; img-src 'self' data:" + images +
		"; form-action 'self'" + forms + "; base-uri 'none'; frame-ancestors 'none'"
}

// htmxConfig keeps htmx within the policy of the pages, and what customers typed out of the browser's storage. Whatever the answer
// to a request is, a page with an error among them, its main part is what is shown: as without JavaScript.
const htmxConfig = `{"includeIndicatorStyles":false,"allowEval":false,"allowScriptTags":false,"selfRequestsOnly":true,"historyCacheSize":0,` +
	`"refreshOnHistoryMiss":true,"responseHandling":[{"code":"204","swap":false},{"code":"[23]..","swap":true},` +
	`{"code":"[45]..","swap":true,"target":"#main","select":"#main","swapOverride":"outerHTML"}]}`

// shopNotice is a page that says one thing, with a link or none.
type shopNotice struct {
	Heading, Text, RequestID string
	Icon                     string // its name, or empty for none
	Link                     navLink
}

// shopMessage is a page that says the texts <id>_title and <id>_text. args are for both.
func (s *Server) shopMessage(c *fiber.Ctx, status int, sh shop, id string, args ...any) error {
	if sh.Words == (words{}) {
		sh.Words = s.wordsFor(c, "")
	}
	sh.Title, sh.Width = sh.Words.T(id+"_title", args...), "reading"
	notice := shopNotice{Heading: sh.Title, Text: sh.Words.T(id+"_text", args...)}
	if status >= fiber.StatusBadRequest {
		notice.Icon = "notice"
	}
	return s.shopPage(c, status, "message", sh, notice)
}

// shopProblems are the texts for errors, by the status. Others say what 400 or 500 says.
var shopProblems = map[int]string{
	fiber.StatusBadRequest: "common.bad_request", fiber.StatusForbidden: "common.expired_form", fiber.StatusNotFound: "common.not_found",
	fiber.StatusTooManyRequests: "common.too_many", fiber.StatusInternalServerError: "common.internal", fiber.StatusServiceUnavailable: "common.unavailable",
}

// shopProblem answers an error as a customers' page. It says what to do and never what went wrong inside.
func (s *Server) shopProblem(c *fiber.Ctx, err error) error {
	p := s.finish(problemOf(err), requestOf(c))
	for name, values := range p.GetHeaders() {
		if name != fiber.HeaderWWWAuthenticate {
			c.Set(name, values[0])
		}
	}
	sh, _ := c.Locals(shopKey{}).(shop)
	if sh.Words == (words{}) {
		sh.Words = s.wordsFor(c, "")
	}
	id, ok := shopProblems[p.Status]
	switch {
	case !ok && p.Status >= fiber.StatusInternalServerError:
		id = shopProblems[fiber.StatusInternalServerError]
	case !ok:
		id = shopProblems[fiber.StatusBadRequest]
	}
	notice := shopNotice{Heading: sh.Words.T(id + "_title"), Text: sh.Words.T(id + "_text"), Icon: "notice"}
	if p.Status >= fiber.StatusInternalServerError {
		notice.RequestID = p.RequestID
	}
	sh.Title, sh.Width, sh.Refresh, sh.Public = notice.Heading, "reading", 0, false
	return s.shopPage(c, p.Status, "message", sh, notice)
}
