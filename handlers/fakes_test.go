package handlers_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	"github.com/purser-dev/purser/handlers/mail"
	"github.com/purser-dev/purser/handlers/webhook"
	"github.com/purser-dev/purser/models"
)

// outbox is a mail server that keeps what it took.
type outbox struct {
	mu    sync.Mutex
	tries []mail.Message
	sent  []mail.Message
	// answer, if set, decides what becomes of a message; try counts from 1 over all messages.
	answer func(ctx context.Context, m mail.Message, try int) error
}

func (o *outbox) Send(ctx context.Context, m mail.Message) error {
	o.mu.Lock()
	o.tries = append(o.tries, m)
	try, answer := len(o.tries), o.answer
	o.mu.Unlock()
	if answer != nil {
		if err := answer(ctx, m, try); err != nil {
			return err
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sent = append(o.sent, m)
	return nil
}

func (o *outbox) answers(fn func(ctx context.Context, m mail.Message, try int) error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.answer = fn
}

func (o *outbox) taken() []mail.Message {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.sent)
}

func (o *outbox) tried() []mail.Message {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.tries)
}

var (
	busy    = &mail.SendError{Temporary: true, Code: 451, Reason: "451 4.3.0: the server refused the message for now"}
	unknown = &mail.SendError{Code: 550, Reason: "550 5.1.1: the server refused the recipient"}
)

// received is one webhook call.
type received struct {
	header http.Header
	body   []byte
	id     string
}

// receiver is a merchant's webhook server with one endpoint.
type receiver struct {
	*httptest.Server
	endpoint *models.WebhookEndpointView
	secret   string

	mu     sync.Mutex
	calls  []received
	answer http.HandlerFunc // nil: 204
}

// receive starts a receiver and subscribes it in test mode.
func (b *bench) receive(events []string, change ...func(*models.WebhookEndpointInput)) *receiver {
	b.Helper()
	r := &receiver{secret: webhook.NewSecret()}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, err := io.ReadAll(q.Body)
		if err != nil {
			return
		}
		r.mu.Lock()
		r.calls = append(r.calls, received{q.Header.Clone(), body, q.Header.Get(webhook.HeaderID)})
		answer := r.answer
		r.mu.Unlock()
		if answer == nil {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		answer(w, q)
	}))
	b.Cleanup(r.Close)
	in := models.WebhookEndpointInput{URL: r.URL + "/hooks?key=query-secret", Events: events, Secret: r.secret}
	for _, c := range change {
		c(&in)
	}
	var err error
	if r.endpoint, err = b.store.CreateWebhookEndpoint(b.Context(), b.shop.Test, in); err != nil {
		b.Fatalf("create an endpoint: %v", err)
	}
	return r
}

func (r *receiver) answers(h http.HandlerFunc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = h
}

func (r *receiver) got() []received {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.calls)
}

// status answers with a status and nothing else.
func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

// gate holds back whoever comes to it until it is opened.
type gate struct {
	reached, open chan struct{}
	once          sync.Once
}

func newGate(t testing.TB) *gate {
	g := &gate{reached: make(chan struct{}), open: make(chan struct{})}
	t.Cleanup(g.release)
	return g
}

// wait tells that somebody is here, and returns when the gate opens.
func (g *gate) wait() {
	select {
	case g.reached <- struct{}{}:
	case <-g.open:
	}
	<-g.open
}

func (g *gate) release() { g.once.Do(func() { close(g.open) }) }
