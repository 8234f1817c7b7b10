package models

import (
	"math/bits"
	"slices"
)

// A discountRule takes something off an order: a percentage, or else a fixed amount.
type discountRule struct {
	// Percent is in hundredths of a percent: 1000 is 10 %.
	percent int64
	// fixed is in minor units of the order's currency.
	fixed int64
	// products that it is for; empty means all.
	products []string
}

func (d discountRule) covers(product string) bool {
	return len(d.products) == 0 || slices.Contains(d.products, product)
}

// taxRule is the one rate that applies to an order.
type taxRule struct {
	// rate is in hundredths of a percent: 1900 is 19 %.
	rate int64
	// inclusive: prices contain the tax.
	inclusive bool
}

// pricedLine is a line of an order on its way to its total. All amounts are minor units of one currency.
type pricedLine struct {
	product   string
	unitPrice int64
	quantity  int64
	offer     int64 // what a special offer takes off this line, in hundredths of a percent
	discount  int64
	tax       int64
	total     int64
}

func (l *pricedLine) gross() int64 { return l.unitPrice * l.quantity }

// totals are an order's sums.
type totals struct{ subtotal, discount, tax, total int64 }

// price computes the lines' discounts, taxes and totals and returns their sums, which add up to the cent:
//
//	line total = unit price × quantity − discount, plus the tax where prices do not contain it
//
// A special offer comes off its own line first. Discounts apply one after the other, each to what the ones before it have left. Discount and tax are computed for the order
// as a whole and then spread over its lines by the largest-remainder method (Hare–Niemeyer), so that no cent is lost or made.
func price(lines []pricedLine, discounts []discountRule, tax taxRule) totals {
	var sum totals
	for i := range lines {
		lines[i].discount, lines[i].tax = mulDiv(lines[i].gross(), lines[i].offer, 10_000), 0
		sum.subtotal += lines[i].gross()
		sum.discount += lines[i].discount
	}
	for _, d := range discounts {
		sum.discount += takeOff(lines, d)
	}
	bases := make([]int64, len(lines))
	var base int64
	for i := range lines {
		bases[i] = lines[i].gross() - lines[i].discount
		base += bases[i]
	}
	if tax.rate > 0 {
		if tax.inclusive {
			sum.tax = mulDiv(base, tax.rate, 10_000+tax.rate)
		} else {
			sum.tax = mulDiv(base, tax.rate, 10_000)
		}
	}
	for i, share := range spread(sum.tax, bases) {
		lines[i].tax = share
		lines[i].total = bases[i]
		if !tax.inclusive {
			lines[i].total += share
		}
		sum.total += lines[i].total
	}
	return sum
}

// takeOff applies one discount to the lines that it covers and returns what it took off in all.
func takeOff(lines []pricedLine, d discountRule) int64 {
	left := make([]int64, len(lines))
	var all int64
	for i := range lines {
		if d.covers(lines[i].product) {
			left[i] = lines[i].gross() - lines[i].discount
			all += left[i]
		}
	}
	off := min(d.fixed, all)
	if d.percent > 0 {
		off = mulDiv(all, min(d.percent, 10_000), 10_000)
	}
	for i, share := range spread(off, left) {
		lines[i].discount += share
	}
	return off
}

// spread divides an amount over weights in proportion, by the largest-remainder method; of equal remainders the first gets the
// cent. No share is larger than its weight as long as the amount is at most the weights' sum.
func spread(amount int64, weights []int64) []int64 {
	shares := make([]int64, len(weights))
	var sum int64
	for _, w := range weights {
		sum += w
	}
	if amount == 0 || sum == 0 {
		return shares
	}
	order := make([]int, len(weights))
	remainders := make([]uint64, len(weights))
	left := amount
	for i, w := range weights {
		high, low := bits.Mul64(uint64(amount), uint64(w))
		share, remainder := bits.Div64(high, low, uint64(sum))
		shares[i], remainders[i], order[i] = int64(share), remainder, i
		left -= shares[i]
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case remainders[a] > remainders[b]:
			return -1
		case remainders[a] < remainders[b]:
			return 1
		}
		return 0
	})
	for i := 0; left > 0; i++ {
		shares[order[i]]++
		left--
	}
	return shares
}

// mulDiv is a × b ÷ c, rounded half up, without overflow in between.
func mulDiv(a, b, c int64) int64 {
	high, low := bits.Mul64(uint64(a), uint64(b))
	low, carry := bits.Add64(low, uint64(c)/2, 0)
	q, _ := bits.Div64(high+carry, low, uint64(c))
	return int64(q)
}
