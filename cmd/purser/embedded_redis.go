package main

import (
	"crypto/rand"
	"fmt"
	"net/url"
	"time"

	"github.com/alicebob/miniredis/v2"
)

// embeddedRedisTick is how coarse the TTLs of the in-process Redis are.
// (Its own ClockTTL is exact, but walks every key at every command, which a backlog of jobs makes slow.)
const embeddedRedisTick = 500 * time.Millisecond

// embeddedRedis is the in-process Redis of embedded mode. It forgets everything when it is closed; the queue is filled again from the database.
type embeddedRedis struct {
	server *miniredis.Miniredis
	// URL reaches it, with a password: other users of the machine reach the port too.
	URL  Secret
	stop chan struct{}
	done chan struct{}
}

// startEmbeddedRedis listens on a free loopback port. The caller must Close it.
func startEmbeddedRedis() (*embeddedRedis, error) {
	ticker := time.NewTicker(embeddedRedisTick)
	r, err := startEmbeddedRedisTicked(time.Now(), ticker.C, ticker.Stop)
	if err != nil {
		ticker.Stop()
	}
	return r, err
}

// startEmbeddedRedisTicked lets TTLs run by the times that come from ticks, the first of which is counted from start.
func startEmbeddedRedisTicked(start time.Time, ticks <-chan time.Time, stopTicks func()) (*embeddedRedis, error) {
	r := &embeddedRedis{server: miniredis.NewMiniRedis(), stop: make(chan struct{}), done: make(chan struct{})}
	password := rand.Text()
	r.server.RequireAuth(password)
	if err := r.server.StartAddr("127.0.0.1:0"); err != nil {
		return nil, fmt.Errorf("in-process Redis: %w", err)
	}
	address := url.URL{Scheme: "redis", User: url.UserPassword("default", password), Host: r.server.Addr(), Path: "/0"}
	r.URL = newSecretURL(address.String())
	go func() {
		defer close(r.done)
		defer stopTicks()
		// The wall clock, as in a real Redis: a machine that slept finds its TTLs passed.
		last := start.Round(0)
		var now time.Time
		for {
			select {
			case <-r.stop:
				return
			case now = <-ticks:
				now = now.Round(0)
			}
			if passed := now.Sub(last); passed > 0 {
				r.server.FastForward(passed)
			}
			last = now
		}
	}()
	return r, nil
}

// Close ends every connection and returns when nothing of it runs any more.
func (r *embeddedRedis) Close() {
	close(r.stop)
	<-r.done
	r.server.Close()
}
