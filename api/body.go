package api

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"net"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"github.com/purser-dev/purser/models"
)

type fasthttpCtx = fasthttp.RequestCtx

// discardAtMost is how much of a body that is too large is read before the answer: a client that is still sending would get a
// reset connection instead of it.
const discardAtMost = 64 << 20

// readBody reads the body up to the route's limit. It runs behind authentication, so that strangers cannot make us hold bodies.
func (s *Server) readBody(c *fiber.Ctx) error {
	limit := smallBody
	if rt := requestOf(c).route; rt != nil && rt.body > 0 {
		limit = rt.body
	}
	body, err := readAll(c, limit)
	if err != nil {
		return err
	}
	c.Request().SetBodyRaw(body)
	return withDeadline(c) // a slow upload is not a slow operation
}

func readAll(c *fiber.Ctx, limit int) ([]byte, error) {
	stream := c.Context().RequestBodyStream()
	if stream == nil {
		return nil, nil
	}
	// A compressed body could be anything once it is not, and nobody needs to send one.
	if encoding := c.Get(fiber.HeaderContentEncoding); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return nil, newProblem(codeUnsupportedMediaType, "The body must not have a content encoding.")
	}
	body, err := io.ReadAll(io.LimitReader(stream, int64(limit)+1))
	if err == nil && len(body) > limit {
		_, _ = io.CopyN(io.Discard, stream, discardAtMost)
		c.Response().Header.SetConnectionClose()
		return nil, newProblem(codeTooLarge, "")
	}
	var network net.Error
	switch {
	case errors.As(err, &network) && network.Timeout():
		return nil, newProblem(codeTimeout, "")
	case err != nil:
		return nil, newProblem(codeMalformed, "The body could not be read to its end.")
	}
	return body, nil
}

type humaContext = huma.Context

// readContext gives Huma the body that readBody has read, and does not tell it what the client would accept: there is JSON only.
type readContext struct{ humaContext }

// Unwrap is for humafiber.
func (r readContext) Unwrap() huma.Context { return r.humaContext }

// BodyReader implements huma.Context.
func (r readContext) BodyReader() io.Reader { return bytes.NewReader(requestIn(r.Context()).body) }

// Header implements huma.Context.
func (r readContext) Header(name string) string {
	if name == fiber.HeaderAccept {
		return ""
	}
	return r.humaContext.Header(name)
}

const (
	jsonType = "application/json"
	// patchType is JSON that is merged into what is there (RFC 7396), as every PATCH is.
	patchType = "application/merge-patch+json"
)

// bodyType is the media type of the request's body, without parameters. What does not say is JSON.
func bodyType(c *fiber.Ctx) (string, error) {
	given := c.Get(fiber.HeaderContentType)
	if given == "" {
		return jsonType, nil
	}
	mediaType, _, err := mime.ParseMediaType(given)
	if mediaType == patchType && c.Method() == fiber.MethodPatch {
		mediaType = jsonType
	}
	return mediaType, err
}

// checkBody refuses bodies that the operation does not understand, before Huma looks at their fields.
func (s *Server) checkBody(c *fiber.Ctx) error {
	r := requestOf(c)
	if r.body = c.Request().Body(); len(r.body) == 0 {
		return c.Next()
	}
	mediaType, err := bodyType(c)
	if err != nil {
		return newProblem(codeUnsupportedMediaType, "")
	}
	if accepted := s.accepted(r.route); len(accepted) > 0 && !slices.Contains(accepted, mediaType) {
		return newProblem(codeUnsupportedMediaType, "The body must be "+strings.Join(accepted, " or ")+".")
	}
	c.Request().Header.SetContentType(mediaType)
	if mediaType != jsonType {
		return c.Next()
	}
	if r.body, err = checkJSON(r.body); err != nil {
		return err
	}
	return c.Next()
}

// accepted lists the media types that an operation reads.
func (s *Server) accepted(rt *route) []string {
	item := s.api.OpenAPI().Paths[rt.path]
	for method, op := range map[string]*huma.Operation{post: item.Post, patch: item.Patch} {
		if method == rt.method && op != nil && op.RequestBody != nil {
			var types []string
			for t := range op.RequestBody.Content {
				types = append(types, t)
			}
			slices.Sort(types)
			return types
		}
	}
	return nil
}

// cleanAddress reports whether the address is one that could name anything: what is not, PostgreSQL would not even store.
func cleanAddress(c *fiber.Ctx) bool {
	uri := string(c.Request().RequestURI())
	if !utf8.ValidString(uri) {
		return false
	}
	u, err := url.ParseRequestURI(uri)
	return err == nil && clean(u.Path)
}

func clean(s string) bool { return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl) }

// checkQuery refuses query parameters that are given twice or hold what is no text. Huma refuses those that it does not know.
func (s *Server) checkQuery(c *fiber.Ctx) error {
	if len(c.Request().URI().QueryString()) == 0 {
		return c.Next()
	}
	values, err := url.ParseQuery(string(c.Request().URI().QueryString()))
	if err != nil {
		return newProblem(codeMalformed, "The query cannot be read.")
	}
	var wrong []models.FieldError
	for name, given := range values {
		switch {
		case !clean(name) || !clean(given[0]):
			wrong = append(wrong, models.FieldError{Field: printable(name), Message: "must be text without control characters"})
		case len(given) > 1:
			wrong = append(wrong, models.FieldError{Field: printable(name), Message: "must be given once"})
		}
	}
	if len(wrong) > 0 {
		return withFields(codeInvalid, "", sorted(wrong))
	}
	return c.Next()
}
