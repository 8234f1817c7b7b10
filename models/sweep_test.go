package models_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

// jobRow inserts a job that was made and finished at given times.
func jobRow(t *testing.T, s *models.Store, state string, made time.Time, finished any, args string) string {
	t.Helper()
	id := uuid.Must(uuid.NewV7())
	for i := range 6 {
		id[i] = byte(made.UnixMilli() >> (40 - 8*i))
	}
	storetest.Exec(t, s, `INSERT INTO jobs (id, kind, args, state, max_attempts, run_at, alarm_at, created_at, finished_at) VALUES ($1, 'item.fulfil', $2, $3, 8, $4, $4, $4, $5)`,
		id.String(), args, state, made, finished)
	return id.String()
}

func TestSweepJobs(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		now := time.Now().UTC().Truncate(time.Microsecond)
		ago := func(d time.Duration) time.Time { return now.Add(-d) }
		const day = 24 * time.Hour
		shop := storetest.Merchant(t, s)
		storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
		item := storetest.PaidOrder(t, s, shop.Test, "editor", 1).Items[0].ID
		failing := storetest.Jobs(t, s, jobs.KindFulfil)[0]
		if _, err := s.Fail(t.Context(), take(t, s, failing), jobs.Permanent(errTest)); err != nil {
			t.Fatal(err)
		}
		cases := []struct {
			what  string
			id    string
			stays bool
		}{
			{"done 8 days ago", jobRow(t, s, "done", ago(9*day), ago(8*day), `{}`), false},
			{"done 6 days ago, made long before", jobRow(t, s, "done", ago(60*day), ago(6*day), `{}`), true},
			{"done today", jobRow(t, s, "done", ago(time.Hour), ago(time.Minute), `{}`), true},
			{"due for 100 days", jobRow(t, s, "due", ago(100*day), nil, `{}`), true},
			{"running for 100 days", jobRow(t, s, "running", ago(100*day), nil, `{}`), true},
			{"dead for 89 days", jobRow(t, s, "dead", ago(95*day), ago(89*day), `{}`), true},
			{"dead for 91 days", jobRow(t, s, "dead", ago(95*day), ago(91*day), `{}`), false},
			{"cancelled 91 days ago", jobRow(t, s, "cancelled", ago(95*day), ago(91*day), `{}`), false},
			{"dead for 91 days, of an item that waits for a retry", jobRow(t, s, "dead", ago(95*day), ago(91*day), fmt.Sprintf(`{"item":%q}`, item)), true},
		}
		before := storetest.Count(t, s, `SELECT COUNT(*) FROM jobs`)
		for round := range 2 {
			swept := ok(s.SweepAt(t.Context(), now))(t)
			if want := []int64{3, 0}[round]; swept.Jobs != want {
				t.Errorf("sweep %d deleted %d jobs, want %d", round+1, swept.Jobs, want)
			}
			for _, c := range cases {
				if n := storetest.Count(t, s, `SELECT COUNT(*) FROM jobs WHERE id = $1`, c.id); (n == 1) != c.stays {
					t.Errorf("%s: stays %t, want %t", c.what, n == 1, c.stays)
				}
			}
		}
		if after := storetest.Count(t, s, `SELECT COUNT(*) FROM jobs`); after != before-3 {
			t.Errorf("%d jobs are left of %d", after, before)
		}
	})
}

// A job that somebody starts again at the very moment when retention is about to delete it stays.
func TestSweepAgainstARetry(t *testing.T) {
	t.Parallel()
	s := storetest.Open(t, "postgres") // SQLite has one writer at a time
	now := time.Now().UTC()
	made := now.Add(-100 * 24 * time.Hour)
	revived, old := jobRow(t, s, "dead", made, made, `{}`), jobRow(t, s, "dead", made, made, `{}`)
	retry, err := s.SQL().BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = retry.Rollback() }()
	if _, err := retry.ExecContext(t.Context(), `UPDATE jobs SET state = 'due', finished_at = NULL WHERE id = $1`, revived); err != nil {
		t.Fatal(err)
	}
	type outcome struct {
		models.Swept
		error
	}
	ended := make(chan outcome, 1)
	go func() {
		n, err := s.SweepAt(t.Context(), now)
		ended <- outcome{n, err}
	}()
	waiting := func() int {
		return storetest.Count(t, s, `SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE 'DELETE FROM jobs%'`)
	}
	for waiting() == 0 {
		select {
		case o := <-ended:
			t.Fatalf("retention did not wait for the retry: %+v", o)
		case <-time.After(5 * time.Millisecond):
		}
	}
	if err := retry.Commit(); err != nil {
		t.Fatal(err)
	}
	if o := <-ended; o.error != nil || o.Jobs != 1 {
		t.Errorf("%d jobs deleted, %v; want 1", o.Jobs, o.error)
	}
	if j := jobOf(t, s, revived); j.State != models.JobDue {
		t.Errorf("the job that was started again is %s", j.State)
	}
	if n := storetest.Count(t, s, `SELECT COUNT(*) FROM jobs WHERE id = $1`, old); n != 0 {
		t.Error("the other one is still there")
	}
}

// What retention got done before it was cut off is told, and the rest is left to the next time.
func TestSweepIsCutOff(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		now := time.Now().UTC().Truncate(time.Microsecond)
		old := now.Add(-8 * 24 * time.Hour)
		const all, first = 1500, 1000 // jobs, and those of the first transaction
		var rows strings.Builder
		for i := range all {
			fmt.Fprintf(&rows, ",('%08x-%04x-7000-8000-%012x', 'item.fulfil', '{}', 'done', 8, $1, $1, $1, $1)", old.UnixMilli()>>16, old.UnixMilli()&0xffff, i)
		}
		storetest.Exec(t, s, `INSERT INTO jobs (id, kind, args, state, max_attempts, run_at, alarm_at, created_at, finished_at) VALUES `+rows.String()[1:], old)
		// The newest of them is wanted yet, so the second transaction fails.
		storetest.Exec(t, s, `CREATE TABLE wanted (job_id text REFERENCES jobs (id))`)
		storetest.Exec(t, s, `INSERT INTO wanted SELECT MAX(id) FROM jobs`)
		swept, err := s.SweepAt(t.Context(), now)
		if err == nil || swept.Jobs != first {
			t.Errorf("%d jobs deleted, want %d and an error: %v", swept.Jobs, first, err)
		}
		if n := storetest.Count(t, s, `SELECT COUNT(*) FROM jobs`); n != all-first {
			t.Errorf("%d jobs are left, want %d", n, all-first)
		}
		storetest.Exec(t, s, `DROP TABLE wanted`)
		if n := ok(s.SweepAt(t.Context(), now))(t).Jobs; n != all-first {
			t.Errorf("the next sweep deleted %d jobs, want %d", n, all-first)
		}
	})
}

func TestSweepTicks(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		now := time.Now().UTC()
		kind := ok(jobs.KindOf(jobs.KindRemind))(t)
		for _, d := range []time.Duration{3 * time.Hour, 2 * time.Hour, 0} {
			if err := s.StageTick(t.Context(), kind, now.Add(-d)); err != nil {
				t.Fatal(err)
			}
		}
		ticks := storetest.Jobs(t, s, jobs.KindRemind)
		for _, i := range []int{0, 2} {
			if err := s.Keep(t.Context(), take(t, s, ticks[i])); err != nil {
				t.Fatal(err)
			}
		}
		if n := ok(s.SweepAt(t.Context(), now))(t).Jobs; n != 1 {
			t.Errorf("%d ticks deleted, want the one that was done long ago", n)
		}
		if left := storetest.Jobs(t, s, jobs.KindRemind); len(left) != 2 || left[0].ID != ticks[1].ID || left[1].ID != ticks[2].ID {
			t.Errorf("left are %+v", left)
		}
		// A tick of the present period is still known, so it is not staged twice.
		if err := s.StageTick(t.Context(), kind, now); err != nil {
			t.Fatal(err)
		}
		if n := len(storetest.Jobs(t, s, jobs.KindRemind)); n != 2 {
			t.Errorf("%d ticks, want 2", n)
		}
	})
}

// A tick that failed is nobody's to retry: the next one has done its work.
func TestSweepFailedTicks(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		now := time.Now().UTC()
		kind := kindOf(t, jobs.KindExpire)
		for _, ago := range []time.Duration{26 * time.Hour, 2 * time.Hour} {
			if err := s.StageTick(t.Context(), kind, now.Add(-ago)); err != nil {
				t.Fatal(err)
			}
		}
		ticks := storetest.Jobs(t, s, jobs.KindExpire)
		for _, tick := range ticks {
			if _, err := s.Fail(t.Context(), take(t, s, tick), jobs.Permanent(errTest)); err != nil {
				t.Fatal(err)
			}
		}
		if n := ok(s.SweepAt(t.Context(), now))(t).Jobs; n != 1 {
			t.Errorf("%d ticks deleted, want 1", n)
		}
		if left := storetest.Jobs(t, s, jobs.KindExpire); len(left) != 1 || left[0].ID != ticks[1].ID {
			t.Errorf("left are %+v", left)
		}
	})
}

func TestSweepCarts(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		now := time.Now().UTC().Truncate(time.Microsecond)
		shop := storetest.Merchant(t, s)
		storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
		order := storetest.Order(t, s, shop.Test, "editor", 1).ID
		const day = 24 * time.Hour
		for id, c := range map[string]struct {
			age   time.Duration
			order any
		}{"young": {89 * day, nil}, "old": {91 * day, nil}, "ordered": {91 * day, order}} {
			storetest.Exec(t, s, `INSERT INTO carts (id, visitor, merchant_id, test, currency, content, order_id, created_at, updated_at)
				VALUES ($1, $1, $2, $3, 'EUR', '{}', $4, $5, $5)`, id, shop.ID, true, c.order, now.Add(-c.age))
		}
		if n := ok(s.SweepAt(t.Context(), now))(t).Carts; n != 2 {
			t.Errorf("%d carts deleted, want 2", n)
		}
		if left := texts(t, s, `SELECT id FROM carts`); len(left) != 1 || left[0] != "young" {
			t.Errorf("left are %v", left)
		}
		if n := storetest.Count(t, s, `SELECT COUNT(*) FROM orders`); n != 1 {
			t.Errorf("%d orders, want 1", n)
		}
	})
}

func TestSweepInBatches(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		now := time.Now().UTC().Truncate(time.Microsecond)
		old := now.Add(-48 * time.Hour)
		// More than two batches, in one statement for each profile.
		numbers := `generate_series(1, 10500) AS n`
		if s.Embedded() {
			numbers = `(WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 10500) SELECT n FROM c)`
		}
		storetest.Exec(t, s, `INSERT INTO idempotency_keys (id, merchant_id, test, method, path, key, request_hash, owner, lease_until, created_at)
			SELECT 'idk_' || n, 'm', true, 'POST', '/', 'k' || n, '', '', $1, $1 FROM `+numbers, old)
		storetest.Exec(t, s, `UPDATE idempotency_keys SET created_at = $1 WHERE id = 'idk_7'`, now.Add(-time.Hour))
		swept := ok(s.SweepAt(t.Context(), now))(t)
		if swept.IdempotencyKeys != 10499 || storetest.Count(t, s, `SELECT COUNT(*) FROM idempotency_keys WHERE id = 'idk_7'`) != 1 {
			t.Errorf("swept %+v", swept)
		}
	})
}

func TestSweepSessions(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		ok(s.CreateOperator(t.Context(), "root@example.com", models.RoleAdmin, password))(t)
		token, _, err := s.SignInOperator(t.Context(), "root@example.com", password)
		if err != nil {
			t.Fatal(err)
		}
		if n := ok(s.SweepAt(t.Context(), time.Now().Add(models.SessionLifetime-time.Minute)))(t).Sessions; n != 0 {
			t.Errorf("%d sessions deleted before their end", n)
		}
		if _, err := s.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		ok(s.SessionAccount(t.Context(), token))(t)
		if n := ok(s.SweepAt(t.Context(), time.Now().Add(models.SessionLifetime+time.Minute)))(t).Sessions; n != 1 {
			t.Errorf("%d sessions deleted after their end, want 1", n)
		}
	})
}
