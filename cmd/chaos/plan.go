package main

import (
	"fmt"
	"math/rand/v2"
)

// article is a product of the shop.
type article struct {
	sku, method, per string
}

// shelf is what the shop sells: every way of making licences that Purser has without help from outside, one for each unit and one for
// each order item.
var shelf = []article{
	{"pool-unit", "pool", "unit"}, {"pool-item", "pool", "item"},
	{"template-unit", "template", "unit"}, {"template-item", "template", "item"},
	{"signed-unit", "signed", "unit"}, {"signed-item", "signed", "item"},
}

func articleOf(sku string) article {
	for _, a := range shelf {
		if a.sku == sku {
			return a
		}
	}
	return article{}
}

// units is how many licences a quantity has.
func (a article) units(quantity int) int {
	if a.per == "item" {
		return 1
	}
	return quantity
}

// orderLine is one line of a checkout request.
type orderLine struct {
	Product  string `json:"product"`
	Quantity int    `json:"quantity"`
}

// The test gateway's cards.
const (
	cardGood         = "4242424242424242"
	cardDeclined     = "4000000000000002"
	cardInsufficient = "4000000000009995"
	cardConfirms     = "4000002500003155"
	cardDelayed      = "4000000000000077"
)

// try is one attempt to pay.
type try struct {
	card string
	// answer is what the customer tells a gateway that asks for confirmation: succeed or fail.
	answer string
}

// good reports whether the attempt brings money.
func (t try) good() bool {
	return t.card == cardGood || t.card == cardDelayed || t.card == cardConfirms && t.answer == "succeed"
}

// ways of paying, and of not paying, with how many of a hundred customers go each.
var ways = []struct {
	of100 int
	tries []try
}{
	{48, []try{{card: cardGood}}},
	{14, []try{{card: cardDelayed}}},
	{12, []try{{cardConfirms, "succeed"}}},
	{10, []try{{card: cardDeclined}, {card: cardGood}}},
	{4, []try{{card: cardDeclined}, {card: cardInsufficient}, {card: cardGood}}},
	{4, []try{{cardConfirms, "fail"}, {card: cardGood}}},
	{3, []try{{card: cardDeclined}}},
	{2, []try{{cardConfirms, "fail"}}},
	{3, nil}, // looks and goes
}

// plan is what one customer is going to do.
type plan struct {
	name  string // nobody else's
	lines []orderLine
	tries []try
}

// planOf is the plan of the nth customer: it depends on the seed and the number only, whatever else happens.
func planOf(seed uint64, n int) plan {
	r := rand.New(rand.NewPCG(seed, uint64(n)))
	p := plan{name: fmt.Sprintf("buyer-%d", n)}
	count := 1
	switch i := r.IntN(10); {
	case i >= 9:
		count = 3
	case i >= 6:
		count = 2
	}
	for _, i := range r.Perm(len(shelf))[:count] {
		p.lines = append(p.lines, orderLine{shelf[i].sku, 1 + r.IntN(4)})
	}
	at := r.IntN(100)
	for _, w := range ways {
		if at -= w.of100; at < 0 {
			p.tries = w.tries
			break
		}
	}
	return p
}

// paid reports whether the plan ends with the order paid.
func (p *plan) paid() bool { return len(p.tries) > 0 && p.tries[len(p.tries)-1].good() }

// failures is how many payments will fail.
func (p *plan) failures() (n int) {
	for _, t := range p.tries {
		if !t.good() {
			n++
		}
	}
	return n
}

// events is what the merchant's server will be told, each sort with how often.
func (p *plan) events() map[string]int {
	want := map[string]int{"order.created": 1}
	if n := p.failures(); n > 0 {
		want["payment.failed"] = n
	}
	if p.paid() {
		want["payment.succeeded"], want["order.delivered"], want["product.delivered"] = 1, 1, len(p.lines)
	}
	return want
}

// mails is how many different emails the customer will get: a confirmation, and the licences of each item.
func (p *plan) mails() int {
	if !p.paid() {
		return 0
	}
	return 1 + len(p.lines)
}

// email is the customer's address.
func (p *plan) email() string { return p.name + "@customers.example" }

// stock is how many keys each pool needs for some plans.
func stock(plans []plan) map[string]int {
	need := map[string]int{}
	for i := range plans {
		if !plans[i].paid() {
			continue
		}
		for _, l := range plans[i].lines {
			if a := articleOf(l.Product); a.method == "pool" {
				need[a.sku] += a.units(l.Quantity)
			}
		}
	}
	return need
}
