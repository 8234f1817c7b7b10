package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/purser-dev/purser/api"
	"github.com/purser-dev/purser/handlers/license"
	"github.com/purser-dev/purser/handlers/webhook"
	"github.com/purser-dev/purser/models"
)

// demoFile keeps the demo's credentials in the data directory, readable by its owner only.
const demoFile = "demo.json"

const (
	demoReceiver = "Built-in receiver of the demo"
	demoPoolKeys = 100
)

// demoSeed is the content of the demo's file.
type demoSeed struct {
	Merchant         string `json:"merchant"`
	APIKeyTest       string `json:"api_key_test"`
	APIKeyLive       string `json:"api_key_live"`
	OperatorEmail    string `json:"operator_email"`
	OperatorPassword string `json:"operator_password"`

	endpoint string // the id of the webhook endpoint that is the built-in receiver
}

func (d *demoSeed) scope() models.Scope { return models.Scope{MerchantID: d.Merchant, Test: true} }

// webhookSecret is the secret by which the built-in receiver checks signatures.
func (d *demoSeed) webhookSecret(ctx context.Context, store *models.Store) (string, error) {
	return store.WebhookSecret(ctx, d.scope(), d.endpoint)
}

// seedDemo makes the demo merchant at the first start and only looks after the addresses of the demo's own pages at later ones.
// Safe to repeat: a start that was cut off is completed by the next, with new credentials where the old ones were not written down.
func seedDemo(ctx context.Context, store *models.Store, dir, publicURL string) (*demoSeed, error) {
	path := filepath.Join(dir, demoFile)
	seed, err := readSeed(path)
	if errors.Is(err, fs.ErrNotExist) {
		// In one transaction, so that a start that is cut off leaves no half of a shop, which the next one would take for what
		// somebody has made of the whole.
		err = store.Transaction(ctx, func(ctx context.Context) (err error) {
			seed, err = makeSeed(ctx, store)
			return err
		})
		if err == nil {
			err = writeSeed(path, seed)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	if err = demoBranding(ctx, store, seed.Merchant, publicURL); err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	if seed.endpoint, err = demoEndpoint(ctx, store, seed.scope(), publicURL+"/demo/webhooks"); err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	return seed, nil
}

func readSeed(path string) (*demoSeed, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var seed demoSeed
	if err := json.Unmarshal(content, &seed); err != nil {
		return nil, fmt.Errorf("%s is damaged; remove it to get new credentials: %w", path, err)
	}
	return &seed, nil
}

func writeSeed(path string, seed *demoSeed) error {
	content, err := json.MarshalIndent(seed, "", "  ")
	if err != nil {
		return err
	}
	temp, err := os.CreateTemp(filepath.Dir(path), demoFile+".*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(temp.Name()) }() // of a rename that did not come about
	_, err = temp.Write(append(content, '\n'))
	if err = errors.Join(err, temp.Sync(), temp.Close()); err != nil {
		return err
	}
	if err := os.Rename(temp.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func makeSeed(ctx context.Context, store *models.Store) (*demoSeed, error) {
	seed := &demoSeed{OperatorPassword: newPassword()}
	merchant, err := store.MerchantBySlug(ctx, api.DemoSlug)
	switch {
	case err == nil:
		if _, seed.APIKeyLive, err = store.CreateAPIKey(ctx, models.Scope{MerchantID: merchant.ID}, "demo"); err != nil {
			return nil, err
		}
		if _, seed.APIKeyTest, err = store.CreateAPIKey(ctx, models.Scope{MerchantID: merchant.ID, Test: true}, "demo"); err != nil {
			return nil, err
		}
	case models.CodeOf(err) == models.CodeNotFound:
		merchant, seed.APIKeyLive, seed.APIKeyTest, err = store.CreateMerchant(ctx, models.MerchantInput{
			Name: "Nordlicht Software", Email: "merchant@demo.example", Slug: api.DemoSlug, AllowPrivateTargets: true,
		})
		if err != nil {
			return nil, err
		}
	default:
		return nil, err
	}
	seed.Merchant = merchant.ID
	if err := demoProducts(ctx, store, merchant.ID); err != nil {
		return nil, err
	}
	if err := demoShop(ctx, store, merchant.ID); err != nil {
		return nil, err
	}
	seed.OperatorEmail = "operator@demo.example"
	if _, err = store.CreateOperator(ctx, seed.OperatorEmail, models.RoleAdmin, seed.OperatorPassword); models.CodeOf(err) == models.CodeConflict {
		seed.OperatorEmail = fmt.Sprintf("operator-%d@demo.example", time.Now().Unix())
		_, err = store.CreateOperator(ctx, seed.OperatorEmail, models.RoleAdmin, seed.OperatorPassword)
	}
	return seed, err
}

// demoProducts are one product for each way of producing licences, as far as they are not there yet. The catalogue is written in live
// mode, because a merchant that has gone live takes it from there only; the keys are for test orders.
func demoProducts(ctx context.Context, store *models.Store, merchantID string) error {
	live, test := models.Scope{MerchantID: merchantID}, models.Scope{MerchantID: merchantID, Test: true}
	for _, p := range []models.ProductInput{
		{
			SKU: "editor-pro", Name: "Editor Pro", LicenseMethod: models.MethodPool, License: json.RawMessage(`{"low_threshold":5}`),
			Description: "The text editor for people who write all day. A key from the merchant's own list.",
			Prices:      []models.PriceView{{Currency: "EUR", Amount: 4900}, {Currency: "USD", Amount: 5900}, {Currency: "GBP", Amount: 4500}, {Currency: "JPY", Amount: 7800}},
		},
		{
			SKU: "viewer", Name: "Viewer", LicenseMethod: models.MethodTemplate, License: json.RawMessage(`{"pattern":"` + license.DefaultPattern + `"}`),
			Description: "Opens every format, changes none. A key made from a pattern when the order is paid.",
			Prices:      []models.PriceView{{Currency: "EUR", Amount: 1900}, {Currency: "USD", Amount: 2200}, {Currency: "GBP", Amount: 1700}, {Currency: "JPY", Amount: 2900}},
		},
		{
			SKU: "studio", Name: "Studio", LicenseMethod: models.MethodSigned, License: json.RawMessage(`{}`),
			Description: "The whole workshop. A signed licence that the program verifies offline.",
			Prices:      []models.PriceView{{Currency: "EUR", Amount: 12900}, {Currency: "USD", Amount: 14900}, {Currency: "GBP", Amount: 11900}, {Currency: "JPY", Amount: 19800}},
		},
	} {
		p.ShowLicenseOnOrderPage = new(true)
		if _, err := store.CreateProduct(ctx, live, p); err != nil && models.CodeOf(err) != models.CodeConflict {
			return err
		}
	}
	pool, err := store.PoolSummary(ctx, test, "editor-pro")
	if err != nil || pool.Available > 0 {
		return err
	}
	pattern, err := license.ParsePattern("EDITOR-" + license.DefaultPattern)
	if err != nil {
		return err
	}
	keys := make([]string, demoPoolKeys)
	for i := range keys {
		if keys[i], err = pattern.Generate(rand.Reader); err != nil {
			return err
		}
	}
	_, err = store.AddPoolKeys(ctx, test, "editor-pro", keys)
	return err
}

// demoEndpoint lets the demo's events go to the built-in receiver, also when the demo has moved to another port.
func demoEndpoint(ctx context.Context, store *models.Store, sc models.Scope, url string) (id string, err error) {
	endpoints, _, err := store.WebhookEndpoints(ctx, sc, models.Page{Limit: 100})
	if err != nil {
		return "", err
	}
	for _, w := range endpoints {
		if w.Description != demoReceiver {
			continue
		}
		if w.URL != url {
			_, err = store.UpdateWebhookEndpoint(ctx, sc, w.ID, models.WebhookEndpointPatch{URL: models.Some(url)})
		}
		return w.ID, err
	}
	made, err := store.CreateWebhookEndpoint(ctx, sc, models.WebhookEndpointInput{
		URL: url, Events: []string{"*"}, Description: demoReceiver, Secret: webhook.NewSecret(),
	})
	if err != nil {
		return "", err
	}
	return made.ID, nil
}

// banner tells a newcomer what to look at: every page that there is. The mailbox is there unless emails go to a server.
func (d *demoSeed) banner(w io.Writer, base, ops string, mailbox bool) {
	emails := ""
	if mailbox {
		emails = base + "/mailbox"
	}
	rows := [][2]string{
		{"Storefront", base + "/demo"},
		{"Checkout link", base + "/buy/demo/editor-pro"},
		{"Cart", base + "/checkout/demo"},
		{"Lost licences", base + "/lost/demo"},
		{"API reference", base + "/docs"},
		{"OpenAPI", base + "/openapi.json"},
		{"Emails", emails},
		{"Webhooks", base + "/demo/webhooks"},
		{"Jobs (Asynqmon)", base + "/asynqmon"},
		{"Operators", base + "/operator"},
		{"Health", base + "/healthz, " + base + "/readyz"},
		{"Metrics", ops + "/metrics"},
		{"", ""},
		{"Operator", d.OperatorEmail},
		{"Password", d.OperatorPassword},
		{"API key (test)", d.APIKeyTest},
		{"API key (live)", d.APIKeyLive},
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n  Purser is running at %s\n\n", base)
	for _, r := range rows {
		switch {
		case r[0] == "":
			b.WriteByte('\n')
		case r[1] != "":
			fmt.Fprintf(&b, "  %-16s %s\n", r[0], r[1])
		}
	}
	b.WriteString("\n  Everything is kept in the data directory; Ctrl-C stops, the next start goes on.\n\n")
	_, _ = io.WriteString(w, b.String())
}
