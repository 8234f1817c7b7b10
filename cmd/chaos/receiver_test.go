package main

import (
	"encoding/base64"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// shopServer is a receiver with what it has taken.
type shopServer struct {
	*receiver
	sign  *standardwebhooks.Webhook
	mu    sync.Mutex
	taken []event
}

func newShopServer(t *testing.T) *shopServer {
	t.Helper()
	s := &shopServer{}
	var err error
	if s.receiver, err = newReceiver(func(e event) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.taken = append(s.taken, e)
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.close() })
	secret := "whsec_" + base64.StdEncoding.EncodeToString([]byte("a secret of thirty-two bytes, so"))
	if s.sign, err = standardwebhooks.NewWebhook(secret); err != nil {
		t.Fatal(err)
	}
	if err := s.trust(secret); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *shopServer) mustBecome(t *testing.T, mood temper) {
	t.Helper()
	if err := s.become(mood); err != nil {
		t.Fatal(err)
	}
}

func (s *shopServer) events() []event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.taken
}

// noted is how many were turned away, and what was no event.
func (s *shopServer) noted() (turned int, odd []string) {
	s.receiver.mu.Lock()
	defer s.receiver.mu.Unlock()
	return s.turned, s.odd
}

const delivered = `{"id":"evt_1","type":"product.delivered","data":{"order":{"id":"ord_1","external_id":"buyer-1"},"item":{"id":"itm_1"}}}`

// deliver sends a webhook under an id, signed. The status is 0 without an answer.
func (s *shopServer) deliver(t *testing.T, id, body string, spoil func(http.Header)) (int, error) {
	t.Helper()
	q, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+s.address+"/hooks", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	signature, err := s.sign.Sign(id, now, []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("webhook-id", id)
	q.Header.Set("webhook-timestamp", strconv.FormatInt(now.Unix(), 10))
	q.Header.Set("webhook-signature", signature)
	if spoil != nil {
		spoil(q.Header)
	}
	client := &http.Client{Timeout: deadline, Transport: &http.Transport{DisableKeepAlives: true}}
	got, err := client.Do(q)
	if err != nil {
		return 0, err
	}
	return got.StatusCode, got.Body.Close()
}

func TestTheReceiverTakesEvents(t *testing.T) {
	t.Parallel()
	s := newShopServer(t)
	if status, err := s.deliver(t, "evt_1", delivered, nil); status != http.StatusNoContent {
		t.Fatalf("answers %d, %v", status, err)
	}
	if status, err := s.deliver(t, "evt_2", `{"id":"evt_2","type":"order.created","data":{"id":"ord_2","external_id":"buyer-2"}}`, nil); status != http.StatusNoContent {
		t.Fatalf("answers %d, %v", status, err)
	}
	got := s.events()
	if len(got) != 2 || got[0].order() != (orderRef{"ord_1", "buyer-1"}) || got[0].Data.Item.ID != "itm_1" || got[1].order() != (orderRef{"ord_2", "buyer-2"}) {
		t.Errorf("took %+v", got)
	}
	if turned, odd := s.noted(); turned != 0 || len(odd) > 0 {
		t.Errorf("turned %d away and found odd %q", turned, odd)
	}
}

func TestTheReceiverNamesWhatIsNoEvent(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		id, body string
		spoil    func(http.Header)
	}{
		"another signature": {"evt_1", delivered, func(h http.Header) { h.Set("webhook-signature", "v1,"+strings.Repeat("A", 43)+"=") }},
		"no signature":      {"evt_1", delivered, func(h http.Header) { h.Del("webhook-signature") }},
		"an old one":        {"evt_1", delivered, func(h http.Header) { h.Set("webhook-timestamp", "1700000000") }},
		"another id":        {"evt_2", delivered, nil},
		"no type":           {"evt_1", `{"id":"evt_1"}`, nil},
		"no JSON":           {"evt_1", `evt_1`, nil},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			s := newShopServer(t)
			if status, err := s.deliver(t, c.id, c.body, c.spoil); status != http.StatusUnauthorized {
				t.Errorf("answers %d, %v", status, err)
			}
			_, odd := s.noted()
			if len(s.events()) > 0 || len(odd) != 1 || !strings.Contains(odd[0], c.id) {
				t.Errorf("took %+v and found odd %q", s.events(), odd)
			}
		})
	}
}

func TestTheReceiverInABadTemper(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		mood   temper
		status int
		taken  bool
		turned int
	}{
		"refuses": {refuses, 0, false, 0},
		"later":   {later, http.StatusServiceUnavailable, false, 1},
		"never":   {never, http.StatusServiceUnavailable, false, 1},
		"babbles": {babbles, 0, false, 1},
		"forgets": {forgets, 0, true, 1},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			s := newShopServer(t)
			s.mustBecome(t, c.mood)
			status, err := s.deliver(t, "evt_1", delivered, nil)
			if status != c.status || (err != nil) != (c.status == 0) || errors.Is(err, syscall.ECONNREFUSED) != (c.mood == refuses) {
				t.Errorf("answers %d, %v", status, err)
			}
			turned, _ := s.noted()
			if got := s.events(); (len(got) == 1) != c.taken || turned != c.turned {
				t.Errorf("takes %+v and turns %d away", got, turned)
			}
			s.mustBecome(t, works)
			if status, err := s.deliver(t, "evt_1", delivered, nil); status != http.StatusNoContent {
				t.Errorf("afterwards: %d, %v", status, err)
			}
		})
	}
}

func TestTheReceiverHangs(t *testing.T) {
	t.Parallel()
	s := newShopServer(t)
	s.mustBecome(t, hangs)
	answered := make(chan error, 1)
	go func() {
		status, err := s.deliver(t, "evt_1", delivered, nil)
		if status != 0 {
			err = errors.New(http.StatusText(status))
		}
		answered <- err
	}()
	eventually(t, "somebody waits", func() bool { turned, _ := s.noted(); return turned > 0 })
	select {
	case err := <-answered:
		t.Fatalf("it answers: %v", err)
	default:
	}
	s.mustBecome(t, works)
	if err := <-answered; err == nil || !strings.Contains(err.Error(), "EOF") {
		t.Errorf("who waited is told %v", err)
	}
	if status, err := s.deliver(t, "evt_1", delivered, nil); status != http.StatusNoContent || len(s.events()) != 1 {
		t.Errorf("takes %d events afterwards: %d, %v", len(s.events()), status, err)
	}
}
