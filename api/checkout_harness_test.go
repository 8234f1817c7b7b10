package api

import (
	"html"
	"maps"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/purser-dev/purser/models"
)

// till is a visitor on the hosted pages of the door's shop.
type till struct {
	*browser
	path string
}

func (d *door) till() *till { return &till{browser: d.browser()} }

// buy follows a link and returns the checkout page that it leads to.
func (b *till) buy(t testing.TB, link string) answer {
	t.Helper()
	b.path = b.get(t, link).ok(t, 303).header.Get("Location")
	return b.page(t)
}

func (b *till) page(t testing.TB) answer {
	t.Helper()
	return b.get(t, b.path).ok(t, 200)
}

var (
	inputTag  = regexp.MustCompile(`(?s)<input\b[^>]*>`)
	attribute = regexp.MustCompile(`([a-z-]+)(?:="([^"]*)")?`)
	chosen    = regexp.MustCompile(`<option value="([A-Z]*)" selected`)
)

// formOf is what a browser without JavaScript would send from a checkout page as it was loaded.
func formOf(page answer) url.Values {
	form := url.Values{}
	for _, tag := range inputTag.FindAll(page.body, -1) {
		a := map[string]string{}
		for _, m := range attribute.FindAllStringSubmatch(string(tag[len("<input"):]), -1) {
			a[m[1]] = html.UnescapeString(m[2])
		}
		_, checked := a["checked"]
		if a["name"] == "" || (a["type"] == "radio" || a["type"] == "checkbox") && !checked {
			continue
		}
		form.Set(a["name"], a["value"])
	}
	if m := chosen.FindSubmatch(page.body); m != nil {
		form.Set("country", string(m[1]))
	}
	return form
}

// press sends the form of a page with changes, by a button, and follows where it leads within the checkout.
func (b *till) press(t testing.TB, page answer, button string, change url.Values) answer {
	t.Helper()
	form := formOf(page)
	maps.Copy(form, change)
	form.Set("action", button)
	got := b.post(t, b.path, form)
	if to := got.header.Get("Location"); got.status == 303 && strings.HasPrefix(to, "/checkout/") {
		return b.get(t, to)
	}
	return got
}

// ada is who buys.
func ada(change ...string) url.Values {
	v := url.Values{
		"email": {"ada@example.com"}, "first_name": {"Ada"}, "last_name": {"Byron"}, "country": {"GB"}, "method": {"card"}, "terms": {"1"}, "personal_data": {"1"},
	}
	for i := 0; i < len(change); i += 2 {
		if v.Set(change[i], change[i+1]); change[i+1] == "" {
			v.Del(change[i])
		}
	}
	return v
}

// order presses Continue as Ada and returns the order that it makes.
func (b *till) order(t testing.TB, page answer, change ...string) models.OrderView {
	t.Helper()
	to := b.press(t, page, "continue", ada(change...)).ok(t, 303).header.Get("Location")
	token := to[strings.LastIndexByte(to, '/')+1:]
	o, _, err := b.d.store.OrderByToken(t.Context(), token)
	if err != nil {
		t.Fatalf("%s leads to no order: %v", to, err)
	}
	return *o
}

// has fails the test unless the answer has every text.
func (a answer) has(t testing.TB, want ...string) answer {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(string(a.body), w) {
			t.Fatalf("%d has no %q:\n%s", a.status, w, a.body)
		}
	}
	return a
}

// lacks fails the test if the answer has one of the texts.
func (a answer) lacks(t testing.TB, not ...string) answer {
	t.Helper()
	for _, w := range not {
		if strings.Contains(string(a.body), w) {
			t.Errorf("%d has %q:\n%s", a.status, w, a.body)
		}
	}
	return a
}
