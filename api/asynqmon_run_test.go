package api

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/jobs/redistest"
	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

// bury lets a job die of one attempt.
func bury(t testing.TB, s *models.Store, job *models.Job, reason string) {
	t.Helper()
	kind, err := jobs.KindOf(job.Kind)
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.Claim(t.Context(), job.ID, job.Epoch, kind)
	if err != nil || c == nil {
		t.Fatalf("claim %+v: %v", c, err)
	}
	if v, err := s.Fail(t.Context(), c, jobs.Permanent(errors.New(reason))); err != nil || !v.Dead {
		t.Fatalf("fail: %+v, %v", v, err)
	}
}

// archive puts the job's task where Asynq puts tasks that died.
func archive(t testing.TB, r *redistest.Redis, task string) *asynq.Inspector {
	t.Helper()
	i := asynq.NewInspectorFromRedisClient(r.Client)
	waitUntil(t, "the task is in the queue", func() bool { return i.ArchiveTask(string(jobs.Email), task) == nil })
	return i
}

func waitUntil(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	late := time.After(10 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

func stateOf(i *asynq.Inspector, task string) string {
	info, err := i.GetTaskInfo(string(jobs.Email), task)
	if err != nil {
		return "gone"
	}
	return info.State.String()
}

func retries(t testing.TB, s *models.Store) int {
	t.Helper()
	return storetest.Count(t, s, `SELECT COUNT(*) FROM history WHERE kind = 'job.retried'`)
}

// screenHeader is what Asynqmon's page sends with its requests.
var screenHeader = map[string]string{"Origin": storetest.PublicURL, "Sec-Fetch-Site": "same-origin"}

func TestRunningAnArchivedTaskRetriesItsPromise(t *testing.T) {
	const base = "/asynqmon/api/queues/email"
	for name, wish := range map[string]func(task string) (path string, body any, status int, want string){
		"single": func(task string) (string, any, int, string) {
			return base + "/archived_tasks/" + task + ":run", nil, 204, ""
		},
		"single, escaped": func(task string) (string, any, int, string) {
			return base + "/%61rchived_tasks/" + task + "%3Arun", nil, 204, ""
		},
		"single, from another list": func(task string) (string, any, int, string) {
			return base + "/retry_tasks/" + task + ":run", nil, 204, ""
		},
		"batch": func(task string) (string, any, int, string) {
			return base + "/archived_tasks:batch_run", map[string]any{"task_ids": []string{"nobody.0", task}}, 200,
				`{"pending_ids":["` + task + `"],"error_ids":["nobody.0"]}`
		},
		"batch, from another list": func(task string) (string, any, int, string) {
			return base + "/scheduled_tasks:batch_run", map[string]any{"task_ids": []string{task}}, 200, `{"pending_ids":["` + task + `"],"error_ids":[]}`
		},
		"all": func(string) (string, any, int, string) {
			return base + "/archived_tasks:run_all", nil, 200, `{"scheduled":1}`
		},
	} {
		t.Run(name, func(t *testing.T) {
			storetest.Each(t, func(t *testing.T, s *models.Store) {
				d, r := withRedis(t, s)
				job := buriedJob(t, d, "no")
				task := jobs.TaskID(job.ID, 0)
				i := archive(t, r, task)
				path, body, status, want := wish(task)

				viewer, admin := d.signedIn(t, models.RoleViewer), d.signedIn(t, models.RoleAdmin)
				viewer.send(t, ask{method: "POST", path: path, body: body, header: screenHeader}).ok(t, 403)
				admin.send(t, ask{method: "POST", path: path, body: body, header: map[string]string{"Origin": "https://evil.example"}}).ok(t, 403)
				if j, err := s.Job(t.Context(), job.ID); err != nil || j.State != models.JobDead || stateOf(i, task) != "archived" {
					t.Fatalf("a refused wish was carried out: %+v, %v, task %s", j, err, stateOf(i, task))
				}

				got := admin.send(t, ask{method: "POST", path: path, body: body, header: screenHeader}).ok(t, status)
				if string(got.body) != want {
					t.Errorf("answered %s, want %s", got.body, want)
				}
				j, err := s.Job(t.Context(), job.ID)
				if err != nil || j.State != models.JobDue || j.Epoch != 1 || j.MaxAttempts <= j.Attempts {
					t.Fatalf("%+v, %v", j, err)
				}
				if n := retries(t, s); n != 1 {
					t.Errorf("%d retries in the history", n)
				}
				if state := stateOf(i, task); state != "gone" {
					t.Errorf("the archived task is %s", state)
				}
				waitUntil(t, "the new copy is in the queue", func() bool { return stateOf(i, jobs.TaskID(job.ID, 1)) == "pending" })
			})
		})
	}
}

func TestACrowdThatRunsOneArchivedTaskRetriesItOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d, r := withRedis(t, s)
		job := buriedJob(t, d, "no")
		task := jobs.TaskID(job.ID, 0)
		i := archive(t, r, task)
		admin := d.signedIn(t, models.RoleAdmin)
		var crowd sync.WaitGroup
		statuses := make([]int, 8)
		for n := range statuses {
			b := &browser{d: d, cookies: map[string]string{d.cookieName(sessionCookie): admin.cookies[d.cookieName(sessionCookie)]}}
			crowd.Go(func() {
				statuses[n] = b.send(t, ask{method: "POST", path: "/asynqmon/api/queues/email/archived_tasks/" + task + ":run", header: screenHeader}).status
			})
		}
		crowd.Wait()
		if !slices.Contains(statuses, 204) {
			t.Errorf("nobody was served: %v", statuses)
		}
		for _, status := range statuses {
			if status != 204 && status != 404 { // 404: the task was gone already
				t.Errorf("statuses %v", statuses)
			}
		}
		if j, err := s.Job(t.Context(), job.ID); err != nil || j.Epoch != 1 || j.State != models.JobDue {
			t.Errorf("%+v, %v", j, err)
		}
		if n := retries(t, s); n != 1 || stateOf(i, task) != "gone" {
			t.Errorf("%d retries, task %s", n, stateOf(i, task))
		}
	})
}

func TestAStaleArchivedTaskChangesNothing(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d, r := withRedis(t, s)
		job := buriedJob(t, d, "no")
		task := jobs.TaskID(job.ID, 0)
		i := archive(t, r, task)
		admin := d.signedIn(t, models.RoleAdmin)
		if err := s.RetryJob(t.Context(), job.ID, "test"); err != nil {
			t.Fatal(err)
		}
		run := ask{method: "POST", path: "/asynqmon/api/queues/email/archived_tasks/" + task + ":run", header: screenHeader}
		admin.send(t, run).ok(t, 204)
		j, err := s.Job(t.Context(), job.ID)
		if err != nil || j.Epoch != 1 || stateOf(i, task) != "gone" {
			t.Fatalf("%+v, %v, task %s", j, err, stateOf(i, task))
		}
		admin.send(t, run).ok(t, 404)

		// A job that is done cannot be wished for, and says so.
		next := jobs.TaskID(job.ID, 1)
		archive(t, r, next)
		storetest.Exec(t, s, `UPDATE jobs SET state = 'done', finished_at = $1 WHERE id = $2`, time.Now().UTC(), job.ID)
		run.path = "/asynqmon/api/queues/email/archived_tasks/" + next + ":run"
		if got := admin.send(t, run).ok(t, 409); string(got.body) != "The job is done." {
			t.Errorf("answered %s", got.body)
		}
		if stateOf(i, next) != "archived" || retries(t, s) != 1 {
			t.Errorf("task %s, %d retries", stateOf(i, next), retries(t, s))
		}
	})
}

func TestRunningOtherTasksIsLeftToAsynqmon(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d, r := withRedis(t, s)
		client, i := asynq.NewClientFromRedisClient(r.Client), asynq.NewInspectorFromRedisClient(r.Client)
		put := func(id string, opts ...asynq.Option) {
			t.Helper()
			if _, err := client.Enqueue(asynq.NewTask("x", nil), append(opts, asynq.TaskID(id), asynq.Queue(string(jobs.Email)))...); err != nil {
				t.Fatal(err)
			}
		}
		put("later", asynq.ProcessIn(time.Hour))
		put("later-too", asynq.ProcessIn(time.Hour))
		put("last", asynq.ProcessIn(time.Hour))
		put("tick") // archived, and no promise of ours
		archive(t, r, "tick")
		admin := d.signedIn(t, models.RoleAdmin)
		send := func(path string, body any, status int) {
			t.Helper()
			admin.send(t, ask{method: "POST", path: "/asynqmon/api/queues/email/" + path, body: body, header: screenHeader}).ok(t, status)
		}
		send("scheduled_tasks/later:run", nil, 204)
		send("scheduled_tasks:batch_run", map[string]any{"task_ids": []string{"later-too"}}, 200)
		send("scheduled_tasks:run_all", nil, 200)
		send("archived_tasks/tick:run", nil, 204)
		for _, task := range []string{"later", "later-too", "last", "tick"} {
			if state := stateOf(i, task); state != "pending" {
				t.Errorf("%s is %s", task, state)
			}
		}
		send("archived_tasks/nobody:run", nil, 404)
		send("archived_tasks:batch_run", "{", 400)
		admin.send(t, ask{method: "POST", path: "/asynqmon/api/queues/nowhere/archived_tasks:run_all", header: screenHeader}).ok(t, 404)
	})
}
