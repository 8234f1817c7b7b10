package main

import (
	"io"
	"testing"
	"time"
)

// A start that took long and a moment of work do not make the row, where most rounds were different.
func TestFootprintRowsHaveMedians(t *testing.T) {
	b := &bench{err: io.Discard}
	base := &footprint{ready: []time.Duration{1e6, 2e6, 3e6}, busy: []float64{0, 0, 0.5}, memory: []int64{10 << 20, 11 << 20, 90 << 20}}
	b.addFootprint(&footprint{
		name: "embedded stores", ready: []time.Duration{9e9, 50e6, 60e6}, busy: []float64{0.9, 0.010, 0.015}, memory: []int64{200 << 20, 70 << 20, 66 << 20},
	}, base)
	want := []row{
		{"memory of `purser run` at rest, embedded stores", "70 MiB", "11 MiB", "6.36", "< 80 MiB", true},
		{"processor that `purser run` uses at rest, embedded stores", "1.5 % of a core", "0.0 % of a core", "", "< 2 % of a core", true},
		{"start of `purser run` until ready, embedded stores", "60 ms", "2.0 ms", "30.00", "< 1 s", true},
	}
	if len(b.table.rows) != len(want) {
		t.Fatalf("there are %d rows", len(b.table.rows))
	}
	for i, got := range b.table.rows {
		if got != want[i] {
			t.Errorf("row %d is %+v, want %+v", i, got, want[i])
		}
	}
}
