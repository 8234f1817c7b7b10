package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/purser-dev/purser/models"
)

// balancer is a load balancer as people have them: it goes round, asks /readyz now and then, keeps connections, and tries another backend
// only where it could not connect. What a backend answers, or breaks off, it passes on.
type balancer struct {
	*httptest.Server
	transport *http.Transport
	turn      atomic.Uint64

	mu    sync.Mutex
	ready map[string]bool // by the address of a backend
}

func newBalancer(t testing.TB) *balancer {
	t.Helper()
	b := &balancer{ready: map[string]bool{}, transport: &http.Transport{MaxIdleConnsPerHost: customers}}
	b.Server = httptest.NewServer(b)
	stop := make(chan struct{})
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		b.watch(stop)
	}()
	t.Cleanup(func() {
		close(stop)
		<-stopped
		b.Close()
		b.transport.CloseIdleConnections()
	})
	return b
}

// watch asks every backend until stop.
func (b *balancer) watch(stop <-chan struct{}) {
	ask := time.NewTicker(100 * time.Millisecond)
	defer ask.Stop()
	client := &http.Client{Timeout: 10 * time.Second, Transport: b.transport}
	for {
		for _, address := range b.backends(false) {
			answer, err := client.Get(address + "/readyz")
			ready := err == nil && answer.StatusCode == http.StatusOK
			if err == nil {
				_, _ = io.Copy(io.Discard, answer.Body)
				_ = answer.Body.Close()
			}
			b.mu.Lock()
			if _, known := b.ready[address]; known {
				b.ready[address] = ready
			}
			b.mu.Unlock()
		}
		select {
		case <-stop:
			return
		case <-ask.C:
		}
	}
}

// backends lists the addresses, or those of them that are ready.
func (b *balancer) backends(ready bool) (out []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for address := range maps.Keys(b.ready) {
		if !ready || b.ready[address] {
			out = append(out, address)
		}
	}
	return out
}

func (b *balancer) add(t testing.TB, address string) {
	t.Helper()
	b.mu.Lock()
	b.ready[address] = false
	b.mu.Unlock()
	eventually(t, patience, func() bool { return b.is(address) }, func() string { return address + " is in the round" })
}

func (b *balancer) remove(address string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.ready, address)
}

func (b *balancer) is(address string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ready[address]
}

// ServeHTTP implements http.Handler.
func (b *balancer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	backends := b.backends(true)
	for i := range backends {
		address := backends[(b.turn.Add(1)+uint64(i))%uint64(len(backends))]
		onward, err := http.NewRequestWithContext(r.Context(), r.Method, address+r.URL.RequestURI(), bytes.NewReader(body))
		if err != nil {
			break
		}
		onward.Header = r.Header.Clone()
		onward.GetBody = nil // nothing that may have arrived is sent again
		answer, err := b.transport.RoundTrip(onward)
		if failed, ok := errors.AsType[*net.OpError](err); ok && failed.Op == "dial" {
			continue
		}
		if err != nil {
			http.Error(w, "the backend broke off: "+err.Error(), http.StatusBadGateway)
			return
		}
		defer answer.Body.Close()
		maps.Copy(w.Header(), answer.Header)
		w.WriteHeader(answer.StatusCode)
		_, _ = io.Copy(w, answer.Body)
		return
	}
	http.Error(w, "no backend is ready", http.StatusServiceUnavailable)
}

// TestRollingRestartIsNotNoticed restarts every process of an installation, one after the other, while customers buy. None of their
// requests fails, and nothing is sent twice.
func TestRollingRestartIsNotNoticed(t *testing.T) {
	t.Parallel()
	var mails mailServer
	s, _ := productionSite(t, "PURSER_SMTP_URL="+mails.open(t).url, "PURSER_DRAIN_DELAY=5s")
	entry := newBalancer(t)
	role := func(name string) *proc {
		p := s.start(t, []string{name})
		if base := p.serving(t); base != "" {
			entry.add(t, base)
		}
		return p
	}
	restart := func(p *proc, name string) *proc {
		p.terminate()
		if name == "api" {
			base := p.serving(t)
			eventually(t, patience, func() bool { return !entry.is(base) }, func() string { return base + " is out of the round" })
			if !p.running() {
				t.Error("the API was gone before the balancer had turned away")
			}
			defer entry.remove(base)
		}
		if code := p.exit(t, patience); code != exitOK {
			t.Errorf("%s: exit code %d", p.name, code)
		}
		return role(name)
	}
	names := []string{"api", "api", "worker", "worker", "scheduler", "scheduler"}
	procs := make([]*proc, len(names))
	for i, name := range names {
		procs[i] = role(name)
	}
	shop := openShop(t, s, entry.URL)
	shop.must(t, http.MethodPost, "/v1/products", map[string]any{
		"sku": "viewer", "name": "Viewer", "license_method": models.MethodTemplate, "prices": []map[string]any{{"currency": "EUR", "amount": 1900}},
	}, nil, http.StatusCreated)
	hooks := receiveWebhooks(t, shop.client)

	// Customers come until everything is restarted.
	var (
		crowd   sync.WaitGroup
		mu      sync.Mutex
		paid    []string
		closing = make(chan struct{})
	)
	closeShop := sync.OnceFunc(func() { close(closing) })
	t.Cleanup(func() { // of a test that ended early
		closeShop()
		crowd.Wait()
	})
	served := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(paid)
	}
	pause := time.NewTicker(20 * time.Millisecond) // 50 orders a second at most, shared by all
	t.Cleanup(pause.Stop)
	for n := range customers {
		crowd.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-closing:
					return
				case <-pause.C:
				}
				o, err := shop.order(fmt.Sprintf("buyer-%d-%d@%s", n, i, customerDomain), line{"viewer", 1})
				if err == nil {
					_, err = shop.pay(o.ID, cardGood)
				}
				if err != nil {
					t.Errorf("a customer's request failed: %v", err)
					return
				}
				mu.Lock()
				paid = append(paid, o.ID)
				mu.Unlock()
			}
		})
	}
	for i := len(names) - 1; i >= 0; i-- { // schedulers, workers, APIs
		before := served()
		eventually(t, patience, func() bool { return served() > before || t.Failed() }, func() string { return "customers buy" })
		if t.Failed() {
			t.FailNow()
		}
		procs[i] = restart(procs[i], names[i])
	}
	before := served()
	eventually(t, patience, func() bool { return served() > before || t.Failed() }, func() string { return "customers buy" })
	closeShop()
	crowd.Wait()
	if t.Failed() {
		t.FailNow()
	}

	for _, id := range paid {
		var o *models.OrderView
		eventually(t, patience, func() (delivered bool) {
			var err error
			if o, err = shop.get(id); err != nil {
				t.Fatal(err)
			}
			return o.FulfillmentStatus == models.Delivered
		}, func() string { return "order " + id + " is delivered" })
	}
	// Of each: order.created, payment.succeeded, product.delivered, order.delivered; a confirmation and a licence.
	eventually(t, patience, func() bool {
		return len(hooks.received()) >= 4*len(paid) && mails.distinct() >= 2*len(paid) && idle(t, s)
	}, func() string {
		return fmt.Sprintf("%d events and %d emails of %d orders", len(hooks.received()), mails.distinct(), len(paid))
	})
	if events, copies := len(hooks.received()), hooks.copies; events != 4*len(paid) || copies != events || len(hooks.problems) > 0 {
		t.Errorf("%d events in %d copies of %d orders; %v", events, copies, len(paid), hooks.problems)
	}
	if sent := len(mails.copies()); sent != 2*len(paid) || mails.distinct() != sent {
		t.Errorf("%d copies of %d emails of %d orders", sent, mails.distinct(), len(paid))
	}
	for _, p := range procs {
		p.stop(t)
	}
	s.must(t, "doctor")
	t.Logf("%d orders while %d processes were restarted", len(paid), len(procs))
}
