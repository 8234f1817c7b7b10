package handlers_test

import (
	"io"
	"net"
	"net/url"
	"sync"
	"testing"

	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

// link is a TCP connection to a server that can be cut and mended.
type link struct {
	target   string
	tap      io.Writer // gets a copy of what goes to the server
	listener net.Listener
	serving  sync.WaitGroup

	mu    sync.Mutex
	cutOf bool
	conns map[net.Conn]bool
}

func newLink(t testing.TB, target string, tap io.Writer) *link {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &link{target: target, tap: tap, listener: listener, conns: map[net.Conn]bool{}}
	l.serving.Go(l.accept)
	t.Cleanup(func() {
		_ = listener.Close()
		l.cut()
		l.serving.Wait()
	})
	return l
}

func (l *link) accept() {
	for {
		near, err := l.listener.Accept()
		if err != nil {
			return
		}
		if l.add(near) {
			l.serving.Go(func() { l.carry(near) })
		}
	}
}

// add keeps a connection to be cut, or closes it at once.
func (l *link) add(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cutOf {
		_ = c.Close()
		return false
	}
	l.conns[c] = true
	return true
}

func (l *link) carry(near net.Conn) {
	defer near.Close()
	far, err := net.Dial("tcp", l.target)
	if err != nil || !l.add(far) {
		return
	}
	var both sync.WaitGroup
	pipe := func(to io.Writer, from io.Reader) {
		_, _ = io.Copy(to, from)
		_ = near.Close()
		_ = far.Close()
	}
	both.Go(func() { pipe(near, far) })
	both.Go(func() { pipe(io.MultiWriter(far, l.tap), near) })
	both.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, near)
	delete(l.conns, far)
}

// cut ends every connection; new ones are closed at once until mend.
func (l *link) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cutOf = true
	for c := range l.conns {
		_ = c.Close()
	}
}

func (l *link) mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cutOf = false
}

// behindLink opens another store on the database of s, PostgreSQL, through a link.
func behindLink(t testing.TB, s *models.Store) (*models.Store, *link) {
	t.Helper()
	o := storetest.Options(s)
	u, err := url.Parse(o.DatabaseURL)
	if err != nil {
		t.Fatal(err)
	}
	l := newLink(t, u.Host, io.Discard)
	u.Host = l.listener.Addr().String()
	o.DatabaseURL = u.String()
	far, err := models.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = far.Close() })
	return far, l
}
