package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// deadline is when a test gives up waiting for what should happen at once.
const deadline = 20 * time.Second

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick, late := time.NewTicker(time.Millisecond), time.NewTimer(deadline)
	defer tick.Stop()
	defer late.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-late.C:
			t.Fatalf("never: %s", what)
		}
	}
}

// echo is a store that says back what it is told, and remembers it by connection.
type echo struct {
	listener net.Listener
	all      sync.WaitGroup

	mu    sync.Mutex
	heard []*bytes.Buffer
	ended []bool // the other end has hung up
}

func newEcho(t *testing.T) (*echo, *line) {
	t.Helper()
	dir, err := os.MkdirTemp("", "line") // a test's own folder may have too long a name for a socket
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "s")
	e := &echo{}
	if e.listener, err = net.Listen("unix", socket); err != nil {
		t.Fatal(err)
	}
	e.all.Go(e.serve)
	l, err := newLine("worker redis", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		l.close()
		_ = e.listener.Close()
		e.all.Wait()
		_ = os.RemoveAll(dir)
	})
	return e, l
}

func (e *echo) serve() {
	for n := 0; ; n++ {
		conn, err := e.listener.Accept()
		if err != nil {
			return
		}
		e.mu.Lock()
		e.heard, e.ended = append(e.heard, &bytes.Buffer{}), append(e.ended, false)
		e.mu.Unlock()
		e.all.Go(func() {
			defer conn.Close()
			buffer := make([]byte, 4096)
			for {
				got, err := conn.Read(buffer)
				e.mu.Lock()
				e.heard[n].Write(buffer[:got])
				e.ended[n] = err != nil
				e.mu.Unlock()
				if err != nil {
					return
				}
				_, _ = conn.Write(buffer[:got])
			}
		})
	}
}

// told is what the nth connection has said, and whether it has hung up.
func (e *echo) told(n int) (said string, ended bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if n >= len(e.heard) {
		return "", false
	}
	return e.heard[n].String(), e.ended[n]
}

func dial(t *testing.T, l *line) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", l.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(deadline)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// roundTrip says something and returns how long it took until it came back.
func roundTrip(t *testing.T, conn net.Conn, word string) time.Duration {
	t.Helper()
	begun := time.Now()
	if _, err := io.WriteString(conn, word); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(word))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != word {
		t.Fatalf("%q came back as %q: %v", word, got, err)
	}
	return time.Since(begun)
}

func TestALineDelays(t *testing.T) {
	t.Parallel()
	_, l := newEcho(t)
	conn := dial(t, l)
	roundTrip(t, conn, "hello")
	const delay = 80 * time.Millisecond
	l.slow(delay)
	for range 3 {
		if took := roundTrip(t, conn, "PING"); took < delay { // at least half of it in each direction
			t.Errorf("a round trip took %s over a line of %s", took, delay)
		}
	}
	l.slow(0)
	eventually(t, "the line is quick again", func() bool { return roundTrip(t, conn, "PING") < delay })
}

func TestADelayedLineKeepsTheOrder(t *testing.T) {
	t.Parallel()
	e, l := newEcho(t)
	l.slow(4 * time.Millisecond)
	conn := dial(t, l)
	var want []byte
	for i := range uint32(20_000) {
		want = binary.BigEndian.AppendUint32(want, i)
	}
	go func() {
		for rest := want; len(rest) > 0; rest = rest[min(len(rest), 700):] {
			_, _ = conn.Write(rest[:min(len(rest), 700)])
		}
	}()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(conn, got); err != nil {
		t.Fatal(err)
	}
	if said, _ := e.told(0); said != string(want) || !bytes.Equal(got, want) {
		t.Error("what was sent arrives in another order")
	}
}

func TestALineIsCut(t *testing.T) {
	t.Parallel()
	e, l := newEcho(t)
	conn := dial(t, l)
	roundTrip(t, conn, "before")
	l.cut()
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the role meets %v, want a reset", err)
	}
	eventually(t, "the store learns of the cut", func() bool { _, ended := e.told(0); return ended })
	roundTrip(t, dial(t, l), "after")
}

func TestALineRefuses(t *testing.T) {
	t.Parallel()
	e, l := newEcho(t)
	conn := dial(t, l)
	roundTrip(t, conn, "before")
	l.refuse()
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("an old connection goes on")
	}
	eventually(t, "the store learns of it", func() bool { _, ended := e.told(0); return ended })
	if _, err := net.Dial("tcp", l.address); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a new connection meets %v, want a refusal", err)
	}
	for range 2 { // the second time it is open already
		if err := l.accept(); err != nil {
			t.Fatal(err)
		}
	}
	roundTrip(t, dial(t, l), "after")
}

func TestALineHangsUpForTheOtherEnd(t *testing.T) {
	t.Parallel()
	e, l := newEcho(t)
	conn := dial(t, l)
	roundTrip(t, conn, "hello")
	_ = conn.Close()
	eventually(t, "the store learns that the role has hung up", func() bool { _, ended := e.told(0); return ended })

	_ = e.listener.Close()
	if _, err := dial(t, l).Read(make([]byte, 1)); err == nil {
		t.Error("a role speaks to a store that is away")
	}
}

func TestSilence(t *testing.T) {
	t.Parallel()
	e, l := newEcho(t)
	before := dial(t, l)
	roundTrip(t, before, "before")
	idle := dial(t, l)
	roundTrip(t, idle, "idle")
	l.silence(true)
	during := dial(t, l) // which says nothing yet
	if _, err := io.WriteString(before, "lost"); err != nil {
		t.Fatalf("silence is to be heard: %v", err)
	}
	eventually(t, "both connections are past help", func() bool { return l.deaf() == 2 })
	l.silence(false)

	// What has lost bytes, or was begun in silence, never speaks again; what has lost none goes on.
	for _, conn := range []net.Conn{before, during} {
		if _, err := io.WriteString(conn, "again"); err != nil {
			t.Fatal(err)
		}
	}
	roundTrip(t, idle, "awake")
	roundTrip(t, dial(t, l), "after")
	_ = before.Close()
	roundTrip(t, idle, "still")
	if _, ended := e.told(0); ended {
		t.Error("the store learns that a role has hung up which it cannot hear")
	}
	if err := during.SetReadDeadline(time.Now()); err != nil {
		t.Fatal(err)
	}
	if n, err := during.Read(make([]byte, 1)); n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a role reads %d bytes through silence, and %v", n, err)
	}

	l.close() // after which nothing can arrive any more
	said := map[string]int{}
	for n := range 4 {
		eventually(t, "the store learns that the line is closed", func() bool { _, ended := e.told(n); return ended })
		text, _ := e.told(n)
		said[text]++
	}
	for _, want := range []string{"before", "idleawakestill", "", "after"} {
		if said[want] != 1 {
			t.Errorf("the store heard %v, want %q of one connection", said, want)
		}
	}
}

// deaf counts the connections that never speak again.
func (l *line) deaf() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for k := range l.ends {
		if k.dead {
			n++
		}
	}
	return n
}
