package models

import (
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"gorm.io/gorm"
)

// Code classifies an Error; the API maps it to a status, a worker to a retry.
type Code string

// The codes.
const (
	CodeInvalid  Code = "invalid"   // the input is wrong; Fields says where
	CodeNotFound Code = "not_found" // no such object for this merchant and mode
	CodeConflict Code = "conflict"  // the state does not allow it
	CodeFenced   Code = "fenced"    // a claim that was given up tried to write

	CodeUnauthorized Code = "unauthorized" // no such key, session, or pair of email and password
	CodeForbidden    Code = "forbidden"    // the caller is known but may not do this

	CodeIdempotencyReused     Code = "idempotency_key_reused"  // an idempotency key came back with another request
	CodeIdempotencyInProgress Code = "idempotency_in_progress" // the request of an idempotency key is still running
)

// FieldError says what is wrong with one input field. Field is a path such as items[0].quantity.
type FieldError struct {
	Field   string `json:"field"`
	Message string `json:"message"`
}

// Error is the one error type for refusals: a code, a message that is safe to show, and for input the fields.
type Error struct {
	Code    Code
	Message string
	Fields  []FieldError
	cause   error
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Message)
	for _, f := range e.Fields {
		fmt.Fprintf(&b, "; %s: %s", f.Field, f.Message)
	}
	return b.String()
}

// Unwrap returns the private cause.
func (e *Error) Unwrap() error { return e.cause }

// CodeOf returns the code of err, or "" for an unexpected error.
func CodeOf(err error) Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// Invalid makes an input error for one field.
func Invalid(field, format string, args ...any) error {
	return &Error{Code: CodeInvalid, Message: "The request has invalid fields.", Fields: []FieldError{{field, fmt.Sprintf(format, args...)}}}
}

// invalids collects field errors, so that one answer names all of them.
type invalids []FieldError

func (v *invalids) add(field, format string, args ...any) {
	*v = append(*v, FieldError{field, fmt.Sprintf(format, args...)})
}

func (v invalids) err() error {
	if len(v) == 0 {
		return nil
	}
	return &Error{Code: CodeInvalid, Message: "The request has invalid fields.", Fields: v}
}

func notFound(what string) error {
	return &Error{Code: CodeNotFound, Message: fmt.Sprintf("There is no such %s.", what)}
}

func conflict(format string, args ...any) error {
	return &Error{Code: CodeConflict, Message: fmt.Sprintf(format, args...)}
}

var errFenced = &Error{Code: CodeFenced, Message: "the job was given to another worker"}

// orNotFound turns GORM's "no row" into our refusal and passes everything else on.
func orNotFound(err error, what string) error {
	if errors.Is(err, gorm.ErrRecordNotFound) {
		return notFound(what)
	}
	return err
}

// isUnique reports a violated unique constraint. SQLite's driver has its own error type, which GORM does not translate.
func isUnique(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code == "23505"
	}
	return err != nil && strings.Contains(err.Error(), "UNIQUE constraint failed")
}

// Unavailable reports whether err means that the database cannot be reached, is shutting down or full, gave this transaction up in
// favour of others, or was migrated a moment ago, so that the same call may well succeed later.
func Unavailable(err error) bool {
	if err == nil {
		return false
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch pg.Code {
		case "40001", "40P01", "55P03", "25P03": // serialization failure, deadlock, a lock that was not given in time, a transaction that stood still
			return true
		case "0A000":
			// A migration has added a column to what this connection has prepared a statement for, which it prepares anew next time.
			return strings.HasPrefix(pg.Message, "cached plan must not change")
		}
		switch pg.Code[:min(len(pg.Code), 2)] {
		case "08", "53": // connection, resources
			return true
		}
		return strings.HasPrefix(pg.Code, "57P") // shutting down, starting up
	}
	return unavailableCause(err)
}
