package mail

import (
	"math"
	"strings"
	"testing"
)

func TestFormatMoney(t *testing.T) {
	t.Parallel()
	tests := []struct {
		locale   string
		minor    int64
		currency string
		want     string
	}{
		{"en", 9800, "EUR", "98.00_EUR"},
		{"de", 9800, "EUR", "98,00_EUR"},
		{"fr", 9800, "EUR", "98,00_EUR"},
		{"es", 9800, "EUR", "98,00_EUR"},
		{"ru", 9800, "EUR", "98,00_EUR"},
		{"en", 980000, "EUR", "9,800.00_EUR"},
		{"de", 980000, "EUR", "9.800,00_EUR"},
		{"fr", 980000, "EUR", "9\u202f800,00_EUR"},
		{"es", 980000, "EUR", "9800,00_EUR"},
		{"ru", 980000, "EUR", "9_800,00_EUR"},
		{"en", 1234567890, "EUR", "12,345,678.90_EUR"},
		{"de", 1234567890, "EUR", "12.345.678,90_EUR"},
		{"fr", 1234567890, "EUR", "12\u202f345\u202f678,90_EUR"},
		{"es", 1234567890, "EUR", "12.345.678,90_EUR"},
		{"es", 1234567, "EUR", "12.345,67_EUR"},
		{"ru", 1234567890, "EUR", "12_345_678,90_EUR"},
		{"en", 9800, "JPY", "9,800_JPY"},
		{"de", 9800, "JPY", "9.800_JPY"},
		{"fr", 9800, "JPY", "9\u202f800_JPY"},
		{"es", 9800, "JPY", "9800_JPY"},
		{"es", 98000, "JPY", "98.000_JPY"},
		{"ru", 9800, "JPY", "9_800_JPY"},
		{"en", 9800, "KWD", "9.800_KWD"},
		{"de", 9800, "KWD", "9,800_KWD"},
		{"fr", 9800000, "KWD", "9\u202f800,000_KWD"},
		{"es", 9800000, "KWD", "9800,000_KWD"},
		{"ru", 9800000, "KWD", "9_800,000_KWD"},

		{"en", 0, "EUR", "0.00_EUR"},
		{"en", 5, "EUR", "0.05_EUR"},
		{"ru", 5, "EUR", "0,05_EUR"},
		{"en", 99999, "USD", "999.99_USD"},
		{"en", -5, "EUR", "\u22120.05_EUR"},
		{"de", -100000, "EUR", "\u22121.000,00_EUR"},
		{"en", 0, "JPY", "0_JPY"},
		{"en", -1, "KRW", "\u22121_KRW"},
		{"en", 7, "KWD", "0.007_KWD"},
		{"en", 123456, "CLF", "12.3456_CLF"},
		{"en", math.MaxInt64, "EUR", "92,233,720,368,547,758.07_EUR"},
		{"en", math.MinInt64, "EUR", "\u221292,233,720,368,547,758.08_EUR"},
		{"en", 100, "ZZZ", "1.00_ZZZ"},

		{"de-AT", 980000, "EUR", "9.800,00_EUR"},
		{"fr_CA", 980000, "EUR", "9\u202f800,00_EUR"},
		{"pl", 980000, "EUR", "9,800.00_EUR"},
		{"", 980000, "EUR", "9,800.00_EUR"},
	}
	for _, tt := range tests {
		want := strings.ReplaceAll(tt.want, "_", "\u00a0")
		if got := FormatMoney(tt.locale, tt.minor, tt.currency); got != want {
			t.Errorf("FormatMoney(%q, %d, %q) = %q, want %q", tt.locale, tt.minor, tt.currency, got, want)
		}
	}
	for _, lang := range languages {
		if _, ok := numberStyles[lang]; !ok {
			t.Errorf("no numbers in %s", lang)
		}
	}
}

func TestTags(t *testing.T) {
	t.Parallel()
	values := map[string]string{"KEY": "K-1", "FNAME": "{KEY}", "EMPTY": "", "PRICE_ONE": "$1.00 \\1 ${KEY}"}
	tests := []struct{ text, want string }{
		{"", ""},
		{"no tags", "no tags"},
		{"{KEY}", "K-1"},
		{"{KEY}{KEY}", "K-1K-1"},
		{"a{EMPTY}b", "ab"},
		{"{UNKNOWN} {key} { KEY } {KEY", "{UNKNOWN} {key} { KEY } {KEY"},
		{"{{KEY}}", "{K-1}"},
		{"{FNAME}", "{KEY}"},
		{"{PRICE_ONE}", "$1.00 \\1 ${KEY}"},
		{"{}", "{}"},
		{"{1KEY}", "{1KEY}"},
	}
	for _, tt := range tests {
		if got := Tags(tt.text, values); got != tt.want {
			t.Errorf("Tags(%q) = %q, want %q", tt.text, got, tt.want)
		}
	}
	if got := Tags("{KEY}", nil); got != "{KEY}" {
		t.Errorf("without values: %q", got)
	}
}

func TestRequireTag(t *testing.T) {
	t.Parallel()
	for text, ok := range map[string]bool{
		"Your key: {KEY}.": true, "": false, "KEY": false, "{key}": false, "{ KEY }": false, "{KEYS}": false,
	} {
		err := RequireTag(text, "KEY")
		if (err == nil) != ok {
			t.Errorf("RequireTag(%q) = %v, want ok=%v", text, err, ok)
		}
		if err != nil && !strings.Contains(err.Error(), "{KEY}") {
			t.Errorf("error %q does not name the tag", err)
		}
	}
}

// TestEveryTagHasAValue holds the tags together with the list in the documentation of the business.
func TestEveryTagHasAValue(t *testing.T) {
	t.Parallel()
	d := Data{
		Customer: Customer{"first", "last", "email", "company", "country", "city", "zip", "address", "phone"},
		Order:    Order{Number: "number", Currency: "EUR"},
		Item: Item{Name: "product", Quantity: 3, UnitPrice: 1, Total: 2, Licenses: []string{"k1", "k2"},
			InstructionsURL: "install", DownloadURL: "download", CustomerNote: "note"},
	}
	want := map[string]string{
		"KEY": "k1\nk2", "ORDER_ID": "number", "PROGRAM_NAME": "product", "QUANTITY": "3", "FULLNAME": "first last",
		"FNAME": "first", "LNAME": "last", "EMAIL": "email", "COMPANY": "company", "COUNTRY": "country", "CITY": "city",
		"ZIP": "zip", "ADDRESS": "address", "PHONE": "phone", "LICENSE_FOR": "company", "PRICE_ONE": "0.01\u00a0EUR",
		"PRICE_ALL": "0.02\u00a0EUR", "URL": "install", "URL_FULL": "download", "DATE": "today", "ADDINFO_TEXT": "note",
	}
	got := tagValues(d, "en", "today")
	for name, value := range want {
		if got[name] != value {
			t.Errorf("{%s} = %q, want %q", name, got[name], value)
		}
		if !tagPattern.MatchString("{" + name + "}") {
			t.Errorf("{%s} is not recognised as a tag", name)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d tags, want %d", len(got), len(want))
	}
	d.Customer.Company = ""
	if got := tagValues(d, "en", "")["LICENSE_FOR"]; got != "first last" {
		t.Errorf("{LICENSE_FOR} of a person = %q", got)
	}
	d.Customer.FirstName, d.Customer.LastName = "", ""
	if got := tagValues(d, "en", "")["LICENSE_FOR"]; got != "email" {
		t.Errorf("{LICENSE_FOR} of somebody without a name = %q", got)
	}
}

func TestKeyTagOfADownload(t *testing.T) {
	t.Parallel()
	d := Data{Item: Item{Downloads: []Download{{URL: "https://a.example"}, {URL: "https://b.example"}}}}
	if got := tagValues(d, "en", "")["KEY"]; got != "https://a.example\nhttps://b.example" {
		t.Errorf("{KEY} = %q", got)
	}
}

func TestLinkify(t *testing.T) {
	t.Parallel()
	link := func(url string) string {
		return `<a href="` + url + `" class="text" style="color:inherit;overflow-wrap:anywhere">` + url + `</a>`
	}
	tests := []struct{ in, want string }{
		{"plain & <b>", "plain &amp; &lt;b&gt;"},
		{"a\nb", "a<br>\nb"},
		{"see https://a.example/x?y=1&z=2.", "see " + link("https://a.example/x?y=1&amp;z=2") + "."},
		{"(http://a.example)", "(" + link("http://a.example") + ")"},
		{"ftp://a.example javascript:x", "ftp://a.example javascript:x"},
		{"https://a.example\nhttps://b.example!", link("https://a.example") + "<br>\n" + link("https://b.example") + "!"},
	}
	for _, tt := range tests {
		if got := linkify(tt.in); got != tt.want {
			t.Errorf("linkify(%q) =\n%s, want\n%s", tt.in, got, tt.want)
		}
	}
}

func TestBrandColors(t *testing.T) {
	t.Parallel()
	tests := []struct{ in, background, text string }{
		{"#0b6e4f", "#0b6e4f", "#ffffff"},
		{"#FFE600", "#FFE600", "#000000"},
		{"#000000", "#000000", "#ffffff"},
		{"#ffffff", "#ffffff", "#000000"},
		{"", defaultBrand, "#ffffff"},
		{"red", defaultBrand, "#ffffff"},
		{"#fff", defaultBrand, "#ffffff"},
		{"#0b6e4f;color:red", defaultBrand, "#ffffff"},
	}
	for _, tt := range tests {
		background, text := brandColors(tt.in)
		if string(background) != tt.background || string(text) != tt.text {
			t.Errorf("brandColors(%q) = %s, %s, want %s, %s", tt.in, background, text, tt.background, tt.text)
		}
	}
	// WCAG AA asks for 4.5; the better of black and white always reaches it.
	for n := range 4096 {
		hex := "#" + string("0123456789abcdef"[n>>8&15]) + "0" + string("0123456789abcdef"[n>>4&15]) + "0" + string("0123456789abcdef"[n&15]) + "0"
		_, text := brandColors(hex)
		a, b := luminance(hex), luminance(string(text))
		if contrast := (max(a, b) + 0.05) / (min(a, b) + 0.05); contrast < 4.5 {
			t.Fatalf("%s on %s has a contrast of %.2f", text, hex, contrast)
		}
	}
}
