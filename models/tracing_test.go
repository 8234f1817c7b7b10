package models_test

import (
	"encoding/json"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

// TestTracesOfStatementsQuoteNoValues: PostgreSQL and its driver say which value does not fit. A trace tells that a statement has failed,
// and why, without it.
func TestTracesOfStatementsQuoteNoValues(t *testing.T) {
	t.Parallel()
	told := tracetest.NewInMemoryExporter()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(told))
	o := storetest.Options(storetest.Open(t, "postgres")) // SQLite's statements are not traced
	o.Tracing = provider
	s, err := models.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })

	const email, card = "ada@example.com", 4242424242424242
	ctx, request := provider.Tracer("test").Start(t.Context(), "request")
	for what, fail := range map[string]func() error{
		"a statement by itself": func() error {
			_, err := s.SQL().ExecContext(ctx, `SELECT CAST(CAST($1 AS text) AS bigint)`, email)
			return err
		},
		"one in a transaction": func() error {
			return s.Write(ctx, func(t *models.Tx) error { return t.Exec(`SELECT CAST(CAST(? AS text) AS bigint)`, email).Error })
		},
		"a value that cannot be sent": func() error {
			_, err := s.SQL().ExecContext(ctx, `SELECT CAST($1 AS inet)`, int64(card))
			return err
		},
	} {
		if err := fail(); err == nil || !strings.Contains(err.Error(), email) && !strings.Contains(err.Error(), "4242424242424242") {
			t.Errorf("%s: the error is %v, which tests nothing", what, err)
		}
	}
	request.End()
	reasons := map[string]int{}
	for _, span := range told.GetSpans() {
		text, err := json.Marshal(span)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), email) || strings.Contains(string(text), "4242424242424242") {
			t.Errorf("the trace tells a value: %s", text)
		}
		if span.Status.Code == codes.Error {
			reasons[span.Status.Description]++
			if span.SpanContext.TraceID() != request.SpanContext().TraceID() {
				t.Errorf("it is not in the request's trace: %s", text)
			}
		}
	}
	if reasons["PostgreSQL error 22P02 table= column= constraint="] < 2 || reasons["a value does not fit the statement"] < 1 {
		t.Errorf("the reasons of failures are %v", reasons)
	}
}
