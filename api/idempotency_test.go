package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gofiber/fiber/v2"

	"github.com/purser-dev/purser/handlers/payment"
	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

func (d *door) orderWithKey(t testing.TB, key, idempotencyKey string, change ...func(map[string]any)) answer {
	t.Helper()
	return d.knock(t, ask{method: post, path: "/v1/orders", key: key, body: orderBody(change...), header: map[string]string{idempotencyHeader: idempotencyKey}})
}

func TestRepeatedRequestGetsTheStoredAnswer(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s)
		first := d.orderWithKey(t, d.shop.TestKey, "k").ok(t, 201)
		if first.header.Get(replayedHeader) != "" {
			t.Error("the first answer calls itself a repetition")
		}
		// What happens in between does not change the stored answer.
		storetest.Exec(t, s, "UPDATE orders SET external_id = 'changed'")
		second := d.orderWithKey(t, d.shop.TestKey, "k").ok(t, 201)
		if string(second.body) != string(first.body) || second.header.Get(replayedHeader) != "true" {
			t.Errorf("first %s, second %v %s", first.body, second.header, second.body)
		}
		for _, name := range []string{"Location", "Content-Type"} {
			if first.header.Get(name) != second.header.Get(name) || first.header.Get(name) == "" {
				t.Errorf("%s is %q, then %q", name, first.header.Get(name), second.header.Get(name))
			}
		}
		if first.header.Get("X-Request-Id") == second.header.Get("X-Request-Id") {
			t.Error("two requests have one id")
		}
		d.orderWithKey(t, d.shop.TestKey, "k", with("external_id", "other")).want(t, 422, codeIdempotencyReused)
		if orders, events := d.count(t, "orders"), d.count(t, "events"); orders != 1 || events != 1 {
			t.Errorf("%d orders, %d events", orders, events)
		}
	})
}

// TestRepetitionsDifferInWhatMeansTheSame: a proxy or another version of a client writes the type of the same body otherwise.
func TestRepetitionsDifferInWhatMeansTheSame(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s)
		pool := storetest.Product(t, s, d.shop.Test, "viewer", models.MethodPool)
		path, text := "/v1/products/"+pool.ID+"/keys", `{"keys":["A-1"]}`
		send := func(contentType string) answer {
			return d.knock(t, ask{method: post, path: path, key: d.shop.TestKey, body: text, header: map[string]string{"Idempotency-Key": "k", "Content-Type": contentType}})
		}
		first := send("application/json").ok(t, 200)
		for _, same := range []string{"", "application/json; charset=utf-8", "Application/JSON"} {
			if again := send(same).ok(t, 200); again.header.Get(replayedHeader) != "true" || string(again.body) != string(first.body) {
				t.Errorf("as %q: %v %s", same, again.header, again.body)
			}
		}
		send("text/plain").want(t, 422, codeIdempotencyReused) // a key that looks like JSON
	})
}

func TestIdempotencyKeyIsScoped(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s)
		storetest.Product(t, s, d.other.Test, "editor-pro", models.MethodTemplate)
		a, b := d.order(t), d.order(t)
		cancel := func(id string) answer {
			return d.knock(t, ask{method: post, path: "/v1/orders/" + id + "/cancel", key: d.shop.TestKey, header: map[string]string{idempotencyHeader: "k"}})
		}
		for name, got := range map[string]answer{
			"test":           d.orderWithKey(t, d.shop.TestKey, "k"),
			"live":           d.orderWithKey(t, d.shop.LiveKey, "k"),
			"other merchant": d.orderWithKey(t, d.other.TestKey, "k"),
			"another path":   cancel(a.ID),
			"another object": cancel(b.ID),
		} {
			if got.status >= 300 || got.header.Get(replayedHeader) != "" {
				t.Errorf("%s: %d %s", name, got.status, got.body)
			}
		}
		if n := d.count(t, "orders"); n != 5 {
			t.Errorf("%d orders, want 5", n)
		}
	})
}

func TestIdempotencyKeysThatAreNone(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s)
		for _, key := range []string{strings.Repeat("k", 256), " ", "a\xffb"} {
			r := ask{method: post, path: "/v1/orders", key: d.shop.TestKey, body: orderBody()}.request(t, "http://purser.test")
			r.Header[idempotencyHeader] = []string{key}
			got, err := d.App().Test(r, -1)
			if err != nil {
				t.Fatal(err)
			}
			a := read(t, got)
			if a.status != 422 && a.status != 400 {
				t.Errorf("%q: %d %s", key, a.status, a.body)
			}
		}
		r := ask{method: post, path: "/v1/orders", key: d.shop.TestKey, body: orderBody()}.request(t, "http://purser.test")
		r.Header[idempotencyHeader] = []string{"a", "b"}
		got, err := d.App().Test(r, -1)
		if err != nil {
			t.Fatal(err)
		}
		read(t, got).want(t, 422, codeInvalid, idempotencyHeader)
		d.orderWithKey(t, d.shop.TestKey, strings.Repeat("k", 256)).want(t, 422, codeInvalid, idempotencyHeader)
		if n := d.count(t, "orders") + d.count(t, "idempotency_keys"); n != 0 {
			t.Errorf("%d rows were recorded", n)
		}
		d.orderWithKey(t, d.shop.TestKey, strings.Repeat("k", 255)).ok(t, 201)
	})
}

func TestRefusalIsStoredWithoutItsEffect(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s)
		for name, tc := range map[string]struct {
			body   any
			status int
			code   code
		}{
			"invalid field":   {orderBody(with("currency", "XXX")), 422, codeInvalid},
			"unknown product": {orderBody(with("items", []any{map[string]any{"product": "none", "quantity": 1}})), 422, codeInvalid},
			"unknown field":   {orderBody(with("curency", "EUR")), 422, codeInvalid},
			"broken JSON":     {`{"currency":`, 400, codeMalformed},
		} {
			send := func() answer {
				return d.knock(t, ask{method: post, path: "/v1/orders", key: d.shop.TestKey, body: tc.body, header: map[string]string{idempotencyHeader: name}})
			}
			first, second := send(), send()
			if first.status != tc.status || first.problem(t).Code != string(tc.code) || first.header.Get(replayedHeader) != "" {
				t.Errorf("%s: %d %s", name, first.status, first.body)
			}
			if string(first.body) != string(second.body) || second.status != first.status || second.header.Get(replayedHeader) != "true" {
				t.Errorf("%s again: %d %s", name, second.status, second.body)
			}
		}
		paid := storetest.PaidOrder(t, s, d.shop.Test, "editor-pro", 1)
		events := d.count(t, "events")
		for range 2 {
			d.knock(t, ask{method: post, path: "/v1/orders/" + paid.ID + "/cancel", key: d.shop.TestKey, header: map[string]string{idempotencyHeader: "c"}}).want(t, 409, codeConflict)
		}
		if n := d.count(t, "orders"); n != 1 || d.count(t, "events") != events {
			t.Errorf("%d orders, %d new events", n, d.count(t, "events")-events)
		}
	})
}

// probe is a route whose operation is the test's own.
type probe struct {
	do    func(ctx context.Context) error
	calls int
}

type probeInput struct{ Body *noFields }

func withProbe(t testing.TB, d *door, e effect, p *probe) {
	t.Helper()
	d.register(&route{method: post, path: "/v1/probe", id: "probe", status: 200, effect: e, tag: "Orders", do: func(s *Server, op huma.Operation) {
		huma.Register(s.api, op, func(ctx context.Context, _ *probeInput) (*orderOutput, error) {
			p.calls++
			if err := p.do(ctx); err != nil {
				return nil, problem(err)
			}
			return &orderOutput{Body: &models.OrderView{ID: fmt.Sprint(p.calls)}}, nil
		})
	}})
}

func (d *door) probe(t testing.TB) answer {
	t.Helper()
	return d.knock(t, ask{method: post, path: "/v1/probe", key: d.shop.TestKey, header: map[string]string{idempotencyHeader: "p"}})
}

func TestFailureIsNotStored(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		for name, fail := range map[string]func() error{
			"internal":    func() error { return errors.New("boom") },
			"unavailable": func() error { return context.DeadlineExceeded },
			"panic":       func() error { panic("boom") },
		} {
			for e, effect := range map[string]effect{"once": once, "staged": staged} {
				t.Run(name+" "+e, func(t *testing.T) {
					d := newDoor(t, s)
					p := &probe{}
					p.do = func(ctx context.Context) error {
						if p.calls > 1 {
							return nil
						}
						if _, err := s.CreateOrder(ctx, scope(ctx), storetest.OrderInput("editor-pro", 1)); err != nil {
							return err
						}
						return fail()
					}
					withProbe(t, d, effect, p)
					before := d.count(t, "orders")
					a := d.probe(t)
					if a.status != 500 && a.status != 503 || strings.Contains(string(a.body), "boom") {
						t.Fatalf("answered %d %s", a.status, a.body)
					}
					a.problem(t)
					want := map[string]int{"once": 0, "staged": 1}[e] // a staged effect has its own transactions
					if n := d.count(t, "orders") - before; n != want {
						t.Errorf("%d orders stayed, want %d", n, want)
					}
					// The key is free again at once.
					if a := d.probe(t).ok(t, 200); a.header.Get(replayedHeader) != "" || p.calls != 2 {
						t.Errorf("the second request: %v after %d calls", a.header, p.calls)
					}
					if a := d.probe(t).ok(t, 200); a.header.Get(replayedHeader) != "true" || p.calls != 2 {
						t.Errorf("the third request: %v after %d calls", a.header, p.calls)
					}
				})
			}
		}
	})
}

func TestEffectAndAnswerCommitTogether(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s)
		p := &probe{do: func(ctx context.Context) error {
			_, err := s.CreateOrder(ctx, scope(ctx), storetest.OrderInput("editor-pro", 1))
			return err
		}}
		withProbe(t, d, once, p)
		d.probe(t).ok(t, 200)
		orders := d.count(t, "orders")
		// An answer that cannot be stored takes its effect with it.
		storetest.Exec(t, s, "DELETE FROM idempotency_keys")
		storetest.Exec(t, s, map[bool]string{
			true:  "CREATE TRIGGER broken BEFORE UPDATE OF status ON idempotency_keys BEGIN SELECT RAISE(ABORT, 'broken'); END",
			false: "ALTER TABLE idempotency_keys ADD CONSTRAINT broken CHECK (status IS NULL)",
		}[s.Embedded()])
		if a := d.probe(t); a.status != 500 {
			t.Fatalf("answered %d %s", a.status, a.body)
		}
		if n := d.count(t, "orders"); n != orders || p.calls != 2 {
			t.Errorf("%d orders after %d, in %d calls", n, orders, p.calls)
		}
	})
}

// TestRequestThatWasTakenOverLeavesNothing: a request that ran longer than its lease, and whose repetition has begun meanwhile,
// is rolled back.
func TestRequestThatWasTakenOverLeavesNothing(t *testing.T) {
	t.Parallel()
	s := storetest.Open(t, "postgres") // SQLite's only writer is the request itself
	d := newDoor(t, s)
	withProbe(t, d, once, &probe{do: func(ctx context.Context) error {
		if _, err := s.CreateOrder(ctx, scope(ctx), storetest.OrderInput("editor-pro", 1)); err != nil {
			return err
		}
		storetest.Exec(t, s, "UPDATE idempotency_keys SET owner = 'the repetition'")
		return nil
	}})
	d.probe(t).want(t, 409, codeIdempotencyRunning)
	if n := d.count(t, "orders"); n != 0 {
		t.Errorf("%d orders stayed", n)
	}
}

func TestLostRequestIsTakenOverAfterItsLease(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s)
		first := d.orderWithKey(t, d.shop.TestKey, "k").ok(t, 201)
		// A process that was killed leaves a claim without an answer, and no effect.
		storetest.Exec(t, s, "UPDATE idempotency_keys SET status = NULL, headers = NULL, body = NULL")
		a := d.orderWithKey(t, d.shop.TestKey, "k")
		a.want(t, 409, codeIdempotencyRunning)
		if a.header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
		past := "clock_timestamp() - interval '1 second'"
		if s.Embedded() {
			past = "strftime('%Y-%m-%d %H:%M:%f+00:00', 'now', '-1 second')"
		}
		storetest.Exec(t, s, "UPDATE idempotency_keys SET lease_until = "+past)
		second := d.orderWithKey(t, d.shop.TestKey, "k").ok(t, 201)
		if second.header.Get(replayedHeader) != "" || string(first.body) == string(second.body) {
			t.Errorf("got %v %s", second.header, second.body)
		}
		if third := d.orderWithKey(t, d.shop.TestKey, "k").ok(t, 201); string(third.body) != string(second.body) {
			t.Errorf("then %s, want %s", third.body, second.body)
		}
	})
}

func TestKeyIsForgottenAfterADay(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s)
		d.orderWithKey(t, d.shop.TestKey, "k").ok(t, 201)
		yesterday := time.Now().UTC().Add(-24*time.Hour - time.Second)
		storetest.Exec(t, s, "UPDATE idempotency_keys SET created_at = $1", yesterday)
		a := d.orderWithKey(t, d.shop.TestKey, "k", with("external_id", "new")).ok(t, 201)
		if a.header.Get(replayedHeader) != "" || d.count(t, "orders") != 2 {
			t.Errorf("%v, %d orders", a.header, d.count(t, "orders"))
		}
	})
}

// TestRaceOfOneKey sends one request many times at once: one runs, the others are told so or get its answer.
func TestRaceOfOneKey(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		g := &stubGateway{charge: func(_ context.Context, _ int, req payment.ChargeRequest) (payment.Outcome, error) {
			return payment.Outcome{Status: payment.StatusSucceeded, Reference: "ref_" + req.PaymentID}, nil
		}}
		d := newDoor(t, s, g.config)
		base := d.listen(t)
		o := d.order(t)
		events := d.count(t, "events")
		for path, body := range map[string]any{"/v1/orders": orderBody(), "/v1/orders/" + o.ID + "/payments": map[string]any{"method": "card"}} {
			var mu sync.Mutex
			bodies, running := map[string]int{}, 0
			var all sync.WaitGroup
			for range 24 {
				all.Go(func() {
					r := ask{method: post, path: path, key: d.shop.TestKey, body: body, header: map[string]string{idempotencyHeader: "race"}}.request(t, base)
					res, err := http.DefaultClient.Do(r)
					if err != nil {
						t.Error(err)
						return
					}
					a := read(t, res)
					mu.Lock()
					defer mu.Unlock()
					switch {
					case a.status == 201:
						bodies[string(a.body)]++
					case a.status == 409 && a.problem(t).Code == string(codeIdempotencyRunning):
						running++
					default:
						t.Errorf("answered %d %s", a.status, a.body)
					}
				})
			}
			all.Wait()
			if len(bodies) != 1 {
				t.Errorf("%s: %d different answers, %d in progress", path, len(bodies), running)
			}
		}
		if n := d.count(t, "orders"); n != 2 {
			t.Errorf("%d orders, want the first and one more", n)
		}
		if n := len(g.charged); n != 1 || d.count(t, "payments") != 1 {
			t.Errorf("%d charges, %d payments", n, d.count(t, "payments"))
		}
		if n := d.count(t, "events") - events; n != 2 {
			t.Errorf("%d events, want order.created and payment.succeeded", n)
		}
	})
}

func TestGetIgnoresTheKey(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s)
		a := d.knock(t, ask{method: get, path: "/v1/orders", key: d.shop.TestKey, header: map[string]string{idempotencyHeader: "k"}}).ok(t, fiber.StatusOK)
		if a.header.Get(replayedHeader) != "" || d.count(t, "idempotency_keys") != 0 {
			t.Error("a GET used an idempotency key")
		}
	})
}

// TestEveryRouteSaysItsEffect: what an idempotency key means is decided for every POST and for nothing else.
func TestEveryRouteSaysItsEffect(t *testing.T) {
	t.Parallel()
	for _, r := range routes {
		if (r.method == post) != (r.effect == once || r.effect == staged) {
			t.Errorf("%s has effect %d", r.id, r.effect)
		}
	}
}
