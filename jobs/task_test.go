package jobs_test

import (
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/jobs/redistest"
)

func TestTaskIDs(t *testing.T) {
	t.Parallel()
	const job = "0198c0de-0000-7000-8000-000000000001"
	for _, epoch := range []int{0, 1, 42} {
		id, n, err := jobs.ParseTaskID(jobs.TaskID(job, epoch))
		if err != nil || id != job || n != epoch {
			t.Errorf("epoch %d: %q, %d, %v", epoch, id, n, err)
		}
	}
	for _, bad := range []string{"", ".", ".1", job, job + ".", job + ".x", job + ".-1", job + ".1.2", "tick:orders.remind"} {
		if id, n, err := jobs.ParseTaskID(bad); err == nil {
			t.Errorf("%q was read as %q, %d", bad, id, n)
		}
	}
}

func TestTicks(t *testing.T) {
	t.Parallel()
	for _, k := range jobs.Kinds {
		found, ok := jobs.KindOfTick(jobs.TickType(k.Name))
		if ok != (k.Every > 0) {
			t.Errorf("%s: tick %v, period %v", k.Name, ok, k.Every)
		}
		if ok && found.Name != k.Name {
			t.Errorf("the tick of %s is one of %s", k.Name, found.Name)
		}
		if _, ok := jobs.KindOfTick(k.Name); ok {
			t.Errorf("the task %s itself was taken for a tick", k.Name)
		}
		if _, err := jobs.KindOf(jobs.TickType(k.Name)); err == nil {
			t.Errorf("the tick of %s was taken for a job", k.Name)
		}
	}
	if _, ok := jobs.KindOfTick("tick:order.frobnicate"); ok {
		t.Error("a tick of an unknown kind was found")
	}
}

func TestATickIsEnqueuedOnceWhileItWaits(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, r *redistest.Redis) {
		client, inspector := asynq.NewClientFromRedisClient(r.Client), asynq.NewInspectorFromRedisClient(r.Client)
		var periodic int
		for _, k := range jobs.Kinds {
			if k.Every == 0 {
				continue
			}
			periodic++
			task, opts := jobs.TickTask(k)
			if _, err := client.Enqueue(task, opts...); err != nil {
				t.Fatalf("%s: %v", k.Name, err)
			}
			if _, err := client.Enqueue(task, opts...); err == nil {
				t.Errorf("two ticks of %s wait at once", k.Name)
			}
		}
		tasks, err := inspector.ListPendingTasks(string(jobs.Maintenance))
		if err != nil {
			t.Fatal(err)
		}
		if len(tasks) != periodic {
			t.Errorf("%d ticks wait, want %d", len(tasks), periodic)
		}
		for _, task := range tasks {
			if len(task.Payload) > 0 || task.Timeout < time.Second || task.Retention != 0 {
				t.Errorf("%+v", task)
			}
		}
	})
}
