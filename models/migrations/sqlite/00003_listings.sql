-- +goose Up

-- What somebody looks for among many rows that are as they should be.
CREATE INDEX deliveries_unsucceeded ON deliveries (merchant_id, test, id) WHERE status <> 'succeeded';
CREATE INDEX orders_undelivered ON orders (merchant_id, test, id) WHERE status = 'paid' AND fulfillment_status <> 'delivered';

-- +goose Down

DROP INDEX orders_undelivered;
DROP INDEX deliveries_unsucceeded;
