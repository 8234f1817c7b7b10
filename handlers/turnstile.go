package handlers

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// The rules of a turnstile.
const (
	slowAnswer = time.Second            // an answer that takes longer makes its server a slow one, and so does one that has not come
	lateAnswer = 250 * time.Millisecond // after which it is no longer known whether the server answers
	turnWait   = 50 * time.Millisecond  // how long a job waits for its turn at a quick server; turns come fast there
	shortDelay = time.Second            // how long a job is put off at least
	longDelay  = 30 * time.Second       // and how far apart the jobs that are put off are spread at most
	doorMemory = 10 * time.Minute       // after which what is known of a server counts no more
)

// turnstile decides which jobs of one queue may go to other people's servers now, so that servers that are slow, or do not answer,
// never hold all the places of the queue. It knows servers by what jobs call them and by whose they are, and learns how quick they are
// from their answers. A job that may not go now is put off: its attempt has not begun, and does not count.
//
//   - The slow servers share a quarter of the places, and those of which it is not known whether they answer another, so that half is
//     left to those that do.
//   - One server holds at most half of the places, and one merchant's servers three quarters.
//
// A job waits a moment for its turn at a server that is likely to be quick, because putting it off costs a second and more.
type turnstile struct {
	places int
	room   int // how many of the places may be held at all; the rest is for jobs that go nowhere
	now    func() time.Time
	wait   time.Duration

	mu      sync.Mutex
	doors   map[string]*door
	busy    map[*door]bool // those with somebody inside
	owners  map[string]int // places held, by merchant
	inside  int
	waiting []*turn // in the order in which they came
	swept   time.Time
}

// door is one server.
type door struct {
	inside  int
	out     []time.Time // when the requests that are under way were sent, oldest first
	tested  bool
	slow    bool // as its latest answer was
	typical time.Duration
	used    time.Time
	putOff  [2]int // jobs, in this and the previous longDelay
	window  time.Time
}

type pace int

const (
	untested pace = iota
	slow
	quick
)

// pass is a job's right to call its server. The nil pass is that of a job that calls none.
type pass struct {
	t             *turnstile
	door          *door
	server, owner string
	left          bool
}

// turn is a job that waits for its pass.
type turn struct {
	pass    *pass
	granted chan struct{}
}

func newTurnstile(places, room int) *turnstile {
	return &turnstile{places: places, room: max(room, 1), now: time.Now, wait: turnWait, doors: map[string]*door{}, busy: map[*door]bool{}, owners: map[string]int{}}
}

// enter asks for a place for a job that calls a server of a merchant's. Without a pass the job is to come back after the delay. The
// caller leaves with its pass.
func (t *turnstile) enter(ctx context.Context, server, owner string) (p *pass, delay time.Duration) {
	t.mu.Lock()
	now := t.now()
	t.sweep(now)
	d := t.doors[server]
	if d == nil {
		d = &door{}
		t.doors[server] = d
	}
	d.used = now
	p = &pass{t: t, door: d, server: server, owner: owner}
	if t.admit(p, now) {
		t.mu.Unlock()
		return p, 0
	}
	if !t.worthWaiting(d, now) {
		delay = d.delay(now)
		t.mu.Unlock()
		return nil, delay
	}
	w := &turn{p, make(chan struct{})}
	t.waiting = append(t.waiting, w)
	t.mu.Unlock()
	if t.granted(ctx, w) {
		return p, 0
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return nil, d.delay(t.now())
}

// worthWaiting reports whether a turn at a server is likely to come soon. Where nothing is known, some wait for what the first learn,
// so that a long queue is not put off before the first answer, which is a moment away.
func (t *turnstile) worthWaiting(d *door, now time.Time) bool {
	switch d.pace(now) {
	case quick:
		return true
	case untested:
		others := 0
		for _, w := range t.waiting {
			if w.pass.door == d {
				others++
			}
		}
		return others < max(t.places/4, 1)
	}
	return false
}

// granted waits for a turn, for a moment.
func (t *turnstile) granted(ctx context.Context, w *turn) bool {
	timer := time.NewTimer(t.wait)
	defer timer.Stop()
	select {
	case <-w.granted:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	i := slices.Index(t.waiting, w)
	if i < 0 {
		return true // at the last moment
	}
	t.waiting = slices.Delete(t.waiting, i, i+1)
	return false
}

// admit gives a place if the rules allow it.
func (t *turnstile) admit(p *pass, now time.Time) bool {
	quarter := max(t.places/4, 1)
	if t.inside >= t.room || t.owners[p.owner] >= max(t.places-quarter, 1) || p.door.inside >= max(t.places/2, 1) {
		return false
	}
	if pace := p.door.pace(now); pace != quick {
		held, others := 0, 0 // by and at servers of the same pace
		for d := range t.busy {
			if d.pace(now) == pace {
				held += d.inside
				if d != p.door {
					others++
				}
			}
		}
		if held >= quarter || p.door.inside >= max(quarter/(others+1), 1) {
			return false
		}
	}
	t.inside++
	t.owners[p.owner]++
	p.door.inside++
	t.busy[p.door] = true
	return true
}

// leave gives the place back, to the first who waits for one like it. What was learnt meanwhile may let in others too. Whoever has left
// may leave again.
func (p *pass) leave() {
	if p == nil {
		return
	}
	t := p.t
	t.mu.Lock()
	defer t.mu.Unlock()
	if p.left {
		return
	}
	p.left = true
	t.inside--
	if p.door.inside--; p.door.inside == 0 {
		delete(t.busy, p.door)
	}
	if t.owners[p.owner]--; t.owners[p.owner] == 0 {
		delete(t.owners, p.owner)
	}
	now := t.now()
	t.waiting = slices.DeleteFunc(t.waiting, func(w *turn) bool {
		if !t.admit(w.pass, now) {
			return false
		}
		close(w.granted)
		return true
	})
}

// call runs the request to the server, and learns from how long it takes. With the answer the place is given back: what remains to be done is
// not the server's fault.
func (p *pass) call(request func()) {
	if p == nil {
		request()
		return
	}
	t := p.t
	t.mu.Lock()
	sent := t.now()
	p.door.out = append(p.door.out, sent)
	t.mu.Unlock()
	defer p.leave()
	defer func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		d, now := p.door, t.now()
		if i := slices.Index(d.out, sent); i >= 0 {
			d.out = slices.Delete(d.out, i, i+1)
		}
		took := now.Sub(sent)
		if !d.tested {
			d.typical = took
		}
		d.tested, d.slow, d.used = true, took > slowAnswer, now
		d.typical += (took - d.typical) / 4
	}()
	request()
}

func (d *door) pace(now time.Time) pace {
	switch {
	case d.slow || len(d.out) > 0 && now.Sub(d.out[0]) > slowAnswer:
		return slow
	case !d.tested || len(d.out) > 0 && now.Sub(d.out[0]) > lateAnswer:
		return untested
	}
	return quick
}

// delay is when a job that is put off should come back. They are spread over the time that those before them are likely to take, so that
// a long queue does not come to the door every second.
func (d *door) delay(now time.Time) time.Duration {
	if passed := now.Sub(d.window); passed >= 2*longDelay {
		d.putOff, d.window = [2]int{}, now
	} else if passed >= longDelay {
		d.putOff, d.window = [2]int{0, d.putOff[0]}, now
	}
	d.putOff[0]++
	if d.pace(now) != slow {
		return shortDelay + rand.N(shortDelay)
	}
	queue := time.Duration(max(d.putOff[0], d.putOff[1]))
	spread := min(queue*max(d.typical, slowAnswer)/4, longDelay)
	return shortDelay + rand.N(spread+1)
}

// sweep forgets the servers that nobody has called for long.
func (t *turnstile) sweep(now time.Time) {
	if now.Sub(t.swept) < doorMemory/10 {
		return
	}
	t.swept = now
	for name, d := range t.doors {
		if d.inside == 0 && now.Sub(d.used) > doorMemory && !slices.ContainsFunc(t.waiting, func(w *turn) bool { return w.pass.door == d }) {
			delete(t.doors, name)
		}
	}
}

type passKey struct{}

// withPass gives a performer the pass of its job.
func withPass(ctx context.Context, p *pass) context.Context {
	return context.WithValue(ctx, passKey{}, p)
}

// calling is the pass of the job that ctx belongs to.
func calling(ctx context.Context) *pass {
	p, _ := ctx.Value(passKey{}).(*pass)
	return p
}
