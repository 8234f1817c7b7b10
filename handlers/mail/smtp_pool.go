package mail

import (
	"context"
	"slices"
	"time"
)

const (
	maxIdle       = 4                // connections kept between messages
	maxIdleTime   = 30 * time.Second // servers hang up on idle clients after a minute or more
	maxPerSession = 100              // many servers limit the messages of a connection, some at 100
	quitPatience  = 500 * time.Millisecond
	resetPatience = 2 * time.Second // a healthy server answers RSET at once; a dead connection must not eat the timeout
)

// session returns a connection that is signed in and answers: an idle one that passed RSET, else a new one.
// At the time of RSET no message has been offered, so giving up on a connection here cannot cause a second copy.
func (s *SMTP) session(ctx context.Context, deadline time.Time) (*session, step, error) {
	for {
		sess := s.takeIdle()
		if sess == nil {
			return s.dial(ctx, deadline)
		}
		patience := time.Now().Add(resetPatience)
		if deadline.Before(patience) {
			patience = deadline
		}
		release := sess.bind(ctx, patience)
		err := sess.client.Reset()
		if release() && err == nil {
			return sess, "", nil
		}
		sess.close()
		if ctx.Err() != nil {
			return nil, stepConnect, ctx.Err()
		}
	}
}

func (s *SMTP) takeIdle() *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.idle) == 0 {
		return nil
	}
	sess := s.idle[len(s.idle)-1]
	s.idle = s.idle[:len(s.idle)-1]
	sess.expiry.Stop()
	return sess
}

// keep puts a connection back, or ends it if there are enough or it has served long.
func (s *SMTP) keep(sess *session) {
	s.mu.Lock()
	if s.closed || len(s.idle) >= maxIdle || sess.sent >= maxPerSession {
		s.mu.Unlock()
		sess.quit()
		return
	}
	sess.expiry = time.AfterFunc(maxIdleTime, func() { s.expire(sess) })
	s.idle = append(s.idle, sess)
	s.mu.Unlock()
}

// expire ends a connection that nobody took in time. Whoever removes it from idle owns it.
func (s *SMTP) expire(sess *session) {
	s.mu.Lock()
	i := slices.Index(s.idle, sess)
	if i >= 0 {
		s.idle = slices.Delete(s.idle, i, i+1)
	}
	s.mu.Unlock()
	if i >= 0 {
		sess.quit()
	}
}
