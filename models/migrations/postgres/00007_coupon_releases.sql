-- +goose NO TRANSACTION
-- +goose Up

-- An order that is deleted unpaid gives its uses of coupons back, and keeps the rows: one that is revived takes them again. Null while the use
-- counts.
ALTER TABLE coupon_uses ADD COLUMN IF NOT EXISTS released_at timestamptz;

-- Made beside the writers; it waits for the transactions that are open, however long they are. One that was cut off leaves an index behind that
-- is never used. Its last column is for SQLite. Both have one schema.
SET lock_timeout = 0;
DROP INDEX CONCURRENTLY IF EXISTS coupon_uses_current;
CREATE INDEX CONCURRENTLY coupon_uses_current ON coupon_uses (coupon_id, test, customer_email, released_at) WHERE released_at IS NULL;
DROP INDEX CONCURRENTLY IF EXISTS coupon_uses_customer;

-- Earlier versions counted some uses wrongly. A counter that is missing is counted anew by the next order; each is taken away while its coupon
-- is held alone (see dialect.hold), or an order that has found it would have nothing to count on.
-- +goose StatementBegin
DO $$
DECLARE
    coupon text;
BEGIN
    FOR coupon IN SELECT DISTINCT coupon_id FROM coupon_counters LOOP
        PERFORM pg_advisory_xact_lock(hashtextextended(coupon, 0));
        DELETE FROM coupon_counters WHERE coupon_id = coupon;
        COMMIT;
    END LOOP;
END $$;
-- +goose StatementEnd
RESET lock_timeout;

-- +goose Down

DELETE FROM coupon_uses WHERE released_at IS NOT NULL;
DROP INDEX CONCURRENTLY IF EXISTS coupon_uses_customer;
CREATE INDEX CONCURRENTLY coupon_uses_customer ON coupon_uses (coupon_id, test, customer_email);
DROP INDEX CONCURRENTLY IF EXISTS coupon_uses_current;
ALTER TABLE coupon_uses DROP COLUMN released_at;
