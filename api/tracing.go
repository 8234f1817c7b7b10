package api

import (
	"context"
	"net/http"
	"strings"

	"github.com/gofiber/fiber/v2"
	attr "go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// trace opens the span of a request. Its names are those of OpenTelemetry's conventions for HTTP servers, but for what tells the address
// as it was asked for: those of customers' pages are secrets. A trace is continued for programs only; what a browser sends is anybody's.
func (s *Server) trace(c *fiber.Ctx, ctx context.Context) (context.Context, func(*request)) {
	if s.Tracer == nil || c.Path() == "/healthz" || c.Path() == "/readyz" {
		return ctx, func(*request) {}
	}
	if strings.HasPrefix(c.Path(), "/v1/") {
		header := http.Header{}
		for _, name := range (propagation.TraceContext{}).Fields() {
			if v := c.Get(name); v != "" {
				header.Set(name, strings.Clone(v)) // it would be overwritten by the next request
			}
		}
		ctx = propagation.TraceContext{}.Extract(ctx, propagation.HeaderCarrier(header))
	}
	method := strings.Clone(c.Method())
	ctx, span := s.Tracer.Start(ctx, method, trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(attr.String("http.request.method", method)))
	return ctx, func(r *request) {
		status := c.Response().StatusCode()
		span.SetName(method + " " + r.pattern)
		span.SetAttributes(attr.String("http.route", r.pattern), attr.Int("http.response.status_code", status), attr.String("purser.request.id", r.id))
		if status >= http.StatusInternalServerError {
			span.SetStatus(codes.Error, "")
		}
		span.End()
	}
}

// traceCall opens the span of a call to a payment gateway.
func (s *Server) traceCall(ctx context.Context, name string) (context.Context, func(error)) {
	if s.Tracer == nil {
		return ctx, func(error) {}
	}
	ctx, span := s.Tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindClient))
	return ctx, func(err error) {
		if err != nil {
			span.SetStatus(codes.Error, "") // what gateways say may hold a customer's data
		}
		span.End()
	}
}
