package main

import (
	"slices"
	"time"
)

// inTurns measures each of several things once, then each again, n times each, so that what else the machine does meets them alike. It
// returns for each what its measurements gave.
func inTurns[T any](n int, measures ...func() (T, error)) ([][]T, error) {
	got := make([][]T, len(measures))
	for range n {
		for i, measure := range measures {
			v, err := measure()
			if err != nil {
				return nil, err
			}
			got[i] = append(got[i], v)
		}
	}
	return got, nil
}

// alternate measures ours and the baseline in turns, and returns the medians.
func (b *bench) alternate(ours, baseline func(time.Duration) (float64, error)) (got, base float64, err error) {
	n, each := b.rounds()
	rates, err := inTurns(n, func() (float64, error) { return ours(each) }, func() (float64, error) { return baseline(each) })
	if err != nil {
		return 0, 0, err
	}
	b.say("  measured %.0f, baseline %.0f", rates[0], rates[1])
	return median(rates[0]), median(rates[1]), nil
}

// alternateTimes measures times of ours and of the baseline in turns, and returns those of all rounds. Percentiles are for all of them
// together: the p99 of one round is what its ten slowest say, and the median of such p99s would hide a round that went badly.
func (b *bench) alternateTimes(ours, baseline func(time.Duration) ([]time.Duration, error)) (got, base []time.Duration, err error) {
	n, each := b.rounds()
	times, err := inTurns(n,
		func() ([]time.Duration, error) { return ours(each) }, func() ([]time.Duration, error) { return baseline(each) })
	if err != nil {
		return nil, nil, err
	}
	for round := range n {
		b.say("  measured %s, baseline %s", spread(times[0][round]), spread(times[1][round]))
	}
	return slices.Concat(times[0]...), slices.Concat(times[1]...), nil
}
