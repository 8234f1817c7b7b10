package api

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/purser-dev/purser/handlers/payment"
	"github.com/purser-dev/purser/models"
)

// A code says what kind of problem there is, for programs to branch on.
type code string

const (
	codeMalformed            code = "malformed"
	codeUnauthorized         code = "unauthorized"
	codeForbidden            code = "forbidden"
	codeNotFound             code = "not_found"
	codeMethodNotAllowed     code = "method_not_allowed"
	codeTimeout              code = "timeout"
	codeConflict             code = "conflict"
	codeIdempotencyRunning   code = "idempotency_in_progress"
	codeTooLarge             code = "too_large"
	codeUnsupportedMediaType code = "unsupported_media_type"
	codeInvalid              code = "invalid"
	codeIdempotencyReused    code = "idempotency_key_reused"
	codeRateLimited          code = "rate_limited"
	codeInternal             code = "internal"
	codeUnavailable          code = "unavailable"
)

// problemKind is what all problems of a code have in common.
type problemKind struct {
	Code   code
	Status int
	title  string
	Detail string // where nothing better is known
}

// problemKinds is the one table from codes to HTTP. Of several codes with one status the first is the general one.
var problemKinds = []problemKind{
	{codeMalformed, 400, "Malformed request", "The request cannot be read."},
	{codeUnauthorized, 401, "Unauthorized", "A valid API key is required."},
	{codeForbidden, 403, "Forbidden", "The API key may not do this."},
	{codeNotFound, 404, "Not found", "There is nothing at this address."},
	{codeMethodNotAllowed, 405, "Method not allowed", "The address does not know this method; the Allow header has those that it knows."},
	{codeTimeout, 408, "Request timeout", "The request did not arrive in time."},
	{codeConflict, 409, "Conflict", "The state of the object does not allow this."},
	{codeIdempotencyRunning, 409, "Request in progress", "The first request with this idempotency key is still running."},
	{codeTooLarge, 413, "Request too large", "The request's body is too large."},
	{codeUnsupportedMediaType, 415, "Unsupported media type", "The request's body has a content type that is not understood here."},
	{codeInvalid, 422, "Invalid request", "The request has invalid fields."},
	{codeIdempotencyReused, 422, "Idempotency key reused", "The idempotency key was used for another request."},
	{codeRateLimited, 429, "Too many requests", "Too many requests; come back later."},
	{codeInternal, 500, "Internal error", "Something went wrong on our side. It has been logged under the request id."},
	{codeUnavailable, 503, "Unavailable", "The service cannot answer at the moment; come back later."},
}

func (c code) kind() problemKind {
	i := slices.IndexFunc(problemKinds, func(k problemKind) bool { return k.Code == c })
	if i < 0 {
		return codeInternal.kind()
	}
	return problemKinds[i]
}

// retryAfter is how long clients are asked to wait where nothing better is known.
const retryAfter = 2 * time.Second

// Problem is the body of every error (RFC 9457).
type Problem struct {
	Type      string              `json:"type" format:"uri" doc:"Where the documentation explains the code." example:"https://purser.example/docs#problem-invalid"`
	Title     string              `json:"title" doc:"The code in words." example:"Invalid request"`
	Status    int                 `json:"status" doc:"The HTTP status." example:"422"`
	Detail    string              `json:"detail" doc:"What is wrong with this request, for people." example:"The request has invalid fields."`
	Code      string              `json:"code" doc:"What kind of problem it is, for programs. A code never changes its meaning; new ones may come." example:"invalid"`
	RequestID string              `json:"request_id" doc:"Names the request; tell it to support." example:"req_06f0s8nb5xq7v2k1t9w3c4d5ea"`
	Errors    []models.FieldError `json:"errors,omitempty" doc:"With code invalid: what is wrong with which field."`

	cause      error
	retryAfter time.Duration
}

// Error returns the detail with its fields, and not the cause.
func (p *Problem) Error() string {
	var b strings.Builder
	b.WriteString(p.Detail)
	for _, f := range p.Errors {
		b.WriteString("; " + f.Field + " " + f.Message)
	}
	return b.String()
}

// Unwrap returns the private cause, for the log.
func (p *Problem) Unwrap() error { return p.cause }

// GetStatus is for Huma.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType is for Huma.
func (p *Problem) ContentType(string) string { return problemType }

// GetHeaders is for Huma: the headers that go with the problem.
func (p *Problem) GetHeaders() http.Header {
	h := http.Header{}
	if p.Status == http.StatusUnauthorized {
		h.Set(fiber.HeaderWWWAuthenticate, `Bearer realm="purser"`)
	}
	if p.retryAfter > 0 {
		h.Set(fiber.HeaderRetryAfter, strconv.Itoa(int(math.Ceil(p.retryAfter.Seconds()))))
	}
	return h
}

const problemType = "application/problem+json"

// newProblem makes a problem of a code; without a detail it has the code's.
func newProblem(c code, detail string) *Problem {
	k := c.kind()
	p := &Problem{Title: k.title, Status: k.Status, Detail: detail, Code: string(k.Code)}
	if detail == "" {
		p.Detail = k.Detail
	}
	if c == codeUnavailable || c == codeRateLimited || c == codeIdempotencyRunning {
		p.retryAfter = retryAfter
	}
	return p
}

// invalid makes a problem with one input field. Its message completes the sentence that the field begins.
func invalid(field, message string) *Problem {
	return withFields(codeInvalid, "", []models.FieldError{{Field: field, Message: message}})
}

func withFields(c code, detail string, fields []models.FieldError) *Problem {
	p := newProblem(c, detail)
	p.Errors = fields
	return p
}

func tooMany(wait time.Duration) *Problem {
	p := newProblem(codeRateLimited, "Too many requests with a wrong API key; come back later.")
	p.retryAfter = wait
	return p
}

// modelsCodes maps the codes of models to ours. A fenced write means that a request took so long that its repetition has taken
// over.
var modelsCodes = map[models.Code]code{
	models.CodeInvalid:               codeInvalid,
	models.CodeNotFound:              codeNotFound,
	models.CodeConflict:              codeConflict,
	models.CodeFenced:                codeIdempotencyRunning,
	models.CodeUnauthorized:          codeUnauthorized,
	models.CodeForbidden:             codeForbidden,
	models.CodeIdempotencyReused:     codeIdempotencyReused,
	models.CodeIdempotencyInProgress: codeIdempotencyRunning,
}

// problem makes a problem of whatever error an operation ends with. What it does not know is internal, and only the log has it.
func problem(err error) error {
	if err == nil {
		return nil
	}
	return problemOf(err)
}

func problemOf(err error) *Problem {
	var (
		ours    *Problem
		refusal *models.Error
		fields  payment.FieldErrors
		routing *fiber.Error
	)
	switch {
	case errors.As(err, &ours):
		return ours
	case errors.As(err, &refusal):
		if c, ok := modelsCodes[refusal.Code]; ok {
			return withFields(c, refusal.Message, refusal.Fields)
		}
	case errors.As(err, &fields):
		p := newProblem(codeInvalid, "")
		for _, f := range fields {
			p.Errors = append(p.Errors, models.FieldError{Field: f.Field, Message: f.Message})
		}
		return p
	case errors.As(err, &routing):
		for _, k := range problemKinds {
			if k.Status == routing.Code {
				return newProblem(k.Code, "") // never the router's text, which repeats the address
			}
		}
		return newProblem(codeMalformed, "")
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled), models.Unavailable(err):
		p := newProblem(codeUnavailable, "")
		p.cause = err
		return p
	}
	p := newProblem(codeInternal, "")
	p.cause = err
	return p
}

// finish fills in what only the request knows, and logs what the client must not see.
func (s *Server) finish(p *Problem, r *request) *Problem {
	done := *p
	done.Type = s.public + "/docs#problem-" + p.Code
	done.RequestID = r.id
	if p.Status >= http.StatusInternalServerError {
		s.log.Error("request failed", "request_id", r.id, "route", r.pattern, "status", p.Status, "error", logged(p.cause))
	}
	return &done
}

// sendProblem writes an error that did not come from an operation of Huma's.
func (s *Server) sendProblem(c *fiber.Ctx, err error) error {
	r := requestOf(c)
	p := s.finish(problemOf(err), r)
	for name, values := range p.GetHeaders() {
		c.Set(name, values[0])
	}
	body, err := json.Marshal(p)
	if err != nil {
		return err
	}
	c.Set(fiber.HeaderContentType, problemType)
	return c.Status(p.Status).Send(body)
}
