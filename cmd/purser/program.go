package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/purser-dev/purser/jobs"
)

// Exit codes of the program. A second signal after signalEcho ends it with 128 + the signal's number, as shells do.
const (
	exitOK      = 0
	exitFailure = 1
	// exitUsage is a wrong command line or a wrong setting: starting again without a change is no use.
	exitUsage = 2
)

// signalEcho is how long after the first signal others are the same request to stop. Whoever stops a process may send several at once:
// GNU timeout to its child and then to the group, a terminal to the group of which a wrapper passes it on.
const signalEcho = 2 * time.Second

// Program is one run of purser. It touches nothing of the process around it, so that tests run it as main does.
type Program struct {
	// Args are the arguments behind the program's name.
	Args []string
	// Env is NAME=value pairs, as os.Environ has them.
	Env []string
	// Dir is the directory against which .env and relative paths are read; "" is the process's working directory.
	Dir    string
	Stdin  io.Reader
	Stdout io.Writer
	// Stderr gets the log and the error that ends the run. A second signal is reported there while the command may still be writing.
	Stderr io.Writer
	// Signals: the first one ends the context of the command, which finishes its work in hand; one that comes signalEcho later or after that
	// makes Run return at once. May be nil.
	Signals <-chan os.Signal
	Version versionInfo
	// now is the clock, asked once for each signal; nil is time.Now.
	now func() time.Time
}

// Run executes the command and returns its exit code.
func (p *Program) Run(ctx context.Context) int {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- p.execute(ctx) }()
	now := p.now
	if now == nil {
		now = time.Now
	}
	var asked time.Time // when the first signal came
	for {
		select {
		case err := <-done:
			return p.report(err)
		case got := <-p.Signals:
			at := now()
			if asked.IsZero() {
				asked = at
				cancel()
			} else if at.Sub(asked) >= signalEcho {
				fmt.Fprintf(p.Stderr, "purser: %s again, leaving unfinished work to the next start\n", got)
				return exitSignalled(got)
			}
		}
	}
}

func (p *Program) execute(ctx context.Context) error {
	root := p.rootCommand()
	// nil would make cobra read the arguments of the process.
	root.SetArgs(append([]string{}, p.Args...))
	root.SetIn(p.Stdin)
	root.SetOut(p.Stdout)
	root.SetErr(p.Stderr)
	return root.ExecuteContext(ctx)
}

// report prints what ended the run, a line for each problem, and chooses the exit code.
func (p *Program) report(err error) int {
	if err == nil {
		return exitOK
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		fmt.Fprintln(p.Stderr, "purser: "+line)
	}
	var usage usageError
	var settings settingsError
	if errors.As(err, &usage) {
		fmt.Fprintf(p.Stderr, "purser: `%s --help` tells more\n", usage.command)
		return exitUsage
	}
	if errors.As(err, &settings) {
		return exitUsage
	}
	return exitFailure
}

func exitSignalled(s os.Signal) int {
	if number, ok := s.(syscall.Signal); ok {
		return 128 + int(number)
	}
	return exitFailure
}

// usageError is a command line that makes no sense.
type usageError struct {
	command string
	problem error
}

func (e usageError) Error() string { return e.problem.Error() }
func (e usageError) Unwrap() error { return e.problem }

// rootCommand is the tree of everything purser can do.
func (p *Program) rootCommand() *cobra.Command {
	root := group(&cobra.Command{
		Use:   "purser",
		Short: "Self-hosted order fulfilment for software and other digital goods",
		Long: `Purser takes orders for software and other digital goods, takes the money, produces the licences,
delivers them and tells the merchant. Settings come from flags, then the environment, then a .env file.`,
		// Program.report prints errors, once.
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       p.Version.String(), // of --version
	},
		p.runCommand(),
		p.migrateCommand(),
		p.merchantCommand(),
		p.keyCommand(),
		p.staffCommand(),
		p.operatorCommand(),
		p.jobsCommand(),
		p.licenseCommand(),
		p.doctorCommand(),
		p.readyCommand(),
		p.settingsCommand(),
		p.versionCommand(),
	)
	root.AddCommand(p.roleCommands()...)
	root.SetVersionTemplate("{{.Version}}\n")
	// Cobra would report these as an error like any other, after the command's own checks.
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		if err := cmd.ValidateRequiredFlags(); err != nil {
			return usageError{cmd.CommandPath(), err}
		}
		return nil
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError{cmd.CommandPath(), err}
	})
	return root
}

// group makes cmd print its help and refuse words that are none of its commands. Cobra by itself does the latter for the root only.
func group(cmd *cobra.Command, commands ...*cobra.Command) *cobra.Command {
	cmd.AddCommand(commands...)
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		problem := fmt.Errorf("unknown command %q for %q", args[0], cmd.CommandPath())
		cmd.SuggestionsMinimumDistance = 2
		if like := cmd.SuggestionsFor(args[0]); len(like) > 0 {
			problem = fmt.Errorf("%w, did you mean %s?", problem, strings.Join(like, " or "))
		}
		return usageError{cmd.CommandPath(), problem}
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	return cmd
}

// noArgs refuses arguments that are no flags.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{cmd.CommandPath(), fmt.Errorf("%s takes no arguments, got %q", cmd.CommandPath(), args[0])}
	}
	return nil
}

// configure reads the settings of a command that was given addSettingFlags for roles, and opens its log on Stderr, which begins with the warnings.
func (p *Program) configure(cmd *cobra.Command, roles role, demo bool) (Settings, *slog.Logger, error) {
	envFile, err := cmd.Flags().GetString("env-file")
	if err != nil {
		return Settings{}, nil, err
	}
	s, err := loadSettings(settingsSources{
		flags:    cmd.Flags(),
		env:      p.Env,
		dir:      p.Dir,
		envFile:  envFile,
		roles:    roles,
		demo:     demo,
		terminal: isTerminal(p.Stderr),
		checkQueue: func(name string) error {
			_, err := jobs.QueueByName(name)
			return err
		},
	})
	if err != nil {
		return Settings{}, nil, err
	}
	log := newLogger(p.Stderr, s)
	for _, warning := range s.Warnings {
		log.Warn(warning)
	}
	return s, log, nil
}
