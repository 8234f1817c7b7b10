package api

import (
	"context"
	"strings"

	"github.com/gofiber/fiber/v2"

	"github.com/purser-dev/purser/models"
)

// authenticate finds out whose API key a request carries. A key that is known is never refused, however many wrong ones came
// from the same address; wrong ones are, after a while, answered with 429 instead of 401.
func (s *Server) authenticate(c *fiber.Ctx) error {
	r := requestOf(c)
	scheme, key, _ := strings.Cut(strings.TrimSpace(c.Get(fiber.HeaderAuthorization)), " ")
	if key = strings.TrimSpace(key); key == "" || !strings.EqualFold(scheme, "Bearer") {
		return newProblem(codeUnauthorized, "An API key is required: Authorization: Bearer psk_…")
	}
	p, err := s.store.Authenticate(c.UserContext(), key)
	if models.CodeOf(err) == models.CodeUnauthorized {
		if wait := s.wrongKeys.take(network(r.client).String()); wait > 0 {
			return tooMany(wait)
		}
		return newProblem(codeUnauthorized, "The API key is not valid.")
	}
	if err != nil {
		return err
	}
	r.principal = p
	return c.Next()
}

// principal is whose request ctx belongs to.
func principal(ctx context.Context) models.Principal { return requestIn(ctx).principal }

// scope is whose objects the request may see.
func scope(ctx context.Context) models.Scope { return principal(ctx).Scope }

// actor names the request's API key in histories.
func actor(ctx context.Context) string { return principal(ctx).Actor() }
