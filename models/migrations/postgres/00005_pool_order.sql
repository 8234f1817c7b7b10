-- +goose NO TRANSACTION
-- +goose Up

-- The keys that are left, in the order in which they are sold. No other index has that order, or the planner, which believes that most keys
-- are left, finds the next one by walking through all that were sold. Of those nothing is left in this index but what vacuum has not taken
-- away yet, so that it has to come by often. What becomes of a key afterwards changes no column of an index.
-- Made beside the writers; it waits for the transactions that are open, however long they are. One that was cut off leaves an index behind
-- that is never used.
SET lock_timeout = 0;
DROP INDEX CONCURRENTLY IF EXISTS pool_keys_next;
CREATE INDEX CONCURRENTLY pool_keys_next ON pool_keys (product_id, test, created_at, id) WHERE item_id IS NULL;
DROP INDEX CONCURRENTLY IF EXISTS pool_keys_available;
ALTER TABLE pool_keys SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, vacuum_index_cleanup = on);
RESET lock_timeout;

-- +goose Down

ALTER TABLE pool_keys RESET (autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold, vacuum_index_cleanup);
DROP INDEX CONCURRENTLY IF EXISTS pool_keys_available;
CREATE INDEX CONCURRENTLY pool_keys_available ON pool_keys (product_id, test, id) WHERE state = 'available';
DROP INDEX CONCURRENTLY IF EXISTS pool_keys_next;
