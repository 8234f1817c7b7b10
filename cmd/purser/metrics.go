package main

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/purser-dev/purser/handlers"
	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/scheduler"
)

// measurePublisher tells how promises were handed over after their commit.
func measurePublisher(r prometheus.Registerer, p *jobs.Publisher) {
	for _, m := range []struct {
		outcome string
		read    func() int64
	}{
		{"handed_over", func() int64 { n, _, _ := p.Counts(); return n }},
		{"failed", func() int64 { _, n, _ := p.Counts(); return n }},
		{"dropped", func() int64 { _, _, n := p.Counts(); return n }},
	} {
		r.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "purser_handovers_total", Help: "Jobs handed to Redis after their commit; what failed or was dropped, the relay brings back.",
			ConstLabels: prometheus.Labels{"outcome": m.outcome},
		}, func() float64 { return float64(m.read()) }))
	}
}

// measureWorker returns the observer of a worker's attempts.
func measureWorker(r prometheus.Registerer) func(string, handlers.Outcome, time.Duration) {
	attempts := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "purser_job_attempts_total", Help: "Attempts at jobs by kind and outcome.",
	}, []string{"kind", "outcome"})
	took := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "purser_job_duration_seconds", Help: "How long attempts took, with the writing of their result.",
		Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
	}, []string{"kind"})
	r.MustRegister(attempts, took)
	return func(kind string, outcome handlers.Outcome, d time.Duration) {
		attempts.WithLabelValues(kind, string(outcome)).Inc()
		if outcome != handlers.OutcomeSkipped {
			took.WithLabelValues(kind).Observe(d.Seconds())
		}
	}
}

// measureScheduler tells of the relay, and of the promises that only the database knows.
func measureScheduler(r prometheus.Registerer, s *scheduler.Scheduler, store *models.Store) {
	r.MustRegister(
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "purser_relayed_jobs_total", Help: "Jobs that the relay has handed over again after their alarm went off.",
		}, func() float64 { return float64(s.Relayed()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "purser_relay_last_round_age_seconds", Help: "Time since the relay last completed a round.",
		}, func() float64 { return s.SinceRound().Seconds() }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "purser_dead_jobs", Help: "Jobs that wait for an operator.",
		}, func() float64 {
			return ask(func(ctx context.Context) (float64, error) { n, err := store.DeadJobs(ctx); return float64(n), err })
		}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "purser_oldest_alarm_seconds", Help: "How long the alarm that has waited longest is overdue.",
		}, func() float64 {
			return ask(func(ctx context.Context) (float64, error) { d, err := store.OldestAlarm(ctx); return d.Seconds(), err })
		}),
	)
}

// ask bounds a question to the database at a scrape; -1 says that it did not answer.
func ask(question func(context.Context) (float64, error)) float64 {
	ctx, cancel := context.WithTimeout(context.Background(), probeTimeout)
	defer cancel()
	v, err := question(ctx)
	if err != nil {
		return -1
	}
	return v
}
