package main

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/purser-dev/purser/handlers/mail"
	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

// What travels with an email is in the mailbox too, where no other part of the email is.
func TestTheMailboxKeepsPictures(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shown := mail.Picture{Name: "qr.png", PNG: []byte("\x89PNG picture")}
		err := mailbox{s}.Send(t.Context(), mail.Message{
			From: "shop@example.com", To: "ada@example.com", Subject: "Pay", Text: "Pay", MessageID: "1@example.com",
			HTML: `<p>cid: <img src="cid:` + shown.ContentID() + `" alt="code"></p>`, Pictures: []mail.Picture{shown},
		})
		if err != nil {
			t.Fatal(err)
		}
		list, _, err := s.Mailbox(t.Context(), models.Page{Limit: 2})
		if err != nil || len(list) != 1 {
			t.Fatalf("%d emails, %v", len(list), err)
		}
		kept, err := s.MailboxMessage(t.Context(), list[0].ID)
		if err != nil {
			t.Fatal(err)
		}
		before, rest, _ := strings.Cut(kept.HTMLBody, `src="data:image/png;base64,`)
		picture, after, _ := strings.Cut(rest, `"`)
		if got, err := base64.StdEncoding.DecodeString(picture); err != nil || !bytes.Equal(got, shown.PNG) || before != "<p>cid: <img " || after != ` alt="code"></p>` {
			t.Errorf("%q, %v", kept.HTMLBody, err)
		}
	})
}
