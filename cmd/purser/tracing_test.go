package main

import (
	"strings"
	"testing"
)

func TestWhetherThereAreTraces(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		env   []string
		on    bool
		wrong string // the variable that the error names
	}{
		{env: nil},
		{env: []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318"}, on: true},
		{env: []string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://127.0.0.1:4318/v1/traces"}, on: true},
		{env: []string{"OTEL_TRACES_EXPORTER=otlp"}, on: true},
		{env: []string{"OTEL_TRACES_EXPORTER=none", "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318"}},
		{env: []string{"OTEL_SDK_DISABLED=true", "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318"}},
		{env: []string{"OTEL_TRACES_EXPORTER=otlp", "OTEL_TRACES_EXPORTER=none"}},
		{env: []string{"OTEL_TRACES_EXPORTER=zipkin"}, wrong: "OTEL_TRACES_EXPORTER"},
		{env: []string{"OTEL_TRACES_EXPORTER=otlp", "OTEL_EXPORTER_OTLP_PROTOCOL=grpc"}, wrong: "OTEL_EXPORTER_OTLP_PROTOCOL"},
		{env: []string{"OTEL_TRACES_EXPORTER=otlp", "OTEL_EXPORTER_OTLP_PROTOCOL=grpc", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=http/protobuf"}, on: true},
		{env: []string{"OTEL_TRACES_EXPORTER=otlp", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=http/json"}, wrong: "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"},
		{env: []string{"OTEL_EXPORTER_OTLP_PROTOCOL=grpc"}}, // of others, who are told by the same variable
	} {
		p := &Program{Env: tc.env}
		on, err := tracingOn(p.variable)
		if on != tc.on || (err != nil) != (tc.wrong != "") || (err != nil && !strings.Contains(err.Error(), tc.wrong)) {
			t.Errorf("%q: %v, %v, want %v and an error about %q", tc.env, on, err, tc.on, tc.wrong)
		}
	}
}
