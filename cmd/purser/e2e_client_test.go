package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/purser-dev/purser/models"
)

// client is a storefront's server. Its methods that return errors may be called from any goroutine.
type client struct{ base, key string }

// request sends JSON and expects one of the given statuses; the answer is decoded into out unless that is nil.
func (c client) request(method, path string, body, out any, want ...int) error {
	var content io.Reader
	kind := "application/json"
	switch b := body.(type) {
	case nil:
	case string:
		content, kind = strings.NewReader(b), "text/plain"
	default:
		raw, err := json.Marshal(b)
		if err != nil {
			return err
		}
		content = bytes.NewReader(raw)
	}
	r, err := http.NewRequest(method, c.base+path, content)
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+c.key)
	if content != nil {
		r.Header.Set("Content-Type", kind)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	for _, status := range want {
		if answer.StatusCode == status {
			if out == nil {
				return nil
			}
			return json.Unmarshal(raw, out)
		}
	}
	return fmt.Errorf("%s %s: %d, want %d: %s", method, path, answer.StatusCode, want, raw)
}

// must is request for the test's own goroutine.
func (c client) must(t testing.TB, method, path string, body, out any, want ...int) {
	t.Helper()
	if err := c.request(method, path, body, out, want...); err != nil {
		t.Fatal(err)
	}
}

// line is one line of a checkout request.
type line struct {
	Product  string `json:"product"`
	Quantity int    `json:"quantity"`
}

// checkout is a checkout request of a customer whose family name and email domain are nobody else's, so that they are found where
// they should not be.
func checkout(email string, lines ...line) map[string]any {
	return map[string]any{
		"currency": "EUR", "locale": "en", "payment_method": "card", "items": lines,
		"customer": map[string]any{"email": email, "first_name": "Ada", "last_name": customerName, "country": "GB"},
		"consents": map[string]any{"terms": true, "personal_data": true},
	}
}

const (
	customerName   = "Quillfeather"
	customerDomain = "customers.example"
)

func (c client) order(email string, lines ...line) (*models.OrderView, error) {
	var o models.OrderView
	return &o, c.request(http.MethodPost, "/v1/orders", checkout(email, lines...), &o, http.StatusCreated)
}

func (c client) get(id string) (*models.OrderView, error) {
	var o models.OrderView
	return &o, c.request(http.MethodGet, "/v1/orders/"+id, nil, &o, http.StatusOK)
}

// The test gateway's cards.
const (
	cardGood         = "4242424242424242"
	cardDeclined     = "4000000000000002"
	cardInsufficient = "4000000000009995"
	cardConfirms     = "4000002500003155"
	cardDelayed      = "4000000000000077"
)

func (c client) pay(id, card string) (*models.PaymentView, error) {
	var p models.PaymentView
	return &p, c.request(http.MethodPost, "/v1/orders/"+id+"/payments", map[string]any{
		"method": "card", "card": map[string]any{"number": card, "exp_month": 12, "exp_year": 2040, "cvc": "123"},
	}, &p, http.StatusCreated)
}

// confirm does what the customer does on the test gateway's page: outcome is succeed or fail.
func (c client) confirm(p *models.PaymentView, outcome string) error {
	if p.RedirectURL == nil {
		return fmt.Errorf("payment %s has no page to confirm it on", p.ID)
	}
	page, err := url.Parse(*p.RedirectURL)
	if err != nil {
		return err
	}
	answer, err := http.PostForm(c.base+page.Path, url.Values{"outcome": {outcome}})
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK { // of the page that it leads back to
		return fmt.Errorf("confirm payment %s: %s", p.ID, answer.Status)
	}
	return nil
}

// all reads every page of a list.
func all[T any](t testing.TB, c client, path string) []T {
	t.Helper()
	rows, cursor := []T{}, ""
	for {
		var page struct {
			Data       []T     `json:"data"`
			NextCursor *string `json:"next_cursor"`
		}
		c.must(t, http.MethodGet, path+"?limit=100&cursor="+url.QueryEscape(cursor), nil, &page, http.StatusOK)
		rows = append(rows, page.Data...)
		if page.NextCursor == nil {
			return rows
		}
		cursor = *page.NextCursor
	}
}

// shop is a merchant with its storefront.
type shop struct {
	client
	created createdMerchant
}

// openShop makes a merchant, whose storefront uses the API at base.
func openShop(t testing.TB, s *site, base string) *shop {
	t.Helper()
	var out shop
	text := s.must(t, "merchant", "create", "--name", "Example Software", "--email", "merchant@"+customerDomain, "--allow-private-targets")
	if err := json.Unmarshal([]byte(text), &out.created); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	out.client = client{base, out.created.APIKeys.Test}
	return &out
}
