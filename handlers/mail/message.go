package mail

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/textproto"
	"slices"
	"strings"
	"time"

	netmail "net/mail"

	gomail "github.com/wneessen/go-mail"
)

// Sender delivers one email.
//
// Send returns nil once the message was accepted. Otherwise it returns a [*SendError] that says whether trying again can help.
// Send may be called from several goroutines at once.
type Sender interface {
	Send(ctx context.Context, m Message) error
}

// Message is one email to one recipient, ready to be sent. Addresses are bare ("ada@example.com"), never "Name <address>",
// and may be internationalised.
type Message struct {
	From     string // also the envelope sender, where bounces go
	FromName string // display name of From; optional
	ReplyTo  string // optional
	To       string

	Subject string
	Text    string // plain text part, UTF-8; required
	HTML    string // HTML part; optional

	Pictures []Picture // what the HTML part shows by their ContentID

	MessageID string    // without angle brackets, the same on every try; see [MessageID]
	Date      time.Time // when the message was written, not when this try happens

	// Headers are further header fields, for example Content-Language. Fields that the message itself determines
	// (addresses, Subject, Date, MIME) are refused. Auto-Submitted is "auto-generated" (RFC 3834) unless given.
	Headers map[string]string
}

// MessageID derives the Message-ID of an email from the id of its row, so that every try of the same email carries the
// same one. domain is the sender's domain or address; without one it is "localhost". The result has no angle brackets.
func MessageID(emailID, domain string) string {
	if i := strings.LastIndexByte(domain, '@'); i >= 0 {
		domain = domain[i+1:]
	}
	if ascii, err := asciiDomain(domain); err == nil && isDotAtom(ascii) {
		domain = ascii
	} else {
		domain = "localhost"
	}
	if !isDotAtom(emailID) {
		sum := sha256.Sum256([]byte(emailID))
		emailID = hex.EncodeToString(sum[:16])
	}
	return emailID + "@" + domain
}

// Raw returns the message as it goes over the wire (RFC 5322 with CRLF line ends), or a final [*SendError] that names
// the field that is wrong.
func (m Message) Raw() ([]byte, error) {
	env, err := m.compose()
	if err != nil {
		return nil, err
	}
	return env.raw, nil
}

// envelope is a composed message and what the SMTP dialogue needs to know of it.
type envelope struct {
	from, to string
	utf8     bool // an address needs the SMTPUTF8 extension (RFC 6531)
	raw      []byte
}

func (m Message) compose() (*envelope, error) {
	from, err := parseAddress("From", m.From)
	if err != nil {
		return nil, err
	}
	to, err := parseAddress("To", m.To)
	if err != nil {
		return nil, err
	}
	env := &envelope{from: from, to: to, utf8: !isASCII(from) || !isASCII(to)}

	msg := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	msg.FromMailAddress(&netmail.Address{Name: headerText(m.FromName), Address: from})
	msg.ToMailAddress(&netmail.Address{Address: to})
	if m.ReplyTo != "" {
		replyTo, err := parseAddress("ReplyTo", m.ReplyTo)
		if err != nil {
			return nil, err
		}
		env.utf8 = env.utf8 || !isASCII(replyTo)
		msg.ReplyToMailAddress(&netmail.Address{Address: replyTo})
	}

	id, domain, ok := strings.Cut(m.MessageID, "@")
	if !ok || !isDotAtom(id) || !isDotAtom(domain) {
		return nil, invalid("MessageID", "expected id@domain without angle brackets")
	}
	msg.SetMessageIDWithValue(m.MessageID)
	if m.Date.IsZero() {
		return nil, invalid("Date", "is required")
	}
	msg.SetDateWithValue(m.Date)
	msg.Subject(headerText(m.Subject))
	if err := setHeaders(msg, m.Headers); err != nil {
		return nil, err
	}

	if m.Text == "" {
		return nil, invalid("Text", "is required")
	}
	msg.SetBodyString(gomail.TypeTextPlain, m.Text)
	if m.HTML != "" {
		msg.AddAlternativeString(gomail.TypeTextHTML, m.HTML)
		for _, p := range m.Pictures {
			msg.EmbedReadSeeker(p.Name, bytes.NewReader(p.PNG), gomail.WithFileContentType("image/png"), gomail.WithFileContentID(p.ContentID()))
		}
	}

	var buf bytes.Buffer
	if _, err := msg.WriteTo(&buf); err != nil {
		return nil, &SendError{Reason: "the message could not be composed"}
	}
	env.raw = buf.Bytes()
	return env, nil
}

// ownHeaders are determined by the fields of Message; setting them twice would let a message disagree with its envelope.
var ownHeaders = []string{
	"Bcc", "Cc", "Date", "From", "Message-Id", "Mime-Version", "Reply-To", "Return-Path", "Sender", "Subject", "To",
}

func setHeaders(msg *gomail.Msg, headers map[string]string) error {
	msg.SetGenHeader("Auto-Submitted", "auto-generated")
	for name, value := range headers {
		canonical := textproto.CanonicalMIMEHeaderKey(name)
		switch {
		case !isHeaderName(name):
			return invalid("Headers", "a name is not a header field name")
		case slices.Contains(ownHeaders, canonical) ||
			canonical == "Content-Type" || canonical == "Content-Transfer-Encoding":
			return invalid(fmt.Sprintf("Headers[%q]", canonical), "is set by the message itself")
		case value != headerText(value):
			return invalid(fmt.Sprintf("Headers[%q]", canonical), "must be one line without control characters")
		}
		msg.SetGenHeader(gomail.Header(canonical), value)
	}
	return nil
}
