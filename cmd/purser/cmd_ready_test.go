package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

func TestReadyAsksTheRole(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		code   int
		body   string
		exit   int
		stdout string
		stderr string
	}{
		{"ready", 200, `{"status":"ready","checks":[]}`, exitOK, `{"status":"ready"`, ""},
		{"unready", 503, `{"status":"unready","checks":[{"name":"database","required":true,"state":"failing"}]}`, exitFailure, "", `"database"`},
		{"draining", 503, `{"status":"draining","checks":[]}`, exitFailure, "", "draining"},
		{"somebody else", 200, `<html>`, exitFailure, "", "is not Purser"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			role := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/readyz" {
					t.Errorf("asked for %s", r.URL)
				}
				w.WriteHeader(tt.code)
				_, _ = w.Write([]byte(tt.body))
			}))
			t.Cleanup(role.Close)
			s := newSite(t)
			code, stdout, stderr := s.tool(t, "", "ready", "--ops-listen", strings.TrimPrefix(role.URL, "http://"))
			if code != tt.exit || !strings.Contains(stdout, tt.stdout) || tt.stdout == "" && stdout != "" || !strings.Contains(stderr, tt.stderr) {
				t.Errorf("exit code %d, %q, %q", code, stdout, stderr)
			}
		})
	}
}

// TestReadyWaits asks a role that becomes ready while it is being asked.
func TestReadyWaits(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	role := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		status := "ready"
		if asked.Add(1) < 4 {
			status = "unready"
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_, _ = fmt.Fprintf(w, `{"status":%q}`, status)
	}))
	t.Cleanup(role.Close)
	s := newSite(t)
	answer := s.does(t, "ready", "--wait", patience.String(), "--ops-listen", strings.TrimPrefix(role.URL, "http://"))
	if answer != `{"status":"ready"}` || asked.Load() != 4 {
		t.Errorf("%q after %d questions", answer, asked.Load())
	}
	s.refuses(t, exitUsage, []string{"PURSER_OPS_LISTEN"}, "ready", "--ops-listen", "nowhere")
}

func TestReadyOfARealRole(t *testing.T) {
	t.Parallel()
	s := demoSite(t)
	p := s.start(t, []string{"run"})
	address := p.logged(t, "started")["ops_address"]
	if answer := s.does(t, "ready", "--ops-listen", address); !strings.Contains(answer, `"status":"ready"`) {
		t.Errorf("the answer is %q", answer)
	}
	p.stop(t)
	s.refuses(t, exitFailure, []string{address}, "ready", "--ops-listen", address)
}

func TestReadyReachesEveryListener(t *testing.T) {
	t.Parallel()
	for listen, want := range map[string]string{
		":9090": "127.0.0.1:9090", "0.0.0.0:9090": "127.0.0.1:9090", "[::]:9090": "[::1]:9090", "10.0.0.7:1": "10.0.0.7:1", "host:2": "host:2",
	} {
		if got, err := reachable(listen); got != want || err != nil {
			t.Errorf("%s: %s, %v, want %s", listen, got, err, want)
		}
	}
}
