package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"
)

// probeTimeout bounds one readiness check; orchestrators give the whole request a few seconds.
const probeTimeout = 2 * time.Second

// check is something a process depends on.
type check struct {
	Name string
	// Required makes the process unready while the check fails; otherwise the failure is only reported.
	Required bool
	// Probe must end with its context.
	Probe func(context.Context) error
}

// Readiness is the body of GET /readyz.
type Readiness struct {
	// Status is "ready", "unready" while a required check fails, or "draining" once the process has been told to stop.
	Status string `json:"status"`
	// Checks are in the order in which they were declared.
	Checks []CheckState `json:"checks"`
}

// CheckState is one line of Readiness. Why a check fails is in the log, because the body may be public.
type CheckState struct {
	Name     string `json:"name"`
	Required bool   `json:"required"`
	// State is "ok", "failing" or "timeout".
	State string `json:"state"`
}

const (
	stateOK      = "ok"
	stateFailing = "failing"
	stateTimeout = "timeout"
)

// health answers whether a process is alive and ready.
type health struct {
	checks  []check
	log     *slog.Logger
	timeout time.Duration

	mu       sync.Mutex
	draining bool
	// last is the state of each check at the latest probe, so that the log has changes and not every probe.
	last map[string]string
}

func newHealth(log *slog.Logger, checks ...check) *health {
	return &health{checks: checks, log: log, timeout: probeTimeout, last: map[string]string{}}
}

// drain makes the process unready for good, so that load balancers turn away while it finishes its work.
func (h *health) drain() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.draining = true
}

// readiness probes everything at once.
func (h *health) readiness(ctx context.Context) Readiness {
	states := make([]CheckState, len(h.checks))
	var probes sync.WaitGroup
	for i, c := range h.checks {
		probes.Go(func() {
			states[i] = CheckState{c.Name, c.Required, h.probe(ctx, c)}
		})
	}
	probes.Wait()

	h.mu.Lock()
	defer h.mu.Unlock()
	result := Readiness{Status: "ready", Checks: states}
	for _, s := range states {
		if s.Required && s.State != stateOK {
			result.Status = "unready"
		}
	}
	if h.draining {
		result.Status = "draining"
	}
	return result
}

func (h *health) probe(asked context.Context, c check) string {
	ctx, cancel := context.WithTimeout(asked, h.timeout)
	defer cancel()
	answer := make(chan error, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				answer <- fmt.Errorf("panic: %T", p)
			}
		}()
		answer <- c.Probe(ctx)
	}()
	var err error
	select {
	case err = <-answer:
	case <-ctx.Done():
		err = ctx.Err()
	}
	state := stateOK
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		state = stateTimeout
	case err != nil:
		state = stateFailing
	}
	// Whoever asked and went away says nothing about the store.
	if asked.Err() == nil {
		h.note(c, state, err)
	}
	return state
}

// note logs a check that turned bad or good again.
func (h *health) note(c check, state string, err error) {
	h.mu.Lock()
	before, known := h.last[c.Name]
	h.last[c.Name] = state
	h.mu.Unlock()
	switch {
	case state != stateOK && state != before:
		h.log.Warn("readiness check fails", "check", c.Name, "required", c.Required, "error", err)
	case state == stateOK && known && before != stateOK:
		h.log.Info("readiness check is fine again", "check", c.Name)
	}
}

// serveHealthz answers that the process is alive, whatever its stores do: restarting it would not mend them.
func (h *health) serveHealthz(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]string{"status": "alive"})
}

// serveReadyz answers 200 when the process wants traffic and 503 when it does not, with the state of each check.
func (h *health) serveReadyz(w http.ResponseWriter, r *http.Request) {
	readiness := h.readiness(r.Context())
	code := http.StatusOK
	if readiness.Status != "ready" {
		code = http.StatusServiceUnavailable
	}
	writeJSON(w, code, readiness)
}

func writeJSON(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	// A client that went away is no concern of ours.
	_ = json.NewEncoder(w).Encode(body)
}
