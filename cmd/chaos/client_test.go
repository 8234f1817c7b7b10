package main

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestTheClientAsksUntilItIsAnswered: what is not answered for good is asked again under the same key, and what nobody should get is
// noted.
func TestTheClientAsksUntilItIsAnswered(t *testing.T) {
	t.Parallel()
	var keys []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		keys = append(keys, r.Header.Get("Idempotency-Key"))
		switch len(keys) {
		case 1:
			w.WriteHeader(http.StatusBadGateway)
		case 2:
			w.WriteHeader(http.StatusServiceUnavailable)
		case 3:
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(http.StatusServiceUnavailable)
		case 4:
			w.WriteHeader(http.StatusConflict)
			_, _ = w.Write([]byte(`{"code":"idempotency_in_progress"}`))
		default:
			w.WriteHeader(http.StatusCreated)
			_, _ = w.Write([]byte(`{"id":"ord_1"}`))
		}
	}))
	t.Cleanup(server.Close)
	c := newClient(func() []string { return []string{server.URL} })
	begun := time.Now()
	var o order
	if err := c.ask(t.Context(), http.MethodPost, "/v1/orders", "once", map[string]any{}, &o, http.StatusCreated); err != nil || o.ID != "ord_1" {
		t.Errorf("order %q, %v", o.ID, err)
	}
	if len(keys) != 5 || slices.ContainsFunc(keys, func(key string) bool { return key != "once" }) {
		t.Errorf("asked under the keys %q", keys)
	}
	if len(c.bad) != 2 || !strings.Contains(c.bad[0], "502") || !strings.Contains(c.bad[1], "503 without Retry-After") {
		t.Errorf("bad are %q", c.bad)
	}
	if err := c.ask(t.Context(), http.MethodPost, "/v1/orders/ord_1/payments", "once", nil, nil, http.StatusOK); err == nil || !strings.Contains(err.Error(), "201, want 200") {
		t.Errorf("another status than the wanted: %v", err)
	}
	answered := c.since(begun, time.Now())
	slices.Reverse(answered)
	if len(answered) != 6 {
		t.Fatalf("%d answers are noted", len(answered))
	}
	for i, want := range []int{502, 503, 503, 409, 201, 201} {
		if a := answered[i]; a.status != want || a.took <= 0 || a.charge != (i == 5) || a.after != (i == 2) || a.fresh != (i == 0) {
			t.Errorf("answer %d is %+v", i, a)
		}
	}
}
