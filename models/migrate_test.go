package models_test

import (
	"context"
	"errors"
	"testing"

	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

// An index that is made beside the writers and is cut off stays behind under its name, and is never used. The next try makes it anew.
func TestAMigrationThatWasCutOff(t *testing.T) {
	t.Parallel()
	s := storetest.Open(t, "postgres")
	made := texts(t, s, `SELECT CAST(indexrelid AS regclass)::text FROM pg_index`)
	for _, version := range []int64{7, 6, 5, 4} {
		if down := ok(s.MigrateDown(t.Context()))(t); down != version {
			t.Fatalf("version %d was taken back, want %d", down, version)
		}
	}
	for _, name := range []string{"orders_terminated", "orders_deleted", "orders_partly_delivered", "events_uncommon", "pool_keys_next", "carts_visitor", "orders_deleted_id",
		"coupon_uses_current"} {
		storetest.Exec(t, s, `CREATE INDEX `+name+` ON merchants (name)`)
		storetest.Exec(t, s, `UPDATE pg_index SET indisvalid = false WHERE indexrelid = CAST('`+name+`' AS regclass)`)
	}
	if n := ok(s.Migrate(t.Context()))(t); n != 4 {
		t.Errorf("%d versions were applied, want 4", n)
	}
	if invalid := texts(t, s, `SELECT CAST(indexrelid AS regclass)::text FROM pg_index WHERE NOT indisvalid OR indrelid = CAST('merchants' AS regclass) AND indexrelid IN
		(SELECT oid FROM pg_class WHERE relname IN ('orders_terminated', 'orders_deleted', 'orders_partly_delivered', 'events_uncommon', 'pool_keys_next', 'carts_visitor', 'orders_deleted_id'))`); len(invalid) > 0 {
		t.Errorf("indexes that were cut off are left: %v", invalid)
	}
	if again := texts(t, s, `SELECT CAST(indexrelid AS regclass)::text FROM pg_index`); len(again) != len(made) {
		t.Errorf("%d indexes, before %d", len(again), len(made))
	}
}

// Whoever only asks how the schema stands, of an empty database too, changes nothing.
func TestAskingForTheSchemaOnlyReads(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		if err := errors.Join(s.CheckSchema(t.Context()), s.SchemaServes(t.Context())); err != nil {
			t.Errorf("the current schema is refused: %v", err)
		}
		storetest.Exec(t, s, `DROP TABLE goose_db_version`)
		for name, asked := range map[string]func(context.Context) error{"CheckSchema": s.CheckSchema, "SchemaServes": s.SchemaServes} {
			if err := asked(t.Context()); !errors.Is(err, models.ErrSchema) {
				t.Errorf("%s of an empty database: %v", name, err)
			}
		}
		if _, err := s.SQL().ExecContext(t.Context(), `DROP TABLE goose_db_version`); err == nil {
			t.Error("asking made the table")
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.SchemaServes(gone); err == nil || errors.Is(err, models.ErrSchema) {
			t.Errorf("a database that does not answer: %v", err)
		}
	})
}

// A process that runs while a newer one migrates the database has statements prepared for tables that have a column more now.
func TestAProcessThatIsThereDuringAMigration(t *testing.T) {
	t.Parallel()
	s := storetest.Open(t, "postgres")
	shop := storetest.Merchant(t, s)
	storetest.Product(t, s, shop.Test, "editor", models.MethodTemplate)
	var orders []string
	for range 30 {
		orders = append(orders, storetest.Order(t, s, shop.Test, "editor", 1).ID)
	}
	cancel := func(id string) error {
		_, err := s.CancelOrder(t.Context(), shop.Test, id, "", "test")
		return err
	}
	for _, id := range orders[:5] {
		if err := cancel(id); err != nil {
			t.Fatal(err)
		}
	}
	storetest.Exec(t, s, `ALTER TABLE coupon_uses ADD COLUMN newer text`)
	failed := 0
	for _, id := range orders[5:] {
		for err := cancel(id); err != nil; err = cancel(id) {
			if failed++; !models.Unavailable(err) || failed > 20 {
				t.Fatal(err)
			}
		}
	}
	if failed == 0 {
		t.Error("nothing had been prepared")
	}
}
