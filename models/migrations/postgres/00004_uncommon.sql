-- +goose NO TRANSACTION
-- +goose Up

-- What somebody looks for among millions of rows of other kinds. Made beside the writers, on a database that may be large.
CREATE INDEX CONCURRENTLY IF NOT EXISTS orders_terminated ON orders (merchant_id, test, id) WHERE status = 'terminated';
CREATE INDEX CONCURRENTLY IF NOT EXISTS orders_partly_delivered ON orders (merchant_id, test, id) WHERE fulfillment_status = 'partially_delivered';
CREATE INDEX CONCURRENTLY IF NOT EXISTS events_uncommon ON events (merchant_id, test, type, id)
    WHERE type <> 'order.created' AND type <> 'payment.succeeded' AND type <> 'product.delivered' AND type <> 'order.delivered';

-- +goose Down

DROP INDEX CONCURRENTLY IF EXISTS events_uncommon;
DROP INDEX CONCURRENTLY IF EXISTS orders_partly_delivered;
DROP INDEX CONCURRENTLY IF EXISTS orders_terminated;
