package main

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestTurnsAlternate(t *testing.T) {
	var order strings.Builder
	measure := func(name string, first int) func() (int, error) {
		return func() (int, error) {
			order.WriteString(name)
			first++
			return first, nil
		}
	}
	got, err := inTurns(3, measure("a", 0), measure("b", 10))
	if err != nil || order.String() != "ababab" || !slices.Equal(got[0], []int{1, 2, 3}) || !slices.Equal(got[1], []int{11, 12, 13}) {
		t.Errorf("measured %q: %v, %v", order.String(), got, err)
	}
}

func TestTurnsEndWithTheFirstError(t *testing.T) {
	errBroken := errors.New("broken")
	calls := 0
	_, err := inTurns(3, func() (int, error) { calls++; return 0, nil }, func() (int, error) { calls++; return 0, errBroken })
	if !errors.Is(err, errBroken) || calls != 2 {
		t.Errorf("%d calls, and the error %v", calls, err)
	}
}

func TestAlternateReturnsMedians(t *testing.T) {
	b := &bench{err: io.Discard}
	n, each := b.rounds()
	ours, baseline := []float64{5, 1, 4, 2, 3}, []float64{50, 50, 50, 10, 1000}
	if n != len(ours) {
		t.Fatalf("there are %d rounds", n)
	}
	next := func(values *[]float64) func(time.Duration) (float64, error) {
		return func(lasting time.Duration) (float64, error) {
			if lasting != each {
				t.Errorf("a round lasts %s, want %s", lasting, each)
			}
			v := (*values)[0]
			*values = (*values)[1:]
			return v, nil
		}
	}
	got, base, err := b.alternate(next(&ours), next(&baseline))
	if err != nil || got != 3 || base != 50 {
		t.Errorf("measured %v, baseline %v, %v", got, base, err)
	}
}

// One bad round of five shows in the percentiles.
func TestAlternateTimesKeepsWhatEveryRoundMeasured(t *testing.T) {
	b := &bench{err: io.Discard}
	round := 0
	got, base, err := b.alternateTimes(
		func(time.Duration) ([]time.Duration, error) {
			round++
			times := slices.Repeat([]time.Duration{time.Millisecond}, 100)
			if round == 2 {
				times = slices.Repeat([]time.Duration{time.Second}, 100)
			}
			return times, nil
		},
		func(time.Duration) ([]time.Duration, error) { return []time.Duration{time.Microsecond}, nil })
	if err != nil || len(got) != 500 || len(base) != 5 {
		t.Fatalf("%d times, baseline %d, %v", len(got), len(base), err)
	}
	if p50, p99 := percentile(got, 0.5), percentile(got, 0.99); p50 != time.Millisecond || p99 != time.Second {
		t.Errorf("p50 %s, p99 %s", p50, p99)
	}
}
