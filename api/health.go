package api

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/gofiber/fiber/v2"
)

// probeTimeout bounds each readiness check, and as they are asked at once all of them; orchestrators give the whole request a few seconds.
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

// dependency is something that the API depends on. It makes the process unready if it is required; otherwise its failure is only reported.
type dependency struct {
	name     string
	required bool
	check    func(context.Context) error // must end with its context
}

// dependencies are what readyz asks. Redis being down does not make the API unready: orders can be taken without it.
func (s *Server) dependencies() []dependency {
	all := []dependency{{"database", true, s.store.Ping}, {"schema", true, s.store.SchemaServes}}
	if s.redis != nil {
		all = append(all, dependency{"redis", false, func(ctx context.Context) error { return s.redis.Ping(ctx).Err() }})
	}
	return all
}

// ask runs the check, within a time of its own.
func (d dependency) ask(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	defer func() {
		if r := recover(); r != nil {
			err = errors.New("panic: " + panicText(r))
		}
	}()
	return d.check(ctx)
}

// readyz answers 200 when the API wants traffic. All are asked at once, so that one that hangs takes no time from the others.
func (s *Server) readyz(c *fiber.Ctx) error {
	ctx, all := c.UserContext(), s.dependencies()
	errs := make([]error, len(all))
	var asked sync.WaitGroup
	for i, d := range all {
		asked.Go(func() { errs[i] = d.ask(ctx) })
	}
	asked.Wait()
	out := readiness{Status: "ready"}
	for i, d := range all {
		state := checkState{Name: d.name, Required: d.required, State: "ok"}
		if errs[i] != nil {
			state.State = "failing"
			s.log.Warn("readiness check fails", "check", d.name, "required", d.required, "error", logged(errs[i]))
			if d.required {
				out.Status = "unready"
			}
		}
		out.Checks = append(out.Checks, state)
	}
	if s.draining.Load() {
		out.Status = "draining"
	}
	if out.Status != "ready" {
		c.Status(fiber.StatusServiceUnavailable)
	}
	return c.JSON(out)
}
