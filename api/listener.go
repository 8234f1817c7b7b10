package api

import (
	"errors"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// acceptGrace is how long a listener that is being closed still takes the connections that clients have already made.
const acceptGrace = 20 * time.Millisecond

// drainingListener takes every connection that the kernel has accepted before it closes. Closing the listener right away would
// reset those that wait to be taken, with their requests in them.
type drainingListener struct {
	net.Listener
	closing atomic.Bool
	asked   bool // once more, by Accept
}

// Accept returns net.ErrClosed once the listener is being closed and no connection waits any more.
func (l *drainingListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err == nil || !l.closing.Load() || !errors.Is(err, os.ErrDeadlineExceeded) {
			return c, err
		}
		// Behind its deadline a listener does not look whether somebody waits, and on a busy machine it may have come to it late only.
		if timed, ok := l.Listener.(interface{ SetDeadline(time.Time) error }); ok && !l.asked {
			l.asked = true
			if timed.SetDeadline(time.Now().Add(acceptGrace)) == nil {
				continue
			}
		}
		_ = l.Listener.Close()
		return nil, net.ErrClosed
	}
}

// Close ends Accept within acceptGrace, or at once for a listener that knows no deadlines.
func (l *drainingListener) Close() error {
	timed, ok := l.Listener.(interface{ SetDeadline(time.Time) error })
	if !ok {
		return l.Listener.Close()
	}
	l.closing.Store(true)
	if err := timed.SetDeadline(time.Now().Add(acceptGrace)); err != nil {
		return l.Listener.Close()
	}
	return nil
}
