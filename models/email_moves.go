package models

import (
	"context"
	"errors"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/purser-dev/purser/jobs"
)

// email stages an email about an order. One that was staged before is left as it is.
func (t *tx) email(e Email, o *Order) error {
	e.ID, e.Status, e.CreatedAt = newID("eml"), EmailPending, t.now
	e.MerchantID, e.Test, e.OrderID = o.MerchantID, o.Test, &o.ID
	e.JobID = newJobID()
	res := t.Clauses(clause.OnConflict{Columns: []clause.Column{{Name: "fact"}}, DoNothing: true}).Create(&e)
	if res.Error != nil || res.RowsAffected == 0 {
		return res.Error
	}
	t.stage(jobs.KindSendEmail, Job{ID: e.JobID, Args: JobArgs{Email: e.ID}, OrderID: e.OrderID, MerchantID: &e.MerchantID})
	return nil
}

// Mailing is an email with everything that its text and recipient are derived from.
type Mailing struct {
	Email    Email
	Merchant Merchant
	Order    OrderView // with licence keys
	Item     *ItemView // of a licence email, or of a notice to the merchant
	Product  *Product
	Stock    Stock       // of a notice about a pool
	Orders   []OrderLink // of an email with a customer's order links
	// Unpaid is false when a reminder is no longer wanted.
	Unpaid bool
	// ExpiresAt is when an unpaid order will be deleted.
	ExpiresAt time.Time
}

// Mailing loads an email that is to be sent now. ErrNothingToDo: it was sent, or given up, before.
func (s *Store) Mailing(ctx context.Context, emailID string) (*Mailing, error) {
	db := s.read(ctx)
	var m Mailing
	if err := db.Where("id = ?", emailID).Take(&m.Email).Error; err != nil {
		return nil, orNotFound(err, "email")
	}
	if m.Email.Status != EmailPending {
		return nil, ErrNothingToDo
	}
	if err := db.Where("id = ?", m.Email.MerchantID).Take(&m.Merchant).Error; err != nil {
		return nil, err
	}
	if m.Email.OrderID == nil {
		return nil, errors.New("models: an email without an order")
	}
	var o Order
	if err := db.Where("id = ?", *m.Email.OrderID).Take(&o).Error; err != nil {
		return nil, err
	}
	if err := loadOrder(db, &o); err != nil {
		return nil, err
	}
	m.Unpaid = o.Status == OrderNotPaid
	m.ExpiresAt = o.UnpaidSince.Add(time.Duration(m.Merchant.Settings.DeleteUnpaidAfter))
	v, err := s.view(&o, false)
	if err != nil {
		return nil, err
	}
	m.Order = *v
	if m.Email.ItemID != nil {
		for i := range m.Order.Items {
			if m.Order.Items[i].ID == *m.Email.ItemID {
				m.Item = &m.Order.Items[i]
			}
		}
		if m.Item == nil {
			return nil, notFound("item")
		}
	}
	product := ""
	if m.Email.ProductID != nil {
		product = *m.Email.ProductID
	} else if m.Item != nil {
		product = m.Item.Product
	}
	if product != "" {
		m.Product = &Product{}
		if err := db.Where("id = ?", product).Take(m.Product).Error; err != nil {
			return nil, err
		}
	}
	if m.Email.Kind == EmailOrderLinks {
		if m.Orders, err = s.orderLinks(db, o.scope(), o.CustomerEmail); err != nil {
			return nil, err
		}
	}
	if m.Email.Kind == EmailPoolLow || m.Email.Kind == EmailPoolEmpty {
		if m.Stock, err = stockOf(db, product, m.Email.Test); err != nil {
			return nil, err
		}
	}
	return &m, nil
}

// Stock is the state of a product's pool.
type Stock struct{ Available, Waiting int }

func stockOf(db *gorm.DB, productID string, test bool) (Stock, error) {
	var available, waiting int64
	if err := db.Model(&PoolKey{}).Where("product_id = ? AND test = ? AND state = ?", productID, test, PoolKeyAvailable).Count(&available).Error; err != nil {
		return Stock{}, err
	}
	err := db.Model(&Item{}).Where("product_id = ? AND test = ? AND waiting_for = ?", productID, test, waitingForPool).Count(&waiting).Error
	return Stock{int(available), int(waiting)}, err
}

// KeepSent records that the mail server has taken an email. With a licence email its item is delivered.
func (s *Store) KeepSent(ctx context.Context, c *Claim) error {
	return s.keep(ctx, c, func(t *tx) error {
		e, o, i, err := t.lockEmail(c.Args.Email)
		if err != nil {
			return err
		}
		if moved, err := t.finishEmail(e, EmailSent, nil); err != nil || !moved {
			return err
		}
		t.note(o, "email.sent", actorWorker, "An email was sent.", map[string]any{"email": e.ID, "email_kind": e.Kind})
		if e.Kind == EmailLicense && i != nil {
			return t.deliverItem(o, i, actorWorker)
		}
		return nil
	})
}

// KeepSkipped records that an email is no longer wanted.
func (s *Store) KeepSkipped(ctx context.Context, c *Claim) error {
	return s.keep(ctx, c, func(t *tx) error {
		_, err := t.finishEmail(&Email{ID: c.Args.Email}, EmailSkipped, nil)
		return err
	})
}

func (t *tx) finishEmail(e *Email, to EmailStatus, reason *string) (bool, error) {
	res := t.Model(&Email{}).Where("id = ? AND status = ?", e.ID, EmailPending).
		Updates(map[string]any{"status": to, "error": reason, "finished_at": t.now})
	return res.RowsAffected == 1, res.Error
}

// lockEmail reads an email under the lock of its order, with its item if it has one.
func (t *tx) lockEmail(id string) (*Email, *Order, *Item, error) {
	var e Email
	if err := t.Where("id = ?", id).Take(&e).Error; err != nil {
		return nil, nil, nil, orNotFound(err, "email")
	}
	if e.OrderID == nil {
		return nil, nil, nil, errors.New("models: an email without an order")
	}
	o, err := t.lockOrder(*e.OrderID)
	if err != nil {
		return nil, nil, nil, err
	}
	if e.ItemID == nil {
		return &e, o, nil, nil
	}
	return &e, o, o.item(*e.ItemID), nil
}

// failEmail gives an email up. A licence that could not be sent leaves its item waiting for a person.
func (t *tx) failEmail(id, reason, actor string) error {
	e, o, i, err := t.lockEmail(id)
	if err != nil {
		return err
	}
	if moved, err := t.finishEmail(e, EmailFailed, &reason); err != nil || !moved {
		return err
	}
	t.note(o, "email.failed", actor, "An email could not be sent.", map[string]any{"email": e.ID, "email_kind": e.Kind, "reason": reason})
	if e.Kind == EmailLicense && i != nil {
		return t.failItem(i.ID, "The licence email could not be sent: "+reason, actor)
	}
	return nil
}

// resumeEmail makes an email that was given up due again.
func (t *tx) resumeEmail(fact, actor string) error {
	var e Email
	err := t.Where("fact = ?", fact).Take(&e).Error
	if errors.Is(err, gorm.ErrRecordNotFound) {
		return notFound("email")
	}
	if err != nil {
		return err
	}
	if e.Status != EmailFailed {
		return nil
	}
	return t.reviveJob(e.JobID, actor)
}
