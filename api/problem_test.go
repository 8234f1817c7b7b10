package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/gofiber/fiber/v2"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/purser-dev/purser/handlers/payment"
	"github.com/purser-dev/purser/models"
)

func TestProblemOf(t *testing.T) {
	t.Parallel()
	refusal := func(c models.Code) error {
		return fmt.Errorf("while trying: %w", &models.Error{Code: c, Message: "Said so."})
	}
	for name, tc := range map[string]struct {
		err    error
		status int
		code   code
		detail string
		retry  bool
	}{
		"invalid":       {models.Invalid("a", "must be %d", 1), 422, codeInvalid, "The request has invalid fields.", false},
		"not found":     {refusal(models.CodeNotFound), 404, codeNotFound, "Said so.", false},
		"conflict":      {refusal(models.CodeConflict), 409, codeConflict, "Said so.", false},
		"unauthorized":  {refusal(models.CodeUnauthorized), 401, codeUnauthorized, "Said so.", false},
		"forbidden":     {refusal(models.CodeForbidden), 403, codeForbidden, "Said so.", false},
		"reused":        {refusal(models.CodeIdempotencyReused), 422, codeIdempotencyReused, "Said so.", false},
		"in progress":   {refusal(models.CodeIdempotencyInProgress), 409, codeIdempotencyRunning, "Said so.", true},
		"fenced":        {refusal(models.CodeFenced), 409, codeIdempotencyRunning, "Said so.", true},
		"unknown code":  {refusal("new"), 500, codeInternal, codeInternal.kind().Detail, false},
		"a card":        {payment.FieldErrors{{Field: "card.number", Message: "is wrong"}}, 422, codeInvalid, "The request has invalid fields.", false},
		"no route":      {fiber.NewError(404, "Cannot GET /secret"), 404, codeNotFound, codeNotFound.kind().Detail, false},
		"method":        {fiber.ErrMethodNotAllowed, 405, codeMethodNotAllowed, codeMethodNotAllowed.kind().Detail, false},
		"headers":       {fiber.ErrRequestHeaderFieldsTooLarge, 400, codeMalformed, codeMalformed.kind().Detail, false},
		"connection":    {fiber.ErrBadGateway, 400, codeMalformed, codeMalformed.kind().Detail, false},
		"deadline":      {fmt.Errorf("query: %w", context.DeadlineExceeded), 503, codeUnavailable, codeUnavailable.kind().Detail, true},
		"cut":           {context.Canceled, 503, codeUnavailable, codeUnavailable.kind().Detail, true},
		"database gone": {&net.OpError{Op: "dial", Err: errors.New("refused")}, 503, codeUnavailable, codeUnavailable.kind().Detail, true},
		"anything":      {errors.New("secret detail"), 500, codeInternal, codeInternal.kind().Detail, false},
		"a problem":     {fmt.Errorf("x: %w", newProblem(codeForbidden, "No.")), 403, codeForbidden, "No.", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := problemOf(tc.err)
			if p.Status != tc.status || p.Code != string(tc.code) || p.Detail != tc.detail {
				t.Errorf("got %d %s %q", p.Status, p.Code, p.Detail)
			}
			if got := p.GetHeaders().Get("Retry-After") != ""; got != tc.retry {
				t.Errorf("Retry-After: %v", p.GetHeaders())
			}
			if (p.GetHeaders().Get("WWW-Authenticate") != "") != (tc.status == 401) {
				t.Errorf("WWW-Authenticate: %v", p.GetHeaders())
			}
			body, err := json.Marshal(p)
			if err != nil || strings.Contains(string(body), "secret") || strings.Contains(p.Error(), "secret") {
				t.Errorf("%s, %v", body, err)
			}
			if tc.status >= 500 && name != "unknown code" && p.cause == nil {
				t.Error("the cause is lost")
			}
		})
	}
	if problem(nil) != nil {
		t.Error("no error became one")
	}
}

func TestProblemKinds(t *testing.T) {
	t.Parallel()
	seen := map[code]bool{}
	for _, k := range problemKinds {
		if seen[k.Code] || http.StatusText(k.Status) == "" || k.title == "" || !strings.HasSuffix(k.Detail, ".") {
			t.Errorf("%+v", k)
		}
		seen[k.Code] = true
	}
	for of, c := range modelsCodes {
		if !seen[c] {
			t.Errorf("%s becomes %s, which there is not", of, c)
		}
	}
}

func TestLogged(t *testing.T) {
	t.Parallel()
	err := fmt.Errorf("create: %w", &pgconn.PgError{Code: "23505", Message: `invalid input: "ada@example.com"`, Detail: "Key (email)=(ada@example.com)", TableName: "orders", ConstraintName: "orders_number_key"})
	if got := logged(err); strings.Contains(got, "ada") || !strings.Contains(got, "23505") || !strings.Contains(got, "orders_number_key") {
		t.Errorf("logged %q", got)
	}
	if got := logged(errors.New("plain")); got != "plain" {
		t.Errorf("logged %q", got)
	}
	if logged(nil) != "" {
		t.Error("nothing was logged as something")
	}
}
