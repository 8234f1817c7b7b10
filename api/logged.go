package api

import (
	"errors"

	"github.com/jackc/pgx/v5/pgconn"
)

// logged is the text of an error for the log. PostgreSQL's texts may quote values, which may be anybody's personal data, so of
// those the log gets the code and the names.
func logged(err error) string {
	if err == nil {
		return ""
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return "PostgreSQL error " + pg.Code + " table=" + pg.TableName + " column=" + pg.ColumnName + " constraint=" + pg.ConstraintName
	}
	return err.Error()
}
