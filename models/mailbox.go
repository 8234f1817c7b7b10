package models

import (
	"context"
	"time"

	"gorm.io/gorm/clause"
)

// MailboxMessage is an email in the built-in mailbox, where an installation without an SMTP server keeps what it would have sent.
type MailboxMessage struct {
	ID        string    `gorm:"primaryKey" json:"id"`
	MessageID string    `json:"message_id"`
	Sender    string    `json:"sender"`
	Recipient string    `json:"recipient"`
	Subject   string    `json:"subject"`
	TextBody  string    `json:"text_body"`
	HTMLBody  string    `gorm:"column:html_body" json:"html_body"`
	CreatedAt time.Time `json:"created_at"`
}

// TableName names the table for GORM.
func (MailboxMessage) TableName() string { return "mailbox" }

// SaveToMailbox keeps an email. One whose Message-ID is there already is the same email sent again, and changes nothing.
func (s *Store) SaveToMailbox(ctx context.Context, m MailboxMessage) error {
	return s.write(ctx, func(t *tx) error {
		m.ID, m.CreatedAt = newID("mbx"), t.now
		return t.Clauses(clause.OnConflict{Columns: []clause.Column{{Name: "message_id"}}, DoNothing: true}).Create(&m).Error
	})
}

// Mailbox lists the emails in the mailbox without their bodies, newest first.
func (s *Store) Mailbox(ctx context.Context, page Page) ([]MailboxMessage, string, error) {
	q := s.read(ctx).Select("id", "message_id", "sender", "recipient", "subject", "created_at")
	return paginate(q, page, func(m *MailboxMessage) string { return m.ID })
}

// MailboxMessage returns an email in the mailbox.
func (s *Store) MailboxMessage(ctx context.Context, id string) (*MailboxMessage, error) {
	if !isID(id, "mbx") {
		return nil, notFound("email")
	}
	var m MailboxMessage
	if err := s.read(ctx).Where("id = ?", id).Take(&m).Error; err != nil {
		return nil, orNotFound(err, "email")
	}
	return &m, nil
}
