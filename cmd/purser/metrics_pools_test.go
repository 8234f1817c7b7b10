package main

import (
	"slices"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

// Whoever waits for a connection waits in one of several pools: a worker most of all in that of its claims. Each has numbers of its own.
func TestEveryPoolIsMeasured(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		registry := prometheus.NewRegistry()
		measurePools(registry, s)
		want := []string{"purser", "purser_claims", "purser_keeps"}
		if s.Embedded() {
			want = []string{"purser", "purser_reads"}
		}
		held := map[string]float64{} // so many connections of each
		for i, name := range want {
			pool := s.SQL()
			if i > 0 {
				pool = s.SidePools()[name[len("purser_"):]]
			}
			for range min(i+1, pool.Stats().MaxOpenConnections) {
				conn, err := pool.Conn(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				held[name]++
			}
		}
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		inUse := map[string]float64{}
		var waits []string
		for _, f := range families {
			for _, m := range f.GetMetric() {
				name := m.GetLabel()[0].GetValue()
				switch f.GetName() {
				case "go_sql_in_use_connections":
					inUse[name] = m.GetGauge().GetValue()
				case "go_sql_wait_duration_seconds_total":
					waits = append(waits, name)
				}
			}
		}
		if slices.Sort(waits); !slices.Equal(waits, want) {
			t.Errorf("waiting is told of %v, want %v", waits, want)
		}
		for _, name := range want {
			if inUse[name] != held[name] {
				t.Errorf("%v connections of %s are in use, want %v", inUse[name], name, held[name])
			}
		}
	})
}
