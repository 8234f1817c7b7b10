-- +goose Up

-- What somebody looks for among many rows of other kinds. Those that expired are not uncommon, but lie behind three months of others.
CREATE INDEX orders_terminated ON orders (merchant_id, test, id) WHERE status = 'terminated';
CREATE INDEX orders_deleted ON orders (merchant_id, test, id) WHERE status = 'deleted';
CREATE INDEX orders_partly_delivered ON orders (merchant_id, test, id) WHERE fulfillment_status = 'partially_delivered';
CREATE INDEX events_uncommon ON events (merchant_id, test, type, id)
    WHERE type <> 'order.created' AND type <> 'payment.succeeded' AND type <> 'product.delivered' AND type <> 'order.delivered';

-- +goose Down

DROP INDEX events_uncommon;
DROP INDEX orders_partly_delivered;
DROP INDEX orders_deleted;
DROP INDEX orders_terminated;
