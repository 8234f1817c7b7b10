package models

import (
	"context"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

const traceparent = "traceparent"

// traceOf is the traceparent (W3C Trace Context, section 3.2) of the span that ctx is in, for a promise that is staged there: it may be
// performed days later, by another process. It is empty where nothing is recorded.
func traceOf(ctx context.Context) string {
	if !trace.SpanContextFromContext(ctx).IsSampled() {
		return ""
	}
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier[traceparent]
}

// Traced returns ctx as a continuation of the trace in which the job was staged, if there was one.
func (a *JobArgs) Traced(ctx context.Context) context.Context {
	return propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{traceparent: a.Trace})
}

// discreet makes spans that tell a failure by its ErrorText, for a library that would tell all of it.
type discreet struct{ trace.TracerProvider }

// Tracer returns a tracer whose spans are discreet.
func (d discreet) Tracer(name string, options ...trace.TracerOption) trace.Tracer {
	return discreetTracer{d.TracerProvider.Tracer(name, options...)}
}

type discreetTracer struct{ trace.Tracer }

// Start starts a discreet span, which is also the one that the context has.
func (d discreetTracer) Start(ctx context.Context, name string, options ...trace.SpanStartOption) (context.Context, trace.Span) {
	ctx, span := d.Tracer.Start(ctx, name, options...)
	s := &discreetSpan{Span: span}
	return trace.ContextWithSpan(ctx, s), s
}

type discreetSpan struct {
	trace.Span
	failure string
}

// RecordError remembers what SetStatus is to tell. It adds no event: that would say the same.
func (s *discreetSpan) RecordError(err error, _ ...trace.EventOption) { s.failure = ErrorText(err) }

// SetStatus tells the error that was recorded.
func (s *discreetSpan) SetStatus(code codes.Code, _ string) { s.Span.SetStatus(code, s.failure) }
