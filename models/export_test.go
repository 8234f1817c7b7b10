package models

import (
	"context"

	"gorm.io/gorm"
)

// DoctorProblems lists what the doctor can find by queries, so that a test can hold its cases against it.
func DoctorProblems() (problems []string) {
	for _, c := range doctorChecks {
		problems = append(problems, c.problem)
	}
	for _, c := range ownershipChecks() {
		problems = append(problems, c.problem)
	}
	return problems
}

// References lists the references that the doctor checks, as table.column.
func References() (all []string) {
	for _, r := range references {
		all = append(all, r.table+"."+r.column)
	}
	return all
}

// Subjects are the arguments of promises that the doctor compares with the rows that they name, and the tables of these.
func Subjects() map[string]string {
	all := map[string]string{}
	for _, u := range subjects {
		all[u.arg] = u.to
	}
	return all
}

// Tx is a transaction, for the tests of how it talks to the database.
type Tx = tx

// Write is write.
func (s *Store) Write(ctx context.Context, fn func(*Tx) error) error { return s.write(ctx, fn) }

// Later is later for a statement.
func (t *tx) Later(statement string, args ...any) error {
	return t.later(func(db *gorm.DB) *gorm.DB { return db.Exec(statement, args...) })
}

// LaterOne is laterOne for a statement.
func (t *tx) LaterOne(refusal error, statement string, args ...any) error {
	return t.laterOne(func(db *gorm.DB) *gorm.DB { return db.Exec(statement, args...) }, refusal)
}

// Together is together for queries of texts.
func (t *tx) Together(queries ...string) error {
	questions := make([]question, len(queries))
	for i, q := range queries {
		questions[i] = func(db *gorm.DB) *gorm.DB { return db.Raw(q).Find(new([]string)) }
	}
	return together(t.DB, questions...)
}

// OrdersQuery is the statement that reads a page of Orders, with its parameters.
func (s *Store) OrdersQuery(ctx context.Context, sc Scope, f OrderFilter) (string, []any) {
	q := f.narrow(s.read(ctx).Where("merchant_id = ? AND test = ?", sc.MerchantID, sc.Test))
	if f.Product != "" {
		var err error
		if q, err = withProduct(s.read(ctx), q, sc, f.Product); err != nil {
			panic(err)
		}
	}
	return pageQuery[Order](q)
}

// EventsQuery is the statement that reads a page of Events, with its parameters.
func (s *Store) EventsQuery(ctx context.Context, sc Scope, f EventFilter) (string, []any) {
	q, err := f.narrow(s.read(ctx).Where("merchant_id = ? AND test = ?", sc.MerchantID, sc.Test))
	if err != nil {
		panic(err)
	}
	return pageQuery[Event](q)
}

// NextKeysQuery is the statement that reads the next key of a pool, with its parameters.
func (s *Store) NextKeysQuery(ctx context.Context, productID string, test bool) (string, []any) {
	q := nextKeys(s.read(ctx).Session(&gorm.Session{DryRun: true}), productID, test, 1).Find(new([]PoolKey))
	return q.Statement.SQL.String(), q.Statement.Vars
}

// SomeExpired are up to n of the orders that are due to expire.
func (s *Store) SomeExpired(ctx context.Context, n int) ([]string, error) {
	return s.some(ctx, &s.expiry, n)
}

// OverdueQuery is the statement by which the relay looks for alarms, with its parameters.
func (s *Store) OverdueQuery(ctx context.Context) (string, []any) {
	q := s.overdue(s.read(ctx).Session(&gorm.Session{DryRun: true})).Find(new([]Job))
	return q.Statement.SQL.String(), q.Statement.Vars
}

// DueQueries are the statements that look for orders which are to expire and to be reminded, with their parameters.
func (s *Store) DueQueries(ctx context.Context) (queries [2]string, values [2][]any) {
	for i, due := range []dueOrders{s.expired(s.now()), s.reminders(s.now())} {
		statement, limits := s.dialect.some(due, dueBatch)
		var rows []Order
		made := s.read(ctx).Session(&gorm.Session{DryRun: true}).Raw(statement, append(due.values, limits...)...).Find(&rows).Statement
		queries[i], values[i] = made.SQL.String(), made.Vars
	}
	return queries, values
}

func pageQuery[T any](q *gorm.DB) (string, []any) {
	var rows []T
	made := q.Session(&gorm.Session{DryRun: true}).Order("id DESC").Limit(defaultPage + 1).Find(&rows).Statement
	return made.SQL.String(), made.Vars
}

// KeepSentOf is KeepSent for a claim whose email was not loaded.
func (s *Store) KeepSentOf(ctx context.Context, c *Claim) error {
	var e Email
	if err := s.read(ctx).Where("id = ?", c.Args.Email).Take(&e).Error; err != nil {
		return err
	}
	return s.KeepSent(ctx, c, &e)
}
