package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// clients is how many customers press the button at the same time.
const clients = 32

var customers atomic.Int64

// orderBody is a checkout request of a customer of its own.
func orderBody(sku string) (body []byte, email string) {
	email = fmt.Sprintf("c%d@bench.example", customers.Add(1))
	body, _ = json.Marshal(map[string]any{ // text and numbers always marshal
		"currency": "EUR", "locale": "en",
		"customer":       map[string]any{"email": email, "first_name": "Ada", "last_name": "Byron", "country": "GB"},
		"items":          []map[string]any{{"product": sku, "quantity": 1}},
		"payment_method": "card", "consents": map[string]any{"terms": true, "personal_data": true},
	})
	return body, email
}

// order is what an order's creation answers, as far as it matters here.
type order struct {
	ID         string
	PaymentURL string `json:"payment_url"`
	OrderURL   string `json:"order_url"`
	email      string
}

// order creates an order for one unit.
func (c *client) order(sku string) (o order, err error) {
	body, email := orderBody(sku)
	o.email = email
	answer, err := c.do("POST", "/v1/orders", body, 201)
	if err != nil {
		return o, err
	}
	return o, json.Unmarshal(answer, &o)
}

var card = []byte(`{"method":"card","card":{"number":"4242424242424242","exp_month":12,"exp_year":2040,"cvc":"123"}}`)

// pay pays an order by card; the test gateway takes it at once.
func (c *client) pay(orderID string) error {
	answer, err := c.do("POST", "/v1/orders/"+orderID+"/payments", card, 201)
	if err == nil && !bytes.Contains(answer, []byte(`"status":"succeeded"`)) {
		err = fmt.Errorf("pay %s: %.300s", orderID, answer)
	}
	return err
}

// makeProduct makes a product of a licence method.
func makeProduct(c *client, sku, method string) (id string, err error) {
	var made struct{ ID string }
	err = c.post("/v1/products", map[string]any{
		"sku": sku, "name": "Editor Pro", "license_method": method, "license_per": "unit",
		"prices": []map[string]any{{"currency": "EUR", "amount": 4900}},
	}, &made, 201)
	return made.ID, err
}

func makeEndpoint(c *client, url string, events ...string) (id string, err error) {
	var made struct{ ID string }
	err = c.post("/v1/webhook-endpoints", map[string]any{"url": url, "events": events}, &made, 201)
	return made.ID, err
}

// measureOrders compares orders created over HTTP with the same rows written by pgx: one transaction an order, one statement a row.
func measureOrders(ctx context.Context, b *bench) (err error) {
	i, err := b.install(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, i.close()) }()
	i.smtp = "127.0.0.1:9" // nothing is sent: no worker runs
	m, err := i.merchant(ctx, "Analytical Engines")
	if err != nil {
		return err
	}
	p, err := i.start(ctx, "api")
	if err != nil {
		return err
	}
	c := newClient(p.address, m.key)
	defer c.close()
	if _, err := makeProduct(c, "editor-pro", "template"); err != nil {
		return err
	}
	if _, err := makeEndpoint(c, "http://127.0.0.1:9/hooks", "*"); err != nil {
		return err
	}
	pool, err := pgxpool.New(ctx, i.databaseURL+"&pool_max_conns="+fmt.Sprint(clients))
	if err != nil {
		return err
	}
	defer pool.Close()
	order := func(context.Context) error {
		body, _ := orderBody("editor-pro")
		_, err := c.do("POST", "/v1/orders", body, 201)
		return err
	}
	if err := order(ctx); err != nil {
		return err
	}
	twin, err := twinOf(ctx, pool)
	if err != nil {
		return err
	}
	if _, err := crowd(ctx, clients, time.Second, order); err != nil { // warm up
		return err
	}
	var ours cpu
	var made int64
	got, base, err := b.alternate(
		func(d time.Duration) (float64, error) {
			before, err := i.cpu(ctx)
			if err != nil {
				return 0, err
			}
			first := customers.Load()
			rate, err := crowd(ctx, clients, d, order)
			if err != nil {
				return 0, err
			}
			after, err := i.cpu(ctx)
			ours, made = ours.plus(after.minus(before)), made+customers.Load()-first
			return rate, err
		},
		func(d time.Duration) (float64, error) {
			return crowd(ctx, clients, d, func(ctx context.Context) error { return twin.insert(ctx, pool) })
		})
	if err != nil {
		return err
	}
	b.table.add(row{what: "processor time of one order's creation: purser + PostgreSQL + Redis", measured: ours.since(cpu{}, float64(made))})
	b.table.add(row{
		what: "orders created over HTTP, 32 clients; baseline: the same rows by pgx, a statement each", measured: perSecond(got, "orders"),
		baseline: perSecond(base, "orders"), ratio: ratio(got, base), target: "≥ 0.50 ×", met: got >= base/2,
	})
	return measureEmbeddedOrders(ctx, b)
}

// measureEmbeddedOrders does the same on embedded stores, where there is nothing to compare it with. The worker beside the API finds
// nothing to do: nobody is told of the orders, and nobody pays.
func measureEmbeddedOrders(ctx context.Context, b *bench) (err error) {
	i, err := b.installEmbedded()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, i.close()) }()
	m, err := i.merchant(ctx, "Analytical Engines")
	if err != nil {
		return err
	}
	p, err := i.start(ctx, "run")
	if err != nil {
		return err
	}
	c := newClient(p.address, m.key)
	defer c.close()
	if _, err := makeProduct(c, "editor-pro", "template"); err != nil {
		return err
	}
	order := func(context.Context) error {
		body, _ := orderBody("editor-pro")
		_, err := c.do("POST", "/v1/orders", body, 201)
		return err
	}
	if _, err := crowd(ctx, clients, time.Second, order); err != nil { // warm up
		return err
	}
	n, each := b.rounds()
	rates := make([]float64, n)
	for round := range rates {
		if rates[round], err = crowd(ctx, clients, each, order); err != nil {
			return err
		}
	}
	b.table.add(row{what: "orders created over HTTP, 32 clients, embedded stores, no webhook endpoint", measured: perSecond(median(rates), "orders")})
	return nil
}
