-- +goose Up

-- One row of facts about the installation, such as the check value of the secret key.
CREATE TABLE installation (
    name  text COLLATE "C" PRIMARY KEY,
    value text NOT NULL
);

CREATE TABLE merchants (
    id                    text COLLATE "C" PRIMARY KEY,
    slug                  text NOT NULL UNIQUE,
    name                  text NOT NULL,
    email                 text NOT NULL,
    live                  boolean NOT NULL DEFAULT false,
    allow_private_targets boolean NOT NULL DEFAULT false,
    settings              json NOT NULL,
    delete_unpaid_after_s bigint NOT NULL CHECK (delete_unpaid_after_s > 0),
    created_at            timestamptz NOT NULL,
    updated_at            timestamptz NOT NULL
);

-- The merchants' reminder settings, flattened so that one query finds every order that is due.
CREATE TABLE reminder_rules (
    merchant_id  text COLLATE "C" NOT NULL REFERENCES merchants (id),
    method_class text NOT NULL CHECK (method_class IN ('online', 'offline')),
    stage        integer NOT NULL CHECK (stage >= 0),
    after_s      bigint NOT NULL CHECK (after_s >= 0),
    PRIMARY KEY (merchant_id, method_class, stage)
);

CREATE TABLE api_keys (
    id           text COLLATE "C" PRIMARY KEY,
    merchant_id  text COLLATE "C" NOT NULL REFERENCES merchants (id),
    test         boolean NOT NULL,
    name         text NOT NULL DEFAULT '',
    digest       text COLLATE "C" NOT NULL UNIQUE,
    last4        text NOT NULL,
    created_at   timestamptz NOT NULL,
    revoked_at   timestamptz
);
CREATE INDEX api_keys_merchant ON api_keys (merchant_id, id);

-- People who sign in: operators of the installation (merchant_id null) and staff of one merchant.
CREATE TABLE accounts (
    id            text COLLATE "C" PRIMARY KEY,
    merchant_id   text COLLATE "C" REFERENCES merchants (id),
    email         text NOT NULL,
    role          text NOT NULL,
    password_hash text NOT NULL,
    created_at    timestamptz NOT NULL,
    disabled_at   timestamptz,
    CHECK ((merchant_id IS NULL AND role IN ('admin', 'viewer')) OR (merchant_id IS NOT NULL AND role IN ('owner', 'support', 'viewer')))
);
CREATE UNIQUE INDEX accounts_email ON accounts (COALESCE(merchant_id, ''), email);

CREATE TABLE sessions (
    digest     text COLLATE "C" PRIMARY KEY,
    account_id text COLLATE "C" NOT NULL REFERENCES accounts (id),
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX sessions_expiry ON sessions (expires_at);

CREATE TABLE products (
    id                         text COLLATE "C" PRIMARY KEY,
    merchant_id                text COLLATE "C" NOT NULL REFERENCES merchants (id),
    sku                        text NOT NULL,
    name                       text NOT NULL,
    description                text NOT NULL DEFAULT '',
    license_method             text NOT NULL,
    license_per                text NOT NULL CHECK (license_per IN ('unit', 'item')),
    license                    json NOT NULL,
    signing_key                bytea,
    min_quantity               integer NOT NULL CHECK (min_quantity >= 1),
    max_quantity               integer NOT NULL CHECK (max_quantity >= min_quantity),
    show_license_on_order_page boolean NOT NULL,
    email_license              boolean NOT NULL,
    active                     boolean NOT NULL,
    created_at                 timestamptz NOT NULL,
    updated_at                 timestamptz NOT NULL,
    archived_at                timestamptz
);
CREATE UNIQUE INDEX products_sku ON products (merchant_id, sku) WHERE archived_at IS NULL;
CREATE INDEX products_list ON products (merchant_id, id);

CREATE TABLE prices (
    product_id text COLLATE "C" NOT NULL REFERENCES products (id),
    currency   text NOT NULL,
    amount     bigint NOT NULL CHECK (amount >= 0),
    PRIMARY KEY (product_id, currency)
);

CREATE SEQUENCE order_numbers;

CREATE TABLE orders (
    id                 text COLLATE "C" PRIMARY KEY,
    number             text COLLATE "C" NOT NULL UNIQUE,
    merchant_id        text COLLATE "C" NOT NULL REFERENCES merchants (id),
    test               boolean NOT NULL,
    status             text NOT NULL CHECK (status IN ('not_paid', 'paid', 'deleted', 'terminated')),
    fulfillment_status text NOT NULL CHECK (fulfillment_status IN ('not_delivered', 'partially_delivered', 'delivered')),
    refund_status      text CHECK (refund_status IN ('partial', 'full')),
    delete_reason      text CHECK (delete_reason IN ('expired', 'cancelled')),
    currency           text NOT NULL,
    subtotal           bigint NOT NULL CHECK (subtotal >= 0),
    discount           bigint NOT NULL CHECK (discount >= 0),
    tax                bigint NOT NULL CHECK (tax >= 0),
    tax_inclusive      boolean NOT NULL,
    total              bigint NOT NULL CHECK (total >= 0),
    amount_refunded    bigint NOT NULL DEFAULT 0 CHECK (amount_refunded >= 0),
    locale             text NOT NULL,
    external_id        text NOT NULL DEFAULT '',
    coupon             text NOT NULL DEFAULT '',
    customer_email     text NOT NULL,
    customer           json NOT NULL,
    payment_method     text NOT NULL DEFAULT '',
    method_class       text NOT NULL CHECK (method_class IN ('online', 'offline')),
    reminder_stage     integer NOT NULL DEFAULT 0,
    token              text COLLATE "C" NOT NULL UNIQUE,
    return_url         text NOT NULL DEFAULT '',
    metadata           json NOT NULL,
    consents           json NOT NULL,
    created_at         timestamptz NOT NULL,
    unpaid_since       timestamptz NOT NULL,
    paid_at            timestamptz,
    delivered_at       timestamptz,
    deleted_at         timestamptz,
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
    id                 text COLLATE "C" PRIMARY KEY,
    order_id           text COLLATE "C" NOT NULL REFERENCES orders (id),
    merchant_id        text COLLATE "C" NOT NULL,
    test               boolean NOT NULL,
    position           integer NOT NULL,
    product_id         text COLLATE "C" NOT NULL REFERENCES products (id),
    sku                text NOT NULL,
    name               text NOT NULL,
    quantity           integer NOT NULL CHECK (quantity >= 1),
    unit_price         bigint NOT NULL CHECK (unit_price >= 0),
    discount           bigint NOT NULL CHECK (discount >= 0),
    tax                bigint NOT NULL CHECK (tax >= 0),
    total              bigint NOT NULL CHECK (total >= 0),
    license_method     text NOT NULL,
    license_per        text NOT NULL,
    fulfillment_status text NOT NULL CHECK (fulfillment_status IN ('not_delivered', 'partially_delivered', 'delivered', 'failed')),
    failure            text,
    waiting_for        text CHECK (waiting_for IN ('pool')),
    waiting_since      timestamptz,
    delivered_at       timestamptz,
    UNIQUE (order_id, position),
    CHECK ((fulfillment_status = 'delivered') = (delivered_at IS NOT NULL)),
    CHECK ((fulfillment_status = 'failed') = (failure IS NOT NULL)),
    CHECK ((waiting_for IS NULL) = (waiting_since IS NULL)),
    CHECK (waiting_for IS NULL OR fulfillment_status IN ('not_delivered', 'partially_delivered'))
);
CREATE INDEX items_product ON items (product_id, order_id);
CREATE INDEX items_waiting ON items (product_id, test, waiting_since, id) WHERE waiting_for IS NOT NULL;

CREATE TABLE payments (
    id              text COLLATE "C" PRIMARY KEY,
    order_id        text COLLATE "C" NOT NULL REFERENCES orders (id),
    merchant_id     text COLLATE "C" NOT NULL,
    test            boolean NOT NULL,
    method          text NOT NULL,
    gateway         text NOT NULL,
    status          text NOT NULL CHECK (status IN ('pending', 'requires_action', 'processing', 'succeeded', 'failed', 'cancelled')),
    amount          bigint NOT NULL CHECK (amount >= 0),
    currency        text NOT NULL,
    reference       text NOT NULL DEFAULT '',
    failure_code    text,
    failure_message text,
    token           text COLLATE "C" NOT NULL UNIQUE,
    request_id      text COLLATE "C" UNIQUE,
    applied         boolean NOT NULL DEFAULT false,
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    CHECK ((status = 'failed') = (failure_code IS NOT NULL)),
    CHECK (NOT applied OR status = 'succeeded')
);
CREATE INDEX payments_order ON payments (order_id, id);
-- An order is paid by one payment; a second one is recorded but never applied.
CREATE UNIQUE INDEX payments_applied ON payments (order_id) WHERE applied;
-- One payment at a time is under way for an order, however many windows are open.
CREATE UNIQUE INDEX payments_open ON payments (order_id) WHERE status IN ('pending', 'requires_action', 'processing');

CREATE TABLE pool_keys (
    id          text COLLATE "C" PRIMARY KEY,
    merchant_id text COLLATE "C" NOT NULL,
    product_id  text COLLATE "C" NOT NULL REFERENCES products (id),
    test        boolean NOT NULL,
    ciphertext  bytea NOT NULL,
    fingerprint text COLLATE "C" NOT NULL,
    state       text NOT NULL CHECK (state IN ('available', 'allocated', 'delivered', 'revoked')),
    item_id     text COLLATE "C" REFERENCES items (id),
    created_at  timestamptz NOT NULL,
    CHECK ((state = 'available') = (item_id IS NULL)),
    UNIQUE (product_id, test, fingerprint)
);
CREATE INDEX pool_keys_available ON pool_keys (product_id, test, id) WHERE state = 'available';
CREATE INDEX pool_keys_item ON pool_keys (item_id) WHERE item_id IS NOT NULL;

CREATE TABLE licenses (
    id           text COLLATE "C" PRIMARY KEY,
    merchant_id  text COLLATE "C" NOT NULL,
    test         boolean NOT NULL,
    order_id     text COLLATE "C" NOT NULL REFERENCES orders (id),
    item_id      text COLLATE "C" NOT NULL REFERENCES items (id),
    product_id   text COLLATE "C" NOT NULL,
    unit         integer NOT NULL CHECK (unit >= 1),
    method       text NOT NULL,
    ciphertext   bytea NOT NULL,
    fingerprint  text COLLATE "C" NOT NULL,
    pool_key_id  text COLLATE "C" UNIQUE REFERENCES pool_keys (id),
    status       text NOT NULL CHECK (status IN ('active', 'revoked')),
    created_at   timestamptz NOT NULL,
    delivered_at timestamptz,
    revoked_at   timestamptz,
    UNIQUE (item_id, unit),
    CHECK ((status = 'revoked') = (revoked_at IS NOT NULL))
);
CREATE INDEX licenses_order ON licenses (order_id);
CREATE INDEX licenses_fingerprint ON licenses (merchant_id, fingerprint);

CREATE TABLE events (
    id          text COLLATE "C" PRIMARY KEY,
    merchant_id text COLLATE "C" NOT NULL REFERENCES merchants (id),
    test        boolean NOT NULL,
    type        text NOT NULL,
    order_id    text COLLATE "C",
    fact        text COLLATE "C" NOT NULL UNIQUE,
    data        json NOT NULL,
    created_at  timestamptz NOT NULL
);
CREATE INDEX events_list ON events (merchant_id, test, id);
CREATE INDEX events_order ON events (order_id) WHERE order_id IS NOT NULL;

CREATE TABLE webhook_endpoints (
    id                   text COLLATE "C" PRIMARY KEY,
    merchant_id          text COLLATE "C" NOT NULL REFERENCES merchants (id),
    test                 boolean NOT NULL,
    url                  text NOT NULL,
    events               json NOT NULL,
    format               text NOT NULL CHECK (format IN ('standard')),
    description          text NOT NULL DEFAULT '',
    secret               bytea NOT NULL,
    include_license_keys boolean NOT NULL,
    status               text NOT NULL CHECK (status IN ('enabled', 'disabled')),
    created_at           timestamptz NOT NULL,
    updated_at           timestamptz NOT NULL,
    deleted_at           timestamptz
);
CREATE INDEX webhook_endpoints_list ON webhook_endpoints (merchant_id, test, id) WHERE deleted_at IS NULL;

CREATE TABLE deliveries (
    id              text COLLATE "C" PRIMARY KEY,
    merchant_id     text COLLATE "C" NOT NULL,
    test            boolean NOT NULL,
    event_id        text COLLATE "C" NOT NULL REFERENCES events (id),
    endpoint_id     text COLLATE "C" NOT NULL REFERENCES webhook_endpoints (id),
    job_id          text COLLATE "C" NOT NULL,
    status          text NOT NULL CHECK (status IN ('pending', 'succeeded', 'failed', 'cancelled')),
    attempts        integer NOT NULL DEFAULT 0,
    response_status integer,
    created_at      timestamptz NOT NULL,
    finished_at     timestamptz,
    UNIQUE (event_id, endpoint_id),
    CHECK ((status = 'pending') = (finished_at IS NULL))
) WITH (fillfactor = 80);
CREATE INDEX deliveries_list ON deliveries (merchant_id, test, id);
CREATE INDEX deliveries_endpoint ON deliveries (endpoint_id, id);

CREATE TABLE delivery_attempts (
    delivery_id     text COLLATE "C" NOT NULL REFERENCES deliveries (id),
    attempt         integer NOT NULL,
    at              timestamptz NOT NULL,
    duration_ms     integer NOT NULL,
    response_status integer,
    error           text,
    response        text NOT NULL DEFAULT '',
    PRIMARY KEY (delivery_id, attempt)
);

-- One row per email to be sent; whom it goes to and what it says is derived when it is sent.
CREATE TABLE emails (
    id          text COLLATE "C" PRIMARY KEY,
    merchant_id text COLLATE "C" NOT NULL REFERENCES merchants (id),
    test        boolean NOT NULL,
    kind        text NOT NULL,
    fact        text COLLATE "C" NOT NULL UNIQUE,
    order_id    text COLLATE "C" REFERENCES orders (id),
    item_id     text COLLATE "C" REFERENCES items (id),
    product_id  text COLLATE "C" REFERENCES products (id),
    stage       integer NOT NULL DEFAULT 0,
    job_id      text COLLATE "C" NOT NULL,
    status      text NOT NULL CHECK (status IN ('pending', 'sent', 'failed', 'skipped')),
    error       text,
    created_at  timestamptz NOT NULL,
    finished_at timestamptz,
    CHECK ((status = 'pending') = (finished_at IS NULL))
);
CREATE INDEX emails_order ON emails (order_id) WHERE order_id IS NOT NULL;

-- What happened to an order and who or what caused it.
CREATE TABLE history (
    id          text COLLATE "C" PRIMARY KEY,
    merchant_id text COLLATE "C" NOT NULL,
    order_id    text COLLATE "C" NOT NULL REFERENCES orders (id),
    at          timestamptz NOT NULL,
    kind        text NOT NULL,
    actor       text NOT NULL,
    summary     text NOT NULL,
    detail      json NOT NULL
);
CREATE INDEX history_order ON history (order_id, id);

-- The promises: every piece of work that a committed change has caused.
CREATE TABLE jobs (
    id           text COLLATE "C" PRIMARY KEY,
    kind         text NOT NULL,
    args         json NOT NULL,
    order_id     text COLLATE "C",
    merchant_id  text COLLATE "C",
    state        text NOT NULL CHECK (state IN ('due', 'running', 'done', 'dead', 'cancelled')),
    epoch        integer NOT NULL DEFAULT 0,
    attempts     integer NOT NULL DEFAULT 0,
    max_attempts integer NOT NULL,
    run_at       timestamptz NOT NULL,
    alarm_at     timestamptz NOT NULL,
    alarms       integer NOT NULL DEFAULT 0,
    created_at   timestamptz NOT NULL,
    finished_at  timestamptz,
    last_error   text,
    dedupe_key   text COLLATE "C" UNIQUE,
    CHECK ((state IN ('done', 'dead', 'cancelled')) = (finished_at IS NOT NULL))
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000, autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 20000);
-- Partial on finished_at, never on state: with a state predicate the planner claims through this index.
CREATE INDEX jobs_alarm ON jobs (alarm_at) WHERE finished_at IS NULL;
CREATE INDEX jobs_order ON jobs (order_id) WHERE order_id IS NOT NULL;
CREATE INDEX jobs_dead ON jobs (id) WHERE state = 'dead';

CREATE TABLE idempotency_keys (
    id           text COLLATE "C" PRIMARY KEY,
    merchant_id  text COLLATE "C" NOT NULL,
    test         boolean NOT NULL,
    method       text NOT NULL,
    path         text NOT NULL,
    key          text NOT NULL,
    request_hash text NOT NULL,
    owner        text NOT NULL,
    lease_until  timestamptz NOT NULL,
    status       integer,
    headers      json,
    body         bytea,
    created_at   timestamptz NOT NULL,
    UNIQUE (merchant_id, test, method, path, key)
);
CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);

-- The built-in mailbox of an installation without an SMTP server.
CREATE TABLE mailbox (
    id         text COLLATE "C" PRIMARY KEY,
    message_id text NOT NULL UNIQUE,
    sender     text NOT NULL,
    recipient  text NOT NULL,
    subject    text NOT NULL,
    text_body  text NOT NULL,
    html_body  text NOT NULL,
    created_at timestamptz NOT NULL
);

-- +goose Down
DROP TABLE mailbox, idempotency_keys, jobs, history, emails, delivery_attempts, deliveries, webhook_endpoints, events, licenses, pool_keys,
    payments, items, orders, prices, products, sessions, accounts, api_keys, reminder_rules, merchants, installation;
DROP SEQUENCE order_numbers;
