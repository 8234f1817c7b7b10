package api

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"fmt"
	"log/slog"
	"net/netip"
	"regexp"
	"runtime"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/purser-dev/purser/models"
)

// request is what one request carries from its first middleware to its last.
type request struct {
	id        string
	started   time.Time
	client    netip.Addr
	pattern   string // of the route; the only form of the address that is logged
	route     *route // nil outside of the JSON API
	principal models.Principal
	// claim is the id under which a staged operation's effects are kept from happening twice; empty without an idempotency key.
	claim string
	body  []byte // as the operation reads it
	// root is the context without the deadline, which timeout has from the moment that the whole request is here.
	root    context.Context
	timeout time.Duration
}

type requestKey struct{}

// noRoute is the pattern of addresses that no route has.
const noRoute = "none"

// requestIn returns the request that ctx belongs to.
func requestIn(ctx context.Context) *request {
	if r, ok := ctx.Value(requestKey{}).(*request); ok {
		return r
	}
	return &request{pattern: noRoute}
}

// requestOf returns the request of c. One that could not even be read has passed no middleware and gets its id here.
func requestOf(c *fiber.Ctx) *request {
	if r, ok := c.UserContext().Value(requestKey{}).(*request); ok {
		return r
	}
	r := &request{id: newRequestID(), started: time.Now(), pattern: noRoute}
	c.SetUserContext(context.WithValue(c.UserContext(), requestKey{}, r))
	return r
}

var saneRequestID = regexp.MustCompile(`^[A-Za-z0-9._:+/=-]{1,128}$`)

var requestIDs = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

func newRequestID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return "req_" + requestIDs.EncodeToString(b[:])
}

// admit is the first and the last of every request: its id, its deadline, its headers, its line in the log, and a panic's end.
func (s *Server) admit(c *fiber.Ctx) (err error) {
	r := &request{id: c.Get(fiber.HeaderXRequestID), started: time.Now(), client: s.clientAddr(c), pattern: noRoute}
	if !saneRequestID.MatchString(r.id) {
		r.id = newRequestID()
	}
	ctx, ended := s.trace(c, context.WithValue(s.base, requestKey{}, r))
	c.SetUserContext(ctx)
	s.metrics.inFlight.Inc()
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %s\n%s", panicText(v), stack())
		}
		if err != nil {
			err = s.answerError(c, err)
		}
		s.headers(c, r)
		s.metrics.inFlight.Dec()
		s.record(c, r)
		ended(r)
	}()
	return c.Next()
}

// answerError replaces whatever was written so far by an error: a problem for programs and all of the JSON API, a page for browsers,
// which is one for customers unless somebody is signed in.
func (s *Server) answerError(c *fiber.Ctx, err error) error {
	allow := c.GetRespHeader(fiber.HeaderAllow)
	c.Response().Reset()
	if allow != "" {
		c.Set(fiber.HeaderAllow, allow+", "+fiber.MethodOptions)
		if c.Method() == fiber.MethodOptions {
			return c.SendStatus(fiber.StatusNoContent)
		}
	}
	if r := requestOf(c); r.route == nil && wantsPage(c) {
		if accountOf(c) != nil {
			return s.refuse(c, err)
		}
		return s.shopProblem(c, err)
	}
	return s.sendProblem(c, err)
}

// wantsPage reports whether a browser asks, for a page to show or by htmx for a part of one.
func wantsPage(c *fiber.Ctx) bool {
	return strings.Contains(c.Get(fiber.HeaderAccept), fiber.MIMETextHTML) || c.Get("HX-Request") == "true"
}

// headers sets what every answer has. A page that needs more than nothing sets its own Content-Security-Policy.
func (s *Server) headers(c *fiber.Ctx, r *request) {
	c.Set(fiber.HeaderXRequestID, r.id)
	c.Set(fiber.HeaderXContentTypeOptions, "nosniff")
	setIfMissing(c, fiber.HeaderReferrerPolicy, "no-referrer")
	setIfMissing(c, fiber.HeaderXFrameOptions, "DENY")
	setIfMissing(c, fiber.HeaderContentSecurityPolicy, "default-src 'none'; frame-ancestors 'none'")
	setIfMissing(c, fiber.HeaderCacheControl, "no-store")
	if s.overTLS() {
		c.Set(fiber.HeaderStrictTransportSecurity, "max-age=31536000")
	}
	if s.draining.Load() {
		c.Response().Header.SetConnectionClose()
	}
}

func setIfMissing(c *fiber.Ctx, name, value string) {
	if c.GetRespHeader(name) == "" {
		c.Set(name, value)
	}
}

// record writes the access log and the metrics. They hold route patterns, never addresses as they were asked for, queries or bodies.
func (s *Server) record(c *fiber.Ctx, r *request) {
	took, status := time.Since(r.started), c.Response().StatusCode()
	s.metrics.observe(c.Method(), r.pattern, status, took)
	level := slog.LevelInfo
	if r.pattern == "/healthz" || r.pattern == "/readyz" {
		level = slog.LevelDebug
	}
	s.log.Log(context.Background(), level, "request", "method", c.Method(), "route", r.pattern, "status", status, "ms", took.Milliseconds(), "request_id", r.id)
}

func stack() string {
	b := make([]byte, 8<<10)
	return string(b[:runtime.Stack(b, false)])
}
