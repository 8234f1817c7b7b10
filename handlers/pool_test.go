package handlers_test

import (
	"fmt"
	"maps"
	"testing"

	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

func (b *bench) upload(product string, keys ...string) *models.PoolUpload {
	b.Helper()
	up, err := b.store.AddPoolKeys(b.Context(), b.shop.Test, product, keys)
	if err != nil {
		b.Fatal(err)
	}
	return up
}

func TestAnUploadFillsWaitingItemsOldestFirst(t *testing.T) {
	each(t, func(b *bench) {
		b.product("pool", models.MethodPool, `{}`)
		hooks := b.receive([]string{"license.*", "product.delivered"})
		b.work()
		var orders []*models.OrderView
		for _, quantity := range []int{2, 1, 1} {
			o := storetest.PaidOrder(b, b.store, b.shop.Test, "pool", quantity)
			b.eventually("the item waits", func() bool { w := b.order(o.ID).Items[0].WaitingFor; return w != nil && *w == "pool" })
			orders = append(orders, o)
		}
		b.idle()
		if got := types(b.T, hooks.got()); !maps.Equal(got, map[string]int{"license.pool_empty": 1}) {
			b.Errorf("three items that wait were told of by %v", got)
		}
		notices := b.emailsOf(models.EmailPoolEmpty, b.mail.taken())
		if len(notices) != 1 || notices[0].To != b.shop.Email {
			b.Errorf("%d notices to the merchant", len(notices))
		}
		for _, j := range storetest.Jobs(b, b.store, jobs.KindFulfil) {
			if j.State != models.JobDone || j.Attempts != 1 {
				b.Errorf("an item that waits has a job that is %s after %d attempts", j.State, j.Attempts)
			}
		}
		b.sound()

		// Too few for the oldest, which needs two: nobody overtakes it.
		b.upload("pool", "KEY-NUMBER-0001")
		b.idle()
		for _, o := range orders {
			if got := b.order(o.ID); len(got.Items[0].Licenses) != 0 {
				b.Errorf("an order that came later was served before the oldest, or the oldest in part")
			}
		}
		up := b.upload("pool", "KEY-NUMBER-0002", "KEY-NUMBER-0003", "KEY-NUMBER-0001")
		if up.Added != 2 || up.Duplicates != 1 || up.FilledItems != 2 {
			b.Errorf("the upload: %+v", up)
		}
		b.delivered(orders[0].ID)
		b.delivered(orders[1].ID)
		b.idle()
		if got := b.order(orders[2].ID); got.FulfillmentStatus != models.NotDelivered || got.Items[0].WaitingFor == nil {
			b.Errorf("the third order is %s without a key for it", got.FulfillmentStatus)
		}
		first, second := b.order(orders[0].ID).Items[0].Licenses, b.order(orders[1].ID).Items[0].Licenses
		if len(first) != 2 || first[0].Key != "KEY-NUMBER-0001" || first[1].Key != "KEY-NUMBER-0002" || len(second) != 1 || second[0].Key != "KEY-NUMBER-0003" {
			b.Errorf("the keys went to %+v and %+v", first, second)
		}
		b.sound()
	})
}

// Keys that buyers and an upload race for end up on one item each, and nobody waits beside a full pool.
func TestBuyersAndAnUploadRaceForKeys(t *testing.T) {
	each(t, func(b *bench) {
		b.product("pool", models.MethodPool, `{}`)
		b.work()
		const orders = 12
		var ids []string
		for n := range orders {
			ids = append(ids, storetest.PaidOrder(b, b.store, b.shop.Test, "pool", 1).ID)
			b.upload("pool", fmt.Sprintf("KEY-NUMBER-%04d", n))
		}
		seen := map[string]bool{}
		for _, id := range ids {
			for _, l := range b.delivered(id).Items[0].Licenses {
				if seen[l.Key] {
					b.Errorf("two orders have the same key")
				}
				seen[l.Key] = true
			}
		}
		b.idle()
		summary, err := b.store.PoolSummary(b.Context(), b.shop.Test, "pool")
		if err != nil {
			b.Fatal(err)
		}
		if len(seen) != orders || *summary != (models.PoolSummary{Delivered: orders}) {
			b.Errorf("%d keys were used; the pool has %+v", len(seen), *summary)
		}
		b.sound()
	})
}

func TestALowPoolIsToldOfOnce(t *testing.T) {
	each(t, func(b *bench) {
		b.product("pool", models.MethodPool, `{"low_threshold":2}`)
		b.upload("pool", "KEY-NUMBER-0001", "KEY-NUMBER-0002", "KEY-NUMBER-0003", "KEY-NUMBER-0004")
		hooks := b.receive([]string{"license.*"})
		b.work()
		for n, want := range []int{0, 1, 1} {
			b.delivered(storetest.PaidOrder(b, b.store, b.shop.Test, "pool", 1).ID)
			b.idle()
			if got := types(b.T, hooks.got())["license.pool_low"]; got != want {
				b.Errorf("after order %d the merchant was told %d times, want %d", n+1, got, want)
			}
			if got := len(b.emailsOf(models.EmailPoolLow, b.mail.taken())); got != want {
				b.Errorf("after order %d the merchant got %d emails, want %d", n+1, got, want)
			}
		}
		b.sound()
	})
}
