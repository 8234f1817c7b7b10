package api

import (
	"slices"
	"strings"
	"sync"

	"golang.org/x/text/collate"
	"golang.org/x/text/language"
	"golang.org/x/text/language/display"
)

// country is one choice of a form's list of countries.
type country struct{ Code, Name string }

// notCountries are codes that CLDR knows as countries and that are none to send a bill to: reserved, withdrawn, or a part of another.
var notCountries = []string{"AC", "AN", "CP", "CQ", "CS", "DG", "EA", "EU", "EZ", "FQ", "IC", "NT", "PC", "SU", "TA", "UN", "YU", "ZZ"}

// countryCodes are the codes of ISO 3166-1 alpha-2, and XK.
var countryCodes = sync.OnceValue(func() []string {
	var out []string
	for a := 'A'; a <= 'Z'; a++ {
		for b := 'A'; b <= 'Z'; b++ {
			code := string(a) + string(b)
			r, err := language.ParseRegion(code)
			if err == nil && r.IsCountry() && r.Canonicalize().String() == code && !slices.Contains(notCountries, code) {
				out = append(out, code)
			}
		}
	}
	return out
})

func isCountry(code string) bool {
	_, found := slices.BinarySearch(countryCodes(), code)
	return found
}

var countryLists = sync.OnceValue(func() map[string][]country {
	out := map[string][]country{}
	for _, t := range tongues {
		tag := language.MustParse(t.Locale)
		names, order := display.Regions(tag), collate.New(tag)
		var list []country
		for _, code := range countryCodes() {
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
		if r, sure := tag.Region(); sure == language.Exact && isCountry(r.String()) {
			return strings.ToUpper(r.String())
		}
	}
	return ""
}
