package main

import (
	"encoding/json"
	"fmt"
	"os/user"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/purser-dev/purser/models"
)

func (p *Program) jobsCommand() *cobra.Command {
	var f models.JobFilter
	var state string
	list := &cobra.Command{Use: "list", Short: "List jobs, newest first", Example: "  purser jobs list --state dead"}
	list.Flags().StringVar(&state, "state", "", "only those in this state: due, running, done, dead or cancelled")
	list.Flags().StringVar(&f.Kind, "kind", "", "only those of this kind, such as email.send")
	list.Flags().StringVar(&f.Order, "order", "", "only those of this order")
	list.Flags().IntVar(&f.Limit, "limit", 50, "how many, from 1 to 1000")
	list.PreRunE = func(cmd *cobra.Command, _ []string) error {
		if f.Limit < 1 || f.Limit > 1000 {
			return usageError{cmd.CommandPath(), fmt.Errorf("--limit is 1 to 1000, got %d", f.Limit)}
		}
		switch f.State = models.JobState(state); f.State {
		case "", models.JobDue, models.JobRunning, models.JobDone, models.JobDead, models.JobCancelled:
			return nil
		}
		return usageError{cmd.CommandPath(), fmt.Errorf("--state is due, running, done, dead or cancelled, got %q", state)}
	}
	show := &cobra.Command{Use: "show JOB_ID", Short: "Show all of one job as JSON", Args: exactly(1, "the id of a job")}
	retry := &cobra.Command{Use: "retry JOB_ID", Short: "Give a dead or cancelled job a new life, or run a waiting one now", Args: exactly(1, "the id of a job")}
	cancel := &cobra.Command{Use: "cancel JOB_ID", Short: "Give up a job that is not running; what it was for counts as failed", Args: exactly(1, "the id of a job")}

	return group(&cobra.Command{Use: "jobs", Short: "Inspect, retry and cancel jobs"},
		p.tool(list, existing, func(cmd *cobra.Command, _ []string, store *models.Store, _ Settings) error {
			all, err := store.Jobs(cmd.Context(), f)
			if err != nil {
				return err
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "ID\tKIND\tSTATE\tATTEMPTS\tRUN AT\tORDER\tLAST ERROR")
			for _, j := range all {
				fmt.Fprintf(w, "%s\t%s\t%s\t%d/%d\t%s\t%s\t%s\n", j.ID, j.Kind, j.State, j.Attempts, j.MaxAttempts, j.RunAt.UTC().Format(time.RFC3339), orDash(j.OrderID), orDash(j.LastError))
			}
			return w.Flush()
		}),
		p.tool(show, existing, func(cmd *cobra.Command, args []string, store *models.Store, _ Settings) error {
			j, err := store.Job(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			out := json.NewEncoder(cmd.OutOrStdout())
			out.SetIndent("", "  ")
			return out.Encode(map[string]any{
				"id": j.ID, "kind": j.Kind, "args": j.Args, "order": j.OrderID, "merchant": j.MerchantID, "state": j.State, "epoch": j.Epoch,
				"attempts": j.Attempts, "max_attempts": j.MaxAttempts, "run_at": j.RunAt.UTC(), "alarm_at": j.AlarmAt.UTC(), "created_at": j.CreatedAt.UTC(),
				"finished_at": j.FinishedAt, "last_error": j.LastError,
			})
		}),
		p.tool(retry, existing, func(cmd *cobra.Command, args []string, store *models.Store, _ Settings) error {
			if err := store.RetryJob(cmd.Context(), args[0], cliActor()); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s is due\n", args[0])
			return nil
		}),
		p.tool(cancel, existing, func(cmd *cobra.Command, args []string, store *models.Store, _ Settings) error {
			if err := store.CancelJob(cmd.Context(), args[0], cliActor()); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s is cancelled\n", args[0])
			return nil
		}),
	)
}

// cliActor names whoever runs a command, for the history.
func cliActor() string {
	if u, err := user.Current(); err == nil && u.Username != "" {
		return "cli:" + u.Username
	}
	return "cli"
}

func orDash(s *string) string {
	if s == nil || *s == "" {
		return "-"
	}
	return *s
}
