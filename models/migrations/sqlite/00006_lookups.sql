-- +goose Up

-- What a visitor ordered last: anybody may ask with a cookie that was made up.
CREATE INDEX carts_visitor ON carts (visitor, merchant_id, test, updated_at) WHERE order_id IS NOT NULL;

-- For PostgreSQL, whose planner would not take orders_deleted where most orders are one merchant's and most were deleted. Both have one schema.
CREATE INDEX orders_deleted_id ON orders (id) WHERE status = 'deleted';

-- +goose Down

DROP INDEX orders_deleted_id;
DROP INDEX carts_visitor;
