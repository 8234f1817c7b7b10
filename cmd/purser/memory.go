package main

import (
	"runtime/debug"
	"slices"
	"strings"
)

// How much garbage a process lets lie, in percent of what it uses (GOGC). An embedded shop shares a small machine with everything else,
// and has the time to clear up. In production the two stores do most of the work, and memory is there to save the processor some of its.
const (
	embeddedGarbage   = 50
	productionGarbage = 200
)

// tuneMemory sets how eagerly garbage is collected, unless the operator has said so by GOGC.
func tuneMemory(env []string, embedded bool) {
	if slices.ContainsFunc(env, func(s string) bool { return strings.HasPrefix(s, "GOGC=") }) {
		return
	}
	percent := productionGarbage
	if embedded {
		percent = embeddedGarbage
	}
	debug.SetGCPercent(percent)
}
