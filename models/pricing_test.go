package models

import (
	"testing"

	"pgregory.net/rapid"
)

// TestPricesAddUp: whatever the lines, discounts and tax, lines add up to the order and nothing is negative.
func TestPricesAddUp(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		products := []string{"a", "b", "c"}
		lines := make([]pricedLine, rapid.IntRange(1, 12).Draw(t, "lines"))
		for i := range lines {
			lines[i] = pricedLine{
				product: rapid.SampledFrom(products).Draw(t, "product"), unitPrice: rapid.Int64Range(0, 1_000_000_000).Draw(t, "price"),
				quantity: rapid.Int64Range(1, 1000).Draw(t, "quantity"), offer: rapid.Int64Range(0, 10_000).Draw(t, "offer"),
			}
		}
		rules := make([]discountRule, rapid.IntRange(0, 3).Draw(t, "rules"))
		for i := range rules {
			if rapid.Bool().Draw(t, "percent") {
				rules[i].percent = rapid.Int64Range(1, 10_000).Draw(t, "bp")
			} else {
				rules[i].fixed = rapid.Int64Range(1, 1_000_000_000_000).Draw(t, "fixed")
			}
			if rapid.Bool().Draw(t, "some") {
				rules[i].products = []string{rapid.SampledFrom(products).Draw(t, "covered")}
			}
		}
		tax := taxRule{rate: rapid.Int64Range(0, 10_000).Draw(t, "rate"), inclusive: rapid.Bool().Draw(t, "inclusive")}
		sum := price(lines, rules, tax)
		var subtotal, discount, taxes, total int64
		for i, l := range lines {
			subtotal += l.gross()
			discount += l.discount
			taxes += l.tax
			total += l.total
			want := l.gross() - l.discount
			if !tax.inclusive {
				want += l.tax
			}
			if l.discount < 0 || l.discount > l.gross() || l.tax < 0 || l.total < 0 || l.total != want || tax.inclusive && l.tax > l.total {
				t.Fatalf("line %d: %+v", i, l)
			}
		}
		if got := (totals{subtotal, discount, taxes, total}); got != sum {
			t.Fatalf("the lines make %+v, the order %+v", got, sum)
		}
		want := sum.subtotal - sum.discount
		if !tax.inclusive {
			want += sum.tax
		}
		if sum.total != want {
			t.Fatalf("the order does not add up: %+v", sum)
		}
	})
}

// TestSpreadIsFair: a share is never a cent more than its part.
func TestSpreadIsFair(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		amount  int64
		weights []int64
		want    []int64
	}{
		{100, []int64{1, 1, 1}, []int64{34, 33, 33}},
		{1, []int64{5, 6, 5}, []int64{0, 1, 0}},
		{0, []int64{5, 5}, []int64{0, 0}},
		{7, []int64{0, 7}, []int64{0, 7}},
		{5, []int64{0, 0}, []int64{0, 0}},
	} {
		got := spread(c.amount, c.weights)
		for i := range got {
			if got[i] != c.want[i] {
				t.Errorf("%d over %v: %v, want %v", c.amount, c.weights, got, c.want)
				break
			}
		}
	}
}
