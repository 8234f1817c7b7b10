package jobs_test

import (
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/jobs/redistest"
)

// scrape returns the samples of one scrape, keyed by name, queue and state.
func scrape(t *testing.T, c prometheus.Collector) map[[3]string]float64 {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(c)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	samples := map[[3]string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			key := [3]string{f.GetName()}
			for _, l := range m.GetLabel() {
				switch l.GetName() {
				case "queue":
					key[1] = l.GetValue()
				case "state":
					key[2] = l.GetValue()
				default:
					t.Errorf("%s has the label %s", f.GetName(), l.GetName())
				}
			}
			samples[key] = m.GetGauge().GetValue()
		}
	}
	return samples
}

func TestCollector(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, r *redistest.Redis) {
		c := jobs.NewCollector(r.Client, slog.New(slog.DiscardHandler))
		if err := jobs.RegisterQueues(t.Context(), r.Client); err != nil {
			t.Fatal(err)
		}
		p := newPublisher(t, r.Redis)
		later := handover(3)
		later.RunAt = time.Now().Add(time.Hour)
		p.Publish(handover(1), handover(2), later)
		eventually(t, "all three are handed over", func() bool { handed, _, _ := p.Counts(); return handed == 3 })

		samples := scrape(t, c)
		const tasks, latency = "purser_queue_tasks", "purser_queue_latency_seconds"
		for key, want := range map[[3]string]float64{
			{"purser_redis_up"}:              1,
			{tasks, "fulfilment", "pending"}: 2, {tasks, "fulfilment", "scheduled"}: 1, {tasks, "fulfilment", "active"}: 0,
			{tasks, "fulfilment", "retry"}: 0, {tasks, "fulfilment", "archived"}: 0, {tasks, "email", "pending"}: 0,
		} {
			if got, ok := samples[key]; !ok || got != want {
				t.Errorf("%v is %v (there: %v), want %v", key, got, ok, want)
			}
		}
		for _, q := range jobs.Queues {
			if _, ok := samples[[3]string{latency, string(q.Name)}]; !ok {
				t.Errorf("queue %s has no latency", q.Name)
			}
		}
		if want := 1 + len(jobs.Queues)*6; len(samples) != want {
			t.Errorf("%d samples, want %d", len(samples), want)
		}

		r.Stop()
		if samples := scrape(t, c); len(samples) != 1 || samples[[3]string{"purser_redis_up"}] != 0 {
			t.Errorf("without Redis it tells %v", samples)
		}
	})
}
