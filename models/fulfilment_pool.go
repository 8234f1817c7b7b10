package models

import (
	"context"
	"encoding/json"
	"time"

	"gorm.io/gorm"
)

// PoolKey is a licence key that waits in a product's pool for a buyer, or has found one.
type PoolKey struct {
	ID         string `gorm:"primaryKey"`
	MerchantID string
	ProductID  string
	Test       bool // a pool of its own: trying things out never drains real stock
	// Ciphertext is the key, sealed with this row's id; Fingerprint keeps it from being uploaded twice.
	Ciphertext  []byte
	Fingerprint string
	State       string // available, allocated, delivered or revoked; never available again
	ItemID      *string
	CreatedAt   time.Time
}

// The states of a pool key.
const (
	PoolKeyAvailable = "available"
	PoolKeyAllocated = "allocated"
)

const waitingForPool = "pool"

// KeepFromPool takes an item's licences from its product's pool. If there are not enough, or an older item waits already, the
// item becomes a back-order, which the next upload fills.
func (s *Store) KeepFromPool(ctx context.Context, c *Claim) error {
	return s.keep(ctx, c, func(t *tx) error {
		var waits []string
		o, i, err := t.lockItem(c.Args.Item, func(db *gorm.DB) *gorm.DB {
			return waiting(db).Where("(product_id, test) = (SELECT product_id, test FROM items WHERE id = ?)", c.Args.Item).Pluck("id", &waits)
		})
		if err != nil {
			return err
		}
		if !i.wanting(o) || len(i.missing()) == 0 || i.WaitingFor != nil {
			return nil
		}
		if len(waits) == 0 {
			if done, err := t.tryPool(o, i); done || err != nil {
				return err
			}
		}
		// An upload holds the product's lock while it adds keys, and so does the filling that follows it when it looks for the next
		// item. Under that lock, either the keys are here by now, or this item will be found waiting.
		p, err := t.lockPool(i)
		if err != nil {
			return err
		}
		queue, err := t.someoneWaits(i)
		if err != nil {
			return err
		}
		if !queue {
			if done, err := t.takeFromPool(o, i, p, actorWorker, false); done || err != nil {
				return err
			}
		}
		return t.backOrder(o, i, p, queue)
	})
}

// lockPool locks the product of an item, and with it the moment at which its pool runs low or empty. The order is locked.
func (t *tx) lockPool(i *Item) (*Product, error) {
	var p Product
	err := t.s.dialect.lock(t.DB, "").Where("id = ?", i.ProductID).Take(&p).Error
	return &p, err
}

// waiting asks for one of those items that wait for keys: the first, because only the index of those that wait has that order, and PostgreSQL
// would look for any by reading all that were ever sold.
func waiting(db *gorm.DB) *gorm.DB {
	return db.Model(&Item{}).Where("waiting_for = ?", waitingForPool).Order("waiting_since, id").Limit(1)
}

func (t *tx) someoneWaits(i *Item) (bool, error) {
	var ids []string
	err := waiting(t.DB).Where("product_id = ? AND test = ?", i.ProductID, i.Test).Pluck("id", &ids).Error
	return len(ids) > 0, err
}

// tryPool takes keys that nobody else is taking, without the product's lock, so that the buyers of one product do not queue up. When
// there are too few it lets go of those that it has locked (by rolling back to a savepoint), or waiting for the product's lock next
// could end in a deadlock. It is not for where somebody waits already, and does not try where a threshold is set: that the pool has come
// down to it is seen by one buyer only if they come one by one.
func (t *tx) tryPool(o *Order, i *Item) (done bool, err error) {
	if i.product.lowThreshold() != nil {
		return false, nil
	}
	if err := t.later(func(db *gorm.DB) *gorm.DB { return db.Exec("SAVEPOINT pool") }); err != nil {
		return false, err
	}
	if done, err = t.takeFromPool(o, i, i.product, actorWorker, true); done || err != nil {
		return done, err
	}
	return false, t.Exec("ROLLBACK TO SAVEPOINT pool").Error
}

// takeFromPool allocates all the keys that an item lacks, or none. Keys that another transaction is taking are skipped, or
// waited for to see whether it really takes them.
func (t *tx) takeFromPool(o *Order, i *Item, p *Product, actor string, skip bool) (bool, error) {
	missing := i.missing()
	options := ""
	if skip {
		options = "SKIP LOCKED"
	}
	var keys []PoolKey
	err := together(t.DB, func(db *gorm.DB) *gorm.DB {
		return nextKeys(t.s.dialect.lock(db, options), i.ProductID, i.Test, len(missing)).Find(&keys)
	})
	if err != nil || len(keys) < len(missing) {
		return false, err
	}
	ids := make([]string, len(keys))
	licenses := make([]License, len(keys))
	for n := range keys {
		ids[n] = keys[n].ID
		plain, err := t.s.keys.Open(keys[n].Ciphertext, keys[n].ID)
		if err != nil {
			return false, err
		}
		licenses[n] = t.newLicense(i, missing[n], string(plain), &keys[n].ID)
	}
	allocate := func(db *gorm.DB) *gorm.DB {
		return db.Exec(`UPDATE pool_keys SET state = 'allocated', item_id = ? WHERE id IN ? AND state = 'available'`, i.ID, ids)
	}
	if err := t.laterExactly(len(ids), allocate, conflict("The pool has changed meanwhile.")); err != nil {
		return false, err
	}
	if err := t.addLicenses(o, i, licenses, actor); err != nil {
		return false, err
	}
	return true, t.warnOfLowPool(o, i, p, len(keys))
}

// backOrder lets an item wait for an upload, behind all that wait already. The merchant is told by the first of a queue. The product is
// locked.
func (t *tx) backOrder(o *Order, i *Item, p *Product, queue bool) error {
	since := t.s.now() // the transaction's time may be from before those who came to the lock first
	if queue {
		var last []time.Time
		if err := t.Model(&Item{}).Where("product_id = ? AND test = ? AND waiting_for = ?", i.ProductID, i.Test, waitingForPool).
			Order("waiting_since DESC").Limit(1).Pluck("waiting_since", &last).Error; err != nil {
			return err
		}
		if len(last) > 0 && !since.After(last[0]) { // by the clock of another machine, or in the same microsecond
			since = last[0].Add(time.Microsecond)
		}
	}
	if err := t.Model(&Item{}).Where("id = ?", i.ID).Updates(map[string]any{"waiting_for": waitingForPool, "waiting_since": since}).Error; err != nil {
		return err
	}
	t.note(o, "item.waiting", actorWorker, "There are not enough keys in the pool; the item waits for an upload.", map[string]any{"item": i.ID})
	if queue {
		return nil
	}
	fact := i.ID + ":pool_empty"
	if err := t.email(Email{Kind: EmailPoolEmpty, Fact: fact, ItemID: &i.ID, ProductID: &p.ID}, o); err != nil {
		return err
	}
	return t.emitPool(EventPoolEmpty, fact, o.scope(), p)
}

// lowThreshold is how few keys of a product's pool the merchant wants to be told of; nil if not at all.
func (p *Product) lowThreshold() *int {
	var settings struct {
		LowThreshold *int `json:"low_threshold"`
	}
	if err := json.Unmarshal(p.License, &settings); err != nil {
		return nil // not the settings of a pool
	}
	return settings.LowThreshold
}

// warnOfLowPool tells the merchant when an allocation of n keys has brought the pool to its threshold. The product is locked, unless the
// threshold was set a moment ago.
func (t *tx) warnOfLowPool(o *Order, i *Item, p *Product, n int) error {
	threshold := p.lowThreshold()
	if threshold == nil {
		return nil
	}
	var left []string
	if err := nextKeys(t.Model(&PoolKey{}), p.ID, i.Test, *threshold+1).Pluck("id", &left).Error; err != nil {
		return err
	}
	// Only the allocation that crosses the line tells: before it, more than the threshold were left.
	if len(left) > *threshold || len(left)+n <= *threshold {
		return nil
	}
	fact := i.ID + ":pool_low"
	if err := t.email(Email{Kind: EmailPoolLow, Fact: fact, ItemID: &i.ID, ProductID: &p.ID}, o); err != nil {
		return err
	}
	return t.emitPool(EventPoolLow, fact, o.scope(), p)
}

type poolEvent struct {
	Product   poolProduct `json:"product"`
	Available int         `json:"available"`
}

type poolProduct struct {
	ID   string `json:"id"`
	SKU  string `json:"sku"`
	Name string `json:"name"`
}

func (t *tx) emitPool(kind, fact string, sc Scope, p *Product) error {
	n, err := t.countAvailable(p.ID, sc.Test)
	if err != nil {
		return err
	}
	_, err = t.emit(sc, kind, fact, nil, poolEvent{poolProduct{p.ID, p.SKU, p.Name}, n})
	return err
}

// fillBatch bounds how many items one call of FillPool fills.
const fillBatch = 500

// FillPool fills the items that wait for keys of a product, oldest first, each in a transaction of its own, and returns how
// many it filled. It stops at the first for which there are not enough, so that a large order is not overtaken for ever.
func (s *Store) FillPool(ctx context.Context, productID string, test bool, actor string) (filled int, err error) {
	for filled < fillBatch {
		item, err := s.nextWaiting(ctx, productID, test)
		if err != nil || item == "" {
			return filled, err
		}
		done := false
		err = s.write(ctx, func(t *tx) error {
			o, i, err := t.lockItem(item)
			if err != nil {
				return err
			}
			if i.WaitingFor == nil {
				done = true // somebody else was quicker
				return nil
			}
			if !i.wanting(o) {
				done = true
				return t.stopWaiting(i)
			}
			p, err := t.lockPool(i)
			if err != nil {
				return err
			}
			done, err = t.takeFromPool(o, i, p, actor, false)
			return err
		})
		if err != nil || !done {
			return filled, err
		}
		filled++
	}
	return filled, nil
}

// nextWaiting returns the item that has waited longest for keys of a product, or "" if none does. It looks under the product's lock: an
// item that was about to wait because of those before it has done so by then, or will look again and find that nobody is before it.
func (s *Store) nextWaiting(ctx context.Context, productID string, test bool) (string, error) {
	var ids []string
	err := s.write(ctx, func(t *tx) error {
		if _, err := t.lockPool(&Item{ProductID: productID}); err != nil {
			return orNotFound(err, "product")
		}
		return t.Model(&Item{}).Where("product_id = ? AND test = ? AND waiting_for = ?", productID, test, waitingForPool).
			Order("waiting_since, id").Limit(1).Pluck("id", &ids).Error
	})
	if err != nil || len(ids) == 0 {
		return "", err
	}
	return ids[0], nil
}

// FillWaiting fills a product's waiting items until none is left for which there are enough keys.
func (s *Store) FillWaiting(ctx context.Context, productID string, test bool) error {
	for {
		if n, err := s.FillPool(ctx, productID, test, actorWorker); err != nil || n < fillBatch {
			return err
		}
	}
}
