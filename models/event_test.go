package models_test

import (
	"strings"
	"testing"
	"time"

	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

func TestCustomEvents(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop, other := storetest.Merchant(t, s), storetest.Merchant(t, s)
		wanted := map[string]bool{
			endpoint(t, s, shop.Test).ID: true, endpoint(t, s, shop.Test, "custom.*").ID: true, endpoint(t, s, shop.Test, "custom.order.*").ID: true,
			endpoint(t, s, shop.Test, "custom.order.shipped").ID: true,
		}
		endpoint(t, s, shop.Test, "order.*")
		endpoint(t, s, shop.Test, "custom.order")
		endpoint(t, s, shop.Live)
		endpoint(t, s, other.Test)
		const data = `{ "n": 12345678901234567890, "text": "<ä>" }`
		e := ok(s.CreateCustomEvent(t.Context(), shop.Test, "custom.order.shipped", data))(t)
		got := ok(s.Event(t.Context(), shop.Test, e.ID))(t)
		if toJSON(t, got) != toJSON(t, e) || !strings.Contains(string(got.Data), "12345678901234567890") || got.Order != nil || got.Type != "custom.order.shipped" || !got.Test {
			t.Errorf("event %s, stored %s", toJSON(t, e), toJSON(t, got))
		}
		list, _, err := s.Deliveries(t.Context(), shop.Test, models.DeliveryFilter{Event: e.ID}, models.Page{})
		if err != nil || len(list) != len(wanted) {
			t.Errorf("%d deliveries, want %d (%v)", len(list), len(wanted), err)
		}
		for _, d := range list {
			if !wanted[d.Endpoint] {
				t.Errorf("an endpoint was told of what it is not subscribed to")
			}
		}
		if n := storetest.Count(t, s, `SELECT COUNT(*) FROM deliveries`); n != len(wanted) {
			t.Errorf("%d deliveries in all", n)
		}
		second := ok(s.CreateCustomEvent(t.Context(), shop.Test, "custom.order.shipped", data))(t)
		if second.ID == e.ID {
			t.Error("the same event sent on purpose twice is one")
		}
	})
}

func TestCustomEventRefused(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		for kind, data := range map[string]models.RawJSON{
			"order.created": `{}`, "custom": `{}`, "custom.": `{}`, "custom.*": `{}`, "custom.Aa": `{}`, "custom.a b": `{}`, "custom." + strings.Repeat("a", 100): `{}`,
		} {
			_, err := s.CreateCustomEvent(t.Context(), shop.Test, kind, data)
			wantCode(t, err, models.CodeInvalid)
			wantFields(t, err, "type")
		}
		for _, data := range []models.RawJSON{"", "null", "[]", `"x"`, "{", `{"a":1} x`, "{\"a\":\"\xff\"}", models.RawJSON(`{"a":"` + strings.Repeat("x", 64<<10) + `"}`)} {
			_, err := s.CreateCustomEvent(t.Context(), shop.Test, "custom.a", data)
			wantCode(t, err, models.CodeInvalid)
			wantFields(t, err, "data")
		}
		if n := storetest.Count(t, s, `SELECT COUNT(*) FROM events`); n != 0 {
			t.Errorf("refused requests made %d events", n)
		}
		ok(s.CreateCustomEvent(t.Context(), shop.Test, "custom.a", `{"nul":"\u0000","lone":"\ud800"}`))(t)
	})
}

func TestEvents(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop, other := storetest.Merchant(t, s), storetest.Merchant(t, s)
		storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
		o := storetest.PaidOrder(t, s, shop.Test, "editor", 1)
		storetest.Order(t, s, shop.Test, "editor", 1)
		types := func(sc models.Scope, f models.EventFilter) string {
			t.Helper()
			list, _, err := s.Events(t.Context(), sc, f, models.Page{})
			if err != nil {
				t.Fatal(err)
			}
			names := make([]string, len(list))
			for i, e := range list {
				names[i] = e.Type
			}
			return strings.Join(names, " ")
		}
		for _, c := range []struct {
			sc   models.Scope
			f    models.EventFilter
			want string
		}{
			{shop.Test, models.EventFilter{}, "order.created payment.succeeded order.created"},
			{shop.Test, models.EventFilter{Order: o.ID}, "payment.succeeded order.created"},
			{shop.Test, models.EventFilter{Type: "order.created"}, "order.created order.created"},
			{shop.Test, models.EventFilter{Type: "order.created", Order: o.ID}, "order.created"},
			{shop.Test, models.EventFilter{Type: "order.deleted"}, ""},
			{shop.Live, models.EventFilter{}, ""},
			{other.Test, models.EventFilter{Order: o.ID}, ""},
		} {
			if got := types(c.sc, c.f); got != c.want {
				t.Errorf("%+v: got %q, want %q", c.f, got, c.want)
			}
		}
		_, _, err := s.Events(t.Context(), shop.Test, models.EventFilter{Type: "\x00"}, models.Page{})
		wantFields(t, err, "type")
		_, _, err = s.Events(t.Context(), shop.Test, models.EventFilter{Order: "itm_00000000000000000000000000"}, models.Page{})
		wantFields(t, err, "order")
		list, _, err := s.Events(t.Context(), shop.Test, models.EventFilter{Order: o.ID}, models.Page{})
		if err != nil || list[0].Order == nil || *list[0].Order != o.ID {
			t.Fatalf("the event does not name its order (%v)", err)
		}
		for _, sc := range []models.Scope{shop.Live, other.Test} {
			_, err := s.Event(t.Context(), sc, list[0].ID)
			wantCode(t, err, models.CodeNotFound)
		}
		_, err = s.Event(t.Context(), shop.Test, "evt_\x00")
		wantCode(t, err, models.CodeNotFound)
	})
}

func TestDeliveries(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop, other := storetest.Merchant(t, s), storetest.Merchant(t, s)
		a, b := endpoint(t, s, shop.Test), endpoint(t, s, shop.Test, "custom.one")
		one := ok(s.CreateCustomEvent(t.Context(), shop.Test, "custom.one", `{}`))(t)
		two := ok(s.CreateCustomEvent(t.Context(), shop.Test, "custom.two", `{}`))(t)
		all := storetest.Jobs(t, s, jobs.KindDeliver)
		if len(all) != 3 {
			t.Fatalf("%d deliveries", len(all))
		}
		// The first delivery fails twice, then succeeds.
		id, at := all[0].Args.Delivery, time.Now().UTC().Truncate(time.Microsecond)
		status, failure := 503, "the answer was 503"
		for n := 1; n <= 3; n++ {
			j := *ok(s.Job(t.Context(), all[0].ID))(t)
			attempt := models.DeliveryAttempt{DeliveryID: id, Attempt: n, At: at.Add(time.Duration(n) * time.Second), DurationMs: n, ResponseStatus: &status, Error: &failure, Response: "body"}
			if n == 3 {
				done := 200
				attempt.ResponseStatus, attempt.Error = &done, nil
				if err := s.KeepDelivered(t.Context(), take(t, s, j), attempt); err != nil {
					t.Fatal(err)
				}
				break
			}
			if _, err := s.FailDelivery(t.Context(), take(t, s, j), attempt, errTest); err != nil {
				t.Fatal(err)
			}
		}
		d := ok(s.Delivery(t.Context(), shop.Test, id))(t)
		if d.Status != models.DeliverySucceeded || d.AttemptCount != 3 || *d.ResponseStatus != 200 || d.FinishedAt == nil || d.NextAttemptAt != nil || d.Event != one.ID || d.EventType != "custom.one" {
			t.Errorf("delivery %s", toJSON(t, d.DeliveryView))
		}
		if len(d.Attempts) != 3 || d.Attempts[0].Attempt != 1 || *d.Attempts[0].Error != failure || *d.Attempts[1].ResponseStatus != 503 || d.Attempts[2].Error != nil ||
			!d.Attempts[2].At.Equal(at.Add(3*time.Second)) || d.Attempts[2].Response != "body" || d.Attempts[2].DurationMs != 3 {
			t.Errorf("attempts %s", toJSON(t, d.Attempts))
		}
		count := func(sc models.Scope, f models.DeliveryFilter) int {
			t.Helper()
			list, _, err := s.Deliveries(t.Context(), sc, f, models.Page{})
			if err != nil {
				t.Fatal(err)
			}
			return len(list)
		}
		for _, c := range []struct {
			sc   models.Scope
			f    models.DeliveryFilter
			want int
		}{
			{shop.Test, models.DeliveryFilter{}, 3},
			{shop.Test, models.DeliveryFilter{Endpoint: a.ID}, 2},
			{shop.Test, models.DeliveryFilter{Endpoint: b.ID}, 1},
			{shop.Test, models.DeliveryFilter{Event: two.ID}, 1},
			{shop.Test, models.DeliveryFilter{Event: two.ID, Endpoint: b.ID}, 0},
			{shop.Test, models.DeliveryFilter{Status: models.DeliveryPending}, 2},
			{shop.Test, models.DeliveryFilter{Status: models.DeliverySucceeded}, 1},
			{shop.Live, models.DeliveryFilter{}, 0},
			{other.Test, models.DeliveryFilter{Endpoint: a.ID}, 0},
		} {
			if got := count(c.sc, c.f); got != c.want {
				t.Errorf("%+v: %d deliveries, want %d", c.f, got, c.want)
			}
		}
		for field, f := range map[string]models.DeliveryFilter{"endpoint": {Endpoint: "x"}, "event": {Event: "evt_\x00"}, "status": {Status: "lost"}} {
			_, _, err := s.Deliveries(t.Context(), shop.Test, f, models.Page{})
			wantCode(t, err, models.CodeInvalid)
			wantFields(t, err, field)
		}
		for _, sc := range []models.Scope{shop.Live, other.Test} {
			_, err := s.Delivery(t.Context(), sc, id)
			wantCode(t, err, models.CodeNotFound)
		}
	})
}
