package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/jobs/redistest"
	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

// shownJob is what `jobs show` prints.
type shownJob struct {
	ID, Kind        string
	Args            models.JobArgs
	Order           *string
	State           models.JobState
	Epoch, Attempts int
	MaxAttempts     int        `json:"max_attempts"`
	FinishedAt      *time.Time `json:"finished_at"`
	LastError       *string    `json:"last_error"`
}

func (s *site) job(t *testing.T, id string) shownJob {
	t.Helper()
	var j shownJob
	if err := json.Unmarshal([]byte(s.does(t, "jobs", "show", id)), &j); err != nil {
		t.Fatal(err)
	}
	return j
}

// listed returns the ids that `jobs list` prints.
func (s *site) listed(t *testing.T, args ...string) (ids []string) {
	t.Helper()
	rows := strings.Split(strings.TrimSpace(s.does(t, append([]string{"jobs", "list"}, args...)...)), "\n")
	for _, row := range rows[1:] {
		ids = append(ids, strings.Fields(row)[0])
	}
	return ids
}

// dead makes a job die of its next attempt.
func dead(t *testing.T, store *models.Store, j models.Job, reason string) {
	t.Helper()
	kind, err := jobs.KindOf(j.Kind)
	if err != nil {
		t.Fatal(err)
	}
	c, err := store.Claim(t.Context(), j.ID, j.Epoch, kind)
	if err != nil || c == nil {
		t.Fatalf("claim %s: %v", j.ID, err)
	}
	if v, err := store.Fail(t.Context(), c, jobs.Permanent(errorText(reason))); err != nil || !v.Dead {
		t.Fatalf("%+v, %v", v, err)
	}
}

type errorText string

func (e errorText) Error() string { return string(e) }

func TestJobsListAndShow(t *testing.T) {
	eachDatabase(t, func(t *testing.T, s *site) {
		s.does(t, "migrate", "up")
		store := s.store(t)
		shop := storetest.Merchant(t, store)
		storetest.Product(t, store, shop.Test, "editor-pro", models.MethodTemplate)
		first := storetest.PaidOrder(t, store, shop.Test, "editor-pro", 1)
		storetest.PaidOrder(t, store, shop.Test, "editor-pro", 1)
		emails := storetest.Jobs(t, store, jobs.KindSendEmail)
		if len(emails) != 2 {
			t.Fatalf("%d emails are due", len(emails))
		}
		dead(t, store, emails[0], "550 5.1.1: the server refused the recipient")

		all := storetest.Jobs(t, store, "")
		slices.Reverse(all)
		for _, tt := range []struct {
			args []string
			want func(j models.Job) bool
		}{
			{nil, func(models.Job) bool { return true }},
			{[]string{"--state", "dead"}, func(j models.Job) bool { return j.State == models.JobDead }},
			{[]string{"--state", "due"}, func(j models.Job) bool { return j.State == models.JobDue }},
			{[]string{"--state", "cancelled"}, func(j models.Job) bool { return false }},
			{[]string{"--kind", "email.send"}, func(j models.Job) bool { return j.Kind == jobs.KindSendEmail }},
			{[]string{"--kind", "email.send", "--state", "due"}, func(j models.Job) bool { return j.ID == emails[1].ID }},
			{[]string{"--order", first.ID}, func(j models.Job) bool { return j.OrderID != nil && *j.OrderID == first.ID }},
			{[]string{"--limit", "1"}, func(j models.Job) bool { return j.ID == all[0].ID }},
			{[]string{"--order", "ord_nobody"}, func(j models.Job) bool { return false }},
		} {
			want := []string{}
			for _, j := range all {
				if tt.want(j) {
					want = append(want, j.ID)
				}
			}
			if got := s.listed(t, tt.args...); !slices.Equal(got, want) {
				t.Errorf("%q: got %q, want %q", tt.args, got, want)
			}
		}
		if list := s.does(t, "jobs", "list", "--state", "dead"); !strings.Contains(list, emails[0].ID) || !strings.Contains(list, "550 5.1.1: the server refused the recipient") {
			t.Errorf("got %s", list)
		}
		got := s.job(t, emails[0].ID)
		if got.ID != emails[0].ID || got.Kind != jobs.KindSendEmail || got.State != models.JobDead || got.Attempts != 1 || got.FinishedAt == nil ||
			got.LastError == nil || *got.LastError != "550 5.1.1: the server refused the recipient" || got.Order == nil || *got.Order != *emails[0].OrderID || got.Args != emails[0].Args {
			t.Errorf("shown as %+v", got)
		}
		hides(t, []string{"Ada", "example.com"}, map[string]string{"the list": s.does(t, "jobs", "list"), "the job": s.does(t, "jobs", "show", emails[0].ID)})

		s.refuses(t, exitFailure, []string{"There is no such job."}, "jobs", "show", "nothing")
		s.refuses(t, exitFailure, []string{"There is no such job."}, "jobs", "show", "00000000-0000-0000-0000-000000000000")
		s.refuses(t, exitUsage, []string{"takes the id of a job"}, "jobs", "show")
		s.refuses(t, exitUsage, []string{"--state is due, running, done, dead or cancelled"}, "jobs", "list", "--state", "late")
		s.refuses(t, exitUsage, []string{"--limit is 1 to 1000"}, "jobs", "list", "--limit", "0")
	})
}

// TestJobsRetryAndCancel gives a dead job a new life, which Redis learns of at once where there is one.
func TestJobsRetryAndCancel(t *testing.T) {
	eachDatabase(t, func(t *testing.T, s *site) {
		s.does(t, "migrate", "up")
		store := s.store(t)
		shop := storetest.Merchant(t, store)
		storetest.Product(t, store, shop.Test, "editor-pro", models.MethodTemplate)
		storetest.PaidOrder(t, store, shop.Test, "editor-pro", 1)
		fulfil, mail := storetest.Jobs(t, store, jobs.KindFulfil)[0], storetest.Jobs(t, store, jobs.KindSendEmail)[0]
		order := func() *models.OrderView {
			t.Helper()
			o, err := store.Order(t.Context(), shop.Test, *fulfil.OrderID)
			if err != nil {
				t.Fatal(err)
			}
			return o
		}
		dead(t, store, fulfil, "no licence")
		if o := order(); o.Items[0].FulfillmentStatus != models.FulfillmentFailed {
			t.Fatalf("the item is %s", o.Items[0].FulfillmentStatus)
		}

		redis := redistest.InProcess(t)
		for _, address := range []string{"", "redis://127.0.0.1:1", redis.URL} { // none, one that is away, one that is there
			if address != "" {
				s.env = append(s.env, "PURSER_REDIS_URL="+address)
			}
			before := s.job(t, fulfil.ID)
			if out := s.does(t, "jobs", "retry", fulfil.ID); out != fulfil.ID+" is due\n" {
				t.Errorf("with Redis at %q: got %q", address, out)
			}
			after := s.job(t, fulfil.ID)
			if after.State != models.JobDue || after.Epoch != before.Epoch+1 || after.MaxAttempts <= after.Attempts || after.FinishedAt != nil {
				t.Errorf("with Redis at %q: before %+v, after %+v", address, before, after)
			}
			held, err := redis.Client.Keys(t.Context(), "asynq:{*}:t:"+jobs.TaskID(after.ID, after.Epoch)).Result()
			if err != nil || (len(held) == 1) != (address == redis.URL) {
				t.Errorf("with Redis at %q: it has %q, %v", address, held, err)
			}
		}
		if o := order(); o.Items[0].FulfillmentStatus != models.NotDelivered || o.Items[0].Failure != nil {
			t.Errorf("the item is %s, %v", o.Items[0].FulfillmentStatus, o.Items[0].Failure)
		}

		history, err := store.Timeline(t.Context(), shop.Test, *fulfil.OrderID)
		if err != nil {
			t.Fatal(err)
		}
		retries := 0
		for _, h := range history {
			if h.Kind == "job.retried" && strings.HasPrefix(h.Actor, "cli") {
				retries++
			}
		}
		if retries != 3 {
			t.Errorf("the order's timeline tells of %d retries from the command line", retries)
		}

		if out := s.does(t, "jobs", "cancel", mail.ID); out != mail.ID+" is cancelled\n" {
			t.Errorf("got %q", out)
		}
		if j := s.job(t, mail.ID); j.State != models.JobCancelled || j.FinishedAt == nil {
			t.Errorf("cancelled: %+v", j)
		}
		s.does(t, "jobs", "cancel", mail.ID) // changes nothing
		s.does(t, "jobs", "retry", mail.ID)
		if j := s.job(t, mail.ID); j.State != models.JobDue {
			t.Errorf("retried: %+v", j)
		}

		kind, err := jobs.KindOf(mail.Kind)
		if err != nil {
			t.Fatal(err)
		}
		c, err := store.Claim(t.Context(), mail.ID, s.job(t, mail.ID).Epoch, kind)
		if err != nil || c == nil {
			t.Fatal(err)
		}
		s.refuses(t, exitFailure, []string{"The job is running."}, "jobs", "retry", mail.ID)
		s.refuses(t, exitFailure, []string{"it cannot be cancelled"}, "jobs", "cancel", mail.ID)
		if err := store.Keep(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		s.refuses(t, exitFailure, []string{"The job is done."}, "jobs", "retry", mail.ID)
		s.refuses(t, exitFailure, []string{"it cannot be cancelled"}, "jobs", "cancel", mail.ID)
		s.refuses(t, exitFailure, []string{"There is no such job."}, "jobs", "retry", "nothing")
		s.refuses(t, exitFailure, []string{"There is no such job."}, "jobs", "cancel", "nothing")
		s.refuses(t, exitUsage, []string{"takes the id of a job"}, "jobs", "retry")
	})
}
