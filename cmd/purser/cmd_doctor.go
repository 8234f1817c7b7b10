package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/scheduler"
)

// errUnsound ends `purser doctor` with exit 1; its report has been printed.
var errUnsound = errors.New("the doctor found broken invariants; see the report")

// doctorReport is what `purser doctor` prints.
type doctorReport struct {
	models.Report
	Queue string `json:"queue"` // queueExamined, or why it was not
}

const queueExamined = "examined"

// errEmbeddedQueue is why nobody but a running purser sees its queue.
var errEmbeddedQueue = errors.New("it is embedded in the running purser, which fills it from the database at every start")

func (p *Program) doctorCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "doctor", Short: "Check the invariants of the whole database and the queue; print a JSON report, exit 1 if one is broken",
		Long: `Check the invariants of the whole database and the queue, and print a JSON report. The exit code is 1, and ok is false, if one is broken.

The member queue of the report is "examined", or "not examined: " and the reason: Redis cannot be reached, or is embedded in a running purser.
That breaks no invariant, as the queue is filled from the database: ok and the exit code then tell of the database alone. Whether a role
reaches Redis is what purser ready tells.`,
	}
	mend := cmd.Flags().Bool("mend", false, "before that, start again what was lost: fulfilments, back-orders, emails and deliveries without a promise; and count the uses of coupons anew where their number is wrong, or an order has one that does not fit its status")
	return p.tool(cmd, existing, func(cmd *cobra.Command, _ []string, store *models.Store, s Settings) error {
		if *mend {
			started, err := store.Mend(cmd.Context())
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "purser: started again: %d\n", started)
		}
		report, err := store.Doctor(cmd.Context())
		if err != nil {
			return err
		}
		queue := queueExamined
		if err := examineQueue(cmd.Context(), store, s, &report); err != nil {
			// Redis only runs what the database remembers: without it there is no queue that could be unsound.
			queue = "not examined: " + err.Error()
			if !errors.Is(err, errEmbeddedQueue) {
				fmt.Fprintf(cmd.ErrOrStderr(), "purser: the queue was not examined: %v\n", err)
			}
		}
		out := json.NewEncoder(cmd.OutOrStdout())
		out.SetIndent("", "  ")
		if err := out.Encode(doctorReport{report, queue}); err != nil {
			return err
		}
		if !report.OK {
			return errUnsound
		}
		return nil
	})
}

// straysShown is how many tasks a finding names, as many as findings about the database do.
const straysShown = 100

// examineQueue adds what is wrong in Redis to a report. The error is why it was not looked at: the in-process Redis of a running purser is
// nobody else's.
func examineQueue(ctx context.Context, store *models.Store, s Settings, report *models.Report) error {
	if s.EmbeddedRedis() {
		return errEmbeddedQueue
	}
	redis, err := jobs.ParseRedisURL(s.RedisURL.Reveal())
	if err != nil {
		return fmt.Errorf("PURSER_REDIS_URL: %w", err)
	}
	client := redis.Client()
	defer func() { _ = client.Close() }()
	strays, err := scheduler.Strays(ctx, client, store, straysShown+1)
	if err != nil || len(strays) == 0 {
		return err
	}
	report.OK = false
	report.Findings = append(report.Findings, models.Finding{
		Invariant: 5, Problem: "a task in Redis has no promise in the database", IDs: strays[:min(len(strays), straysShown)], More: len(strays) > straysShown,
		Mend: "workers skip such tasks; if this Redis belongs to another database, correct PURSER_REDIS_URL, otherwise delete them in Asynqmon",
	})
	return nil
}
