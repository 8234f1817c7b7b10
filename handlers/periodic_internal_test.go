package handlers

import (
	"context"
	"testing"
	"time"
)

func TestPeriodicWorkThatRanOutOfTimeGoesOn(t *testing.T) {
	over, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	stopped, stop := context.WithCancel(t.Context())
	stop()
	for _, c := range []struct {
		name string
		ctx  context.Context
		done int
		want bool
	}{
		{"out of time with something done", over, 200, true},
		{"out of time with nothing done", over, 0, false},
		{"told to stop", stopped, 200, false},
		{"failed in time", t.Context(), 200, false},
	} {
		if got := goesOn(c.ctx, c.done); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}
