package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

const demoURL = "http://127.0.0.1:1000"

// inventory is what the demo has made, in numbers.
type inventory struct {
	merchants, products, offers, coupons, endpoints, keysForSale int
}

func takeInventory(t *testing.T, s *models.Store, seed *demoSeed) inventory {
	t.Helper()
	ctx, live := t.Context(), models.Scope{MerchantID: seed.Merchant}
	products, _, err := s.Products(ctx, live, models.ProductFilter{}, models.Page{Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	coupons, _, err := s.Coupons(ctx, live, models.Page{Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	endpoints, _, err := s.WebhookEndpoints(ctx, seed.scope(), models.Page{Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	pool, err := s.PoolSummary(ctx, seed.scope(), "editor-pro")
	if err != nil {
		t.Fatal(err)
	}
	return inventory{
		storetest.Count(t, s, "SELECT COUNT(*) FROM merchants"), len(products), len(offersOf(t, s, live)), len(coupons), len(endpoints), pool.Available,
	}
}

// usable checks that the credentials of the file are good, and that the file is private.
func usable(t *testing.T, s *models.Store, dir string, seed *demoSeed) {
	t.Helper()
	for key, mode := range map[string]bool{seed.APIKeyTest: true, seed.APIKeyLive: false} {
		if p, err := s.Authenticate(t.Context(), key); err != nil || p.Scope != (models.Scope{MerchantID: seed.Merchant, Test: mode}) {
			t.Errorf("a key of mode test %v: %+v, %v", mode, p, err)
		}
	}
	if _, a, err := s.SignInOperator(t.Context(), seed.OperatorEmail, seed.OperatorPassword); err != nil || a.Role != models.RoleAdmin {
		t.Errorf("sign in: %+v, %v", a, err)
	}
	kept, err := readSeed(filepath.Join(dir, demoFile))
	if err != nil {
		t.Fatal(err)
	}
	kept.endpoint = seed.endpoint // which the file does not have
	if *kept != *seed {
		t.Errorf("the file has %+v, want %+v", kept, seed)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Fatalf("the data directory has %v, %v", entries, err)
	}
	if info, err := entries[0].Info(); err != nil || info.Mode() != 0o600 {
		t.Errorf("the file has mode %v, %v", info.Mode(), err)
	}
}

func TestSeedDemoIsRepeatable(t *testing.T) {
	t.Parallel()
	s, dir := storetest.Open(t, "sqlite"), t.TempDir()
	first, err := seedDemo(t.Context(), s, dir, demoURL)
	if err != nil {
		t.Fatal(err)
	}
	usable(t, s, dir, first)
	made := takeInventory(t, s, first)
	if made.products < 3 || made.keysForSale != demoPoolKeys || made.endpoints != 1 || made.merchants != 1 {
		t.Errorf("made %+v", made)
	}
	for range 2 {
		again, err := seedDemo(t.Context(), s, dir, demoURL)
		if err != nil || *again != *first {
			t.Errorf("the credentials were %+v and are %+v, %v", first, again, err)
		}
	}
	if again := takeInventory(t, s, first); again != made {
		t.Errorf("made %+v at first, %+v in the end", made, again)
	}
	usable(t, s, dir, first)
}

// TestSeedDemoCutOff cuts the seeding off behind each of its commits in turn. The next start makes a demo out of what there is that is
// like any other.
func TestSeedDemoCutOff(t *testing.T) {
	t.Parallel()
	whole := storetest.Open(t, "sqlite")
	seed, err := seedDemo(t.Context(), whole, t.TempDir(), demoURL)
	if err != nil {
		t.Fatal(err)
	}
	want := takeInventory(t, whole, seed)
	cuts := 0
	for done := false; !done; cuts++ {
		s, dir := storetest.Open(t, "sqlite"), t.TempDir()
		ctx, cancel := context.WithCancel(t.Context())
		left := cuts
		s.OnCommit(func(...jobs.Handover) {
			if left--; left < 0 {
				cancel()
			}
		})
		_, err := seedDemo(ctx, s, dir, demoURL)
		done = err == nil
		cancel()
		s.OnCommit(func(...jobs.Handover) {})
		seed, err := seedDemo(t.Context(), s, dir, demoURL)
		if err != nil {
			t.Fatalf("after commit %d: %v", cuts+1, err)
		}
		usable(t, s, dir, seed)
		if got := takeInventory(t, s, seed); got != want {
			t.Errorf("after commit %d: %+v, want %+v", cuts+1, got, want)
		}
	}
	if cuts < 3 {
		t.Errorf("only %d commits: nothing was cut off", cuts)
	}
}

// TestSeedDemoWithoutItsFile is a start that was cut off when everything was made but the file, and one after somebody removed it.
func TestSeedDemoWithoutItsFile(t *testing.T) {
	t.Parallel()
	s, dir := storetest.Open(t, "sqlite"), t.TempDir()
	first, err := seedDemo(t.Context(), s, dir, demoURL)
	if err != nil {
		t.Fatal(err)
	}
	made := takeInventory(t, s, first)
	// Meanwhile the merchant went live, and a test key may no longer change the catalogue.
	if _, err := s.UpdateSettings(t.Context(), models.Scope{MerchantID: first.Merchant}, models.SettingsPatch{Live: models.Some(true)}); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, demoFile)); err != nil {
		t.Fatal(err)
	}
	second, err := seedDemo(t.Context(), s, dir, demoURL)
	if err != nil {
		t.Fatal(err)
	}
	if second.Merchant != first.Merchant || second.APIKeyTest == first.APIKeyTest || second.OperatorPassword == first.OperatorPassword {
		t.Errorf("want new credentials of the same merchant: %+v, %+v", first, second)
	}
	usable(t, s, dir, second)
	if got := takeInventory(t, s, second); got != made {
		t.Errorf("made %+v at first, %+v in the end", made, got)
	}
}

func TestSeedDemoWithADamagedFile(t *testing.T) {
	t.Parallel()
	s, dir := storetest.Open(t, "sqlite"), t.TempDir()
	path := filepath.Join(dir, demoFile)
	writeFile(t, path, `{"merchant":`)
	if _, err := seedDemo(t.Context(), s, dir, demoURL); err == nil || !strings.Contains(err.Error(), path+" is damaged") {
		t.Errorf("got %v", err)
	}
	if n := storetest.Count(t, s, "SELECT COUNT(*) FROM merchants"); n != 0 {
		t.Errorf("%d merchants were made", n)
	}
}

// TestDemoMovesToAnotherPort: the demo's receiver goes where the demo goes, and what the merchant added stays where it is.
func TestDemoMovesToAnotherPort(t *testing.T) {
	t.Parallel()
	s, dir := storetest.Open(t, "sqlite"), t.TempDir()
	seed, err := seedDemo(t.Context(), s, dir, demoURL)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := seed.webhookSecret(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	own, err := s.CreateWebhookEndpoint(t.Context(), seed.scope(), models.WebhookEndpointInput{URL: "https://shop.example/hooks", Secret: secret})
	if err != nil {
		t.Fatal(err)
	}
	for _, port := range []int{2000, 3000, 3000} {
		moved, err := seedDemo(t.Context(), s, dir, fmt.Sprintf("http://127.0.0.1:%d", port))
		if err != nil || *moved != *seed {
			t.Fatalf("on port %d: %+v, %v", port, moved, err)
		}
		endpoints, _, err := s.WebhookEndpoints(t.Context(), seed.scope(), models.Page{Limit: 100})
		if err != nil {
			t.Fatal(err)
		}
		var addresses []string
		for _, w := range endpoints {
			addresses = append(addresses, w.ID+" "+w.URL)
		}
		want := []string{own.ID + " https://shop.example/hooks", fmt.Sprintf("%s http://127.0.0.1:%d/demo/webhooks", seed.endpoint, port)}
		if slices.Sort(addresses); !slices.Equal(addresses, slices.Sorted(slices.Values(want))) {
			t.Errorf("on port %d: %q, want %q", port, addresses, want)
		}
		if now, err := moved.webhookSecret(t.Context(), s); err != nil || now != secret {
			t.Errorf("on port %d the receiver has another secret, %v", port, err)
		}
	}
}
