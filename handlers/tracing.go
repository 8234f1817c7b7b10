package handlers

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/purser-dev/purser/models"
)

// traceAttempt opens the span of one attempt, in the trace of what made the promise. Its names are those of OpenTelemetry's conventions for
// messaging, as far as they fit. The errors that it tells are those that operators see, without a secret or personal data.
func (w *Worker) traceAttempt(ctx context.Context, c *models.Claim) (context.Context, func(Outcome, error)) {
	if w.Tracer == nil {
		return ctx, func(Outcome, error) {}
	}
	ctx, span := w.Tracer.Start(c.Args.Traced(ctx), "process "+c.Kind.Name, trace.WithSpanKind(trace.SpanKindConsumer), trace.WithAttributes(
		attribute.String("messaging.operation.type", "process"), attribute.String("messaging.destination.name", string(c.Kind.Queue)),
		attribute.String("messaging.message.id", c.JobID), attribute.Int("purser.job.attempt", c.Attempt)))
	return ctx, func(o Outcome, err error) {
		span.SetAttributes(attribute.String("purser.job.outcome", string(o)))
		endSpan(span, err)
	}
}

// traceCall opens the span of a call to a server of somebody else.
func (w *Worker) traceCall(ctx context.Context, name string, attributes ...attribute.KeyValue) (context.Context, trace.Span) {
	if w.Tracer == nil {
		return ctx, trace.SpanFromContext(context.Background())
	}
	return w.Tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(attributes...))
}

func endSpan(span trace.Span, err error) {
	if err != nil {
		span.SetStatus(codes.Error, models.ErrorText(err))
	}
	span.End()
}
