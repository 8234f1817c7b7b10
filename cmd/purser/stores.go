package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/purser-dev/purser/models"
)

// databaseFile is where embedded mode keeps everything that it remembers, in the data dir.
const databaseFile = "purser.db"

// openStore connects to the database with the installation's key. It does not look at the schema.
func openStore(ctx context.Context, s Settings, log *slog.Logger) (*models.Store, error) {
	if s.EmbeddedDatabase() {
		if err := os.MkdirAll(s.DataDir, 0o700); err != nil {
			return nil, fmt.Errorf("data directory: %w", err)
		}
	}
	key, err := masterKey(s, log)
	if err != nil {
		return nil, err
	}
	keys, err := models.NewKeyring([]byte(key.Reveal()))
	if err != nil {
		return nil, err
	}
	return models.Open(ctx, models.Options{
		DatabaseURL: s.DatabaseURL.Reveal(), SQLitePath: filepath.Join(s.DataDir, databaseFile),
		PublicURL: s.PublicURL, Keys: keys, Log: log,
	})
}

// checkStore refuses a schema that is not the program's, and a key that is not the database's. The embedded database is migrated
// without being asked, because nobody else uses it.
func checkStore(ctx context.Context, store *models.Store, migrate bool) error {
	if migrate {
		if _, err := store.Migrate(ctx); err != nil {
			return err
		}
	} else if err := store.CheckSchema(ctx); err != nil {
		return err
	}
	return store.CheckSecretKey(ctx)
}

// tool makes a command that opens the database, does one thing and ends.
func (p *Program) tool(cmd *cobra.Command, do func(cmd *cobra.Command, args []string, store *models.Store, log *slog.Logger) error) *cobra.Command {
	addSettingFlags(cmd.Flags(), roleTool)
	if cmd.Args == nil {
		cmd.Args = noArgs
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		s, log, err := p.configure(cmd, roleTool, false)
		if err != nil {
			return err
		}
		store, err := openStore(cmd.Context(), s, log)
		if err != nil {
			return err
		}
		defer store.Close()
		if err := checkStore(cmd.Context(), store, s.EmbeddedDatabase()); err != nil {
			return err
		}
		return do(cmd, args, store, log)
	}
	return cmd
}

// exactly wants so many arguments, which usage names.
func exactly(n int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != n {
			return usageError{cmd.CommandPath(), fmt.Errorf("%s takes %s", cmd.CommandPath(), what)}
		}
		return nil
	}
}
