package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

func TestEmbeddedRedis(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	start := time.Now()
	ticks := make(chan time.Time)
	stopped := make(chan struct{})
	r, err := startEmbeddedRedisTicked(start, ticks, func() { close(stopped) })
	if err != nil {
		t.Fatal(err)
	}
	options, err := redis.ParseURL(r.URL.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(options.Addr, "127.0.0.1:") {
		t.Errorf("listens on %s, want the loopback", options.Addr)
	}
	if strings.Contains(r.URL.String(), options.Password) || len(options.Password) < 20 {
		t.Error("want a password, masked when printed")
	}
	client := redis.NewClient(options)
	t.Cleanup(func() { _ = client.Close() })
	if err := client.Set(ctx, "k", "v", 10*time.Second).Err(); err != nil {
		t.Fatal(err)
	}
	stranger := redis.NewClient(&redis.Options{Addr: options.Addr, MaxRetries: -1})
	t.Cleanup(func() { _ = stranger.Close() })
	if err := stranger.Get(ctx, "k").Err(); err == nil || !strings.Contains(err.Error(), "NOAUTH") {
		t.Errorf("without the password: got %v, want NOAUTH", err)
	}

	// Each send is taken only when the tick before it has been worked off.
	ticks <- start.Add(9 * time.Second)
	ticks <- start.Add(8 * time.Second) // the clock was set back
	if ttl, err := client.TTL(ctx, "k").Result(); err != nil || ttl != time.Second {
		t.Errorf("after 9 s of 10: TTL %v, %v", ttl, err)
	}
	ticks <- start.Add(9500 * time.Millisecond)
	ticks <- start.Add(9500 * time.Millisecond)
	if n, err := client.Exists(ctx, "k").Result(); err != nil || n != 0 {
		t.Errorf("the key must have expired: %d, %v", n, err)
	}

	r.Close()
	select {
	case <-stopped:
	default:
		t.Error("Close returned before the ticker had stopped")
	}
	if err := redis.NewClient(options).Ping(ctx).Err(); err == nil {
		t.Error("answers after Close")
	}
}

// TestEmbeddedRedisByTheClock runs the real ticker.
func TestEmbeddedRedisByTheClock(t *testing.T) {
	t.Parallel()
	r, err := startEmbeddedRedis()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	options, err := redis.ParseURL(r.URL.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(options)
	defer client.Close()
	ctx := context.Background()
	if err := client.Set(ctx, "k", "v", time.Millisecond).Err(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the key to expire", func() bool {
		n, err := client.Exists(ctx, "k").Result()
		return err == nil && n == 0
	})
}
