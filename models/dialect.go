package models

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/exaring/otelpgx"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/stdlib"
	"go.opentelemetry.io/otel/metric/noop"
	"gorm.io/driver/postgres"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/logger"
	_ "modernc.org/sqlite" // the driver of the embedded database, pure Go
)

// dialect is what differs between PostgreSQL and SQLite, all in this file.
type dialect struct{ sqlite bool }

// after is the database's clock plus d. SQLite lives in this process, so its clock is ours. PostgreSQL may ask this clock anew for each row, so
// that it would look up no index by it; the SELECT around it asks once.
func (d dialect) after(s *Store, delay time.Duration) any {
	if d.sqlite {
		return s.now().Add(delay)
	}
	if delay == 0 {
		return clause.Expr{SQL: "(SELECT clock_timestamp())"}
	}
	return clause.Expr{SQL: "clock_timestamp() + CAST(? AS bigint) * interval '1 microsecond'", Vars: []any{delay.Microseconds()}}
}

// minusSeconds is an SQL expression for the time `column` seconds before the bound parameter.
func (d dialect) minusSeconds(column string) string {
	if d.sqlite {
		return "strftime('%Y-%m-%d %H:%M:%f+00:00', ?, '-' || " + column + " || ' seconds')"
	}
	return "CAST(? AS timestamptz) - " + column + " * interval '1 second'"
}

// some is a statement for up to n orders that are due, and its last parameters. PostgreSQL takes turns:
// the one of each rule that has been due for longest, then the next of each, so that no merchant's many keep another's few waiting. It reads no
// more than n of each rule for it, however many unpaid orders there are. SQLite,
// which cannot do that, reads a rule after the other and stops at n.
func (d dialect) some(due dueOrders, n int) (statement string, limits []any) {
	if d.sqlite {
		return "SELECT o.id FROM " + due.rules + " CROSS JOIN orders AS o WHERE " + due.condition + " LIMIT ?", []any{n}
	}
	return "SELECT o.id FROM " + due.rules + " CROSS JOIN LATERAL (SELECT o.id, ROW_NUMBER() OVER (ORDER BY o.unpaid_since) AS turn" +
		" FROM orders AS o WHERE " + due.condition + " ORDER BY o.unpaid_since LIMIT ?) AS o ORDER BY o.turn LIMIT ?", []any{n, n}
}

// epoch is an SQL expression for a time in seconds since 1970. The type of an aggregate's result is lost on SQLite, so that it could not
// be read as a time.
func (d dialect) epoch(expression string) string {
	if d.sqlite {
		return "unixepoch(" + expression + ")"
	}
	return "EXTRACT(EPOCH FROM " + expression + ")"
}

// lock is the clause that locks the rows of a SELECT; SQLite's single writer needs none. Nothing here ever changes a key that
// others refer to, so it is the weaker lock that lets them: FOR UPDATE would make every insert that refers to the row wait (an order's
// items for the upload of keys to their product, say), and closes cycles of waiting that nobody sees in the code.
func (d dialect) lock(db *gorm.DB, options string) *gorm.DB {
	if d.sqlite {
		return db
	}
	return db.Clauses(clause.Locking{Strength: "NO KEY UPDATE", Options: options})
}

// hold is a statement that holds rows of a table by their ids until the transaction ends: together with others that do so, or alone. It locks
// names for them, not the rows: who wants to hold one alone would wait for ever for a row that somebody always holds together with others,
// while names are given in the order in which they were asked for. SQLite's single writer needs none, which is "".
func (d dialect) hold(table string, alone bool) string {
	if d.sqlite {
		return ""
	}
	lock := "pg_advisory_xact_lock_shared"
	if alone {
		lock = "pg_advisory_xact_lock"
	}
	return "SELECT " + lock + "(name) FROM (SELECT hashtextextended(id, 0) AS name FROM " + table + " WHERE id IN ? ORDER BY name) AS held"
}

// skipLocked is the same for hand-written statements.
func (d dialect) skipLocked() string {
	if d.sqlite {
		return ""
	}
	return " FOR NO KEY UPDATE SKIP LOCKED"
}

func gormConfig() *gorm.Config {
	return &gorm.Config{
		SkipDefaultTransaction: true,
		// Statements hold licence ciphertexts and customers' data: the library's logger is off, errors reach ours without values.
		Logger:  logger.Discard,
		NowFunc: func() time.Time { return time.Now().UTC().Truncate(time.Microsecond) },
	}
}

func (s *Store) openPostgres(ctx context.Context, o Options) error {
	conf, err := pgx.ParseConfig(o.DatabaseURL)
	if err != nil {
		return errors.New("PURSER_DATABASE_URL is not a valid PostgreSQL address") // pgx would repeat it, password and all
	}
	if conf.ConnectTimeout == 0 {
		conf.ConnectTimeout = 5 * time.Second
	}
	conf.RuntimeParams["timezone"] = "UTC"
	conf.RuntimeParams["application_name"] = "purser"
	asSession(conf)
	if o.Tracing != nil {
		conf.Tracer = otelpgx.NewTracer(otelpgx.WithTracerProvider(discreet{o.Tracing}), otelpgx.WithMeterProvider(noop.NewMeterProvider()))
	}
	conns := o.MaxConns
	if conns == 0 {
		conns = 20
	}
	open := func(conf *pgx.ConnConfig, conns int) (*gorm.DB, error) {
		pool := stdlib.OpenDB(*conf, stdlib.OptionAfterConnect(readUTC), stdlib.OptionShouldPing(lively))
		pool.SetMaxOpenConns(conns)
		pool.SetMaxIdleConns(conns)
		pool.SetConnMaxIdleTime(5 * time.Minute)
		s.closers = append(s.closers, pool.Close)
		if err := pool.PingContext(ctx); err != nil {
			return nil, fmt.Errorf("the database does not answer: %w", withoutAddress(err))
		}
		return gorm.Open(postgres.New(postgres.Config{Conn: pipelined{pool}}), gormConfig())
	}
	if s.db, err = open(conf, conns); err != nil {
		return err
	}
	s.reads = s.db
	batched := conf.Copy()
	maps.Copy(batched.RuntimeParams, batchSettings)
	keeps, err := open(batched, max(conns/4, 2))
	if err != nil {
		return err
	}
	relaxed := batched.Copy()
	relaxed.RuntimeParams["synchronous_commit"] = "off"
	if s.claims, err = open(relaxed, max(conns/4, 2)); err != nil {
		return err
	}
	if s.keepPool, err = keeps.DB(); err != nil {
		return err
	}
	s.claimPool, err = s.claims.DB()
	return err
}

func withoutAddress(err error) error {
	var c *pgconn.ParseConfigError
	if errors.As(err, &c) {
		return errors.New("not a valid address")
	}
	return err
}

// readUTC makes times come back in UTC, whatever the time zone of the process.
func readUTC(_ context.Context, c *pgx.Conn) error {
	c.TypeMap().RegisterType(&pgtype.Type{
		Name: "timestamptz", OID: pgtype.TimestamptzOID, Codec: &pgtype.TimestamptzCodec{ScanLocation: time.UTC},
	})
	return nil
}

func (s *Store) openSQLite(ctx context.Context, o Options) error {
	s.dialect.sqlite = true
	open := func(mode string, conns int) (*gorm.DB, error) {
		q := url.Values{
			"_time_format": {"sqlite"}, // with UTC throughout, its text sorts by time
			"_txlock":      {mode},
			"_pragma":      {"journal_mode(WAL)", "synchronous(FULL)", "busy_timeout(10000)", "foreign_keys(1)", "cache_size(-16000)"},
		}
		if mode == "deferred" {
			q.Add("_pragma", "query_only(1)")
		}
		pool, err := sql.Open("sqlite", "file:"+(&url.URL{Path: o.SQLitePath}).EscapedPath()+"?"+q.Encode())
		if err != nil {
			return nil, err
		}
		pool.SetMaxOpenConns(conns)
		pool.SetMaxIdleConns(conns)
		s.closers = append(s.closers, pool.Close)
		if err := pool.PingContext(ctx); err != nil {
			return nil, fmt.Errorf("the embedded database: %w", err)
		}
		return gorm.Open(sqlite.New(sqlite.Config{Conn: pool}), gormConfig())
	}
	var err error
	if s.db, err = open("immediate", 1); err != nil {
		return err
	}
	s.claims = s.db
	s.reads, err = open("deferred", 4)
	return err
}

func unavailableCause(err error) bool {
	var network *net.OpError
	return errors.As(err, &network) || errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		pgconn.SafeToRetry(err) || // among others pgx's "conn closed", on a connection that was cut inside a transaction
		strings.Contains(err.Error(), "failed to connect") ||
		strings.Contains(err.Error(), "SQLITE_BUSY") || strings.Contains(err.Error(), "SQLITE_FULL")
}

// nextOrderNumber is the query that draws the number of a new order.
func (d dialect) nextOrderNumber() string {
	if d.sqlite {
		return "SELECT COALESCE(MAX(CAST(SUBSTR(number, 2) AS INTEGER)), 0) + 1 FROM orders WHERE number = (SELECT MAX(number) FROM orders)"
	}
	return "SELECT nextval('order_numbers')"
}

// countTables is the query for how many tables have a name: one or none.
func (d dialect) countTables() string {
	if d.sqlite {
		return "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = ?"
	}
	return "SELECT COUNT(*) FROM pg_tables WHERE schemaname = current_schema() AND tablename = ?"
}
