package paymenttest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// StripeServer stands in for Stripe: the endpoints for Checkout Sessions and
// refunds, idempotency keys, errors in Stripe's form, and signed events. It follows
// https://docs.stripe.com/api as of 2026-03-25.dahlia, and refuses parameters that
// it does not know.
type StripeServer struct {
	// URL is the base of the API; Key is the only key that it takes.
	URL, Key string
	// WebhookSecret signs events.
	WebhookSecret string
	// Mirror is the address of a stripe-mock to which every request that was
	// taken is sent too. It knows Stripe's published description of its API: what
	// it refuses fails the test.
	Mirror string

	t     testing.TB
	clock *Clock

	mu       sync.Mutex
	faults   []func(http.ResponseWriter, *http.Request) (done bool)
	requests []StripeRequest
	sessions map[string]*session
	refunds  []*refund
	kept     map[string]*keptAnswer
	made     int
}

// StripeRequest is what a server was asked.
type StripeRequest struct {
	Method, Path string
	Header       http.Header
	// Form is what the body has, or the query.
	Form url.Values
}

// keptAnswer is what is known by an idempotency key.
type keptAnswer struct {
	request string
	since   time.Time
	answer  answer
	done    bool
}

type answer struct {
	status int
	body   any
	// keep is false for a request that was refused before it was executed.
	keep bool
}

// NewStripeServer starts a server that ends with the test.
func NewStripeServer(t testing.TB, clock *Clock) *StripeServer {
	t.Helper()
	s := &StripeServer{
		Key: "sk_test_51Fake0SecretKey", WebhookSecret: "whsec_FakeSigningSecret",
		t: t, clock: clock, sessions: map[string]*session{}, kept: map[string]*keptAnswer{},
	}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	s.URL = server.URL
	return s
}

// Fail lets the next request fail with the given answer before anything happens.
func (s *StripeServer) Fail(status int, body string) {
	s.fault(func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Request-Id", "req_failed")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
		return true
	})
}

// Pass lets the next request through, so that a later one fails.
func (s *StripeServer) Pass() {
	s.fault(func(http.ResponseWriter, *http.Request) bool { return false })
}

// Hang lets the next request wait until its caller has gone.
func (s *StripeServer) Hang(arrived chan<- struct{}) {
	s.fault(func(_ http.ResponseWriter, r *http.Request) bool {
		// Only after the body does the server look whether the caller is still there.
		_, _ = io.Copy(io.Discard, r.Body)
		close(arrived)
		<-r.Context().Done()
		return true
	})
}

// Lose lets the next request be executed and its answer be cut off.
func (s *StripeServer) Lose() {
	s.fault(func(w http.ResponseWriter, r *http.Request) bool {
		s.answer(httptest.NewRecorder(), r)
		// More is announced than comes. Without any of it the HTTP client would try
		// again by itself.
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "{")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
}

func (s *StripeServer) fault(f func(http.ResponseWriter, *http.Request) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, f)
}

// Requests returns every request that was answered so far.
func (s *StripeServer) Requests() []StripeRequest {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// ServeHTTP answers like Stripe.
func (s *StripeServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	var fault func(http.ResponseWriter, *http.Request) bool
	if len(s.faults) > 0 {
		fault, s.faults = s.faults[0], s.faults[1:]
	}
	s.mu.Unlock()
	if fault == nil || !fault(w, r) {
		s.answer(w, r)
	}
}

func (s *StripeServer) answer(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	form, err := url.ParseQuery(string(body))
	if r.Method == http.MethodGet {
		form = r.URL.Query()
	}
	s.mu.Lock()
	s.requests = append(s.requests, StripeRequest{r.Method, r.URL.Path, r.Header.Clone(), form})
	s.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Request-Id", "req_fake")
	switch {
	case err != nil:
		write(w, refuse(http.StatusBadRequest, "invalid_request_error", "", "", "Invalid form."))
		return
	case r.Header.Get("Authorization") != "Bearer "+s.Key:
		// Stripe repeats a part of the key.
		key := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		write(w, refuse(http.StatusUnauthorized, "invalid_request_error", "", "", "Invalid API Key provided: "+key))
		return
	case r.Header.Get("Stripe-Version") == "":
		s.t.Errorf("stripe server: %s has no Stripe-Version", r.URL.Path)
	}
	a, replayed := s.once(r.Header.Get("Idempotency-Key"), r.Method+" "+r.URL.Path+" "+form.Encode(), func() answer {
		return s.route(r.Method, r.URL.Path, form)
	})
	if replayed {
		w.Header().Set("Idempotent-Replayed", "true")
	}
	if a.status == http.StatusOK && s.Mirror != "" {
		s.mirror(r, body)
	}
	write(w, a)
}

// once executes a request once for each idempotency key and day.
func (s *StripeServer) once(key, request string, execute func() answer) (a answer, replayed bool) {
	if key == "" {
		return execute(), false
	}
	s.mu.Lock()
	k := s.kept[key]
	if k != nil && s.clock.Now().Sub(k.since) >= 24*time.Hour {
		k = nil
	}
	switch {
	case k == nil:
		k = &keptAnswer{request: request, since: s.clock.Now()}
		s.kept[key] = k
		s.mu.Unlock()
	case k.request != request:
		s.mu.Unlock()
		return refuse(http.StatusBadRequest, "idempotency_error", "", "",
			"Keys for idempotent requests can only be used with the same parameters they were first used with."), false
	case !k.done:
		s.mu.Unlock()
		return refuse(http.StatusConflict, "invalid_request_error", "idempotency_key_in_use", "", "There is currently another in-progress request."), false
	default:
		a = k.answer
		s.mu.Unlock()
		return a, true
	}
	a = execute()
	s.mu.Lock()
	defer s.mu.Unlock()
	k.answer, k.done = a, true
	if !a.keep {
		delete(s.kept, key)
	}
	return a, false
}

func (s *StripeServer) route(method, path string, form url.Values) answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	rest, isSession := strings.CutPrefix(path, "/v1/checkout/sessions")
	switch {
	case method == http.MethodPost && isSession && rest == "":
		return s.createSession(form)
	case method == http.MethodGet && isSession:
		return s.retrieveSession(strings.TrimPrefix(rest, "/"), form)
	case method == http.MethodPost && isSession && strings.HasSuffix(rest, "/expire"):
		return s.expireSession(strings.TrimSuffix(strings.TrimPrefix(rest, "/"), "/expire"))
	case method == http.MethodPost && path == "/v1/refunds":
		return s.createRefund(form)
	case method == http.MethodGet && path == "/v1/refunds":
		return s.listRefunds(form)
	case method == http.MethodGet && strings.HasPrefix(path, "/v1/refunds/"):
		return s.retrieveRefund(strings.TrimPrefix(path, "/v1/refunds/"))
	}
	return refuse(http.StatusNotFound, "invalid_request_error", "", "", "Unrecognized request URL.")
}

func (s *StripeServer) mirror(r *http.Request, body []byte) {
	req, err := http.NewRequestWithContext(r.Context(), r.Method, s.Mirror+r.URL.RequestURI(), strings.NewReader(string(body)))
	if err != nil {
		s.t.Errorf("stripe-mock: %v", err)
		return
	}
	// stripe-mock wants a key without underscores.
	req.Header.Set("Authorization", "Bearer sk_test_123")
	for _, name := range []string{"Content-Type", "Stripe-Version", "Idempotency-Key"} {
		if r.Header.Get(name) != "" {
			req.Header.Set(name, r.Header.Get(name))
		}
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Errorf("stripe-mock: %v", err)
		return
	}
	defer res.Body.Close()
	if told, err := io.ReadAll(res.Body); err != nil || res.StatusCode != http.StatusOK {
		s.t.Errorf("stripe-mock answers %s %s with %d: %s %v", r.Method, r.URL, res.StatusCode, told, err)
	}
}

// id makes the next id of a kind. Ids are unlike each other and hold no underscore
// but the prefix's.
func (s *StripeServer) id(prefix string) string {
	s.made++
	return fmt.Sprintf("%s%016d", prefix, s.made)
}

func write(w http.ResponseWriter, a answer) {
	w.WriteHeader(a.status)
	_ = json.NewEncoder(w).Encode(a.body) // the client may have gone
}

func refuse(status int, kind, code, param, message string) answer {
	fault := map[string]any{"type": kind, "message": message}
	for name, value := range map[string]string{"code": code, "param": param} {
		if value != "" {
			fault[name] = value
		}
	}
	// What fails validation was not executed, so Stripe keeps no answer to it.
	return answer{status: status, body: map[string]any{"error": fault}}
}
