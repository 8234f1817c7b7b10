package models

import (
	"context"
	"unicode/utf8"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/purser-dev/purser/jobs"
)

// MaxPoolUpload is how many keys one upload may have.
const MaxPoolUpload = 50_000

// maxLicenseKey is the longest licence key, in bytes.
const maxLicenseKey = 4096

// poolBatch is how many keys one statement inserts: nine parameters each, of the 65,535 that PostgreSQL and the 32,766 that
// SQLite takes.
const poolBatch = 2000

// PoolUpload tells what became of an upload.
type PoolUpload struct {
	Added      int `json:"added"`
	Duplicates int `json:"duplicates" doc:"Keys that the upload has twice, or that the product's pool has or ever had."`
	Available  int `json:"available" doc:"Keys for sale after the upload, without those for the waiting items that it fills."`
	// FilledItems is how many waiting items the keys suffice for, oldest first; a job fills them right after.
	FilledItems int `json:"filled_items" doc:"Waiting items that the keys suffice for; they are filled right after."`
}

// AddPoolKeys adds licence keys to the pool of a product and mode, in their order, and stages the filling of the items that wait
// for them. A key that the pool has or ever had is skipped, so an upload can be repeated.
func (s *Store) AddPoolKeys(ctx context.Context, sc Scope, product string, keys []string) (*PoolUpload, error) {
	if len(keys) > MaxPoolUpload {
		return nil, Invalid("keys", "may have at most %d keys", MaxPoolUpload)
	}
	var bad invalids
	for i, k := range keys {
		if k == "" || len(k) > maxLicenseKey || !utf8.ValidString(k) {
			bad.add("keys["+itoa(i)+"]", "must be text of 1 to %d bytes", maxLicenseKey)
		}
	}
	if err := bad.err(); err != nil {
		return nil, err
	}
	var up *PoolUpload
	err := s.write(ctx, func(t *tx) error {
		// Under the product's lock an item that finds the pool empty either waits before this looks for waiting items, or looks
		// again after the keys are there.
		p, err := t.lockProduct(sc, product)
		if err != nil {
			return err
		}
		if p.LicenseMethod != MethodPool {
			return conflict("The product has the licence method %s; only a product with the method pool takes keys.", p.LicenseMethod)
		}
		up = &PoolUpload{}
		if up.Added, err = t.insertPoolKeys(p, sc.Test, keys); err != nil {
			return err
		}
		up.Duplicates = len(keys) - up.Added
		available, err := t.countAvailable(p.ID, sc.Test)
		if err != nil {
			return err
		}
		waits, fillable, left, err := t.fillable(p.ID, sc.Test, available)
		if err != nil {
			return err
		}
		up.FilledItems, up.Available = fillable, left
		if waits {
			t.stage(jobs.KindFillPool, Job{Args: JobArgs{Product: p.ID, Test: sc.Test}, MerchantID: &p.MerchantID})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return up, nil
}

func (t *tx) insertPoolKeys(p *Product, test bool, keys []string) (added int, err error) {
	seen := make(map[string]bool, len(keys))
	rows := make([]PoolKey, 0, min(len(keys), poolBatch))
	insert := func() error {
		if len(rows) == 0 {
			return nil
		}
		res := t.Clauses(clause.OnConflict{
			Columns: []clause.Column{{Name: "product_id"}, {Name: "test"}, {Name: "fingerprint"}}, DoNothing: true,
		}).Create(&rows)
		added += int(res.RowsAffected)
		rows = rows[:0]
		return res.Error
	}
	for _, key := range keys {
		fingerprint := t.s.keys.Fingerprint(key)
		if seen[fingerprint] {
			continue
		}
		seen[fingerprint] = true
		k := PoolKey{
			ID: newID("plk"), MerchantID: p.MerchantID, ProductID: p.ID, Test: test, Fingerprint: fingerprint, State: PoolKeyAvailable, CreatedAt: t.now,
		}
		k.Ciphertext = t.s.keys.Seal([]byte(key), k.ID)
		if rows = append(rows, k); len(rows) == poolBatch {
			if err := insert(); err != nil {
				return 0, err
			}
		}
	}
	return added, insert()
}

// availableKeys narrows to the keys of a product that are left: those without an item. It says so in the words of the index of them
// (pool_keys_next), so that every plan may use it.
func availableKeys(db *gorm.DB, productID string, test bool) *gorm.DB {
	return db.Where("product_id = ? AND test = ? AND item_id IS NULL", productID, test)
}

// nextKeys narrows to the first n available keys in the order in which they are sold. Only the index of the available ones has that order:
// by any other, PostgreSQL walks through all that were sold before.
func nextKeys(db *gorm.DB, productID string, test bool, n int) *gorm.DB {
	return availableKeys(db, productID, test).Order("created_at, id").Limit(n)
}

func (t *tx) countAvailable(productID string, test bool) (int, error) {
	var n int64
	err := availableKeys(t.Model(&PoolKey{}), productID, test).Count(&n).Error
	return int(n), err
}

// fillable reports whether any item waits for keys of a product, how many of them, oldest first, that many keys suffice for, and
// how many keys those leave.
func (t *tx) fillable(productID string, test bool, available int) (waits bool, items, left int, err error) {
	rows, err := t.Raw(waitingItems+` LIMIT ?`, productID, test, available+1).Rows()
	if err != nil {
		return false, 0, 0, err
	}
	defer rows.Close()
	for rows.Next() {
		var lacking int
		if err := rows.Scan(&lacking); err != nil {
			return false, 0, 0, err
		}
		waits = true
		if lacking > available {
			break
		}
		available -= lacking
		items++
	}
	return waits, items, available, rows.Err()
}

// waitingItems selects how many keys each waiting item of a product lacks, in the order in which they are filled.
const waitingItems = `SELECT CASE WHEN i.license_per = 'item' THEN 1 ELSE i.quantity END - (SELECT COUNT(*) FROM licenses l WHERE l.item_id = i.id)
	FROM items i WHERE i.product_id = ? AND i.test = ? AND i.waiting_for = 'pool' ORDER BY i.waiting_since, i.id`

// PoolSummary counts a pool's keys by their state.
type PoolSummary struct {
	Available int `json:"available"`
	Allocated int `json:"allocated" doc:"Saved on an order but not sent yet."`
	Delivered int `json:"delivered"`
	Revoked   int `json:"revoked"`
}

// PoolSummary counts the keys of a product's pool in the scope's mode.
func (s *Store) PoolSummary(ctx context.Context, sc Scope, product string) (*PoolSummary, error) {
	db := s.read(ctx)
	p, err := findProduct(db, sc, product)
	if err != nil {
		return nil, err
	}
	var v PoolSummary
	err = db.Raw(`SELECT COUNT(CASE WHEN state = 'available' THEN 1 END) AS available, COUNT(CASE WHEN state = 'allocated' THEN 1 END) AS allocated,
		COUNT(CASE WHEN state = 'delivered' THEN 1 END) AS delivered, COUNT(CASE WHEN state = 'revoked' THEN 1 END) AS revoked
		FROM pool_keys WHERE product_id = ? AND test = ?`, p.ID, sc.Test).Scan(&v).Error
	return &v, err
}
