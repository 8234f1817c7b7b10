package main

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// hooks is a receiver of numbered events, with somebody who makes them.
type hooks struct {
	receiver *receiver
	make     func(n int) error // an event
	sender   *client           // of the bare ones; nil where purser sends

	failed atomic.Pointer[error]
	mu     sync.Mutex
	last   int             // number
	events map[int]passage // of the measurement that is under way, by number
	open   int             // of them that have not arrived
}

// passage is the way of one event.
type passage struct {
	asked   time.Time // before anything was sent
	arrived time.Time // zero until then
	took    time.Duration
}

// newHooks subscribes a receiver to a kind of events, which a merchant makes.
func newHooks(shop *client, kind string) (*hooks, error) {
	h := &hooks{}
	h.make = func(n int) error {
		_, err := shop.do("POST", "/v1/events", fmt.Appendf(nil, `{"type":%q,"data":{"n":%d}}`, kind, n), 201)
		return err
	}
	if err := h.listen(); err != nil {
		return nil, err
	}
	_, err := makeEndpoint(shop, h.receiver.url, kind)
	return h, err
}

// newBareHooks is the baseline: requests like webhooks, by HTTP alone.
func newBareHooks() (*hooks, error) {
	h := &hooks{}
	if err := h.listen(); err != nil {
		return nil, err
	}
	h.sender = newClient(h.receiver.address, "")
	h.make = func(n int) error {
		_, err := h.sender.do("POST", "/hooks", bareHook(n, time.Now()), 204)
		return err
	}
	return h, nil
}

// bareHook is a body as purser sends it.
func bareHook(n int, at time.Time) []byte {
	return fmt.Appendf(nil, `{"id":"evt_06h1vkcrznthn1e1eykddfq79m","type":"custom.bench","timestamp":%q,"test":true,"data":{"n":%d}}`,
		at.UTC().Format(time.RFC3339Nano), n)
}

// readHook reads from the body of a webhook the event's number and its time, which is that of the transaction that made it.
func readHook(body []byte) (n int, at time.Time, ok bool) {
	var event struct {
		Timestamp time.Time `json:"timestamp"`
		Data      struct {
			N int `json:"n"`
		} `json:"data"`
	}
	err := json.Unmarshal(body, &event)
	return event.Data.N, event.Timestamp, err == nil && event.Data.N > 0 && !event.Timestamp.IsZero()
}

func (h *hooks) listen() (err error) {
	h.reset()
	h.receiver, err = receive(h.got)
	return err
}

func (h *hooks) close() {
	if h.sender != nil {
		h.sender.close()
	}
	h.receiver.close()
}

// reset begins a measurement. Of the events before it none counts any more, should it arrive once more.
func (h *hooks) reset() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events, h.open = map[int]passage{}, 0
}

// got notes when an event arrived for the first time. What cannot be read has not arrived.
func (h *hooks) got(body []byte) {
	now := time.Now()
	n, at, ok := readHook(body)
	if !ok {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if p, ours := h.events[n]; ours && p.arrived.IsZero() {
		p.arrived, p.took = now, now.Sub(at)
		h.events[n] = p
		h.open--
	}
}

// send makes an event.
func (h *hooks) send(context.Context) error {
	h.mu.Lock()
	h.last++
	n := h.last
	h.events[n] = passage{asked: time.Now()}
	h.open++
	h.mu.Unlock()
	return h.make(n)
}

// missing is how many events have not arrived.
func (h *hooks) missing() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.open
}

func (h *hooks) settle(ctx context.Context, within time.Duration) error {
	return drained(ctx, "webhooks did not arrive", h.missing, within)
}

// steady makes events at a rate, whether or not the earlier ones have arrived, and returns how long each took.
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
	_ = h.settle(ctx, lasting) // what does not come is counted nevertheless
	return h.times(time.Now()), ctx.Err()
}

// times returns how long each event took from the transaction that made it to its arrival: the commit, the promise's way to a worker, and
// the request. The answer to whoever made the event would be no place to begin, for it is on its way at the same time as the webhook. What
// has not arrived by now is counted with all the time since somebody asked for it.
func (h *hooks) times(now time.Time) []time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	took := make([]time.Duration, 0, len(h.events))
	for _, p := range h.events {
		if p.arrived.IsZero() {
			p.took = now.Sub(p.asked)
		}
		took = append(took, p.took)
	}
	return took
}

// rate is how many events arrived a second, from the first arrival to the last.
func (h *hooks) rate() float64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	var first, last time.Time
	for _, p := range h.events {
		if first.IsZero() || p.arrived.Before(first) {
			first = p.arrived
		}
		if p.arrived.After(last) {
			last = p.arrived
		}
	}
	return float64(len(h.events)) / last.Sub(first).Seconds()
}
