package api

import (
	"testing"

	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

// TestOtherSitesChangeNothing sends an admin's browser from elsewhere to what changes something.
func TestOtherSitesChangeNothing(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d, _ := withRedis(t, s)
		admin := d.signedIn(t, models.RoleAdmin)
		for name, header := range map[string]map[string]string{
			"another origin":      {"Origin": "https://evil.example"},
			"another site":        {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
			"a neighbouring host": {"Origin": "https://www.purser.test", "Sec-Fetch-Site": "same-site"},
			"no origin to tell":   {"Sec-Fetch-Site": "cross-site"},
			"a hidden origin":     {"Origin": "null"},
		} {
			for _, method := range []string{"POST", "DELETE"} {
				got := admin.send(t, ask{method: method, path: "/asynqmon/api/queues/email:pause", header: header})
				if got.status != 403 {
					t.Errorf("%s from %s: %d", method, name, got.status)
				}
			}
		}
	})
}
