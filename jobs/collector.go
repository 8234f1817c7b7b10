package jobs

import (
	"log/slog"

	"github.com/hibiken/asynq"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
)

// Collector tells Prometheus what lies in the queues. It asks Redis at every scrape; while Redis is away it tells nothing but
// purser_redis_up 0.
type Collector struct {
	inspector *asynq.Inspector
	log       *slog.Logger
	up        *prometheus.Desc
	tasks     *prometheus.Desc
	latency   *prometheus.Desc
}

// NewCollector makes a collector on a client that stays the caller's to close.
func NewCollector(c redis.UniversalClient, log *slog.Logger) *Collector {
	return &Collector{
		inspector: asynq.NewInspectorFromRedisClient(c), log: log,
		up:      prometheus.NewDesc("purser_redis_up", "1 if Redis answered this scrape.", nil, nil),
		tasks:   prometheus.NewDesc("purser_queue_tasks", "Tasks in Redis by queue and state.", []string{"queue", "state"}, nil),
		latency: prometheus.NewDesc("purser_queue_latency_seconds", "Age of the oldest pending task of a queue.", []string{"queue"}, nil),
	}
}

// Describe implements prometheus.Collector.
func (c *Collector) Describe(out chan<- *prometheus.Desc) {
	out <- c.up
	out <- c.tasks
	out <- c.latency
}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(out chan<- prometheus.Metric) {
	names, err := c.inspector.Queues()
	if err != nil {
		out <- prometheus.MustNewConstMetric(c.up, prometheus.GaugeValue, 0)
		return
	}
	out <- prometheus.MustNewConstMetric(c.up, prometheus.GaugeValue, 1)
	for _, name := range names {
		q, err := c.inspector.GetQueueInfo(name)
		if err != nil {
			c.log.Debug("a queue could not be measured", "queue", name, "err", err)
			continue
		}
		for state, n := range map[string]int{
			"pending": q.Pending, "active": q.Active, "scheduled": q.Scheduled, "retry": q.Retry, "archived": q.Archived,
		} {
			out <- prometheus.MustNewConstMetric(c.tasks, prometheus.GaugeValue, float64(n), name, state)
		}
		out <- prometheus.MustNewConstMetric(c.latency, prometheus.GaugeValue, q.Latency.Seconds(), name)
	}
}
