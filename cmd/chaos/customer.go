package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// order is what a customer reads of an order.
type order struct {
	ID                string    `json:"id"`
	ExternalID        string    `json:"external_id"`
	Status            string    `json:"status"`
	FulfillmentStatus string    `json:"fulfillment_status"`
	PaidAt            *string   `json:"paid_at"`
	DeliveredAt       *string   `json:"delivered_at"`
	Items             []item    `json:"items"`
	Payments          []payment `json:"payments"`
}

type item struct {
	ID       string    `json:"id"`
	SKU      string    `json:"sku"`
	Quantity int       `json:"quantity"`
	Licenses []license `json:"licenses"`
}

type license struct {
	ID          string  `json:"id"`
	Key         string  `json:"key"`
	Status      string  `json:"status"`
	DeliveredAt *string `json:"delivered_at"`
}

type payment struct {
	ID          string  `json:"id"`
	Status      string  `json:"status"`
	RedirectURL *string `json:"redirect_url"`
}

// buy does what a customer plans.
func (t *trial) buy(ctx context.Context, p *purchase) error {
	o, err := t.order(ctx, &p.plan)
	if err != nil {
		return err
	}
	for i, try := range p.tries {
		if err := t.pay(ctx, p, o.ID, i, try); err != nil {
			return err
		}
	}
	t.ledger.acted(p, o.ID)
	return nil
}

func (t *trial) order(ctx context.Context, p *plan) (*order, error) {
	var o order
	return &o, t.client.ask(ctx, http.MethodPost, "/v1/orders", "order-"+p.name, map[string]any{
		"currency": "EUR", "locale": "en", "payment_method": "card", "items": p.lines, "external_id": p.name,
		"customer": map[string]any{"email": p.email(), "first_name": "Ada", "last_name": "Quillfeather", "country": "GB"},
		"consents": map[string]any{"terms": true, "personal_data": true},
	}, &o, http.StatusCreated)
}

// pay makes one attempt to pay.
func (t *trial) pay(ctx context.Context, p *purchase, order string, i int, try try) error {
	var paid payment
	err := t.client.ask(ctx, http.MethodPost, "/v1/orders/"+order+"/payments", fmt.Sprintf("pay-%s-%d", p.name, i), map[string]any{
		"method": "card", "card": map[string]any{"number": try.card, "exp_month": 12, "exp_year": 2040, "cvc": "123"},
	}, &paid, http.StatusCreated)
	if err != nil {
		return err
	}
	if try.card == cardConfirms {
		return t.confirm(ctx, order, paid, try.answer)
	}
	want := "failed"
	switch try.card {
	case cardGood:
		want = "succeeded"
	case cardDelayed:
		want = "processing"
	}
	if paid.Status != want {
		return fmt.Errorf("%s: card %s makes a payment %s, want %s", p.name, try.card, paid.Status, want)
	}
	return nil
}

// confirm presses a button on the test gateway's page, until it has been heard.
func (t *trial) confirm(ctx context.Context, id string, paid payment, answer string) error {
	if paid.RedirectURL == nil {
		return fmt.Errorf("payment %s of %s is %s and has no page to confirm it on", paid.ID, id, paid.Status)
	}
	page, err := url.Parse(*paid.RedirectURL)
	if err != nil {
		return err
	}
	return t.client.ask(ctx, http.MethodPost, page.Path, "", url.Values{"outcome": {answer}}, nil, http.StatusSeeOther)
}

// stream lets customers come, one each pause. It returns when the last has come; they are waited for by the trial's customers.
func (t *trial) stream(ctx context.Context, plans []plan, pause time.Duration) {
	tick := time.NewTicker(max(pause, time.Millisecond))
	defer tick.Stop()
	for _, p := range plans {
		select {
		case <-ctx.Done():
			return
		case t.seats <- struct{}{}:
		}
		bought := t.ledger.begin(p)
		t.customers.Go(func() {
			defer func() { <-t.seats }()
			if err := t.buy(ctx, bought); err != nil && ctx.Err() == nil {
				t.wrong(lost, "%v", err)
			}
		})
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
