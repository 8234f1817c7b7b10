package models_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

// published collects what a store hands over after its commits, as the publisher would.
type published struct {
	mu  sync.Mutex
	all []jobs.Handover
}

func publishing(s *models.Store) *published {
	p := &published{}
	s.OnCommit(func(hs ...jobs.Handover) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.all = append(p.all, hs...)
	})
	return p
}

// taken returns what was handed over since the last call.
func (p *published) taken() []jobs.Handover {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := p.all
	p.all = nil
	return out
}

func kindOf(t testing.TB, name string) jobs.Kind {
	t.Helper()
	kind, err := jobs.KindOf(name)
	if err != nil {
		t.Fatal(err)
	}
	return kind
}

func jobOf(t testing.TB, s *models.Store, id string) models.Job {
	t.Helper()
	j, err := s.Job(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return *j
}

// jobsOf lists a merchant's promises of a kind, oldest first.
func jobsOf(t testing.TB, s *models.Store, shop storetest.Shop, kind string) []models.Job {
	t.Helper()
	return slices.DeleteFunc(storetest.Jobs(t, s, kind), func(j models.Job) bool { return j.MerchantID == nil || *j.MerchantID != shop.ID })
}

// oneJob returns a merchant's only job of a kind.
func oneJob(t testing.TB, s *models.Store, shop storetest.Shop, kind string) models.Job {
	t.Helper()
	found := jobsOf(t, s, shop, kind)
	if len(found) != 1 {
		t.Fatalf("%d jobs of kind %s, want one", len(found), kind)
	}
	return found[0]
}

// texts returns the one column of a query.
func texts(t testing.TB, s *models.Store, q string, args ...any) (out []string) {
	t.Helper()
	rows, err := s.SQL().QueryContext(t.Context(), q, args...)
	if err != nil {
		t.Fatalf("%s: %v", q, err)
	}
	defer rows.Close()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
		out = append(out, text)
	}
	if err := rows.Err(); err != nil {
		t.Fatalf("%s: %v", q, err)
	}
	return out
}

// emailsOf returns the kinds of a merchant's emails with a status, sorted.
func emailsOf(t testing.TB, s *models.Store, shop storetest.Shop, status models.EmailStatus) string {
	t.Helper()
	return strings.Join(texts(t, s, `SELECT kind FROM emails WHERE merchant_id = $1 AND status = $2 ORDER BY kind`, shop.ID, string(status)), " ")
}

// emailJob returns the only job that sends a merchant's email of a kind.
func emailJob(t testing.TB, s *models.Store, shop storetest.Shop, kind models.EmailKind) models.Job {
	t.Helper()
	ids := texts(t, s, `SELECT job_id FROM emails WHERE merchant_id = $1 AND kind = $2`, shop.ID, string(kind))
	if len(ids) != 1 {
		t.Fatalf("%d emails of kind %s, want one", len(ids), kind)
	}
	return jobOf(t, s, ids[0])
}

// eventsOf returns the types of a merchant's events, sorted.
func eventsOf(t testing.TB, s *models.Store, shop storetest.Shop) string {
	t.Helper()
	return strings.Join(texts(t, s, `SELECT type FROM events WHERE merchant_id = $1 ORDER BY type`, shop.ID), " ")
}

// eventData returns the data of a merchant's events of a type, oldest first.
func eventData(t testing.TB, s *models.Store, shop storetest.Shop, kind string) []string {
	t.Helper()
	return texts(t, s, `SELECT data FROM events WHERE merchant_id = $1 AND type = $2 ORDER BY id`, shop.ID, kind)
}

// ring makes the alarm of a job go off.
func ring(t testing.TB, s *models.Store, id string) {
	t.Helper()
	storetest.Exec(t, s, `UPDATE jobs SET alarm_at = $1 WHERE id = $2`, time.Now().UTC().Add(-10*time.Second), id)
}

// alarms takes every alarm that has gone off.
func alarms(t testing.TB, s *models.Store) []models.Alarm {
	t.Helper()
	found, more, err := s.TakeAlarms(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if more {
		t.Fatal("there are more alarms than a batch holds")
	}
	return found
}

// perform does what a worker does with one job that is due: the work, without the world outside.
func perform(t testing.TB, s *models.Store, j models.Job) error {
	ctx := t.Context()
	c, err := s.Claim(ctx, j.ID, j.Epoch, kindOf(t, j.Kind))
	if err != nil || c == nil {
		return err
	}
	switch j.Kind {
	case jobs.KindFulfil:
		f, err := s.Fulfilment(ctx, c.Args.Item)
		if errors.Is(err, models.ErrNothingToDo) {
			return s.Keep(ctx, c)
		}
		if err != nil {
			return err
		}
		if f.Item.LicenseMethod == models.MethodPool {
			return s.KeepFromPool(ctx, c)
		}
		return s.KeepLicenses(ctx, c, keysFor(f))
	case jobs.KindFillPool:
		if err := s.FillWaiting(ctx, c.Args.Product, c.Args.Test); err != nil {
			return err
		}
		return s.Keep(ctx, c)
	case jobs.KindSendEmail, jobs.KindReminder:
		m, err := s.Mailing(ctx, c.Args.Email)
		if errors.Is(err, models.ErrNothingToDo) {
			return s.Keep(ctx, c)
		}
		if err != nil {
			return err
		}
		if m.Email.Kind == models.EmailReminder && !m.Unpaid {
			return s.KeepSkipped(ctx, c)
		}
		return s.KeepSent(ctx, c, &m.Email)
	case jobs.KindDeliver:
		d, err := s.Dispatch(ctx, c)
		if errors.Is(err, models.ErrNothingToDo) {
			return s.Keep(ctx, c)
		}
		if err != nil {
			return err
		}
		status := 200
		return s.KeepDelivered(ctx, c, models.DeliveryAttempt{
			DeliveryID: d.DeliveryID, Attempt: d.Attempt, At: time.Now().UTC().Truncate(time.Microsecond), ResponseStatus: &status,
		})
	}
	return s.Keep(ctx, c)
}

// keysFor makes up a key for each unit that lacks one, from the item and the unit.
func keysFor(f *models.Fulfilment) []string {
	keys := make([]string, len(f.Missing))
	for n, unit := range f.Missing {
		keys[n] = fmt.Sprintf("SECRET-%s-%d", f.Item.ID, unit)
	}
	return keys
}

// performAll performs every job that is due now, and what follows from it, until there is nothing left.
func performAll(t testing.TB, s *models.Store) {
	t.Helper()
	for round := 0; ; round++ {
		due := slices.DeleteFunc(storetest.Jobs(t, s, ""), func(j models.Job) bool {
			return j.State != models.JobDue || time.Until(j.RunAt) > 0
		})
		if len(due) == 0 {
			return
		}
		if round == 100 {
			t.Fatal("the work does not come to an end")
		}
		for _, j := range due {
			if err := perform(t, s, j); err != nil {
				t.Fatalf("%s: %v", j.Kind, err)
			}
		}
	}
}

// healthy lets the doctor look at the store.
func healthy(t testing.TB, s *models.Store) {
	t.Helper()
	r, err := s.Doctor(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range r.Findings {
		t.Errorf("the doctor finds (%d) %s: %q", f.Invariant, f.Problem, f.IDs)
	}
}

// refusals fails on any error that is not a refusal of one of the codes: an unexpected one, such as a deadlock, has none.
func refusals(t testing.TB, errs []error, codes ...models.Code) {
	t.Helper()
	for _, err := range errs {
		if err != nil && !slices.Contains(codes, models.CodeOf(err)) {
			t.Errorf("unexpected error: %v", err)
		}
	}
}
