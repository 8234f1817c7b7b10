package handlers

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/hibiken/asynq"

	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/models"
)

// Outcome is how an attempt ended, for the metrics.
type Outcome string

// The outcomes of an attempt.
const (
	OutcomeKept      Outcome = "kept"
	OutcomeFailed    Outcome = "failed" // will be tried again
	OutcomeDead      Outcome = "dead"
	OutcomeGivenBack Outcome = "given_back"
	OutcomePutOff    Outcome = "put_off"   // not begun, because the server that it calls is slow or full
	OutcomeSkipped   Outcome = "skipped"   // somebody else has or had the job
	OutcomeFenced    Outcome = "fenced"    // the result came after the claim was given up
	OutcomeUnwritten Outcome = "unwritten" // the database did not take the result; the job is done again after its lease
)

// result is what a performer returns: how its success is to be written, or the error and how that is.
type result struct {
	keep func(context.Context) error
	err  error
	// fail records the failure; nil means Store.Fail, which is right where there is nothing else to record.
	fail func(context.Context, error) (models.Verdict, error)
	// unmade means that the attempt did not come to anything, through no fault of the job: it is given back and not counted.
	unmade bool
}

func kept(keep func(context.Context) error) result { return result{keep: keep} }
func failed(err error) result                      { return result{err: err} }

// readTimeout bounds how long a performer reads what it needs to know, so that a connection that fell silent does not cost it all of the
// attempt's time.
const readTimeout = 5 * time.Second

func reading(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, readTimeout)
}

// unread is the result of an attempt that could not read what it needs to know from the store. The text of such an error may name the
// database's address or quote a row, and what we pass on is kept in Redis.
func (w *Worker) unread(c *models.Claim, err error) result {
	if models.Unavailable(err) || unanswered(err) && c.Kind.Every == 0 {
		w.Log.Warn("the database does not answer", "job", c.JobID, "kind", c.Kind.Name, "err", models.ErrorText(err))
		return result{err: errNoDatabase, unmade: true}
	}
	if jobs.IsPermanent(err) || models.CodeOf(err) != "" {
		return failed(err)
	}
	return failed(errors.New(models.ErrorText(err)))
}

// unanswered reports that the database is away, or did not answer in the time that it was given.
func unanswered(err error) bool {
	return models.Unavailable(err) || errors.Is(err, context.DeadlineExceeded)
}

type performer func(*Worker, context.Context, *models.Claim) result

// performers has the performer of every kind.
var performers = map[string]performer{
	jobs.KindFulfil:    (*Worker).fulfil,
	jobs.KindFillPool:  (*Worker).fillPool,
	jobs.KindSendEmail: (*Worker).sendEmail,
	jobs.KindReminder:  (*Worker).sendEmail,
	jobs.KindDeliver:   (*Worker).deliver,
	jobs.KindSettle:    (*Worker).settle,
	jobs.KindCallback:  (*Worker).callback,
	jobs.KindRemind:    (*Worker).remind,
	jobs.KindExpire:    (*Worker).expire,
	jobs.KindSweep:     (*Worker).sweep,
}

// retryError carries the row's verdict to Asynq, so that both wait equally long.
type retryError struct {
	err     error
	delay   time.Duration
	counted bool
}

func (e *retryError) Error() string { return e.err.Error() }
func (e *retryError) Unwrap() error { return e.err }

const storePause = 2 * time.Second // before a task is taken up again whose job could not be claimed

// retryDelay is how long Asynq waits: as long as the row. It keeps whole seconds, cut off, so they are rounded up. Errors of Asynq's own
// say nothing about the row; the worker that takes the task up again will find out.
func retryDelay(_ int, err error, _ *asynq.Task) time.Duration {
	delay := storePause
	if r, ok := errors.AsType[*retryError](err); ok {
		delay = r.delay
	}
	if delay > 0 {
		delay += time.Second - 1
	}
	return delay
}

func isFailure(err error) bool {
	r, ok := errors.AsType[*retryError](err)
	return !ok || r.counted
}

// process is one task: a tick, or one attempt at a promise. A panic in it, outside the performer, leaves the job to its lease.
func (w *Worker) process(ctx context.Context, task *asynq.Task) (err error) {
	defer func() {
		if p := recover(); p != nil {
			// Asynq would recover too, but it would print what the panic says, which may be a customer's.
			w.logPanic(p, "task", task.Type())
			err = &retryError{err: errPanic, delay: storePause}
		}
	}()
	if kind, ok := jobs.KindOfTick(task.Type()); ok {
		w.tick(ctx, kind)
		return nil
	}
	kind, err := jobs.KindOf(task.Type())
	if err != nil {
		return fmt.Errorf("%w: %w", err, asynq.SkipRetry)
	}
	taskID, _ := asynq.GetTaskID(ctx)
	jobID, epoch, err := jobs.ParseTaskID(taskID)
	if err != nil {
		return fmt.Errorf("%w: %w", err, asynq.SkipRetry)
	}
	if e := jobs.ErrandOf(task.Payload()); e.Server != "" {
		p, delay := w.turnstiles[kind.Queue].enter(ctx, e.Server, e.Merchant)
		if p == nil {
			w.observe(kind.Name, OutcomePutOff, 0)
			return &retryError{err: errPutOff, delay: delay}
		}
		defer p.leave()
		ctx = withPass(ctx, p)
	}
	claim, err := w.claim(ctx, jobID, epoch, kind)
	if err != nil {
		// Not counted: nobody has tried the job. Its text may name the database's address, so it stays out of Redis.
		w.Log.Warn("job not claimed; the database does not answer", "job", jobID, "kind", kind.Name, "err", models.ErrorText(err))
		return &retryError{err: errNoDatabase, delay: storePause}
	}
	if claim == nil {
		w.observe(kind.Name, OutcomeSkipped, 0)
		return nil
	}
	start := time.Now()
	if w.ObserveWait != nil {
		w.ObserveWait(kind.Name, max(start.Sub(claim.RunAt), 0)) // the clocks of two machines may differ
	}
	ctx, ended := w.traceAttempt(ctx, claim)
	outcome, err := w.attempt(ctx, claim, start.Add(kind.TaskTimeout()))
	ended(outcome, err)
	w.observe(kind.Name, outcome, time.Since(start))
	return err
}

var (
	errNoDatabase = errors.New("the database does not answer")
	errPanic      = errors.New("the job panicked; the worker's log has the stack")
	errPutOff     = errors.New("not begun yet: the server that the job calls is slow, or enough are calling it")
)

func (w *Worker) logPanic(p any, args ...any) {
	w.Log.Error("a job panicked", append(args, "panic", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))...)
}

func (w *Worker) claim(ctx context.Context, id string, epoch int, kind jobs.Kind) (*models.Claim, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	return w.Store.Claim(ctx, id, epoch, kind)
}

func (w *Worker) observe(kind string, o Outcome, took time.Duration) {
	if w.Observe != nil {
		w.Observe(kind, o, took)
	}
}

// attempt performs a claimed job and writes what came of it, at the latest when the claim's own time is over.
func (w *Worker) attempt(ctx context.Context, c *models.Claim, until time.Time) (Outcome, error) {
	r := w.perform(ctx, c, performers[c.Kind.Name])
	write := func(fn func(context.Context) error) error { return w.write(context.WithoutCancel(ctx), until, fn) }
	// Said with each line, and not prepared by With, which would format it for every attempt that there is nothing to say about.
	about := func(args ...any) []any {
		return append([]any{"job", c.JobID, "kind", c.Kind.Name, "attempt", c.Attempt}, args...)
	}
	if r.err == nil {
		err := write(r.keep)
		switch {
		case err == nil:
			w.Log.Debug("job kept", about()...)
			return OutcomeKept, nil
		case models.IsFenced(err):
			w.Log.Warn("the result came too late; another worker has the job", about()...)
			return OutcomeFenced, nil
		case unanswered(err):
			w.Log.Warn("the result could not be written; the job will be done again after its lease", about("err", models.ErrorText(err))...)
			return OutcomeUnwritten, nil
		}
		r = failed(errors.New("the result was refused: " + models.ErrorText(err)))
	}
	if pause := storePause; r.unmade || w.base.Err() != nil {
		if w.base.Err() != nil {
			pause, r.err = 0, errShutdown
		}
		if err := write(func(ctx context.Context) error { return w.Store.GiveBack(ctx, c, pause) }); err != nil {
			w.Log.Warn("job not given back; its lease will end", about("err", models.ErrorText(err))...)
		}
		return OutcomeGivenBack, &retryError{err: r.err, delay: pause}
	}
	if r.fail == nil {
		r.fail = func(ctx context.Context, err error) (models.Verdict, error) { return w.Store.Fail(ctx, c, err) }
	}
	var verdict models.Verdict
	err := write(func(ctx context.Context) (err error) {
		verdict, err = r.fail(ctx, r.err)
		return err
	})
	switch {
	case models.IsFenced(err):
		return OutcomeFenced, nil
	case err != nil:
		w.Log.Warn("the failure could not be written; the job will be done again after its lease", about("err", models.ErrorText(err), "failure", models.LogText(r.err))...)
		return OutcomeUnwritten, nil
	case verdict.Dead:
		w.Log.Error("job is dead", about("err", models.LogText(r.err))...)
		return OutcomeDead, fmt.Errorf("%w: %w", r.err, asynq.SkipRetry)
	}
	w.Log.Warn("job failed; it will be tried again", about("err", models.LogText(r.err), "pause", verdict.Delay.String())...)
	return OutcomeFailed, &retryError{err: r.err, delay: verdict.Delay, counted: true}
}

// maxWritePause is the longest pause between two tries to write a result.
const maxWritePause = time.Second

// write tries again while the database does not answer, until the time is over: each try is short, because it may have met a connection
// that fell silent, and all of them together are long, because a result that is lost has to be made again, after the claim's lease, and
// outside that shows as a second copy. When the worker has to give its jobs back, there is time for one more try.
func (w *Worker) write(ctx context.Context, until time.Time, fn func(context.Context) error) error {
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	defer context.AfterFunc(w.base, func() { time.AfterFunc(jobs.WriteTimeout(), cancel) })()
	for pause := maxWritePause / 16; ; pause = min(2*pause, maxWritePause) {
		try, done := context.WithTimeout(ctx, jobs.WriteTimeout())
		err := fn(try)
		done()
		if err == nil || !unanswered(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
		}
	}
}

// perform runs a performer within its kind's timeout. A panic is a failure like any other.
func (w *Worker) perform(ctx context.Context, c *models.Claim, perform performer) (r result) {
	ctx, cancel := context.WithTimeout(ctx, c.Kind.Timeout)
	defer cancel()
	// Not by Asynq's own base context: when that ends, Asynq writes its own failure and does not wait for ours.
	defer context.AfterFunc(w.base, cancel)()
	defer func() {
		if p := recover(); p != nil {
			w.logPanic(p, "job", c.JobID, "kind", c.Kind.Name)
			r = failed(errPanic)
		}
	}()
	if perform == nil {
		return failed(fmt.Errorf("this version does not perform jobs of kind %s", c.Kind.Name))
	}
	return perform(w, ctx, c)
}

// tick stages the periodic job of the present period if there is anything for it to do. Safe to repeat because the job is
// unique for its kind and period. It fails by a line in the log only: the next tick makes good a lost one, and Asynq would keep it for
// operators to see.
func (w *Worker) tick(ctx context.Context, kind jobs.Kind) {
	ctx, cancel := context.WithTimeout(ctx, jobs.TickTimeout)
	defer cancel()
	due, err := w.Store.Due(ctx, kind)
	if err == nil && due {
		err = w.Store.StageTick(ctx, kind, time.Now())
	}
	if err != nil {
		w.Log.Warn("a tick was lost; the next one makes it good", "kind", kind.Name, "err", models.ErrorText(err))
	}
}

// keepNothing is the result of a job whose work turned out to be done already.
func (w *Worker) keepNothing(c *models.Claim) result {
	return kept(func(ctx context.Context) error { return w.Store.Keep(ctx, c) })
}
