package handlers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/models"
)

// newTestWorker is one that serves nothing.
func newTestWorker(t *testing.T) *Worker {
	t.Helper()
	w := &Worker{Config: Config{Log: slog.New(slog.DiscardHandler)}}
	w.base, w.giveBack = context.WithCancel(context.Background())
	t.Cleanup(w.giveBack)
	return w
}

func claimOf(timeout time.Duration) *models.Claim {
	return &models.Claim{JobID: "job", Kind: jobs.Kind{Name: jobs.KindSendEmail, Timeout: timeout}, Attempt: 1, MaxAttempts: 3}
}

func TestEveryKindHasAPerformer(t *testing.T) {
	t.Parallel()
	for _, k := range jobs.Kinds {
		if performers[k.Name] == nil {
			t.Errorf("nobody performs %s", k.Name)
		}
	}
	if len(performers) != len(jobs.Kinds) {
		t.Errorf("%d performers for %d kinds", len(performers), len(jobs.Kinds))
	}
}

func TestPerform(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		perform performer
		want    string // the error; empty for a success
	}{
		{"success", func(*Worker, context.Context, *models.Claim) result {
			return kept(func(context.Context) error { return nil })
		}, ""},
		{"failure", func(*Worker, context.Context, *models.Claim) result { return failed(errors.New("no")) }, "no"},
		{"panic", func(*Worker, context.Context, *models.Claim) result { panic("ada@example.com") }, errPanic.Error()},
		{"runtime panic", func(_ *Worker, _ context.Context, c *models.Claim) result {
			var none []int
			return failed(fmt.Errorf("%d", none[c.Attempt]))
		}, errPanic.Error()},
		{"nobody", nil, "this version does not perform jobs of kind email.send"},
		{"timeout", func(_ *Worker, ctx context.Context, _ *models.Claim) result {
			<-ctx.Done()
			return failed(ctx.Err())
		}, context.DeadlineExceeded.Error()},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newTestWorker(t).perform(t.Context(), claimOf(20*time.Millisecond), c.perform)
			if c.want == "" {
				if r.err != nil || r.keep == nil {
					t.Errorf("%v", r.err)
				}
				return
			}
			if r.err == nil || r.err.Error() != c.want || r.keep != nil {
				t.Errorf("%v, want %q", r.err, c.want)
			}
		})
	}
}

func TestPerformEndsWhenJobsAreGivenBack(t *testing.T) {
	t.Parallel()
	w := newTestWorker(t)
	r := w.perform(t.Context(), claimOf(time.Hour), func(_ *Worker, ctx context.Context, _ *models.Claim) result {
		w.giveBack()
		<-ctx.Done()
		return failed(ctx.Err())
	})
	if !errors.Is(r.err, context.Canceled) {
		t.Errorf("%v", r.err)
	}
	// Asynq's own context goes on, or Asynq would write a failure and end the task while we give the job back.
	if t.Context().Err() != nil {
		t.Error("the task's context ended too")
	}
}

func TestWhatAsynqIsTold(t *testing.T) {
	t.Parallel()
	wrapped := func(err error) error { return fmt.Errorf("around: %w", err) }
	for _, c := range []struct {
		name    string
		err     error
		low     time.Duration
		high    time.Duration
		counted bool
	}{
		{"a failed attempt", &retryError{err: errors.New("x"), delay: 90 * time.Second, counted: true}, 90 * time.Second, 91 * time.Second, true},
		{"a failed attempt, wrapped", wrapped(&retryError{err: errors.New("x"), delay: time.Minute, counted: true}), time.Minute, 61 * time.Second, true},
		{"given back", &retryError{err: errShutdown}, 0, 0, false},
		{"not claimed", &retryError{err: errNoDatabase, delay: storePause}, storePause, storePause + time.Second, false},
		{"Asynq's own", asynq.ErrLeaseExpired, storePause, storePause + time.Second, true},
		{"a deadline of Asynq's", context.DeadlineExceeded, storePause, storePause + time.Second, true},
	} {
		// Asynq cuts the time of the retry to whole seconds.
		if d := retryDelay(0, c.err, nil); d < c.low || d >= c.high && c.high > 0 {
			t.Errorf("%s: a delay of %v, want %v to %v", c.name, d, c.low, c.high)
		}
		if got := isFailure(c.err); got != c.counted {
			t.Errorf("%s: counted %v", c.name, got)
		}
	}
}

func TestWriteTriesAgainWhileTheDatabaseIsAway(t *testing.T) {
	t.Parallel()
	w := newTestWorker(t)
	long := time.Now().Add(time.Hour)
	away := &net.OpError{Op: "dial", Err: errors.New("refused")}
	answers := []error{away, context.DeadlineExceeded, fmt.Errorf("timeout: %w", context.DeadlineExceeded), away, nil}
	tries := 0
	err := w.write(t.Context(), long, func(ctx context.Context) error {
		if end, ok := ctx.Deadline(); !ok || time.Until(end) > jobs.WriteTimeout() {
			t.Error("one try may take all of the time")
		}
		tries++
		return answers[tries-1]
	})
	if err != nil || tries != len(answers) {
		t.Errorf("%v after %d tries", err, tries)
	}

	refused := errors.New("refused for good")
	tries = 0
	if err := w.write(t.Context(), long, func(context.Context) error { tries++; return refused }); !errors.Is(err, refused) || tries != 1 {
		t.Errorf("a refusal: %v after %d tries", err, tries)
	}

	none := func(context.Context) error { return away }
	if err := w.write(t.Context(), time.Now().Add(50*time.Millisecond), none); !errors.Is(err, away) {
		t.Errorf("when its time is over: %v", err)
	}
	if err := w.write(t.Context(), long, func(context.Context) error { w.giveBack(); return away }); !errors.Is(err, away) {
		t.Errorf("when jobs have to be given back: %v", err)
	}
}

func TestLicensee(t *testing.T) {
	t.Parallel()
	long := models.Customer{FirstName: string(make([]rune, 300)), LastName: "x"}
	for _, c := range []struct {
		customer models.Customer
		want     string
	}{
		{models.Customer{FirstName: "Ada", LastName: "Byron"}, "Ada Byron"},
		{models.Customer{FirstName: "Ada"}, "Ada"},
		{models.Customer{LastName: "Byron", Type: "individual", Company: "Analytical"}, "Byron"},
		{models.Customer{FirstName: "Ada", Type: "business", Company: "Analytical"}, "Analytical"},
		{models.Customer{FirstName: "Ada", Type: "business"}, "Ada"},
		{models.Customer{}, ""},
	} {
		if got := licensee(c.customer); got != c.want {
			t.Errorf("%+v is %q, want %q", c.customer, got, c.want)
		}
	}
	if n := len([]rune(licensee(long))); n != 200 {
		t.Errorf("a long name has %d characters", n)
	}
}
