package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"go.opentelemetry.io/otel/trace"

	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/models"
)

// databaseFile is where embedded mode keeps everything that it remembers, in the data dir.
const databaseFile = "purser.db"

// founding says whether a command may begin an embedded database where there is none.
type founding bool

const (
	// existing is for commands that look or change: on a new database they would report that all is well, to somebody who only
	// forgot to say where the real one is.
	existing founding = false
	orNew    founding = true
)

// openStore connects to the database with the installation's key. It does not look at the schema.
func openStore(ctx context.Context, s Settings, f founding, tracing trace.TracerProvider, log *slog.Logger) (*models.Store, error) {
	path := filepath.Join(s.DataDir, databaseFile)
	if s.EmbeddedDatabase() && f == existing {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return nil, settingsError{fmt.Errorf("PURSER_DATA_DIR: there is no database in %s; set PURSER_DATA_DIR or PURSER_DATABASE_URL, or begin one with `purser run` or `purser migrate up`", s.DataDir)}
		}
	}
	if s.EmbeddedDatabase() {
		if err := os.MkdirAll(s.DataDir, 0o700); err != nil {
			return nil, fmt.Errorf("data directory: %w", err)
		}
		if err := reserve(path); err != nil {
			return nil, fmt.Errorf("embedded database: %w", err)
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
		DatabaseURL: s.DatabaseURL.Reveal(), SQLitePath: path,
		PublicURL: s.PublicURL, Keys: keys, Log: log, Tracing: tracing,
	})
}

// reserve makes the database's file, if it is missing, one that its owner alone can read, whatever the data directory's mode is: it holds
// personal data. SQLite gives the files beside it the same mode.
func reserve(path string) error {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	return file.Close()
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
func (p *Program) tool(cmd *cobra.Command, f founding, do func(cmd *cobra.Command, args []string, store *models.Store, s Settings) error) *cobra.Command {
	addSettingFlags(cmd.Flags(), roleTool)
	if cmd.Args == nil {
		cmd.Args = noArgs
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		s, log, err := p.configure(cmd, roleTool, false)
		if err != nil {
			return err
		}
		store, err := openStore(cmd.Context(), s, f, nil, log)
		if err != nil {
			return err
		}
		defer func() { _ = store.Close() }()
		var staged []jobs.Handover
		store.OnCommit(func(hs ...jobs.Handover) { staged = append(staged, hs...) })
		if err := checkStore(cmd.Context(), store, s.EmbeddedDatabase()); err != nil {
			return err
		}
		if err := do(cmd, args, store, s); err != nil {
			return err
		}
		handOver(s, staged, log)
		return nil
	}
	return cmd
}

// handOver gives Redis what a tool has staged, so that it does not wait for its alarm. It is no failure that it cannot: the in-process
// Redis of another purser is that one's own, and what is not handed over now the relay brings.
func handOver(s Settings, staged []jobs.Handover, log *slog.Logger) {
	if len(staged) == 0 || s.EmbeddedRedis() {
		return
	}
	redis, err := jobs.ParseRedisURL(s.RedisURL.Reveal())
	if err != nil {
		log.Warn("PURSER_REDIS_URL cannot be used; a scheduler hands over what is due", "err", err)
		return
	}
	client := redis.Client()
	defer func() { _ = client.Close() }()
	publisher := jobs.NewPublisher(client, log)
	defer publisher.Close()
	publisher.Publish(staged...)
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
