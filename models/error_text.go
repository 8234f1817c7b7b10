package models

import (
	"errors"

	"github.com/jackc/pgx/v5/pgconn"
)

// ErrorText is the text of an error for logs and for what operators see. PostgreSQL's texts may quote values, which may be anybody's
// personal data or a licence key, so of those it has the code and the names only.
func ErrorText(err error) string {
	if err == nil {
		return ""
	}
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return "PostgreSQL error " + pg.Code + " table=" + pg.TableName + " column=" + pg.ColumnName + " constraint=" + pg.ConstraintName
	}
	return err.Error()
}
