package main

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	"google.golang.org/protobuf/proto"
)

// traced is one span that a process reported.
type traced struct {
	id, parent, trace, name, role string
	statement                     bool // of a database
}

// traceCollector is an OpenTelemetry collector that keeps what it is told.
type traceCollector struct {
	*httptest.Server

	mu    sync.Mutex
	raw   [][]byte
	spans []traced
	wrong []string
}

func collectTraces(t *testing.T) *traceCollector {
	c := &traceCollector{}
	c.Server = httptest.NewServer(http.HandlerFunc(c.receive))
	t.Cleanup(c.Close)
	return c
}

func (c *traceCollector) receive(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var in collector.ExportTraceServiceRequest
	if err == nil {
		err = proto.Unmarshal(body, &in)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil || r.URL.Path != "/v1/traces" {
		c.wrong = append(c.wrong, fmt.Sprintf("%s: %v", r.URL.Path, err))
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	c.raw = append(c.raw, body)
	for _, group := range in.ResourceSpans {
		about := map[string]string{}
		for _, a := range group.Resource.Attributes {
			about[a.Key] = a.Value.GetStringValue()
		}
		if about["service.name"] != "purser" || about["service.namespace"] != "shops" || about["service.version"] == "" {
			c.wrong = append(c.wrong, fmt.Sprintf("the resource is %v", about))
		}
		for _, scope := range group.ScopeSpans {
			for _, s := range scope.Spans {
				c.spans = append(c.spans, traced{hex.EncodeToString(s.SpanId), hex.EncodeToString(s.ParentSpanId), hex.EncodeToString(s.TraceId), s.Name, about["purser.role"],
					slices.ContainsFunc(s.Attributes, func(a *common.KeyValue) bool { return strings.HasPrefix(a.Key, "db.") })})
			}
		}
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
}

// named returns the spans of a name.
func (c *traceCollector) named(name string) (found []traced) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.spans {
		if s.name == name {
			found = append(found, s)
		}
	}
	return found
}

// under returns the spans of a trace by "parent > name", and the traceparents (W3C Trace Context, section 3.2) of those of a name.
func (c *traceCollector) under(trace, name string) (spans map[string]traced, traceparents []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	names := map[string]string{}
	for _, s := range c.spans {
		names[s.id] = s.name
	}
	spans = map[string]traced{}
	for _, s := range c.spans {
		if s.trace != trace {
			continue
		}
		spans[names[s.parent]+" > "+s.name] = s
		if s.name == name {
			traceparents = append(traceparents, "00-"+s.trace+"-"+s.id+"-01")
		}
	}
	return spans, traceparents
}

// TestTraceFromRequestToWebhook buys something, and follows the request that paid through the promises that it made to the webhooks.
func TestTraceFromRequestToWebhook(t *testing.T) {
	c := collectTraces(t)
	eachProfile(t, func(t *testing.T, b *busy) {
		const pay, hook = "POST /v1/orders/{id}/payments", "POST webhook"
		performed := []string{
			pay + " > process email.send", pay + " > process item.fulfil", pay + " > process webhook.deliver", "process item.fulfil > process email.send",
			"process email.send > send email", "process email.send > process webhook.deliver", "process webhook.deliver > " + hook,
		}
		requester, performer := "run", "run"
		if b.api != b.worker {
			requester, performer = "api", "worker"
		}
		hooks := receiveWebhooks(t, b.shop.client)
		const email = "tracy@" + customerDomain
		id := b.paidOrder(t, email)
		b.delivered(t, id)

		var spans map[string]traced
		var missing, traceparents []string
		eventually(t, patience, func() bool {
			paid := slices.DeleteFunc(c.named(pay), func(s traced) bool { return s.role != requester })
			if len(paid) != 1 {
				missing = []string{pay}
				return false
			}
			spans, traceparents = c.under(paid[0].trace, hook)
			missing = slices.DeleteFunc(append(performed, " > "+pay, pay+" > charge test"), func(w string) bool { _, ok := spans[w]; return ok })
			return len(missing) == 0
		}, func() string {
			return fmt.Sprintf("the trace has %q; it has %v", missing, slices.Sorted(maps.Keys(spans)))
		})
		for _, name := range performed {
			if got := spans[name].role; got != performer {
				t.Errorf("%s was told by a process of role %q, want %q", name, got, performer)
			}
		}
		statements := slices.ContainsFunc(slices.Collect(maps.Values(spans)), func(s traced) bool { return s.statement })
		if statements != (performer == "worker") {
			t.Errorf("statements of the database in the trace: %v; those of PostgreSQL are wanted, SQLite has none", statements)
		}
		if received := slices.Sorted(maps.Values(hooks.traceparents())); !slices.ContainsFunc(received, func(v string) bool { return slices.Contains(traceparents, v) }) {
			t.Errorf("the merchant's server was told the traceparents %q, none of which is of a webhook's span, %q", received, traceparents)
		}

		// A storefront's trace goes on here; a browser's does not.
		const theirs = "4bf92f3577b34da6a3ce929d0e0e4736"
		o, err := b.shop.get(id)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{"/v1/orders/" + id, strings.TrimPrefix(o.OrderURL, "http://purser.test")} {
			r, err := http.NewRequest(http.MethodGet, b.shop.base+strings.TrimPrefix(path, b.shop.base), nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Authorization", "Bearer "+b.shop.key)
			r.Header.Set("traceparent", "00-"+theirs+"-00f067aa0ba902b7-01")
			answer, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			_ = answer.Body.Close()
			if answer.StatusCode != http.StatusOK {
				t.Fatalf("%s: %d", path, answer.StatusCode)
			}
		}
		const read, page = "GET /v1/orders/{id}", "GET /order/{token}"
		of := func(name string) (ours, other bool) {
			for _, s := range c.named(name) {
				if s.role == requester {
					ours, other = ours || s.trace == theirs, other || s.trace != theirs
				}
			}
			return ours, other
		}
		eventually(t, patience, func() bool {
			continued, _ := of(read)
			_, begun := of(page)
			return continued && begun
		}, func() string { return "the requests with a traceparent are told" })
		if continued, _ := of(page); continued {
			t.Error("the trace of a browser was continued")
		}

		secrets := []string{customerName, email, cardGood, b.shop.key, o.OrderURL[strings.LastIndex(o.OrderURL, "/")+1:]}
		for _, item := range o.Items {
			for _, l := range item.Licenses {
				secrets = append(secrets, l.Key)
			}
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, secret := range secrets {
			if secret == "" || slices.ContainsFunc(c.raw, func(raw []byte) bool { return bytes.Contains(raw, []byte(secret)) }) {
				t.Errorf("%q is in the traces", secret)
			}
		}
		if len(c.wrong) > 0 {
			t.Errorf("the collector was told what it cannot read: %q", c.wrong)
		}
	}, "OTEL_EXPORTER_OTLP_ENDPOINT="+c.URL, "OTEL_BSP_SCHEDULE_DELAY=100", "OTEL_RESOURCE_ATTRIBUTES=service.namespace=shops")
}
