package handlers

import (
	"context"
	"fmt"
	"testing"
	"time"
)

// turning is a turnstile with a clock that is turned by hand.
type turning struct {
	*turnstile
	t   *testing.T
	now time.Time
}

// newTurning makes one with 16 places: four a quarter.
func newTurning(t *testing.T) *turning {
	g := &turning{turnstile: newTurnstile(16, 16), t: t, now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	g.turnstile.now = func() time.Time { return g.now }
	g.wait = 0
	return g
}

func (g *turning) passes(server, owner string) *pass {
	g.t.Helper()
	p, _ := g.enter(context.Background(), server, owner)
	if p == nil {
		g.t.Fatalf("%s of %s gets no pass", server, owner)
	}
	return p
}

func (g *turning) putsOff(server, owner string) time.Duration {
	g.t.Helper()
	p, delay := g.enter(context.Background(), server, owner)
	if p != nil {
		g.t.Fatalf("%s of %s gets a pass", server, owner)
	}
	if delay < shortDelay || delay > shortDelay+longDelay {
		g.t.Fatalf("%s is put off for %s", server, delay)
	}
	return delay
}

// answers lets a server answer once after some time.
func (g *turning) answers(server, owner string, after time.Duration) {
	g.t.Helper()
	p := g.passes(server, owner)
	p.call(func() { g.now = g.now.Add(after) })
	p.leave()
}

// hangs sends a request that is not answered before the pass is left.
func (g *turning) hangs(p *pass) {
	sent, never := make(chan struct{}), make(chan struct{})
	ended := make(chan struct{})
	g.t.Cleanup(func() { close(never); <-ended })
	go func() {
		defer close(ended)
		p.call(func() { close(sent); <-never })
	}()
	<-sent
}

func TestOneServerHoldsHalf(t *testing.T) {
	t.Parallel()
	g := newTurning(t)
	g.answers("quick", "a", time.Millisecond)
	var held []*pass
	for range 8 {
		held = append(held, g.passes("quick", "a"))
	}
	g.putsOff("quick", "a")
	g.passes("other", "a").leave()
	held[0].leave()
	held[0].leave() // frees nobody else's place
	g.passes("quick", "a")
	g.putsOff("quick", "a")
}

// A job holds its place until the answer, not until it has written what came of it.
func TestTheAnswerFreesThePlace(t *testing.T) {
	t.Parallel()
	g := newTurning(t)
	g.answers("quick", "a", time.Millisecond)
	first := g.passes("quick", "a")
	for range 7 {
		g.passes("quick", "a")
	}
	g.putsOff("quick", "a")
	first.call(func() { g.putsOff("quick", "a") })
	g.passes("quick", "a")
	first.leave() // frees nobody else's place
	g.putsOff("quick", "a")
}

func TestOneMerchantHoldsThreeQuarters(t *testing.T) {
	t.Parallel()
	g := newTurning(t)
	for n := range 12 {
		g.answers(fmt.Sprint("server", n), "a", time.Millisecond)
	}
	for n := range 12 {
		g.passes(fmt.Sprint("server", n), "a")
	}
	g.putsOff("server0", "a")
	g.passes("another", "b")
}

// However many servers hang, those that answer find half of the places.
func TestServersThatHangShareAQuarter(t *testing.T) {
	t.Parallel()
	g := newTurning(t)
	for _, server := range []string{"quick1", "quick2"} {
		g.answers(server, server, time.Millisecond)
	}
	for n := range 4 { // nothing is known of them: another quarter
		g.hangs(g.passes(fmt.Sprint("new", n), fmt.Sprint("m", n)))
	}
	g.putsOff("new4", "m4")
	g.now = g.now.Add(slowAnswer + time.Millisecond)
	g.putsOff("new0", "m0") // now they are known to be slow
	var late []*pass
	for n := range 4 {
		late = append(late, g.passes(fmt.Sprint("late", n), "n"))
		g.hangs(late[n])
	}
	g.now = g.now.Add(slowAnswer + time.Millisecond)
	for n := range 4 {
		g.putsOff(fmt.Sprint("late", n), "n")
		g.passes("quick1", "quick1")
		g.passes("quick2", "quick2")
	}
	g.putsOff("quick1", "quick1")
}

func TestSlowServersAreQuickAgainWhenTheyAnswer(t *testing.T) {
	t.Parallel()
	g := newTurning(t)
	g.answers("server", "a", 5*time.Second)
	g.answers("other", "b", 5*time.Second)
	first := g.passes("server", "a")
	g.passes("server", "a")
	g.passes("other", "b")
	g.putsOff("server", "a") // two for each of two slow ones
	first.call(func() { g.now = g.now.Add(time.Millisecond) })
	first.leave()
	for range 7 {
		g.passes("server", "a")
	}
	g.putsOff("server", "a")
}

// A quick server that stops to answer counts as one that nothing is known of, and then as a slow one.
func TestAServerThatStopsToAnswer(t *testing.T) {
	t.Parallel()
	g := newTurning(t)
	g.answers("server", "a", time.Millisecond)
	for range 3 {
		g.hangs(g.passes("server", "a"))
	}
	g.now = g.now.Add(lateAnswer + time.Millisecond)
	g.hangs(g.passes("server", "a"))
	g.putsOff("server", "a")
	g.putsOff("new", "b")
	g.now = g.now.Add(slowAnswer)
	g.putsOff("server", "a")
	g.passes("new", "b")
}

// Behind the first jobs of a long queue at an unknown server as many wait for what those learn; the others are put off for a second or
// two, since by then it is known.
func TestSomeWaitForTheFirstAnswer(t *testing.T) {
	t.Parallel()
	g := newTurning(t)
	g.wait = time.Hour
	var held []*pass
	for range 4 {
		held = append(held, g.passes("new", "a"))
	}
	turns := make(chan *pass)
	for range 4 {
		go func() {
			p, _ := g.enter(context.Background(), "new", "a")
			turns <- p
		}()
	}
	for queued := 0; queued < 4; {
		g.mu.Lock()
		queued = len(g.waiting)
		g.mu.Unlock()
	}
	if delay := g.putsOff("new", "a"); delay > 2*shortDelay {
		t.Errorf("it is put off for %s", delay)
	}
	held[0].call(func() { g.now = g.now.Add(time.Millisecond) })
	held[0].leave()
	for range 4 {
		if <-turns == nil {
			t.Error("a job waited in vain")
		}
	}
}

// Jobs that go nowhere keep places of their own.
func TestRoomIsLeftForTheOthers(t *testing.T) {
	t.Parallel()
	g := newTurning(t)
	g.room = 2
	g.answers("quick1", "a", time.Millisecond)
	g.passes("quick1", "a")
	g.passes("quick1", "a")
	g.putsOff("quick1", "a")
}

// A job waits for its turn at a quick server, in the order of coming, and only there.
func TestTurnsComeInOrder(t *testing.T) {
	t.Parallel()
	g := newTurning(t)
	g.wait = time.Hour
	g.answers("quick", "a", time.Millisecond)
	var held []*pass
	for range 8 {
		held = append(held, g.passes("quick", "a"))
	}
	order := make(chan int, 3)
	for n := range 3 {
		go func() {
			if p, _ := g.enter(context.Background(), "quick", "a"); p != nil {
				order <- n
			}
		}()
		for queued := 0; queued <= n; { // each behind the one before
			g.mu.Lock()
			queued = len(g.waiting)
			g.mu.Unlock()
		}
	}
	for n := range 3 {
		held[n].leave()
		if got := <-order; got != n {
			t.Errorf("job %d got turn %d", got, n)
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	stop()
	if p, _ := g.enter(ctx, "quick", "a"); p != nil || len(g.waiting) != 0 {
		t.Error("a job whose time is over got a pass, or still waits")
	}
	g.answers("slow", "b", time.Minute)
	for range 4 {
		g.passes("slow", "b")
	}
	g.putsOff("slow", "b")
}

// The longer the queue at a door, the further apart its jobs are put off.
func TestALongQueueIsSpread(t *testing.T) {
	t.Parallel()
	g := newTurning(t)
	g.answers("slow", "a", 15*time.Second)
	for range 4 {
		g.passes("slow", "a")
	}
	longest := time.Duration(0)
	for range 400 {
		longest = max(longest, g.putsOff("slow", "a"))
	}
	if longest < longDelay/2 {
		t.Errorf("the longest of 400 jobs is put off for %s", longest)
	}
}

func TestServersAreForgotten(t *testing.T) {
	t.Parallel()
	g := newTurning(t)
	g.answers("gone", "a", time.Minute)
	held := g.passes("held", "a")
	g.now = g.now.Add(doorMemory + time.Second)
	g.passes("new", "b")
	if g.doors["gone"] != nil || g.doors["held"] == nil {
		t.Errorf("the turnstile knows %d servers", len(g.doors))
	}
	held.leave()
	if (*pass)(nil).leave(); len(g.owners) != 1 {
		t.Errorf("%d merchants hold places", len(g.owners))
	}
}
