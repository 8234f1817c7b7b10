package mail

import (
	"strings"
	"unicode"
	"unicode/utf8"

	netmail "net/mail"

	"golang.org/x/net/idna"
)

// maxHeaderText bounds subjects and display names, in characters. A single word cannot be folded, and a line of a
// message must not exceed 998 octets (RFC 5322 §2.1.1).
const maxHeaderText = 200

// headerText makes a text fit for a header: one line, no control or invisible formatting characters, bounded. Cleaning
// rather than refusing, because a product name with a line break must not keep a customer from the licence.
func headerText(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r) || unicode.IsControl(r):
			return ' '
		case r == '\u200c' || r == '\u200d': // joiners change how Persian, Indic scripts and emoji read
			return r
		case r == utf8.RuneError || unicode.Is(unicode.Cf, r):
			return -1
		}
		return r
	}, s)
	s = strings.Join(strings.Fields(s), " ")
	if runes := []rune(s); len(runes) > maxHeaderText {
		s = strings.TrimSpace(string(runes[:maxHeaderText-1])) + "…"
	}
	return s
}

// parseAddress checks a bare address and brings its domain into ASCII form, so that only a non-ASCII local part needs
// a server with SMTPUTF8. Quoted local parts are refused: legal, unused in practice, and the way addresses are smuggled.
func parseAddress(field, addr string) (string, error) {
	if addr == "" {
		return "", invalid(field, "is required")
	}
	parsed, err := netmail.ParseAddress(addr)
	if err != nil || parsed.Address != addr || addr != headerText(addr) {
		return "", invalid(field, "is not an email address")
	}
	at := strings.LastIndexByte(addr, '@')
	domain, err := asciiDomain(addr[at+1:])
	if err != nil || len(addr) > 254 {
		return "", invalid(field, "is not an email address")
	}
	return addr[:at+1] + domain, nil
}

func asciiDomain(domain string) (string, error) {
	if isASCII(domain) {
		return domain, nil
	}
	return idna.Lookup.ToASCII(domain)
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r >= utf8.RuneSelf }) < 0
}

// isDotAtom reports whether s is a dot-atom of ASCII letters, digits and the punctuation that ids and domains use.
func isDotAtom(s string) bool {
	if s == "" || len(s) > 200 || s[0] == '.' || s[len(s)-1] == '.' || strings.Contains(s, "..") {
		return false
	}
	return strings.IndexFunc(s, func(r rune) bool {
		return !isAlnum(r) && !strings.ContainsRune(".-_+=", r)
	}) < 0
}

func isHeaderName(s string) bool {
	if s == "" || len(s) > 70 {
		return false
	}
	return strings.IndexFunc(s, func(r rune) bool { return !isAlnum(r) && r != '-' }) < 0
}

func isAlnum(r rune) bool {
	return r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
}
