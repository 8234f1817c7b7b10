package models_test

import (
	"context"
	"errors"
	"testing"

	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

const rename = `UPDATE merchants SET name = ? WHERE id = ?`

// TestTransactionsAreWhole: however the statements of a transaction travel, all of them happen, in their order, or none.
func TestTransactionsAreWhole(t *testing.T) {
	refused, mine := errors.New("refused"), errors.New("mine")
	tests := []struct {
		what string
		do   func(tx *models.Tx, id string) error
		err  error // nil where any will do
		name string
	}{
		{"what is written later is there at the end", func(tx *models.Tx, id string) error {
			return tx.Later(rename, "one", id)
		}, nil, "one"},
		{"and in its order, before and after what is asked at once", func(tx *models.Tx, id string) error {
			var name string
			return errors.Join(tx.Later(rename, "one", id), tx.Exec(rename, "two", id).Error, tx.Later(rename, "three", id),
				tx.Raw(`SELECT name FROM merchants WHERE id = ? AND name = 'three'`, id).Scan(&name).Error, tx.Later(rename, name+" four", id))
		}, nil, "three four"},
		{"a compare-and-set that finds its row goes on", func(tx *models.Tx, id string) error {
			return errors.Join(tx.Later(rename, "one", id), tx.LaterOne(refused, rename, "two", id))
		}, nil, "two"},
		{"one that does not takes everything back", func(tx *models.Tx, id string) error {
			return errors.Join(tx.Later(rename, "one", id), tx.LaterOne(refused, rename, "two", "mer_none"), tx.Later(rename, "three", id))
		}, refused, ""},
		{"and is heard before what is asked next", func(tx *models.Tx, id string) error {
			return errors.Join(tx.LaterOne(refused, rename, "two", "mer_none"), tx.Exec(rename, "three", id).Error)
		}, refused, ""},
		{"a statement that fails takes everything back", func(tx *models.Tx, id string) error {
			return errors.Join(tx.Later(rename, "one", id), tx.Later(`UPDATE merchants SET email = NULL WHERE id = ?`, id))
		}, nil, ""},
		{"so does a question that fails among others", func(tx *models.Tx, id string) error {
			return errors.Join(tx.Later(rename, "one", id), tx.Together(`SELECT id FROM merchants`, `SELECT id FROM nowhere`, `SELECT id FROM merchants`))
		}, nil, ""},
		{"so does an error of ours", func(tx *models.Tx, id string) error {
			return errors.Join(tx.Later(rename, "one", id), mine)
		}, mine, ""},
	}
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		old := ok(s.Merchant(t.Context(), shop.ID))(t).Name
		for _, tt := range tests {
			err := s.Write(t.Context(), func(tx *models.Tx) error { return tt.do(tx, shop.ID) })
			if tt.err != nil && !errors.Is(err, tt.err) || tt.name != "" && err != nil || tt.name == "" && err == nil {
				t.Errorf("%s: %v", tt.what, err)
			}
			want := tt.name
			if want == "" {
				want = old
			}
			if got := ok(s.Merchant(t.Context(), shop.ID))(t).Name; got != want {
				t.Errorf("%s: the name is %q, want %q", tt.what, got, want)
			}
			storetest.Exec(t, s, `UPDATE merchants SET name = $1 WHERE id = $2`, old, shop.ID)
		}
	})
}

// TestTransactionsLeaveNothingOpen: a connection comes back without a transaction, or not at all, however its transaction ended.
func TestTransactionsLeaveNothingOpen(t *testing.T) {
	t.Parallel()
	s := storetest.Open(t, "postgres")
	shop := storetest.Merchant(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	ends := map[string]func(*models.Tx) error{
		"asks nothing":          func(*models.Tx) error { return nil },
		"asks nothing, refuses": func(*models.Tx) error { return errors.New("no") },
		"writes, refuses":       func(tx *models.Tx) error { return errors.Join(tx.Exec(rename, "one", shop.ID).Error, errors.New("no")) },
		"fails":                 func(tx *models.Tx) error { return tx.Exec(`SELECT 1 / ?`, 0).Error },
		"is cancelled": func(tx *models.Tx) error {
			err := tx.Exec(rename, "one", shop.ID).Error
			cancel()
			return errors.Join(err, tx.Exec(rename, "two", shop.ID).Error)
		},
	}
	for what, end := range ends {
		c := t.Context()
		if what == "is cancelled" {
			c = ctx
		}
		if err := s.Write(c, end); (err == nil) != (what == "asks nothing") {
			t.Errorf("%s: %v", what, err)
		}
		if open := texts(t, s, `SELECT state FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'`); len(open) > 0 {
			t.Errorf("%s: a connection is %v", what, open)
		}
	}
	if name := ok(s.Merchant(t.Context(), shop.ID))(t).Name; name == "one" || name == "two" {
		t.Errorf("what was taken back is there: %q", name)
	}
}
