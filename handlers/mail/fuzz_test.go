package mail

import (
	"html"
	"regexp"
	"strconv"
	"strings"
	"testing"

	netmail "net/mail"
)

var (
	anyTag     = regexp.MustCompile(`<[^>]*>`)
	allowedTag = regexp.MustCompile(`^<(br|/?strong|/a|strong class="key"[^<>]*|a href="https?://[^"<>]*"[^<>]*)>$`)
)

// Whatever a merchant writes and a customer types, an email's HTML has our tags only.
func FuzzMerchantText(f *testing.F) {
	f.Add("Dear {FNAME},\n{KEY}\nhttps://shop.example/a?b=c&d", "<script>alert(1)</script>", "KEY-1")
	f.Add("{FNAME}{", "{KEY}", "https://evil.example/\"onclick=\"x")
	f.Add("http://a\"b{URL}", "x", "\x00\xff")
	f.Fuzz(func(t *testing.T, text, name, key string) {
		m := newMerchantText(text, map[string]string{"FNAME": name, tagKey: key}, []string{key})
		for _, tag := range anyTag.FindAllString(string(m.HTML), -1) {
			if !allowedTag.MatchString(tag) {
				t.Fatalf("%q of %q with %q and %q makes the tag %q", m.HTML, text, name, key, tag)
			}
		}
		if strings.Contains(text, "{KEY}") && !strings.Contains(html.UnescapeString(string(m.HTML)), strings.TrimSpace(key)) && !strings.ContainsAny(key, "\x00\r") {
			t.Fatalf("the key %q is missing in %q", key, m.HTML)
		}
	})
}

// Money that is written can be read again in every language, to the last minor unit.
func FuzzFormatMoney(f *testing.F) {
	f.Add(int64(9800), "EUR")
	f.Add(int64(-1), "JPY")
	f.Add(int64(-9223372036854775808), "KWD")
	f.Fuzz(func(t *testing.T, minor int64, currency string) {
		for _, lang := range languages {
			text := FormatMoney(lang, minor, currency)
			number, ok := strings.CutSuffix(text, "\u00a0"+currency)
			if !ok {
				t.Fatalf("%q does not end in %q", text, currency)
			}
			digits := strings.NewReplacer("\u2212", "-", ".", "", ",", "", "\u00a0", "", "\u202f", "").Replace(number)
			if got, err := strconv.ParseInt(digits, 10, 64); err != nil || got != minor {
				t.Fatalf("%d %s is written %q", minor, currency, text)
			}
		}
	})
}

// An address that is taken is one address, in one line, and is taken again as it was returned.
func FuzzAddress(f *testing.F) {
	f.Add("ada@example.com")
	f.Add("ä@münchen.example")
	f.Add("a@b\r\nBcc: c@d")
	f.Add("\"a b\"@example.com")
	f.Fuzz(func(t *testing.T, addr string) {
		got, err := parseAddress("to", addr)
		if err != nil {
			if addr != "" && len(addr) > 12 && strings.Contains(err.Error(), addr) {
				t.Fatalf("the error repeats the address: %v", err)
			}
			return
		}
		parsed, err := netmail.ParseAddress("<" + got + ">")
		if err != nil || strings.ContainsAny(got, "\r\n<>, \x00") || parsed.Address != got {
			t.Fatalf("%q is taken as %q: %v", addr, got, err)
		}
		if again, err := parseAddress("to", got); err != nil || again != got {
			t.Fatalf("%q is %q at first and %q, %v then", addr, got, again, err)
		}
	})
}

// The errors of a mail server's address never tell its password.
func FuzzSMTPURL(f *testing.F) {
	f.Add("smtp://ada:secret-password@mail.example:587?tls=required")
	f.Add("smtps://ada:secret-password@mail.example/x")
	f.Add("smtp://[::1]:25?tls=none")
	f.Add("smtp://ada:secret-password%zz@h")
	f.Fuzz(func(t *testing.T, raw string) {
		s, err := parseSMTPURL(raw)
		if err != nil {
			if strings.Contains(raw, "secret-password") && strings.Contains(err.Error(), "secret-password") {
				t.Fatalf("the error tells: %v", err)
			}
			return
		}
		if port, err := strconv.Atoi(s.port); err != nil || port < 1 || port > 65535 || s.host == "" || (s.username == "") != (s.password == "") {
			t.Fatalf("%q is taken as %+v", raw, s)
		}
		if s.password != "" && len(s.password) > 8 && !strings.Contains(s.addr(), s.password) && strings.Contains(s.String(), s.password) {
			t.Fatalf("%q prints its password: %s", raw, s)
		}
	})
}

// Every locale has a language that texts exist in.
func FuzzLanguage(f *testing.F) {
	f.Add("de_AT")
	f.Add("en-US-x-private")
	f.Add("\xff-zz")
	f.Fuzz(func(t *testing.T, locale string) {
		if lang := Language(locale); !strings.Contains("en de fr es ru", lang) || len(lang) != 2 {
			t.Fatalf("Language(%q) = %q", locale, lang)
		}
	})
}
