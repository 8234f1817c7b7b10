package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// row is one line of the table.
type row struct {
	what               string
	measured, baseline string
	// ratio of what was measured to the baseline; empty where a quotient says nothing.
	ratio  string
	target string // empty where there is none
	met    bool
}

type table struct{ rows []row }

func (t *table) add(r row) { t.rows = append(t.rows, r) }

// write prints the table as Markdown.
func (t *table) write(w io.Writer) {
	tw := tabwriter.NewWriter(w, 0, 0, 1, ' ', tabwriter.Debug)
	line := func(cells ...string) { fmt.Fprintf(tw, "| %s\t\n", strings.Join(cells, "\t ")) }
	line("what", "measured", "baseline", "ratio", "target", "met")
	line("---", "---", "---", "---", "---", "---")
	for _, r := range t.rows {
		met := ""
		if r.target != "" {
			met = map[bool]string{true: "yes", false: "**no**"}[r.met]
		}
		line(r.what, r.measured, r.baseline, r.ratio, r.target, met)
	}
	_ = tw.Flush() // an error of w is not ours to report
}

// median of the values, of which there is at least one.
func median[T cmp.Ordered](values []T) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// percentile returns the value below which a share p (0 to 1) of the values lie; the zero value for none.
func percentile(values []time.Duration, p float64) time.Duration {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(int(p*float64(len(sorted))), len(sorted)-1)]
}

func perSecond(n float64, unit string) string {
	if n < 10 {
		return fmt.Sprintf("%.1f %s/s", n, unit)
	}
	return fmt.Sprintf("%.0f %s/s", n, unit)
}

func ratio(a, b float64) string {
	if b == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", a/b)
}

// millis prints a duration in milliseconds, with as many digits as matter.
func millis(d time.Duration) string {
	ms := float64(d) / float64(time.Millisecond)
	if ms < 10 {
		return fmt.Sprintf("%.1f ms", ms)
	}
	return fmt.Sprintf("%.0f ms", ms)
}

// spread prints the median and the 99th percentile of times.
func spread(values []time.Duration) string {
	return millis(percentile(values, 0.5)) + " / " + millis(percentile(values, 0.99))
}
