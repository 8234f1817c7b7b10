package main

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

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

// measurePools tells how each pool of connections to the database is used, with its name as db_name: purser, or purser_ and what it is for.
func measurePools(r prometheus.Registerer, store *models.Store) {
	r.MustRegister(collectors.NewDBStatsCollector(store.SQL(), "purser"))
	for use, pool := range store.SidePools() {
		r.MustRegister(collectors.NewDBStatsCollector(pool, "purser_"+use))
	}
}

// measureEvents counts what happened in this process's transactions: orders created, payments succeeded and so on.
func measureEvents(r prometheus.Registerer, store *models.Store) {
	events := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "purser_events_total", Help: "Events that this process has committed, by type; those of merchants' own are custom.",
	}, []string{"type"})
	r.MustRegister(events)
	for _, name := range append([]string{customEvents}, models.EventTypes...) {
		events.WithLabelValues(name)
	}
	store.OnEvent(func(name string) {
		if !slices.Contains(models.EventTypes, name) {
			name = customEvents // a merchant may name them as it likes, and as many
		}
		events.WithLabelValues(name).Inc()
	})
}

const customEvents = "custom"

// outcomes is every way in which an attempt may end.
var outcomes = []handlers.Outcome{
	handlers.OutcomeKept, handlers.OutcomeFailed, handlers.OutcomeDead, handlers.OutcomeGivenBack, handlers.OutcomePutOff, handlers.OutcomeSkipped,
	handlers.OutcomeFenced, handlers.OutcomeUnwritten,
}

// workerMetrics are the observers of a worker. All their series exist from the start, so that the first failure is an increase.
type workerMetrics struct {
	attempts, webhooks *prometheus.CounterVec
	took, waited       *prometheus.HistogramVec
}

func measureWorker(r prometheus.Registerer) *workerMetrics {
	m := &workerMetrics{
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "purser_job_attempts_total", Help: "Attempts at jobs by kind and outcome.",
		}, []string{"kind", "outcome"}),
		webhooks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "purser_webhook_attempts_total", Help: "Webhooks sent, by what came of it.",
		}, []string{"outcome"}),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "purser_job_duration_seconds", Help: "How long attempts took, with the writing of their result.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"kind"}),
		waited: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "purser_job_wait_seconds", Help: "How long jobs had been due when an attempt at them began.",
			Buckets: []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300},
		}, []string{"kind"}),
	}
	r.MustRegister(m.attempts, m.webhooks, m.took, m.waited)
	for _, k := range jobs.Kinds {
		for _, o := range outcomes {
			m.attempts.WithLabelValues(k.Name, string(o))
		}
		m.took.WithLabelValues(k.Name)
		m.waited.WithLabelValues(k.Name)
	}
	for _, o := range handlers.WebhookOutcomes {
		m.webhooks.WithLabelValues(o)
	}
	return m
}

func (m *workerMetrics) attempt(kind string, outcome handlers.Outcome, d time.Duration) {
	m.attempts.WithLabelValues(kind, string(outcome)).Inc()
	if outcome != handlers.OutcomeSkipped && outcome != handlers.OutcomePutOff {
		m.took.WithLabelValues(kind).Observe(d.Seconds())
	}
}

func (m *workerMetrics) wait(kind string, d time.Duration) {
	m.waited.WithLabelValues(kind).Observe(d.Seconds())
}

func (m *workerMetrics) webhook(outcome string) { m.webhooks.WithLabelValues(outcome).Inc() }

// measureScheduler tells of the relay, and of the promises that only the database knows.
func measureScheduler(r prometheus.Registerer, s *scheduler.Scheduler, store *models.Store, log *slog.Logger) {
	r.MustRegister(
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "purser_relayed_jobs_total", Help: "Jobs that the relay has handed over again after their alarm went off.",
		}, func() float64 { return float64(s.Relayed()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "purser_relay_last_round_age_seconds", Help: "Time since the relay last completed a round.",
		}, func() float64 { return s.SinceRound().Seconds() }),
		newPromises(store, log),
	)
}

// promiseTimeout bounds what one scrape asks the database; Prometheus waits for ten seconds by default.
const promiseTimeout = 5 * time.Second

// promises asks the database at every scrape. While it does not answer there are no numbers, because none of them would be true:
// purser_check_up says why. To count many promises takes long, so that they are counted again only when twenty times as long has passed.
type promises struct {
	store            *models.Store
	log              *slog.Logger
	jobs, due, alarm *prometheus.Desc

	mu      sync.Mutex
	groups  []models.JobGroup
	counted time.Time // when, and how long it took
	took    time.Duration
}

func newPromises(store *models.Store, log *slog.Logger) *promises {
	return &promises{
		store: store, log: log,
		jobs: prometheus.NewDesc("purser_jobs", "Promises in the database that are not finished, or dead, by kind and state.",
			[]string{"kind", "state"}, nil),
		due: prometheus.NewDesc("purser_oldest_due_job_seconds", "How long the job of a kind has been due that has been due for longest.",
			[]string{"kind"}, nil),
		alarm: prometheus.NewDesc("purser_oldest_alarm_seconds", "How long the alarm that has waited longest is overdue.", nil, nil),
	}
}

// countRest is how many times as long as a count of the promises took its numbers serve.
const countRest = 20

func (p *promises) count(ctx context.Context) ([]models.JobGroup, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	began := time.Now()
	if began.Sub(p.counted) < countRest*p.took {
		return p.groups, nil
	}
	groups, err := p.store.JobGroups(ctx)
	if err != nil {
		return nil, err
	}
	p.groups, p.counted, p.took = groups, time.Now(), time.Since(began)
	return groups, nil
}

// Describe implements prometheus.Collector.
func (p *promises) Describe(out chan<- *prometheus.Desc) {
	out <- p.jobs
	out <- p.due
	out <- p.alarm
}

// Collect implements prometheus.Collector. Every kind has its numbers, also while they are zero, so that an alert on one of them can tell
// zero from unknown.
func (p *promises) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), promiseTimeout)
	defer cancel()
	// First, and by itself: it is quick however many promises there are.
	if overdue, err := p.store.OldestAlarm(ctx); err == nil {
		out <- prometheus.MustNewConstMetric(p.alarm, prometheus.GaugeValue, overdue.Seconds())
	}
	groups, err := p.count(ctx)
	if err != nil {
		p.log.Warn("the promises could not be counted for the metrics", "err", models.ErrorText(err))
		return
	}
	type group struct{ kind, state string }
	count := map[group]int64{}
	due := map[string]time.Duration{}
	for _, k := range jobs.Kinds {
		for _, state := range []string{"due", "waiting", "running", "dead"} {
			count[group{k.Name, state}] = 0
		}
		due[k.Name] = 0
	}
	for _, g := range groups {
		count[group{g.Kind, g.State}] = g.Count
		if g.State == "due" {
			due[g.Kind] = max(time.Since(g.Oldest), 0)
		}
	}
	for g, n := range count {
		out <- prometheus.MustNewConstMetric(p.jobs, prometheus.GaugeValue, float64(n), g.kind, g.state)
	}
	for kind, age := range due {
		out <- prometheus.MustNewConstMetric(p.due, prometheus.GaugeValue, age.Seconds(), kind)
	}
}

// measureHealth tells how each check of /readyz stands, probed at every scrape.
func measureHealth(r prometheus.Registerer, h *health) {
	r.MustRegister(&healthMetrics{h, prometheus.NewDesc("purser_check_up", "1 if the check of /readyz is fine.", []string{"check"}, nil)})
}

type healthMetrics struct {
	health *health
	up     *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (m *healthMetrics) Describe(out chan<- *prometheus.Desc) { out <- m.up }

// Collect implements prometheus.Collector.
func (m *healthMetrics) Collect(out chan<- prometheus.Metric) {
	for _, c := range m.health.readiness(context.Background()).Checks {
		up := 0.0
		if c.State == stateOK {
			up = 1
		}
		out <- prometheus.MustNewConstMetric(m.up, prometheus.GaugeValue, up, c.Name)
	}
}
