package api

import (
	"strings"
	"testing"

	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

// TestWhoMayOpenOperatorsPages asks for every address that is not for everybody, as everybody.
func TestWhoMayOpenOperatorsPages(t *testing.T) {
	type row struct {
		method, path                   string
		stranger, staff, viewer, admin int
	}
	rows := []row{
		{"POST", "/operator/jobs/{id}/retry", 401, 403, 403, 403}, // an admin without a token
		{"GET", "/asynqmon", 303, 403, 200, 200},
		{"HEAD", "/asynqmon", 303, 403, 200, 200},
		{"GET", "/asynqmon/", 303, 403, 200, 200},
		{"GET", "/asynqmon/queues/email", 303, 403, 200, 200},
		{"GET", "/asynqmon/api/queues", 401, 403, 200, 200},
		{"GET", "/asynqmon/static/../api/queues", 401, 403, 200, 200},
		{"GET", "/asynqmon/static/js/main.5adda2da.chunk.js", 401, 403, 200, 200},
		{"POST", "/asynqmon/api/queues/email:pause", 401, 403, 403, 204},
		{"POST", "/asynqmon/api/queues/email:resume", 401, 403, 403, 204},
		{"POST", "/asynqmon/api/queues/email/active_tasks:cancel_all", 401, 403, 403, 204},
		{"POST", "/asynqmon/api/queues/email/archived_tasks:run_all", 401, 403, 403, 200},
		{"DELETE", "/asynqmon/api/queues/email/archived_tasks:delete_all", 401, 403, 403, 200},
		{"DELETE", "/asynqmon/api/queues/email", 401, 403, 403, 204},
		{"PUT", "/asynqmon/api/queues/email", 405, 405, 405, 405},
		{"GET", "/mailbox", 303, 403, 200, 200},
		{"GET", "/mailbox/{id}", 303, 403, 404, 404},
		{"GET", "/mailbox/{id}/html", 303, 403, 404, 404},
		{"GET", "/demo", 404, 404, 404, 404},
		{"GET", "/demo/terms", 404, 404, 404, 404},
		{"GET", "/demo/privacy", 404, 404, 404, 404},
		{"GET", "/demo/logo.svg", 404, 404, 404, 404},
		{"GET", "/demo/webhooks", 404, 404, 404, 404},
		{"POST", "/demo/webhooks", 404, 404, 404, 404},
	}
	for _, p := range pages {
		if p.who == anyone || strings.Contains(p.path, "*") {
			continue
		}
		asked := false
		for _, r := range rows {
			asked = asked || (r.method == p.method && r.path == p.path)
		}
		if !asked {
			t.Errorf("%s %s is for %s, and nobody has tried", p.method, p.path, p.who)
		}
	}
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d, _ := withRedis(t, s, func(c *Config) { c.Mailbox = true })
		for _, who := range []string{"stranger", "staff", models.RoleViewer, models.RoleAdmin} {
			b := d.signedIn(t, who)
			for _, r := range rows {
				want := map[string]int{"stranger": r.stranger, "staff": r.staff, models.RoleViewer: r.viewer, models.RoleAdmin: r.admin}[who]
				got := b.send(t, ask{method: r.method, path: strings.ReplaceAll(r.path, "{id}", "x"), header: screenHeader})
				if got.status != want {
					t.Errorf("%s as %s: %d %s, want %d", r.method+" "+r.path, who, got.status, got.body, want)
				}
				if to := got.header.Get("Location"); got.status == 303 && !strings.HasPrefix(to, "/operator?next=%2F") {
					t.Errorf("%s as %s: sent to %q", r.path, who, to)
				}
				if got.header.Get("Cache-Control") != "no-store" && got.status != 200 {
					t.Errorf("%s as %s: Cache-Control %q", r.path, who, got.header.Get("Cache-Control"))
				}
			}
		}
		// The same page, wherever else it came from, changes nothing.
		admin := &browser{d: d, cookies: map[string]string{}}
		token, _, err := s.SignInOperator(t.Context(), models.RoleAdmin+"@example.com", testPassword)
		if err != nil {
			t.Fatal(err)
		}
		admin.cookies[d.cookieName(sessionCookie)] = token
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
