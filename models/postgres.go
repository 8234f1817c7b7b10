package models

import (
	"context"
	"net"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// sessionSettings are what every connection asks of PostgreSQL, unless its address says otherwise. A process that was stopped in the
// middle of a transaction, or whose network went silent, has not hung up: without these the locks that it holds on an order would be kept
// for hours, and nobody else could do anything about the order.
var sessionSettings = map[string]string{
	// No transaction of ours waits for anything but the database.
	"idle_in_transaction_session_timeout": "10s",
	// Whoever waits longer than this is answered and tries again; a dead one that waits gets no lock to sit on.
	"lock_timeout": "5s",
	// Every statement reads few rows. Where PostgreSQL expects many, because a table is large, compiling takes longer than anything else: half a
	// second instead of a millisecond.
	"jit": "off",
	// A connection whose other end is gone ends within half a minute, not after two hours, or a few of the network's failures would use up
	// all that PostgreSQL allows.
	"tcp_keepalives_idle": "15", "tcp_keepalives_interval": "5", "tcp_keepalives_count": "3",
}

// dial is sessionSettings' half on our side.
func dial(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3}}
	return d.DialContext(ctx, network, address)
}

const (
	// restless is how long a connection may have been unused before it is asked whether it is alive.
	restless = time.Second
	// pingTimeout is how long the answer to that may take. A connection that the network has forgotten would have the request that picked
	// it wait until its time is over; with it, the request goes on with another connection.
	pingTimeout = time.Second
)

// lively decides whether the driver asks a connection if it is alive. It asks itself, because the driver would wait as long as the
// request may take; a connection that does not answer is closed by that, so that the driver finds it bad at once.
func lively(ctx context.Context, p stdlib.ShouldPingParams) bool {
	if p.IdleDuration <= restless {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	return p.Conn.Ping(ctx) != nil
}

func asSession(conf *pgx.ConnConfig) {
	for name, value := range sessionSettings {
		if _, set := conf.RuntimeParams[name]; !set {
			conf.RuntimeParams[name] = value
		}
	}
	conf.DialFunc = dial
}
