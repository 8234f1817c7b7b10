package api

import (
	"net/url"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/purser-dev/purser/models"
)

// mailRow is an email as the mailbox's pages show it.
type mailRow struct {
	ID, From, To, Subject, MessageID string
	At                               time.Time
}

func describeMail(m *models.MailboxMessage) mailRow {
	return mailRow{ID: m.ID, From: m.Sender, To: m.Recipient, Subject: m.Subject, MessageID: m.MessageID, At: m.CreatedAt}
}

// mailboxPage lists the emails that were sent, newest first.
func (s *Server) mailboxPage(c *fiber.Ctx) error {
	found, cursor, err := s.store.Mailbox(c.UserContext(), models.Page{Limit: 50, Cursor: c.Query("cursor")})
	if err != nil {
		return err
	}
	list := struct {
		Emails []mailRow
		Older  string
	}{}
	for i := range found {
		list.Emails = append(list.Emails, describeMail(&found[i]))
	}
	if cursor != "" {
		list.Older = "/mailbox?cursor=" + url.QueryEscape(cursor)
	}
	return s.show(c, fiber.StatusOK, "mailbox", s.operatorView(c, "Mailbox", accountOf(c), list))
}

// emailPage shows one email: as HTML in a frame where it can do nothing, or with ?part=text as text.
func (s *Server) emailPage(c *fiber.Ctx) error {
	m, err := s.store.MailboxMessage(c.UserContext(), c.Params("id"))
	if err != nil {
		return err
	}
	address := "/mailbox/" + m.ID
	asText := m.HTMLBody == "" || c.Query("part") == "text"
	data := struct {
		mailRow
		HTML, Text string
		Tabs       []navLink
	}{mailRow: describeMail(m)}
	if m.HTMLBody != "" {
		data.Tabs = append(data.Tabs, navLink{"HTML", address, !asText})
	}
	data.Tabs = append(data.Tabs, navLink{"Plain text", address + "?part=text", asText})
	if asText {
		data.Text = m.TextBody
	} else {
		data.HTML = address + "/html"
		c.Set(fiber.HeaderContentSecurityPolicy, framedPolicy)
	}
	title := m.Subject
	if title == "" {
		title = "Email"
	}
	return s.show(c, fiber.StatusOK, "mailbox_email", s.operatorView(c, title, accountOf(c), data))
}

// emailPolicy is the Content-Security-Policy of an email's HTML, opened in a frame or by itself: styles of its own, and nothing
// else. Its links open a new window, or nobody could try them out.
const emailPolicy = "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"

// emailHTML answers an email's HTML as it was sent, except that its links open a new window.
func (s *Server) emailHTML(c *fiber.Ctx) error {
	m, err := s.store.MailboxMessage(c.UserContext(), c.Params("id"))
	if err != nil {
		return err
	}
	if m.HTMLBody == "" {
		return newProblem(codeNotFound, "")
	}
	pageHeaders(c, emailPolicy)
	c.Set(fiber.HeaderXFrameOptions, "SAMEORIGIN")
	return c.SendString(withBlankTarget(m.HTMLBody))
}

// withBlankTarget puts a base element without an address first in the head, or first of all where there is none.
func withBlankTarget(page string) string {
	const base = `<base target="_blank">`
	if i := strings.Index(page, "<head>"); i >= 0 {
		i += len("<head>")
		return page[:i] + base + page[i:]
	}
	return base + page
}
