package models

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"gorm.io/gorm"
)

// A round trip to PostgreSQL costs more than most of our statements. This file sends several of them in one, by the pipeline mode of its
// protocol: the statements run one after the other as they would alone, and the first that fails ends the transaction as it would alone.
// SQLite, which is a function call away, runs each at once.

// pipelined is PostgreSQL's pool as GORM knows it. Its transactions are pipelines.
type pipelined struct{ *sql.DB }

// GetDBConn is how GORM finds the pool.
func (p pipelined) GetDBConn() (*sql.DB, error) { return p.DB, nil }

// BeginTx takes a connection. BEGIN goes out with the transaction's first statement.
func (p pipelined) BeginTx(ctx context.Context, options *sql.TxOptions) (gorm.ConnPool, error) {
	conn, err := p.Conn(ctx)
	if err != nil {
		return nil, err
	}
	begin := "begin"
	if options != nil {
		if options.Isolation != sql.LevelDefault {
			begin += " isolation level " + strings.ToLower(options.Isolation.String())
		}
		if options.ReadOnly {
			begin += " read only"
		}
	}
	return &pipeline{ctx: ctx, conn: conn, waiting: []statement{{text: begin}}}, nil
}

// statement is one that waits to be sent.
type statement struct {
	text string
	args []any
	// scan reads its rows; nil where there are none.
	scan func(pgx.Rows) error
	// done is told what a statement without rows did.
	done func(pgconn.CommandTag) error
	// refusal is what it means when a statement of changing divides by zero.
	refusal error
}

const divisionByZero = "22012" // PostgreSQL, appendix A

// changing makes a statement out of a compare-and-set that fails by itself, and the transaction with it, unless it changes as many rows as
// are wanted. So COMMIT need not wait for its answer.
func changing(wanted int, text string) string {
	return fmt.Sprintf("WITH changed AS (%s RETURNING 1) SELECT 1 / (count(*) = %d)::int /* by zero: refused */ FROM changed", text, wanted)
}

// pipeline is one transaction of PostgreSQL's. What is queued goes out, in its order, before or together with whatever else is asked of
// the connection, and at the latest with COMMIT.
type pipeline struct {
	ctx     context.Context
	conn    *sql.Conn
	waiting []statement
	begun   bool
	over    bool
}

func (p *pipeline) queue(s statement) { p.waiting = append(p.waiting, s) }

// send sends what waits and reads its results.
func (p *pipeline) send(ctx context.Context) error {
	if len(p.waiting) == 0 {
		return nil
	}
	waiting := p.waiting
	p.waiting, p.begun = nil, true
	return sendTo(ctx, p.conn, waiting)
}

func sendTo(ctx context.Context, conn *sql.Conn, statements []statement) error {
	return conn.Raw(func(raw any) error {
		c := raw.(*stdlib.Conn).Conn()
		if c.IsClosed() {
			return driver.ErrBadConn
		}
		var b pgx.Batch
		answered := 0 // statements that have not failed
		for _, s := range statements {
			q := b.Queue(s.text, s.args...)
			if s.scan != nil {
				q.Query(func(rows pgx.Rows) error {
					if err := rows.Err(); err != nil { // of the query; there are no rows to be read
						return err
					}
					answered++
					return s.scan(rows)
				})
				continue
			}
			q.Exec(func(tag pgconn.CommandTag) error {
				answered++
				if s.done == nil {
					return nil
				}
				return s.done(tag)
			})
		}
		err := c.SendBatch(ctx, &b).Close()
		if refused, ok := errors.AsType[*pgconn.PgError](err); ok && refused.Code == divisionByZero && statements[answered].refusal != nil {
			return statements[answered].refusal
		}
		if err != nil && pgconn.SafeToRetry(err) {
			return driver.ErrBadConn
		}
		return err
	})
}

// ExecContext implements gorm.ConnPool.
func (p *pipeline) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	if len(args) == 0 { // the driver sends these as text; a batch would prepare every new name of a savepoint
		if err := p.send(ctx); err != nil {
			return nil, err
		}
		return p.conn.ExecContext(ctx, query)
	}
	var n int64
	p.queue(statement{text: query, args: args, done: func(tag pgconn.CommandTag) error { n = tag.RowsAffected(); return nil }})
	err := p.send(ctx)
	return driver.RowsAffected(n), err
}

// QueryContext implements gorm.ConnPool.
func (p *pipeline) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if err := p.send(ctx); err != nil {
		return nil, err
	}
	return p.conn.QueryContext(ctx, query, args...)
}

// QueryRowContext implements gorm.ConnPool. An error of what was queued before leaves the transaction refusing everything, this too.
func (p *pipeline) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	_ = p.send(ctx)
	return p.conn.QueryRowContext(ctx, query, args...)
}

// PrepareContext implements gorm.ConnPool.
func (p *pipeline) PrepareContext(ctx context.Context, query string) (*sql.Stmt, error) {
	if err := p.send(ctx); err != nil {
		return nil, err
	}
	return p.conn.PrepareContext(ctx, query)
}

// Commit sends what waits, and COMMIT with it. A transaction that asked nothing ends in silence.
// What could not be committed is for the caller to roll back, as GORM does.
func (p *pipeline) Commit() error {
	if p.over {
		return sql.ErrTxDone
	}
	if p.begun || len(p.waiting) > 1 {
		p.queue(statement{text: "commit", done: func(tag pgconn.CommandTag) error {
			if tag.String() == "ROLLBACK" { // a statement had failed, and somebody went on
				return pgx.ErrTxCommitRollback
			}
			return nil
		}})
		if err := p.send(p.ctx); err != nil {
			return err
		}
	}
	p.over = true
	return p.conn.Close()
}

// rollbackTimeout bounds the wait for the answer to ROLLBACK. Without one the connection is given up, which ends the transaction too.
const rollbackTimeout = time.Second

// Rollback implements gorm.TxCommitter. After Commit it does nothing.
func (p *pipeline) Rollback() error {
	if p.over {
		return nil
	}
	p.over = true
	if p.begun {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(p.ctx), rollbackTimeout)
		defer cancel()
		if _, err := p.conn.ExecContext(ctx, "rollback"); err != nil {
			_ = p.conn.Raw(func(any) error { return driver.ErrBadConn }) // never back into the pool
		}
	}
	_ = p.conn.Close() // it is back in the pool, or was lost
	return nil
}

// A question is a query that together asks: a chain of GORM's with its finisher (Find, Take, Pluck), on the handle that it is given.
type question func(*gorm.DB) *gorm.DB

// together asks several questions, none of which needs the answer to another, in one round trip. On PostgreSQL each sees what is committed
// when its turn comes, as it would alone, unless the transaction reads a snapshot. The first error is returned.
func together(db *gorm.DB, questions ...question) error {
	if len(questions) == 0 {
		return nil
	}
	switch pool := db.Statement.ConnPool.(type) {
	case *pipeline:
		statements, err := statementsOf(db, questions)
		if err != nil {
			return err
		}
		pool.waiting = append(pool.waiting, statements...)
		return pool.send(db.Statement.Context)
	case pipelined:
		statements, err := statementsOf(db, questions)
		if err != nil {
			return err
		}
		return pool.ask(db.Statement.Context, statements)
	}
	for _, ask := range questions {
		if err := ask(db).Error; err != nil {
			return err
		}
	}
	return nil
}

// statementsOf lets GORM write the questions and read their answers without asking them.
func statementsOf(db *gorm.DB, questions []question) ([]statement, error) {
	dry := db.Session(&gorm.Session{DryRun: true})
	statements := make([]statement, len(questions))
	for i, ask := range questions {
		q := ask(dry)
		if q.Error != nil {
			return nil, q.Error
		}
		statements[i] = statement{text: q.Statement.SQL.String(), args: q.Statement.Vars, scan: func(rows pgx.Rows) error {
			gorm.Scan(gormRows{rows}, q, 0)
			return q.Error
		}}
	}
	return statements, nil
}

// snapshotTogether is together for one state of the database, on PostgreSQL in one round trip with the transaction's begin and end.
func (s *Store) snapshotTogether(ctx context.Context, questions ...question) error {
	db := s.read(ctx)
	pool, ok := db.Statement.ConnPool.(pipelined)
	if !ok {
		return s.snapshot(ctx, func(db *gorm.DB) error { return together(db, questions...) })
	}
	statements, err := statementsOf(db, questions)
	if err != nil {
		return err
	}
	statements = slices.Insert(statements, 0, statement{text: "begin isolation level repeatable read read only"})
	return pool.ask(ctx, append(statements, statement{text: "commit"}))
}

// ask sends statements outside of a transaction, or with all of one. As database/sql does, it tries another connection where one was lost
// before anything was sent. One that is left in a transaction, by an error, does not come back into use.
func (p pipelined) ask(ctx context.Context, statements []statement) error {
	for range 3 {
		conn, err := p.Conn(ctx)
		if err != nil {
			return err
		}
		err = sendTo(ctx, conn, statements)
		_ = conn.Close() // it is back in the pool, or was lost
		if !errors.Is(err, driver.ErrBadConn) {
			return err
		}
	}
	return driver.ErrBadConn
}

// gormRows are pgx's rows as GORM reads them.
type gormRows struct{ pgx.Rows }

// Columns implements gorm.Rows.
func (r gormRows) Columns() ([]string, error) {
	fields := r.FieldDescriptions()
	names := make([]string, len(fields))
	for i := range fields {
		names[i] = fields[i].Name
	}
	return names, nil
}

// ColumnTypes implements gorm.Rows. Only maps would need them.
func (r gormRows) ColumnTypes() ([]*sql.ColumnType, error) { return nil, nil }

// Close implements gorm.Rows.
func (r gormRows) Close() error {
	r.Rows.Close()
	return r.Err()
}

// later writes with what else the transaction writes, in as few round trips as there can be, and before whatever is asked afterwards.
// Its error comes with them, so it is for what fails only where the whole transaction fails.
func (t *tx) later(write question) error { return t.laterCounted(write, nil) }

// laterCounted is later for what has to know how many rows were changed, once it is certain.
func (t *tx) laterCounted(write question, tell func(int64)) error {
	p, ok := t.Statement.ConnPool.(*pipeline)
	if !ok {
		done := write(t.DB)
		if done.Error == nil && tell != nil {
			tell(done.RowsAffected)
		}
		return done.Error
	}
	s, err := t.written(write)
	if err != nil {
		return err
	}
	if tell != nil {
		s.done = func(tag pgconn.CommandTag) error { tell(tag.RowsAffected()); return nil }
	}
	p.queue(s)
	return nil
}

// laterOne is later for a compare-and-set of one row: where that changes none, the transaction fails with refusal.
func (t *tx) laterOne(write question, refusal error) error { return t.laterExactly(1, write, refusal) }

// laterExactly is laterOne for as many rows as are wanted.
func (t *tx) laterExactly(wanted int, write question, refusal error) error {
	p, ok := t.Statement.ConnPool.(*pipeline)
	if !ok {
		done := write(t.DB)
		if done.Error == nil && int(done.RowsAffected) != wanted {
			return refusal
		}
		return done.Error
	}
	s, err := t.written(write)
	if err != nil {
		return err
	}
	s.text, s.refusal = changing(wanted, s.text), refusal
	p.queue(s)
	return nil
}

// written lets GORM write a statement without sending it.
func (t *tx) written(write question) (statement, error) {
	q := write(t.Session(&gorm.Session{DryRun: true}))
	return statement{text: q.Statement.SQL.String(), args: q.Statement.Vars}, q.Error
}
