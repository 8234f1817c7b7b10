package models

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
	"gorm.io/gorm/clause"
)

//go:embed migrations/*/*.sql
var migrations embed.FS

func (s *Store) migrator() (*goose.Provider, error) {
	dir, d := "postgres", goose.DialectPostgres
	opts := []goose.ProviderOption{goose.WithDisableGlobalRegistry(true)}
	if s.dialect.sqlite {
		dir, d = "sqlite", goose.DialectSQLite3
	} else {
		// Several processes may migrate at once; one does, the others wait for it.
		locker, err := lock.NewPostgresSessionLocker()
		if err != nil {
			return nil, err
		}
		opts = append(opts, goose.WithSessionLocker(locker))
	}
	files, err := fs.Sub(migrations, "migrations/"+dir)
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(d, s.SQL(), files, opts...)
}

// Migrate brings the schema up to date and returns how many versions it applied. Safe to repeat and to race.
func (s *Store) Migrate(ctx context.Context) (int, error) {
	m, err := s.migrator()
	if err != nil {
		return 0, err
	}
	done, err := m.Up(ctx)
	if err != nil {
		return 0, fmt.Errorf("migrate up: %w", err)
	}
	return len(done), nil
}

// MigrateDown takes back the newest version. It returns the version that was taken back, or 0 if there was none.
func (s *Store) MigrateDown(ctx context.Context) (int64, error) {
	m, err := s.migrator()
	if err != nil {
		return 0, err
	}
	done, err := m.Down(ctx)
	if errors.Is(err, goose.ErrNoNextVersion) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("migrate down: %w", err)
	}
	return done.Source.Version, nil
}

// MigrationStatus is one version of the schema.
type MigrationStatus struct {
	Version   int64
	Name      string
	AppliedAt time.Time // zero while pending
}

// MigrationStatuses lists every version that this program knows, oldest first.
func (s *Store) MigrationStatuses(ctx context.Context) ([]MigrationStatus, error) {
	m, err := s.migrator()
	if err != nil {
		return nil, err
	}
	all, err := m.Status(ctx)
	if err != nil {
		return nil, fmt.Errorf("migrate status: %w", err)
	}
	out := make([]MigrationStatus, 0, len(all))
	for _, v := range all {
		out = append(out, MigrationStatus{Version: v.Source.Version, Name: v.Source.Path, AppliedAt: v.AppliedAt})
	}
	return out, nil
}

// ErrSchema means that the schema is not the one that this program was built for.
var ErrSchema = errors.New("the database schema is not up to date; run: purser migrate up")

// CheckSchema returns ErrSchema if a version is missing, or was applied by a newer program.
func (s *Store) CheckSchema(ctx context.Context) error {
	current, target, err := s.schemaVersions(ctx)
	if err != nil {
		return err
	}
	if current < target {
		return ErrSchema
	}
	if current > target {
		return fmt.Errorf("the database schema has version %d, which is newer than this program's %d; run a newer purser", current, target)
	}
	return nil
}

// SchemaServes returns ErrSchema if a version is missing. Unlike CheckSchema, which decides whether a program may start, it lets a newer
// schema pass: while a new version is rolled out the schema comes first, and the processes that still run serve on it until they are
// replaced. So a migration must leave the program before it working; what that one needs goes with the version after.
func (s *Store) SchemaServes(ctx context.Context) error {
	current, target, err := s.schemaVersions(ctx)
	if err == nil && current < target {
		err = ErrSchema
	}
	return err
}

// schemaVersions are those of the database, 0 if it is empty, and of this program. Goose's own way to ask makes its table if it is missing, for
// which SQLite has to have its one writer; this only reads.
func (s *Store) schemaVersions(ctx context.Context) (current, target int64, err error) {
	m, err := s.migrator()
	if err != nil {
		return 0, 0, err
	}
	known := m.ListSources()
	target = known[len(known)-1].Version
	reads := s.reads.WithContext(ctx)
	var tables int64
	if err = reads.Raw(s.dialect.countTables(), goose.DefaultTablename).Scan(&tables).Error; err == nil && tables > 0 {
		err = reads.Raw("SELECT COALESCE(MAX(version_id), 0) FROM " + goose.DefaultTablename).Scan(&current).Error
	}
	if err != nil {
		return 0, 0, fmt.Errorf("the database schema cannot be read: %w", err)
	}
	return current, target, nil
}

// ErrSecretKey means that the secret key is not the one that the database was made with.
var ErrSecretKey = errors.New("PURSER_SECRET_KEY does not fit this database: it was made with another key")

type installationFact struct {
	Name  string `gorm:"primaryKey"`
	Value string
}

// CheckSecretKey remembers a check value of the secret key in a new database and refuses another key from then on.
func (s *Store) CheckSecretKey(ctx context.Context) error {
	fact := installationFact{Name: "secret_key_check", Value: s.keys.check}
	return s.write(ctx, func(t *tx) error {
		if err := t.Table("installation").Clauses(clause.OnConflict{DoNothing: true}).Create(&fact).Error; err != nil {
			return err
		}
		var known string
		if err := t.Table("installation").Where("name = ?", fact.Name).Select("value").Scan(&known).Error; err != nil {
			return err
		}
		if known != s.keys.check {
			return ErrSecretKey
		}
		return nil
	})
}
