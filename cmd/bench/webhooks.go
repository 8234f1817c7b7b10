package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// The targets of webhooks.
const (
	burstTarget   = 2000 // deliveries a second
	steadyRate    = 200
	steadyMedian  = 5 * time.Millisecond
	steadyTail    = 20 * time.Millisecond
	numberInEvent = `"n":`
)

// hooks is a merchant who sends events of their own to a receiver.
type hooks struct {
	shop     *client
	receiver *receiver
	kind     string // of the events

	mu     sync.Mutex
	next   int
	arrive map[int]time.Time
	answer map[int]time.Time
	failed atomic.Pointer[error]
}

// newHooks subscribes a receiver to a kind of events.
func newHooks(shop *client, kind string) (h *hooks, err error) {
	h = &hooks{shop: shop, kind: kind}
	h.reset()
	if h.receiver, err = receive(h.got); err != nil {
		return nil, err
	}
	_, err = makeEndpoint(shop, h.receiver.url, kind)
	return h, err
}

func (h *hooks) reset() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.arrive, h.answer = map[int]time.Time{}, map[int]time.Time{}
}

// got notes when an event arrived for the first time.
func (h *hooks) got(body []byte) {
	now := time.Now()
	_, rest, ok := bytes.Cut(body, []byte(numberInEvent))
	if !ok {
		return
	}
	end := bytes.IndexByte(rest, '}')
	n, err := strconv.Atoi(string(rest[:max(end, 0)]))
	if err != nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, again := h.arrive[n]; !again {
		h.arrive[n] = now
	}
}

// send makes an event.
func (h *hooks) send(context.Context) error {
	h.mu.Lock()
	h.next++
	n := h.next
	h.mu.Unlock()
	body := fmt.Appendf(nil, `{"type":%q,"data":{`+numberInEvent+`%d}}`, h.kind, n)
	if _, err := h.shop.do("POST", "/v1/events", body, 201); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answer[n] = time.Now()
	return nil
}

// missing is how many events that were made have not arrived.
func (h *hooks) missing() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.answer) - len(h.arrive)
}

func (h *hooks) settle(ctx context.Context, within time.Duration) error {
	for end := time.Now().Add(within); h.missing() > 0; {
		if time.Now().After(end) {
			return fmt.Errorf("%d webhooks did not arrive within %s", h.missing(), within)
		}
		if err := pause(ctx, 5*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// steady makes events at a rate, and returns how long each took from the answer of the request that made it to its arrival.
func (h *hooks) steady(ctx context.Context, rate float64, lasting time.Duration) ([]time.Duration, error) {
	h.reset()
	began := time.Now()
	var all sync.WaitGroup
	for n := 0; ; n++ {
		due := began.Add(time.Duration(float64(n) / rate * float64(time.Second)))
		if due.Sub(began) >= lasting {
			break
		}
		if wait := time.Until(due); wait > 0 {
			if err := pause(ctx, wait); err != nil {
				return nil, err
			}
		}
		all.Go(func() {
			if err := h.send(ctx); err != nil {
				h.failed.CompareAndSwap(nil, &err)
			}
		})
	}
	all.Wait()
	if err := h.failed.Load(); err != nil {
		return nil, *err
	}
	waited := time.Now()
	_ = h.settle(ctx, lasting) // what does not come is counted with the time for which it was waited
	h.mu.Lock()
	defer h.mu.Unlock()
	took := make([]time.Duration, 0, len(h.answer))
	for n, at := range h.answer {
		arrived, ok := h.arrive[n]
		if !ok {
			arrived = waited.Add(lasting)
		}
		took = append(took, max(arrived.Sub(at), 0)) // it may be there before the answer is
	}
	return took, ctx.Err()
}

// measureWebhooks lets a backlog of webhooks go at once, and then a steady trickle.
func measureWebhooks(ctx context.Context, b *bench) (err error) {
	i, err := b.install(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, i.close()) }()
	i.smtp = "127.0.0.1:9" // nothing is sent
	m, err := i.merchant(ctx, "Analytical Engines")
	if err != nil {
		return err
	}
	p, err := i.start(ctx, "api")
	if err != nil {
		return err
	}
	shop := newClient(p.address, m.key)
	defer shop.close()
	h, err := newHooks(shop, "custom.bench")
	if err != nil {
		return err
	}
	defer h.receiver.close()
	backlog, lasting := 10_000, 20*time.Second
	if b.quick {
		backlog, lasting = 3000, 6*time.Second
	}
	burst, used, err := h.burst(ctx, i, backlog)
	if err != nil {
		return err
	}
	bare, direct, err := bareHooks(ctx)
	if err != nil {
		return err
	}
	took, err := h.steady(ctx, steadyRate, lasting)
	if err != nil {
		return err
	}
	b.table.add(row{
		what:     fmt.Sprintf("webhooks, a backlog of %d; baseline: the same by HTTP alone, 32 at a time", backlog),
		measured: perSecond(burst, "deliveries"), baseline: perSecond(bare, "requests"), ratio: ratio(burst, bare),
		target: "≥ 2000/s", met: burst >= burstTarget,
	})
	b.table.add(row{what: "processor time of one webhook: purser + PostgreSQL + Redis", measured: used})
	b.table.add(row{
		what:     fmt.Sprintf("webhooks at %d a second, from the event's answer to its arrival, p50 / p99; baseline: one HTTP request", steadyRate),
		measured: spread(took), baseline: spread(direct), target: "5 / 20 ms",
		met: percentile(took, 0.5) <= steadyMedian && percentile(took, 0.99) <= steadyTail,
	})
	return nil
}

// burst makes events while no worker runs, and then lets a worker at them. It returns how many arrived a second.
func (h *hooks) burst(ctx context.Context, i *installation, n int) (rate float64, used string, err error) {
	var left atomic.Int64
	left.Store(int64(n))
	errDone := errors.New("done")
	if _, err := crowd(ctx, clients, time.Hour, func(ctx context.Context) error {
		if left.Add(-1) < 0 {
			return errDone
		}
		return h.send(ctx)
	}); !errors.Is(err, errDone) {
		return 0, "", err
	}
	if _, err := i.start(ctx, "scheduler"); err != nil {
		return 0, "", err
	}
	before, err := i.cpu(ctx)
	if err != nil {
		return 0, "", err
	}
	if _, err := i.start(ctx, "worker"); err != nil {
		return 0, "", err
	}
	if err := h.settle(ctx, 5*time.Minute); err != nil {
		return 0, "", err
	}
	after, err := i.cpu(ctx)
	if err != nil {
		return 0, "", err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	var first, last time.Time
	for _, at := range h.arrive {
		if first.IsZero() || at.Before(first) {
			first = at
		}
		if at.After(last) {
			last = at
		}
	}
	return float64(n) / last.Sub(first).Seconds(), after.since(before, float64(n)), nil
}

// bareHooks sends requests of the size of a webhook to a receiver of its own.
func bareHooks(ctx context.Context) (rate float64, took []time.Duration, err error) {
	r, err := receive(nil)
	if err != nil {
		return 0, nil, err
	}
	defer r.close()
	c := newClient(r.address, "")
	defer c.close()
	body := bytes.Repeat([]byte("x"), 200)
	request := func(context.Context) error {
		_, err := c.do("POST", "/hooks", body, 204)
		return err
	}
	if rate, err = crowd(ctx, clients, 2*time.Second, request); err != nil {
		return 0, nil, err
	}
	for range 500 {
		began := time.Now()
		if err := request(ctx); err != nil {
			return 0, nil, err
		}
		took = append(took, time.Since(began))
	}
	return rate, took, nil
}
