-- +goose Up

-- The keys that are left, in the order in which they are sold. No other index has that order, or the next one may be found by walking
-- through all that were sold.
CREATE INDEX pool_keys_next ON pool_keys (product_id, test, created_at, id) WHERE item_id IS NULL;
DROP INDEX pool_keys_available;

-- +goose Down

CREATE INDEX pool_keys_available ON pool_keys (product_id, test, id) WHERE state = 'available';
DROP INDEX pool_keys_next;
