package main

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// twin writes orders that look like one that purser has made: the same tables, columns and values, with ids of their own.
type twin struct{ rows []twinRow }

type twinRow struct {
	statement string
	values    []any
}

// twinTables are where an order's creation leaves rows, in the order in which they can be written.
var twinTables = []string{"orders", "items", "events", "deliveries", "history", "jobs"}

// twinOf reads what the one order in the database consists of.
func twinOf(ctx context.Context, pool *pgxpool.Pool) (*twin, error) {
	t := &twin{}
	for _, name := range twinTables {
		if err := t.read(ctx, pool, name); err != nil {
			return nil, fmt.Errorf("read the rows of %s: %w", name, err)
		}
	}
	return t, nil
}

func (t *twin) read(ctx context.Context, pool *pgxpool.Pool, table string) error {
	// JSON as text, so that it is written as it was.
	var columns, selected []string
	rows, err := pool.Query(ctx, `SELECT column_name, data_type FROM information_schema.columns
		WHERE table_schema = 'public' AND table_name = $1 ORDER BY ordinal_position`, table)
	if err != nil {
		return err
	}
	var name, kind string
	if _, err := pgx.ForEachRow(rows, []any{&name, &kind}, func() error {
		columns = append(columns, name)
		if kind == "json" || kind == "jsonb" {
			name += "::text"
		}
		selected = append(selected, name)
		return nil
	}); err != nil {
		return err
	}
	places := make([]string, len(columns))
	for i := range places {
		places[i] = fmt.Sprintf("$%d", i+1)
	}
	statement := "INSERT INTO " + table + " (" + strings.Join(columns, ", ") + ") VALUES (" + strings.Join(places, ", ") + ")"
	if rows, err = pool.Query(ctx, "SELECT "+strings.Join(selected, ", ")+" FROM "+table); err != nil {
		return err
	}
	found, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (twinRow, error) {
		values, err := r.Values()
		return twinRow{statement, values}, err
	})
	if err == nil && len(found) == 0 {
		err = fmt.Errorf("there are none")
	}
	t.rows = append(t.rows, found...)
	return err
}

// insert writes one more such order: one transaction, one statement a row.
func (t *twin) insert(ctx context.Context, pool *pgxpool.Pool) error {
	fresh := renaming{}
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		for _, r := range t.rows {
			values := make([]any, len(r.values))
			for i, v := range r.values {
				values[i] = v
				if s, ok := v.(string); ok {
					values[i] = fresh.text(s)
				}
			}
			if _, err := tx.Exec(ctx, r.statement, values...); err != nil {
				return err
			}
		}
		return nil
	})
}

// renaming gives the ids in an order's rows new values of the same shape, the same one wherever the same id stands.
type renaming map[string]string

var idAlphabet = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// renamed are the kinds of ids that belong to an order.
var renamed = []string{"ord_", "itm_", "evt_", "dlv_", "his_"}

const (
	idLength     = 26 // behind the prefix
	jobIDLength  = 36
	tokenLength  = 32
	numberLength = 11
)

// text is a value with its ids replaced: a value that is one, a fact that begins with one, or JSON with some in it.
func (r renaming) text(s string) string {
	switch {
	case len(s) == jobIDLength && strings.Count(s, "-") == 4:
		return r.to(s, func() string { return uuid.Must(uuid.NewV7()).String() })
	case len(s) == numberLength && s[0] == 'A' && strings.Trim(s[1:], "0123456789") == "":
		return r.to(s, func() string { return "B" + uuid.NewString()[:13] })
	case len(s) == tokenLength && !strings.ContainsAny(s, " {\""):
		return r.to(s, func() string {
			var b [24]byte
			_, _ = rand.Read(b[:]) // never fails (crypto/rand)
			return base64.RawURLEncoding.EncodeToString(b[:])
		})
	}
	for _, prefix := range renamed {
		for from := 0; ; {
			at := strings.Index(s[from:], prefix)
			if at < 0 || from+at+len(prefix)+idLength > len(s) {
				break
			}
			at += from
			from = at + len(prefix) + idLength
			id := r.to(s[at:from], func() string {
				u := uuid.Must(uuid.NewV7())
				return prefix + idAlphabet.EncodeToString(u[:])
			})
			s = s[:at] + id + s[from:]
		}
	}
	return s
}

func (r renaming) to(old string, fresh func() string) string {
	if r[old] == "" {
		r[old] = fresh()
	}
	return r[old]
}
