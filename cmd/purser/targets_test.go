package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/purser-dev/purser/api"
	"github.com/purser-dev/purser/handlers"
	"github.com/purser-dev/purser/handlers/webhook"
	"github.com/purser-dev/purser/handlers/webhook/webhooktest"
	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/jobs/redistest"
	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
	"github.com/purser-dev/purser/scheduler"
)

// targets is an installation of every role whose webhooks find their servers through a name server of the test, and whose dials are
// recorded.
type targets struct {
	test, live             client // a merchant whose targets are public
	insideTest, insideLive client // one who may reach the opened network
	dialled                *webhooktest.Dials
}

// serveTargets starts one. Names are answered by answer, see webhooktest.Resolver; may is what may be dialled.
func serveTargets(t *testing.T, s *models.Store, opened string, answer func(name string, asked int) []netip.Addr, may ...netip.AddrPort) *targets {
	t.Helper()
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	redis := redistest.InProcess
	if !s.Embedded() {
		redis = redistest.Real
	}
	r := redis(t)
	queue := r.Redis.Client()
	publisher := jobs.NewPublisher(queue, log)
	s.OnCommit(publisher.Publish)

	out := &targets{dialled: &webhooktest.Dials{Open: may}}
	sender := webhook.NewSender(webhook.Config{
		AllowedPrivateNets: []netip.Prefix{netip.MustParsePrefix(opened)}, Resolver: webhooktest.Resolver(t, answer), Connecting: out.dialled.Connecting,
	})
	server, err := api.New(api.Config{Store: s, Redis: r.Redis, Webhooks: sender, PublicURL: storetest.PublicURL, Version: "test", Log: log})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	worker, err := handlers.NewWorker(handlers.Config{
		Store: s, Redis: r.Redis, Concurrency: 19, Mail: mailbox{s}, MailFrom: "shop@purser.test", Webhooks: sender, PublicURL: storetest.PublicURL,
		ShutdownTimeout: 10 * time.Second, Log: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := worker.Start(); err != nil {
		t.Fatal(err)
	}
	decider := scheduler.New(scheduler.Config{Store: s, Redis: r.Redis, Log: log})
	if err := decider.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		decider.Shutdown()
		worker.Shutdown()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			t.Errorf("shut down: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
		sender.Close()
		publisher.Close()
		_ = queue.Close()
	})

	base := "http://" + listener.Addr().String()
	for _, allow := range []bool{false, true} {
		_, live, test, err := s.CreateMerchant(t.Context(), models.MerchantInput{Name: "Example Software", Email: "shop@example.com", AllowPrivateTargets: allow})
		if err != nil {
			t.Fatal(err)
		}
		if allow {
			out.insideTest, out.insideLive = client{base, test}, client{base, live}
		} else {
			out.test, out.live = client{base, test}, client{base, live}
		}
	}
	return out
}

// subscribe makes an endpoint for nothing but test events, and returns its id.
func subscribe(t *testing.T, c client, url string) string {
	t.Helper()
	var made struct{ ID string }
	c.must(t, http.MethodPost, "/v1/webhook-endpoints", map[string]any{"url": url, "events": []string{"custom.nothing"}}, &made, http.StatusCreated)
	return made.ID
}

// sendTo sends a test event to an endpoint and returns the delivery's address.
func sendTo(t *testing.T, c client, endpoint string) string {
	t.Helper()
	var made struct{ ID string }
	c.must(t, http.MethodPost, "/v1/webhook-endpoints/"+endpoint+"/test", nil, &made, http.StatusCreated)
	return "/v1/deliveries/" + made.ID
}

// tried waits until a delivery has been tried n times, and returns it.
func tried(t *testing.T, c client, path string, n int) (d models.DeliveryDetail) {
	t.Helper()
	eventually(t, patience, func() bool {
		d = models.DeliveryDetail{}
		c.must(t, http.MethodGet, path, nil, &d, http.StatusOK)
		return len(d.Attempts) >= n
	}, func() string { return fmt.Sprintf("%s has been tried %d times", path, len(d.Attempts)) })
	if len(d.Attempts) != n {
		t.Errorf("%s has been tried %d times, want %d", path, len(d.Attempts), n)
	}
	return d
}

// refusedAsForbidden fails unless a delivery was given up at its nth attempt, because of where it should have gone.
func refusedAsForbidden(t *testing.T, c client, path string, n int, what any) {
	t.Helper()
	d := tried(t, c, path, n)
	last := d.Attempts[len(d.Attempts)-1]
	if d.Status != models.DeliveryFailed || last.Error == nil || *last.Error != webhook.FailForbidden || last.ResponseStatus != nil || last.Response != "" {
		t.Errorf("%v: the delivery is %s, its attempts %s", what, d.Status, asJSON(d.Attempts))
	}
}

// Whatever names a forbidden address by itself is refused when the endpoint is made or changed.
func TestForbiddenTargetsAreNotAccepted(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		in := serveTargets(t, s, "10.99.0.0/16", func(string, int) []netip.Addr { return webhooktest.Addresses("127.0.0.1", "::1") })
		hosts := webhooktest.ForbiddenHosts()
		if len(hosts) < 200 {
			t.Fatalf("only %d hosts", len(hosts))
		}
		for mode, c := range map[string]client{"test": in.test, "live": in.live, "inside, test": in.insideTest, "inside, live": in.insideLive} {
			const good = "https://shop.example/hooks"
			id := subscribe(t, c, good)
			for _, host := range hosts {
				// The scheme is no obstacle: live mode wants https, and what is refused must be the address.
				url := "https://" + host + "/latest?token=canary"
				for method, path := range map[string]string{http.MethodPost: "/v1/webhook-endpoints", http.MethodPatch: "/v1/webhook-endpoints/" + id} {
					var refused struct {
						Code   string
						Errors []struct{ Field string }
					}
					err := c.request(method, path, map[string]any{"url": url}, &refused, http.StatusUnprocessableEntity)
					if err != nil || refused.Code != "invalid" || len(refused.Errors) != 1 || refused.Errors[0].Field != "url" {
						t.Errorf("%s, %s %s: %v %+v", mode, method, url, err, refused)
					}
				}
			}
			if got := all[models.WebhookEndpointView](t, c, "/v1/webhook-endpoints"); len(got) != 1 || got[0].URL != good {
				t.Errorf("%s: the endpoints are %+v", mode, got)
			}
		}
		if seen := in.dialled.All(); len(seen) != 0 {
			t.Errorf("dialled %v; want nothing", seen)
		}
	})
}

// Names are judged by the address that they have at the moment when they are dialled, by a worker.
func TestForbiddenTargetsAreNotDialled(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		names := maps.Clone(webhooktest.PrivateNames)
		for i, ip := range webhooktest.ForbiddenAddresses {
			names[fmt.Sprintf("n%d.example", i)] = ip
		}
		public := netip.MustParseAddr("93.184.216.34")
		in := serveTargets(t, s, "10.99.0.0/16", func(name string, asked int) []netip.Addr {
			switch ip := names[name]; {
			case name == "rebinding.example" && asked == 0:
				return []netip.Addr{public}
			case name == "rebinding.example":
				return webhooktest.Addresses("127.0.0.1", "169.254.169.254")
			case ip.IsValid():
				return []netip.Addr{ip}
			}
			return nil
		})
		for _, c := range []client{in.test, in.live, in.insideTest} {
			endpoints := make([]string, 45) // as many as there may be, almost
			for i := range endpoints {
				endpoints[i] = subscribe(t, c, "https://shop.example/hooks")
			}
			for some := range slices.Chunk(slices.Sorted(maps.Keys(names)), len(endpoints)) {
				paths := map[string]string{}
				for i, name := range some {
					c.must(t, http.MethodPatch, "/v1/webhook-endpoints/"+endpoints[i], map[string]any{"url": "https://" + name + ":8080/"}, nil, http.StatusOK)
					paths[name] = sendTo(t, c, endpoints[i])
				}
				for name, path := range paths {
					refusedAsForbidden(t, c, path, 1, name+" "+names[name].String())
				}
			}
			for _, id := range endpoints {
				c.must(t, http.MethodDelete, "/v1/webhook-endpoints/"+id, nil, nil, http.StatusOK)
			}
		}
		if seen := in.dialled.All(); len(seen) != 0 {
			t.Errorf("dialled %v; want nothing", seen)
		}

		// Public when it is tried first, and inside when it is tried again.
		path := sendTo(t, in.test, subscribe(t, in.test, "http://rebinding.example:8080/"))
		if d := tried(t, in.test, path, 1); d.Status != models.DeliveryPending || d.Attempts[0].Error == nil || *d.Attempts[0].Error == webhook.FailForbidden {
			t.Errorf("the public answer: %+v", d)
		}
		in.test.must(t, http.MethodPost, path+"/retry", nil, nil, http.StatusOK)
		refusedAsForbidden(t, in.test, path, 2, "rebinding")
		if seen, want := in.dialled.All(), []netip.AddrPort{netip.AddrPortFrom(public, 8080)}; !slices.Equal(seen, want) {
			t.Errorf("dialled %v; want %v", seen, want)
		}
	})
}

// A receiver that may be reached cannot send Purser on to where it may not go, nor anywhere else.
func TestRedirectsAreNotFollowed(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		var behind atomic.Int64
		hidden := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { behind.Add(1) }))
		t.Cleanup(hidden.Close)
		var asked atomic.Int64
		receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked.Add(1)
			w.Header().Set("Location", r.URL.Query().Get("to"))
			w.Header().Set("Refresh", "0; url="+r.URL.Query().Get("to"))
			code, _ := strconv.Atoi(r.URL.Query().Get("code"))
			w.WriteHeader(code)
		}))
		t.Cleanup(receiver.Close)
		in := serveTargets(t, s, "127.0.0.0/8", func(string, int) []netip.Addr { return webhooktest.Addresses("127.0.0.1") },
			netip.MustParseAddrPort(receiver.Listener.Addr().String()))

		targets := []string{hidden.URL + "/", "http://169.254.169.254/latest/meta-data/", "http://metadata.google.internal/", "//169.254.169.254/", "http://[::1]/", "/elsewhere", "file:///etc/passwd"}
		var paths []string
		for _, code := range []int{301, 302, 303, 307, 308} {
			for _, to := range targets {
				q := url.Values{"to": {to}, "code": {strconv.Itoa(code)}}
				paths = append(paths, sendTo(t, in.insideTest, subscribe(t, in.insideTest, receiver.URL+"/hooks?"+q.Encode())))
			}
		}
		for _, path := range paths {
			var d models.DeliveryDetail
			eventually(t, patience, func() bool {
				in.insideTest.must(t, http.MethodGet, path, nil, &d, http.StatusOK)
				return len(d.Attempts) > 0
			}, func() string { return path + " was tried" })
			for _, a := range d.Attempts {
				if a.Error == nil || *a.Error != webhook.FailRedirect || a.ResponseStatus == nil || *a.ResponseStatus/100 != 3 {
					t.Errorf("%s: %+v", path, a)
				}
			}
			if d.Status != models.DeliveryPending {
				t.Errorf("%s is %s; it is tried again", path, d.Status)
			}
		}
		if n := asked.Load(); n < int64(len(paths)) || behind.Load() != 0 {
			t.Errorf("the receiver was asked %d times for %d deliveries, what it points to %d times", n, len(paths), behind.Load())
		}
		for _, to := range in.dialled.All() {
			if to.String() != receiver.Listener.Addr().String() {
				t.Errorf("dialled %s", to)
			}
		}
	})
}
