package models_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

// aged makes an order as old as it says.
func aged(t testing.TB, s *models.Store, orderID string, age time.Duration) {
	t.Helper()
	storetest.Exec(t, s, `UPDATE orders SET unpaid_since = $1 WHERE id = $2`, time.Now().UTC().Add(-age).Truncate(time.Microsecond), orderID)
}

func settings(t *testing.T, s *models.Store, shop storetest.Shop, patch string) {
	t.Helper()
	ok(s.UpdateSettings(t.Context(), shop.Test, decode[models.SettingsPatch](t, patch)))(t)
}

// reminderStages returns the stages of the reminders that were staged for an order, in their order.
func reminderStages(t testing.TB, s *models.Store, orderID string) string {
	t.Helper()
	return strings.Join(texts(t, s, `SELECT CAST(stage AS text) FROM emails WHERE order_id = $1 AND kind = 'payment_reminder' ORDER BY id`, orderID), " ")
}

// offline chooses bank transfer for an order, without anything that a gateway would do.
var offline = models.NewPayment{Method: "bank_transfer", Gateway: "none", Class: "offline", Actor: "test"}

func TestWhichRemindersAreDue(t *testing.T) {
	cases := []struct {
		name    string
		offline bool
		stage   int
		age     time.Duration
		staged  string
		next    int
	}{
		{"an online order is left alone before its first", false, 0, 8 * time.Minute, "", 0},
		{"the first online reminder", false, 0, 11 * time.Minute, "0", 1},
		{"nothing between the first and the second", false, 1, 50 * time.Minute, "", 1},
		{"the second online reminder", false, 1, 91 * time.Minute, "1", 2},
		{"of two that are due the latest only", false, 0, 91 * time.Minute, "1", 2},
		{"of three that are due the latest only", false, 0, 10 * time.Hour, "2", 3},
		{"of the two that are left the latest only", false, 1, 10 * time.Hour, "2", 3},
		{"nothing after the last", false, 3, 1000 * time.Hour, "", 3},
		{"an offline order's first is due at once", true, 0, 5 * time.Millisecond, "0", 1}, // SQLite's clock counts milliseconds
		{"nothing between an offline order's reminders", true, 1, 20 * time.Minute, "", 1},
		{"an offline order's second", true, 1, 31 * time.Minute, "1", 2},
		{"an offline order has no third", true, 2, 1000 * time.Hour, "", 2},
	}
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				shop := storetest.Merchant(t, s)
				settings(t, s, shop, `{"reminders":{"online":["10m","90m","3h"],"offline":["0s","30m"]}}`)
				storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
				o := storetest.Order(t, s, shop.Test, "editor", 1)
				if c.offline {
					ok(s.BeginPayment(t.Context(), shop.Test, o.ID, offline))(t)
				}
				aged(t, s, o.ID, c.age)
				storetest.Exec(t, s, `UPDATE orders SET reminder_stage = $1 WHERE id = $2`, c.stage, o.ID)
				kind := kindOf(t, jobs.KindRemind)
				if due := ok(s.Due(t.Context(), kind))(t); due != (c.staged != "") {
					t.Errorf("due: %t", due)
				}
				want := 0
				if c.staged != "" {
					want = 1
				}
				if n := ok(s.RemindOrders(t.Context()))(t); n != want {
					t.Errorf("%d orders reminded, want %d", n, want)
				}
				for range 2 { // the second time changes nothing
					if got := reminderStages(t, s, o.ID); got != c.staged {
						t.Errorf("staged %q, want %q", got, c.staged)
					}
					if n := storetest.Count(t, s, `SELECT reminder_stage FROM orders WHERE id = $1`, o.ID); n != c.next {
						t.Errorf("the next stage is %d, want %d", n, c.next)
					}
					if due := ok(s.Due(t.Context(), kind))(t); due {
						t.Error("due again")
					}
					if n := ok(s.RemindOrders(t.Context()))(t); n != 0 {
						t.Errorf("%d orders reminded again", n)
					}
				}
				healthy(t, s)
			})
		}
	})
}

func TestWhoIsNotReminded(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop, other := storetest.Merchant(t, s), storetest.Merchant(t, s)
		settings(t, s, shop, `{"reminders":{"online":["1s"],"offline":[]},"delete_unpaid_after":"2h"}`)
		settings(t, s, other, `{"reminders":{"online":[],"offline":["1s"]}}`)
		orders := map[string]string{}
		for _, sh := range []storetest.Shop{shop, other} {
			storetest.Product(t, s, sh.Test, "editor", models.MethodTemplate)
		}
		orders["a paid order"] = storetest.PaidOrder(t, s, shop.Test, "editor", 1).ID
		cancelled := storetest.Order(t, s, shop.Test, "editor", 1).ID
		ok(s.CancelOrder(t.Context(), shop.Test, cancelled, "", "test"))(t)
		orders["a cancelled order"] = cancelled
		terminated := storetest.Order(t, s, shop.Test, "editor", 1).ID
		storetest.Exec(t, s, `UPDATE orders SET status = 'terminated' WHERE id = $1`, terminated)
		orders["a terminated order"] = terminated
		transfer := storetest.Order(t, s, shop.Test, "editor", 1).ID
		ok(s.BeginPayment(t.Context(), shop.Test, transfer, offline))(t)
		orders["an order of a class without reminders"] = transfer
		orders["another merchant's order"] = storetest.Order(t, s, other.Test, "editor", 1).ID
		for _, id := range orders {
			aged(t, s, id, time.Hour)
		}
		expired := storetest.Order(t, s, shop.Test, "editor", 1).ID
		aged(t, s, expired, 3*time.Hour)
		orders["an order that is about to be deleted"] = expired
		if due := ok(s.Due(t.Context(), kindOf(t, jobs.KindRemind)))(t); due {
			t.Error("a reminder is due")
		}
		if n := ok(s.RemindOrders(t.Context()))(t); n != 0 {
			t.Errorf("%d orders reminded", n)
		}
		for name, id := range orders {
			if got := reminderStages(t, s, id); got != "" {
				t.Errorf("%s is reminded", name)
			}
		}
		live := storetest.Order(t, s, shop.Live, "editor", 1)
		aged(t, s, live.ID, time.Hour)
		if n := ok(s.RemindOrders(t.Context()))(t); n != 1 || reminderStages(t, s, live.ID) != "0" {
			t.Errorf("a live order is not reminded like a test order (%d)", n)
		}
	})
}

// An order that cannot be deleted, here because the database refuses another one of its size, keeps no other order from it, and is named.
func TestAnOrderThatCannotExpire(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop, other := storetest.Merchant(t, s), storetest.Merchant(t, s)
		storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
		storetest.Product(t, s, other.Test, "editor", models.MethodTemplate)
		old := func(shop storetest.Shop, quantity int, age time.Duration) string {
			id := storetest.Order(t, s, shop.Test, "editor", quantity).ID
			aged(t, s, id, age)
			return id
		}
		const day = 24 * time.Hour
		gone := old(shop, 2, 0)
		ok(s.CancelOrder(t.Context(), shop.Test, gone, "", "test"))(t)
		storetest.Exec(t, s, `CREATE UNIQUE INDEX narrow ON orders (total) WHERE status = 'deleted'`)
		damaged := old(shop, 2, 200*day) // the first in the queue
		sound := []string{old(shop, 1, 100*day), old(other, 3, 100*day)}
		status := func(id string) string { return texts(t, s, `SELECT status FROM orders WHERE id = $1`, id)[0] }
		n, err := s.ExpireOrders(t.Context())
		if n != len(sound) || err == nil || !strings.Contains(err.Error(), damaged) || strings.Contains(err.Error(), sound[0]) {
			t.Errorf("%d orders expired, want %d and an error about %s: %v", n, len(sound), damaged, err)
		}
		if due := ok(s.Due(t.Context(), kindOf(t, jobs.KindExpire)))(t); due {
			t.Error("it is tried again at every tick")
		}
		if n := ok(s.ExpireOrders(t.Context()))(t); n != 0 {
			t.Errorf("%d orders expired again", n)
		}
		old(shop, 4, 300*day)
		if n := ok(s.ExpireOrders(t.Context()))(t); n != 1 {
			t.Errorf("%d orders expired beside it, want 1", n)
		}
		for _, id := range sound {
			if got := status(id); got != "deleted" {
				t.Errorf("an order behind it is %s", got)
			}
		}
		if got := status(damaged); got != "not_paid" {
			t.Errorf("it is %s", got)
		}
		storetest.Exec(t, s, `DROP INDEX narrow`)
		if n := ok(storetest.Again(t, s).ExpireOrders(t.Context()))(t); n != 1 || status(damaged) != "deleted" {
			t.Errorf("%d orders expired when it was mended", n)
		}
		healthy(t, s)
	})
}

// One merchant's many orders do not keep another's few waiting, although all of them have been due for longer.
func TestMerchantsTakeTurns(t *testing.T) {
	t.Parallel()
	s := storetest.Open(t, "postgres")
	order := func(shop storetest.Shop, age time.Duration) string {
		o := storetest.Order(t, s, shop.Test, "editor", 1)
		aged(t, s, o.ID, age)
		return o.ID
	}
	many, few := storetest.Merchant(t, s), storetest.Merchant(t, s)
	for _, shop := range []storetest.Shop{many, few} {
		storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
	}
	const day = 24 * time.Hour
	var older []string
	for n := range 5 {
		older = append(older, order(many, time.Duration(300-n)*day))
	}
	first, second := order(few, 100*day), order(few, 99*day)
	want := []string{older[0], older[1], first, second}
	slices.Sort(want)
	got := ok(s.SomeExpired(t.Context(), len(want)))(t)
	if slices.Sort(got); !slices.Equal(got, want) {
		t.Errorf("chosen are %v, want %v", got, want)
	}
}

// However many reminders there are, nobody's licence waits behind them: they have a queue of their own.
func TestRemindersHaveTheirOwnQueue(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		settings(t, s, shop, `{"reminders":{"online":["1s"],"offline":[]}}`)
		storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
		aged(t, s, storetest.Order(t, s, shop.Test, "editor", 1).ID, time.Minute)
		others := len(storetest.Jobs(t, s, jobs.KindSendEmail))
		ok(s.RemindOrders(t.Context()))(t)
		if reminders, now := len(storetest.Jobs(t, s, jobs.KindReminder)), len(storetest.Jobs(t, s, jobs.KindSendEmail)); reminders != 1 || now != others {
			t.Errorf("%d reminders, and %d emails of other kinds, of which there were %d", reminders, now, others)
		}
		if kindOf(t, jobs.KindReminder).Queue == kindOf(t, jobs.KindSendEmail).Queue {
			t.Error("they share a queue")
		}
	})
}

// Between the staging of a reminder and its sending the order may be paid or deleted.
func TestAReminderIsLookedAtAgainWhenItIsSent(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		for _, c := range []struct {
			name   string
			do     func(*testing.T, storetest.Shop, string)
			unpaid bool
			status models.EmailStatus
		}{
			{"unpaid yet", func(*testing.T, storetest.Shop, string) {}, true, models.EmailSent},
			{"paid meanwhile", func(t *testing.T, shop storetest.Shop, id string) { storetest.Pay(t, s, shop.Test, id) }, false, models.EmailSkipped},
			{"cancelled meanwhile", func(t *testing.T, shop storetest.Shop, id string) {
				ok(s.CancelOrder(t.Context(), shop.Test, id, "", "test"))(t)
			}, false, models.EmailSkipped},
		} {
			t.Run(c.name, func(t *testing.T) {
				shop := storetest.Merchant(t, s)
				settings(t, s, shop, `{"reminders":{"online":["1s"],"offline":[]},"delete_unpaid_after":"100h"}`)
				storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
				o := storetest.Order(t, s, shop.Test, "editor", 1)
				aged(t, s, o.ID, time.Minute)
				ok(s.RemindOrders(t.Context()))(t)
				j := emailJob(t, s, shop, models.EmailReminder)
				c.do(t, shop, o.ID)
				m := ok(s.Mailing(t.Context(), j.Args.Email))(t)
				if m.Unpaid != c.unpaid || m.Order.ID != o.ID || m.Email.Stage != 0 || m.Email.Kind != models.EmailReminder {
					t.Errorf("unpaid: %t, %s", m.Unpaid, toJSON(t, m.Email))
				}
				if left := time.Until(m.ExpiresAt); left < 99*time.Hour || left > 100*time.Hour {
					t.Errorf("the order is deleted in %s", left)
				}
				if err := perform(t, s, j); err != nil {
					t.Fatal(err)
				}
				if got := texts(t, s, `SELECT status FROM emails WHERE id = $1`, j.Args.Email)[0]; got != string(c.status) {
					t.Errorf("the reminder is %s", got)
				}
				if _, err := s.Mailing(t.Context(), j.Args.Email); !errors.Is(err, models.ErrNothingToDo) {
					t.Errorf("it is sent again: %v", err)
				}
				healthy(t, s)
			})
		}
	})
}

// A customer who changes to bank transfer gets its instructions although reminders of the other class were sent, and after changing
// back none twice.
func TestAChangeOfTheMethodsClass(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		settings(t, s, shop, `{"reminders":{"online":["1s","3600s"],"offline":["0s","7200s"]}}`)
		storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
		o := storetest.Order(t, s, shop.Test, "editor", 1)
		aged(t, s, o.ID, time.Minute)
		remind := func(step, want string) {
			t.Helper()
			ok(s.RemindOrders(t.Context()))(t)
			got := strings.Join(texts(t, s, `SELECT substr(fact, length(order_id) + 11, 10) FROM emails WHERE order_id = $1 AND kind = 'payment_reminder' ORDER BY id`, o.ID), ",")
			if got != want {
				t.Errorf("%s: the reminders are %q, want %q", step, got, want)
			}
		}
		remind("by card", "online:0:2")
		ok(s.BeginPayment(t.Context(), shop.Test, o.ID, offline))(t)
		remind("by transfer", "online:0:2,offline:0:")
		waitAMinute(t, s, shop)
		ok(s.BeginPayment(t.Context(), shop.Test, o.ID, offline))(t)
		remind("by transfer again", "online:0:2,offline:0:")
		waitAMinute(t, s, shop)
		begin(t, s, shop.Test, o.ID)
		remind("by card again", "online:0:2,offline:0:")
		healthy(t, s)
	})
}

func TestWhichOrdersExpire(t *testing.T) {
	const week = 7 * 24 * time.Hour
	cases := []struct {
		name    string
		outcome *models.PaymentResult // of a payment
		begun   bool
		age     time.Duration
		expired bool
	}{
		{"not before its term", nil, false, 55 * time.Minute, false},
		{"after its term", nil, false, 61 * time.Minute, true},
		{"long after its term", nil, false, 10000 * time.Hour, true},
		{"with a payment that was begun", nil, true, 61 * time.Minute, true},
		{"with a payment that waits for the customer", &wantsMore, true, 61 * time.Minute, true},
		{"with a payment that has failed", &fails, true, 61 * time.Minute, true},
		{"not while a payment is processed", &processes, true, 61 * time.Minute, false},
		{"not while a payment is processed, within a week", &processes, true, week + 55*time.Minute, false},
		{"with a payment that is processed for a week more", &processes, true, week + 61*time.Minute, true},
		{"not when it is paid", &succeeds, true, 10000 * time.Hour, false},
	}
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				shop := storetest.Merchant(t, s)
				settings(t, s, shop, `{"delete_unpaid_after":"60m","reminders":{"online":[],"offline":[]}}`)
				storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
				o := storetest.Order(t, s, shop.Test, "editor", 1)
				if c.begun {
					p := begin(t, s, shop.Test, o.ID)
					if c.outcome != nil {
						apply(t, s, p.ID, *c.outcome)
					}
				}
				aged(t, s, o.ID, c.age)
				before := orderOf(t, s, shop.Test, o.ID)
				kind := kindOf(t, jobs.KindExpire)
				if due := ok(s.Due(t.Context(), kind))(t); due != c.expired {
					t.Errorf("due: %t", due)
				}
				n := ok(s.ExpireOrders(t.Context()))(t)
				got := orderOf(t, s, shop.Test, o.ID)
				if !c.expired {
					if n != 0 || toJSON(t, got) != toJSON(t, before) {
						t.Errorf("%d expired, order %s", n, toJSON(t, got))
					}
					aged(t, s, o.ID, 0) // out of the way of the others
					return
				}
				if n != 1 || got.Status != models.OrderDeleted || *got.DeleteReason != models.DeletedExpired || got.DeletedAt == nil {
					t.Errorf("%d expired, order %s", n, toJSON(t, got))
				}
				for _, p := range got.Payments {
					if p.Status != models.PaymentCancelled && p.Status != models.PaymentFailed {
						t.Errorf("a payment is %s", p.Status)
					}
				}
				if n := ok(s.ExpireOrders(t.Context()))(t); n != 0 || ok(s.Due(t.Context(), kind))(t) {
					t.Errorf("%d expired again", n)
				}
				if data := eventData(t, s, shop, models.EventOrderDeleted); len(data) != 1 || !strings.Contains(data[0], `"delete_reason":"expired"`) {
					t.Errorf("order.deleted %q", data)
				}
				if n := storetest.Count(t, s, `SELECT COUNT(*) FROM history WHERE order_id = $1 AND kind = 'order.deleted' AND actor = 'scheduler'`, o.ID); n != 1 {
					t.Errorf("%d lines of history by the scheduler", n)
				}
				healthy(t, s)
			})
		}
	})
}

// Orders live by the settings of now, not of when they were made.
func TestAChangeOfSettingsAppliesToOrdersThatAreThere(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
		o := storetest.Order(t, s, shop.Test, "editor", 1)
		aged(t, s, o.ID, 40*time.Minute)
		does := func(step string, reminded, expired int) {
			t.Helper()
			if n := ok(s.RemindOrders(t.Context()))(t); n != reminded {
				t.Errorf("%s: %d reminded, want %d", step, n, reminded)
			}
			if n := ok(s.ExpireOrders(t.Context()))(t); n != expired {
				t.Errorf("%s: %d expired, want %d", step, n, expired)
			}
		}
		does("by default", 0, 0)
		settings(t, s, shop, `{"reminders":{"online":["30m"]}}`)
		does("reminders sooner", 1, 0)
		settings(t, s, shop, `{"reminders":{"online":["10m","35m"]}}`)
		does("another reminder", 1, 0)
		settings(t, s, shop, `{"reminders":{"online":["10m"]}}`)
		does("fewer reminders", 0, 0)
		settings(t, s, shop, `{"delete_unpaid_after":"41m"}`)
		does("a term that is not over", 0, 0)
		settings(t, s, shop, `{"delete_unpaid_after":"39m"}`)
		does("a term that is over", 0, 1)
		if got := reminderStages(t, s, o.ID); got != "0 1" {
			t.Errorf("reminders %q", got)
		}
		healthy(t, s)
	})
}

func TestPeriodicWorkStopsWhenItsTimeIsOver(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		settings(t, s, shop, `{"delete_unpaid_after":"60s"}`)
		storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
		aged(t, s, storetest.Order(t, s, shop.Test, "editor", 1).ID, time.Hour)
		over, cancel := context.WithCancel(t.Context())
		cancel()
		for _, work := range []func(context.Context) (int, error){s.ExpireOrders, s.RemindOrders} {
			if n, err := work(over); n != 0 || !errors.Is(err, context.Canceled) {
				t.Errorf("%d orders, %v", n, err)
			}
		}
	})
}

// A tick finds everything that is due, so another is not staged before it is done: two at once would leave customers no rest between them.
func TestATickIsDueWhenTheLastIsDone(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		settings(t, s, shop, `{"delete_unpaid_after":"60m","reminders":{"online":[],"offline":[]}}`)
		storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
		aged(t, s, storetest.Order(t, s, shop.Test, "editor", 1).ID, 2*time.Hour)
		kind := kindOf(t, jobs.KindExpire)
		is := func(when string, want bool) {
			t.Helper()
			if due := ok(s.Due(t.Context(), kind))(t); due != want {
				t.Errorf("%s: due is %t", when, due)
			}
		}
		is("at first", true)
		if err := s.StageTick(t.Context(), kind, time.Now()); err != nil {
			t.Fatal(err)
		}
		is("while a tick waits", false)
		c := take(t, s, storetest.Jobs(t, s, jobs.KindExpire)[0])
		is("while it is done", false)
		if err := s.Keep(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		is("after it, with an order left", true)
	})
}
