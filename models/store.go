package models

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace"
	"gorm.io/gorm"

	"github.com/purser-dev/purser/jobs"
)

// Options are what a Store needs to know.
type Options struct {
	// DatabaseURL is postgres://…, or empty for the embedded database at SQLitePath.
	DatabaseURL string
	SQLitePath  string
	// PublicURL is the base of the links in orders, without a trailing slash.
	PublicURL string
	Keys      *Keyring
	// MaxConns bounds the connections to PostgreSQL; 0 means 20.
	MaxConns int
	// PasswordMemory is how much memory, in KiB, the hashing of a password takes; 0 means 64 MiB. Less is for tests, which hash many.
	PasswordMemory uint32
	Log            *slog.Logger
	// Tracing records the statements of requests and jobs that are traced, without their values; nil for none. PostgreSQL only.
	Tracing trace.TracerProvider
}

// Store is the database: PostgreSQL in production, SQLite when embedded. All its methods may be called concurrently.
type Store struct {
	db     *gorm.DB // writes; on SQLite one connection
	reads  *gorm.DB // reads outside a transaction; on PostgreSQL the same as db
	claims *gorm.DB // claims of jobs, which need not be durable; on PostgreSQL with synchronous_commit=off
	batches
	// What the ticks do with the orders that are due.
	expiry, reminding periodic

	dialect dialect
	keys    *Keyring
	hasher  hasher
	links   string
	log     *slog.Logger
	publish func(...jobs.Handover)
	tell    func(eventType string) // see OnEvent
	closers []func() error
}

// Open connects to the database. It neither migrates nor checks the schema: see Migrate and CheckSchema.
func Open(ctx context.Context, o Options) (*Store, error) {
	s := &Store{keys: o.Keys, hasher: newHasher(o.PasswordMemory), links: strings.TrimRight(o.PublicURL, "/"), log: o.Log, publish: func(...jobs.Handover) {}, tell: func(string) {}}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.expiry.due, s.reminding.due = s.expired, s.reminders
	var err error
	if o.DatabaseURL != "" {
		err = s.openPostgres(ctx, o)
	} else {
		err = s.openSQLite(ctx, o)
	}
	if err != nil {
		_ = s.Close()
		return nil, err
	}
	s.openBatches()
	return s, nil
}

// OnCommit names who is handed the promises of every committed transaction: the publisher. It is called before the Store is
// used, once.
func (s *Store) OnCommit(publish func(...jobs.Handover)) { s.publish = publish }

// OnEvent names who is told the type of every event once it is committed: the metrics. It is called before the Store is used, once.
func (s *Store) OnEvent(tell func(eventType string)) { s.tell = tell }

// Close closes every connection.
func (s *Store) Close() error {
	s.batches.close()
	var errs []error
	for _, c := range s.closers {
		errs = append(errs, c())
	}
	s.closers = nil
	return errors.Join(errs...)
}

// Ping reports whether the database answers.
func (s *Store) Ping(ctx context.Context) error {
	db, err := s.reads.DB()
	if err != nil {
		return err
	}
	return db.PingContext(ctx)
}

// Embedded reports whether the database is the embedded one.
func (s *Store) Embedded() bool { return s.dialect.sqlite }

// Keys returns the keyring the store was opened with.
func (s *Store) Keys() *Keyring { return s.keys }

// SQL returns the pool, for migrations, statistics and tests.
func (s *Store) SQL() *sql.DB {
	db, _ := s.db.DB() // the error is for pools that are not *sql.DB
	return db
}

// SidePools are the pools beside SQL's, by what they are for, for statistics: "claims" and "keeps" of jobs on PostgreSQL, "reads" on
// SQLite.
func (s *Store) SidePools() map[string]*sql.DB {
	if !s.dialect.sqlite {
		return map[string]*sql.DB{"claims": s.claimPool, "keeps": s.keepPool}
	}
	reads, _ := s.reads.DB() // as in SQL
	return map[string]*sql.DB{"reads": reads}
}

// tx is one transaction with what it has staged. Rows that only tell what happened are collected and written together at its
// end, in as few statements as there are tables.
type tx struct {
	*gorm.DB
	s          *Store
	now        time.Time
	jobs       []Job
	events     []Event
	deliveries []Delivery
	history    []History
	endpoints  map[Scope][]WebhookEndpoint
	handovers  []jobs.Handover
	told       []string // the types of the events that were written
}

type txKey struct{}

// write runs fn in one transaction, writes what it staged, commits, and hands the promises to the publisher. Inside
// Transaction it joins the transaction that is open.
func (s *Store) write(ctx context.Context, fn func(*tx) error) error {
	if t, ok := ctx.Value(txKey{}).(*tx); ok && t.s == s {
		if err := fn(t); err != nil {
			return err
		}
		return t.flush()
	}
	t := &tx{s: s}
	err := s.db.WithContext(ctx).Transaction(func(db *gorm.DB) error {
		t.DB, t.now = db, s.now() // not before: on SQLite a transaction waits for those before it to end
		if err := fn(t); err != nil {
			return err
		}
		return t.flush()
	})
	if err != nil {
		return err
	}
	s.publish(t.handovers...)
	for _, eventType := range t.told {
		s.tell(eventType)
	}
	return nil
}

// Transaction runs fn so that everything it writes through the store with the context it is given commits or rolls back
// together. The API uses it to keep an idempotent answer with its effect. fn must pass on the error of a method of the store: what that
// method had written and staged before it failed is taken back with the whole transaction only.
func (s *Store) Transaction(ctx context.Context, fn func(context.Context) error) error {
	return s.write(ctx, func(t *tx) error { return fn(context.WithValue(ctx, txKey{}, t)) })
}

// read returns a handle for reading: the open transaction if there is one, or else the readers' pool.
func (s *Store) read(ctx context.Context) *gorm.DB {
	if t, ok := ctx.Value(txKey{}).(*tx); ok && t.s == s {
		return t.WithContext(ctx)
	}
	return s.reads.WithContext(ctx)
}

// snapshot runs fn with a handle that reads one state of the database, for what takes several queries and has to agree with itself: the
// open transaction if there is one, or else a transaction of the readers' pool.
func (s *Store) snapshot(ctx context.Context, fn func(*gorm.DB) error) error {
	if t, ok := ctx.Value(txKey{}).(*tx); ok && t.s == s {
		return fn(t.WithContext(ctx))
	}
	options := &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true}
	if s.dialect.sqlite {
		options = nil // its readers' pool cannot write, and a transaction of SQLite is a snapshot
	}
	return s.reads.WithContext(ctx).Transaction(fn, options)
}

// now is this process's clock, cut to the microseconds that both databases keep. It stamps what happened; leases and alarms go
// by the database's clock.
func (s *Store) now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

// flush writes what was staged. Deliveries and promises go in after the events that they refer to.
func (t *tx) flush() error {
	for i := range t.events {
		t.told = append(t.told, t.events[i].Type)
	}
	if err := laterRows(t, t.events); err != nil {
		return err
	}
	if err := laterRows(t, t.deliveries); err != nil {
		return err
	}
	if err := laterRows(t, t.history); err != nil {
		return err
	}
	if err := t.flushJobs(); err != nil {
		return err
	}
	t.events, t.deliveries, t.history, t.jobs = nil, nil, nil, nil
	return nil
}

// mostRows bounds the rows of one INSERT, because the parameters of a statement are bounded.
const mostRows = 500

// laterRows inserts rows of a table, later.
func laterRows[T any](t *tx, rows []T) error {
	for some := range slices.Chunk(rows, mostRows) {
		if err := t.later(func(db *gorm.DB) *gorm.DB { return db.Create(&some) }); err != nil {
			return err
		}
	}
	return nil
}
