package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"regexp"

	"github.com/gofiber/fiber/v2"
	"github.com/hibiken/asynq"

	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/models"
)

// A taskRun is an operator's wish, on Asynqmon's screens, that tasks run now.
type taskRun struct {
	queue string
	list  string // archived_tasks, retry_tasks, …
	task  string // of a single one
	verb  string // run, batch_run or run_all
}

var runPath = regexp.MustCompile(`^` + queueScreensPath + `/api/queues/([^/]+)/([a-z]+_tasks)(?:/([^/]+))?:(run|batch_run|run_all)$`)

// parseRun recognises the wish, on the decoded path as Asynqmon's own router does.
func parseRun(r *http.Request) (taskRun, bool) {
	m := runPath.FindStringSubmatch(r.URL.Path)
	if m == nil || r.Method != http.MethodPost || (m[3] != "") != (m[4] == "run") {
		return taskRun{}, false
	}
	return taskRun{queue: m[1], list: m[2], task: m[3], verb: m[4]}, true
}

// runTasks carries out the wish where archived tasks are concerned: their jobs are dead, and only the promise can be given a
// new life. What Asynq would do, put the archived task back, is what its recoverer does by itself after a crash, and workers
// therefore take it for a stale copy. Tasks in any other state are left to Asynqmon (false). Archived ones are recognised by
// their state and not by the list that the request names, which may have been shown a while ago.
func (s *Server) runTasks(c *fiber.Ctx, run taskRun, r *http.Request) (handled bool, err error) {
	ctx, by := c.UserContext(), accountOf(c).Actor()
	switch run.verb {
	case "run":
		archived, err := s.archived(run.queue, run.task)
		if err != nil || !archived {
			return false, err
		}
		if err := s.runArchived(ctx, run.queue, run.task, by); err != nil {
			return false, err
		}
		return true, c.SendStatus(fiber.StatusNoContent)
	case "batch_run":
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return false, err
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		return true, s.runBatch(c, run.queue, body, by)
	}
	if run.list != "archived_tasks" {
		return false, nil
	}
	n, err := s.runAllArchived(ctx, run.queue, by)
	if err != nil {
		return false, err
	}
	return true, c.JSON(map[string]int{"scheduled": n})
}

func (s *Server) archived(queue, task string) (bool, error) {
	info, err := s.screens.inspector.GetTaskInfo(queue, task)
	if err != nil {
		return false, queueError(err)
	}
	return info.State == asynq.TaskStateArchived, nil
}

// runBatch answers in the shape of Asynqmon's own batches: some may run and others not.
func (s *Server) runBatch(c *fiber.Ctx, queue string, body []byte, by string) error {
	var wish struct {
		TaskIDs []string `json:"task_ids"`
	}
	if err := json.Unmarshal(body, &wish); err != nil {
		return newProblem(codeMalformed, "")
	}
	done := struct {
		Pending []string `json:"pending_ids"`
		Failed  []string `json:"error_ids"`
	}{[]string{}, []string{}}
	for _, task := range wish.TaskIDs {
		if err := s.runTask(c.UserContext(), queue, task, by); err != nil {
			s.log.Warn("a task was not run", "queue", queue, "task", printable(task), "error", logged(err))
			done.Failed = append(done.Failed, task)
			continue
		}
		done.Pending = append(done.Pending, task)
	}
	return c.JSON(done)
}

func (s *Server) runTask(ctx context.Context, queue, task, by string) error {
	archived, err := s.archived(queue, task)
	if err != nil {
		return err
	}
	if archived {
		return s.runArchived(ctx, queue, task, by)
	}
	return queueError(s.screens.inspector.RunTask(queue, task))
}

// archivedPage is how many archived tasks are listed at a time.
const archivedPage = 100

// runAllArchived returns how many ran. Those that it does not get to before the request's time is up stay where they are.
func (s *Server) runAllArchived(ctx context.Context, queue, by string) (n int, err error) {
	var tasks []string
	for page := 1; ; page++ {
		found, err := s.screens.inspector.ListArchivedTasks(queue, asynq.PageSize(archivedPage), asynq.Page(page))
		if err != nil {
			return 0, queueError(err)
		}
		for _, t := range found {
			tasks = append(tasks, t.ID)
		}
		if len(found) < archivedPage {
			break
		}
	}
	for _, task := range tasks {
		if ctx.Err() != nil {
			break
		}
		if err := s.runArchived(ctx, queue, task, by); err != nil {
			s.log.Warn("a task was not run", "queue", queue, "task", task, "error", logged(err))
			continue
		}
		n++
	}
	return n, nil
}

// runArchived retries the promise of an archived task and then removes the task. Safe to repeat and to race: one retry comes
// of it. A tick of the scheduler has no promise; Asynq may run it.
func (s *Server) runArchived(ctx context.Context, queue, task, by string) error {
	jobID, epoch, err := jobs.ParseTaskID(task)
	if err != nil {
		return queueError(s.screens.inspector.RunTask(queue, task))
	}
	if err := s.retryArchived(ctx, jobID, epoch, by); err != nil {
		return err
	}
	err = s.screens.inspector.DeleteTask(queue, task)
	if errors.Is(err, asynq.ErrTaskNotFound) {
		return nil
	}
	return queueError(err)
}

// errOvertaken rolls a retry back that found the job retried already.
var errOvertaken = errors.New("api: the job was retried meanwhile")

// retryArchived retries the job of an archived task, unless a newer copy of it is on its way already. Whether somebody else was
// quicker shows in the epoch, which every retry raises by one: after ours, which holds the row's lock, it must be one above what
// we decided on.
func (s *Server) retryArchived(ctx context.Context, jobID string, epoch int, by string) error {
	err := s.store.Transaction(ctx, func(ctx context.Context) error {
		before, err := s.store.Job(ctx, jobID)
		if err != nil {
			return err
		}
		if before.FinishedAt == nil && before.Epoch > epoch {
			return nil
		}
		refused := s.store.RetryJob(ctx, jobID, by)
		if refused != nil && models.CodeOf(refused) != models.CodeConflict {
			return refused
		}
		after, err := s.store.Job(ctx, jobID)
		if err != nil {
			return err
		}
		wanted := before.Epoch + 1
		if refused != nil {
			wanted = before.Epoch
		}
		if after.Epoch != wanted {
			return errOvertaken
		}
		return refused
	})
	if errors.Is(err, errOvertaken) {
		return nil
	}
	return err
}
