package main

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/purser-dev/purser/models"
)

// wanted is what the purchases come to.
type wanted struct{ events, emails int }

func wantOf(plans []*purchase) (w wanted) {
	for _, p := range plans {
		w.events += 1 + p.failed
		if p.paid {
			w.events += 2 + len(p.lines)
			w.emails += 1 + len(p.lines)
		}
	}
	return w
}

// checkOrders asks for every order: what was paid is delivered, in time, with as many licences as it has units, each of them one of a
// kind; what was not paid has nothing.
func checkOrders(t *testing.T, c client, plans []*purchase, shelf map[string]*article, fault time.Time) {
	t.Helper()
	keys := map[string]string{}
	fromPool := map[string]int{}
	for _, p := range plans {
		o, err := c.get(p.order.ID)
		if err != nil {
			t.Fatal(err)
		}
		bound := recovery
		if greylisted(p.email) {
			bound += refusal
		}
		if !p.paid {
			if o.Status != models.OrderNotPaid || o.FulfillmentStatus != models.NotDelivered || o.PaidAt != nil || o.DeliveredAt != nil {
				t.Errorf("order %s was not paid, but is %s and %s", o.ID, o.Status, o.FulfillmentStatus)
			}
		} else if o.Status != models.OrderPaid || o.FulfillmentStatus != models.Delivered || o.DeliveredAt == nil {
			t.Errorf("order %s was paid, but is %s and %s", o.ID, o.Status, o.FulfillmentStatus)
		} else if late := o.DeliveredAt.Sub(latest(*o.PaidAt, fault)); late > bound {
			t.Errorf("order %s was delivered %s after the faults and its payment", o.ID, late)
		}
		if p.order = o; len(o.Payments) != len(p.cards) {
			t.Errorf("order %s has %d payments, want %d", o.ID, len(o.Payments), len(p.cards))
		}
		for i, item := range o.Items {
			a := shelf[p.lines[i].Product]
			units := 0
			if p.paid {
				units = a.units(item.Quantity)
			}
			if item.Quantity != p.lines[i].Quantity || item.SKU != a.sku || len(item.Licenses) != units {
				t.Errorf("item %s: %d of %s with %d licences, want %d of %s with %d", item.ID, item.Quantity, item.SKU, len(item.Licenses), p.lines[i].Quantity, a.sku, units)
			}
			for _, l := range item.Licenses {
				if other := keys[l.Key]; other != "" || l.Key == "" || l.DeliveredAt == nil || l.Status != models.LicenseActive {
					t.Errorf("licence %s of item %s: %s, delivered at %v; its key is also on item %q", l.ID, item.ID, l.Status, l.DeliveredAt, other)
				}
				keys[l.Key] = item.ID
			}
			if a.method == models.MethodPool {
				fromPool[a.sku] += units
			}
		}
	}
	for sku, delivered := range fromPool {
		var sum models.PoolSummary
		c.must(t, http.MethodGet, "/v1/products/"+shelf[sku].id+"/keys/summary", nil, &sum, http.StatusOK)
		if want := (models.PoolSummary{Available: shelf[sku].stock - delivered, Delivered: delivered}); sum != want {
			t.Errorf("the pool of %s is %+v, want %+v", sku, sum, want)
		}
	}
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// checkEvents compares what the merchant's server was told with what happened, fact by fact.
func checkEvents(t *testing.T, c client, plans []*purchase, hooks *webhookServer) {
	t.Helper()
	want := map[string]int{}
	for _, p := range plans {
		id := p.order.ID
		want["order.created "+id] = 1
		if p.failed > 0 {
			want["payment.failed "+id] = p.failed
		}
		if p.paid {
			want["payment.succeeded "+id], want["order.delivered "+id] = 1, 1
			for _, item := range p.order.Items {
				want["product.delivered "+id+" "+item.ID] = 1
			}
		}
	}
	got := map[string]int{}
	events := hooks.received()
	for _, e := range events {
		fact := e.Type + " " + e.order()
		if e.Data.Item.ID != "" {
			fact += " " + e.Data.Item.ID
		}
		got[fact]++
	}
	for fact, n := range want {
		if got[fact] != n {
			t.Errorf("%s: received %d times, want %d", fact, got[fact], n)
		}
	}
	for fact := range got {
		if want[fact] == 0 {
			t.Errorf("%s: received, but it did not happen", fact)
		}
	}
	known := all[struct{ ID string }](t, c, "/v1/events")
	for _, e := range known {
		if _, ok := events[e.ID]; !ok {
			t.Errorf("event %s is listed, but was not received", e.ID)
		}
	}
	if len(known) != len(events) {
		t.Errorf("%d events are listed, %d were received", len(known), len(events))
	}
	for _, problem := range hooks.problems {
		t.Errorf("webhook %s", problem)
	}
}

// checkEmails looks for one licence email of each delivered item, with all its keys, and one confirmation of each payment. It returns
// the Message-IDs of which there are several copies.
func checkEmails(t *testing.T, plans []*purchase, mails *mailServer) map[string]bool {
	t.Helper()
	byCustomer := map[string]map[string]email{} // and Message-ID
	repeated := map[string]bool{}
	for _, m := range mails.copies() {
		if byCustomer[m.to] == nil {
			byCustomer[m.to] = map[string]email{}
		}
		if _, again := byCustomer[m.to][m.messageID]; again {
			repeated[m.messageID] = true
		}
		byCustomer[m.to][m.messageID] = m
	}
	for _, p := range plans {
		got := byCustomer[p.email]
		delete(byCustomer, p.email)
		if !p.paid {
			if len(got) > 0 {
				t.Errorf("order %s was not paid, and its customer got %d emails", p.order.ID, len(got))
			}
			continue
		}
		if len(got) != 1+len(p.lines) {
			t.Errorf("the customer of order %s got %d emails, want %d", p.order.ID, len(got), 1+len(p.lines))
		}
		for _, item := range p.order.Items {
			n := 0
			for _, m := range got {
				has := 0
				for _, l := range item.Licenses {
					if strings.Contains(m.text, l.Key) {
						has++
					}
				}
				if has == len(item.Licenses) {
					n++
				} else if has > 0 {
					t.Errorf("email %s has some of the keys of item %s", m.messageID, item.ID)
				}
			}
			if n != 1 {
				t.Errorf("%d emails have the licences of item %s", n, item.ID)
			}
		}
	}
	for to, got := range byCustomer {
		t.Errorf("%d emails to %s, who bought nothing", len(got), to)
	}
	return repeated
}
