package mail

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"html/template"
	"strings"
)

// Picture is a PNG that travels with an email, so that showing it asks nothing of anybody.
type Picture struct {
	Name string // as a file
	PNG  []byte
}

// ContentID is by what the HTML part names the picture, without angle brackets. It follows from the content, so that it is the
// same on every try.
func (p Picture) ContentID() string {
	sum := sha256.Sum256(p.PNG)
	return hex.EncodeToString(sum[:16]) + "@purser"
}

func (p Picture) url() string { return "cid:" + p.ContentID() }

// PayCodeURL is the address of Data.PayCode within the email.
func (v *view) PayCodeURL() template.URL { return template.URL(v.payCode().url()) }

func (v *view) payCode() Picture { return Picture{Name: "qr.png", PNG: v.PayCode} }

// StandaloneHTML is the HTML part with its pictures inside, for where nothing travels with it.
func (m Message) StandaloneHTML() string {
	page := m.HTML
	for _, p := range m.Pictures {
		page = strings.ReplaceAll(page, `src="`+p.url()+`"`, `src="data:image/png;base64,`+base64.StdEncoding.EncodeToString(p.PNG)+`"`)
	}
	return page
}
