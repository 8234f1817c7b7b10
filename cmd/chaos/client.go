package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// answerTimeout is how long a customer's client waits for an answer: longer than any may take.
	answerTimeout = 40 * time.Second
	// patience is how long a customer goes on trying.
	patience = 4 * time.Minute
)

// answer is what one request met.
type answer struct {
	at     time.Time
	took   time.Duration
	status int  // 0 without one
	after  bool // it has Retry-After
	charge bool // it is to a request that asks a gateway
	fresh  bool // it is to the first request for an order, in whose way nothing can be that was there before
}

// client is a storefront's server, as it should be: it repeats what was not answered, with the same idempotency key, at another door.
type client struct {
	key   string
	doors func() []string // addresses of the API processes that a load balancer would offer
	http  *http.Client

	mu      sync.Mutex
	next    int
	answers []answer
	bad     []string // answers that nobody should get
}

func newClient(doors func() []string) *client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy = nil
	transport.MaxIdleConnsPerHost = 64
	return &client{doors: doors, http: &http.Client{
		Timeout: answerTimeout, Transport: transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// door picks the next address.
func (c *client) door() (string, error) {
	open := c.doors()
	if len(open) == 0 {
		return "", errors.New("no API process runs")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.next++
	return open[c.next%len(open)], nil
}

// reply is an answer that arrived.
type reply struct {
	status int
	after  time.Duration // Retry-After
	body   []byte
}

// once sends one request, the first of its kind or the same again. The error is for one that was not answered.
func (c *client) once(ctx context.Context, method, path, kind, idempotency string, body []byte, again bool) (*reply, error) {
	base, err := c.door()
	if err != nil {
		return nil, err
	}
	q, err := http.NewRequestWithContext(ctx, method, base+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	q.Header.Set("Authorization", "Bearer "+c.key)
	if len(body) > 0 {
		q.Header.Set("Content-Type", kind)
	}
	if idempotency != "" {
		q.Header.Set("Idempotency-Key", idempotency)
	}
	a := answer{at: time.Now(), charge: strings.HasSuffix(path, "/payments"), fresh: method == http.MethodPost && path == "/v1/orders" && !again}
	got, err := c.http.Do(q)
	var raw []byte
	if err == nil {
		raw, err = io.ReadAll(got.Body)
		_ = got.Body.Close()
	}
	a.took = time.Since(a.at)
	if err != nil {
		c.note(a, "")
		return nil, err
	}
	r := &reply{status: got.StatusCode, body: raw}
	after := got.Header.Get("Retry-After")
	if seconds, err := strconv.Atoi(after); err == nil {
		r.after = time.Duration(seconds) * time.Second
	}
	bad := ""
	switch {
	case r.status >= 500 && r.status != http.StatusServiceUnavailable:
		bad = fmt.Sprintf("%s %s: %d: %.300s", method, path, r.status, raw)
	case r.status == http.StatusServiceUnavailable && after == "":
		bad = fmt.Sprintf("%s %s: 503 without Retry-After: %.300s", method, path, raw)
	}
	a.status, a.after = r.status, after != ""
	c.note(a, bad)
	return r, nil
}

func (c *client) note(a answer, bad string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answers = append(c.answers, a)
	if bad != "" {
		c.bad = append(c.bad, bad)
	}
}

// since returns the answers to requests that were begun in a span of time.
func (c *client) since(from, to time.Time) (out []answer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := len(c.answers) - 1; i >= 0; i-- {
		if a := c.answers[i]; !a.at.Before(from) && a.at.Before(to) {
			out = append(out, a)
		}
	}
	return out
}

// ask sends a request until it is answered for good, and decodes the answer, which must have the wanted status, into out unless that is
// nil.
func (c *client) ask(ctx context.Context, method, path, idempotency string, in, out any, want int) error {
	kind, body := "application/json", []byte(nil)
	switch in := in.(type) {
	case nil:
	case string:
		kind, body = "text/plain", []byte(in)
	case url.Values:
		kind, body = "application/x-www-form-urlencoded", []byte(in.Encode())
	default:
		var err error
		if body, err = json.Marshal(in); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for again := false; ; again = true {
		r, err := c.once(ctx, method, path, kind, idempotency, body, again)
		pause := 300 * time.Millisecond
		switch {
		case err != nil:
		case r.status == want:
			if out == nil {
				return nil
			}
			return json.Unmarshal(r.body, out)
		case r.status >= 500, r.status == http.StatusTooManyRequests, strings.Contains(string(r.body), `"idempotency_in_progress"`):
			err = fmt.Errorf("%d", r.status)
			pause = max(pause, r.after)
		default:
			return fmt.Errorf("%s %s: %d, want %d: %.500s", method, path, r.status, want, r.body)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s %s: given up: %w", method, path, err)
		case <-time.After(pause):
		}
	}
}

// page is one page of a list.
type page[T any] struct {
	Data       []T     `json:"data"`
	NextCursor *string `json:"next_cursor"`
}

// list reads every page of a list; path has parameters already.
func list[T any](ctx context.Context, c *client, path string) (rows []T, err error) {
	for cursor := ""; ; {
		var p page[T]
		if err := c.ask(ctx, http.MethodGet, path+"&limit=100&cursor="+url.QueryEscape(cursor), "", nil, &p, http.StatusOK); err != nil {
			return nil, err
		}
		rows = append(rows, p.Data...)
		if p.NextCursor == nil {
			return rows, nil
		}
		cursor = *p.NextCursor
	}
}
