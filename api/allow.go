package api

import (
	"sync"
	"time"

	"github.com/gofiber/fiber/v2"
)

// allowances count what strangers may do often but not without end: open links, try codes, pay, look up. They are counted within
// this process, because customers must not wait for Redis, and forgotten with it: they keep one address from wearing us out, and
// nothing that is secret or owed rests on them.
type allowances struct {
	mu   sync.Mutex
	kind map[string]*attempts
}

func (a *allowances) of(what string, n int, per time.Duration) *attempts {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.kind == nil {
		a.kind = map[string]*attempts{}
	}
	if a.kind[what] == nil {
		a.kind[what] = newAttempts(n, per/time.Duration(n), time.Now)
	}
	return a.kind[what]
}

// allow counts one more of what (such as "links") by the address that asks, and refuses it with 429 and Retry-After when there
// were more than n within per. n may come at once.
func (s *Server) allow(c *fiber.Ctx, what string, n int, per time.Duration) error {
	return s.allowKey(what, network(s.clientAddr(c)).String(), n, per)
}

// allowKey is allow by another key than the address, such as the email that a letter is asked for.
func (s *Server) allowKey(what, key string, n int, per time.Duration) error {
	wait := s.allowances.of(what, n, per).take(key)
	if wait == 0 {
		return nil
	}
	p := newProblem(codeRateLimited, "")
	p.retryAfter = wait
	return p
}
