// Command chaos breaks an installation of Purser on purpose, while customers buy, and looks whether anybody outside can tell. It starts
// a PostgreSQL, a Redis, a mail server and a merchant's server of its own, and the built purser as separate processes; it knows nothing
// of Purser that a storefront, a merchant and an operator do not know.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// The exit codes.
const (
	exitOK     = 0
	exitBroken = 1 // something happened that must not
	exitFailed = 2 // the trial could not be held
)

func run(ctx context.Context, args []string, out, log io.Writer) int {
	o := options{out: log}
	f := flag.NewFlagSet("chaos", flag.ContinueOnError)
	f.SetOutput(log)
	f.StringVar(&o.purser, "purser", "bin/purser", "the program to break")
	f.StringVar(&o.postgres, "postgres", "", "the folder of PostgreSQL's programs, as .ci/find postgres prints it")
	f.StringVar(&o.redis, "redis", "redis-server", "the Redis program")
	f.IntVar(&o.orders, "orders", 1000, "how many customers come")
	f.IntVar(&o.faults, "faults", 0, "how many faults happen; 0 is every kind once, with the storms between them")
	f.IntVar(&o.measure, "measure", 100, "how many orders tell how fast orders are taken, before and while Redis is broken: 100 tell whether Redis matters, 1000 how fast it is")
	f.Uint64Var(&o.seed, "seed", 1, "decides the customers and the faults")
	f.BoolVar(&o.short, "short", false, "only quick faults, one upon the other, as in make test")
	f.Func("only", "only the kinds of faults that a regular expression matches, such as 'Redis|SIGKILL one'", func(text string) (err error) {
		o.only, err = regexp.Compile(text)
		return err
	})
	keep := f.Bool("keep", false, "keep the logs, also if all is well")
	if err := f.Parse(args); err != nil || f.NArg() > 0 || o.orders < 1 || o.faults < 0 || o.measure < crowd {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(log, "chaos: see chaos -help")
		}
		return exitFailed
	}
	if err := o.locate(); err != nil {
		fmt.Fprintln(log, "chaos:", err)
		return exitFailed
	}
	broken, err := hold(ctx, o, out, *keep)
	switch {
	case err != nil:
		fmt.Fprintln(log, "chaos:", err)
		return exitFailed
	case broken:
		return exitBroken
	}
	return exitOK
}

// locate makes the addresses of the programs whole: each is started in a folder of its own.
func (o *options) locate() error {
	for _, program := range []*string{&o.purser, &o.redis} {
		found, err := exec.LookPath(*program)
		if err != nil {
			return err
		}
		if *program, err = filepath.Abs(found); err != nil {
			return err
		}
	}
	if o.postgres == "" {
		return nil // its programs are on the path
	}
	var err error
	o.postgres, err = filepath.Abs(o.postgres)
	return err
}

// hold holds a trial, prints its table, and reports whether anything happened that must not.
func hold(ctx context.Context, o options, out io.Writer, keep bool) (broken bool, err error) {
	scenes := schedule(o.seed, o.faults, o.only)
	if o.short {
		scenes = shortSchedule(o.seed)
	}
	if len(scenes) == 0 {
		return false, errors.New("there is no such fault")
	}
	plans := make([]plan, o.orders)
	for n := range plans {
		plans[n] = planOf(o.seed, n)
	}
	keys := stock(plans)
	keys["pool-unit"] += len(scenes) // for the probes
	t, err := newTrial(ctx, o)
	t.refused = refuses554(scenes)
	var report []played
	var result outcome
	if err == nil {
		err = t.openShop(ctx, keys)
	}
	if err == nil {
		report, err = t.perform(ctx, scenes, plans)
	}
	if err == nil {
		result, err = t.check(ctx)
	}
	closed := t.close(keep || err != nil)
	t.print(out, report, result)
	if err != nil {
		return false, fmt.Errorf("%w (logs in %s)", errors.Join(err, closed), t.dir)
	}
	return len(t.wrongs) > 0, closed
}
