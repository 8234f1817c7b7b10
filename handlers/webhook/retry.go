package webhook

import (
	"math/rand/v2"
	"time"
)

// MaxAttempts is how often a delivery is tried before it is given up.
const MaxAttempts = 10

// RetryDelays is the published schedule: RetryDelays[n] is waited after n failed
// attempts, so the first attempt is immediate and all ten span 75.6 hours.
var RetryDelays = [MaxAttempts]time.Duration{
	0,
	5 * time.Second,
	5 * time.Minute,
	30 * time.Minute,
	2 * time.Hour,
	5 * time.Hour,
	10 * time.Hour,
	14 * time.Hour,
	20 * time.Hour,
	24 * time.Hour,
}

// jitter is the share of a delay that chance may add or take away.
const jitter = 0.10

// RetryDelay returns how long to wait before the next attempt after so many
// attempts were made (0 before the first), and false when none is left.
//
// The delay is the scheduled one ±10 %, so never shorter than 90 % of it: the
// deliveries that failed together when a receiver went down do not come back
// together. random returns numbers in [0, 1); nil means math/rand/v2.
//
// A receiver's [Result].RetryAfter is a wish on top of this; the caller waits
// for the longer of the two.
func RetryDelay(attempts int, random func() float64) (time.Duration, bool) {
	if attempts >= MaxAttempts {
		return 0, false
	}
	if random == nil {
		random = rand.Float64
	}
	delay := RetryDelays[max(attempts, 0)]
	chance := min(max(random(), 0), 1)
	return delay + time.Duration(float64(delay)*jitter*(2*chance-1)), true
}
