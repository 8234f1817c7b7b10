package api

import (
	"sync"
	"time"

	"github.com/gofiber/fiber/v2"
)

// An allowance is how often something may be done by whoever has one key: n times within per, all at once if they like.
type allowance struct {
	n   int
	per time.Duration
}

// The allowances of strangers, each counted for itself. Many customers can stand behind one address, so those by address only keep
// machines from wearing us out.
var (
	linksOpened = &allowance{600, time.Minute} // by address
	// codesTried are promotion codes, on links and on the checkout page; fewer than links, because a code is worth guessing.
	codesTried    = &allowance{200, 10 * time.Minute} // by address
	checkoutsSent = &allowance{600, time.Minute}      // by address
	// Orders' pages are found by their tokens. A page that waits for a payment loads itself every three seconds, and a shop's own
	// program may look far more often.
	ordersSought   = &allowance{1200, time.Minute}    // by address
	orderViews     = &allowance{600, time.Minute}     // by order
	orderFormsSent = &allowance{600, time.Minute}     // by address: payments and refund requests
	orderSends     = &allowance{30, 10 * time.Minute} // by order
	receiptsDrawn  = &allowance{20, 10 * time.Minute} // by order
	linksAsked     = &allowance{20, time.Hour}        // by address: lost licences
	linksMailed    = &allowance{3, time.Hour}         // by merchant and email address
	testsSought    = &allowance{1200, time.Minute}    // by address: the test gateway's pages
	// wrongCallbacks are those that are not a gateway's, before they are not even logged any more.
	wrongCallbacks = &allowance{300, time.Minute} // by address
)

// allowances count what strangers may do often but not without end: open links, try codes, pay, look up. They are counted within
// this process, because customers must not wait for Redis, and forgotten with it: they keep one address from wearing us out, and
// nothing that is secret or owed rests on them.
type allowances struct {
	now  func() time.Time // time.Now when nil
	mu   sync.Mutex
	used map[*allowance]*attempts
}

func (a *allowances) of(what *allowance) *attempts {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.used == nil {
		a.used = map[*allowance]*attempts{}
	}
	if a.used[what] == nil {
		now := a.now
		if now == nil {
			now = time.Now
		}
		a.used[what] = newAttempts(what.n, what.per/time.Duration(what.n), now)
	}
	return a.used[what]
}

// allow counts one more by the address that asks, and refuses it with 429 and Retry-After when the allowance is used up.
func (s *Server) allow(c *fiber.Ctx, what *allowance) error {
	return s.allowKey(what, network(s.clientAddr(c)).String())
}

// allowKey is allow by another key than the address, such as the email that a letter is asked for.
func (s *Server) allowKey(what *allowance, key string) error {
	wait := s.allowances.of(what).take(key)
	if wait == 0 {
		return nil
	}
	p := newProblem(codeRateLimited, "")
	p.retryAfter = wait
	return p
}
