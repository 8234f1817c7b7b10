package main

import (
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/jobs/redistest"
	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

// TestDoctor breaks what must always hold, and looks for the finding and the exit code by which a monitor notices.
func TestDoctor(t *testing.T) {
	eachDatabase(t, func(t *testing.T, s *site) {
		s.does(t, "migrate", "up")
		store := s.store(t)
		shop := storetest.Merchant(t, store)
		storetest.Product(t, store, shop.Test, "editor-pro", models.MethodTemplate)
		paid := storetest.PaidOrder(t, store, shop.Test, "editor-pro", 2)
		unpaid := storetest.Order(t, store, shop.Test, "editor-pro", 1)

		doctor := func() (code int, report models.Report) {
			t.Helper()
			code, stdout, stderr := s.tool(t, "", "doctor")
			if err := json.Unmarshal([]byte(stdout), &report); err != nil {
				t.Fatalf("%v: %s%s", err, stdout, stderr)
			}
			if (code == exitOK) != report.OK || report.OK == strings.Contains(stderr, errUnsound.Error()) || !strings.Contains(stdout, `"findings": [`) {
				t.Errorf("exit code %d of the report %s; %s", code, stdout, stderr)
			}
			return code, report
		}
		if code, report := doctor(); code != exitOK || len(report.Findings) != 0 {
			t.Errorf("a sound database: exit code %d, %+v", code, report)
		}
		for _, tt := range []struct {
			invariant   int
			id          string
			wound, mend string
		}{
			{4, paid.ID, `UPDATE orders SET total = total + 1, subtotal = subtotal + 1 WHERE id = $1`, `UPDATE orders SET total = total - 1, subtotal = subtotal - 1 WHERE id = $1`},
			{1, unpaid.Items[0].ID, `UPDATE items SET fulfillment_status = 'delivered', delivered_at = '2026-01-02 03:04:05+00:00' WHERE id = $1`, `UPDATE items SET fulfillment_status = 'not_delivered', delivered_at = NULL WHERE id = $1`},
		} {
			storetest.Exec(t, store, tt.wound, tt.id)
			code, report := doctor()
			if code != exitFailure || !slices.ContainsFunc(report.Findings, func(f models.Finding) bool {
				return f.Invariant == tt.invariant && slices.Contains(f.IDs, tt.id) && f.Problem != "" && f.Mend != ""
			}) {
				t.Errorf("exit code %d, want 1 with a finding about invariant %d and %s: %+v", code, tt.invariant, tt.id, report.Findings)
			}
			storetest.Exec(t, store, tt.mend, tt.id)
			if code, report := doctor(); code != exitOK {
				t.Errorf("mended: exit code %d, %+v", code, report.Findings)
			}
		}
	})
}

// TestDoctorMends loses a fulfilment, and takes the doctor at its word.
func TestDoctorMends(t *testing.T) {
	eachDatabase(t, func(t *testing.T, s *site) {
		s.does(t, "migrate", "up")
		store := s.store(t)
		shop := storetest.Merchant(t, store)
		storetest.Product(t, store, shop.Test, "editor-pro", models.MethodTemplate)
		paid := storetest.PaidOrder(t, store, shop.Test, "editor-pro", 1)
		storetest.Exec(t, store, `DELETE FROM jobs WHERE order_id = $1`, paid.ID)
		code, stdout, _ := s.tool(t, "", "doctor")
		if code != exitFailure || !strings.Contains(stdout, "purser doctor --mend") {
			t.Fatalf("exit code %d, %s", code, stdout)
		}
		code, stdout, stderr := s.tool(t, "", "doctor", "--mend")
		if code != exitOK || !strings.Contains(stdout, `"ok": true`) || !strings.Contains(stderr, "started again: ") {
			t.Errorf("exit code %d, %s%s", code, stdout, stderr)
		}
		if n := storetest.Count(t, store, `SELECT COUNT(*) FROM jobs WHERE order_id = $1 AND finished_at IS NULL`, paid.ID); n == 0 {
			t.Error("nothing was started")
		}
	})
}

// examined asks for the doctor's exit code and for what its report says of itself and of the queue.
func examined(t *testing.T, s *site) (code int, report doctorReport, stdout, stderr string) {
	t.Helper()
	code, stdout, stderr = s.tool(t, "", "doctor")
	if err := json.Unmarshal([]byte(stdout), &report); err != nil {
		t.Fatalf("%v: %s%s", err, stdout, stderr)
	}
	return code, report, stdout, stderr
}

// TestDoctorExaminesTheQueue finds a task without a promise in Redis, and does not mind a Redis that is away.
func TestDoctorExaminesTheQueue(t *testing.T) {
	eachDatabase(t, func(t *testing.T, s *site) {
		s.does(t, "migrate", "up")
		if code, report, stdout, stderr := examined(t, s); code != exitOK || !report.OK || report.Queue != "not examined: "+errEmbeddedQueue.Error() || stderr != "" {
			t.Errorf("an embedded queue: exit code %d, %s%s", code, stdout, stderr)
		}
		redis := redistest.InProcess(t)
		s.env = append(s.env, "PURSER_REDIS_URL="+redis.URL)
		if code, report, stdout, stderr := examined(t, s); code != exitOK || !report.OK || report.Queue != "examined" || stderr != "" {
			t.Errorf("an empty queue: exit code %d, %s%s", code, stdout, stderr)
		}
		publisher := jobs.NewPublisher(redis.Client, slog.New(slog.DiscardHandler))
		defer publisher.Close()
		stray := jobs.Handover{JobID: "00000000-0000-7000-8000-000000000000", Kind: jobs.KindSendEmail}
		if ok, err := publisher.HandOver(t.Context(), stray); !ok || err != nil {
			t.Fatalf("%v, %v", ok, err)
		}
		code, report, stdout, stderr := examined(t, s)
		if code != exitFailure || report.OK || report.Queue != "examined" || len(report.Findings) != 1 || report.Findings[0].Invariant != 5 ||
			!slices.Equal(report.Findings[0].IDs, []string{jobs.TaskID(stray.JobID, 0)}) || report.Findings[0].More {
			t.Errorf("exit code %d, %s%s", code, stdout, stderr)
		}
		redis.Stop()
		code, report, stdout, stderr = examined(t, s)
		reason, not := strings.CutPrefix(report.Queue, "not examined: ")
		if code != exitOK || !report.OK || !not || reason == "" || !strings.Contains(stderr, "the queue was not examined: "+reason) {
			t.Errorf("a dead Redis: exit code %d, %s%s", code, stdout, stderr)
		}
		hides(t, []string{passwordIn(redis.URL)}, map[string]string{"the error": stderr, "the report": stdout})
	})
}

// TestDoctorWantsADatabase: a report that all is well with a database made on the spot would be worse than none.
func TestDoctorWantsADatabase(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.env = append(s.env, "PURSER_DATA_DIR="+s.dir+"/data")
	for _, args := range [][]string{{"doctor"}, {"jobs", "list"}, {"key", "list", "--merchant", "mer_1"}, {"migrate", "down"}} {
		s.refuses(t, exitUsage, []string{"there is no database in " + s.dir + "/data", "PURSER_DATABASE_URL"}, args...)
	}
}
