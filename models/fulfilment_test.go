package models_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

// product makes a product for 49.00 EUR after changing the fixture.
func product(t *testing.T, s *models.Store, sc models.Scope, sku, method string, change func(*models.ProductInput)) *models.ProductView {
	t.Helper()
	in := storetest.ProductInput(sku, method)
	change(&in)
	return ok(s.CreateProduct(t.Context(), sc, in))(t)
}

func TestALicenceForEachUnitOrForTheItem(t *testing.T) {
	cases := []struct {
		method, per string
		want        int
	}{
		{models.MethodTemplate, "unit", 3}, {models.MethodTemplate, "item", 1}, {models.MethodPool, "unit", 3}, {models.MethodPool, "item", 1},
	}
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		for _, c := range cases {
			t.Run(c.method+" per "+c.per, func(t *testing.T) {
				shop := storetest.Merchant(t, s)
				p := product(t, s, shop.Test, "editor", c.method, func(in *models.ProductInput) { in.LicensePer = c.per })
				if c.method == models.MethodPool {
					ok(s.AddPoolKeys(t.Context(), shop.Test, p.ID, []string{"POOL-1", "POOL-2", "POOL-3", "POOL-4"}))(t)
				}
				o := storetest.PaidOrder(t, s, shop.Test, "editor", 3)
				f := ok(s.Fulfilment(t.Context(), o.Items[0].ID))(t)
				if len(f.Missing) != c.want || f.Missing[0] != 1 || f.Order.ID != o.ID || f.Product.ID != p.ID {
					t.Errorf("missing %v", f.Missing)
				}
				performAll(t, s)
				got := orderOf(t, s, shop.Test, o.ID)
				keys := keysOf(got)
				if len(keys) != c.want || got.FulfillmentStatus != models.Delivered || got.DeliveredAt == nil {
					t.Errorf("the order is %s with the keys %q", got.FulfillmentStatus, keys)
				}
				slices.Sort(keys)
				if len(slices.Compact(keys)) != c.want {
					t.Errorf("a key is there twice: %q", keys)
				}
				for _, l := range got.Items[0].Licenses {
					if l.Status != models.LicenseActive || l.DeliveredAt == nil {
						t.Errorf("licence %s", toJSON(t, l))
					}
				}
				if n := storetest.Count(t, s, `SELECT COUNT(DISTINCT unit) FROM licenses WHERE item_id = $1 AND unit BETWEEN 1 AND $2`, got.Items[0].ID, c.want); n != c.want {
					t.Errorf("%d units have a licence", n)
				}
				if _, err := s.Fulfilment(t.Context(), o.Items[0].ID); !errors.Is(err, models.ErrNothingToDo) {
					t.Errorf("fulfilled, there is: %v", err)
				}
				healthy(t, s)
			})
		}
	})
}

// An item is delivered when its licence email has gone out, not before; without such an email when its licences are saved.
func TestWhenAnItemIsDelivered(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		silent := false
		product(t, s, shop.Test, "mailed", models.MethodTemplate, func(*models.ProductInput) {})
		product(t, s, shop.Test, "silent", models.MethodTemplate, func(in *models.ProductInput) { in.EmailLicense = &silent })
		in := storetest.OrderInput("mailed", 2)
		in.Lines = append(in.Lines, models.NewLine{Product: "silent", Quantity: 1})
		o := ok(s.CreateOrder(t.Context(), shop.Test, in))(t)
		storetest.Pay(t, s, shop.Test, o.ID)
		state := func(step string, order, mailed, quiet models.FulfillmentStatus, events string) {
			t.Helper()
			got := orderOf(t, s, shop.Test, o.ID)
			if got.FulfillmentStatus != order || got.Items[0].FulfillmentStatus != mailed || got.Items[1].FulfillmentStatus != quiet {
				t.Errorf("%s: the order is %s, its items %s and %s", step, got.FulfillmentStatus, got.Items[0].FulfillmentStatus, got.Items[1].FulfillmentStatus)
			}
			if (got.DeliveredAt != nil) != (order == models.Delivered) {
				t.Errorf("%s: the order is delivered at %v", step, got.DeliveredAt)
			}
			for i, item := range got.Items {
				for _, l := range item.Licenses {
					if (l.DeliveredAt != nil) != (item.FulfillmentStatus == models.Delivered) {
						t.Errorf("%s: a licence of item %d is delivered at %v", step, i, l.DeliveredAt)
					}
				}
			}
			if got, want := strings.TrimPrefix(eventsOf(t, s, shop), "order.created "), events; got != want {
				t.Errorf("%s: events %q, want %q", step, got, want)
			}
			healthy(t, s)
		}
		state("paid", models.NotDelivered, models.NotDelivered, models.NotDelivered, "payment.succeeded")
		work := jobsOf(t, s, shop, jobs.KindFulfil)
		if err := perform(t, s, work[0]); err != nil {
			t.Fatal(err)
		}
		state("licensed", models.NotDelivered, models.NotDelivered, models.NotDelivered, "payment.succeeded")
		if err := perform(t, s, work[1]); err != nil {
			t.Fatal(err)
		}
		state("the silent one licensed", models.PartiallyDelivered, models.NotDelivered, models.Delivered, "payment.succeeded product.delivered")
		mail := emailJob(t, s, shop, models.EmailLicense) // one for both units
		m := ok(s.Mailing(t.Context(), mail.Args.Email))(t)
		if m.Item == nil || m.Item.ID != o.Items[0].ID || len(m.Item.Licenses) != 2 || !strings.HasPrefix(m.Item.Licenses[0].Key, "SECRET-") || m.Merchant.ID != shop.ID {
			t.Errorf("the email is about %s", toJSON(t, m.Item))
		}
		c := take(t, s, mail)
		if err := s.KeepSentOf(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		state("sent", models.Delivered, models.Delivered, models.Delivered, "order.delivered payment.succeeded product.delivered product.delivered")
		if _, err := s.Mailing(t.Context(), mail.Args.Email); !errors.Is(err, models.ErrNothingToDo) {
			t.Errorf("sent, there is: %v", err)
		}
		wantCode(t, s.KeepSentOf(t.Context(), c), models.CodeFenced)
		performAll(t, s)
		state("in the end", models.Delivered, models.Delivered, models.Delivered, "order.delivered payment.succeeded product.delivered product.delivered")
		if n := storetest.Count(t, s, `SELECT COUNT(*) FROM emails WHERE kind = 'license_delivery'`); n != 1 {
			t.Errorf("%d licence emails", n)
		}
	})
}

func TestKeepingLicencesAgainChangesNothing(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
		o := storetest.PaidOrder(t, s, shop.Test, "editor", 2)
		first := oneJob(t, s, shop, jobs.KindFulfil)
		c := take(t, s, first)
		if err := s.KeepLicenses(t.Context(), c, []string{"ONE"}); err == nil || models.CodeOf(err) != "" {
			t.Errorf("fewer keys than units: %v", err)
		}
		if err := s.KeepLicenses(t.Context(), c, []string{"ONE", "TWO", "THREE"}); err != nil {
			t.Fatal(err)
		}
		// A second job for the same item, as after a retry of both, finds its work done.
		storetest.Exec(t, s, `UPDATE jobs SET state = 'due', finished_at = NULL WHERE id = $1`, first.ID)
		if err := s.KeepLicenses(t.Context(), take(t, s, jobOf(t, s, first.ID)), []string{"OTHER-1", "OTHER-2"}); err != nil {
			t.Fatal(err)
		}
		if got := keysOf(orderOf(t, s, shop.Test, o.ID)); !slices.Equal(got, []string{"ONE", "TWO"}) {
			t.Errorf("keys %q", got)
		}
		if n := storetest.Count(t, s, `SELECT COUNT(*) FROM emails WHERE kind = 'license_delivery'`); n != 1 {
			t.Errorf("%d licence emails", n)
		}
		healthy(t, s)
	})
}

// Two items finish at the same moment: the order is delivered by whichever is second, once.
func TestTheLastOfTwoItemsDeliversTheOrderOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
		storetest.Product(t, s, shop.Test, "viewer", models.MethodTemplate)
		again := storetest.Again(t, s)
		const rounds = 10
		for range rounds {
			in := storetest.OrderInput("editor", 1)
			in.Lines = append(in.Lines, models.NewLine{Product: "viewer", Quantity: 1})
			o := ok(s.CreateOrder(t.Context(), shop.Test, in))(t)
			storetest.Pay(t, s, shop.Test, o.ID)
			both := func(kind string) []*models.Claim {
				var claims []*models.Claim
				for _, j := range storetest.Jobs(t, s, kind) {
					if j.State == models.JobDue && *j.OrderID == o.ID {
						claims = append(claims, take(t, s, j))
					}
				}
				return claims
			}
			produced := both(jobs.KindFulfil)
			refusals(t, race(2, func(i int) error {
				return []*models.Store{s, again}[i].KeepLicenses(t.Context(), produced[i], []string{"KEY-" + produced[i].Args.Item})
			}))
			sent := both(jobs.KindSendEmail) // the confirmation and the licences of each item
			refusals(t, race(len(sent), func(i int) error { return []*models.Store{s, again}[i%2].KeepSentOf(t.Context(), sent[i]) }))
			got := orderOf(t, s, shop.Test, o.ID)
			delivered := storetest.Count(t, s, `SELECT COUNT(*) FROM events WHERE order_id = $1 AND type = 'order.delivered'`, o.ID)
			products := storetest.Count(t, s, `SELECT COUNT(*) FROM events WHERE order_id = $1 AND type = 'product.delivered'`, o.ID)
			if len(sent) != 3 || got.FulfillmentStatus != models.Delivered || delivered != 1 || products != 2 {
				t.Fatalf("%d emails, the order is %s, order.delivered %d times, product.delivered %d times", len(sent), got.FulfillmentStatus, delivered, products)
			}
		}
		for _, data := range eventData(t, s, shop, models.EventOrderDelivered) {
			if !strings.Contains(data, `"fulfillment_status":"delivered","refund_status"`) || strings.Contains(data, `"delivered_at":null`) {
				t.Errorf("order.delivered says %s", data)
			}
		}
		healthy(t, s)
	})
}

// One item that fails holds up none of the others, and waits for a person.
func TestRetryItem(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
		storetest.Product(t, s, shop.Test, "viewer", models.MethodTemplate)
		in := storetest.OrderInput("editor", 1)
		in.Lines = append(in.Lines, models.NewLine{Product: "viewer", Quantity: 1})
		o := ok(s.CreateOrder(t.Context(), shop.Test, in))(t)
		_, err := s.RetryItem(t.Context(), shop.Test, o.ID, o.Items[0].ID, "test")
		wantCode(t, err, models.CodeConflict) // not paid
		storetest.Pay(t, s, shop.Test, o.ID)
		_, err = s.RetryItem(t.Context(), shop.Test, o.ID, o.Items[0].ID, "test")
		wantCode(t, err, models.CodeConflict) // under way

		refuse(t, s, jobsOf(t, s, shop, jobs.KindFulfil)[0].ID)
		performAll(t, s)
		got := orderOf(t, s, shop.Test, o.ID)
		if got.FulfillmentStatus != models.PartiallyDelivered || got.Items[0].FulfillmentStatus != models.FulfillmentFailed || got.Items[1].FulfillmentStatus != models.Delivered {
			t.Fatalf("order %s", toJSON(t, got))
		}
		data := eventData(t, s, shop, models.EventFulfillmentFailed)
		if len(data) != 1 || !strings.Contains(data[0], `"failure":"a failure made by the test"`) || !strings.Contains(data[0], `"item":{"id":"`+o.Items[0].ID) {
			t.Errorf("fulfillment.failed %q", data)
		}
		healthy(t, s)
		_, err = s.RetryItem(t.Context(), shop.Test, o.ID, o.Items[1].ID, "test")
		wantCode(t, err, models.CodeConflict) // delivered

		// From its licences: it has none. Of many who press the button one starts it.
		errs := race(6, func(int) error {
			_, err := s.RetryItem(t.Context(), shop.Test, o.ID, o.Items[0].ID, "api_key:key_1")
			return err
		})
		refusals(t, errs, models.CodeConflict)
		if n := succeeded(errs); n != 1 {
			t.Errorf("%d of 6 retries were accepted", n)
		}
		work := slices.DeleteFunc(jobsOf(t, s, shop, jobs.KindFulfil), func(j models.Job) bool { return j.State != models.JobDue })
		if len(work) != 1 || work[0].Args.Item != o.Items[0].ID {
			t.Fatalf("jobs %s", toJSON(t, work))
		}
		if n := ok(s.DeadJobs(t.Context()))(t); n != 0 {
			t.Errorf("%d jobs wait for an operator, though the item was started again", n)
		}
		if err := perform(t, s, work[0]); err != nil {
			t.Fatal(err)
		}
		keys := keysOf(orderOf(t, s, shop.Test, o.ID))

		// From its email: the licences stay, and the same email is tried again.
		mail := slices.DeleteFunc(jobsOf(t, s, shop, jobs.KindSendEmail), func(j models.Job) bool { return j.State != models.JobDue })
		if len(mail) != 1 {
			t.Fatalf("jobs %s", toJSON(t, mail))
		}
		refuse(t, s, mail[0].ID)
		got = orderOf(t, s, shop.Test, o.ID)
		if i := got.Items[0]; i.FulfillmentStatus != models.FulfillmentFailed || !strings.Contains(*i.Failure, "The licence email could not be sent") {
			t.Fatalf("item %s", toJSON(t, i))
		}
		view := ok(s.RetryItem(t.Context(), shop.Test, o.ID, o.Items[0].ID, "api_key:key_1"))(t)
		if view.Items[0].FulfillmentStatus != models.NotDelivered || view.Items[0].Failure != nil {
			t.Errorf("item %s", toJSON(t, view.Items[0]))
		}
		if j := jobOf(t, s, mail[0].ID); j.State != models.JobDue || j.Epoch != 1 {
			t.Errorf("the email's job is %s in epoch %d", j.State, j.Epoch)
		}
		healthy(t, s)
		performAll(t, s)
		got = orderOf(t, s, shop.Test, o.ID)
		if got.FulfillmentStatus != models.Delivered || !slices.Equal(keysOf(got), keys) {
			t.Errorf("the order is %s with the keys %q, before %q", got.FulfillmentStatus, keysOf(got), keys)
		}
		if got := eventsOf(t, s, shop); strings.Count(got, "fulfillment.failed") != 2 || strings.Count(got, "product.delivered") != 2 || strings.Count(got, "order.delivered") != 1 {
			t.Errorf("events %q", got)
		}
		healthy(t, s)
	})
}

// An email that was given up by the relay, while its worker was only slow, has arrived after all.
func TestALicenceEmailThatGotThroughAfterAll(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
		o := storetest.PaidOrder(t, s, shop.Test, "editor", 1)
		if err := perform(t, s, oneJob(t, s, shop, jobs.KindFulfil)); err != nil {
			t.Fatal(err)
		}
		mail := emailJob(t, s, shop, models.EmailLicense)
		slow := take(t, s, mail)
		storetest.Exec(t, s, `UPDATE jobs SET attempts = max_attempts WHERE id = $1`, mail.ID)
		ring(t, s, mail.ID)
		alarms(t, s)
		if got := orderOf(t, s, shop.Test, o.ID).Items[0].FulfillmentStatus; got != models.FulfillmentFailed {
			t.Fatalf("the item is %s", got)
		}
		wantCode(t, s.KeepSentOf(t.Context(), slow), models.CodeFenced)
		ok(s.RetryItem(t.Context(), shop.Test, o.ID, o.Items[0].ID, "test"))(t)
		performAll(t, s)
		if got := orderOf(t, s, shop.Test, o.ID); got.FulfillmentStatus != models.Delivered {
			t.Errorf("the order is %s", got.FulfillmentStatus)
		}
		healthy(t, s)
	})
}

func TestOnlyPaidOrdersAreFulfilled(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		p := storetest.Product(t, s, shop.Test, "editor", models.MethodPool)
		ok(s.AddPoolKeys(t.Context(), shop.Test, p.ID, []string{"POOL-1"}))(t)
		o := storetest.Order(t, s, shop.Test, "editor", 1)
		performAll(t, s)
		if _, err := s.Fulfilment(t.Context(), o.Items[0].ID); !errors.Is(err, models.ErrNothingToDo) {
			t.Errorf("an unpaid item: %v", err)
		}
		if sum := *ok(s.PoolSummary(t.Context(), shop.Test, p.ID))(t); sum.Available != 1 {
			t.Errorf("an unpaid order drains the pool: %+v", sum)
		}
		// Not even a job that somehow exists.
		paid := storetest.PaidOrder(t, s, shop.Test, "editor", 1)
		c := take(t, s, oneJob(t, s, shop, jobs.KindFulfil))
		storetest.Exec(t, s, `UPDATE orders SET status = 'deleted', paid_at = NULL, deleted_at = $1, delete_reason = 'cancelled' WHERE id = $2`, time.Now().UTC(), paid.ID)
		if err := s.KeepFromPool(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if sum := *ok(s.PoolSummary(t.Context(), shop.Test, p.ID))(t); sum.Available != 1 {
			t.Errorf("a deleted order drains the pool: %+v", sum)
		}
	})
}
