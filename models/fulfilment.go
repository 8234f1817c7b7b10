package models

import (
	"context"
	"errors"
	"time"

	"gorm.io/gorm"

	"github.com/purser-dev/purser/jobs"
)

// Fulfilment is what a worker needs to know to produce an item's licences.
type Fulfilment struct {
	Order   Order
	Item    Item
	Product Product
	// Missing are the units that have no licence yet, from 1.
	Missing []int
}

// ErrNothingToDo means that a job's work is done already or no longer wanted; the job is to be kept.
var ErrNothingToDo = errors.New("models: nothing to do")

// Fulfilment loads an item whose licences are to be produced. ErrNothingToDo: it has them, or its order is not paid.
func (s *Store) Fulfilment(ctx context.Context, itemID string) (*Fulfilment, error) {
	var f Fulfilment
	err := together(s.read(ctx),
		func(db *gorm.DB) *gorm.DB { return db.Where("id = ?", itemID).Take(&f.Item) },
		func(db *gorm.DB) *gorm.DB {
			return db.Where("id = (SELECT order_id FROM items WHERE id = ?)", itemID).Take(&f.Order)
		},
		func(db *gorm.DB) *gorm.DB {
			return db.Where("item_id = ?", itemID).Order("unit").Find(&f.Item.Licenses)
		},
		func(db *gorm.DB) *gorm.DB {
			return db.Where("id = (SELECT product_id FROM items WHERE id = ?)", itemID).Take(&f.Product)
		},
	)
	if err != nil {
		return nil, orNotFound(err, "item")
	}
	f.Missing = f.Item.missing()
	if !f.Item.wanting(&f.Order) || len(f.Missing) == 0 {
		return nil, ErrNothingToDo
	}
	return &f, nil
}

// wanting reports whether an item still is to get licences by itself.
func (i *Item) wanting(o *Order) bool {
	return o.Status == OrderPaid && (i.FulfillmentStatus == NotDelivered || i.FulfillmentStatus == PartiallyDelivered)
}

func (i *Item) missing() []int {
	has := make(map[int]bool, len(i.Licenses))
	for _, l := range i.Licenses {
		has[l.Unit] = true
	}
	var out []int
	for u := 1; u <= i.units(); u++ {
		if !has[u] {
			out = append(out, u)
		}
	}
	return out
}

// KeepLicenses saves the licences that a worker has produced, one for each missing unit in their order, and starts what
// follows: the licence email, or delivery where the merchant does the telling.
func (s *Store) KeepLicenses(ctx context.Context, c *Claim, keys []string) error {
	return s.keep(ctx, c, func(t *tx) error {
		o, i, err := t.lockItem(c.Args.Item)
		if err != nil {
			return err
		}
		missing := i.missing()
		if !i.wanting(o) || len(missing) == 0 {
			return nil
		}
		if len(keys) < len(missing) {
			return errors.New("models: fewer licences than units")
		}
		licenses := make([]License, len(missing))
		for n, unit := range missing {
			licenses[n] = t.newLicense(i, unit, keys[n], nil)
		}
		return t.addLicenses(o, i, licenses, actorWorker)
	})
}

// lockItem locks an item's order and loads all of it, and the item's product. What is to be asked too is asked under the lock.
func (t *tx) lockItem(id string, too ...question) (*Order, *Item, error) {
	var p Product
	product := func(db *gorm.DB) *gorm.DB {
		return db.Where("id = (SELECT product_id FROM items WHERE id = ?)", id).Take(&p)
	}
	o, err := t.lockOrderBy("(SELECT order_id FROM items WHERE id = ?)", id, "item", append([]question{product}, too...)...)
	if err != nil {
		return nil, nil, err
	}
	i := o.item(id)
	if i == nil {
		return nil, nil, notFound("item")
	}
	i.product = &p
	return o, i, nil
}

func (t *tx) newLicense(i *Item, unit int, key string, poolKey *string) License {
	l := License{
		ID: newID("lic"), MerchantID: i.MerchantID, Test: i.Test, OrderID: i.OrderID, ItemID: i.ID, ProductID: i.ProductID, Unit: unit,
		Method: i.LicenseMethod, Fingerprint: t.s.keys.Fingerprint(key), PoolKeyID: poolKey, Status: LicenseActive, CreatedAt: t.now,
	}
	l.Ciphertext = t.s.keys.Seal([]byte(key), l.ID)
	return l
}

// addLicenses saves licences of an item whose order is locked. The unique constraint on item and unit stands behind the check.
func (t *tx) addLicenses(o *Order, i *Item, licenses []License, actor string) error {
	if err := laterRows(t, licenses); err != nil {
		return err
	}
	i.Licenses = append(i.Licenses, licenses...)
	t.note(o, "item.licensed", actor, "Licences were produced.", map[string]any{"item": i.ID, "method": i.LicenseMethod, "count": len(licenses)})
	if len(i.missing()) > 0 {
		return nil
	}
	if err := t.stopWaiting(i); err != nil {
		return err
	}
	if i.product.EmailLicense {
		return t.firstEmail(Email{Kind: EmailLicense, Fact: i.ID + ":license", ItemID: &i.ID}, o)
	}
	return t.deliverItem(o, i, actor)
}

// stopWaiting takes an item out of its queue, if it is in one. The order is locked.
func (t *tx) stopWaiting(i *Item) error {
	if i.WaitingFor == nil {
		return nil
	}
	i.WaitingFor, i.WaitingSince = nil, nil
	return t.later(func(db *gorm.DB) *gorm.DB {
		return db.Model(&Item{}).Where("id = ?", i.ID).Updates(map[string]any{"waiting_for": nil, "waiting_since": nil})
	})
}

// deliverItem moves an item that has its licences to delivered, and with the last of them the order. The order is locked.
func (t *tx) deliverItem(o *Order, i *Item, actor string) error {
	if i.FulfillmentStatus == FulfillmentFailed {
		// An email that got through after all: the item leaves failed by the way that the table allows.
		if err := t.moveItem(o, i, NotDelivered, nil, actor); err != nil {
			return err
		}
	}
	if i.FulfillmentStatus == Delivered {
		return nil
	}
	if err := t.moveItem(o, i, Delivered, nil, actor); err != nil {
		return err
	}
	if err := t.later(func(db *gorm.DB) *gorm.DB {
		return db.Exec(`UPDATE licenses SET delivered_at = ? WHERE item_id = ? AND delivered_at IS NULL`, t.now, i.ID)
	}); err != nil {
		return err
	}
	if err := t.later(func(db *gorm.DB) *gorm.DB {
		return db.Exec(`UPDATE pool_keys SET state = 'delivered' WHERE item_id = ? AND state = 'allocated'`, i.ID)
	}); err != nil {
		return err
	}
	for n := range i.Licenses {
		if i.Licenses[n].DeliveredAt == nil {
			i.Licenses[n].DeliveredAt = &t.now
		}
	}
	if err := t.emitItem(EventProductDelivered, i.ID+":delivered", o, i); err != nil {
		return err
	}
	if o.FulfillmentStatus != Delivered {
		return nil
	}
	t.note(o, "order.delivered", actor, "Every item is delivered.", nil)
	return t.emitOrder(EventOrderDelivered, o.ID+":delivered", o)
}

// moveItem is the compare-and-set of an item's fulfilment; the order's follows from it. The order is locked.
func (t *tx) moveItem(o *Order, i *Item, to FulfillmentStatus, failure *string, actor string) error {
	if noop, err := step(itemMoves, "item", i.FulfillmentStatus, to); noop || err != nil {
		return err
	}
	columns := map[string]any{"fulfillment_status": to, "failure": failure, "delivered_at": nil}
	if to == Delivered {
		columns["delivered_at"] = t.now
	}
	if to == Delivered || to == FulfillmentFailed {
		columns["waiting_for"], columns["waiting_since"] = nil, nil
		i.WaitingFor, i.WaitingSince = nil, nil
	}
	move := func(db *gorm.DB) *gorm.DB {
		return db.Model(&Item{}).Where("id = ? AND fulfillment_status = ?", i.ID, i.FulfillmentStatus).Updates(columns)
	}
	if err := t.laterOne(move, conflict("The item has changed meanwhile.")); err != nil {
		return err
	}
	detail := map[string]any{"item": i.ID, "from": i.FulfillmentStatus, "to": to}
	if failure != nil {
		detail["failure"] = *failure
	}
	t.note(o, "item."+string(to), actor, "The item is "+string(to)+".", detail)
	i.FulfillmentStatus, i.Failure = to, failure
	if to == Delivered {
		i.DeliveredAt = &t.now
	}
	derived := fulfillmentOf(o.Items)
	if derived == o.FulfillmentStatus {
		return nil
	}
	o.FulfillmentStatus, o.DeliveredAt = derived, nil
	if derived == Delivered {
		o.DeliveredAt = &t.now
	}
	return t.later(func(db *gorm.DB) *gorm.DB {
		return db.Model(&Order{}).Where("id = ?", o.ID).Updates(map[string]any{"fulfillment_status": derived, "delivered_at": o.DeliveredAt})
	})
}

// itemEvent is the data of an event about one item.
type itemEvent struct {
	Order *OrderView `json:"order"`
	Item  ItemView   `json:"item"`
}

func (t *tx) emitItem(kind, fact string, o *Order, i *Item) error {
	ov, err := t.s.view(o, true)
	if err != nil {
		return err
	}
	iv, err := t.s.itemView(i, true)
	if err != nil {
		return err
	}
	_, err = t.emit(o.scope(), kind, fact, &o.ID, itemEvent{ov, iv})
	return err
}

// failFulfilment is failItem for an item that could not get its licences. One that has them by another way is as it should be.
func (t *tx) failFulfilment(itemID, reason, actor string) error {
	_, i, err := t.lockItem(itemID)
	if err != nil || len(i.missing()) == 0 {
		return err
	}
	return t.failItem(itemID, reason, actor)
}

// failItem moves an item to failed, where it waits for a person, and tells the merchant. An item that is delivered stays so.
func (t *tx) failItem(itemID, reason, actor string) error {
	o, i, err := t.lockItem(itemID)
	if err != nil {
		return err
	}
	if i.FulfillmentStatus == Delivered || i.FulfillmentStatus == FulfillmentFailed {
		return nil
	}
	waited := i.WaitingFor != nil
	if err := t.moveItem(o, i, FulfillmentFailed, &reason, actor); err != nil {
		return err
	}
	if waited {
		// Those behind it in the queue may be served by what it was too large for.
		t.stage(jobs.KindFillPool, Job{Args: JobArgs{Product: i.ProductID, Test: i.Test}, MerchantID: &o.MerchantID})
	}
	fact := i.ID + ":failed:" + t.now.Format(time.RFC3339Nano)
	if err := t.email(Email{Kind: EmailFulfillmentFailed, Fact: fact, ItemID: &i.ID}, o); err != nil {
		return err
	}
	return t.emitItem(EventFulfillmentFailed, fact, o, i)
}

// RetryItem starts a failed item again: from its licences if it has none, or else from its email.
func (s *Store) RetryItem(ctx context.Context, sc Scope, orderID, itemID, actor string) (*OrderView, error) {
	var view *OrderView
	err := s.write(ctx, func(t *tx) error {
		o, err := t.lockOrderOf(sc, orderID)
		if err != nil {
			return err
		}
		i := o.item(itemID)
		if i == nil {
			return notFound("item")
		}
		if i.FulfillmentStatus != FulfillmentFailed {
			return conflict("The item is %s; only a failed item can be retried.", i.FulfillmentStatus)
		}
		if err := t.restartItem(o, i, actor); err != nil {
			return err
		}
		view, err = s.view(o, false)
		return err
	})
	return view, err
}

func (t *tx) restartItem(o *Order, i *Item, actor string) error {
	if err := t.moveItem(o, i, NotDelivered, nil, actor); err != nil {
		return err
	}
	if len(i.missing()) == 0 {
		return t.resumeEmail(i.ID+":license", actor)
	}
	// The promise that failed has an heir, and waits for nobody any more.
	if err := t.Exec(`UPDATE jobs SET state = 'cancelled' WHERE order_id = ? AND kind = ? AND state = 'dead' AND args->>'item' = ?`,
		i.OrderID, jobs.KindFulfil, i.ID).Error; err != nil {
		return err
	}
	t.stageFulfilment(i)
	return nil
}

// stageFulfilment promises to produce the licences that an item lacks.
func (t *tx) stageFulfilment(i *Item) {
	t.stage(jobs.KindFulfil, Job{Args: JobArgs{Item: i.ID, Pool: i.LicenseMethod == MethodPool}, OrderID: &i.OrderID, MerchantID: &i.MerchantID})
}
