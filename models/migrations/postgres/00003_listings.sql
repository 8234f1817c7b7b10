-- +goose NO TRANSACTION
-- +goose Up

-- What somebody looks for among millions of rows that are as they should be. Made beside the writers, on a database that may be large.
-- It waits for the transactions that are open, however long they are. One that was cut off leaves an index behind that is never used.
SET lock_timeout = 0;
DROP INDEX CONCURRENTLY IF EXISTS deliveries_unsucceeded;
CREATE INDEX CONCURRENTLY deliveries_unsucceeded ON deliveries (merchant_id, test, id) WHERE status <> 'succeeded';
DROP INDEX CONCURRENTLY IF EXISTS orders_undelivered;
CREATE INDEX CONCURRENTLY orders_undelivered ON orders (merchant_id, test, id) WHERE status = 'paid' AND fulfillment_status <> 'delivered';
RESET lock_timeout;

-- +goose Down

DROP INDEX CONCURRENTLY IF EXISTS orders_undelivered;
DROP INDEX CONCURRENTLY IF EXISTS deliveries_unsucceeded;
