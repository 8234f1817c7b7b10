package models

import (
	"context"

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
