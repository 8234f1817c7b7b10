package main

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestTable(t *testing.T) {
	var tab table
	tab.add(row{what: "a", measured: "1 ms", baseline: "2 ms", ratio: "0.50", target: "≤ 1.2 ×", met: true})
	tab.add(row{what: "longer", measured: "3 ms", target: "< 1 ms"})
	tab.add(row{what: "no target", measured: "4 ms", met: true})
	var got strings.Builder
	tab.write(&got)
	want := `
| what      | measured | baseline | ratio | target  | met    |
| ---       | ---      | ---      | ---   | ---     | ---    |
| a         | 1 ms     | 2 ms     | 0.50  | ≤ 1.2 × | yes    |
| longer    | 3 ms     |          |       | < 1 ms  | **no** |
| no target | 4 ms     |          |       |         |        |
`[1:]
	if got.String() != want {
		t.Errorf("got\n%swant\n%s", got.String(), want)
	}
}

func TestPercentileAndMedian(t *testing.T) {
	var values []time.Duration
	for n := range 100 {
		values = append(values, time.Duration(100-n))
	}
	for p, want := range map[float64]time.Duration{0: 1, 0.5: 51, 0.99: 100, 1: 100} {
		if got := percentile(values, p); got != want {
			t.Errorf("the percentile %v is %d, want %d", p, got, want)
		}
	}
	if values[0] != 100 {
		t.Error("the values have been sorted in place")
	}
	if got := percentile(nil, 0.99); got != 0 {
		t.Errorf("the percentile of nothing is %d", got)
	}
	for want, of := range map[int][]int{3: {3}, 2: {3, 1, 2}, 7: {9, 7, 1, 2}} {
		if got := median(of); got != want {
			t.Errorf("the median of %v is %d, want %d", of, got, want)
		}
	}
}

func TestNumbersArePrintedWithAsManyDigitsAsMatter(t *testing.T) {
	for got, want := range map[string]string{
		millis(1234 * time.Microsecond): "1.2 ms", millis(12_600 * time.Microsecond): "13 ms", millis(0): "0.0 ms",
		perSecond(9.94, "orders"): "9.9 orders/s", perSecond(10.6, "orders"): "11 orders/s",
		ratio(1, 3): "0.33", ratio(1, 0): "",
		spread([]time.Duration{time.Millisecond, 20 * time.Millisecond}): "20 ms / 20 ms",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestChooseSections(t *testing.T) {
	names := func(only string) []string {
		t.Helper()
		chosen, err := chooseSections(only)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, s := range chosen {
			names = append(names, s.name)
		}
		return names
	}
	if got := names(""); slices.Contains(got, "growth") || !slices.Contains(got, "orders") {
		t.Errorf("nothing asked for: %v", got)
	}
	if got := names("growth,pages"); !slices.Equal(got, []string{"growth", "pages"}) {
		t.Errorf("two asked for: %v", got)
	}
	if _, err := chooseSections("orders,nothing"); err == nil || !strings.Contains(err.Error(), `"nothing"`) {
		t.Errorf("an unknown one: %v", err)
	}
}
