-- +goose Up

-- Discounts by code, or automatic where there is no code. Shared by test and live mode; their counters are not.
CREATE TABLE coupons (
    id                    text COLLATE "C" PRIMARY KEY,
    merchant_id           text COLLATE "C" NOT NULL REFERENCES merchants (id),
    code                  text,
    name                  text NOT NULL,
    percent_bp            integer CHECK (percent_bp BETWEEN 1 AND 10000),
    amounts               json NOT NULL,
    products              json NOT NULL,
    starts_at             timestamptz,
    ends_at               timestamptz,
    max_uses              integer CHECK (max_uses >= 1),
    max_uses_per_customer integer CHECK (max_uses_per_customer >= 1),
    active                boolean NOT NULL,
    created_at            timestamptz NOT NULL,
    updated_at            timestamptz NOT NULL,
    archived_at           timestamptz
);
CREATE UNIQUE INDEX coupons_code ON coupons (merchant_id, code) WHERE archived_at IS NULL;
CREATE INDEX coupons_list ON coupons (merchant_id, id);

CREATE TABLE coupon_counters (
    coupon_id text COLLATE "C" NOT NULL REFERENCES coupons (id),
    test      boolean NOT NULL,
    used      integer NOT NULL CHECK (used >= 0),
    PRIMARY KEY (coupon_id, test)
);

-- One row per order that uses a coupon; taken back when the order is deleted unpaid.
CREATE TABLE coupon_uses (
    coupon_id      text COLLATE "C" NOT NULL REFERENCES coupons (id),
    order_id       text COLLATE "C" NOT NULL REFERENCES orders (id) DEFERRABLE INITIALLY DEFERRED,
    test           boolean NOT NULL,
    customer_email text NOT NULL,
    created_at     timestamptz NOT NULL,
    PRIMARY KEY (coupon_id, order_id)
);
CREATE INDEX coupon_uses_customer ON coupon_uses (coupon_id, test, customer_email);
CREATE INDEX coupon_uses_order ON coupon_uses (order_id);

CREATE TABLE offers (
    id          text COLLATE "C" PRIMARY KEY,
    merchant_id text COLLATE "C" NOT NULL REFERENCES merchants (id),
    kind        text NOT NULL CHECK (kind IN ('addon', 'replace')),
    trigger_id  text COLLATE "C" NOT NULL REFERENCES products (id),
    product_id  text COLLATE "C" NOT NULL REFERENCES products (id),
    percent_bp  integer NOT NULL DEFAULT 0 CHECK (percent_bp BETWEEN 0 AND 10000),
    title       text NOT NULL,
    description text NOT NULL DEFAULT '',
    active      boolean NOT NULL,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    archived_at timestamptz,
    CHECK (trigger_id <> product_id)
);
CREATE INDEX offers_list ON offers (merchant_id, id);

-- How customers may pay, per mode: test and live have gateways of their own.
CREATE TABLE payment_methods (
    id          text COLLATE "C" PRIMARY KEY,
    merchant_id text COLLATE "C" NOT NULL REFERENCES merchants (id),
    test        boolean NOT NULL,
    method      text NOT NULL,
    gateway     text NOT NULL,
    currencies  json NOT NULL,
    config      json NOT NULL,
    sealed      bytea NOT NULL,
    active      boolean NOT NULL,
    position    integer NOT NULL DEFAULT 0,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    deleted_at  timestamptz
);
CREATE INDEX payment_methods_list ON payment_methods (merchant_id, test, position, id) WHERE deleted_at IS NULL;

CREATE TABLE checkout_links (
    id          text COLLATE "C" PRIMARY KEY,
    merchant_id text COLLATE "C" NOT NULL REFERENCES merchants (id),
    test        boolean NOT NULL,
    content     json NOT NULL,
    single_use  boolean NOT NULL,
    expires_at  timestamptz,
    order_id    text COLLATE "C" REFERENCES orders (id),
    created_at  timestamptz NOT NULL
);
CREATE INDEX checkout_links_list ON checkout_links (merchant_id, test, id);

-- A visitor's cart. The visitor is known by a random cookie, of which only a keyed digest is kept.
CREATE TABLE carts (
    id          text COLLATE "C" PRIMARY KEY,
    visitor     text COLLATE "C" NOT NULL,
    merchant_id text COLLATE "C" NOT NULL REFERENCES merchants (id),
    test        boolean NOT NULL,
    currency    text NOT NULL,
    content     json NOT NULL,
    link_id     text COLLATE "C" REFERENCES checkout_links (id),
    version     integer NOT NULL DEFAULT 0,
    order_id    text COLLATE "C" UNIQUE REFERENCES orders (id),
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL
);
CREATE UNIQUE INDEX carts_open ON carts (visitor, merchant_id, test, currency) WHERE order_id IS NULL;
CREATE INDEX carts_age ON carts (updated_at);

-- What gateways told us, before it is applied.
CREATE TABLE gateway_callbacks (
    id          text COLLATE "C" PRIMARY KEY,
    merchant_id text COLLATE "C" NOT NULL REFERENCES merchants (id),
    test        boolean NOT NULL,
    gateway     text NOT NULL,
    event_id    text COLLATE "C" NOT NULL,
    payment_id  text COLLATE "C",
    outcome     json NOT NULL,
    received_at timestamptz NOT NULL,
    applied_at  timestamptz,
    UNIQUE (merchant_id, gateway, test, event_id)
);

CREATE TABLE refunds (
    id          text COLLATE "C" PRIMARY KEY,
    order_id    text COLLATE "C" NOT NULL REFERENCES orders (id),
    merchant_id text COLLATE "C" NOT NULL,
    test        boolean NOT NULL,
    status      text NOT NULL CHECK (status IN ('requested', 'processing', 'completed', 'declined', 'failed')),
    amount      bigint NOT NULL CHECK (amount > 0),
    currency    text NOT NULL,
    reason      text NOT NULL,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL
);
CREATE UNIQUE INDEX refunds_open ON refunds (order_id) WHERE status IN ('requested', 'processing');

ALTER TABLE orders ADD COLUMN source json NOT NULL DEFAULT '{}';
ALTER TABLE items ADD COLUMN offer_id text COLLATE "C";
ALTER TABLE payments ADD COLUMN amount_received bigint;
ALTER TABLE payments ADD COLUMN received_currency text;
ALTER TABLE payments ADD COLUMN note text NOT NULL DEFAULT '';
ALTER TABLE payments ADD COLUMN instructions json;
ALTER TABLE payments ADD COLUMN redirect_url text;
ALTER TABLE payments ADD COLUMN method_id text COLLATE "C";

-- +goose Down
ALTER TABLE payments DROP COLUMN method_id;
ALTER TABLE payments DROP COLUMN redirect_url;
ALTER TABLE payments DROP COLUMN instructions;
ALTER TABLE payments DROP COLUMN note;
ALTER TABLE payments DROP COLUMN received_currency;
ALTER TABLE payments DROP COLUMN amount_received;
ALTER TABLE items DROP COLUMN offer_id;
ALTER TABLE orders DROP COLUMN source;
DROP TABLE refunds, gateway_callbacks, carts, checkout_links, payment_methods, offers, coupon_uses, coupon_counters, coupons;
