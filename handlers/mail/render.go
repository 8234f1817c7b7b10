package mail

import (
	"fmt"
	htmltemplate "html/template"
	"strings"
	texttemplate "text/template"
)

// Rendered is an email without its addresses.
type Rendered struct {
	Subject  string // one line
	Text     string // plain text part
	HTML     string // HTML part: one document, no remote content
	Language string // the language it was written in, for Content-Language
	Pictures []Picture
}

// Render writes the email of a kind in the language of locale (see [Language]). The same arguments give the same email.
// The error names the field of data that is missing, or the text or template that is broken; never a value.
func Render(kind Kind, locale string, data Data) (Rendered, error) {
	if err := kind.check(data); err != nil {
		return Rendered{}, err
	}
	v, err := newView(kind, locale, data)
	if err != nil {
		return Rendered{}, fmt.Errorf("mail: %s: %w", kind, err)
	}
	r := Rendered{Language: v.tr.lang}
	if err := v.fill(templateSets[kind], &r); err != nil {
		return Rendered{}, fmt.Errorf("mail: %s: %w", kind, err)
	}
	return r, nil
}

// testPrefix marks the subject of test mode in every language, so that staff can filter by it.
const testPrefix = "[TEST] "

// fill executes the templates; subject and title come first, because the layouts show them.
func (v *view) fill(set templateSet, r *Rendered) error {
	var b strings.Builder
	if err := set.text.ExecuteTemplate(&b, "subject", v); err != nil {
		return err
	}
	v.Subject = headerText(b.String())
	if v.Test {
		v.Subject = testPrefix + v.Subject
	}
	r.Subject = v.Subject

	b.Reset()
	if err := set.text.ExecuteTemplate(&b, "title", v); err != nil {
		return err
	}
	v.Title = b.String()

	b.Reset()
	if err := set.text.ExecuteTemplate(&b, "layout", v); err != nil {
		return err
	}
	r.Text = b.String()

	b.Reset()
	if err := set.html.ExecuteTemplate(&b, "layout", v); err != nil {
		return err
	}
	r.HTML = b.String()
	if len(v.PayCode) > 0 && v.HasInstructions() {
		r.Pictures = []Picture{v.payCode()}
	}
	return nil
}

// templateSet is the layout with the body of one kind.
type templateSet struct {
	text *texttemplate.Template
	html *htmltemplate.Template
}

var templateSets = parseTemplates()

func parseTemplates() map[Kind]templateSet {
	sets := make(map[Kind]templateSet, len(kinds))
	for kind := range kinds {
		own := "templates/" + string(kind)
		sets[kind] = templateSet{
			text: texttemplate.Must(texttemplate.ParseFS(templateFiles, "templates/layout.txt.tmpl", own+".txt.tmpl")),
			html: htmltemplate.Must(htmltemplate.ParseFS(templateFiles, "templates/layout.html.tmpl", own+".html.tmpl")),
		}
	}
	return sets
}
