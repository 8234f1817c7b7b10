package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/hibiken/asynq"

	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

func TestAsynqmonRunsUnderAStrictPolicy(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d, _ := withRedis(t, s)
		admin := d.signedIn(t, models.RoleAdmin)
		page := admin.get(t, "/asynqmon/queues/email?status=archived").ok(t, 200)
		policy := page.header.Get("Content-Security-Policy")
		if strings.Contains(policy, "unsafe") || !strings.HasPrefix(policy, "default-src 'none'; ") {
			t.Errorf("policy %s", policy)
		}
		inline := regexp.MustCompile(`(?s)<script>(.*?)</script>`).FindAllSubmatch(page.body, -1)
		if len(inline) == 0 {
			t.Fatalf("not Asynqmon's page: %s", page.body)
		}
		for _, script := range inline {
			sum := sha256.Sum256(script[1])
			if !strings.Contains(policy, "'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'") {
				t.Errorf("the policy blocks %s", script[1])
			}
		}
		nonce := regexp.MustCompile(`<meta property="csp-nonce" content="([^"]+)">`).FindSubmatch(page.body)
		if nonce == nil || !strings.Contains(policy, "'nonce-"+string(nonce[1])+"'") {
			t.Errorf("nonce %s in %s", nonce, policy)
		}
		if again := admin.get(t, "/asynqmon"); bytes.Contains(again.body, nonce[1]) {
			t.Error("the nonce is the same again")
		}
		if bytes.Contains(page.body, []byte("http://")) || bytes.Contains(page.body, []byte("https://")) {
			t.Errorf("loads from elsewhere: %s", page.body)
		}
		for _, m := range regexp.MustCompile(`(?:src|href)="([^"]+)"`).FindAllSubmatch(page.body, -1) {
			got := admin.get(t, string(m[1])).ok(t, 200)
			if strings.Contains(got.header.Get("Content-Type"), "html") {
				t.Errorf("%s is missing", m[1])
			}
			if strings.Contains(string(m[1]), "/static/") != strings.Contains(got.header.Get("Cache-Control"), "immutable") {
				t.Errorf("%s: Cache-Control %q", m[1], got.header.Get("Cache-Control"))
			}
		}
		if got := admin.get(t, "/asynqmon/static/media/logo-color.c2b0c1f3.svg").ok(t, 200); got.header.Get("Content-Type") != "image/svg+xml" {
			t.Errorf("the logo is %q", got.header.Get("Content-Type"))
		}
		queues := admin.get(t, "/asynqmon/api/queues").ok(t, 200)
		if queues.header.Get("Cache-Control") != "no-store" || queues.header.Get("Content-Type") != "application/json" || !bytes.Contains(queues.body, []byte(`"queue":"email"`)) {
			t.Errorf("%v %s", queues.header, queues.body)
		}
		if !bytes.Contains(page.body, []byte(`FLAG_READ_ONLY="false"`)) {
			t.Error("an admin only reads")
		}
		if got := d.signedIn(t, models.RoleViewer).get(t, "/asynqmon").ok(t, 200); !bytes.Contains(got.body, []byte(`FLAG_READ_ONLY="true"`)) {
			t.Error("a viewer is shown buttons")
		}
	})
}

func TestGhostsDoNotHideTheQueues(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d, r := withRedis(t, s)
		ctx := t.Context()
		client := asynq.NewClientFromRedisClient(r.Client)
		for _, id := range []string{"a", "b", "c"} {
			if _, err := client.EnqueueContext(ctx, asynq.NewTask("x", nil), asynq.TaskID(id), asynq.Queue(string(jobs.Email))); err != nil {
				t.Fatal(err)
			}
		}
		i := asynq.NewInspectorFromRedisClient(r.Client)
		for _, id := range []string{"b", "c"} {
			if err := i.ArchiveTask(string(jobs.Email), id); err != nil {
				t.Fatal(err)
			}
		}
		for _, gone := range []string{"a", "b"} {
			if err := r.Client.Del(ctx, "asynq:{email}:t:"+gone).Err(); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := i.GetQueueInfo(string(jobs.Email)); err == nil {
			t.Fatal("Asynq has learned to live with ghosts; this guard is not needed any more")
		}
		viewer := d.signedIn(t, models.RoleViewer)
		for _, path := range []string{"/asynqmon/api/queues", "/asynqmon/api/queues/email", "/asynqmon/api/queues/email/pending_tasks", "/asynqmon/api/queues/email/archived_tasks"} {
			viewer.get(t, path).ok(t, 200)
		}
		info, err := i.GetQueueInfo(string(jobs.Email))
		if err != nil || info.Pending != 0 || info.Archived != 1 || stateOf(i, "c") != "archived" {
			t.Errorf("%+v, %v: dropped too much or too little", info, err)
		}
		// What is not a ghost's doing stays an error, and is one of whoever asks.
		viewer.get(t, "/asynqmon/api/queues/nowhere").ok(t, 404)
		viewer.get(t, "/asynqmon/api/queues/email/tasks/nobody.0").ok(t, 404)
		viewer.get(t, "/asynqmon/api/metrics").ok(t, 404)
		admin := d.signedIn(t, models.RoleAdmin)
		for _, want := range []int{204, 409} {
			admin.send(t, ask{method: "POST", path: "/asynqmon/api/queues/email:pause", header: screenHeader}).ok(t, want)
		}
		for _, want := range []int{204, 409} {
			admin.send(t, ask{method: "POST", path: "/asynqmon/api/queues/email:resume", header: screenHeader}).ok(t, want)
		}
	})
}

func TestAsynqmonWithoutRedisIsAFriendlyPage(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d, r := withRedis(t, s)
		admin := d.signedIn(t, models.RoleAdmin)
		r.Stop()
		page := admin.get(t, "/asynqmon").ok(t, 503)
		if !bytes.Contains(page.body, []byte("<h1>Unavailable</h1>")) || page.header.Get("Retry-After") == "" {
			t.Errorf("%v %s", page.header, page.body)
		}
		if got := admin.get(t, "/asynqmon/api/queues").ok(t, 503); !strings.HasPrefix(string(got.body), "The queue (Redis) does not answer.") {
			t.Errorf("%s", got.body)
		}
		admin.send(t, ask{method: "POST", path: "/asynqmon/api/queues/email/archived_tasks:run_all", header: screenHeader}).ok(t, 503)
		admin.get(t, "/operator").ok(t, 200)

		// A Redis that comes back empty needs nothing but its queues' names.
		r.StartEmpty(t)
		if err := jobs.RegisterQueues(context.Background(), r.Client); err != nil {
			t.Fatal(err)
		}
		waitUntil(t, "the queues are shown again", func() bool { return admin.get(t, "/asynqmon/api/queues/email").status == 200 })
	})
}

func TestWithoutAQueueThereIsStillAPage(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s)
		d.signedIn(t, models.RoleAdmin).get(t, "/asynqmon").ok(t, 503)
	})
}

func TestAPanicOfAsynqmonIsAnError(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d, _ := withRedis(t, s)
		d.screens.full = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("at the disco") })
		got := d.signedIn(t, models.RoleAdmin).get(t, "/asynqmon/api/queues").ok(t, 500)
		if bytes.Contains(got.body, []byte("disco")) {
			t.Errorf("tells: %s", got.body)
		}
		if log := d.log.String(); !strings.Contains(log, "Asynqmon panicked") || strings.Contains(log, "disco") {
			t.Errorf("the log does not tell that it panicked, or tells what the panic said: %s", log)
		}
	})
}
