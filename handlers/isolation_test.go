package handlers_test

import (
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/purser-dev/purser/handlers"
	"github.com/purser-dev/purser/handlers/webhook"
	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

// A receiver that never answers holds a few places of the worker and not all: the others get their events meanwhile. What waits for it
// has not been tried, and goes out when it answers again.
func TestAHangingEndpointDelaysNoOther(t *testing.T) {
	each(t, func(b *bench) {
		hanging, healthy := b.receive([]string{"custom.hanging"}), b.receive([]string{"custom.healthy"})
		g := newGate(t)
		var inside, most atomic.Int64
		hanging.answers(func(w http.ResponseWriter, r *http.Request) {
			if n := inside.Add(1); n > most.Load() {
				most.Store(n)
			}
			defer inside.Add(-1)
			<-g.open
			w.WriteHeader(http.StatusNoContent)
		})
		const hung, healthyEvents = 100, 5
		for range hung {
			b.event("custom.hanging")
		}
		patient := webhook.NewSender(webhook.Config{AllowedPrivateNets: loopback, Timeout: time.Hour})
		t.Cleanup(patient.Close)
		b.work(func(c *handlers.Config) { c.Webhooks = patient })
		for n := range healthyEvents {
			b.event("custom.healthy")
			b.eventually("the healthy endpoint has its event", func() bool { return len(healthy.got()) == n+1 })
		}
		places := jobs.Places(jobs.Webhooks, b.config().Concurrency, 8, 19)
		if n := most.Load(); n == 0 || n > int64(places/4) {
			b.Errorf("%d requests at a time hung, of %d places", n, places)
		}
		g.release()
		b.eventually("everything is delivered", func() bool {
			_, _ = b.inspector.RunAllRetryTasks(string(jobs.Webhooks)) // what was put off need not wait for its time; the next round tries again
			return storetest.Count(b, b.store, `SELECT COUNT(*) FROM jobs WHERE finished_at IS NULL`) == 0
		})
		if n := storetest.Count(b, b.store, `SELECT COUNT(*) FROM deliveries WHERE status = $1`, models.DeliverySucceeded); n != hung+healthyEvents {
			b.Errorf("%d deliveries succeeded, want %d", n, hung+healthyEvents)
		}
		// Each attempt that counted was a request.
		attempts := storetest.Count(b, b.store, `SELECT SUM(attempts) FROM jobs WHERE kind = $1`, jobs.KindDeliver)
		if requests := len(hanging.got()) + len(healthy.got()); attempts != requests {
			b.Errorf("%d attempts were counted, of %d requests", attempts, requests)
		}
		b.sound()
	})
}
