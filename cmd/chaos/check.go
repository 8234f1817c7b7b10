package main

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"time"
)

// outcome is what the whole trial comes to.
type outcome struct {
	orders, paid, unpaid   int
	keys                   int // licences
	events, mails          int
	hooksAgain, mailsAgain int // copies beyond the first
	hooksTurned            int // deliveries and conversations that the outside refused in some way
	mailsTurned            int
	doctor                 string
}

// check compares everything that is to be seen from outside with what the customers did.
func (t *trial) check(ctx context.Context) (out outcome, err error) {
	if err := t.quiet(ctx); err != nil {
		return out, err
	}
	if err := t.checkList(ctx); err != nil {
		return out, err
	}
	if err := t.checkOrders(ctx, &out); err != nil {
		return out, err
	}
	t.checkOutside(&out)
	report, err := t.tool(ctx, "doctor")
	out.doctor = "clean"
	if err != nil {
		out.doctor = "broken invariants"
		t.wrong(unsound, "%v", err)
	} else if !strings.Contains(report, `"ok": true`) {
		t.wrong(unsound, "%s", report)
	}
	t.client.mu.Lock()
	defer t.client.mu.Unlock()
	for _, bad := range t.client.bad {
		t.wrong(badReply, "%s", bad)
	}
	return out, nil
}

// quiet waits until no job of the business is unfinished, so that nothing is left that could still happen a second time.
func (t *trial) quiet(ctx context.Context) error {
	t.customers.Wait()
	deadline := time.Now().Add(giveUp)
	for {
		var left strings.Builder
		for _, state := range []string{"due", "running"} {
			text, err := t.tool(ctx, "jobs", "list", "--state", state, "--limit", "1000")
			if err != nil {
				return err
			}
			for line := range strings.Lines(text) {
				if !strings.HasPrefix(line, "ID ") && !strings.Contains(line, " orders.") && !strings.Contains(line, " retention.") {
					left.WriteString(line)
				}
			}
		}
		if left.String() == "" {
			return nil
		}
		if time.Now().After(deadline) {
			t.wrong(lost, "jobs that nobody finishes:\n%.2000s", left.String())
			return nil
		}
		if err := pause(ctx, 500*time.Millisecond); err != nil {
			return err
		}
	}
}

// checkList looks for orders that nobody has made, and for those that were made twice.
func (t *trial) checkList(ctx context.Context) error {
	all, err := list[order](ctx, t.client, "/v1/orders?created_from=2000-01-01T00:00:00Z")
	if err != nil {
		return err
	}
	t.ledger.mu.Lock()
	defer t.ledger.mu.Unlock()
	seen := map[string]string{}
	for _, o := range all {
		p := t.ledger.byName[o.ExternalID]
		switch other := seen[o.ExternalID]; {
		case p == nil:
			t.wrong(double, "order %s belongs to nobody (%q)", o.ID, o.ExternalID)
		case other != "":
			t.wrong(double, "orders %s and %s are both %s's", o.ID, other, o.ExternalID)
		case p.order != "" && p.order != o.ID:
			t.wrong(lost, "%s was told of order %s, but has %s", p.name, p.order, o.ID)
		}
		seen[o.ExternalID] = o.ID
	}
	for _, p := range t.ledger.all {
		if seen[p.name] == "" {
			t.wrong(lost, "%s has no order (was told of %q)", p.name, p.order)
		}
	}
	return nil
}

// checkOrders reads every order: what was paid is delivered, with as many licences as it has units, each of them nobody else's, and one
// email has them; what was not paid has nothing.
func (t *trial) checkOrders(ctx context.Context, out *outcome) error {
	var mu sync.Mutex
	sold := goods{}
	work := make(chan *purchase)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for p := range work {
				if p.order == "" || ctx.Err() != nil {
					continue
				}
				var o order
				if err := t.client.ask(ctx, http.MethodGet, "/v1/orders/"+p.order, "", nil, &o, http.StatusOK); err != nil {
					t.wrong(lost, "%s: %v", p.name, err)
					continue
				}
				mu.Lock()
				t.checkOrder(p, &o, sold)
				mu.Unlock()
			}
		})
	}
	for _, p := range t.ledger.all {
		out.orders++
		if p.paid() {
			out.paid++
		} else {
			out.unpaid++
		}
		work <- p
	}
	close(work)
	all.Wait()
	out.keys = len(sold)
	t.checkLetters(sold)
	return ctx.Err()
}

func (t *trial) checkOrder(p *purchase, o *order, sold goods) {
	succeeded := 0
	for _, payment := range o.Payments {
		if payment.Status == "succeeded" {
			succeeded++
		}
	}
	if len(o.Payments) != len(p.tries) || succeeded > 1 {
		t.wrong(double, "order %s has %d payments, %d of them succeeded; its customer tried %d times", o.ID, len(o.Payments), succeeded, len(p.tries))
	}
	if !p.paid() {
		if o.Status != "not_paid" || o.FulfillmentStatus != "not_delivered" || o.PaidAt != nil || o.DeliveredAt != nil || succeeded > 0 {
			t.wrong(double, "order %s was not paid, but is %s and %s", o.ID, o.Status, o.FulfillmentStatus)
		}
	} else if o.Status != "paid" || o.FulfillmentStatus != "delivered" || o.DeliveredAt == nil {
		t.wrong(lost, "order %s was paid, but is %s and %s", o.ID, o.Status, o.FulfillmentStatus)
	}
	if len(o.Items) != len(p.lines) {
		t.wrong(lost, "order %s has %d items, want %d", o.ID, len(o.Items), len(p.lines))
		return
	}
	for i, item := range o.Items {
		units := 0
		if p.paid() {
			units = articleOf(item.SKU).units(p.lines[i].Quantity)
		}
		if item.SKU != p.lines[i].Product || item.Quantity != p.lines[i].Quantity {
			t.wrong(lost, "item %s is %d of %s, want %d of %s", item.ID, item.Quantity, item.SKU, p.lines[i].Quantity, p.lines[i].Product)
		}
		switch n := len(item.Licenses); {
		case n < units:
			t.wrong(lost, "item %s has %d licences, want %d", item.ID, n, units)
		case n > units:
			t.wrong(double, "item %s has %d licences, want %d", item.ID, n, units)
		}
		for _, l := range item.Licenses {
			if other := sold[l.Key].item; other != "" || l.Key == "" {
				t.wrong(double, "licence %s of item %s has a key that is also on item %q", l.ID, item.ID, other)
			}
			if l.DeliveredAt == nil || l.Status != "active" {
				t.wrong(lost, "licence %s of item %s is %s and was delivered at %v", l.ID, item.ID, l.Status, l.DeliveredAt)
			}
			sold[l.Key] = good{p, item.ID}
		}
	}
}

// checkOutside compares what came to the mail server and to the merchant's server with the plans: each fact under one id.
func (t *trial) checkOutside(out *outcome) {
	l := t.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.all {
		out.events += len(p.facts)
		out.mails += len(p.letters)
		out.hooksAgain += p.again[0]
		out.mailsAgain += p.again[1]
		want, got := p.events(), p.told()
		for kind, n := range want {
			switch {
			case got[kind] < n:
				t.wrong(lost, "%s %s: %d events %s arrived, want %d", p.name, p.order, got[kind], kind, n)
			case got[kind] > n:
				t.wrong(double, "%s %s: %d different events %s arrived, want %d", p.name, p.order, got[kind], kind, n)
			}
		}
		for kind, n := range got {
			if want[kind] == 0 && !(kind == "fulfillment.failed" && t.refused) {
				t.wrong(double, "%s %s: %d events %s arrived, but it did not happen", p.name, p.order, n, kind)
			}
		}
		items := map[string]string{}
		for id, fact := range p.facts {
			kind, item, ok := strings.Cut(fact, " ")
			if !ok || kind != "product.delivered" {
				continue
			}
			if other := items[item]; other != "" {
				t.wrong(double, "events %s and %s both tell that item %s was delivered", id, other, item)
			}
			items[item] = id
		}
		switch n := len(p.letters); {
		case n < p.mails():
			t.wrong(lost, "%s %s: %d emails arrived, want %d", p.name, p.order, n, p.mails())
		case n > p.mails():
			t.wrong(double, "%s %s: %d different emails arrived, want %d", p.name, p.order, n, p.mails())
		}
	}
	for _, s := range l.strange {
		t.wrong(double, "%s", s)
	}
	t.hooks.mu.Lock()
	defer t.hooks.mu.Unlock()
	t.mails.mu.Lock()
	defer t.mails.mu.Unlock()
	out.hooksTurned, out.mailsTurned = t.hooks.turned, t.mails.turned
	for _, odd := range append(append([]string{}, t.hooks.odd...), t.mails.odd...) {
		t.wrong(double, "%s", odd)
	}
	if n := len(l.notices); n > 0 && !t.refused {
		t.wrong(double, "%d emails told the merchant of failures that did not happen", n)
	}
}
