package main

import (
	"runtime/debug"
	"testing"
)

// Not parallel: the collector is the whole process's.
func TestTuneMemory(t *testing.T) {
	const before = 123
	defer debug.SetGCPercent(debug.SetGCPercent(before))
	for _, tt := range []struct {
		what     string
		env      []string
		embedded bool
		want     int
	}{
		{"what the operator says stays", []string{"HOME=/", "GOGC=77"}, true, before},
		{"an embedded shop is thrifty", []string{"GOGCX=77"}, true, embeddedGarbage},
		{"production spends memory", nil, false, productionGarbage},
	} {
		debug.SetGCPercent(before)
		tuneMemory(tt.env, tt.embedded)
		if got := debug.SetGCPercent(before); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.what, got, tt.want)
		}
	}
}
