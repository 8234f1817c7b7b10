package main

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// orderTables say for each table which of its rows belong to the order %s. Those that take longest to fill come first.
var orderTables = []struct{ name, rows string }{
	{"events", "order_id = '%s'"},
	{"history", "order_id = '%s'"},
	{"jobs", "order_id = '%s'"},
	{"orders", "id = '%s'"},
	{"emails", "order_id = '%s'"},
	{"payments", "order_id = '%s'"},
	{"items", "order_id = '%s'"},
	{"licenses", "order_id = '%s'"},
	{"deliveries", "event_id IN (SELECT id FROM events WHERE order_id = '%s')"},
	{"delivery_attempts", "delivery_id IN (SELECT d.id FROM deliveries d JOIN events e ON e.id = d.event_id WHERE e.order_id = '%s')"},
}

// columns are those of a table that are copied: all but the key of a pool, which is on one licence only.
func columns(ctx context.Context, conn *pgx.Conn, table string) (names string, err error) {
	err = conn.QueryRow(ctx, `SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
		WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped AND attname <> 'pool_key_id'`, table).Scan(&names)
	return names, err
}

// specimenOf reads an order with everything that belongs to it.
func (i *installation) specimenOf(ctx context.Context, conn *pgx.Conn, order string) (*specimen, error) {
	if _, err := conn.Exec(ctx, "SET TIME ZONE 'UTC'; SET DateStyle = ISO"); err != nil {
		return nil, err
	}
	var k known
	if err := conn.QueryRow(ctx, "SELECT created_at, number, customer_email FROM orders WHERE id = $1", order).Scan(&k.created, &k.number, &k.email); err != nil {
		return nil, err
	}
	found, err := conn.Query(ctx, `SELECT token FROM orders WHERE id = $1 UNION ALL SELECT token FROM payments WHERE order_id = $1
		UNION ALL SELECT fingerprint FROM licenses WHERE order_id = $1`, order)
	if err != nil {
		return nil, err
	}
	if k.secrets, err = pgx.CollectRows(found, pgx.RowTo[string]); err != nil {
		return nil, err
	}
	if k.seal, err = i.sealer(); err != nil {
		return nil, err
	}
	if found, err = conn.Query(ctx, "SELECT encode(ciphertext, 'hex'), id FROM licenses WHERE order_id = $1", order); err != nil {
		return nil, err
	}
	k.sealed = map[string]string{}
	var text, license string
	if _, err := pgx.ForEachRow(found, []any{&text, &license}, func() error { k.sealed[text] = license; return nil }); err != nil {
		return nil, err
	}
	rows := map[string]string{}
	for _, t := range orderTables {
		names, err := columns(ctx, conn, t.name)
		if err != nil {
			return nil, err
		}
		var text bytes.Buffer
		if _, err := conn.PgConn().CopyTo(ctx, &text, fmt.Sprintf("COPY (SELECT %s FROM %s WHERE "+t.rows+") TO STDOUT", names, t.name, order)); err != nil {
			return nil, fmt.Errorf("%s: %w", t.name, err)
		}
		rows[t.name] = text.String()
	}
	return cut(rows, k)
}

// sealer encrypts what a listing opens, as purser does with the installation's secret.
func (i *installation) sealer() (func(plain, context string) []byte, error) {
	secret, err := base64.StdEncoding.DecodeString(i.secret)
	if err != nil {
		return nil, err
	}
	key, err := hkdf.Key(sha256.New, secret, nil, "purser/v1/seal", 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	return func(plain, context string) []byte { return aead.Seal([]byte{1}, nil, []byte(plain), []byte(context)) }, nil
}

// filling are the settings of PostgreSQL while a database is filled: fewer checkpoints, and nobody who tidies up behind.
var filling = []struct{ name, value string }{{"max_wal_size", "'3GB'"}, {"checkpoint_timeout", "'1h'"}, {"autovacuum", "off"}}

// fillFast is fill for an empty database that no purser uses.
func (b *bench) fillFast(ctx context.Context, address string, p population) error {
	for _, s := range filling {
		if err := b.admin(ctx, "ALTER SYSTEM SET "+s.name+" = "+s.value); err != nil {
			return err
		}
	}
	err := b.admin(ctx, "SELECT pg_reload_conf()")
	if err == nil {
		err = b.fill(ctx, address, p, true)
	}
	for _, s := range filling {
		err = errors.Join(err, b.admin(context.WithoutCancel(ctx), "ALTER SYSTEM RESET "+s.name))
	}
	return errors.Join(err, b.admin(context.WithoutCancel(ctx), "SELECT pg_reload_conf()"), b.admin(ctx, "CHECKPOINT"))
}

// fill writes a population, a table after the other on as many connections as there are processors for it, without asking whether what
// the rows refer to is there. A large one is better written without the indexes, which are made again behind it, as are the statistics.
func (b *bench) fill(ctx context.Context, address string, p population, large bool) error {
	const connections = 2
	tables := make(chan string, len(orderTables))
	for _, t := range orderTables {
		tables <- t.name
	}
	close(tables)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	failed := make(chan error, connections)
	var all sync.WaitGroup
	for range connections {
		all.Go(func() {
			err := b.fillTables(ctx, address, p, large, tables)
			if err != nil {
				cancel()
			}
			failed <- err
		})
	}
	all.Wait()
	return errors.Join(<-failed, <-failed)
}

func (b *bench) fillTables(ctx context.Context, address string, p population, large bool, tables <-chan string) (err error) {
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	if _, err := conn.Exec(ctx, "SET session_replication_role = replica; SET synchronous_commit = off; SET maintenance_work_mem = '512MB'"); err != nil {
		return err
	}
	for table := range tables {
		if err := b.fillTable(ctx, conn, p, large, table); err != nil {
			return fmt.Errorf("%s: %w", table, err)
		}
	}
	return nil
}

func (b *bench) fillTable(ctx context.Context, conn *pgx.Conn, p population, large bool, table string) error {
	var indexes []index
	var err error
	if large {
		if indexes, err = dropIndexes(ctx, conn, table); err != nil {
			return err
		}
	}
	names, err := columns(ctx, conn, table)
	if err != nil {
		return err
	}
	began := time.Now()
	done, err := conn.PgConn().CopyFrom(ctx, p.text(table), "COPY "+table+" ("+names+") FROM STDIN")
	if err != nil {
		return err
	}
	copied := time.Since(began)
	if !large {
		return nil
	}
	began = time.Now()
	for _, i := range indexes {
		if _, err := conn.Exec(ctx, i.create); err != nil {
			return err
		}
	}
	indexed := time.Since(began)
	began = time.Now()
	if _, err := conn.Exec(ctx, "VACUUM ANALYZE "+table); err != nil {
		return err
	}
	b.say("  %s: %d rows in %s, %d indexes in %s, vacuumed in %s", table, done.RowsAffected(), copied.Round(time.Second), len(indexes),
		indexed.Round(time.Second), time.Since(began).Round(time.Second))
	return nil
}

// index is one that can be made again.
type index struct{ drop, create string }

// dropIndexes drops those of a table that no foreign key relies on.
func dropIndexes(ctx context.Context, conn *pgx.Conn, table string) ([]index, error) {
	found, err := conn.Query(ctx, `SELECT
			CASE WHEN c.oid IS NULL THEN 'DROP INDEX ' || x.indexrelid::regclass ELSE format('ALTER TABLE %s DROP CONSTRAINT %I', x.indrelid::regclass, c.conname) END,
			CASE WHEN c.oid IS NULL THEN pg_get_indexdef(x.indexrelid) ELSE format('ALTER TABLE %s ADD CONSTRAINT %I %s', x.indrelid::regclass, c.conname, pg_get_constraintdef(c.oid)) END
		FROM pg_index x LEFT JOIN pg_constraint c ON c.conindid = x.indexrelid AND c.contype = 'u'
		WHERE x.indrelid = $1::regclass AND NOT x.indisprimary`, table)
	if err != nil {
		return nil, err
	}
	indexes, err := pgx.CollectRows(found, func(r pgx.CollectableRow) (i index, err error) { return i, r.Scan(&i.drop, &i.create) })
	if err != nil {
		return nil, err
	}
	for _, i := range indexes {
		if _, err := conn.Exec(ctx, i.drop); err != nil {
			return nil, err
		}
	}
	return indexes, nil
}
