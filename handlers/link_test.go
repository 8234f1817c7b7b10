package handlers_test

import (
	"io"
	"net"
	"net/url"
	"sync"
	"testing"

	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

// link is a way to a server that can be cut and mended, or frozen.
type link struct {
	target   string
	tap      io.Writer // gets a copy of what goes to the server
	listener net.Listener
	serving  sync.WaitGroup

	mu    sync.Mutex
	cutOf bool
	conns map[net.Conn]bool
	thaw  chan struct{} // not nil while nothing passes
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
		l.flow()
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
		_, _ = io.Copy(writer(func(p []byte) (int, error) { l.passage(); return to.Write(p) }), from)
		_ = near.Close()
		_ = far.Close()
	}
	both.Go(func() { pipe(near, far) })
	both.Go(func() { pipe(io.MultiWriter(l.tap, far), near) })
	both.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, near)
	delete(l.conns, far)
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

// passage waits while the link is frozen.
func (l *link) passage() {
	l.mu.Lock()
	thaw := l.thaw
	l.mu.Unlock()
	if thaw != nil {
		<-thaw
	}
}

// freeze lets nothing pass any more, in either direction, and keeps every connection; flow ends it.
func (l *link) freeze() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.thaw == nil {
		l.thaw = make(chan struct{})
	}
}

func (l *link) flow() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.thaw != nil {
		close(l.thaw)
		l.thaw = nil
	}
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

// throughLink is the bench's Redis through a link.
func (b *bench) throughLink(tap io.Writer) (jobs.Redis, *link) {
	b.Helper()
	u, err := url.Parse(b.redis.URL)
	if err != nil {
		b.Fatal(err)
	}
	l := newLink(b, u.Host, tap)
	u.Host = l.listener.Addr().String()
	r, err := jobs.ParseRedisURL(u.String())
	if err != nil {
		b.Fatal(err)
	}
	return r, l
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
