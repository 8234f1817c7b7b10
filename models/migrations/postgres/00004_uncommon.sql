-- +goose NO TRANSACTION
-- +goose Up

-- What somebody looks for among millions of rows of other kinds. Those that expired are not uncommon, but lie behind three months of others. Made beside the writers, on a database that may be large.
-- It waits for the transactions that are open, however long they are. One that was cut off leaves an index behind that is never used.
SET lock_timeout = 0;
DROP INDEX CONCURRENTLY IF EXISTS orders_terminated;
CREATE INDEX CONCURRENTLY orders_terminated ON orders (merchant_id, test, id) WHERE status = 'terminated';
DROP INDEX CONCURRENTLY IF EXISTS orders_deleted;
CREATE INDEX CONCURRENTLY orders_deleted ON orders (merchant_id, test, id) WHERE status = 'deleted';
DROP INDEX CONCURRENTLY IF EXISTS orders_partly_delivered;
CREATE INDEX CONCURRENTLY orders_partly_delivered ON orders (merchant_id, test, id) WHERE fulfillment_status = 'partially_delivered';
DROP INDEX CONCURRENTLY IF EXISTS events_uncommon;
CREATE INDEX CONCURRENTLY events_uncommon ON events (merchant_id, test, type, id)
    WHERE type <> 'order.created' AND type <> 'payment.succeeded' AND type <> 'product.delivered' AND type <> 'order.delivered';
RESET lock_timeout;

-- +goose Down

DROP INDEX CONCURRENTLY IF EXISTS events_uncommon;
DROP INDEX CONCURRENTLY IF EXISTS orders_partly_delivered;
DROP INDEX CONCURRENTLY IF EXISTS orders_deleted;
DROP INDEX CONCURRENTLY IF EXISTS orders_terminated;
