package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// print writes the one table of a trial, and what must not have happened.
func (t *trial) print(w io.Writer, scenes []played, o outcome) {
	fmt.Fprintf(w, "\nseed %d, %d orders, %d faults, %s\n\n", t.seed, o.orders, len(scenes), time.Since(t.begun).Round(time.Second))
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "fault\tat\tlasted\torders\tpending\trecovered after\tslowest answer\t503\torders/s before\tduring\t")
	var slowest time.Duration
	for _, p := range scenes {
		recovered, before, during := "–", "", ""
		if p.waited {
			recovered = tenths(p.recovered)
			slowest = max(slowest, p.recovered)
		}
		if p.before > 0 {
			before, during = fmt.Sprintf("%.0f", p.before), fmt.Sprintf("%.0f", p.during)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%d\t%s\t%s\t%d\t%s\t%s\t\n", p.name, tenths(p.at), tenths(p.lasts), p.orders, p.pending, recovered,
			tenths(p.slowest), p.refused, before, during)
	}
	_ = table.Flush()
	fmt.Fprintf(w, "\norders          %d (%d paid, %d not), %d licences\n", o.orders, o.paid, o.unpaid, o.keys)
	fmt.Fprintf(w, "lost            %d\n", len(t.wrongs[lost]))
	fmt.Fprintf(w, "double effects  %d\n", len(t.wrongs[double]))
	fmt.Fprintf(w, "seen outside    %d events and %d emails; %d webhooks and %d emails came again, with the same id\n", o.events, o.mails, o.hooksAgain, o.mailsAgain)
	fmt.Fprintf(w, "turned away     %d webhooks and %d emails, by the servers outside\n", o.hooksTurned, o.mailsTurned)
	fmt.Fprintf(w, "recovery        %s at the slowest\n", tenths(slowest))
	fmt.Fprintf(w, "purser doctor   %s\n", o.doctor)
	if len(t.wrongs) == 0 {
		return
	}
	fmt.Fprintf(w, "\nIt must not have happened (seed %d, logs in %s):\n", t.seed, t.dir)
	var sorts []sort
	for s := range t.wrongs {
		sorts = append(sorts, s)
	}
	slices.Sort(sorts)
	for _, s := range sorts {
		fmt.Fprintf(w, "  %s: %d\n", s, len(t.wrongs[s]))
		for _, text := range t.wrongs[s][:min(len(t.wrongs[s]), 12)] {
			fmt.Fprintf(w, "    %s\n", strings.ReplaceAll(text, "\n", "\n    "))
		}
	}
}

func tenths(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }
