package main

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// event is what a merchant's server reads in a webhook.
type event struct {
	ID   string `json:"id"`
	Type string `json:"type"`
	Test bool   `json:"test"`
	Data struct {
		orderRef           // of events about an order
		Order    *orderRef `json:"order"` // of events about an item
		Item     struct {
			ID string `json:"id"`
		} `json:"item"`
	} `json:"data"`
}

type orderRef struct {
	ID string `json:"id"`
}

// order is the id of the order that the event is about.
func (e event) order() string {
	if e.Data.Order != nil {
		return e.Data.Order.ID
	}
	return e.Data.ID
}

// webhookServer is a merchant's server. It checks each delivery with the reference library of Standard Webhooks, as merchants do.
type webhookServer struct {
	*httptest.Server

	mu       sync.Mutex
	verify   *standardwebhooks.Webhook
	events   map[string]event  // by the header webhook-id
	traces   map[string]string // traceparent by webhook-id, of those that have one
	copies   int               // deliveries, repeated ones too
	refused  int               // by trouble
	problems []string
	// trouble, if set before the first event, says whether this delivery is answered 503, with an echo of what was sent.
	trouble func(event) bool
}

// receiveWebhooks starts a server and subscribes it to everything, licence keys included.
func receiveWebhooks(t testing.TB, c client) *webhookServer {
	t.Helper()
	s := &webhookServer{events: map[string]event{}, traces: map[string]string{}}
	s.Server = httptest.NewServer(http.HandlerFunc(s.receive))
	t.Cleanup(s.Close)
	var made struct{ Secret string }
	c.must(t, http.MethodPost, "/v1/webhook-endpoints", map[string]any{
		"url": s.URL + "/hooks", "events": []string{"*"}, "include_license_keys": true,
	}, &made, http.StatusCreated)
	verify, err := standardwebhooks.NewWebhook(made.Secret)
	if err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.verify = verify
	return s
}

func (s *webhookServer) receive(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // its sender was killed
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	id := r.Header.Get("webhook-id")
	var e event
	switch err := s.verify.Verify(body, r.Header); {
	case err != nil:
		s.problems = append(s.problems, id+": "+err.Error())
		w.WriteHeader(http.StatusUnauthorized)
		return
	case json.Unmarshal(body, &e) != nil || e.ID != id || e.Type == "" || !e.Test:
		s.problems = append(s.problems, id+": not an event in test mode of that id")
	}
	if trace := r.Header.Get("traceparent"); trace != "" {
		s.traces[id] = trace
	}
	s.copies++
	if s.trouble != nil && s.trouble(e) {
		s.refused++
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write(body)
		return
	}
	s.events[id] = e
	w.WriteHeader(http.StatusNoContent)
}

// received returns the events, each once.
func (s *webhookServer) received() map[string]event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.events)
}

// traceparents returns the header of those deliveries that have it, by webhook-id.
func (s *webhookServer) traceparents() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.traces)
}
