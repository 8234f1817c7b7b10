package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

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

// TestDoctorWantsADatabase: a report that all is well with a database made on the spot would be worse than none.
func TestDoctorWantsADatabase(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.env = append(s.env, "PURSER_DATA_DIR="+s.dir+"/data")
	for _, args := range [][]string{{"doctor"}, {"jobs", "list"}, {"key", "list", "--merchant", "mer_1"}, {"migrate", "down"}} {
		s.refuses(t, exitUsage, []string{"there is no database in " + s.dir + "/data", "PURSER_DATABASE_URL"}, args...)
	}
}
