package main

import (
	"context"
	"sync"
	"time"
)

const (
	crowd = 4 // customers at a time that measure the speed of orders

	// undiminished is which part of the speed before a fault has to be left during it.
	undiminished = 0.8
	// measurings is how often the speed is measured until it is. One takes a second, into which anything may fall that has nothing to do
	// with the fault, such as a checkpoint of the database; what the fault slows down is slow every time.
	measurings = 3
)

// keepsUp measures the speed of orders during a fault, and looks whether it is what it was before.
func (t *trial) keepsUp(scene string, before float64, measure func() float64) (during float64) {
	for range measurings {
		now := measure()
		during = max(during, now)
		if during >= undiminished*before {
			return during
		}
		t.say("  %.0f orders a second, %.0f before", now, before)
	}
	t.wrong(tooSlow, "%s: %.0f orders a second before, %.0f during, at the best of %d measurements", scene, before, during, measurings)
	return during
}

// speed measures how many orders are taken in a second, by customers who come as fast as they are answered and do not pay.
func (t *trial) speed(ctx context.Context) float64 {
	begun := time.Now()
	var all sync.WaitGroup
	for range crowd {
		all.Go(func() {
			for range t.measure / crowd {
				p := t.ledger.begin(plan{name: t.extra("speed"), lines: []orderLine{{"template-item", 1}}})
				o, err := t.order(ctx, &p.plan)
				if err != nil {
					if ctx.Err() == nil {
						t.wrong(lost, "%v", err)
					}
					return
				}
				t.ledger.acted(p, o.ID)
			}
		})
	}
	all.Wait()
	return float64(t.measure/crowd*crowd) / time.Since(begun).Seconds()
}
