package api

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"slices"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/purser-dev/purser/models"
)

const (
	idempotencyHeader = "Idempotency-Key"
	replayedHeader    = "Idempotent-Replayed"
	// closingTimeout bounds what has to be written even if the request's own time is up.
	closingTimeout = 3 * time.Second
)

// errRefused rolls back the transaction of an operation whose answer is an error.
var errRefused = errors.New("api: the operation was refused")

// onlyOnce makes the requests of one idempotency key one request. The answer is stored in the transaction of its effect, and
// nothing of it is sent before the commit, so that a process may die at any point: either both are there or neither is.
func (s *Server) onlyOnce(c *fiber.Ctx) error {
	keys := headerValues(c, idempotencyHeader)
	if len(keys) == 0 {
		return c.Next()
	}
	if len(keys) > 1 {
		return invalid(idempotencyHeader, "must be given once")
	}
	ctx, r := c.UserContext(), requestOf(c)
	claim, answer, err := s.store.ClaimIdempotency(ctx, r.principal.Scope, c.Method(), c.Path(), keys[0], requestHash(c))
	if err != nil {
		return err
	}
	if answer != nil {
		return replay(c, answer)
	}
	kept := false
	defer func() {
		if !kept { // also when the operation panics
			s.release(ctx, claim)
		}
	}()
	if r.route.effect == staged {
		r.claim = claim.ID
		kept, err = s.runStaged(c, claim)
	} else {
		kept, err = s.runOnce(c, claim)
	}
	return err
}

// runOnce runs the operation and stores its answer in one transaction. A refusal is stored without the operation's effect.
func (s *Server) runOnce(c *fiber.Ctx, claim *models.IdempotencyClaim) (kept bool, err error) {
	ctx := c.UserContext()
	defer c.SetUserContext(ctx)
	err = s.store.Transaction(ctx, func(tx context.Context) error {
		c.SetUserContext(tx)
		if err := s.run(c); err != nil {
			return err
		}
		if c.Response().StatusCode() >= fiber.StatusBadRequest {
			return errRefused
		}
		return s.keep(tx, c, claim)
	})
	if !errors.Is(err, errRefused) {
		return err == nil, err
	}
	if c.Response().StatusCode() >= fiber.StatusInternalServerError {
		return false, nil
	}
	err = s.keep(ctx, c, claim)
	return err == nil, err
}

// runStaged runs an operation whose effects are several transactions, each of them safe to repeat under the claim's id, and
// stores the answer afterwards. An answer that cannot be stored is true all the same; repeating the request finds it again.
func (s *Server) runStaged(c *fiber.Ctx, claim *models.IdempotencyClaim) (kept bool, err error) {
	if err := s.run(c); err != nil {
		return false, err
	}
	if c.Response().StatusCode() >= fiber.StatusInternalServerError {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.UserContext()), closingTimeout)
	defer cancel()
	if err := s.keep(ctx, c, claim); err != nil {
		s.log.Warn("an answer could not be stored for its idempotency key", "request_id", requestOf(c).id, "error", logged(err))
		return false, nil
	}
	return true, nil
}

// run runs the rest of the chain, whose errors become answers here, so that they can be stored.
func (s *Server) run(c *fiber.Ctx) error {
	if err := c.Next(); err != nil {
		return s.answerError(c, err)
	}
	return nil
}

func (s *Server) keep(ctx context.Context, c *fiber.Ctx, claim *models.IdempotencyClaim) error {
	headers := map[string]string{}
	for _, name := range []string{fiber.HeaderContentType, fiber.HeaderLocation} {
		if v := c.GetRespHeader(name); v != "" {
			headers[name] = v
		}
	}
	return s.store.FinishIdempotency(ctx, claim, c.Response().StatusCode(), headers, slices.Clone(c.Response().Body()))
}

func (s *Server) release(ctx context.Context, claim *models.IdempotencyClaim) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closingTimeout)
	defer cancel()
	if err := s.store.ReleaseIdempotency(ctx, claim); err != nil {
		s.log.Warn("an idempotency key could not be given back; its lease will end by itself", "error", logged(err))
	}
}

func replay(c *fiber.Ctx, a *models.StoredAnswer) error {
	for name, value := range a.Headers {
		c.Set(name, value)
	}
	c.Set(replayedHeader, "true")
	return c.Status(a.Status).Send(a.Body)
}

// requestHash is equal for equal requests. Every part is preceded by its length, so that no two requests look alike.
func requestHash(c *fiber.Ctx) string {
	mediaType, err := bodyType(c)
	if err != nil {
		mediaType = c.Get(fiber.HeaderContentType)
	}
	h := sha256.New()
	for _, part := range [][]byte{
		[]byte(c.Method()), []byte(c.Path()), c.Request().URI().QueryString(), []byte(mediaType), c.Request().Body(),
	} {
		_ = binary.Write(h, binary.BigEndian, uint64(len(part))) // a hash never fails
		h.Write(part)
	}
	return hex.EncodeToString(h.Sum(nil))
}
