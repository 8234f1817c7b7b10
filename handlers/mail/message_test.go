package mail

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"strings"
	"testing"
	"time"
	"unicode"
)

// wirePart is a decoded body part.
type wirePart struct {
	contentType, charset, encoding, body string
}

// parseWire reads a message as a mail program does and checks what every message must keep to.
func parseWire(t *testing.T, raw []byte) (mail.Header, []wirePart) {
	t.Helper()
	for line := range bytes.SplitSeq(raw, []byte("\n")) {
		if len(line) > 998 {
			t.Errorf("line of %d octets", len(line))
		}
	}
	msg, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		t.Fatalf("%v in\n%s", err, raw)
	}
	for name, values := range msg.Header {
		if len(values) != 1 {
			t.Errorf("header %s appears %d times", name, len(values))
		}
	}
	mediaType, params, err := mime.ParseMediaType(msg.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	if mediaType != "multipart/alternative" {
		t.Fatalf("content type %q", mediaType)
	}
	var parts []wirePart
	r := multipart.NewReader(msg.Body, params["boundary"])
	for {
		p, err := r.NextRawPart()
		if errors.Is(err, io.EOF) {
			return msg.Header, parts
		}
		if err != nil {
			t.Fatal(err)
		}
		encoding := p.Header.Get("Content-Transfer-Encoding")
		partType, partParams, err := mime.ParseMediaType(p.Header.Get("Content-Type"))
		if err != nil {
			t.Fatal(err)
		}
		encoded, err := io.ReadAll(p)
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.SplitSeq(encoded, []byte("\n")) {
			if len(line) > 77 || bytes.ContainsFunc(line, func(r rune) bool { return r > unicode.MaxASCII }) {
				t.Errorf("body line %q", line)
			}
		}
		body := decodeQuotedPrintable(t, encoded)
		parts = append(parts, wirePart{partType, strings.ToLower(partParams["charset"]), encoding, body})
	}
}

func decodeQuotedPrintable(t *testing.T, encoded []byte) string {
	t.Helper()
	body, err := io.ReadAll(quotedprintable.NewReader(bytes.NewReader(encoded)))
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(body), "\r\n", "\n")
}

func TestWireMessage(t *testing.T) {
	t.Parallel()
	srv := startServer(t, script{})
	m := Message{
		From: "shop@acme.example", FromName: `Akme "Софт", GmbH`, ReplyTo: "help@acme.example", To: "ada@customer.example",
		Subject:   "Ваша лицензия на Editor Pro – заказ A0000000123, спасибо за покупку и до встречи",
		Text:      "Grüße\n.\n..dots\nFrom here\n" + strings.Repeat("длинная строка ", 40) + "\nend  \n",
		HTML:      "<p>Grüße = " + strings.Repeat("x", 200) + "</p>\n.\n",
		MessageID: MessageID("eml_0193abc", "acme.example"),
		Date:      time.Date(2026, 11, 22, 10, 30, 5, 0, time.FixedZone("", 3*3600)),
		Headers:   map[string]string{"Content-Language": "ru", "X-Purser-Order": "A0000000123"},
	}
	if err := srv.client(plainURL, patience).Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	got := srv.received()[0]
	if got.mailFrom != "MAIL FROM:<shop@acme.example>" || got.rcptTo != "RCPT TO:<ada@customer.example>" {
		t.Errorf("envelope %q, %q", got.mailFrom, got.rcptTo)
	}
	header, parts := parseWire(t, got.data)
	for name, want := range map[string]string{
		"Message-Id": "<eml_0193abc@acme.example>", "To": "<ada@customer.example>", "Reply-To": "<help@acme.example>",
		"Date": "Sun, 22 Nov 2026 10:30:05 +0300", "Mime-Version": "1.0", "Auto-Submitted": "auto-generated",
		"Content-Language": "ru", "X-Purser-Order": "A0000000123", "User-Agent": "", "X-Mailer": "",
	} {
		if got := header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	from, err := header.AddressList("From")
	if err != nil || len(from) != 1 || from[0].Name != m.FromName || from[0].Address != m.From {
		t.Errorf("From: %q: %v, %v", header.Get("From"), from, err)
	}
	if subject, err := new(mime.WordDecoder).DecodeHeader(header.Get("Subject")); err != nil || subject != m.Subject {
		t.Errorf("Subject: %q, %v", subject, err)
	}
	want := []wirePart{
		{"text/plain", "utf-8", "quoted-printable", m.Text},
		{"text/html", "utf-8", "quoted-printable", m.HTML},
	}
	if len(parts) != 2 {
		t.Fatalf("%d parts", len(parts))
	}
	for i := range want {
		if parts[i] != want[i] {
			t.Errorf("part %d:\n got %q\nwant %q", i, parts[i], want[i])
		}
	}
}

// TestRenderedGoesOverTheWire sends every golden email and reads it back.
func TestRenderedGoesOverTheWire(t *testing.T) {
	t.Parallel()
	for name, in := range readInputs(t) {
		for _, lang := range languages {
			r, err := Render(in.Kind, lang, in.Data)
			if err != nil {
				t.Fatal(err)
			}
			m := testMessage()
			m.Subject, m.Text, m.HTML = r.Subject, r.Text, r.HTML
			raw, err := m.Raw()
			if err != nil {
				t.Fatal(err)
			}
			header, parts := parseWire(t, raw)
			subject, err := new(mime.WordDecoder).DecodeHeader(header.Get("Subject"))
			if err != nil || subject != r.Subject {
				t.Errorf("%s/%s: subject %q, want %q", name, lang, subject, r.Subject)
			}
			if len(parts) != 2 || parts[0].body != r.Text || parts[1].body != r.HTML {
				t.Errorf("%s/%s: the parts are not what was rendered", name, lang)
			}
		}
	}
}

func TestTextOnlyMessage(t *testing.T) {
	t.Parallel()
	m := testMessage()
	m.HTML = ""
	raw, err := m.Raw()
	if err != nil {
		t.Fatal(err)
	}
	msg, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil || !strings.HasPrefix(msg.Header.Get("Content-Type"), "text/plain; charset=UTF-8") {
		t.Errorf("%v, %v", msg, err)
	}
}

func TestHeaderInjection(t *testing.T) {
	t.Parallel()
	const attack = "\r\nBcc: victim@evil.example\r\n\r\n<script>"
	breaks := []string{attack, "\nBcc: victim@evil.example", "\rBcc: victim@evil.example", "\u2028Bcc: victim@evil.example", "\x00Bcc:", "\u0085Bcc: x", "\r\n Bcc: x"}
	cleaned := map[string]func(m *Message, s string){
		"Subject":  func(m *Message, s string) { m.Subject = "Hello" + s },
		"FromName": func(m *Message, s string) { m.FromName = "Acme" + s },
	}
	refused := map[string]func(m *Message, s string){
		"From":      func(m *Message, s string) { m.From += s },
		"ReplyTo":   func(m *Message, s string) { m.ReplyTo = "help@acme.example" + s },
		"To":        func(m *Message, s string) { m.To += s },
		"MessageID": func(m *Message, s string) { m.MessageID += s },
		"Headers":   func(m *Message, s string) { m.Headers = map[string]string{"X-Order": "A1" + s} },
		"Header":    func(m *Message, s string) { m.Headers = map[string]string{"X-Order" + s: "A1"} },
	}
	for _, s := range breaks {
		for field, set := range cleaned {
			m := testMessage()
			set(&m, s)
			raw, err := m.Raw()
			if err != nil {
				t.Errorf("%s with %q: %v", field, s, err)
				continue
			}
			header, _ := parseWire(t, raw)
			if header.Get("Bcc") != "" || len(header) != 8 {
				t.Errorf("%s with %q: headers %v", field, s, header)
			}
			for _, name := range []string{"Subject", "From"} {
				value, err := new(mime.WordDecoder).DecodeHeader(header.Get(name))
				if err != nil || strings.ContainsFunc(value, unicode.IsControl) {
					t.Errorf("%s with %q: %s decodes to %q, %v", field, s, name, value, err)
				}
			}
		}
		for field, set := range refused {
			m := testMessage()
			set(&m, s)
			raw, err := m.Raw()
			if sendErr := wantSendError(t, err); raw != nil || sendErr.Temporary || !strings.Contains(sendErr.Reason, strings.TrimSuffix(field, "s")) && field != "Header" {
				t.Errorf("%s with %q: %q, %+v, want a final error that names the field", field, s, raw, sendErr)
			}
		}
	}
}

func TestMessageRefusals(t *testing.T) {
	t.Parallel()
	tests := []struct {
		field  string
		change func(m *Message)
	}{
		{"To", func(m *Message) { m.To = "" }},
		{"To", func(m *Message) { m.To = "ada.private" }},
		{"To", func(m *Message) { m.To = "Ada <ada.private@customer.example>" }},
		{"To", func(m *Message) { m.To = "ada.private@customer.example, other@customer.example" }},
		{"To", func(m *Message) { m.To = `"ada.private@evil.example "@customer.example` }},
		{"To", func(m *Message) { m.To = "ada.private@customer.example (comment)" }},
		{"To", func(m *Message) { m.To = "ada.private@cust\u200bomer.example" }},
		{"To", func(m *Message) { m.To = strings.Repeat("a", 300) + "@customer.example" }},
		{"From", func(m *Message) { m.From = "" }},
		{"From", func(m *Message) { m.From = "<>" }},
		{"ReplyTo", func(m *Message) { m.ReplyTo = "not an address" }},
		{"MessageID", func(m *Message) { m.MessageID = "" }},
		{"MessageID", func(m *Message) { m.MessageID = "<a@b.example>" }},
		{"MessageID", func(m *Message) { m.MessageID = "no-domain" }},
		{"Date", func(m *Message) { m.Date = time.Time{} }},
		{"Text", func(m *Message) { m.Text = "" }},
		{"Headers", func(m *Message) { m.Headers = map[string]string{"bcc": "x@evil.example"} }},
		{"Headers", func(m *Message) { m.Headers = map[string]string{"SUBJECT": "x"} }},
		{"Headers", func(m *Message) { m.Headers = map[string]string{"content-type": "text/html"} }},
		{"Headers", func(m *Message) { m.Headers = map[string]string{"": "x"} }},
		{"Headers", func(m *Message) { m.Headers = map[string]string{"X Y": "x"} }},
	}
	srv := startServer(t, script{})
	client := srv.client(plainURL, patience)
	for _, tt := range tests {
		m := testMessage()
		tt.change(&m)
		err := wantSendError(t, client.Send(t.Context(), m))
		if err.Temporary || err.Code != 0 || !strings.HasPrefix(err.Reason, tt.field) {
			t.Errorf("%s: got %+v, want a final error that names it", tt.field, err)
		}
	}
	if srv.connections() != 0 {
		t.Error("the server was bothered with a message that cannot be sent")
	}
}

func TestLongHeadersAreBounded(t *testing.T) {
	t.Parallel()
	m := testMessage()
	m.Subject = strings.Repeat("x", 5000)
	m.FromName = strings.Repeat("y ", 5000)
	raw, err := m.Raw()
	if err != nil {
		t.Fatal(err)
	}
	header, _ := parseWire(t, raw)
	subject, err := new(mime.WordDecoder).DecodeHeader(header.Get("Subject"))
	if err != nil || len([]rune(subject)) != maxHeaderText || !strings.HasSuffix(subject, "x…") {
		t.Errorf("%v, subject %q", err, subject)
	}
}

func TestMessageID(t *testing.T) {
	t.Parallel()
	tests := []struct{ id, domain, want string }{
		{"eml_0193", "acme.example", "eml_0193@acme.example"},
		{"eml_0193", "shop@acme.example", "eml_0193@acme.example"},
		{"eml_0193", "bücher.example", "eml_0193@xn--bcher-kva.example"},
		{"eml_0193", "", "eml_0193@localhost"},
		{"eml_0193", "purser@localhost", "eml_0193@localhost"},
		{"eml_0193", "evil>\r\nBcc: x", "eml_0193@localhost"},
	}
	for _, tt := range tests {
		if got := MessageID(tt.id, tt.domain); got != tt.want {
			t.Errorf("MessageID(%q, %q) = %q, want %q", tt.id, tt.domain, got, tt.want)
		}
	}
	odd := MessageID("a b>\r\n", "acme.example")
	if strings.ContainsAny(odd, " >\r\n") || !strings.HasSuffix(odd, "@acme.example") || odd != MessageID("a b>\r\n", "acme.example") {
		t.Errorf("odd id gives %q", odd)
	}
	if odd == MessageID("a b", "acme.example") {
		t.Error("two ids give one Message-ID")
	}
}
