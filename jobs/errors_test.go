package jobs

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

func TestSteeringErrors(t *testing.T) {
	t.Parallel()
	cause := errors.New("the cause")
	for _, c := range []struct {
		name      string
		err       error
		permanent bool
		delay     time.Duration
		delayed   bool
	}{
		{"plain", cause, false, 0, false},
		{"permanent", Permanent(cause), true, 0, false},
		{"permanent, wrapped", fmt.Errorf("send: %w", Permanent(cause)), true, 0, false},
		{"permanent among others", errors.Join(errors.New("other"), fmt.Errorf("x: %w", Permanent(cause))), true, 0, false},
		{"delayed", RetryAfter(cause, time.Minute), false, time.Minute, true},
		{"delayed, wrapped", fmt.Errorf("a: %w", fmt.Errorf("b: %w", RetryAfter(cause, time.Minute))), false, time.Minute, true},
		{"delayed by nothing", RetryAfter(cause, 0), false, 0, true},
		{"delayed into the past", RetryAfter(cause, -time.Hour), false, 0, true},
		{"delayed twice", RetryAfter(RetryAfter(cause, time.Hour), time.Second), false, time.Second, true},
		{"permanent wins over a delay around it", RetryAfter(Permanent(cause), time.Minute), true, time.Minute, true},
		{"permanent wins over a delay within it", Permanent(RetryAfter(cause, time.Minute)), true, time.Minute, true},
		{"none", nil, false, 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := IsPermanent(c.err); got != c.permanent {
				t.Errorf("permanent: %v", got)
			}
			if d, ok := DelayOf(c.err); d != c.delay || ok != c.delayed {
				t.Errorf("delay: %v, %v", d, ok)
			}
			if c.err != nil && !errors.Is(c.err, cause) {
				t.Error("the cause is hidden")
			}
		})
	}
	if Permanent(nil) != nil || RetryAfter(nil, time.Second) != nil {
		t.Error("a success became a failure")
	}
	if got := Permanent(RetryAfter(cause, time.Second)).Error(); got != "the cause" {
		t.Errorf("the marks change the text: %q", got)
	}
}
