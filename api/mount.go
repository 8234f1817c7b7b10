package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humafiber"
	"github.com/gofiber/fiber/v2"
)

// mount puts every route and page into the router, behind what guards it.
func (s *Server) mount() error {
	s.router = &guarded{Router: s.app, s: s}
	s.api = humafiber.NewWithGroup(s.app, s.router, s.humaConfig())
	s.api.UseMiddleware(func(ctx huma.Context, next func(huma.Context)) { next(readContext{ctx}) })
	for i := range routes {
		s.register(&routes[i])
	}
	for i := range pages {
		p := &pages[i]
		guard, ok := s.guards()[p.who]
		if !ok {
			return fmt.Errorf("api: %s %s is for %q, whom nobody checks", p.method, p.path, p.who)
		}
		do := func(c *fiber.Ctx) error { return p.do(s, c) }
		s.add(p.method, routerPath(p.path), s.enter(p.path, requestTimeout, nil), guard, s.readBody, do)
	}
	err := errors.Join(addEnums(s.api.OpenAPI()), addExamples(s.api.OpenAPI()))
	if err != nil {
		return fmt.Errorf("api: OpenAPI: %w", err)
	}
	if s.document, err = json.Marshal(s.api.OpenAPI()); err != nil {
		return fmt.Errorf("api: OpenAPI: %w", err)
	}
	s.docs = sync.OnceValues(s.renderDocs)
	return nil
}

// guards is who checks each access.
func (s *Server) guards() map[access]fiber.Handler {
	guards := s.operatorGuards()
	guards[anyone] = func(c *fiber.Ctx) error { return c.Next() }
	return guards
}

// add registers handlers, for HEAD too where there is a GET: fasthttp leaves out the body.
func (s *Server) add(method, path string, handlers ...fiber.Handler) {
	s.app.Add(method, path, handlers...)
	if method == get {
		s.app.Add(http.MethodHead, path, handlers...)
	}
}

// register puts one operation into the router and into the document.
func (s *Server) register(r *route) {
	s.router.route = r
	r.do(s, s.describe(r))
}

// guarded is the router that Huma sees. It puts in front of each operation what its row in routes.go asks for.
type guarded struct {
	fiber.Router
	s     *Server
	route *route // that is being registered
}

// Add implements fiber.Router.
func (g *guarded) Add(method, path string, handlers ...fiber.Handler) fiber.Router {
	r := g.route
	timeout := requestTimeout
	if r.effect == staged {
		timeout *= 3 // the database, somebody else, the database
	}
	chain := []fiber.Handler{g.s.enter(r.path, timeout, r), g.s.authenticate, g.s.checkQuery}
	if method == post || method == patch {
		chain = append(chain, g.s.readBody)
	}
	if method == post {
		chain = append(chain, g.s.onlyOnce)
	}
	if method == post || method == patch {
		chain = append(chain, g.s.checkBody)
	}
	g.s.add(method, path, append(chain, handlers...)...)
	return g
}

// routerPath turns {name} into Fiber's :name.
func routerPath(path string) string {
	return strings.NewReplacer("{", ":", "}", "").Replace(path)
}

// enter is the first of every route: from here on the request has a pattern and a deadline.
func (s *Server) enter(pattern string, timeout time.Duration, rt *route) fiber.Handler {
	return func(c *fiber.Ctx) error {
		r := requestOf(c)
		r.pattern, r.route = pattern, rt
		if !cleanAddress(c) {
			return newProblem(codeNotFound, "")
		}
		r.root, r.timeout = c.UserContext(), timeout
		return withDeadline(c)
	}
}

// withDeadline runs the rest of the chain under the request's deadline, counted from now.
func withDeadline(c *fiber.Ctx) error {
	r := requestOf(c)
	ctx, cancel := context.WithTimeout(r.root, r.timeout)
	defer cancel()
	c.SetUserContext(ctx)
	return c.Next()
}

// knownMethods answers methods that Fiber would answer in plain text.
func (s *Server) knownMethods(next func(*fasthttpCtx)) func(*fasthttpCtx) {
	return func(rc *fasthttpCtx) {
		for _, m := range fiber.DefaultMethods {
			if string(rc.Method()) == m {
				next(rc)
				return
			}
		}
		c := s.app.AcquireCtx(rc)
		defer s.app.ReleaseCtx(c)
		r := requestOf(c)
		if err := s.sendProblem(c, newProblem(codeMethodNotAllowed, "")); err != nil {
			c.Status(fiber.StatusMethodNotAllowed)
		}
		s.headers(c, r)
	}
}
