package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// What one order of the journey causes.
const (
	hooksPerOrder = 4 // order.created, payment.succeeded, product.delivered, order.delivered
	jobsPerOrder  = hooksPerOrder + 3
)

// The targets of the journey.
const (
	journeyTarget = 150 // orders a second
	restTarget    = 200 * time.Millisecond
	loadTarget    = time.Second
)

// keyMark begins every key of the pool, so that the email with the licence is known by it.
const keyMark = "BENCHKEY"

// journey is a shop with customers who order and pay, a receiver of its webhooks and a mail server.
type journey struct {
	b       *bench
	i       *installation
	shop    *client
	hooks   *receiver
	mail    *mailServer
	paid    atomic.Int64 // orders
	mailed  atomic.Int64 // licences
	failed  atomic.Pointer[error]
	mu      sync.Mutex
	waiting map[string]time.Time // when the customer paid, by email
	took    []time.Duration      // from paying to the licence email
}

// newJourney opens a shop at an installation, which gets a mail server where it is not embedded.
func newJourney(ctx context.Context, i *installation, keys int) (j *journey, p *process, err error) {
	j = &journey{b: i.b, i: i, waiting: map[string]time.Time{}}
	if j.mail, err = takeMail("127.0.0.1:0", j.gotMail); err != nil {
		return nil, nil, err
	}
	i.smtp = j.mail.address()
	if j.hooks, err = receive(nil); err != nil {
		return nil, nil, err
	}
	m, err := i.merchant(ctx, "Analytical Engines")
	if err != nil {
		return nil, nil, err
	}
	if p, err = i.start(ctx, "run"); err != nil {
		return nil, nil, err
	}
	j.shop = newClient(p.address, m.key)
	product, err := makeProduct(j.shop, "editor-pro", "pool")
	if err != nil {
		return nil, nil, err
	}
	if _, err := makeEndpoint(j.shop, j.hooks.url, "*"); err != nil {
		return nil, nil, err
	}
	return j, p, j.fillPool(product, keys)
}

func (j *journey) close() {
	j.shop.close()
	j.hooks.close()
	j.mail.close()
}

// fillPool uploads keys.
func (j *journey) fillPool(product string, keys int) error {
	const batch = 5000
	for from := 0; from < keys; from += batch {
		var text strings.Builder
		for n := range min(batch, keys-from) {
			fmt.Fprintf(&text, "%s-%08d\\n", keyMark, from+n)
		}
		body := []byte(`{"keys":["` + strings.ReplaceAll(strings.TrimSuffix(text.String(), "\\n"), "\\n", `","`) + `"]}`)
		if _, err := j.shop.do("POST", "/v1/products/"+product+"/keys", body, 200); err != nil {
			return err
		}
	}
	return nil
}

// gotMail is told of every email.
func (j *journey) gotMail(recipient string, content []byte) {
	if !bytes.Contains(content, []byte(keyMark)) {
		return
	}
	now := time.Now()
	j.mailed.Add(1)
	j.mu.Lock()
	defer j.mu.Unlock()
	if at, ok := j.waiting[recipient]; ok {
		j.took = append(j.took, now.Sub(at))
		delete(j.waiting, recipient)
	}
}

// buy orders and pays.
func (j *journey) buy() error {
	o, err := j.shop.order("editor-pro")
	if err != nil {
		return err
	}
	j.mu.Lock()
	j.waiting[o.email] = time.Now()
	j.mu.Unlock()
	if err := j.shop.pay(o.ID); err != nil {
		return err
	}
	j.paid.Add(1)
	return nil
}

// times returns how long the licences took since it was last asked.
func (j *journey) times() []time.Duration {
	j.mu.Lock()
	defer j.mu.Unlock()
	took := j.took
	j.took = nil
	return took
}

// backlog is how many orders' worth of emails and webhooks is still to come.
func (j *journey) backlog() float64 {
	paid := j.paid.Load()
	return max(float64(paid-j.mailed.Load()), float64(paid*hooksPerOrder-j.hooks.received.Load())/hooksPerOrder)
}

// settle waits until everything has come.
func (j *journey) settle(ctx context.Context, within time.Duration) error {
	return drained(ctx, "orders were not complete", j.backlog, within)
}

// drained waits until nothing is left.
func drained[N int | float64](ctx context.Context, what string, left func() N, within time.Duration) error {
	for end := time.Now().Add(within); left() > 0; {
		if time.Now().After(end) {
			return fmt.Errorf("%v %s within %s", left(), what, within)
		}
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// pace is what came of orders at a fixed rate.
type pace struct {
	rate      float64 // that was reached
	sustained bool    // it was, and nothing piled up
	growth    float64 // of the backlog, in orders, from the first to the last quarter
	cpu       string  // that an order used: purser, PostgreSQL, Redis
	took      []time.Duration
}

// maxCrowd bounds the customers who wait for an answer at a time. Where it is reached, the rate is not.
const maxCrowd = 64

// at lets customers buy at a rate, whether or not the earlier ones have been served, as customers do.
func (j *journey) at(ctx context.Context, rate float64, lasting time.Duration) (pace, error) {
	j.times()
	used, err := j.i.cpu(ctx)
	if err != nil {
		return pace{}, err
	}
	before, began := j.paid.Load(), time.Now()
	var all sync.WaitGroup
	var backlogs []float64
	sample := began
	crowd := make(chan struct{}, maxCrowd)
	for n := 0; ; n++ {
		due := began.Add(time.Duration(float64(n) / rate * float64(time.Second)))
		if due.Sub(began) >= lasting || j.failed.Load() != nil {
			break
		}
		if wait := time.Until(due); wait > 0 {
			if err := pause(ctx, wait); err != nil {
				return pace{}, err
			}
		}
		if now := time.Now(); now.Sub(sample) >= lasting/40 {
			sample = now
			backlogs = append(backlogs, j.backlog())
		}
		crowd <- struct{}{}
		all.Go(func() {
			defer func() { <-crowd }()
			if err := j.buy(); err != nil {
				j.failed.CompareAndSwap(nil, &err)
			}
		})
	}
	ended := time.Since(began)
	reached := float64(j.paid.Load()-before) / ended.Seconds()
	all.Wait()
	if err := j.failed.Load(); err != nil {
		return pace{}, *err
	}
	p := pace{rate: reached, growth: mean(backlogs[len(backlogs)*3/4:]) - mean(backlogs[:len(backlogs)/4])}
	// Half a second's worth is the noise of a busy machine.
	p.sustained = p.rate > 0.97*rate && p.growth < rate/2
	if err := j.settle(ctx, 10*lasting+time.Minute); err != nil {
		return p, err
	}
	p.took = j.times()
	now, err := j.i.cpu(ctx)
	p.cpu = now.since(used, float64(j.paid.Load()-before))
	return p, err
}

func mean(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / float64(max(len(values), 1))
}

// atRest buys now and then.
func (j *journey) atRest(ctx context.Context, times int) ([]time.Duration, error) {
	j.times()
	for range times {
		if err := pause(ctx, time.Duration(100+rand.IntN(200))*time.Millisecond); err != nil {
			return nil, err
		}
		if err := j.buy(); err != nil {
			return nil, err
		}
		if err := j.settle(ctx, patience); err != nil {
			return nil, err
		}
	}
	return j.times(), nil
}

// measureJourney takes orders from checkout to the last webhook at rising rates.
func measureJourney(ctx context.Context, b *bench) (err error) {
	i, err := b.install(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, i.close()) }()
	times, minute, step := 100, time.Minute, 20*time.Second
	if b.quick {
		times, minute, step = 30, 15*time.Second, 8*time.Second
	}
	j, _, err := newJourney(ctx, i, 40_000)
	if err != nil {
		return err
	}
	defer j.close()
	if err := j.measure(ctx, "PostgreSQL and Redis", i.redisURL, times, minute, step); err != nil {
		return err
	}
	return measureEmbeddedJourney(ctx, b)
}

// measureEmbeddedJourney does the same on embedded stores, where there is nothing to compare it with.
func measureEmbeddedJourney(ctx context.Context, b *bench) (err error) {
	i, err := b.installEmbedded()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, i.close()) }()
	step := 20 * time.Second
	if b.quick {
		step = 8 * time.Second
	}
	j, _, err := newJourney(ctx, i, 20_000)
	if err != nil {
		return err
	}
	defer j.close()
	if _, err := j.at(ctx, 25, 3*time.Second); err != nil { // warm up
		return err
	}
	most, err := j.highest(ctx, 0, step)
	if err != nil {
		return err
	}
	used, err := j.at(ctx, max(most/2, 5), step)
	if err != nil {
		return err
	}
	b.table.add(row{what: "whole journey, highest rate sustained, embedded stores", measured: perSecond(most, "orders")})
	b.table.add(row{what: "processor time of one journey at half of that, embedded stores", measured: used.cpu})
	return nil
}

// highest finds the highest rate that is sustained, in steps of 25, from one that is known to be.
func (j *journey) highest(ctx context.Context, most float64, step time.Duration) (float64, error) {
	for rate, by := most+50, 50.0; by > 12; {
		p, err := j.at(ctx, rate, step)
		if err != nil {
			return most, err
		}
		j.b.say("  %.0f orders/s for %s: reached %.0f, backlog %+.0f, %s, CPU an order %s", rate, step, p.rate, p.growth, spread(p.took), p.cpu)
		if p.sustained {
			most = rate
			rate += by
		} else {
			by /= 2
			rate -= by
		}
	}
	return most, nil
}

// measure adds the rows of one profile. The baseline is measured before the first step, after the last, and between all of them, while
// purser rests.
func (j *journey) measure(ctx context.Context, profile, redisURL string, times int, minute, step time.Duration) error {
	b := j.b
	bare := bareAsynq{redisURL: redisURL}
	baseline := func() error { return bare.measure(ctx, step/4, times/25) }
	if err := baseline(); err != nil {
		return err
	}
	rest, err := j.atRest(ctx, times)
	if err != nil {
		return err
	}
	if err := baseline(); err != nil {
		return err
	}
	// What only the first minute of an installation pays: each connection plans each statement half a dozen times before PostgreSQL settles
	// for a plan, and without statistics it plans badly.
	if _, err := j.at(ctx, journeyTarget, 10*time.Second); err != nil {
		return err
	}
	if err := j.i.analyze(ctx); err != nil {
		return err
	}
	first, err := j.at(ctx, journeyTarget, minute)
	if err != nil {
		return err
	}
	b.say("  %.0f orders/s for %s: reached %.0f, backlog %+.0f, %s, CPU an order %s", float64(journeyTarget), minute, first.rate, first.growth, spread(first.took), first.cpu)
	if err := baseline(); err != nil {
		return err
	}
	most := 0.0
	if first.sustained {
		most = journeyTarget
	}
	if most, err = j.highest(ctx, most, step); err != nil {
		return err
	}
	if err := baseline(); err != nil {
		return err
	}
	loaded, err := j.at(ctx, max(most/2, 5), minute/2)
	if err != nil {
		return err
	}
	if err := baseline(); err != nil {
		return err
	}
	b.say("  baseline %.0f tasks/s, %s", bare.tasks, spread(bare.hops))
	base := median(bare.tasks) / jobsPerOrder
	b.table.add(row{
		what:     fmt.Sprintf("whole journey at %d orders/s for %s, %s; baseline: %d empty tasks an order by bare Asynq", journeyTarget, minute, profile, jobsPerOrder),
		measured: fmt.Sprintf("%.0f orders/s, backlog %+.0f", first.rate, first.growth), baseline: perSecond(base, "orders"),
		ratio: ratio(first.rate, base), target: "≥ 150 orders/s", met: first.sustained,
	})
	b.table.add(row{
		what: "whole journey, highest rate sustained, " + profile, measured: perSecond(most, "orders"), baseline: perSecond(base, "orders"),
		ratio: ratio(most, base), target: "towards 300", met: most >= 300,
	})
	b.table.add(row{what: "processor time of one journey, " + profile + ": purser + PostgreSQL + Redis", measured: first.cpu})
	b.table.add(row{
		what:     "payment to licence email, at rest, p50 / p99, " + profile + "; baseline: two empty tasks by bare Asynq, one after the other",
		measured: spread(rest), baseline: spread(bare.hops), target: "p99 < 200 ms", met: percentile(rest, 0.99) < restTarget,
	})
	b.table.add(row{
		what:     fmt.Sprintf("payment to licence email, at half load (%.0f orders/s), p50 / p99, %s; baseline as above", most/2, profile),
		measured: spread(loaded.took), baseline: spread(bare.hops), target: "p99 < 1 s", met: percentile(loaded.took, 0.99) < loadTarget,
	})
	return nil
}
