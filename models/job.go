package models

import (
	"context"
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/purser-dev/purser/jobs"
)

// JobState is the state of a promise.
type JobState string

// The states of a promise. Done, dead and cancelled are final, until an operator retries a dead or cancelled one.
const (
	JobDue       JobState = "due"
	JobRunning   JobState = "running"
	JobDone      JobState = "done"
	JobDead      JobState = "dead"
	JobCancelled JobState = "cancelled"
)

// Job is a promise: work that a committed change has caused, with an alarm clock.
type Job struct {
	ID   string `gorm:"primaryKey"`
	Kind string
	// Args are ids, and yes or no, and nothing else: Asynq and its dashboard show them.
	Args       JobArgs `gorm:"serializer:json"`
	OrderID    *string
	MerchantID *string
	State      JobState
	// Epoch counts how often the job was handed over anew because an earlier task was lost.
	Epoch int
	// Attempts counts claims. It fences late writers, so it is never lowered; a retry by an operator raises MaxAttempts.
	Attempts    int
	MaxAttempts int
	// RunAt is when the next attempt is due.
	RunAt time.Time
	// AlarmAt is when the relay looks after the job: behind RunAt while it is due, the end of the lease while it runs.
	AlarmAt time.Time
	// Alarms counts alarms since the last claim or epoch; each doubles the pause until the next.
	Alarms     int
	CreatedAt  time.Time
	FinishedAt *time.Time // set on done, dead and cancelled
	LastError  *string
	// DedupeKey makes staging the same thing twice a no-op where no other constraint does.
	DedupeKey *string
	// Lazy is for a promise that will most likely be called off before it is due: it is not handed over when it is staged,
	// its alarm goes off at RunAt.
	Lazy bool `gorm:"-"`
}

// JobArgs are the ids that a job works on.
type JobArgs struct {
	Order    string `json:"order,omitempty"`
	Item     string `json:"item,omitempty"`
	Email    string `json:"email,omitempty"`
	Delivery string `json:"delivery,omitempty"`
	Payment  string `json:"payment,omitempty"`
	Callback string `json:"callback,omitempty"`
	Product  string `json:"product,omitempty"`
	jobs.Errand
	Test bool `json:"test,omitempty"`
	// Pool tells that the item's licences come from a pool: nothing has to be made, so nothing has to be read before.
	Pool bool `json:"pool,omitempty"`
	// Trace is the traceparent of what staged the job, while there are traces.
	Trace string `json:"trace,omitempty"`
}

func (j *Job) handover() jobs.Handover {
	args, _ := json.Marshal(j.Args) // a struct of strings and booleans always marshals
	return jobs.Handover{JobID: j.ID, Kind: j.Kind, Epoch: j.Epoch, Args: args, RunAt: j.RunAt}
}

// stage adds a promise to the transaction. The caller sets Args, and OrderID, MerchantID, RunAt and DedupeKey where they apply.
func (t *tx) stage(kind string, j Job) string {
	if j.ID == "" {
		j.ID = newJobID()
	}
	j.Kind, j.State, j.CreatedAt = kind, JobDue, t.now
	if j.RunAt.IsZero() {
		j.RunAt = t.now
	}
	j.Args.Trace = traceOf(t.Statement.Context)
	t.jobs = append(t.jobs, j)
	return j.ID
}

func (t *tx) flushJobs() error {
	if len(t.jobs) == 0 {
		return nil
	}
	rows := make([]map[string]any, 0, len(t.jobs))
	for i := range t.jobs {
		j := &t.jobs[i]
		kind, err := jobs.KindOf(j.Kind)
		if err != nil {
			return err
		}
		j.MaxAttempts = kind.MaxAttempts
		h := j.handover()
		grace := jobs.AlarmAfter(0)
		if j.Lazy {
			grace = 0
		}
		row := map[string]any{
			"id": j.ID, "kind": j.Kind, "args": string(h.Args), "order_id": j.OrderID, "merchant_id": j.MerchantID, "state": j.State,
			"max_attempts": j.MaxAttempts, "run_at": j.RunAt, "created_at": j.CreatedAt, "dedupe_key": j.DedupeKey,
			"alarm_at": t.s.dialect.after(t.s, max(j.RunAt.Sub(t.now), 0)+grace),
		}
		lazy := j.Lazy
		if j.DedupeKey == nil {
			rows = append(rows, row)
			if !lazy {
				t.handovers = append(t.handovers, h)
			}
			continue
		}
		err = t.laterCounted(func(db *gorm.DB) *gorm.DB {
			return db.Table("jobs").Clauses(clause.OnConflict{Columns: []clause.Column{{Name: "dedupe_key"}}, DoNothing: true}).Create(row)
		}, func(n int64) {
			if n == 1 && !lazy { // or else it was staged before: this one does not exist, so nothing is to be handed over
				t.handovers = append(t.handovers, h)
			}
		})
		if err != nil {
			return err
		}
	}
	for some := range slices.Chunk(rows, mostRows) {
		if err := t.later(func(db *gorm.DB) *gorm.DB { return db.Table("jobs").Create(some) }); err != nil {
			return err
		}
	}
	return nil
}

// keep runs fn and marks the job done in the same transaction, unless the claim was given up meanwhile. fn may take the
// order's lock; the job's row is locked after it.
func (s *Store) keep(ctx context.Context, c *Claim, fn func(*tx) error) error {
	return s.write(ctx, func(t *tx) error {
		if err := fn(t); err != nil {
			return err
		}
		return t.finish(c, JobDone, nil)
	})
}

// Keep marks a job done whose work left nothing to write.
func (s *Store) Keep(ctx context.Context, c *Claim) error {
	return s.keep(ctx, c, func(*tx) error { return nil })
}

func (t *tx) finish(c *Claim, state JobState, lastError *string) error {
	return t.laterOne(func(db *gorm.DB) *gorm.DB {
		return db.Exec(`UPDATE jobs SET state = ?, finished_at = ?, last_error = ? WHERE id = ? AND state = 'running' AND attempts = ?`,
			state, t.now, lastError, c.JobID, c.Attempt)
	}, errFenced)
}

// Verdict is what became of a failed attempt.
type Verdict struct {
	// Dead means that there will be no further attempt.
	Dead bool
	// Delay is the pause until the next attempt.
	Delay time.Duration
}

// Fail records a failed attempt: the job becomes due again after its pause, or dead, together with what that means for the
// business. The error's text is kept and shown to operators and to the order's merchant, so it must not hold secrets, personal data, or
// the names and addresses of the installation's servers.
func (s *Store) Fail(ctx context.Context, c *Claim, cause error) (Verdict, error) {
	return s.fail(ctx, c, cause, func(*tx) error { return nil })
}

// fail is Fail with something to write beside it, after the job's row.
func (s *Store) fail(ctx context.Context, c *Claim, cause error, fn func(*tx) error) (Verdict, error) {
	v := Verdict{Dead: jobs.IsPermanent(cause) || c.Attempt >= c.MaxAttempts}
	var ok bool
	if v.Delay, ok = jobs.DelayOf(cause); !ok {
		v.Delay = c.Kind.Backoff(c.Attempt - c.MaxAttempts + c.Kind.MaxAttempts)
	}
	reason := shorten(cause.Error(), 500)
	err := s.write(ctx, func(t *tx) error {
		if !v.Dead {
			if err := t.giveBack(c, v.Delay, &reason); err != nil {
				return err
			}
			return fn(t)
		}
		if err := t.lockOrderOfJob(c.JobID); err != nil {
			return err
		}
		if err := t.finish(c, JobDead, &reason); err != nil {
			return err
		}
		if err := fn(t); err != nil {
			return err
		}
		return t.consequence(c.Kind.Name, c.Args, reason, actorWorker)
	})
	return v, err
}

// lockOrderOfJob locks the order that a job belongs to, if it does, so that the job's row is locked after it.
func (t *tx) lockOrderOfJob(id string) error {
	q := t.Model(&Order{}).Where("id = (SELECT order_id FROM jobs WHERE id = ?)", id)
	var ids []string
	return t.s.dialect.lock(q, "").Pluck("id", &ids).Error
}

// GiveBack returns a claimed job that was not performed, through no fault of its own: it is due after a pause, and the attempt does not
// count.
func (s *Store) GiveBack(ctx context.Context, c *Claim, pause time.Duration) error {
	return s.write(ctx, func(t *tx) error {
		// Attempts is the fence and never lowered; the attempt is given back by allowing one more.
		if err := t.Exec(`UPDATE jobs SET max_attempts = max_attempts + 1 WHERE id = ? AND state = 'running' AND attempts = ?`, c.JobID, c.Attempt).Error; err != nil {
			return err
		}
		return t.giveBack(c, pause, nil)
	})
}

func (t *tx) giveBack(c *Claim, delay time.Duration, reason *string) error {
	d := t.s.dialect
	res := t.Exec(`UPDATE jobs SET state = 'due', last_error = COALESCE(?, last_error), run_at = ?, alarm_at = ?, alarms = 0
		WHERE id = ? AND state = 'running' AND attempts = ?`,
		reason, d.after(t.s, delay), d.after(t.s, delay+jobs.AlarmAfter(0)), c.JobID, c.Attempt)
	if res.Error != nil {
		return res.Error
	}
	if res.RowsAffected == 0 {
		return errFenced
	}
	return nil
}

// IsFenced reports that a result was refused because the claim had been given up; somebody else has the job.
func IsFenced(err error) bool { return CodeOf(err) == CodeFenced }

// Job returns one promise.
func (s *Store) Job(ctx context.Context, id string) (*Job, error) {
	if !jobID.MatchString(id) {
		return nil, notFound("job")
	}
	var j Job
	err := s.read(ctx).Where("id = ?", id).Take(&j).Error
	return &j, orNotFound(err, "job")
}

// jobID is the shape of a promise's id.
var jobID = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// JobFilter narrows a listing of jobs; empty fields match everything.
type JobFilter struct {
	State JobState
	Kind  string
	Order string
	Limit int
}

// Jobs lists promises, newest first.
func (s *Store) Jobs(ctx context.Context, f JobFilter) ([]Job, error) {
	q := s.read(ctx).Order("id DESC").Limit(min(max(f.Limit, 1), 1000))
	for column, v := range map[string]string{"state": string(f.State), "kind": f.Kind, "order_id": f.Order} {
		if v != "" {
			q = q.Where(column+" = ?", v)
		}
	}
	if f.State == JobDue || f.State == JobRunning {
		q = q.Where("finished_at IS NULL") // of which there is an index
	}
	var out []Job
	return out, q.Find(&out).Error
}

// shorten cuts s to at most n bytes at a rune's edge.
func shorten(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xC0 == 0x80 {
		n--
	}
	return s[:n] + "…"
}

var errNoJob = errors.New("models: no such job")

// lockJob reads a job's row and locks it.
func (t *tx) lockJob(id string) (*Job, error) {
	var j Job
	err := t.s.dialect.lock(t.DB, "").Where("id = ?", id).Take(&j).Error
	if errors.Is(err, gorm.ErrRecordNotFound) {
		return nil, errNoJob
	}
	return &j, err
}
