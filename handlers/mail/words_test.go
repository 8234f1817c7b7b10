package mail

import (
	"encoding/json"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// readMessages returns the texts of a language as they are in the file; a plural text has several forms.
func readMessages(t *testing.T, lang string) map[string]map[string]string {
	t.Helper()
	raw, err := templateFiles.ReadFile("templates/locales/active." + lang + ".json")
	if err != nil {
		t.Fatal(err)
	}
	var file map[string]json.RawMessage
	if err := json.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	messages := make(map[string]map[string]string, len(file))
	for key, value := range file {
		var single string
		if json.Unmarshal(value, &single) == nil {
			messages[key] = map[string]string{"": single}
			continue
		}
		var forms map[string]string
		if err := json.Unmarshal(value, &forms); err != nil {
			t.Fatalf("%s: %s: %v", lang, key, err)
		}
		messages[key] = forms
	}
	return messages
}

var placeholder = regexp.MustCompile(`\{\{\.(\w+)\}\}`)

func placeholders(s string) []string {
	var names []string
	for _, m := range placeholder.FindAllStringSubmatch(s, -1) {
		names = append(names, m[1])
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func TestEveryLanguageHasEveryText(t *testing.T) {
	t.Parallel()
	// The categories that Unicode CLDR has for cardinal numbers in each language.
	forms := map[string][]string{
		"en": {"one", "other"}, "de": {"one", "other"}, "fr": {"many", "one", "other"},
		"es": {"many", "one", "other"}, "ru": {"few", "many", "one", "other"},
	}
	english := readMessages(t, fallbackLanguage)
	for _, lang := range languages {
		messages := readMessages(t, lang)
		for key, want := range english {
			got, ok := messages[key]
			if !ok {
				t.Errorf("%s: text %q is missing", lang, key)
				continue
			}
			_, single := want[""]
			wantForms := forms[lang]
			if single {
				wantForms = []string{""}
			}
			if gotForms := slices.Sorted(maps.Keys(got)); !slices.Equal(gotForms, wantForms) {
				t.Errorf("%s: text %q has the forms %q, want %q", lang, key, gotForms, wantForms)
			}
			for form, text := range got {
				if strings.TrimSpace(text) == "" || text != strings.TrimSpace(text) {
					t.Errorf("%s: text %q %s is empty or has outer blanks", lang, key, form)
				}
				reference := want["other"] + want[""]
				if !slices.Equal(placeholders(text), placeholders(reference)) && key != "day_first" {
					t.Errorf("%s: text %q %s uses %q, want %q", lang, key, form, placeholders(text), placeholders(reference))
				}
				if strings.Count(text, "{{") != len(placeholder.FindAllString(text, -1)) {
					t.Errorf("%s: text %q %s has a malformed placeholder", lang, key, form)
				}
			}
		}
		for key := range messages {
			if _, ok := english[key]; !ok {
				t.Errorf("%s: text %q does not exist in English", lang, key)
			}
		}
	}
}

func TestNoTextIsLeftOver(t *testing.T) {
	t.Parallel()
	var sources strings.Builder
	for _, fsys := range []fs.FS{templateFiles} {
		err := fs.WalkDir(fsys, ".", func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".tmpl") {
				return err
			}
			raw, err := fs.ReadFile(fsys, path)
			sources.Write(raw)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	// Used by view.go and language.go rather than by a template, or put together from parts.
	inCode := regexp.MustCompile(`^(month_\d+|date|day_first|row|button_(download|fallback)|license_delivery_(subject|title|body)_(one|several|file)|label_.*)$`)
	for key := range readMessages(t, fallbackLanguage) {
		if !inCode.MatchString(key) && !strings.Contains(sources.String(), `"`+key+`"`) {
			t.Errorf("text %q is used by no template", key)
		}
	}
}

func TestPlural(t *testing.T) {
	t.Parallel()
	tests := []struct {
		lang string
		n    int
		want string
	}{
		{"en", 0, "Only 0 keys left for X"},
		{"en", 1, "Only 1 key left for X"},
		{"en", 2, "Only 2 keys left for X"},
		{"fr", 0, "Plus que 0 clé pour X"},
		{"fr", 2, "Plus que 2 clés pour X"},
		{"fr", 1_000_000, "Plus que 1000000 clés pour X"},
		{"es", 1, "Solo queda 1 clave de X"},
		{"es", 1_000_000, "Solo quedan 1000000 claves de X"},
		{"ru", 1, "X: остался 1 ключ"},
		{"ru", 3, "X: осталось 3 ключа"},
		{"ru", 11, "X: осталось 11 ключей"},
		{"ru", 21, "X: остался 21 ключ"},
		{"ru", 25, "X: осталось 25 ключей"},
		{"ru", 112, "X: осталось 112 ключей"},
	}
	for _, tt := range tests {
		got, err := translators[tt.lang].plural("pool_low_subject", tt.n, map[string]any{"Product": "X"})
		if err != nil || got != tt.want {
			t.Errorf("%s, %d: got %q, %v, want %q", tt.lang, tt.n, got, err, tt.want)
		}
	}
}

func TestTextErrors(t *testing.T) {
	t.Parallel()
	tr := translators["de"]
	if s, err := tr.text("no_such_text", nil); err == nil || s != "" {
		t.Errorf("missing text: got %q, %v", s, err)
	}
	if s, err := tr.text("greeting", map[string]any{}); err == nil || s != "" {
		t.Errorf("missing value: got %q, %v", s, err)
	}
}

func TestLanguage(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		"en": "en", "en-GB": "en", "en_EN": "en", "de": "de", "de-AT": "de", "de_CH": "de", "DE-de": "de",
		"fr-CA": "fr", "es-419": "es", "ru-RU": "ru", "ru-Cyrl": "ru", "de-AT-1996": "de", "de-xx-nonsense123": "de",
		"": "en", "und": "en", "ja": "en", "uk": "en", "uk-UA": "en", "ca": "en", "gsw": "en", "und-DE": "en",
		"zz": "en", "../../etc/passwd": "en", "de\r\nBcc: x": "en", strings.Repeat("a", 10_000): "en",
	}
	for locale, want := range tests {
		if got := Language(locale); got != want {
			t.Errorf("Language(%.40q) = %q, want %q", locale, got, want)
		}
	}
}

func TestDate(t *testing.T) {
	t.Parallel()
	first := time.Date(2026, time.March, 1, 23, 30, 0, 0, time.UTC)
	tests := map[string]string{
		"en": "1 March 2026", "de": "1. März 2026", "fr": "1er mars 2026", "es": "1 de marzo de 2026", "ru": "1 марта 2026 г.",
	}
	for lang, want := range tests {
		if got, err := translators[lang].date(first); err != nil || got != want {
			t.Errorf("%s: got %q, %v, want %q", lang, got, err, want)
		}
		if got, err := translators[lang].date(time.Time{}); err != nil || got != "" {
			t.Errorf("%s: zero time: got %q, %v, want nothing", lang, got, err)
		}
	}
	if got, _ := translators["fr"].date(first.AddDate(0, 0, 10)); got != "11 mars 2026" {
		t.Errorf("fr: got %q", got)
	}
	inBerlin := first.In(time.FixedZone("", 3600))
	if got, _ := translators["en"].date(inBerlin); got != "2 March 2026" {
		t.Errorf("the date is not that of the time's own location: %q", got)
	}
}
