package models_test

import (
	"database/sql"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

// schema is what both dialects have to have in common, one line a fact.
type schema map[string]bool

func (s schema) add(format string, args ...any) { s[fmt.Sprintf(format, args...)] = true }

func TestBothDialectsHaveOneSchema(t *testing.T) {
	t.Parallel()
	postgres, sqlite := postgresSchema(t, storetest.Open(t, "postgres")), sqliteSchema(t, storetest.Open(t, "sqlite"))
	if len(postgres) < 200 {
		t.Fatalf("read only %d facts about the schema", len(postgres))
	}
	for _, line := range slices.Sorted(maps.Keys(postgres)) {
		if !sqlite[line] {
			t.Errorf("only PostgreSQL has: %s", line)
		}
	}
	for _, line := range slices.Sorted(maps.Keys(sqlite)) {
		if !postgres[line] {
			t.Errorf("only SQLite has: %s", line)
		}
	}
}

// The two databases print a CHECK each in its own way, so the CHECKs are compared as they are written.
func TestBothDialectsHaveTheSameChecks(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("migrations/postgres/*.sql")
	if err != nil || len(files) == 0 {
		t.Fatalf("no migrations: %v", err)
	}
	check := regexp.MustCompile(`CHECK \(.*\)`)
	for _, file := range files {
		postgres, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		sqlite, err := os.ReadFile(filepath.Join("migrations/sqlite", filepath.Base(file)))
		if err != nil {
			t.Fatal(err)
		}
		p, l := check.FindAllString(string(postgres), -1), check.FindAllString(string(sqlite), -1)
		if !slices.Equal(p, l) {
			t.Errorf("%s: the CHECKs differ:\nPostgreSQL %q\nSQLite     %q", filepath.Base(file), p, l)
		}
	}
}

func query(t *testing.T, s *models.Store, q string, scan func(*sql.Rows) error) {
	t.Helper()
	rows, err := s.SQL().QueryContext(t.Context(), q)
	if err != nil {
		t.Fatalf("%s: %v", q, err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatalf("%s: %v", q, err)
	}
}

var postgresTypes = map[string]string{
	"text": "text", "json": "text", "boolean": "boolean", "integer": "integer", "bigint": "integer", "bytea": "blob", "timestamp with time zone": "timestamp",
}

func postgresSchema(t *testing.T, s *models.Store) schema {
	t.Helper()
	out := schema{}
	query(t, s, `SELECT table_name, column_name, data_type, is_nullable = 'NO', column_default IS NOT NULL FROM information_schema.columns
		WHERE table_schema = 'public' AND table_name NOT LIKE 'goose%'`, func(r *sql.Rows) error {
		var table, column, kind string
		var notNull, standard bool
		if err := r.Scan(&table, &column, &kind, &notNull, &standard); err != nil {
			return err
		}
		known, ok := postgresTypes[kind]
		if !ok {
			return fmt.Errorf("%s.%s has a type that SQLite has not: %s", table, column, kind)
		}
		out.add("column %s.%s %s, not null %t, default %t", table, column, known, notNull, standard)
		return nil
	})
	query(t, s, `SELECT c.relname, i.indisunique, COALESCE(pg_get_expr(i.indpred, i.indrelid), ''), x.relname, i.indisprimary OR EXISTS (SELECT 1 FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.contype = 'u'),
		(SELECT string_agg(COALESCE(a.attname, 'expression'), ',' ORDER BY n) FROM unnest(i.indkey) WITH ORDINALITY AS k(attnum, n)
			LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum AND k.attnum > 0)
		FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = 'public' AND c.relname NOT LIKE 'goose%'`, func(r *sql.Rows) error {
		var table, where, name, columns string
		var unique, constraint bool
		if err := r.Scan(&table, &unique, &where, &name, &constraint, &columns); err != nil {
			return err
		}
		out.index(table, name, columns, where, unique, constraint)
		return nil
	})
	query(t, s, `SELECT c.conrelid::regclass::text, a.attname, c.confrelid::regclass::text FROM pg_constraint c
		JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1] WHERE c.contype = 'f'`, func(r *sql.Rows) error {
		var table, column, to string
		if err := r.Scan(&table, &column, &to); err != nil {
			return err
		}
		out.add("foreign key %s.%s to %s", table, column, to)
		return nil
	})
	query(t, s, `SELECT conrelid::regclass::text, COUNT(*) FROM pg_constraint WHERE contype = 'c' AND connamespace = 'public'::regnamespace GROUP BY 1`,
		func(r *sql.Rows) error {
			var table string
			var n int
			if err := r.Scan(&table, &n); err != nil {
				return err
			}
			out.add("table %s has %d checks", table, n)
			return nil
		})
	return out
}

func (s schema) index(table, name, columns, where string, unique, constraint bool) {
	if constraint {
		name = "" // the names of constraints' indexes are the database's own
	}
	s.add("index %s on %s (%s), unique %t, where %s", name, table, columns, unique, predicate(where))
}

// predicate brings the two spellings of an index's predicate into one: PostgreSQL prints it with casts and brackets, and IN as = ANY.
func predicate(p string) string {
	p = strings.ToLower(p)
	p = regexp.MustCompile(`::\w+(\[\])?`).ReplaceAllString(p, "")
	p = regexp.MustCompile(`= any \(array\[(.*?)\]\)`).ReplaceAllString(p, "in $1")
	return strings.Join(strings.FieldsFunc(p, func(r rune) bool { return strings.ContainsRune("() \t\n", r) }), " ")
}

func sqliteSchema(t *testing.T, s *models.Store) schema {
	t.Helper()
	out := schema{}
	tables := map[string]string{}
	query(t, s, `SELECT name, sql FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'goose%' AND name NOT LIKE 'sqlite%'`, func(r *sql.Rows) error {
		var name, text string
		err := r.Scan(&name, &text)
		tables[name] = text
		return err
	})
	for table, text := range tables {
		if n := strings.Count(text, "CHECK ("); n > 0 {
			out.add("table %s has %d checks", table, n)
		}
		query(t, s, `SELECT name, lower(type), "notnull" OR pk > 0, dflt_value IS NOT NULL FROM pragma_table_info('`+table+`')`, func(r *sql.Rows) error {
			var column, kind string
			var notNull, standard bool
			err := r.Scan(&column, &kind, &notNull, &standard)
			out.add("column %s.%s %s, not null %t, default %t", table, column, kind, notNull, standard)
			return err
		})
		query(t, s, `SELECT "from", "table" FROM pragma_foreign_key_list('`+table+`')`, func(r *sql.Rows) error {
			var column, to string
			err := r.Scan(&column, &to)
			out.add("foreign key %s.%s to %s", table, column, to)
			return err
		})
		query(t, s, `SELECT l.name, l."unique", l.origin <> 'c', (SELECT group_concat(COALESCE(i.name, 'expression'), ',') FROM pragma_index_info(l.name) i),
			COALESCE((SELECT m.sql FROM sqlite_master m WHERE m.name = l.name), '') FROM pragma_index_list('`+table+`') l`, func(r *sql.Rows) error {
			var name, columns, text string
			var unique, constraint bool
			err := r.Scan(&name, &unique, &constraint, &columns, &text)
			_, where, _ := strings.Cut(text, " WHERE ")
			out.index(table, name, columns, where, unique, constraint)
			return err
		})
	}
	return out
}
