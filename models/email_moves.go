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
	t.address(&e, o)
	res := t.Clauses(clause.OnConflict{Columns: []clause.Column{{Name: "fact"}}, DoNothing: true}).Create(&e)
	if res.Error != nil || res.RowsAffected == 0 {
		return res.Error
	}
	t.stageEmail(&e)
	return nil
}

// firstEmail is email where a move of the same transaction, which happens once, tells that there is none of the kind yet. So nothing has to
// be waited for; the unique constraint stands behind it.
func (t *tx) firstEmail(e Email, o *Order) error {
	t.address(&e, o)
	t.stageEmail(&e)
	return t.later(func(db *gorm.DB) *gorm.DB { return db.Create(&e) })
}

func (t *tx) address(e *Email, o *Order) {
	e.ID, e.Status, e.CreatedAt = newID("eml"), EmailPending, t.now
	e.MerchantID, e.Test, e.OrderID = o.MerchantID, o.Test, &o.ID
	e.JobID = newJobID()
}

func (t *tx) stageEmail(e *Email) {
	t.stage(e.jobKind(), Job{ID: e.JobID, Args: JobArgs{Email: e.ID}, OrderID: e.OrderID, MerchantID: &e.MerchantID})
}

// jobKind is the kind of the job that sends an email.
func (e *Email) jobKind() string {
	if e.Kind == EmailReminder {
		return jobs.KindReminder
	}
	return jobs.KindSendEmail
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
	var products []Product
	ask := func(questions ...question) error { return together(db, questions...) }
	o, err := readOrder(ask, "(SELECT order_id FROM emails WHERE id = ?)", emailID,
		func(db *gorm.DB) *gorm.DB { return db.Where("id = ?", emailID).Take(&m.Email) },
		func(db *gorm.DB) *gorm.DB {
			return db.Where("id = (SELECT merchant_id FROM emails WHERE id = ?)", emailID).Take(&m.Merchant)
		},
		func(db *gorm.DB) *gorm.DB {
			return db.Where(`id = (SELECT COALESCE(e.product_id, i.product_id) FROM emails AS e LEFT JOIN items AS i ON i.id = e.item_id
				WHERE e.id = ?)`, emailID).Find(&products)
		},
	)
	if err != nil {
		return nil, orNotFound(err, "email")
	}
	if m.Email.Status != EmailPending {
		return nil, ErrNothingToDo
	}
	m.Unpaid = o.Status == OrderNotPaid
	m.ExpiresAt = o.UnpaidSince.Add(time.Duration(m.Merchant.Settings.DeleteUnpaidAfter))
	v, err := s.view(o, false)
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
	if len(products) > 0 {
		m.Product = &products[0]
	}
	if m.Email.Kind == EmailOrderLinks {
		if m.Orders, err = s.orderLinks(db, o.scope(), o.CustomerEmail); err != nil {
			return nil, err
		}
	}
	if m.Product != nil && (m.Email.Kind == EmailPoolLow || m.Email.Kind == EmailPoolEmpty) {
		if m.Stock, err = stockOf(db, m.Product.ID, m.Email.Test); err != nil {
			return nil, err
		}
	}
	return &m, nil
}

// Stock is the state of a product's pool.
type Stock struct{ Available, Waiting int }

func stockOf(db *gorm.DB, productID string, test bool) (Stock, error) {
	var available, waiting int64
	if err := availableKeys(db.Model(&PoolKey{}), productID, test).Count(&available).Error; err != nil {
		return Stock{}, err
	}
	err := db.Model(&Item{}).Where("product_id = ? AND test = ? AND waiting_for = ?", productID, test, waitingForPool).Count(&waiting).Error
	return Stock{int(available), int(waiting)}, err
}

// sent is an email that the mail server has taken.
type sent struct {
	claim *Claim
	line  History // about it
}

// KeepSent records that the mail server has taken an email. With a licence email its item is delivered; nothing else follows from one of
// another kind, so that many of them are recorded together.
func (s *Store) KeepSent(ctx context.Context, c *Claim, e *Email) error {
	r := sent{c, sentLine(e, s.now())}
	if e.Kind != EmailLicense {
		if _, together, err := s.mailing.do(ctx, r); together || err != nil {
			return err
		}
	}
	return s.write(ctx, func(t *tx) error { return t.sent(&r) })
}

// sent is KeepSent within a transaction.
func (t *tx) sent(r *sent) error {
	e, o, i, err := t.lockEmail(r.claim.Args.Email)
	if err != nil {
		return err
	}
	// The job's row before the email's, as where many are recorded together.
	if err := t.finish(r.claim, JobDone, nil); err != nil || e.Status != EmailPending {
		return err
	}
	if err := t.finishEmail(e.ID, EmailSent, nil); err != nil {
		return err
	}
	t.history = append(t.history, r.line)
	if e.Kind == EmailLicense && i != nil {
		return t.deliverItem(o, i, actorWorker)
	}
	return nil
}

func sentLine(e *Email, at time.Time) History {
	return History{
		ID: newID("his"), MerchantID: e.MerchantID, OrderID: *e.OrderID, At: at, Kind: "email.sent", Actor: actorWorker, Summary: "An email was sent.",
		Detail: map[string]any{"email": e.ID, "email_kind": e.Kind},
	}
}

// KeepSkipped records that an email is no longer wanted.
func (s *Store) KeepSkipped(ctx context.Context, c *Claim) error {
	return s.write(ctx, func(t *tx) error {
		e, _, _, err := t.lockEmail(c.Args.Email)
		if err != nil {
			return err
		}
		if err := t.finish(c, JobDone, nil); err != nil || e.Status != EmailPending {
			return err
		}
		return t.finishEmail(e.ID, EmailSkipped, nil)
	})
}

// finishEmail is the compare-and-set of an email's status. The order is locked.
func (t *tx) finishEmail(id string, to EmailStatus, reason *string) error {
	return t.laterOne(func(db *gorm.DB) *gorm.DB {
		return db.Model(&Email{}).Where("id = ? AND status = ?", id, EmailPending).
			Updates(map[string]any{"status": to, "error": reason, "finished_at": t.now})
	}, conflict("The email has changed meanwhile."))
}

// lockEmail reads an email under the lock of its order, with its item if it has one.
func (t *tx) lockEmail(id string) (*Email, *Order, *Item, error) {
	var e Email
	o, err := t.lockOrderBy("(SELECT order_id FROM emails WHERE id = ?)", id, "email", func(db *gorm.DB) *gorm.DB {
		return db.Where("id = ?", id).Take(&e)
	})
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
	if e.Status != EmailPending {
		return nil
	}
	if err := t.finishEmail(e.ID, EmailFailed, &reason); err != nil {
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
