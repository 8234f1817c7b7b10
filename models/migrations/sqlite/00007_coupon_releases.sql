-- +goose Up

-- An order that is deleted unpaid gives its uses of coupons back, and keeps the rows: one that is revived takes them again. Null while the use
-- counts.
ALTER TABLE coupon_uses ADD COLUMN released_at timestamp;
-- Its last column is there because SQLite counts by the index alone only where that has the column of its own condition.
CREATE INDEX coupon_uses_current ON coupon_uses (coupon_id, test, customer_email, released_at) WHERE released_at IS NULL;
DROP INDEX coupon_uses_customer;

-- Earlier versions counted some uses wrongly. A counter that is missing is counted anew by the next order.
DELETE FROM coupon_counters;

-- +goose Down

DELETE FROM coupon_uses WHERE released_at IS NOT NULL;
CREATE INDEX coupon_uses_customer ON coupon_uses (coupon_id, test, customer_email);
DROP INDEX coupon_uses_current;
ALTER TABLE coupon_uses DROP COLUMN released_at;
