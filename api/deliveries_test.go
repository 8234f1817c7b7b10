package api

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

const deliveriesPath = "/v1/deliveries"

// claimDelivery claims a delivery as a worker does and returns it with its job.
func (d *catalogue) claimDelivery(t testing.TB, id string) *models.Claim {
	t.Helper()
	kind, err := jobs.KindOf(jobs.KindDeliver)
	if err != nil {
		t.Fatal(err)
	}
	for _, j := range storetest.Jobs(t, d.store, jobs.KindDeliver) {
		if j.Args.Delivery != id {
			continue
		}
		c, err := d.store.Claim(t.Context(), j.ID, j.Epoch, kind)
		if err != nil || c == nil {
			t.Fatalf("claim: %v %v", c, err)
		}
		return c
	}
	t.Fatalf("%s has no job", id)
	return nil
}

func TestDeliveries(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newCatalogue(t, s)
		endpoint, other := d.endpoint(t, "https://shop.example/a"), d.endpoint(t, "https://shop.example/b", with("events", []string{"custom.b"}))
		var ids []string
		for _, kind := range []string{"custom.a", "custom.b"} {
			d.ask(t, post, eventsPath, `{"type":"`+kind+`","data":{}}`).ok(t, 201)
		}
		ids, _ = d.ask(t, get, deliveriesPath, nil).ok(t, 200).ids(t)
		if len(ids) != 3 {
			t.Fatalf("there are %d deliveries", len(ids))
		}
		d.pages(t, deliveriesPath, ids)
		oldest := ids[2]
		path := deliveriesPath + "/" + oldest
		event := dig(t, d.ask(t, get, path, nil).ok(t, 200), "event").(string)
		d.pages(t, deliveriesPath+"?event="+event, ids[2:])
		d.pages(t, deliveriesPath+"?status=succeeded", nil)
		if got, _ := d.ask(t, get, deliveriesPath+"?endpoint="+endpoint, nil).ids(t); len(got) != 2 {
			t.Errorf("the endpoint has %d deliveries", len(got))
		}
		if got, _ := d.ask(t, get, deliveriesPath+"?endpoint="+other+"&status=pending", nil).ids(t); len(got) != 1 {
			t.Errorf("the other endpoint has %d deliveries", len(got))
		}

		// Two attempts: nobody answers, then the receiver does.
		at := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
		c := d.claimDelivery(t, oldest)
		failure, status, text := "connection refused", 500, "no <thanks>"
		if _, err := s.FailDelivery(t.Context(), c, models.DeliveryAttempt{DeliveryID: oldest, Attempt: 1, At: at, DurationMs: 12, Error: &failure}, errors.New(failure)); err != nil {
			t.Fatal(err)
		}
		a := d.ask(t, get, path, nil).ok(t, 200)
		wantMember(t, a, `[{"attempt":1,"at":"2026-01-31T12:00:00Z","duration_ms":12,"response_status":null,"error":"connection refused","response":""}]`, "attempts")
		if dig(t, a, "next_attempt_at") == nil {
			t.Errorf("nothing is said of the next attempt: %s", a.body)
		}
		// A retry does not wait for the pause to end.
		retried := d.once(t, path+"/retry", nil)
		d.asDocumented(t, post, path+"/retry", retried)
		wantMember(t, retried, `"pending"`, "status")
		c = d.claimDelivery(t, oldest)
		d.ask(t, post, path+"/retry", `{}`).want(t, 409, codeConflict) // it is being tried
		if _, err := s.FailDelivery(t.Context(), c, models.DeliveryAttempt{DeliveryID: oldest, Attempt: 2, At: at, DurationMs: 34, ResponseStatus: &status, Error: &failure, Response: text},
			jobs.Permanent(errors.New("status 500"))); err != nil {
			t.Fatal(err)
		}
		a = d.ask(t, get, path, nil).ok(t, 200)
		for name, want := range map[string]string{"status": `"failed"`, "attempt_count": `2`, "response_status": `500`, "next_attempt_at": `null`} {
			wantMember(t, a, want, name)
		}
		if !strings.Contains(string(a.body), `"response":"no <thanks>"`) {
			t.Errorf("the answer is not as it came: %s", a.body)
		}
		d.pages(t, deliveriesPath+"?status=failed", ids[2:])

		// One that is over for good gets a new life, and keeps its past.
		wantMember(t, d.ask(t, post, path+"/retry", nil).ok(t, 200), `"pending"`, "status")
		c = d.claimDelivery(t, oldest)
		if c.Attempt != 3 {
			t.Errorf("the retry is attempt %d", c.Attempt)
		}
		status = 204
		if err := s.KeepDelivered(t.Context(), c, models.DeliveryAttempt{DeliveryID: oldest, Attempt: 3, At: at, DurationMs: 5, ResponseStatus: &status}); err != nil {
			t.Fatal(err)
		}
		a = d.ask(t, get, path, nil).ok(t, 200)
		wantMember(t, a, `"succeeded"`, "status")
		if attempts := dig(t, a, "attempts").([]any); len(attempts) != 3 {
			t.Errorf("there are %d attempts", len(attempts))
		}
	})
}

func TestDeliveriesAreOneModes(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newCatalogue(t, s)
		d.endpoint(t, "https://shop.example/a")
		d.ask(t, post, eventsPath, `{"type":"custom.a","data":{}}`).ok(t, 201)
		ids, _ := d.ask(t, get, deliveriesPath, nil).ok(t, 200).ids(t)
		before := d.state(t)
		for _, key := range []string{d.shop.LiveKey, d.other.TestKey} {
			if got, _ := d.askAs(t, key, get, deliveriesPath, nil).ok(t, 200).ids(t); len(got) != 0 {
				t.Errorf("somebody else sees %q", got)
			}
			d.askAs(t, key, get, deliveriesPath+"/"+ids[0], nil).want(t, 404, codeNotFound)
			d.askAs(t, key, post, deliveriesPath+"/"+ids[0]+"/retry", nil).want(t, 404, codeNotFound)
		}
		if got := d.state(t); got != before {
			t.Errorf("somebody else changed\n%s to\n%s", before, got)
		}
	})
}
