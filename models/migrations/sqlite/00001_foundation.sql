-- +goose Up

-- One row of facts about the installation, such as the check value of the secret key.
CREATE TABLE installation (
    name  text PRIMARY KEY,
    value text NOT NULL
);

CREATE TABLE merchants (
    id                    text PRIMARY KEY,
    slug                  text NOT NULL UNIQUE,
    name                  text NOT NULL,
    email                 text NOT NULL,
    live                  boolean NOT NULL DEFAULT false,
    allow_private_targets boolean NOT NULL DEFAULT false,
    settings              text NOT NULL,
    delete_unpaid_after_s integer NOT NULL CHECK (delete_unpaid_after_s > 0),
    created_at            timestamp NOT NULL,
    updated_at            timestamp NOT NULL
);

-- The merchants' reminder settings, flattened so that one query finds every order that is due.
CREATE TABLE reminder_rules (
    merchant_id  text NOT NULL REFERENCES merchants (id),
    method_class text NOT NULL CHECK (method_class IN ('online', 'offline')),
    stage        integer NOT NULL CHECK (stage >= 0),
    after_s      integer NOT NULL CHECK (after_s >= 0),
    PRIMARY KEY (merchant_id, method_class, stage)
);

CREATE TABLE api_keys (
    id           text PRIMARY KEY,
    merchant_id  text NOT NULL REFERENCES merchants (id),
    test         boolean NOT NULL,
    name         text NOT NULL DEFAULT '',
    digest       text NOT NULL UNIQUE,
    last4        text NOT NULL,
    created_at   timestamp NOT NULL,
    revoked_at   timestamp
);
CREATE INDEX api_keys_merchant ON api_keys (merchant_id, id);

-- People who sign in: operators of the installation (merchant_id null) and staff of one merchant.
CREATE TABLE accounts (
    id            text PRIMARY KEY,
    merchant_id   text REFERENCES merchants (id),
    email         text NOT NULL,
    role          text NOT NULL,
    password_hash text NOT NULL,
    created_at    timestamp NOT NULL,
    disabled_at   timestamp,
    CHECK ((merchant_id IS NULL AND role IN ('admin', 'viewer')) OR (merchant_id IS NOT NULL AND role IN ('owner', 'support', 'viewer')))
);
CREATE UNIQUE INDEX accounts_email ON accounts (COALESCE(merchant_id, ''), email);

CREATE TABLE sessions (
    digest     text PRIMARY KEY,
    account_id text NOT NULL REFERENCES accounts (id),
    created_at timestamp NOT NULL,
    expires_at timestamp NOT NULL
);
CREATE INDEX sessions_expiry ON sessions (expires_at);

CREATE TABLE products (
    id                         text PRIMARY KEY,
    merchant_id                text NOT NULL REFERENCES merchants (id),
    sku                        text NOT NULL,
    name                       text NOT NULL,
    description                text NOT NULL DEFAULT '',
    license_method             text NOT NULL,
    license_per                text NOT NULL CHECK (license_per IN ('unit', 'item')),
    license                    text NOT NULL,
    signing_key                blob,
    min_quantity               integer NOT NULL CHECK (min_quantity >= 1),
    max_quantity               integer NOT NULL CHECK (max_quantity >= min_quantity),
    show_license_on_order_page boolean NOT NULL,
    email_license              boolean NOT NULL,
    active                     boolean NOT NULL,
    created_at                 timestamp NOT NULL,
    updated_at                 timestamp NOT NULL,
    archived_at                timestamp
);
CREATE UNIQUE INDEX products_sku ON products (merchant_id, sku) WHERE archived_at IS NULL;
CREATE INDEX products_list ON products (merchant_id, id);

CREATE TABLE prices (
    product_id text NOT NULL REFERENCES products (id),
    currency   text NOT NULL,
    amount     integer NOT NULL CHECK (amount >= 0),
    PRIMARY KEY (product_id, currency)
);

CREATE TABLE orders (
    id                 text PRIMARY KEY,
    number             text NOT NULL UNIQUE,
    merchant_id        text NOT NULL REFERENCES merchants (id),
    test               boolean NOT NULL,
    status             text NOT NULL CHECK (status IN ('not_paid', 'paid', 'deleted', 'terminated')),
    fulfillment_status text NOT NULL CHECK (fulfillment_status IN ('not_delivered', 'partially_delivered', 'delivered')),
    refund_status      text CHECK (refund_status IN ('partial', 'full')),
    delete_reason      text CHECK (delete_reason IN ('expired', 'cancelled')),
    currency           text NOT NULL,
    subtotal           integer NOT NULL CHECK (subtotal >= 0),
    discount           integer NOT NULL CHECK (discount >= 0),
    tax                integer NOT NULL CHECK (tax >= 0),
    tax_inclusive      boolean NOT NULL,
    total              integer NOT NULL CHECK (total >= 0),
    amount_refunded    integer NOT NULL DEFAULT 0 CHECK (amount_refunded >= 0),
    locale             text NOT NULL,
    external_id        text NOT NULL DEFAULT '',
    coupon             text NOT NULL DEFAULT '',
    customer_email     text NOT NULL,
    customer           text NOT NULL,
    payment_method     text NOT NULL DEFAULT '',
    method_class       text NOT NULL CHECK (method_class IN ('online', 'offline')),
    reminder_stage     integer NOT NULL DEFAULT 0,
    token              text NOT NULL UNIQUE,
    return_url         text NOT NULL DEFAULT '',
    metadata           text NOT NULL,
    consents           text NOT NULL,
    created_at         timestamp NOT NULL,
    unpaid_since       timestamp NOT NULL,
    paid_at            timestamp,
    delivered_at       timestamp,
    deleted_at         timestamp,
    CHECK (total = subtotal - discount + CASE WHEN tax_inclusive THEN 0 ELSE tax END),
    CHECK ((status = 'deleted') = (deleted_at IS NOT NULL)),
    CHECK ((status = 'deleted') = (delete_reason IS NOT NULL)),
    CHECK (status <> 'paid' OR paid_at IS NOT NULL),
    CHECK ((fulfillment_status = 'delivered') = (delivered_at IS NOT NULL))
);
CREATE INDEX orders_list ON orders (merchant_id, test, id);
CREATE INDEX orders_email ON orders (merchant_id, test, customer_email, id);
CREATE INDEX orders_external ON orders (merchant_id, test, external_id, id) WHERE external_id <> '';
CREATE INDEX orders_expiry ON orders (merchant_id, unpaid_since) WHERE status = 'not_paid';
CREATE INDEX orders_reminders ON orders (merchant_id, method_class, reminder_stage, unpaid_since) WHERE status = 'not_paid';

CREATE TABLE items (
    id                 text PRIMARY KEY,
    order_id           text NOT NULL REFERENCES orders (id),
    merchant_id        text NOT NULL,
    test               boolean NOT NULL,
    position           integer NOT NULL,
    product_id         text NOT NULL REFERENCES products (id),
    sku                text NOT NULL,
    name               text NOT NULL,
    quantity           integer NOT NULL CHECK (quantity >= 1),
    unit_price         integer NOT NULL CHECK (unit_price >= 0),
    discount           integer NOT NULL CHECK (discount >= 0),
    tax                integer NOT NULL CHECK (tax >= 0),
    total              integer NOT NULL CHECK (total >= 0),
    license_method     text NOT NULL,
    license_per        text NOT NULL,
    fulfillment_status text NOT NULL CHECK (fulfillment_status IN ('not_delivered', 'partially_delivered', 'delivered', 'failed')),
    failure            text,
    waiting_for        text CHECK (waiting_for IN ('pool')),
    waiting_since      timestamp,
    delivered_at       timestamp,
    UNIQUE (order_id, position),
    CHECK ((fulfillment_status = 'delivered') = (delivered_at IS NOT NULL)),
    CHECK ((fulfillment_status = 'failed') = (failure IS NOT NULL)),
    CHECK ((waiting_for IS NULL) = (waiting_since IS NULL)),
    CHECK (waiting_for IS NULL OR fulfillment_status IN ('not_delivered', 'partially_delivered'))
);
CREATE INDEX items_product ON items (product_id, order_id);
CREATE INDEX items_waiting ON items (product_id, test, waiting_since, id) WHERE waiting_for IS NOT NULL;

CREATE TABLE payments (
    id              text PRIMARY KEY,
    order_id        text NOT NULL REFERENCES orders (id),
    merchant_id     text NOT NULL,
    test            boolean NOT NULL,
    method          text NOT NULL,
    gateway         text NOT NULL,
    status          text NOT NULL CHECK (status IN ('pending', 'requires_action', 'processing', 'succeeded', 'failed', 'cancelled')),
    amount          integer NOT NULL CHECK (amount >= 0),
    currency        text NOT NULL,
    reference       text NOT NULL DEFAULT '',
    failure_code    text,
    failure_message text,
    token           text NOT NULL UNIQUE,
    request_id      text UNIQUE,
    applied         boolean NOT NULL DEFAULT false,
    created_at      timestamp NOT NULL,
    updated_at      timestamp NOT NULL,
    CHECK ((status = 'failed') = (failure_code IS NOT NULL)),
    CHECK (NOT applied OR status = 'succeeded')
);
CREATE INDEX payments_order ON payments (order_id, id);
-- An order is paid by one payment; a second one is recorded but never applied.
CREATE UNIQUE INDEX payments_applied ON payments (order_id) WHERE applied;
-- One payment at a time is under way for an order, however many windows are open.
CREATE UNIQUE INDEX payments_open ON payments (order_id) WHERE status IN ('pending', 'requires_action', 'processing');

CREATE TABLE pool_keys (
    id          text PRIMARY KEY,
    merchant_id text NOT NULL,
    product_id  text NOT NULL REFERENCES products (id),
    test        boolean NOT NULL,
    ciphertext  blob NOT NULL,
    fingerprint text NOT NULL,
    state       text NOT NULL CHECK (state IN ('available', 'allocated', 'delivered', 'revoked')),
    item_id     text REFERENCES items (id),
    created_at  timestamp NOT NULL,
    CHECK ((state = 'available') = (item_id IS NULL)),
    UNIQUE (product_id, test, fingerprint)
);
CREATE INDEX pool_keys_available ON pool_keys (product_id, test, id) WHERE state = 'available';
CREATE INDEX pool_keys_item ON pool_keys (item_id) WHERE item_id IS NOT NULL;

CREATE TABLE licenses (
    id           text PRIMARY KEY,
    merchant_id  text NOT NULL,
    test         boolean NOT NULL,
    order_id     text NOT NULL REFERENCES orders (id),
    item_id      text NOT NULL REFERENCES items (id),
    product_id   text NOT NULL,
    unit         integer NOT NULL CHECK (unit >= 1),
    method       text NOT NULL,
    ciphertext   blob NOT NULL,
    fingerprint  text NOT NULL,
    pool_key_id  text UNIQUE REFERENCES pool_keys (id),
    status       text NOT NULL CHECK (status IN ('active', 'revoked')),
    created_at   timestamp NOT NULL,
    delivered_at timestamp,
    revoked_at   timestamp,
    UNIQUE (item_id, unit),
    CHECK ((status = 'revoked') = (revoked_at IS NOT NULL))
);
CREATE INDEX licenses_order ON licenses (order_id);
CREATE INDEX licenses_fingerprint ON licenses (merchant_id, fingerprint);

CREATE TABLE events (
    id          text PRIMARY KEY,
    merchant_id text NOT NULL REFERENCES merchants (id),
    test        boolean NOT NULL,
    type        text NOT NULL,
    order_id    text,
    fact        text NOT NULL UNIQUE,
    data        text NOT NULL,
    created_at  timestamp NOT NULL
);
CREATE INDEX events_list ON events (merchant_id, test, id);
CREATE INDEX events_order ON events (order_id) WHERE order_id IS NOT NULL;

CREATE TABLE webhook_endpoints (
    id                   text PRIMARY KEY,
    merchant_id          text NOT NULL REFERENCES merchants (id),
    test                 boolean NOT NULL,
    url                  text NOT NULL,
    events               text NOT NULL,
    format               text NOT NULL CHECK (format IN ('standard')),
    description          text NOT NULL DEFAULT '',
    secret               blob NOT NULL,
    include_license_keys boolean NOT NULL,
    status               text NOT NULL CHECK (status IN ('enabled', 'disabled')),
    created_at           timestamp NOT NULL,
    updated_at           timestamp NOT NULL,
    deleted_at           timestamp
);
CREATE INDEX webhook_endpoints_list ON webhook_endpoints (merchant_id, test, id) WHERE deleted_at IS NULL;

CREATE TABLE deliveries (
    id              text PRIMARY KEY,
    merchant_id     text NOT NULL,
    test            boolean NOT NULL,
    event_id        text NOT NULL REFERENCES events (id),
    endpoint_id     text NOT NULL REFERENCES webhook_endpoints (id),
    job_id          text NOT NULL,
    status          text NOT NULL CHECK (status IN ('pending', 'succeeded', 'failed', 'cancelled')),
    attempts        integer NOT NULL DEFAULT 0,
    response_status integer,
    created_at      timestamp NOT NULL,
    finished_at     timestamp,
    UNIQUE (event_id, endpoint_id),
    CHECK ((status = 'pending') = (finished_at IS NULL))
);
CREATE INDEX deliveries_list ON deliveries (merchant_id, test, id);
CREATE INDEX deliveries_endpoint ON deliveries (endpoint_id, id);

CREATE TABLE delivery_attempts (
    delivery_id     text NOT NULL REFERENCES deliveries (id),
    attempt         integer NOT NULL,
    at              timestamp NOT NULL,
    duration_ms     integer NOT NULL,
    response_status integer,
    error           text,
    response        text NOT NULL DEFAULT '',
    PRIMARY KEY (delivery_id, attempt)
);

-- One row per email to be sent; whom it goes to and what it says is derived when it is sent.
CREATE TABLE emails (
    id          text PRIMARY KEY,
    merchant_id text NOT NULL REFERENCES merchants (id),
    test        boolean NOT NULL,
    kind        text NOT NULL,
    fact        text NOT NULL UNIQUE,
    order_id    text REFERENCES orders (id),
    item_id     text REFERENCES items (id),
    product_id  text REFERENCES products (id),
    stage       integer NOT NULL DEFAULT 0,
    job_id      text NOT NULL,
    status      text NOT NULL CHECK (status IN ('pending', 'sent', 'failed', 'skipped')),
    error       text,
    created_at  timestamp NOT NULL,
    finished_at timestamp,
    CHECK ((status = 'pending') = (finished_at IS NULL))
);
CREATE INDEX emails_order ON emails (order_id) WHERE order_id IS NOT NULL;

-- What happened to an order and who or what caused it.
CREATE TABLE history (
    id          text PRIMARY KEY,
    merchant_id text NOT NULL,
    order_id    text NOT NULL REFERENCES orders (id),
    at          timestamp NOT NULL,
    kind        text NOT NULL,
    actor       text NOT NULL,
    summary     text NOT NULL,
    detail      text NOT NULL
);
CREATE INDEX history_order ON history (order_id, id);

-- The promises: every piece of work that a committed change has caused.
CREATE TABLE jobs (
    id           text PRIMARY KEY,
    kind         text NOT NULL,
    args         text NOT NULL,
    order_id     text,
    merchant_id  text,
    state        text NOT NULL CHECK (state IN ('due', 'running', 'done', 'dead', 'cancelled')),
    epoch        integer NOT NULL DEFAULT 0,
    attempts     integer NOT NULL DEFAULT 0,
    max_attempts integer NOT NULL,
    run_at       timestamp NOT NULL,
    alarm_at     timestamp NOT NULL,
    alarms       integer NOT NULL DEFAULT 0,
    created_at   timestamp NOT NULL,
    finished_at  timestamp,
    last_error   text,
    dedupe_key   text UNIQUE,
    CHECK ((state IN ('done', 'dead', 'cancelled')) = (finished_at IS NOT NULL))
);
-- Partial on finished_at, never on state: with a state predicate the planner claims through this index.
CREATE INDEX jobs_alarm ON jobs (alarm_at) WHERE finished_at IS NULL;
CREATE INDEX jobs_order ON jobs (order_id) WHERE order_id IS NOT NULL;
CREATE INDEX jobs_dead ON jobs (id) WHERE state = 'dead';

CREATE TABLE idempotency_keys (
    id           text PRIMARY KEY,
    merchant_id  text NOT NULL,
    test         boolean NOT NULL,
    method       text NOT NULL,
    path         text NOT NULL,
    key          text NOT NULL,
    request_hash text NOT NULL,
    owner        text NOT NULL,
    lease_until  timestamp NOT NULL,
    status       integer,
    headers      text,
    body         blob,
    created_at   timestamp NOT NULL,
    UNIQUE (merchant_id, test, method, path, key)
);
CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);

-- The built-in mailbox of an installation without an SMTP server.
CREATE TABLE mailbox (
    id         text PRIMARY KEY,
    message_id text NOT NULL UNIQUE,
    sender     text NOT NULL,
    recipient  text NOT NULL,
    subject    text NOT NULL,
    text_body  text NOT NULL,
    html_body  text NOT NULL,
    created_at timestamp NOT NULL
);

-- +goose Down
DROP TABLE mailbox;
DROP TABLE idempotency_keys;
DROP TABLE jobs;
DROP TABLE history;
DROP TABLE emails;
DROP TABLE delivery_attempts;
DROP TABLE deliveries;
DROP TABLE webhook_endpoints;
DROP TABLE events;
DROP TABLE licenses;
DROP TABLE pool_keys;
DROP TABLE payments;
DROP TABLE items;
DROP TABLE orders;
DROP TABLE prices;
DROP TABLE products;
DROP TABLE sessions;
DROP TABLE accounts;
DROP TABLE api_keys;
DROP TABLE reminder_rules;
DROP TABLE merchants;
DROP TABLE installation;
