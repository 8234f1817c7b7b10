-- +goose NO TRANSACTION
-- +goose Up

-- Made beside the writers; it waits for the transactions that are open, however long they are. One that was cut off leaves an index behind that
-- is never used.
SET lock_timeout = 0;

-- What a visitor ordered last: anybody may ask with a cookie that was made up.
DROP INDEX CONCURRENTLY IF EXISTS carts_visitor;
CREATE INDEX CONCURRENTLY carts_visitor ON carts (visitor, merchant_id, test, updated_at) WHERE order_id IS NOT NULL;

-- Where most orders are one merchant's and most were deleted, the planner takes no index of the merchant's deleted orders (orders_deleted) but
-- walks from the newest of all orders to those of months ago.
DROP INDEX CONCURRENTLY IF EXISTS orders_deleted_id;
CREATE INDEX CONCURRENTLY orders_deleted_id ON orders (id) WHERE status = 'deleted';

RESET lock_timeout;

-- +goose Down

DROP INDEX CONCURRENTLY IF EXISTS orders_deleted_id;
DROP INDEX CONCURRENTLY IF EXISTS carts_visitor;
