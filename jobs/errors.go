package jobs

import (
	"errors"
	"time"
)

type permanentError struct{ err error }

func (e *permanentError) Error() string { return e.err.Error() }
func (e *permanentError) Unwrap() error { return e.err }

type delayedError struct {
	err   error
	delay time.Duration
}

func (e *delayedError) Error() string { return e.err.Error() }
func (e *delayedError) Unwrap() error { return e.err }

// Permanent marks a failure that no further attempt can mend: the job is dead at once, whatever else the error says.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

// RetryAfter marks a failure that is to be tried again after d, whatever the kind's backoff says. Of several marks the outermost
// counts.
func RetryAfter(err error, d time.Duration) error {
	if err == nil {
		return nil
	}
	return &delayedError{err, max(d, 0)}
}

// IsPermanent reports whether err was marked with Permanent.
func IsPermanent(err error) bool {
	_, ok := errors.AsType[*permanentError](err)
	return ok
}

// DelayOf returns the delay that RetryAfter put on err.
func DelayOf(err error) (time.Duration, bool) {
	if e, ok := errors.AsType[*delayedError](err); ok {
		return e.delay, true
	}
	return 0, false
}
