package jobs

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/hibiken/asynq"
)

// A Handover is one promise on its way to Redis. It carries ids and nothing else, because everything in it can be read in
// Redis and on Asynqmon's screens.
type Handover struct {
	JobID string
	Kind  string
	// Epoch counts how often the job was handed over anew. One epoch handed over twice is a no-op.
	Epoch int
	Args  json.RawMessage
	// RunAt is when the job is due; a time that has passed means at once.
	RunAt time.Time
}

// Errand is whose server a job calls, as its task tells before the job is claimed. Both are empty for a job that calls none.
type Errand struct {
	// Server is the id of what the server belongs to: a webhook endpoint, a product, a payment method.
	Server   string `json:"server,omitempty"`
	Merchant string `json:"merchant,omitempty"`
}

// ErrandOf reads where a task's job goes.
func ErrandOf(payload []byte) (e Errand) {
	_ = json.Unmarshal(payload, &e) // a task of ours is an object of strings
	return e
}

// TaskID is the id under which Asynq knows one handover of a job.
func TaskID(jobID string, epoch int) string { return jobID + "." + strconv.Itoa(epoch) }

// ParseTaskID is the inverse of TaskID.
func ParseTaskID(id string) (jobID string, epoch int, err error) {
	jobID, n, ok := strings.Cut(id, ".")
	if ok {
		epoch, err = strconv.Atoi(n)
	}
	if !ok || err != nil || jobID == "" || epoch < 0 {
		return "", 0, fmt.Errorf("jobs: %q is not a task id of ours", id)
	}
	return jobID, epoch, nil
}

// rowDecides is the MaxRetry that Asynq is given: high, because the promise's row decides how often a job is tried.
const rowDecides = 1000

func (h Handover) task() (*asynq.Task, []asynq.Option, error) {
	kind, err := KindOf(h.Kind)
	if err != nil {
		return nil, nil, err
	}
	opts := []asynq.Option{
		asynq.TaskID(TaskID(h.JobID, h.Epoch)),
		asynq.Queue(string(kind.Queue)),
		asynq.MaxRetry(rowDecides),
		asynq.Timeout(kind.TaskTimeout()),
		asynq.Retention(0),
	}
	if time.Until(h.RunAt) > 0 {
		// Asynq keeps whole seconds, cut off: rounded up, or the job would run before it is due.
		opts = append(opts, asynq.ProcessAt(h.RunAt.Add(time.Second-1)))
	}
	return asynq.NewTask(kind.Name, h.Args), opts, nil
}

// TickType is the type of the task by which Asynq's scheduler asks for a periodic kind.
func TickType(kind string) string { return "tick:" + kind }

// KindOfTick returns the periodic kind that a tick asks for.
func KindOfTick(taskType string) (Kind, bool) {
	name, ok := strings.CutPrefix(taskType, "tick:")
	if !ok {
		return Kind{}, false
	}
	k, err := KindOf(name)
	return k, err == nil && k.Every > 0
}

// TickTask is the task that stands for a tick of a periodic kind. Ticks are not promises: one that is lost is made good by the
// next. The uniqueness lock keeps them from piling up while no worker runs: two a minute wait then. It expires, because a worker that
// died with a tick in hand must not hold up the following ones for longer.
func TickTask(kind Kind) (*asynq.Task, []asynq.Option) {
	return asynq.NewTask(TickType(kind.Name), nil), []asynq.Option{
		asynq.Queue(string(Maintenance)),
		asynq.MaxRetry(rowDecides), // Asynq would archive the tick of a worker that died, for an operator who has nothing to do there
		asynq.Timeout(TickTimeout + writeMargin),
		asynq.Retention(0),
		asynq.Unique(tickLock),
	}
}

const tickLock = 30 * time.Second

// TickTimeout bounds the work on one tick.
const TickTimeout = 5 * time.Second
