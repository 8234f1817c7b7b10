package main

import (
	"encoding/json"
	"errors"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/purser-dev/purser/models"
)

// errUnsound ends `purser doctor` with exit 1; its report has been printed.
var errUnsound = errors.New("the doctor found broken invariants; see the report")

func (p *Program) doctorCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "doctor", Short: "Check the invariants of the whole database; print a JSON report, exit 1 if one is broken",
	}
	return p.tool(cmd, existing, func(cmd *cobra.Command, _ []string, store *models.Store, _ *slog.Logger) error {
		report, err := store.Doctor(cmd.Context())
		if err != nil {
			return err
		}
		out := json.NewEncoder(cmd.OutOrStdout())
		out.SetIndent("", "  ")
		if err := out.Encode(report); err != nil {
			return err
		}
		if len(report.Findings) > 0 {
			return errUnsound
		}
		return nil
	})
}
