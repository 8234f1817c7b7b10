package mail

import (
	"html/template"
	"regexp"
	"strings"
)

// merchantText is a merchant's text with its tags filled in, in both forms.
type merchantText struct {
	Plain string
	HTML  template.HTML
	Keys  bool // the text itself contains the licences
}

// newMerchantText fills in the tags of text. In HTML everything is escaped, line breaks stay, web addresses become
// links and the licences stand out. Addresses in what the customer typed stay text: somebody who orders in the name of
// another person could otherwise have the merchant send that person a link.
func newMerchantText(text string, values map[string]string, keys []string) merchantText {
	text = strings.TrimSpace(strings.ReplaceAll(text, "\r\n", "\n"))
	if text == "" {
		return merchantText{}
	}
	var html, run strings.Builder
	flush := func() {
		html.WriteString(linkify(run.String()))
		run.Reset()
	}
	m := merchantText{Plain: Tags(text, values)}
	last := 0
	for _, at := range tagPattern.FindAllStringIndex(text, -1) {
		name := text[at[0]+1 : at[1]-1]
		value, known := values[name]
		if !known {
			continue
		}
		run.WriteString(text[last:at[0]])
		last = at[1]
		switch {
		case name == tagKey:
			flush()
			m.Keys = true
			for i, key := range keys {
				if i > 0 {
					html.WriteString("<br>")
				}
				html.WriteString(keyOpen + template.HTMLEscapeString(key) + keyClose)
			}
		case customerTags[name]:
			flush()
			html.WriteString(escapeLines(value))
		default:
			run.WriteString(value)
		}
	}
	run.WriteString(text[last:])
	flush()
	m.HTML = template.HTML(html.String()) //nolint:gosec // every piece was escaped above
	return m
}

const (
	keyOpen  = `<strong class="key" style="font-family:ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace;white-space:pre-wrap;overflow-wrap:anywhere;word-break:break-word">`
	keyClose = `</strong>`
)

// webAddress ends before white space and characters that must be escaped in HTML or that no URL contains.
var webAddress = regexp.MustCompile(`https?://[^\s<>"'{}|\\^` + "`" + `]+`)

// linkify escapes s for HTML and makes its web addresses links. Punctuation at the end belongs to the sentence.
func linkify(s string) string {
	var b strings.Builder
	last := 0
	for _, at := range webAddress.FindAllStringIndex(s, -1) {
		url := strings.TrimRight(s[at[0]:at[1]], ".,;:!?)]*")
		b.WriteString(escapeLines(s[last:at[0]]))
		escaped := template.HTMLEscapeString(url)
		b.WriteString(`<a href="` + escaped + `" class="text" style="color:inherit;overflow-wrap:anywhere">` + escaped + `</a>`)
		last = at[0] + len(url)
	}
	b.WriteString(escapeLines(s[last:]))
	return b.String()
}

func escapeLines(s string) string {
	return strings.ReplaceAll(template.HTMLEscapeString(s), "\n", "<br>\n")
}
