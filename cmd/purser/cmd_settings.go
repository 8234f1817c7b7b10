package main

import (
	"errors"

	"github.com/spf13/cobra"
)

func (p *Program) settingsCommand() *cobra.Command {
	var envExample, markdown bool
	cmd := &cobra.Command{
		Use:   "settings",
		Short: "Print every setting, where it comes from and its value, secrets masked",
		Long: `Print every setting, where it comes from and its value, with secrets masked.
It reads flags, environment and .env exactly as the other commands do, so it also checks them.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			// The documentation does not depend on the settings, and must print even where they are wrong.
			switch {
			case envExample && markdown:
				return usageError{cmd.CommandPath(), errors.New("want --env-example or --markdown, not both")}
			case envExample:
				return writeEnvExample(cmd.OutOrStdout())
			case markdown:
				return writeSettingsMarkdown(cmd.OutOrStdout())
			}
			s, _, err := p.configure(cmd, roleAll, false)
			if err != nil {
				return err
			}
			return writeSettings(cmd.OutOrStdout(), s)
		},
	}
	cmd.Flags().BoolVar(&envExample, "env-example", false, "print a .env file that documents every setting")
	cmd.Flags().BoolVar(&markdown, "markdown", false, "print the table of settings for the README")
	addSettingFlags(cmd.Flags(), roleAll)
	return cmd
}
