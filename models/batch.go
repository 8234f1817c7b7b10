package models

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/purser-dev/purser/jobs"
)

const (
	// batchStuck is after which time a batch is taken to have met a connection that fell silent, so that others go past it. Before that
	// there is one at a time: two would share the same callers, be half as large, and cost the database nearly twice as much.
	batchStuck = 250 * time.Millisecond
	// maxAbreast bounds how many batches of a group are with the database at once.
	maxAbreast = 4
	// maxBatch bounds how many callers share a statement.
	maxBatch = 256
)

// A group asks the database together what many callers ask at the same time. Nobody waits for company: a batch leaves at once, and whoever
// comes while others are on their way goes with the next. So the busier it is, the more callers share a round trip and a commit.
//
// A batch has a time of its own, because the end of one caller's context must not fail the others. A caller whose context ends is
// answered at once; what it asked for may happen nevertheless, as when an answer is lost.
type group[Q, A any] struct {
	// ask answers questions by their index. One without an answer is to be asked alone, by its caller; so are all of them after an error
	// that may be the fault of one.
	ask func(context.Context, []Q) (map[int]A, error)
	// orphan, if set, is told of an answer whose caller is gone.
	orphan func(context.Context, Q, A)

	mu      sync.Mutex
	waiting []*member[Q, A]
	running int       // batches
	left    time.Time // when the latest of them did
	closed  bool
	batches sync.WaitGroup
}

// member is one caller.
type member[Q, A any] struct {
	question Q
	answered chan struct{} // closed under the group's lock, once the fields below are set
	answer   A
	together bool // whether there is an answer
	err      error
	gone     bool
}

// do asks one question. Without an answer and without an error the caller is to ask alone, as is always right inside a transaction.
func (g *group[Q, A]) do(ctx context.Context, question Q) (answer A, together bool, err error) {
	if ctx.Value(txKey{}) != nil {
		return answer, false, nil
	}
	m := &member[Q, A]{question: question, answered: make(chan struct{})}
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		return answer, false, nil // the pool will say so
	}
	g.waiting = append(g.waiting, m)
	if g.running == 0 || g.running < maxAbreast && time.Since(g.left) > batchStuck {
		g.running++
		g.left = time.Now()
		g.batches.Go(g.work)
	}
	g.mu.Unlock()
	select {
	case <-m.answered:
		return m.answer, m.together, m.err
	case <-ctx.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-m.answered: // at the last moment
		return m.answer, m.together, m.err
	default:
	}
	m.gone = true
	g.waiting = slices.DeleteFunc(g.waiting, func(w *member[Q, A]) bool { return w == m })
	return answer, false, ctx.Err()
}

// work sends batches until nobody waits. What was stuck leaves the rest to those that went past it.
func (g *group[Q, A]) work() {
	for stuck := false; ; {
		g.mu.Lock()
		n := min(len(g.waiting), maxBatch)
		if n == 0 || stuck && g.running > 1 {
			g.running--
			g.mu.Unlock()
			return
		}
		batch := slices.Clone(g.waiting[:n])
		g.waiting = slices.Delete(g.waiting, 0, n)
		began := time.Now()
		g.left = began
		g.mu.Unlock()
		g.send(batch)
		stuck = time.Since(began) > batchStuck
	}
}

func (g *group[Q, A]) send(batch []*member[Q, A]) {
	ctx, cancel := context.WithTimeout(context.Background(), jobs.WriteTimeout())
	defer cancel()
	questions := make([]Q, len(batch))
	for i, m := range batch {
		questions[i] = m.question
	}
	answers, err := g.safely(ctx, questions)
	if err != nil && !Unavailable(err) && ctx.Err() == nil {
		answers, err = nil, nil
	}
	var orphans []*member[Q, A]
	g.mu.Lock()
	for i, m := range batch {
		m.answer, m.together = answers[i]
		m.err = err
		if m.gone && m.together && g.orphan != nil {
			orphans = append(orphans, m)
		}
		close(m.answered)
	}
	g.mu.Unlock()
	if len(orphans) == 0 {
		return
	}
	after, done := context.WithTimeout(context.Background(), jobs.WriteTimeout()) // not what is left of the batch's time
	defer done()
	for _, m := range orphans {
		g.orphan(after, m.question, m.answer)
	}
}

// safely asks, and makes an error of a panic: each caller will then meet it alone, where it is recovered and told of.
func (g *group[Q, A]) safely(ctx context.Context, questions []Q) (answers map[int]A, err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("models: a batch panicked")
		}
	}()
	return g.ask(ctx, questions)
}

// close waits for the batches that are on their way. Whoever comes later asks alone.
func (g *group[Q, A]) close() {
	if g == nil {
		return
	}
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	g.batches.Wait()
}

// oneByOne answers questions one after the other in one transaction, for a database that lives in this process: it has no round trips to
// save, only waits for the disk. One that the fence refuses has written nothing, and is left to its caller.
func oneByOne[Q, A any](ctx context.Context, s *Store, questions []Q, each func(*tx, Q) (A, error)) (map[int]A, error) {
	answers := make(map[int]A, len(questions))
	err := s.write(ctx, func(t *tx) error {
		for i, q := range questions {
			a, err := each(t, q)
			if errors.Is(err, errFenced) {
				continue
			}
			if err != nil {
				return err
			}
			answers[i] = a
		}
		return nil
	})
	return answers, err
}
