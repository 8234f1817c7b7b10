package models

import (
	"errors"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// quoting is how errors of the drivers begin that go on with a value that did not fit. They have no type.
var quoting = []string{"failed to encode args[", "sql: Scan error on column "}

// ErrorText is the text of an error for logs, for traces and for what operators see. The texts of PostgreSQL and of the drivers may quote
// values, which may be anybody's personal data or a licence key, so of PostgreSQL's it has the code and the names only.
func ErrorText(err error) string {
	if err == nil {
		return ""
	}
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return "PostgreSQL error " + pg.Code + " table=" + pg.TableName + " column=" + pg.ColumnName + " constraint=" + pg.ConstraintName
	}
	text := err.Error()
	for _, beginning := range quoting {
		if strings.Contains(text, beginning) {
			return "a value does not fit the statement"
		}
	}
	return text
}

// LogText is ErrorText for the log of a process, where merchants do not look: in brackets it adds what the error's method Detail, if it has
// one, tells of the installation, such as the address that could not be reached.
func LogText(err error) string {
	text := ErrorText(err)
	detailed, ok := errors.AsType[interface {
		error
		Detail() string
	}](err)
	if !ok || detailed.Detail() == "" {
		return text
	}
	return text + " (" + detailed.Detail() + ")"
}
