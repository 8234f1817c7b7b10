package models

import (
	"slices"
	"sync"

	"golang.org/x/text/language"
)

// notCountries are codes that CLDR knows as countries and that are none to send a bill to: reserved, withdrawn, or a part of another.
var notCountries = []string{"AC", "AN", "CP", "CQ", "CS", "DG", "EA", "EU", "EZ", "FQ", "IC", "NT", "PC", "SU", "TA", "UN", "YU", "ZZ"}

// Countries are the codes of ISO 3166-1 alpha-2, and XK, in their order. The caller must not change them.
var Countries = sync.OnceValue(func() []string {
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

// IsCountry reports whether code is one of [Countries].
func IsCountry(code string) bool {
	_, found := slices.BinarySearch(Countries(), code)
	return found
}
