package main

import (
	"context"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/purser-dev/purser/models"
)

func (p *Program) migrateCommand() *cobra.Command {
	run := func(use, short string, f founding, do func(context.Context, *cobra.Command, *models.Store) error) *cobra.Command {
		cmd := &cobra.Command{Use: use, Short: short, Args: noArgs}
		addSettingFlags(cmd.Flags(), roleTool)
		cmd.RunE = func(cmd *cobra.Command, _ []string) error {
			s, log, err := p.configure(cmd, roleTool, false)
			if err != nil {
				return err
			}
			store, err := openStore(cmd.Context(), s, f, nil, log)
			if err != nil {
				return err
			}
			defer func() { _ = store.Close() }()
			return do(cmd.Context(), cmd, store)
		}
		return cmd
	}
	return group(&cobra.Command{Use: "migrate", Short: "Bring the database schema up to date, take a version back, or list versions"},
		run("up", "Apply every version that is missing; safe to repeat and to run from several machines", orNew, func(ctx context.Context, cmd *cobra.Command, store *models.Store) error {
			n, err := store.Migrate(ctx)
			if err != nil {
				return err
			}
			if err := store.CheckSecretKey(ctx); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "the schema is up to date; versions applied: %d\n", n)
			return nil
		}),
		run("down", "Take back the newest version, with the data that only it can hold", existing, func(ctx context.Context, cmd *cobra.Command, store *models.Store) error {
			version, err := store.MigrateDown(ctx)
			if err != nil {
				return err
			}
			if version == 0 {
				fmt.Fprintln(cmd.OutOrStdout(), "there is no version to take back")
				return nil
			}
			fmt.Fprintf(cmd.OutOrStdout(), "version %d was taken back\n", version)
			return nil
		}),
		run("status", "List the versions and when they were applied", existing, func(ctx context.Context, cmd *cobra.Command, store *models.Store) error {
			all, err := store.MigrationStatuses(ctx)
			if err != nil {
				return err
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "VERSION\tAPPLIED\tNAME")
			for _, v := range all {
				applied := "pending"
				if !v.AppliedAt.IsZero() {
					applied = v.AppliedAt.UTC().Format(time.RFC3339)
				}
				fmt.Fprintf(w, "%d\t%s\t%s\n", v.Version, applied, v.Name)
			}
			return w.Flush()
		}),
	)
}
