package jobs

import (
	"errors"
	"time"
)

type steeringError struct {
	err       error
	permanent bool
	delay     time.Duration
	hasDelay  bool
}

func (e *steeringError) Error() string { return e.err.Error() }
func (e *steeringError) Unwrap() error { return e.err }

// Permanent marks a failure that no further attempt can mend: the job is dead at once.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &steeringError{err: err, permanent: true}
}

// RetryAfter marks a failure that is to be tried again after d, whatever the kind's backoff says.
func RetryAfter(err error, d time.Duration) error {
	if err == nil {
		return nil
	}
	return &steeringError{err: err, delay: max(d, 0), hasDelay: true}
}

// IsPermanent reports whether err was marked with Permanent.
func IsPermanent(err error) bool {
	var s *steeringError
	return errors.As(err, &s) && s.permanent
}

// DelayOf returns the delay that RetryAfter put on err.
func DelayOf(err error) (time.Duration, bool) {
	var s *steeringError
	if errors.As(err, &s) && s.hasDelay {
		return s.delay, true
	}
	return 0, false
}
