package api

import (
	"context"
	"time"

	"github.com/gofiber/fiber/v2"
)

// probeTimeout bounds one readiness check; orchestrators give the whole request a few seconds.
const probeTimeout = 2 * time.Second

type readiness struct {
	Status string       `json:"status"` // ready, unready or draining
	Checks []checkState `json:"checks"`
}

type checkState struct {
	Name     string `json:"name"`
	Required bool   `json:"required"`
	State    string `json:"state"` // ok or failing; why is in the log, because the answer may be public
}

// healthz answers that the process is alive, whatever its stores do: restarting it would not mend them.
func (s *Server) healthz(c *fiber.Ctx) error {
	return c.JSON(map[string]string{"status": "alive"})
}

// readyz answers 200 when the API wants traffic. Redis being down does not make it unready: orders can be taken without it.
func (s *Server) readyz(c *fiber.Ctx) error {
	ctx, cancel := context.WithTimeout(c.UserContext(), probeTimeout)
	defer cancel()
	out := readiness{Status: "ready"}
	probe := func(name string, required bool, check func(context.Context) error) {
		state := checkState{Name: name, Required: required, State: "ok"}
		if err := check(ctx); err != nil {
			state.State = "failing"
			s.log.Warn("readiness check fails", "check", name, "required", required, "error", logged(err))
			if required {
				out.Status = "unready"
			}
		}
		out.Checks = append(out.Checks, state)
	}
	probe("database", true, s.store.Ping)
	probe("schema", true, s.store.SchemaServes)
	if s.redis != nil {
		probe("redis", false, func(ctx context.Context) error { return s.redis.Ping(ctx).Err() })
	}
	if s.draining.Load() {
		out.Status = "draining"
	}
	if out.Status != "ready" {
		c.Status(fiber.StatusServiceUnavailable)
	}
	return c.JSON(out)
}
