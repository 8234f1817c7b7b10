package models_test

import (
	"testing"

	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

func TestMailbox(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		mail := models.MailboxMessage{MessageID: "eml_1@purser.test", Sender: "purser@localhost", Recipient: "ada@example.com", Subject: "Your licence", TextBody: "K-1", HTMLBody: "<b>K-1</b>"}
		for _, err := range race(6, func(int) error { return s.SaveToMailbox(t.Context(), mail) }) {
			if err != nil {
				t.Errorf("the same email again: %v", err)
			}
		}
		other := mail
		other.MessageID, other.Subject = "eml_2@purser.test", "Another"
		if err := s.SaveToMailbox(t.Context(), other); err != nil {
			t.Fatal(err)
		}
		list, next, err := s.Mailbox(t.Context(), models.Page{Limit: 1})
		if err != nil || len(list) != 1 || list[0].Subject != "Another" || next == "" || list[0].TextBody != "" {
			t.Fatalf("list %+v (%v)", list, err)
		}
		list, next, err = s.Mailbox(t.Context(), models.Page{Limit: 1, Cursor: next})
		if err != nil || len(list) != 1 || list[0].Subject != "Your licence" || next != "" {
			t.Fatalf("second page %+v (%v)", list, err)
		}
		got := ok(s.MailboxMessage(t.Context(), list[0].ID))(t)
		want := mail
		want.ID, want.CreatedAt = got.ID, got.CreatedAt
		if *got != want || got.CreatedAt.IsZero() {
			t.Errorf("stored %+v", got)
		}
		for _, id := range []string{"", "mbx_00000000000000000000000000", "mbx_\x00"} {
			_, err := s.MailboxMessage(t.Context(), id)
			wantCode(t, err, models.CodeNotFound)
		}
	})
}
