package api

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

func mailboxWith(t *testing.T, s *models.Store, subjects ...string) {
	t.Helper()
	for i, subject := range subjects {
		err := s.SaveToMailbox(t.Context(), models.MailboxMessage{
			MessageID: fmt.Sprintf("%d@localhost", i), Sender: "shop@example.com", Recipient: "ada@example.com", Subject: subject,
			TextBody: "Dear <Ada>,\nyour key", HTMLBody: "<html><head><title>x</title></head><body><p>Dear Ada</p><script>alert(1)</script></body></html>",
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

var mailLink = regexp.MustCompile(`href="(/mailbox/mbx_[0-9a-z]+)"`)

func TestTheMailboxShowsEmails(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s, func(c *Config) { c.Mailbox = true })
		b := d.signedIn(t, models.RoleViewer)
		if page := b.get(t, "/mailbox").ok(t, 200); !bytes.Contains(page.body, []byte("No email yet")) {
			t.Errorf("%s", page.body)
		}
		mailboxWith(t, s, "First", "<script>second</script>")
		list := b.get(t, "/mailbox").ok(t, 200)
		first, second := bytes.Index(list.body, []byte(">First<")), bytes.Index(list.body, []byte("&lt;script&gt;second"))
		if second < 0 || first < second {
			t.Errorf("not newest first, or not escaped: %s", list.body)
		}
		link := string(mailLink.FindSubmatch(list.body)[1])
		page := b.get(t, link).ok(t, 200)
		if !bytes.Contains(page.body, []byte(`sandbox="allow-popups allow-popups-to-escape-sandbox" src="`+link+`/html"`)) {
			t.Errorf("no sandbox: %s", page.body)
		}
		if bytes.Contains(page.body, []byte("Dear Ada")) || bytes.Contains(page.body, []byte("<script")) {
			t.Errorf("the email's HTML is in our page: %s", page.body)
		}
		if policy := page.header.Get("Content-Security-Policy"); !strings.HasSuffix(policy, "; frame-src 'self'") {
			t.Errorf("policy %q", policy)
		}
		html := b.get(t, link+"/html").ok(t, 200)
		policy := html.header.Get("Content-Security-Policy")
		if !strings.HasPrefix(policy, "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; ") || strings.Contains(policy, "script") ||
			strings.Contains(policy, "allow-same-origin") || html.header.Get("X-Frame-Options") != "SAMEORIGIN" {
			t.Errorf("%v", html.header)
		}
		if !bytes.HasPrefix(html.body, []byte(`<html><head><base target="_blank"><title>`)) {
			t.Errorf("%s", html.body)
		}
		text := b.get(t, link+"?part=text").ok(t, 200)
		if !bytes.Contains(text.body, []byte("Dear &lt;Ada&gt;,\nyour key")) || bytes.Contains(text.body, []byte("<iframe")) {
			t.Errorf("%s", text.body)
		}
		b.get(t, "/mailbox/mbx_00000000000000000000000000").ok(t, 404)
		b.get(t, "/mailbox?cursor=nonsense").ok(t, 422)
	})
}

func TestTheMailboxHasPages(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s, func(c *Config) { c.Mailbox, c.Demo = true, true })
		subjects := make([]string, 60)
		for i := range subjects {
			subjects[i] = fmt.Sprintf("Number %d.", i)
		}
		mailboxWith(t, s, subjects...)
		page := d.browser().get(t, "/mailbox").ok(t, 200) // open with the demo
		older := regexp.MustCompile(`href="(/mailbox\?cursor=[^"]+)"`).FindSubmatch(page.body)
		if n := len(mailLink.FindAll(page.body, -1)); n != 50 || older == nil {
			t.Fatalf("%d emails, older %s", n, older)
		}
		page = d.browser().get(t, string(older[1])).ok(t, 200)
		if n := len(mailLink.FindAll(page.body, -1)); n != 10 || !bytes.Contains(page.body, []byte("Number 0.")) || bytes.Contains(page.body, []byte("Older")) {
			t.Errorf("%d emails: %s", n, page.body)
		}
	})
}

func TestWithAMailServerThereIsNoMailbox(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s, func(c *Config) { c.Demo = true })
		mailboxWith(t, s, "First")
		admin := d.signedIn(t, models.RoleAdmin)
		admin.get(t, "/mailbox").want(t, 404, codeNotFound)
		if page := admin.get(t, "/operator").ok(t, 200); bytes.Contains(page.body, []byte("/mailbox")) {
			t.Error("the overview leads there all the same")
		}
	})
}
