package models_test

import (
	"strings"
	"testing"

	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

const whsec = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

func endpointInput(events ...string) models.WebhookEndpointInput {
	return models.WebhookEndpointInput{URL: "https://example.com/hook", Events: events, Secret: whsec}
}

func endpoint(t *testing.T, s *models.Store, sc models.Scope, events ...string) *models.WebhookEndpointView {
	t.Helper()
	return ok(s.CreateWebhookEndpoint(t.Context(), sc, endpointInput(events...)))(t)
}

func TestWebhookEndpoints(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop, other := storetest.Merchant(t, s), storetest.Merchant(t, s)
		w := endpoint(t, s, shop.Test)
		if w.Secret != whsec || len(w.Events) != 1 || w.Events[0] != "*" || w.Format != "standard" || w.Status != "enabled" || !w.Test {
			t.Errorf("made %s", toJSON(t, w))
		}
		got := ok(s.WebhookEndpoint(t.Context(), shop.Test, w.ID))(t)
		if got.Secret != "" || strings.Contains(toJSON(t, got), "secret") {
			t.Errorf("the secret is shown again: %s", toJSON(t, got))
		}
		if n := storetest.Count(t, s, `SELECT COUNT(*) FROM webhook_endpoints WHERE secret = $1`, []byte(whsec)); n != 0 {
			t.Error("the secret is stored in the clear")
		}
		got = ok(s.UpdateWebhookEndpoint(t.Context(), shop.Test, w.ID, decode[models.WebhookEndpointPatch](t,
			`{"url":"https://example.com/other","events":["order.*","custom.shipped"],"description":"ERP","include_license_keys":true}`)))(t)
		again := ok(s.WebhookEndpoint(t.Context(), shop.Test, w.ID))(t)
		if toJSON(t, got.Events) != `["order.*","custom.shipped"]` || got.URL != "https://example.com/other" || got.Description != "ERP" || !got.IncludeLicenseKeys ||
			toJSON(t, again.Events) != toJSON(t, got.Events) || again.URL != got.URL || !again.IncludeLicenseKeys {
			t.Errorf("changed to %s, stored %s", toJSON(t, got), toJSON(t, again))
		}
		got = ok(s.UpdateWebhookEndpoint(t.Context(), shop.Test, w.ID, decode[models.WebhookEndpointPatch](t,
			`{"events":null,"description":null,"include_license_keys":null,"format":null}`)))(t)
		if toJSON(t, got.Events) != `["*"]` || got.Description != "" || got.IncludeLicenseKeys || got.URL != "https://example.com/other" {
			t.Errorf("null made it %s", toJSON(t, got))
		}
		for _, sc := range []models.Scope{shop.Live, other.Test} {
			_, err := s.WebhookEndpoint(t.Context(), sc, w.ID)
			wantCode(t, err, models.CodeNotFound)
			_, err = s.UpdateWebhookEndpoint(t.Context(), sc, w.ID, models.WebhookEndpointPatch{})
			wantCode(t, err, models.CodeNotFound)
			wantCode(t, s.DeleteWebhookEndpoint(t.Context(), sc, w.ID), models.CodeNotFound)
			_, err = s.SendTestEvent(t.Context(), sc, w.ID)
			wantCode(t, err, models.CodeNotFound)
			if list, _, err := s.WebhookEndpoints(t.Context(), sc, models.Page{}); err != nil || len(list) != 0 {
				t.Errorf("somebody else's list has %d endpoints (%v)", len(list), err)
			}
		}
		if list, _, err := s.WebhookEndpoints(t.Context(), shop.Test, models.Page{}); err != nil || len(list) != 1 {
			t.Errorf("the list has %d endpoints (%v)", len(list), err)
		}
	})
}

func TestWebhookEndpointRefused(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		for _, events := range [][]string{
			{"*", "order.*", "payment.succeeded", "custom.*", "custom.a.b-c", "custom.a.*", "webhook_endpoint.disabled", "license.*"},
		} {
			endpoint(t, s, shop.Test, events...)
		}
		for _, bad := range []string{"", "order", "order.", "order.creat*", "ord*", "**", "*.created", "order.created.*", "custom", "custom.", "custom.A", "custom..a", "webhook_endpoint.test", "nothing.*", ".*", "custom." + strings.Repeat("a", 100)} {
			_, err := s.CreateWebhookEndpoint(t.Context(), shop.Test, endpointInput("*", bad))
			wantFields(t, err, "events[1]")
		}
		_, err := s.CreateWebhookEndpoint(t.Context(), shop.Test, endpointInput("order.*", "order.*"))
		wantFields(t, err, "events[1]")
		in := endpointInput()
		in.URL, in.Events, in.Format, in.Description = "", []string{}, "noventiq", strings.Repeat("x", 501)
		_, err = s.CreateWebhookEndpoint(t.Context(), shop.Test, in)
		wantFields(t, err, "url", "events", "format", "description")
		_, err = s.CreateWebhookEndpoint(t.Context(), shop.Test, endpointInput(make([]string, 51)...))
		wantCode(t, err, models.CodeInvalid)
		if n := storetest.Count(t, s, `SELECT COUNT(*) FROM webhook_endpoints`); n != 1 {
			t.Errorf("%d endpoints, want 1", n)
		}
	})
}

func TestWebhookEndpointLimitHoldsInARace(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		for range 48 {
			endpoint(t, s, shop.Test)
		}
		deleted := endpoint(t, s, shop.Test)
		if err := s.DeleteWebhookEndpoint(t.Context(), shop.Test, deleted.ID); err != nil {
			t.Fatal(err)
		}
		errs := race(6, func(int) error {
			_, err := s.CreateWebhookEndpoint(t.Context(), shop.Test, endpointInput())
			return err
		})
		if n := succeeded(errs); n != 2 {
			t.Errorf("%d of six got in where two places were left", n)
		}
		for _, err := range errs {
			if err != nil {
				wantCode(t, err, models.CodeConflict)
			}
		}
		endpoint(t, s, shop.Live) // the limit is per mode
	})
}

func TestDeleteWebhookEndpointCancelsItsDeliveries(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
		gone, stays := endpoint(t, s, shop.Test), endpoint(t, s, shop.Test)
		storetest.Order(t, s, shop.Test, "editor", 1)
		storetest.Order(t, s, shop.Test, "editor", 1)
		deliveries := func(f models.DeliveryFilter) []models.DeliveryView {
			t.Helper()
			list, _, err := s.Deliveries(t.Context(), shop.Test, f, models.Page{})
			if err != nil {
				t.Fatal(err)
			}
			return list
		}
		// One of its deliveries has succeeded, which stays true.
		sent := deliveries(models.DeliveryFilter{Endpoint: gone.ID})[1]
		for _, j := range storetest.Jobs(t, s, jobs.KindDeliver) {
			if j.Args.Delivery == sent.ID {
				status := 204
				if err := s.KeepDelivered(t.Context(), take(t, s, j), models.DeliveryAttempt{DeliveryID: sent.ID, Attempt: 1, At: sent.CreatedAt, ResponseStatus: &status}); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := s.DeleteWebhookEndpoint(t.Context(), shop.Test, gone.ID); err != nil {
			t.Fatal(err)
		}
		want := map[string]int{gone.ID + " cancelled": 1, gone.ID + " succeeded": 1, stays.ID + " pending": 2}
		for _, d := range deliveries(models.DeliveryFilter{}) {
			want[d.Endpoint+" "+string(d.Status)]--
			if (d.Status == models.DeliveryPending) != (d.FinishedAt == nil) || (d.Status == models.DeliveryPending) != (d.NextAttemptAt != nil) {
				t.Errorf("delivery %s", toJSON(t, d))
			}
		}
		for what, n := range want {
			if n != 0 {
				t.Errorf("deliveries that are %s: %d too few", what, n)
			}
		}
		states := map[models.JobState]int{}
		for _, j := range storetest.Jobs(t, s, jobs.KindDeliver) {
			states[j.State]++
		}
		if states[models.JobCancelled] != 1 || states[models.JobDue] != 2 || states[models.JobDone] != 1 {
			t.Errorf("jobs %v", states)
		}
		storetest.Order(t, s, shop.Test, "editor", 1)
		if n := len(deliveries(models.DeliveryFilter{Endpoint: gone.ID})); n != 2 {
			t.Errorf("the deleted endpoint has %d deliveries, want its old 2", n)
		}
		_, err := s.WebhookEndpoint(t.Context(), shop.Test, gone.ID)
		wantCode(t, err, models.CodeNotFound)
		wantCode(t, s.DeleteWebhookEndpoint(t.Context(), shop.Test, gone.ID), models.CodeNotFound)
		if r := ok(s.Doctor(t.Context()))(t); !r.OK {
			t.Errorf("doctor: %s", toJSON(t, r))
		}
	})
}

func TestSendTestEvent(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		all, one := endpoint(t, s, shop.Test), endpoint(t, s, shop.Test, "order.created")
		first := ok(s.SendTestEvent(t.Context(), shop.Test, one.ID))(t)
		second := ok(s.SendTestEvent(t.Context(), shop.Test, one.ID))(t)
		if first == second {
			t.Error("two tests, one delivery")
		}
		d := ok(s.Delivery(t.Context(), shop.Test, first))(t)
		if d.Endpoint != one.ID || d.EventType != "webhook_endpoint.test" || d.Status != models.DeliveryPending {
			t.Errorf("delivery %s", toJSON(t, d))
		}
		if list, _, err := s.Deliveries(t.Context(), shop.Test, models.DeliveryFilter{Endpoint: all.ID}, models.Page{}); err != nil || len(list) != 0 {
			t.Errorf("the other endpoint is told too: %v", err)
		}
		if e := ok(s.Event(t.Context(), shop.Test, d.Event))(t); !strings.Contains(string(e.Data), one.ID) || strings.Contains(string(e.Data), "whsec") {
			t.Errorf("event %s", toJSON(t, e))
		}
		storetest.Exec(t, s, `UPDATE webhook_endpoints SET status = 'disabled' WHERE id = $1`, one.ID)
		_, err := s.SendTestEvent(t.Context(), shop.Test, one.ID)
		wantCode(t, err, models.CodeConflict)
	})
}
