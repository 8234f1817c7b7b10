package api

import (
	"embed"
	"fmt"
	"html"
	"html/template"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/BurntSushi/toml"
	"github.com/gofiber/fiber/v2"
	"github.com/nicksnyder/go-i18n/v2/i18n"
	i18ntemplate "github.com/nicksnyder/go-i18n/v2/i18n/template"
	"golang.org/x/text/language"

	"github.com/purser-dev/purser/handlers/mail"
)

// The texts of customers' pages. Every file locales/<subject>.<language>.toml is read; a table is the first part of an id, so that
//
//	[cart]
//	title = "Your cart"
//	items = { one = "{{.count}} item", other = "{{.count}} items" }
//
// are the texts cart.title and cart.items. Names of message parts (one, other, id, description, hash …) cannot be names of texts.
//
//go:embed locales/*.toml
var localeFiles embed.FS

// A tongue is a language that every text exists in, under the name that it has for itself.
type tongue struct{ Locale, Name string }

var tongues = []tongue{{"en", "English"}, {"de", "Deutsch"}, {"fr", "Français"}, {"es", "Español"}, {"ru", "Русский"}}

// words gives the texts of one language. The zero value is English.
type words struct{ lang string }

// localizers holds one localizer for each language; built once, because the files are part of the program.
var localizers = loadLocalizers()

func loadLocalizers() map[string]*i18n.Localizer {
	bundle := i18n.NewBundle(language.English)
	files, err := fs.Glob(localeFiles, "locales/*.toml")
	if err != nil {
		panic(err) // the pattern is part of the program
	}
	seen := map[string]string{}
	for _, name := range files {
		file, err := readMessages(name)
		if err != nil {
			panic(err) // a broken build; found by any test
		}
		for _, m := range file.Messages {
			key := file.Tag.String() + " " + m.ID
			if seen[key] != "" {
				panic("api: text " + key + " is in " + seen[key] + " and in " + name)
			}
			seen[key] = name
		}
		if err := bundle.AddMessages(file.Tag, file.Messages...); err != nil {
			panic(fmt.Sprintf("api: %s: %v", name, err))
		}
	}
	out := map[string]*i18n.Localizer{}
	for _, t := range tongues {
		out[t.Locale] = i18n.NewLocalizer(bundle, t.Locale)
	}
	return out
}

// readMessages reads a file of texts.
func readMessages(name string) (*i18n.MessageFile, error) {
	raw, err := localeFiles.ReadFile(name)
	if err != nil {
		return nil, err
	}
	file, err := i18n.ParseMessageFileBytes(raw, path.Base(name), map[string]i18n.UnmarshalFunc{"toml": toml.Unmarshal})
	if err != nil {
		return nil, fmt.Errorf("api: %s: %w", name, err)
	}
	if lang := file.Tag.String(); lang == "fr" || lang == "es" {
		// They have a form of their own for millions, which differs from the other one before a noun only.
		for _, m := range file.Messages {
			if m.One != "" && m.Many == "" {
				m.Many = m.Other
			}
		}
	}
	return file, nil
}

// localeCookie keeps the language that a visitor chose on a page or by a link, until the browser is closed.
const localeCookie = "purser_locale"

// wordsFor picks the language of a page: the parameter locale of its address, which it remembers in a cookie; else what that cookie
// has; else preferred, the locale of a cart or order, which may be empty; else the first that the browser asks for; else English.
// Pages to which links with a locale lead have to call it even when they only redirect, or an earlier choice would win.
func (s *Server) wordsFor(c *fiber.Ctx, preferred string) words {
	if lang, ok := tongueOf(c.Query("locale")); ok {
		if s.cookie(c, localeCookie) != lang {
			s.setCookie(c, localeCookie, lang, 0)
		}
		return words{lang}
	}
	for _, locale := range []string{s.cookie(c, localeCookie), preferred} {
		if lang, ok := tongueOf(locale); ok {
			return words{lang}
		}
	}
	return words{acceptedTongue(c.Get(fiber.HeaderAcceptLanguage))}
}

// tongueOf is the language of a locale such as de-AT or de_AT, and whether texts exist in it.
func tongueOf(locale string) (string, bool) {
	lang := mail.Language(locale)
	base, _, _ := strings.Cut(strings.ReplaceAll(locale, "_", "-"), "-")
	return lang, lang != "en" || strings.EqualFold(base, "en")
}

// acceptedTongue is the first language of an Accept-Language header, by its weights, that texts exist in.
func acceptedTongue(header string) string {
	tags, weights, err := language.ParseAcceptLanguage(header)
	if err != nil {
		return "en"
	}
	for i, tag := range tags {
		if lang, ok := tongueOf(tag.String()); ok && weights[i] > 0 {
			return lang
		}
	}
	return "en"
}

// Locale is the language as HTML's lang attribute has it.
func (w words) Locale() string {
	if w.lang == "" {
		return "en"
	}
	return w.lang
}

// strictValues makes a value that a text expects and does not get an error instead of "<no value>".
var strictValues = &i18ntemplate.TextParser{Option: "missingkey=error"}

// T is a text. args are pairs of a name and the value that stands for {{.name}} in the text; the whole number called count picks
// the text's plural form. It is plain text, for html/template to escape. A text that does not exist is its id, which no test lets
// through.
func (w words) T(id string, args ...any) string {
	values := make(map[string]any, len(args)/2)
	for pair := range slices.Chunk(args, 2) {
		if name, ok := pair[0].(string); ok && len(pair) == 2 {
			values[name] = pair[1]
		}
	}
	text, err := localizers[w.Locale()].Localize(&i18n.LocalizeConfig{
		MessageID: id, TemplateData: values, PluralCount: values["count"], TemplateParser: strictValues,
	})
	if err != nil {
		return id
	}
	return text
}

// Linked is a text with one part between <a> and </a>, which leads to href in a new tab so that a half-filled form survives.
// Everything else in it is escaped. Without an address the part is plain.
func (w words) Linked(id, href string, args ...any) template.HTML {
	text := html.EscapeString(w.T(id, args...))
	open, end := "", ""
	if href != "" {
		open, end = `<a href="`+html.EscapeString(href)+`" target="_blank" rel="noopener noreferrer">`, `</a>`
	}
	text = strings.Replace(text, "&lt;a&gt;", open, 1)
	return template.HTML(strings.Replace(text, "&lt;/a&gt;", end, 1)) // every other sign of it was escaped above
}

// Money writes minor units of an ISO 4217 currency as the language does, as emails have it too: "1,234.50 EUR" in English.
func (w words) Money(minor int64, currency string) string {
	return mail.FormatMoney(w.Locale(), minor, currency)
}

// Date writes a day, in UTC, as the language does: "1 March 2026". The zero time is empty.
func (w words) Date(t time.Time) string { return mail.FormatDate(w.Locale(), t.UTC()) }

// DateTime writes a moment to the minute, in UTC and saying so.
func (w words) DateTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return w.Date(t) + ", " + t.UTC().Format("15:04") + " UTC"
}
