package models

import (
	"context"
	"time"
	"unicode/utf8"

	"gorm.io/gorm"
)

// RefundStatus is the state of a refund.
type RefundStatus string

// The refund statuses.
const (
	RefundRequested  RefundStatus = "requested"
	RefundProcessing RefundStatus = "processing"
	RefundCompleted  RefundStatus = "completed"
	RefundDeclined   RefundStatus = "declined"
	RefundFailed     RefundStatus = "failed"
)

// Refund is money that a customer asked back, or was given back.
type Refund struct {
	ID         string `gorm:"primaryKey"`
	OrderID    string
	MerchantID string
	Test       bool
	Status     RefundStatus
	Amount     int64 // minor units
	Currency   string
	Reason     string
	CreatedAt  time.Time
	UpdatedAt  time.Time
}

// RefundView is a refund as the outside sees it.
type RefundView struct {
	ID        string       `json:"id"`
	Order     string       `json:"order"`
	Status    RefundStatus `json:"status"`
	Amount    int64        `json:"amount"`
	Currency  string       `json:"currency"`
	Reason    string       `json:"reason"`
	CreatedAt time.Time    `json:"created_at"`
}

const maxRefundReason = 500

// RequestRefund records that a customer asks for the whole price of an order back, where the merchant allows it. Staff decide.
func (s *Store) RequestRefund(ctx context.Context, token, reason string) error {
	var bad invalids
	checkText(&bad, "reason", reason, maxRefundReason)
	if reason == "" || !utf8.ValidString(reason) {
		bad.add("reason", "is required")
	}
	if err := bad.err(); err != nil {
		return err
	}
	return s.write(ctx, func(t *tx) error {
		found, err := orderByToken(t.DB, token)
		if err != nil {
			return err
		}
		o, err := t.lockOrder(found.ID)
		if err != nil {
			return err
		}
		var m Merchant
		if err := t.Where("id = ?", o.MerchantID).Take(&m).Error; err != nil {
			return err
		}
		open, err := openRefund(t.DB, o.ID)
		switch {
		case err != nil:
			return err
		case !m.Settings.RefundRequests:
			return conflict("Refunds are not requested on this page; please write to the support.")
		case o.Status != OrderPaid || o.Total == 0 || o.AmountRefunded >= o.Total:
			return conflict("There is nothing to refund.")
		case open != nil:
			return nil // asked for already
		}
		r := Refund{
			ID: newID("rfd"), OrderID: o.ID, MerchantID: o.MerchantID, Test: o.Test, Status: RefundRequested,
			Amount: o.Total - o.AmountRefunded, Currency: o.Currency, Reason: reason, CreatedAt: t.now, UpdatedAt: t.now,
		}
		if err := t.Create(&r).Error; err != nil {
			return err
		}
		t.note(o, "refund.requested", actorCustomer, "The customer asked for a refund.", map[string]any{"refund": r.ID, "amount": r.Amount})
		return t.emitOrder(EventRefundRequested, r.ID+":requested", o)
	})
}

// OpenRefund returns the refund of an order that waits for staff or is under way, or nil.
func (s *Store) OpenRefund(ctx context.Context, orderID string) (*RefundView, error) {
	r, err := openRefund(s.read(ctx), orderID)
	if r == nil || err != nil {
		return nil, err
	}
	return &RefundView{r.ID, r.OrderID, r.Status, r.Amount, r.Currency, r.Reason, r.CreatedAt}, nil
}

func openRefund(db *gorm.DB, orderID string) (*Refund, error) {
	var found []Refund
	err := db.Where("order_id = ? AND status IN ?", orderID, []RefundStatus{RefundRequested, RefundProcessing}).Limit(1).Find(&found).Error
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return &found[0], nil
}
