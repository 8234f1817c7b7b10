package models_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

// send performs the email.send jobs that are due as if a server had taken the mails.
func send(t *testing.T, s *models.Store) {
	t.Helper()
	for _, j := range storetest.Jobs(t, s, jobs.KindSendEmail) {
		if j.State == models.JobDue {
			if err := s.KeepSentOf(t.Context(), take(t, s, j)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestTimeline(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop, other := storetest.Merchant(t, s), storetest.Merchant(t, s)
		p := storetest.Product(t, s, shop.Test, "editor", models.MethodPool)
		ok(s.AddPoolKeys(t.Context(), shop.Test, p.ID, []string{"SECRET-KEY-0001"}))(t)
		endpoint(t, s, shop.Test, "order.created")
		o := storetest.PaidOrder(t, s, shop.Test, "editor", 1)
		storetest.PaidOrder(t, s, shop.Test, "editor", 1) // another order, which is not to be seen

		fulfil := storetest.Jobs(t, s, jobs.KindFulfil)[0]
		if _, err := s.Fail(t.Context(), take(t, s, fulfil), errTest); err != nil {
			t.Fatal(err)
		}
		deliver := storetest.Jobs(t, s, jobs.KindDeliver)[0]
		status, failure := 500, "the answer was 500"
		if _, err := s.FailDelivery(t.Context(), take(t, s, deliver), models.DeliveryAttempt{
			DeliveryID: deliver.Args.Delivery, Attempt: 1, At: time.Now().UTC().Truncate(time.Microsecond), ResponseStatus: &status, Error: &failure, Response: "Ada Byron is unknown",
		}, jobs.Permanent(errTest)); err != nil {
			t.Fatal(err)
		}
		entries := ok(s.Timeline(t.Context(), shop.Test, o.ID))(t)
		if !has(entries, "job.retrying") || !has(entries, "job.dead") {
			t.Errorf("a job that is due again or a dead one does not show: %v", kinds(entries))
		}
		if err := s.RetryJob(t.Context(), fulfil.ID, "operator:acc_1"); err != nil {
			t.Fatal(err)
		}
		if err := s.KeepFromPool(t.Context(), take(t, s, *ok(s.Job(t.Context(), fulfil.ID))(t))); err != nil {
			t.Fatal(err)
		}
		send(t, s)
		if err := s.CancelJob(t.Context(), deliver.ID, "operator:acc_2"); err != nil {
			t.Fatal(err)
		}

		entries = ok(s.Timeline(t.Context(), shop.Test, o.ID))(t)
		for _, kind := range []string{
			"order.created", "payment.created", "payment.succeeded", "order.paid", "event.emitted", "email.queued", "email.sent", "license.issued", "item.delivered",
			"order.delivered", "webhook.attempt_failed", "webhook.failed", "job.cancelled", "job.recovered", "job.retried",
		} {
			if !has(entries, kind) {
				t.Errorf("%s does not show: %v", kind, kinds(entries))
			}
		}
		if !slices.IsSortedFunc(entries, func(a, b models.TimelineEntry) int { return a.At.Compare(b.At) }) {
			t.Error("the entries are not oldest first")
		}
		if entries[0].Kind != "order.created" {
			t.Errorf("the first entry is %s", entries[0].Kind)
		}
		for _, e := range entries {
			if e.At.IsZero() || e.Kind == "" || e.Actor == "" || e.Summary == "" {
				t.Errorf("incomplete: %+v", e)
			}
		}
		for kind, want := range map[string]string{
			"order.created": "test", "email.queued": "test", "event.emitted": "test", "license.issued": "worker", "job.retried": "operator:acc_1", "job.cancelled": "operator:acc_2",
		} {
			if i := slices.IndexFunc(entries, func(e models.TimelineEntry) bool { return e.Kind == kind }); entries[i].Actor != want {
				t.Errorf("the first %s is by %s, want %s", kind, entries[i].Actor, want)
			}
		}
		text := toJSON(t, entries)
		// In capitals, because an id may have any lower-case letters in it.
		for _, secret := range []string{"SECRET-KEY", "@", "Ada", "Byron"} {
			if strings.Contains(text, secret) {
				t.Errorf("the timeline shows %q", secret)
			}
		}
		if !strings.Contains(text, `"****0001"`) {
			t.Error("the masked key does not show")
		}
		for _, sc := range []models.Scope{shop.Live, other.Test} {
			_, err := s.Timeline(t.Context(), sc, o.ID)
			wantCode(t, err, models.CodeNotFound)
		}
		_, err := s.Timeline(t.Context(), shop.Test, "ord_\x00")
		wantCode(t, err, models.CodeNotFound)
	})
}

func has(entries []models.TimelineEntry, kind string) bool {
	return slices.ContainsFunc(entries, func(e models.TimelineEntry) bool { return e.Kind == kind })
}

func kinds(entries []models.TimelineEntry) (out []string) {
	for _, e := range entries {
		out = append(out, e.Kind)
	}
	return out
}

func TestSearchLicenses(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop, other := storetest.Merchant(t, s), storetest.Merchant(t, s)
		p := storetest.Product(t, s, shop.Test, "editor", models.MethodPool)
		ok(s.AddPoolKeys(t.Context(), shop.Test, p.ID, []string{"K-1", "K-2", "K-3"}))(t)
		o := storetest.PaidOrder(t, s, shop.Test, "editor", 2)
		fulfilFromPool(t, s)
		found := ok(s.SearchLicenses(t.Context(), shop.Test, " K-2\n"))(t)
		if len(found) != 1 || found[0].Order != o.ID || found[0].OrderNumber != o.Number || found[0].Item != o.Items[0].ID || found[0].SKU != "editor" || found[0].Key != "K-2" ||
			found[0].Unit != 2 || found[0].Status != models.LicenseActive || found[0].Product != p.ID {
			t.Errorf("found %s", toJSON(t, found))
		}
		for _, c := range []struct {
			sc  models.Scope
			key string
		}{{shop.Test, "K-3"}, {shop.Test, "K-"}, {shop.Test, "k-1"}, {shop.Test, "%"}, {shop.Test, "\x00"}, {shop.Live, "K-1"}, {other.Test, "K-1"}} {
			if found := ok(s.SearchLicenses(t.Context(), c.sc, c.key))(t); found == nil || len(found) != 0 {
				t.Errorf("%q in %+v found %s", c.key, c.sc, toJSON(t, found))
			}
		}
		for _, bad := range []string{"", "  ", strings.Repeat("x", 4097)} {
			_, err := s.SearchLicenses(t.Context(), shop.Test, bad)
			wantFields(t, err, "key")
		}
	})
}
