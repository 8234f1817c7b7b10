package mail

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/net/html"
)

var update = flag.Bool("update", false, "rewrite the golden files under testdata/render")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// renderInput is one file testdata/render/*.json. Adding a file adds a test in every language.
type renderInput struct {
	Kind Kind
	Data Data
}

func readInputs(t *testing.T) map[string]renderInput {
	t.Helper()
	paths, err := filepath.Glob("testdata/render/*.json")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no inputs in testdata/render: %v", err)
	}
	inputs := make(map[string]renderInput, len(paths))
	for _, path := range paths {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		dec := json.NewDecoder(bytes.NewReader(raw))
		dec.DisallowUnknownFields()
		var in renderInput
		if err := dec.Decode(&in); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		inputs[strings.TrimSuffix(filepath.Base(path), ".json")] = in
	}
	return inputs
}

func TestRenderGolden(t *testing.T) {
	t.Parallel()
	for name, in := range readInputs(t) {
		for _, lang := range languages {
			t.Run(name+"/"+lang, func(t *testing.T) {
				t.Parallel()
				got, err := Render(in.Kind, lang, in.Data)
				if err != nil {
					t.Fatal(err)
				}
				base := filepath.Join("testdata", "render", name+"."+lang)
				golden(t, base+".txt", "Subject: "+got.Subject+"\n\n"+got.Text)
				golden(t, base+".html", got.HTML)
			})
		}
	}
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (run go test -update to create it)", err)
	}
	if got != string(want) {
		t.Errorf("%s differs from what is rendered now (run go test -update if that is intended)\n got:\n%s\nwant:\n%s", path, got, want)
	}
}

func TestGoldenFilesBelongToInputs(t *testing.T) {
	t.Parallel()
	inputs := readInputs(t)
	entries, err := os.ReadDir("testdata/render")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		name, _, _ := strings.Cut(e.Name(), ".")
		if _, ok := inputs[name]; !ok {
			t.Errorf("testdata/render/%s has no input file", e.Name())
		}
	}
	covered := map[Kind]bool{}
	for _, in := range inputs {
		covered[in.Kind] = true
	}
	for _, kind := range Kinds() {
		if !covered[kind] {
			t.Errorf("no input file renders %s", kind)
		}
	}
}

// TestEveryEmail checks what holds for all emails, whatever they say.
func TestEveryEmail(t *testing.T) {
	t.Parallel()
	for name, in := range readInputs(t) {
		for _, lang := range languages {
			for _, test := range []bool{false, true} {
				in := in
				in.Data.Test = test
				got, err := Render(in.Kind, lang, in.Data)
				if err != nil {
					t.Fatalf("%s/%s: %v", name, lang, err)
				}
				checkEmail(t, name+"/"+lang, in, got)
			}
		}
	}
}

func checkEmail(t *testing.T, name string, in renderInput, got Rendered) {
	t.Helper()
	d := in.Data
	mustName := []string{d.Merchant.Name}
	if d.Order.Number != "" {
		mustName = append(mustName, d.Order.Number)
	}
	if !in.Kind.ToMerchant() {
		mustName = append(mustName, d.Merchant.SupportEmail, d.Merchant.SupportURL)
	}
	for part, content := range map[string]string{"text": got.Text, "html": got.HTML} {
		for _, want := range mustName {
			if !strings.Contains(content, want) {
				t.Errorf("%s: %s part does not name %q", name, part, want)
			}
		}
		for _, never := range []string{"<no value>", "ZgotmplZ", "%!", "{{"} {
			if strings.Contains(content, never) {
				t.Errorf("%s: %s part contains %q", name, part, never)
			}
		}
		if strings.Contains(content, "TEST") != d.Test {
			t.Errorf("%s: %s part says TEST: %v, want %v", name, part, !d.Test, d.Test)
		}
	}
	if strings.HasPrefix(got.Subject, "[TEST] ") != d.Test {
		t.Errorf("%s: subject %q with Test=%v", name, got.Subject, d.Test)
	}
	if got.Subject != headerText(got.Subject) || got.Subject == "" {
		t.Errorf("%s: subject %q is not one clean line", name, got.Subject)
	}
	checkHTML(t, name, got)
}

func checkHTML(t *testing.T, name string, got Rendered) {
	t.Helper()
	void := []string{"meta", "br", "img"}
	var open []string
	z := html.NewTokenizer(strings.NewReader(got.HTML))
	for z.Next() != html.ErrorToken {
		tok := z.Token()
		switch tok.Type {
		case html.StartTagToken:
			ours := tok.Data == "img" && slices.ContainsFunc(got.Pictures, func(p Picture) bool {
				return slices.Contains(tok.Attr, html.Attribute{Key: "src", Val: "cid:" + p.ContentID()})
			})
			if tok.Data == "img" && !ours {
				t.Errorf("%s: html has an <img> that does not travel with it", name)
			}
			if slices.Contains([]string{"script", "link", "iframe", "form", "object"}, tok.Data) {
				t.Errorf("%s: html has a <%s>", name, tok.Data)
			}
			if !slices.Contains(void, tok.Data) {
				open = append(open, tok.Data)
			}
			for _, a := range tok.Attr {
				if a.Key == "src" && !ours || a.Key == "background" || strings.HasPrefix(a.Key, "on") || strings.Contains(a.Val, "url(") {
					t.Errorf("%s: <%s %s=%q> could load or run something", name, tok.Data, a.Key, a.Val)
				}
				if tok.Data == "a" && a.Key == "href" && !strings.HasPrefix(a.Val, "https://") && !strings.HasPrefix(a.Val, "mailto:") {
					t.Errorf("%s: link to %q", name, a.Val)
				}
				if tok.Data == "html" && a.Key == "lang" && a.Val != got.Language {
					t.Errorf("%s: lang %q, want %q", name, a.Val, got.Language)
				}
			}
		case html.EndTagToken:
			if len(open) == 0 || open[len(open)-1] != tok.Data {
				t.Fatalf("%s: </%s> closes %v", name, tok.Data, open)
			}
			open = open[:len(open)-1]
		}
	}
	for _, p := range got.Pictures {
		if strings.Count(got.HTML, "cid:"+p.ContentID()) != 1 || strings.Contains(got.HTML, `alt=""`) {
			t.Errorf("%s: the picture %s is not shown once, with words for who cannot see it", name, p.Name)
		}
	}
	if len(open) > 0 {
		t.Errorf("%s: not closed: %v", name, open)
	}
	if len(got.HTML) > 100_000 {
		t.Errorf("%s: %d bytes; Gmail cuts off at 102 KB", name, len(got.HTML))
	}
}

func TestRenderRefusesMissingData(t *testing.T) {
	t.Parallel()
	full := func() Data {
		return Data{
			Merchant:     Merchant{Name: "Acme", SupportEmail: "help@acme.example"},
			Order:        Order{Number: "A1", URL: "https://p.example/o", PayURL: "https://p.example/p", Currency: "EUR", Total: 100},
			Item:         Item{Name: "Editor", Quantity: 1, Licenses: []string{"SECRET-KEY"}},
			Text:         "Hello",
			Instructions: Instructions{Account: "DE89"},
			Refund:       Refund{Amount: 100},
			Stock:        Stock{Product: "Editor"},
			PortalURL:    "https://p.example/e",
			Orders:       []OrderLink{{Number: "A1", URL: "https://p.example/o"}},
		}
	}
	for _, kind := range Kinds() {
		if _, err := Render(kind, "en", full()); err != nil {
			t.Errorf("%s with everything: %v", kind, err)
		}
	}
	tests := []struct {
		field  string
		kind   Kind
		change func(d *Data)
	}{
		{"Merchant.Name", KindPoolLow, func(d *Data) { d.Merchant.Name = "" }},
		{"Merchant.SupportEmail", KindPaymentReminder, func(d *Data) { d.Merchant.SupportEmail = "" }},
		{"Order.Number", KindRefundDeclined, func(d *Data) { d.Order.Number = "" }},
		{"Order.URL", KindLicenseDelivery, func(d *Data) { d.Order.URL = "" }},
		{"Order.PayURL", KindPaymentInstructions, func(d *Data) { d.Order.PayURL = "" }},
		{"Order.Currency", KindPaymentConfirmation, func(d *Data) { d.Order.Currency = "" }},
		{"Item.Name", KindFulfillmentFailed, func(d *Data) { d.Item.Name = "" }},
		{"Item.Quantity", KindLicenseRequest, func(d *Data) { d.Item.Quantity = 0 }},
		{"Item.Licenses", KindLicenseDelivery, func(d *Data) { d.Item.Licenses = nil }},
		{"Text", KindProductInfo, func(d *Data) { d.Text = " \n" }},
		{"Instructions", KindPaymentInstructions, func(d *Data) { d.Instructions = Instructions{} }},
		{"Refund.Amount", KindRefundCompleted, func(d *Data) { d.Refund.Amount = 0 }},
		{"Stock.Product", KindPoolEmpty, func(d *Data) { d.Stock.Product = "" }},
		{"PortalURL", KindPoolEmpty, func(d *Data) { d.PortalURL = "" }},
		{"Orders", KindOrderLinks, func(d *Data) { d.Orders = nil }},
	}
	for _, tt := range tests {
		d := full()
		tt.change(&d)
		got, err := Render(tt.kind, "en", d)
		if err == nil || !strings.Contains(err.Error(), "Data."+tt.field) || !strings.Contains(err.Error(), string(tt.kind)) {
			t.Errorf("%s without %s: error %v, want one that names both", tt.kind, tt.field, err)
		}
		if !reflect.DeepEqual(got, Rendered{}) {
			t.Errorf("%s without %s: rendered %q all the same", tt.kind, tt.field, got.Subject)
		}
		if err != nil && strings.Contains(err.Error(), "SECRET-KEY") {
			t.Errorf("error repeats a value: %v", err)
		}
	}
	if _, err := Render("no_such_kind", "en", full()); err == nil || !strings.Contains(err.Error(), "no_such_kind") {
		t.Errorf("unknown kind: %v", err)
	}
}

func TestRenderHostileData(t *testing.T) {
	t.Parallel()
	d := Data{
		Merchant: Merchant{Name: "Acme\r\nBcc: x@evil.example", SupportURL: "javascript:alert(1)", BrandColor: "red;background:url(//evil.example)", LogoURL: "http://evil.example/\"onerror=\"x"},
		Customer: Customer{FirstName: "Win at https://evil.example", LastName: "<script>"},
		Order:    Order{Number: "A1", URL: "https://p.example/o?a=1&b=\"><script>alert(1)</script>", Currency: "EUR"},
		Item:     Item{Name: "Ed\r\nX-Injected: yes<script>alert(1)</script>{{.Order}}", Quantity: 1, Licenses: []string{"<b>KEY</b>&amp;"}},
		Text:     "{FULLNAME} {KEY}<img src=x onerror=alert(1)> javascript:alert(1) https://ok.example/\"onmouseover=\"x",
	}
	got, err := Render(KindLicenseDelivery, "en", d)
	if err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(got.Subject, "\r\n") {
		t.Errorf("subject has a line break: %q", got.Subject)
	}
	for _, never := range []string{"<script", "<img", "href=\"javascript", "evil.example)", "href=\"https://evil", "<b>KEY", "\"onmouseover"} {
		if strings.Contains(got.HTML, never) {
			t.Errorf("html contains %q", never)
		}
	}
	for _, want := range []string{"&lt;b&gt;KEY&lt;/b&gt;&amp;amp;", defaultBrand, `href="https://ok.example/"`} {
		if !strings.Contains(got.HTML, want) {
			t.Errorf("html lacks %q", want)
		}
	}
	if !strings.Contains(got.Text, "<b>KEY</b>&amp;") {
		t.Error("the licence in the text part is not the licence")
	}
}

func TestRenderBranding(t *testing.T) {
	t.Parallel()
	d := Data{
		Merchant: Merchant{Name: "Acme", SupportEmail: "help@acme.example", BrandColor: "#ffcc00", LogoURL: `https://cdn.acme.example/logo.png?a="b"&c`},
		Order:    Order{Number: "A1", URL: "https://p.example/o", Currency: "EUR", Total: 100},
	}
	got, err := Render(KindPaymentConfirmation, "en", d)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`<img src="https://cdn.acme.example/logo.png?a=%22b%22&amp;c" alt=""`, "border-top:4px solid #ffcc00", "background:#ffcc00", "color:#000000"} {
		if !strings.Contains(got.HTML, want) {
			t.Errorf("html lacks %s", want)
		}
	}
	d.Merchant.LogoURL = ""
	if got, err = Render(KindPaymentConfirmation, "en", d); err != nil || strings.Contains(got.HTML, "<img") {
		t.Errorf("an image without a logo, %v", err)
	}
}

func TestGreetingLeavesOutAdvertisements(t *testing.T) {
	t.Parallel()
	tests := []struct{ first, last, want string }{
		{"Ada", "Byron", "Ada Byron"},
		{"", "", ""},
		{"J. R. R.", "Tolkien", "J. R. R. Tolkien"},
		{"Zoë", "O'Brien-Łukasz", "Zoë O'Brien-Łukasz"},
		{"Ada\r\n", "Byron", "Ada Byron"},
		{"Win at https://evil.example", "", ""},
		{"evil.example", "click", ""},
		{"Visit", "www.evil", ""},
		{"mail me", "x@evil", ""},
		{strings.Repeat("Ada ", 20), "Byron", ""},
	}
	for _, tt := range tests {
		v := &view{Data: Data{Customer: Customer{FirstName: tt.first, LastName: tt.last}}}
		if got := v.Name(); got != tt.want {
			t.Errorf("%q %q: greeted as %q, want %q", tt.first, tt.last, got, tt.want)
		}
	}
}

func TestRenderIsRepeatable(t *testing.T) {
	t.Parallel()
	for name, in := range readInputs(t) {
		a, errA := Render(in.Kind, "ru", in.Data)
		b, errB := Render(in.Kind, "ru", in.Data)
		if errA != nil || errB != nil || !reflect.DeepEqual(a, b) {
			t.Errorf("%s: two renderings differ (%v, %v)", name, errA, errB)
		}
	}
}
