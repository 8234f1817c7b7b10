package handlers_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/purser-dev/purser/handlers"
	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

// types counts the calls of a receiver by event type.
func types(t *testing.T, calls []received) map[string]int {
	t.Helper()
	n := map[string]int{}
	for _, c := range calls {
		var body struct{ Type string }
		if err := json.Unmarshal(c.body, &body); err != nil {
			t.Fatal(err)
		}
		n[body.Type]++
	}
	return n
}

// An order with an item for each way of producing licences, from checkout to delivery.
func TestJourney(t *testing.T) {
	each(t, func(b *bench) {
		sc := b.shop.Test
		for sku, method := range map[string]string{
			"pool": models.MethodPool, "template": models.MethodTemplate, "signed": models.MethodSigned, "emulator": models.MethodEmulator,
		} {
			storetest.Product(b, b.store, sc, sku, method)
		}
		if _, err := b.store.AddPoolKeys(b.Context(), sc, "pool", []string{"POOL-KEY-NUMBER-1", "POOL-KEY-NUMBER-2", "POOL-KEY-NUMBER-3"}); err != nil {
			b.Fatal(err)
		}
		hooks := b.receive([]string{"*"})
		b.work()

		in := storetest.OrderInput("pool", 2)
		for _, sku := range []string{"template", "signed", "emulator"} {
			in.Lines = append(in.Lines, models.NewLine{Product: sku, Quantity: 1})
		}
		o, err := b.store.CreateOrder(b.Context(), sc, in)
		if err != nil {
			b.Fatal(err)
		}
		b.idle()
		if got := types(b.T, hooks.got()); !maps.Equal(got, map[string]int{"order.created": 1}) {
			b.Fatalf("before it was paid, webhooks: %v", got)
		}
		if sent := b.mail.tried(); len(sent) != 0 {
			b.Fatalf("before it was paid, emails: %v", sent)
		}

		storetest.Pay(b, b.store, sc, o.ID)
		o = b.delivered(o.ID)
		b.idle()

		want := map[string]int{"order.created": 1, "payment.succeeded": 1, "product.delivered": 4, "order.delivered": 1}
		if got := types(b.T, hooks.got()); !maps.Equal(got, want) {
			b.Errorf("webhooks %v, want %v", got, want)
		}
		verifier, err := standardwebhooks.NewWebhook(hooks.secret)
		if err != nil {
			b.Fatal(err)
		}
		ids := map[string]bool{}
		for _, c := range hooks.got() {
			if err := verifier.Verify(c.body, c.header); err != nil {
				b.Errorf("the reference library refuses a delivery: %v", err)
			}
			ids[c.id] = true
		}
		if len(ids) != len(hooks.got()) {
			b.Errorf("%d events have %d ids", len(hooks.got()), len(ids))
		}

		emails := b.mail.taken()
		if len(emails) != 1+len(o.Items) || len(b.mail.tried()) != len(emails) {
			b.Fatalf("%d emails, tried %d times, want a confirmation and one for each of %d items", len(emails), len(b.mail.tried()), len(o.Items))
		}
		messageIDs := map[string]bool{}
		for _, m := range emails {
			messageIDs[m.MessageID] = true
			if m.To != "Ada@Example.com" || m.From != "shop@purser.test" || m.FromName != b.shop.Name || m.ReplyTo != b.shop.Email {
				b.Errorf("an email from %q <%s>, reply to %s, to %s", m.FromName, m.From, m.ReplyTo, m.To)
			}
		}
		if len(messageIDs) != len(emails) {
			b.Errorf("%d emails have %d Message-IDs", len(emails), len(messageIDs))
		}
		for _, item := range o.Items {
			units := 1
			if item.SKU == "pool" {
				units = 2
			}
			if len(item.Licenses) != units || item.FulfillmentStatus != models.Delivered {
				b.Fatalf("%s has %d licences and is %s", item.SKU, len(item.Licenses), item.FulfillmentStatus)
			}
			var keys []string
			for _, l := range item.Licenses {
				keys = append(keys, l.Key)
				if l.DeliveredAt == nil {
					b.Errorf("a licence of %s was never delivered", item.SKU)
				}
			}
			n := 0
			for _, m := range emails {
				if strings.Contains(m.Text, keys[0]) {
					n++
					for _, k := range keys {
						if !strings.Contains(m.Text, k) {
							b.Errorf("the licence email of %s lacks a key", item.SKU)
						}
					}
				}
			}
			if n != 1 {
				b.Errorf("the keys of %s are in %d emails", item.SKU, n)
			}
		}
		pool := slices.IndexFunc(o.Items, func(i models.ItemView) bool { return i.SKU == "pool" })
		if o.Items[pool].Licenses[0].Key != "POOL-KEY-NUMBER-1" || o.Items[pool].Licenses[1].Key != "POOL-KEY-NUMBER-2" {
			b.Errorf("the pool was not used in its order: %+v", o.Items[pool].Licenses)
		}

		for _, j := range storetest.Jobs(b, b.store, "") {
			// The payment's own is called off when the gateway has answered.
			if j.State != models.JobDone || (j.Attempts != 1 && j.Kind != jobs.KindSettle) || j.LastError != nil {
				b.Errorf("%s is %s after %d attempts: %v", j.Kind, j.State, j.Attempts, j.LastError)
			}
			// Asynq lets go of a task after we have kept its job.
			b.eventually("no task of the finished "+j.Kind+" is left in Redis", func() bool { return b.task(j) == nil })
		}
		if n := b.outcomes.count(jobs.KindFulfil, handlers.OutcomeKept); n != len(o.Items) {
			b.Errorf("%d items were fulfilled in the metrics", n)
		}
		b.sound()
	})
}

// An order whose total is zero is delivered without a payment, and nobody is told of one.
func TestJourneyOfAFreeOrder(t *testing.T) {
	each(t, func(b *bench) {
		in := storetest.ProductInput("free", models.MethodTemplate)
		in.Prices[0].Amount = 0
		if _, err := b.store.CreateProduct(b.Context(), b.shop.Test, in); err != nil {
			b.Fatal(err)
		}
		hooks := b.receive([]string{"*"})
		b.work()
		o := storetest.Order(b, b.store, b.shop.Test, "free", 1)
		b.delivered(o.ID)
		b.idle()
		want := map[string]int{"order.created": 1, "product.delivered": 1, "order.delivered": 1}
		if got := types(b.T, hooks.got()); !maps.Equal(got, want) {
			b.Errorf("webhooks %v, want %v", got, want)
		}
		if n := len(b.mail.taken()); n != 2 {
			b.Errorf("%d emails, want the confirmation and the licence", n)
		}
		b.sound()
	})
}

// A merchant who sends licences by themselves gets no licence email sent to the customer, and the item is delivered at once.
func TestJourneyWithoutLicenceEmails(t *testing.T) {
	each(t, func(b *bench) {
		no := false
		in := storetest.ProductInput("quiet", models.MethodTemplate)
		in.EmailLicense = &no
		if _, err := b.store.CreateProduct(b.Context(), b.shop.Test, in); err != nil {
			b.Fatal(err)
		}
		b.work()
		o := storetest.PaidOrder(b, b.store, b.shop.Test, "quiet", 1)
		o = b.delivered(o.ID)
		b.idle()
		emails := b.mail.taken()
		if len(emails) != 1 || strings.Contains(emails[0].Text, o.Items[0].Licenses[0].Key) {
			b.Errorf("%d emails; want the confirmation, without the key", len(emails))
		}
		b.sound()
	})
}

// Several workers on one database and one Redis.
func TestManyOrdersBetweenTwoWorkers(t *testing.T) {
	each(t, func(b *bench) {
		storetest.Product(b, b.store, b.shop.Test, "app", models.MethodTemplate)
		hooks := b.receive([]string{"order.delivered"})
		again := b.store
		if !b.store.Embedded() {
			again = storetest.Again(b, b.store)
			again.OnCommit(b.publish)
		}
		b.work()
		b.work(func(c *handlers.Config) { c.Store = again })
		const orders = 20
		var ids []string
		for range orders {
			ids = append(ids, storetest.PaidOrder(b, b.store, b.shop.Test, "app", 1).ID)
		}
		for _, id := range ids {
			b.delivered(id)
		}
		b.idle()
		if n := len(hooks.got()); n != orders {
			b.Errorf("%d webhooks, want %d", n, orders)
		}
		if n := len(b.mail.tried()); n != 2*orders {
			b.Errorf("%d emails, want %d", n, 2*orders)
		}
		b.sound()
	})
}
