package storetest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/purser-dev/purser/models"
)

// Row is a row of a table: what each column holds, as text. A null is "<null>".
type Row map[string]string

// String is equal for equal rows.
func (r Row) String() string {
	var b strings.Builder
	for _, column := range slices.Sorted(maps.Keys(r)) {
		b.WriteString(" " + column + ":" + r[column])
	}
	return "[" + strings.TrimPrefix(b.String(), " ") + "]"
}

// Dump returns every row of every table, by the table's name, for tests about what must never be written down, or must not have changed.
func Dump(t testing.TB, s *models.Store) map[string][]Row {
	t.Helper()
	tables := `SELECT tablename FROM pg_tables WHERE schemaname = 'public'`
	if s.Embedded() {
		tables = `SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'`
	}
	out := map[string][]Row{}
	for _, r := range query(t, s, tables) {
		for _, table := range r {
			if table != "goose_db_version" {
				out[table] = query(t, s, `SELECT * FROM `+table)
			}
		}
	}
	if len(out) < 20 {
		t.Fatalf("only %d tables were found", len(out))
	}
	return out
}

func query(t testing.TB, s *models.Store, q string) (out []Row) {
	t.Helper()
	rows, err := s.SQL().QueryContext(t.Context(), q)
	if err != nil {
		t.Fatalf("%s: %v", q, err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatalf("%s: %v", q, err)
	}
	for rows.Next() {
		values, into := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
		r := Row{}
		for i, v := range values {
			switch v := v.(type) {
			case nil:
				r[columns[i]] = "<null>"
			case []byte:
				r[columns[i]] = string(v)
			case time.Time:
				r[columns[i]] = v.UTC().Format(time.RFC3339Nano)
			default:
				r[columns[i]] = fmt.Sprint(v)
			}
		}
		out = append(out, r)
	}
	if err := rows.Err(); err != nil {
		t.Fatalf("%s: %v", q, err)
	}
	return out
}
