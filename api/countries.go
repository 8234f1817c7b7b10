package api

import (
	"slices"
	"strings"
	"sync"

	"golang.org/x/text/collate"
	"golang.org/x/text/language"
	"golang.org/x/text/language/display"

	"github.com/purser-dev/purser/models"
)

// country is one choice of a form's list of countries.
type country struct{ Code, Name string }

var countryLists = sync.OnceValue(func() map[string][]country {
	out := map[string][]country{}
	for _, t := range tongues {
		tag := language.MustParse(t.Locale)
		names, order := display.Regions(tag), collate.New(tag)
		var list []country
		for _, code := range models.Countries() {
			list = append(list, country{code, names.Name(language.MustParseRegion(code))})
		}
		slices.SortFunc(list, func(a, b country) int { return order.CompareString(a.Name, b.Name) })
		out[t.Locale] = list
	}
	return out
})

// Countries are all countries by their names in the language, in its order.
func (w words) Countries() []country { return countryLists()[w.Locale()] }

// likelyCountry is the country that an Accept-Language header names, such as AT of de-AT, or empty.
func likelyCountry(header string) string {
	tags, _, err := language.ParseAcceptLanguage(header)
	if err != nil {
		return ""
	}
	for _, tag := range tags {
		if r, sure := tag.Region(); sure == language.Exact && models.IsCountry(r.String()) {
			return strings.ToUpper(r.String())
		}
	}
	return ""
}
