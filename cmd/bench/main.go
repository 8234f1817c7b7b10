// Command bench measures a built purser and prints one table, each row beside a baseline that was measured in the same run, in turns with
// it:
//
//	make bench
//
// It drives purser as separate processes, over HTTP, against a PostgreSQL and a Redis of its own (.ci/with-stores), and is itself the
// customers, the merchants' servers and the mail server. What it measures is rates and times, so the machine should have nothing else
// to do.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench: "+err.Error())
		os.Exit(1)
	}
}

// A section measures one subject and adds its rows to the table.
type section struct {
	name string
	run  func(context.Context, *bench) error
	// asked sections run only when they are asked for by name.
	asked bool
}

var sections = []section{
	{name: "footprint", run: measureFootprint},
	{name: "pages", run: measurePages},
	{name: "orders", run: measureOrders},
	{name: "journey", run: measureJourney},
	{name: "webhooks", run: measureWebhooks},
	{name: "isolation", run: measureIsolation},
	{name: "growth", run: measureGrowth, asked: true},
}

// bench is one run.
type bench struct {
	purser string // the program
	stores stores
	dir    string // for data, sockets and logs; removed at the end
	quick  bool
	growth int // orders that the database of the section growth holds
	table  table
	err    io.Writer
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	if len(args) == 1 && args[0] == idleCommand {
		return idle(ctx)
	}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	b := &bench{err: stderr}
	flags.StringVar(&b.purser, "purser", "bin/purser", "the program that is measured")
	flags.BoolVar(&b.quick, "quick", false, "fewer and shorter measurements, for a first look")
	flags.IntVar(&b.growth, "growth", 5_000_000, "how many orders the database of the section growth holds, 10 kB each")
	only := flags.String("only", "", "sections separated by commas: "+strings.Join(sectionNames(), ", "))
	if err := flags.Parse(args); err != nil {
		return err
	}
	chosen, err := chooseSections(*only)
	if err != nil {
		return err
	}
	if b.stores, err = storesFromEnv(os.Getenv); err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp("", "purser-bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	if b.purser, err = installed(b.purser, b.dir); err != nil {
		return err
	}
	for _, s := range chosen {
		started := time.Now()
		b.say("%s …", s.name)
		if err := s.run(ctx, b); err != nil {
			err = fmt.Errorf("%s: %w", s.name, err)
			b.table.write(stdout)
			return err
		}
		b.say("%s took %s", s.name, time.Since(started).Round(time.Second))
	}
	b.table.write(stdout)
	return nil
}

// installed copies a program into a folder as package managers and container engines unpack one, piece by piece, and returns the copy's path. Of
// one that was written in large pieces, as by a linker a moment ago, Linux counts up to 20 MB more of its file as the process's memory.
func installed(program, dir string) (path string, err error) {
	from, err := os.Open(program)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	path = filepath.Join(dir, "purser")
	to, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o755)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	// The wrapper keeps the kernel from copying it as a whole.
	_, err = io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{from}, make([]byte, 32<<10))
	return path, err
}

func sectionNames() []string {
	names := make([]string, len(sections))
	for i, s := range sections {
		names[i] = s.name
	}
	return names
}

func chooseSections(only string) (chosen []section, err error) {
	if only == "" {
		for _, s := range sections {
			if !s.asked {
				chosen = append(chosen, s)
			}
		}
		return chosen, nil
	}
	for name := range strings.SplitSeq(only, ",") {
		i := slices.IndexFunc(sections, func(s section) bool { return s.name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no section %q; there are %s", name, strings.Join(sectionNames(), ", "))
		}
		chosen = append(chosen, sections[i])
	}
	return chosen, nil
}

// say tells how far the run is, beside the table.
func (b *bench) say(format string, args ...any) { fmt.Fprintf(b.err, "bench: "+format+"\n", args...) }

// rounds is how often an alternating measurement is repeated, and how long each lasts.
func (b *bench) rounds() (n int, each time.Duration) {
	if b.quick {
		return 3, 2 * time.Second
	}
	return 5, 5 * time.Second
}
