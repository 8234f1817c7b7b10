package main

import (
	"context"

	"github.com/purser-dev/purser/handlers/mail"
	"github.com/purser-dev/purser/models"
)

// mailbox is the mail.Sender of an installation without an SMTP server: what would be sent can be read at /mailbox.
type mailbox struct{ store *models.Store }

// Send keeps the message. A repeated one, known by its Message-ID, is kept once.
func (m mailbox) Send(ctx context.Context, msg mail.Message) error {
	return m.store.SaveToMailbox(ctx, models.MailboxMessage{
		MessageID: msg.MessageID, Sender: msg.From, Recipient: msg.To, Subject: msg.Subject, TextBody: msg.Text, HTMLBody: msg.StandaloneHTML(),
	})
}
