package main

import (
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"
)

// purchase is one customer's: what they plan, what they did, and what has come of it outside.
type purchase struct {
	plan
	begun time.Time

	// The ledger's lock is for what follows.
	order    string            // its id, once the customer knows it
	acted    bool              // the customer has done everything planned
	facts    map[string]string // ids of the events that came, with what they tell: type and item
	letters  map[string]string // Message-IDs of the emails that came, with their text
	again    [2]int            // copies of webhooks and of emails that came more than once
	complete time.Time         // when everything that was to come had come; zero before
}

// ledger has all purchases and what the outside sees of them.
type ledger struct {
	mu      sync.Mutex
	byName  map[string]*purchase // by external id, and by email
	byEmail map[string]*purchase
	all     []*purchase
	open    map[*purchase]bool // those that are not complete
	// strange is what came and belongs to nobody.
	strange []string
	notices map[string]string // Message-IDs of the emails that came to the merchant, with their text
}

func newLedger() *ledger {
	return &ledger{byName: map[string]*purchase{}, byEmail: map[string]*purchase{}, open: map[*purchase]bool{}, notices: map[string]string{}}
}

// begin enters a purchase.
func (l *ledger) begin(p plan) *purchase {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := &purchase{plan: p, begun: time.Now(), facts: map[string]string{}, letters: map[string]string{}}
	l.byName[p.name], l.byEmail[p.email()], l.open[out] = out, out, true
	l.all = append(l.all, out)
	return out
}

// acted notes that a customer has done everything planned, with the order of that id.
func (l *ledger) acted(p *purchase, order string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p.order, p.acted = order, true
	l.settle(p)
}

// takeEvent notes a copy of an event.
func (l *ledger) takeEvent(e event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.byName[e.order().ExternalID]
	if p == nil {
		l.strange = append(l.strange, fmt.Sprintf("event %s %s is about an order of nobody", e.ID, e.Type))
		return
	}
	if _, known := p.facts[e.ID]; known {
		p.again[0]++
		return
	}
	fact := e.Type
	if e.Data.Item.ID != "" {
		fact += " " + e.Data.Item.ID
	}
	p.facts[e.ID] = fact
	l.settle(p)
}

// merchantEmail is where notices to the merchant go.
const merchantEmail = "merchant@shop.example"

// takeMail notes a copy of an email.
func (l *ledger) takeMail(m mail) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.byEmail[m.to]
	switch {
	case m.to == merchantEmail:
		l.notices[m.id] = m.text
		return
	case p == nil:
		l.strange = append(l.strange, fmt.Sprintf("email %s is to nobody", m.id))
		return
	}
	if _, known := p.letters[m.id]; known {
		p.again[1]++
		return
	}
	p.letters[m.id] = m.text
	l.settle(p)
}

// settle looks whether everything has come.
func (l *ledger) settle(p *purchase) {
	if !p.complete.IsZero() || !p.acted || len(p.letters) < p.mails() {
		return
	}
	got := p.told()
	for kind, n := range p.events() {
		if got[kind] < n {
			return
		}
	}
	p.complete = time.Now()
	delete(l.open, p)
}

// told counts the events by type.
func (p *purchase) told() map[string]int {
	got := map[string]int{}
	for _, fact := range p.facts {
		kind, _, _ := strings.Cut(fact, " ")
		got[kind]++
	}
	return got
}

// waiting counts the purchases that were begun before a time and are not complete; some are named.
func (l *ledger) waiting(before time.Time) (n int, some []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for p := range l.open {
		if !p.begun.Before(before) {
			continue
		}
		if n++; len(some) < 5 {
			some = append(some, p.lacks())
		}
	}
	return n, some
}

// lacks says what a purchase waits for.
func (p *purchase) lacks() string {
	if !p.acted {
		return p.name + " is still at the checkout"
	}
	missing := p.events()
	for kind, n := range p.told() {
		missing[kind] -= n
	}
	maps.DeleteFunc(missing, func(_ string, n int) bool { return n <= 0 })
	return fmt.Sprintf("%s (%s) waits for events %v and %d of %d emails", p.name, p.order, missing, p.mails()-len(p.letters), p.mails())
}

// since counts the purchases that were begun since a time.
func (l *ledger) since(at time.Time) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := len(l.all) - 1; i >= 0 && !l.all[i].begun.Before(at); i-- {
		n++
	}
	return n
}
