package handlers_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/purser-dev/purser/handlers"
	"github.com/purser-dev/purser/handlers/webhook"
	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

// deliveryTo returns the only delivery to a receiver, with its attempts and its promise.
func (b *bench) deliveryTo(r *receiver) (*models.DeliveryDetail, models.Job) {
	b.Helper()
	found, _, err := b.store.Deliveries(b.Context(), b.shop.Test, models.DeliveryFilter{Endpoint: r.endpoint.ID}, models.Page{Limit: 10})
	if err != nil {
		b.Fatal(err)
	}
	if len(found) != 1 {
		b.Fatalf("%d deliveries to the endpoint, want 1", len(found))
	}
	d, err := b.store.Delivery(b.Context(), b.shop.Test, found[0].ID)
	if err != nil {
		b.Fatal(err)
	}
	var jobID string
	if err := b.store.SQL().QueryRowContext(b.Context(), `SELECT job_id FROM deliveries WHERE id = $1`, d.ID).Scan(&jobID); err != nil {
		b.Fatal(err)
	}
	j, err := b.store.Job(b.Context(), jobID)
	if err != nil {
		b.Fatal(err)
	}
	return d, *j
}

// attempted waits until a delivery has so many attempts.
func (b *bench) attempted(r *receiver, n int) (d *models.DeliveryDetail, j models.Job) {
	b.Helper()
	b.eventually("the delivery was tried", func() bool {
		d, j = b.deliveryTo(r)
		return d.AttemptCount >= n && j.State != models.JobRunning
	})
	return d, j
}

// ping sends an event of the merchant's own to all endpoints.
func (b *bench) ping() *models.EventView {
	b.Helper()
	return b.event("custom.ping")
}

func (b *bench) event(kind string) *models.EventView {
	b.Helper()
	e, err := b.store.CreateCustomEvent(b.Context(), b.shop.Test, kind, `{"n":1}`)
	if err != nil {
		b.Fatal(err)
	}
	return e
}

func TestWhatAnAnswerMeans(t *testing.T) {
	each(t, func(b *bench) {
		hang := newGate(b)
		defer hang.release()
		cases := []struct {
			name   string
			answer http.HandlerFunc
			// want is the delivery's status after the first attempt; the rest is of that attempt.
			want     models.DeliveryStatus
			status   int
			error    string
			response string
			low      time.Duration // bounds of the pause, while pending
			high     time.Duration
		}{
			{name: "200 with a body", answer: func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("thanks")) },
				want: models.DeliverySucceeded, status: 200, response: "thanks"},
			{name: "204", want: models.DeliverySucceeded, status: 204},
			{name: "299", answer: status(299), want: models.DeliverySucceeded, status: 299},
			{name: "302", answer: func(w http.ResponseWriter, q *http.Request) { http.Redirect(w, q, "/elsewhere", http.StatusFound) },
				want: models.DeliveryPending, status: 302, error: webhook.FailRedirect, low: 5 * time.Second, high: 6 * time.Second},
			{name: "304", answer: status(304), want: models.DeliveryPending, status: 304, error: webhook.FailRedirect, low: 5 * time.Second, high: 6 * time.Second},
			{name: "404", answer: status(404), want: models.DeliveryPending, status: 404, error: "status 404", low: 5 * time.Second, high: 6 * time.Second},
			{name: "410", answer: status(410), want: models.DeliveryFailed, status: 410, error: "status 410"},
			{name: "429 that names an hour", answer: func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", "3600")
				w.WriteHeader(http.StatusTooManyRequests)
			}, want: models.DeliveryPending, status: 429, error: "status 429", low: time.Hour, high: time.Hour + time.Second},
			{name: "503 that names a second", answer: func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", "1")
				w.WriteHeader(http.StatusServiceUnavailable)
			}, want: models.DeliveryPending, status: 503, error: "status 503", low: 5 * time.Second, high: 6 * time.Second},
			{name: "500", answer: func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "oops", http.StatusInternalServerError) },
				want: models.DeliveryPending, status: 500, error: "status 500", response: "oops\n", low: 5 * time.Second, high: 6 * time.Second},
			{name: "no answer in time", answer: func(http.ResponseWriter, *http.Request) { hang.wait() },
				want: models.DeliveryPending, error: webhook.FailTimeout, low: 5 * time.Second, high: 6 * time.Second},
			{name: "cut off", answer: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
				want: models.DeliveryPending, error: "connection closed without an answer", low: 5 * time.Second, high: 6 * time.Second},
		}
		receivers := make([]*receiver, len(cases))
		for i, c := range cases {
			receivers[i] = b.receive([]string{"custom.ping"})
			receivers[i].answers(c.answer)
		}
		e := b.ping()
		impatient := webhook.NewSender(webhook.Config{Timeout: 700 * time.Millisecond, AllowedPrivateNets: loopback})
		defer impatient.Close()
		stop := b.work(func(c *handlers.Config) { c.Concurrency, c.Webhooks = 60, impatient })
		<-hang.reached
		b.eventually("each was tried", func() bool {
			return storetest.Count(b, b.store, `SELECT COUNT(*) FROM delivery_attempts`) == len(cases)
		})
		stop() // before the first pause is over
		for i, c := range cases {
			d, j := b.attempted(receivers[i], 1)
			if d.Status != c.want || d.Event != e.ID || len(d.Attempts) != d.AttemptCount {
				b.Errorf("%s: the delivery is %s with %d attempts", c.name, d.Status, len(d.Attempts))
				continue
			}
			a := d.Attempts[0]
			if (a.ResponseStatus == nil) != (c.status == 0) || a.ResponseStatus != nil && *a.ResponseStatus != c.status {
				b.Errorf("%s: response status %v, want %d", c.name, a.ResponseStatus, c.status)
			}
			if (a.Error == nil) != (c.error == "") || a.Error != nil && *a.Error != c.error {
				b.Errorf("%s: error %v, want %q", c.name, a.Error, c.error)
			}
			if c.response != "" && a.Response != c.response {
				b.Errorf("%s: the answer was kept as %q", c.name, a.Response)
			}
			if a.Attempt != 1 || time.Since(a.At) > time.Minute || a.DurationMs < 0 || a.DurationMs > 20_000 {
				b.Errorf("%s: attempt %d at %v took %d ms", c.name, a.Attempt, a.At, a.DurationMs)
			}
			wantJob := map[models.DeliveryStatus]models.JobState{
				models.DeliverySucceeded: models.JobDone, models.DeliveryPending: models.JobDue, models.DeliveryFailed: models.JobDead,
			}[c.want]
			if j.State != wantJob || (j.LastError == nil) != (c.error == "") || (d.FinishedAt == nil) != (c.want == models.DeliveryPending) {
				b.Errorf("%s: the job is %s with %v, finished %v", c.name, j.State, j.LastError, d.FinishedAt)
			}
			if c.want == models.DeliveryPending && len(d.Attempts) == 1 { // on a very slow machine it may have been tried again
				// The row was written after the attempt began, by the database's clock.
				if pause := j.RunAt.Sub(a.At.Add(time.Duration(a.DurationMs) * time.Millisecond)); pause < c.low-10*time.Millisecond || pause > c.high+5*time.Second {
					b.Errorf("%s: the next attempt is %v later, want %v to %v", c.name, pause, c.low, c.high)
				}
				if d.NextAttemptAt == nil || !d.NextAttemptAt.Equal(j.RunAt) {
					b.Errorf("%s: next attempt at %v, the row says %v", c.name, d.NextAttemptAt, j.RunAt)
				}
				b.taskIn(j, asynq.TaskStateRetry)
			}
			if n := len(receivers[i].got()); n != d.AttemptCount {
				b.Errorf("%s: %d calls", c.name, n)
			}
		}
		b.sound()
	})
}

func TestWhatADeliveryLooksLike(t *testing.T) {
	each(t, func(b *bench) {
		r := b.receive([]string{"custom.*"})
		r.answers(status(500))
		b.work()
		e := b.ping()
		_, j := b.attempted(r, 1)
		b.taskIn(j, asynq.TaskStateRetry)
		r.answers(nil)
		b.run(j)
		d, _ := b.attempted(r, 2)
		if d.Status != models.DeliverySucceeded || d.Attempts[0].Attempt != 1 || d.Attempts[1].Attempt != 2 {
			b.Errorf("the delivery is %s: %+v", d.Status, d.Attempts)
		}
		calls := r.got()
		if len(calls) != 2 {
			b.Fatalf("%d calls", len(calls))
		}
		verifier, err := standardwebhooks.NewWebhook(r.secret)
		if err != nil {
			b.Fatal(err)
		}
		other, err := standardwebhooks.NewWebhook(webhook.NewSecret())
		if err != nil {
			b.Fatal(err)
		}
		for i, c := range calls {
			if err := verifier.Verify(c.body, c.header); err != nil {
				b.Errorf("attempt %d: the reference library refuses it: %v", i+1, err)
			}
			if other.Verify(c.body, c.header) == nil || verifier.Verify(append([]byte(" "), c.body...), c.header) == nil {
				b.Errorf("attempt %d: another secret or another body verifies", i+1)
			}
			for name, want := range map[string]string{"Content-Type": "application/json", "User-Agent": "Purser/test", "Webhook-Id": e.ID} {
				if got := c.header.Values(name); !slices.Equal(got, []string{want}) {
					b.Errorf("attempt %d: %s is %q, want %q", i+1, name, got, want)
				}
			}
			seconds, err := strconv.ParseInt(c.header.Get("Webhook-Timestamp"), 10, 64)
			if err != nil || time.Since(time.Unix(seconds, 0)) > time.Minute {
				b.Errorf("attempt %d: timestamp %q", i+1, c.header.Get("Webhook-Timestamp"))
			}
			if at := d.Attempts[i].At.Unix(); at != seconds {
				b.Errorf("attempt %d: the timestamp is %d, the attempt was at %d", i+1, seconds, at)
			}
			for name := range c.header {
				switch name {
				case "Content-Type", "User-Agent", "Webhook-Id", "Webhook-Timestamp", "Webhook-Signature", "Accept-Encoding", "Content-Length":
				default:
					b.Errorf("attempt %d: an unexpected header %s", i+1, name)
				}
			}
		}
		if !bytes.Equal(calls[0].body, calls[1].body) {
			b.Errorf("the bodies differ:\n%s\n%s", calls[0].body, calls[1].body)
		}
		var body struct {
			ID, Type string
			Test     bool
			Data     json.RawMessage
		}
		if err := json.Unmarshal(calls[0].body, &body); err != nil || body.ID != e.ID || body.Type != "custom.ping" || !body.Test || string(body.Data) != `{"n":1}` {
			b.Errorf("the body is %s (%v)", calls[0].body, err)
		}
	})
}

func TestDeliveriesThatNeverSucceed(t *testing.T) {
	each(t, func(b *bench) {
		r := b.receive([]string{"custom.*"})
		r.answers(status(500))
		storetest.Exec(b, b.store, `UPDATE merchants SET allow_private_targets = $1`, false)
		b.work()
		b.ping()
		d, j := b.attempted(r, 1)
		if d.Status != models.DeliveryFailed || j.State != models.JobDead || d.Attempts[0].Error == nil || *d.Attempts[0].Error != webhook.FailForbidden {
			b.Errorf("to a forbidden address the delivery is %s: %+v", d.Status, d.Attempts[0])
		}
		if n := len(r.got()); n != 0 {
			b.Errorf("a forbidden address was called %d times", n)
		}

		// Put right, it is tried by hand; then the attempts run out.
		storetest.Exec(b, b.store, `UPDATE merchants SET allow_private_targets = $1`, true)
		if err := b.store.RetryDelivery(b.Context(), b.shop.Test, d.ID, "api_key:test"); err != nil {
			b.Fatal(err)
		}
		_, j = b.attempted(r, 2)
		kind, _ := jobs.KindOf(jobs.KindDeliver)
		if j.State != models.JobDue || j.MaxAttempts != 1+kind.MaxAttempts {
			b.Errorf("after a retry by hand the job is %s with %d attempts of %d", j.State, j.Attempts, j.MaxAttempts)
		}
		if pause := time.Until(j.RunAt); pause > 6*time.Second {
			b.Errorf("its schedule did not begin anew: the first pause is %v", pause)
		}
		storetest.Exec(b, b.store, `UPDATE jobs SET max_attempts = 3 WHERE id = $1`, j.ID)
		b.taskIn(j, asynq.TaskStateRetry)
		b.run(j)
		d, j = b.attempted(r, 3)
		if d.Status != models.DeliveryFailed || j.State != models.JobDead || d.FinishedAt == nil {
			b.Errorf("with its attempts used up the delivery is %s", d.Status)
		}
		if j.LastError == nil || strings.Contains(*j.LastError, "127.0.0.1") || strings.Contains(*j.LastError, "query-secret") {
			b.Errorf("the job's error is %v", j.LastError)
		}
		b.sound()
	})
}

// One endpoint that fails holds up no other, and an event goes to those only that are subscribed to it.
func TestEndpointsAreIndependent(t *testing.T) {
	each(t, func(b *bench) {
		bad, good, other := b.receive([]string{"*"}), b.receive([]string{"custom.ping"}), b.receive([]string{"order.*"})
		bad.answers(status(500))
		b.work()
		e := b.ping()
		b.attempted(bad, 1)
		d, _ := b.attempted(good, 1)
		if d.Status != models.DeliverySucceeded || good.got()[0].id != e.ID || bad.got()[0].id != e.ID {
			b.Errorf("the good endpoint's delivery is %s", d.Status)
		}
		if bytes.Equal([]byte(good.got()[0].header.Get("Webhook-Signature")), []byte(bad.got()[0].header.Get("Webhook-Signature"))) {
			b.Error("two endpoints got the same signature")
		}
		if n := len(other.got()); n != 0 {
			b.Errorf("an endpoint for orders got %d calls", n)
		}
	})
}

// A delivery that is under way when its endpoint is deleted ends without being tried again.
func TestADeletedEndpointGetsNothingMore(t *testing.T) {
	each(t, func(b *bench) {
		r := b.receive([]string{"custom.*"})
		r.answers(status(500))
		b.work()
		b.ping()
		_, j := b.attempted(r, 1)
		b.taskIn(j, asynq.TaskStateRetry)
		if err := b.store.DeleteWebhookEndpoint(b.Context(), b.shop.Test, r.endpoint.ID); err != nil {
			b.Fatal(err)
		}
		b.run(j)
		b.eventually("the task is skipped", func() bool { return b.outcomes.count(jobs.KindDeliver, handlers.OutcomeSkipped) == 1 })
		if n := len(r.got()); n != 1 {
			b.Errorf("a deleted endpoint got %d calls", n)
		}
		b.sound()
	})
}
