package webhook

import (
	"testing"
	"time"
)

func TestRetryDelay(t *testing.T) {
	t.Parallel()
	middle := func() float64 { return 0.5 }
	var total time.Duration
	for attempts, want := range RetryDelays {
		got, ok := RetryDelay(attempts, middle)
		if !ok || got != want {
			t.Errorf("RetryDelay(%d) = %v, %v; want %v", attempts, got, ok, want)
		}
		total += got
		low, _ := RetryDelay(attempts, func() float64 { return 0 })
		high, _ := RetryDelay(attempts, func() float64 { return 0.999999999 })
		if low != want-want/10 || high > want+want/10 || high < want+want/11 {
			t.Errorf("RetryDelay(%d) is between %v and %v; want %v ±10 %%", attempts, low, high, want)
		}
		for range 100 {
			if d, ok := RetryDelay(attempts, nil); !ok || d < low || d > want+want/10 {
				t.Fatalf("RetryDelay(%d) by chance = %v, %v", attempts, d, ok)
			}
		}
	}
	if want := 75*time.Hour + 35*time.Minute + 5*time.Second; total != want {
		t.Errorf("the schedule spans %v; want %v", total, want)
	}
}

func TestRetryDelayAtTheEdges(t *testing.T) {
	t.Parallel()
	tests := []struct {
		attempts int
		random   float64
		want     time.Duration
		ok       bool
	}{
		{-1, 0.5, 0, true},
		{0, 0.99, 0, true},
		{1, -5, 4500 * time.Millisecond, true}, // a bad source of chance cannot leave the bounds
		{1, 7, 5500 * time.Millisecond, true},
		{MaxAttempts, 0.5, 0, false},
		{MaxAttempts + 5, 0.5, 0, false},
	}
	for _, tt := range tests {
		if got, ok := RetryDelay(tt.attempts, func() float64 { return tt.random }); got != tt.want || ok != tt.ok {
			t.Errorf("RetryDelay(%d, %v) = %v, %v; want %v, %v", tt.attempts, tt.random, got, ok, tt.want, tt.ok)
		}
	}
}

func TestRetryDelaySpreads(t *testing.T) {
	t.Parallel()
	seen := map[time.Duration]bool{}
	for range 50 {
		d, _ := RetryDelay(9, nil)
		seen[d] = true
	}
	if len(seen) < 40 {
		t.Errorf("50 delays take only %d values", len(seen))
	}
}
