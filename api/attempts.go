package api

import (
	"math"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// How often somebody may try to sign in: a few times at once, then one try after each pause. The limit of an email is what
// keeps a password from being guessed, that of an address what keeps one guesser from trying them all. A browser that somebody has
// signed in with before has the limit of an email for itself.
const (
	emailTries, emailPause     = 5, time.Minute
	addressTries, addressPause = 20, 15 * time.Second
	attemptMemory              = 10_000
)

// attempts counts tries by a key, within this process.
type attempts struct {
	tries int
	pause time.Duration
	now   func() time.Time

	mu    sync.Mutex
	seen  map[string]*rate.Limiter
	swept time.Time
}

func newAttempts(tries int, pause time.Duration, now func() time.Time) *attempts {
	return &attempts{tries: tries, pause: pause, now: now, seen: map[string]*rate.Limiter{}, swept: now()}
}

// take counts a try and returns how long its key has to wait; zero while it is within its limit. A try that is refused costs
// nothing, so whoever waits as long as they are told gets in.
func (a *attempts) take(key string) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.now()
	a.sweep(now)
	l := a.seen[key]
	if l == nil {
		l = rate.NewLimiter(rate.Every(a.pause), a.tries)
		a.seen[key] = l
	}
	if l.AllowN(now, 1) {
		return 0
	}
	missing := max(1-l.TokensAt(now), 0)
	return max(time.Duration(math.Ceil(missing*a.pause.Seconds()))*time.Second, time.Second)
}

// forgive forgets a key's tries after the right password.
func (a *attempts) forgive(key string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.seen, key)
}

// sweep forgets the keys that have their whole limit back, every minute or when there are too many. If nobody has, everybody
// starts again: the address's limit keeps one guesser from getting there.
func (a *attempts) sweep(now time.Time) {
	if len(a.seen) < attemptMemory && now.Sub(a.swept) < time.Minute {
		return
	}
	a.swept = now
	for key, l := range a.seen {
		if l.TokensAt(now) >= float64(a.tries) {
			delete(a.seen, key)
		}
	}
	if len(a.seen) >= attemptMemory {
		clear(a.seen)
	}
}

// emailKey is what counts as one email at the door. What is longer than any address is cut, so that keys stay small.
func emailKey(email string) string {
	email = strings.ToLower(strings.TrimSpace(email))
	return email[:min(len(email), 254)]
}
