package main

import (
	"github.com/spf13/cobra"
)

func (p *Program) runCommand() *cobra.Command {
	var demo bool
	cmd := &cobra.Command{
		Use: "run", Short: "Run everything in one process; with embedded stores where none are set",
		Long: `Run the API, a worker and a scheduler in one process. Where PURSER_DATABASE_URL or PURSER_REDIS_URL is not set, an embedded
database in the data directory and an in-process Redis take their place.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return p.serve(cmd, roleRun, demo) },
	}
	cmd.Flags().BoolVar(&demo, "demo", false, "seed a demo merchant and open the mailbox to everybody on this machine")
	addSettingFlags(cmd.Flags(), roleRun)
	return cmd
}

func (p *Program) roleCommands() []*cobra.Command {
	role := func(use, short string, r role) *cobra.Command {
		cmd := &cobra.Command{
			Use: use, Short: short, Args: noArgs,
			RunE: func(cmd *cobra.Command, _ []string) error { return p.serve(cmd, r, false) },
		}
		addSettingFlags(cmd.Flags(), r)
		return cmd
	}
	return []*cobra.Command{
		role("api", "Run the API and the hosted pages; any number of these", roleAPI),
		role("worker", "Run a worker that performs jobs; any number of these", roleWorker),
		role("scheduler", "Run a scheduler: the relay and the periodic jobs; any number of these", roleScheduler),
	}
}
