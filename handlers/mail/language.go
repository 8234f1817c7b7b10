package mail

import (
	"embed"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nicksnyder/go-i18n/v2/i18n"
	i18ntemplate "github.com/nicksnyder/go-i18n/v2/i18n/template"
	"golang.org/x/text/language"
)

//go:embed templates
var templateFiles embed.FS

// languages are those in which every text exists, as templates/locales/active.<language>.json.
var languages = []string{"en", "de", "fr", "es", "ru"}

const fallbackLanguage = "en"

// messageParser makes a value that a translation expects and does not get an error instead of "<no value>".
var messageParser = &i18ntemplate.TextParser{Option: "missingkey=error"}

// translators holds one translator per language; built once, because the files are part of the program.
var translators = loadTranslators()

// translator gives the texts of one language.
type translator struct {
	lang string
	loc  *i18n.Localizer
}

func loadTranslators() map[string]*translator {
	bundle := i18n.NewBundle(language.English)
	byLang := make(map[string]*translator, len(languages))
	for _, lang := range languages {
		path := "templates/locales/active." + lang + ".json"
		if _, err := bundle.LoadMessageFileFS(templateFiles, path); err != nil {
			panic(fmt.Sprintf("mail: %s: %v", path, err)) // a broken build; found by any test
		}
		byLang[lang] = &translator{lang: lang}
	}
	for lang, tr := range byLang {
		tr.loc = i18n.NewLocalizer(bundle, lang)
	}
	return byLang
}

// Language returns the language, out of those that emails exist in, for a locale such as "de-AT" or "fr_CA". Unknown
// locales get English: a related language that CLDR would offer (Russian to a Ukrainian) can be an offence.
func Language(locale string) string {
	tag, err := language.Parse(strings.ReplaceAll(locale, "_", "-"))
	if err != nil {
		// A known language with a region or variant that does not exist still says which language it is.
		base, _, _ := strings.Cut(strings.ReplaceAll(locale, "_", "-"), "-")
		if tag, err = language.Parse(base); err != nil {
			return fallbackLanguage
		}
	}
	base, confidence := tag.Base()
	if confidence != language.Exact || translators[base.String()] == nil {
		return fallbackLanguage
	}
	return base.String()
}

// text returns the translation of key with the values put in.
func (t *translator) text(key string, values map[string]any) (string, error) {
	return t.localize(&i18n.LocalizeConfig{MessageID: key, TemplateData: values})
}

// plural is text in the form that the language uses for n; the translation reads n as {{.N}}.
func (t *translator) plural(key string, n int, values map[string]any) (string, error) {
	values["N"] = n
	return t.localize(&i18n.LocalizeConfig{MessageID: key, PluralCount: n, TemplateData: values})
}

func (t *translator) localize(c *i18n.LocalizeConfig) (string, error) {
	c.TemplateParser = messageParser
	// The library falls back to another language or plural form and reports it; a customer should not get a mixture.
	s, err := t.loc.Localize(c)
	if err != nil {
		return "", fmt.Errorf("text %q in %q: %w", c.MessageID, t.lang, err)
	}
	return s, nil
}

// date writes the day of when as the language does, or "" for the zero time.
func (t *translator) date(when time.Time) (string, error) {
	if when.IsZero() {
		return "", nil
	}
	month, err := t.text(fmt.Sprintf("month_%d", when.Month()), nil)
	if err != nil {
		return "", err
	}
	day := strconv.Itoa(when.Day())
	if day == "1" {
		if day, err = t.text("day_first", nil); err != nil { // French: 1er janvier
			return "", err
		}
	}
	return t.text("date", map[string]any{"Day": day, "Month": month, "Year": when.Year()})
}

// FormatDate writes the day of when, in its own location, as the language of a locale does: "1 March 2026" in English. The zero
// time is "".
func FormatDate(locale string, when time.Time) string {
	s, err := translators[Language(locale)].date(when)
	if err != nil { // every language has every month; held by a test
		return when.Format(time.DateOnly)
	}
	return s
}
