package models

import (
	"maps"
	"sync"
	"time"
)

const (
	asideFor  = 10 * time.Minute
	asideMost = 1000
)

// setAside remembers for a while which orders a kind of periodic work could not act on, so that they are not tried, and do not fail, every
// second. The work begins with them again when the process does, or in another process: nothing is lost by forgetting.
type setAside struct {
	mu    sync.Mutex
	until map[string]time.Time
}

// add sets an order aside. It reports false when there is no room for more, which is when something else is wrong than the orders.
func (a *setAside) add(id string, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.until == nil {
		a.until = map[string]time.Time{}
	}
	a.until[id] = now.Add(asideFor)
	return len(a.until) < asideMost
}

// at returns the orders that are set aside at a time, and forgets those that are no longer.
func (a *setAside) at(now time.Time) map[string]time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	maps.DeleteFunc(a.until, func(_ string, until time.Time) bool { return !until.After(now) })
	return maps.Clone(a.until)
}
