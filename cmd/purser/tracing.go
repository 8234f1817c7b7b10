package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
)

// tracingOn reads what OpenTelemetry's standard variables say about whether there are traces
// (https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/). All others of them the SDK reads by itself.
// Unlike the standard it sends nothing unless an exporter or its address is named: the default would be a server on this machine, which
// most do not have.
func tracingOn(env func(string) string) (bool, error) {
	if strings.EqualFold(env("OTEL_SDK_DISABLED"), "true") {
		return false, nil
	}
	switch exporter := env("OTEL_TRACES_EXPORTER"); exporter {
	case "none":
		return false, nil
	case "otlp":
	case "":
		if env("OTEL_EXPORTER_OTLP_ENDPOINT") == "" && env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") == "" {
			return false, nil
		}
	default:
		return false, settingsError{fmt.Errorf("OTEL_TRACES_EXPORTER must be otlp or none, not %q", exporter)}
	}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"} {
		if protocol := env(name); protocol == "http/protobuf" {
			break // the first that is set is the one that counts
		} else if protocol != "" {
			return false, settingsError{fmt.Errorf("%s must be http/protobuf, not %q", name, protocol)}
		}
	}
	return true, nil
}

// tracingPart sends traces to an OpenTelemetry collector. What cannot be sent is dropped; nothing else depends on it.
func (pr *process) tracingPart(role string) part {
	var provider *sdktrace.TracerProvider
	return part{
		name: "traces",
		start: func(ctx context.Context, _ func(error)) error {
			on, err := tracingOn(pr.program.variable)
			if err != nil || !on {
				return err
			}
			exporter, err := otlptracehttp.New(ctx)
			if err != nil {
				return err
			}
			about, err := resource.New(ctx, resource.WithTelemetrySDK(), resource.WithAttributes(
				semconv.ServiceName("purser"), semconv.ServiceVersion(pr.program.Version.Version), attribute.String("purser.role", role),
			), resource.WithFromEnv()) // the later wins
			if err != nil {
				return errors.Join(fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err), exporter.Shutdown(ctx))
			}
			otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { pr.log.Warn("traces were not sent", slog.Any("err", err)) }))
			provider = sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(about))
			pr.tracing, pr.tracer = provider, provider.Tracer("github.com/purser-dev/purser")
			return nil
		},
		stop: func(ctx context.Context) error {
			if provider == nil {
				return nil
			}
			if err := provider.Shutdown(ctx); err != nil {
				pr.log.Warn("the last traces were not sent", "err", err)
			}
			return nil
		},
	}
}

// variable is the value of a variable of the program's environment; the last of several counts, as for processes.
func (p *Program) variable(name string) (value string) {
	for _, pair := range p.Env {
		if v, ok := strings.CutPrefix(pair, name+"="); ok {
			value = v
		}
	}
	return value
}
