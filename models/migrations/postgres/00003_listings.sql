-- +goose NO TRANSACTION
-- +goose Up

-- What somebody looks for among millions of rows that are as they should be. Made beside the writers, on a database that may be large.
CREATE INDEX CONCURRENTLY IF NOT EXISTS deliveries_unsucceeded ON deliveries (merchant_id, test, id) WHERE status <> 'succeeded';
CREATE INDEX CONCURRENTLY IF NOT EXISTS orders_undelivered ON orders (merchant_id, test, id) WHERE status = 'paid' AND fulfillment_status <> 'delivered';

-- +goose Down

DROP INDEX CONCURRENTLY IF EXISTS orders_undelivered;
DROP INDEX CONCURRENTLY IF EXISTS deliveries_unsucceeded;
