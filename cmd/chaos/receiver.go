package main

import (
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// event is what a merchant's server reads in a webhook.
type event struct {
	ID   string `json:"id"`
	Type string `json:"type"`
	Data struct {
		orderRef           // of events about an order
		Order    *orderRef `json:"order"` // of events about an item
		Item     struct {
			ID string `json:"id"`
		} `json:"item"`
	} `json:"data"`
}

type orderRef struct {
	ID         string `json:"id"`
	ExternalID string `json:"external_id"`
}

func (e *event) order() orderRef {
	if e.Data.Order != nil {
		return *e.Data.Order
	}
	return e.Data.orderRef
}

// receiver is a merchant's server. It checks each delivery with the reference library of Standard Webhooks, as merchants do.
type receiver struct {
	address string
	take    func(event) // is told of each copy that was taken

	mu       sync.Mutex
	verify   *standardwebhooks.Webhook
	temper   temper
	changed  chan struct{} // closed when the temper changes
	listener net.Listener
	server   *http.Server
	odd      []string // deliveries that are none
	turned   int      // refusals of any sort
}

func newReceiver(take func(event)) (*receiver, error) {
	r := &receiver{take: take, changed: make(chan struct{})}
	listener, err := listen()
	if err != nil {
		return nil, err
	}
	r.address = listener.Addr().String()
	r.serve(listener)
	return r, nil
}

func (r *receiver) serve(listener net.Listener) {
	server := &http.Server{Handler: http.HandlerFunc(r.answer)}
	r.listener, r.server = listener, server
	go func() { _ = server.Serve(listener) }()
}

// trust is the secret that deliveries are signed with.
func (r *receiver) trust(secret string) (err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.verify, err = standardwebhooks.NewWebhook(secret)
	return err
}

// become changes the temper. Who has waited in vain so far is cut off.
func (r *receiver) become(t temper) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	was := r.temper
	r.temper = t
	close(r.changed)
	r.changed = make(chan struct{})
	switch {
	case t == refuses && was != refuses:
		_ = r.listener.Close() // which the server may not have taken over yet
		_ = r.server.Close()
	case t != refuses && was == refuses:
		listener, err := net.Listen("tcp", r.address)
		if err != nil {
			return err
		}
		r.serve(listener)
	}
	return nil
}

func (r *receiver) close() error { return r.become(refuses) }

func (r *receiver) answer(w http.ResponseWriter, q *http.Request) {
	body, err := io.ReadAll(q.Body)
	if err != nil {
		return // its sender was killed
	}
	r.mu.Lock()
	mood, changed := r.temper, r.changed
	if mood != works {
		r.turned++
	}
	r.mu.Unlock()
	switch mood {
	case hangs:
		select {
		case <-changed:
		case <-q.Context().Done():
		}
		hangUp(w, "")
		return
	case babbles:
		hangUp(w, "\x00\xff\x16 250 taken\r\n\r\n{}")
		return
	case later, never:
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write(body)
		return
	}
	time.Sleep(10*time.Millisecond + rand.N(40*time.Millisecond)) // as long as a server on the same continent
	e, err := r.check(q.Header, body)
	if err != nil {
		r.mu.Lock()
		r.odd = append(r.odd, "webhook "+q.Header.Get("webhook-id")+": "+err.Error())
		r.mu.Unlock()
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	r.take(e)
	if mood == forgets {
		hangUp(w, "")
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (r *receiver) check(header http.Header, body []byte) (e event, err error) {
	r.mu.Lock()
	verify := r.verify
	r.mu.Unlock()
	if verify == nil {
		return e, errors.New("it comes before there is an endpoint")
	}
	if err := verify.Verify(body, header); err != nil {
		return e, err
	}
	if err := json.Unmarshal(body, &e); err != nil {
		return e, err
	}
	if e.ID != header.Get("webhook-id") || e.Type == "" {
		return e, errors.New("the body has another id than the header, or no type")
	}
	return e, nil
}

// hangUp says something that is no answer, or nothing, and closes the connection.
func hangUp(w http.ResponseWriter, last string) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	_, _ = conn.Write([]byte(last))
	_ = conn.Close()
}
