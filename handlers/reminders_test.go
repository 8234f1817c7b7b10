package handlers_test

import (
	"time"

	"github.com/purser-dev/purser/models/storetest"
)

// age makes an unpaid order older, by hours.
func (b *bench) age(orderID string, hours int) {
	b.Helper()
	since := time.Now().Add(-time.Duration(hours) * time.Hour).UTC().Truncate(time.Microsecond)
	storetest.Exec(b, b.store, `UPDATE orders SET unpaid_since = $1, created_at = $1 WHERE id = $2`, since, orderID)
}
