package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"
)

func fine(context.Context) error { return nil }

func broken(context.Context) error {
	return errors.New("dial tcp 10.0.0.7: hush")
}

func hanging(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestReadyz(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		checks []check
		drain  bool
		code   int
		want   Readiness
	}{
		{
			"everything answers", []check{{"database", true, fine}, {"redis", false, fine}}, false, 200,
			Readiness{"ready", []CheckState{{"database", true, "ok"}, {"redis", false, "ok"}}},
		},
		{
			"what is not required is reported only", []check{{"database", true, fine}, {"redis", false, broken}}, false, 200,
			Readiness{"ready", []CheckState{{"database", true, "ok"}, {"redis", false, "failing"}}},
		},
		{
			"what is required makes unready", []check{{"database", true, broken}, {"redis", false, fine}}, false, 503,
			Readiness{"unready", []CheckState{{"database", true, "failing"}, {"redis", false, "ok"}}},
		},
		{
			"a hanging store does not hang the answer", []check{{"database", true, hanging}}, false, 503,
			Readiness{"unready", []CheckState{{"database", true, "timeout"}}},
		},
		{
			"nor does one that ignores its context", []check{{"redis", false, func(context.Context) error { select {} }}}, false, 200,
			Readiness{"ready", []CheckState{{"redis", false, "timeout"}}},
		},
		{
			"a panic is a failure", []check{{"database", true, func(context.Context) error { panic("hush") }}}, false, 503,
			Readiness{"unready", []CheckState{{"database", true, "failing"}}},
		},
		{
			"draining turns traffic away", []check{{"database", true, fine}}, true, 503,
			Readiness{"draining", []CheckState{{"database", true, "ok"}}},
		},
		{"nothing to check", nil, false, 200, Readiness{"ready", []CheckState{}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := newHealth(slog.New(slog.DiscardHandler), tt.checks...)
			h.timeout = 20 * time.Millisecond
			if tt.drain {
				h.drain()
			}
			answer := httptest.NewRecorder()
			h.serveReadyz(answer, httptest.NewRequest("GET", "/readyz", nil))
			var got Readiness
			if err := json.Unmarshal(answer.Body.Bytes(), &got); err != nil {
				t.Fatal(err)
			}
			if answer.Code != tt.code || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %d %+v, want %d %+v", answer.Code, got, tt.code, tt.want)
			}
			if strings.Contains(answer.Body.String(), "hush") {
				t.Errorf("the body tells why: %s", answer.Body)
			}
			if answer.Header().Get("Content-Type") != "application/json" || answer.Header().Get("Cache-Control") != "no-store" {
				t.Errorf("got headers %v", answer.Header())
			}
			alive := httptest.NewRecorder()
			h.serveHealthz(alive, httptest.NewRequest("GET", "/healthz", nil))
			if alive.Code != http.StatusOK {
				t.Errorf("alive must not depend on stores, got %d", alive.Code)
			}
		})
	}
}

// TestHealthLogsChanges keeps a probe every second, and clients that hang up, from filling the log.
func TestHealthLogsChanges(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	var result error
	h := newHealth(slog.New(slog.NewTextHandler(&out, nil)), check{"redis", false, func(context.Context) error { return result }})
	for _, result = range []error{nil, nil, errors.New("refused"), errors.New("refused"), nil, nil} {
		h.readiness(context.Background())
	}
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	result = context.Canceled
	h.readiness(gone)
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], "check=redis required=false error=refused") || !strings.Contains(lines[1], "fine again") {
		t.Errorf("want the failure and the recovery, got:\n%s", out.String())
	}
}
