package main

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/purser-dev/purser/models"
)

// TestMerchantCreate holds the output to its published form, to the letter, because scripts read it.
func TestMerchantCreate(t *testing.T) {
	eachDatabase(t, func(t *testing.T, s *site) {
		s.does(t, "migrate", "up")
		out := s.does(t, "merchant", "create", "--name", "Fjäril & Co", "--email", "orders@fjaril.example")
		form := regexp.MustCompile(`^\{"merchant":\{"id":"(mer_[0-9a-z]{26})","slug":"([a-z0-9-]+)"\},"api_keys":\{"live":"(psk_live_[A-Za-z0-9_-]{43})","test":"(psk_test_[A-Za-z0-9_-]{43})"\}\}\n$`)
		got := form.FindStringSubmatch(out)
		if got == nil {
			t.Fatalf("got %q, want the form %s", out, form)
		}
		id, slug, live, test := got[1], got[2], got[3], got[4]
		if slug != "fjaril-co" {
			t.Errorf("the slug is %q", slug)
		}
		store := s.store(t)
		for key, mode := range map[string]bool{live: false, test: true} {
			if p, err := store.Authenticate(t.Context(), key); err != nil || p.Scope != (models.Scope{MerchantID: id, Test: mode}) {
				t.Errorf("a key of mode test %v: %+v, %v", mode, p, err)
			}
		}
		if m, err := store.Merchant(t.Context(), id); err != nil || m.Name != "Fjäril & Co" || m.Email != "orders@fjaril.example" || m.AllowPrivateTargets {
			t.Errorf("%+v, %v", m, err)
		}

		var other createdMerchant
		if err := json.Unmarshal([]byte(s.does(t, "merchant", "create", "--name", "Fjäril & Co", "--email", "a@b.example", "--allow-private-targets")), &other); err != nil {
			t.Fatal(err)
		}
		if other.Merchant.Slug != "fjaril-co-2" {
			t.Errorf("another merchant of that name: %+v", other.Merchant)
		}
		if m, err := store.Merchant(t.Context(), other.Merchant.ID); err != nil || !m.AllowPrivateTargets {
			t.Errorf("%+v, %v", m, err)
		}
		if out := s.does(t, "merchant", "create", "--name", "N", "--email", "a@b.example", "--slug", "shop-7"); !strings.Contains(out, `"slug":"shop-7"`) {
			t.Errorf("got %s", out)
		}
		s.refuses(t, exitFailure, []string{"slug: is taken"}, "merchant", "create", "--name", "N", "--email", "a@b.example", "--slug", "shop-7")
		s.refuses(t, exitFailure, []string{"slug: must be"}, "merchant", "create", "--name", "N", "--email", "a@b.example", "--slug", "Shop!")
		s.refuses(t, exitFailure, []string{"name: ", "email: "}, "merchant", "create", "--name", " ", "--email", "nobody")
		s.refuses(t, exitUsage, []string{`required flag(s) "email" not set`, "`purser merchant create --help`"}, "merchant", "create", "--name", "N")
	})
}

// TestAPIKeys makes, lists and revokes keys beside a running API, which minds at once.
func TestAPIKeys(t *testing.T) {
	eachDatabase(t, func(t *testing.T, s *site) {
		base := s.serve(t, "run")
		var made createdMerchant
		if err := json.Unmarshal([]byte(s.does(t, "merchant", "create", "--name", "Example", "--email", "a@b.example")), &made); err != nil {
			t.Fatal(err)
		}
		merchant := made.Merchant.ID
		opens := func(key string, status int) {
			t.Helper()
			c := client{base, key}
			c.must(t, http.MethodGet, "/v1/orders", nil, nil, status)
		}
		for _, mode := range []string{"live", "test"} {
			args := []string{"key", "create", "--merchant", merchant, "--name", "storefront, " + mode}
			if mode == "test" {
				args = append(args, "--test")
			}
			var key struct {
				ID, Key string
				Test    bool
			}
			if err := json.Unmarshal([]byte(s.does(t, args...)), &key); err != nil || key.Test != (mode == "test") || !strings.HasPrefix(key.Key, "psk_"+mode+"_") {
				t.Fatalf("%+v, %v", key, err)
			}
			opens(key.Key, http.StatusOK)
			row := func() []string {
				t.Helper()
				list := s.does(t, "key", "list", "--merchant", merchant)
				hides(t, []string{key.Key, made.APIKeys.Live, made.APIKeys.Test}, map[string]string{"the list": list})
				for text := range strings.Lines(list) {
					if strings.HasPrefix(text, key.ID) {
						return strings.Fields(text)
					}
				}
				t.Fatalf("the list lacks %s:\n%s", key.ID, list)
				return nil
			}
			if got := row(); got[1] != mode || got[2] != key.Key[len(key.Key)-4:] || got[4] != "-" || strings.Join(got[5:], " ") != "storefront, "+mode {
				t.Errorf("listed as %q", got)
			}
			for range 2 { // the second time changes nothing
				if out := s.does(t, "key", "revoke", key.ID); out != key.ID+" is revoked\n" {
					t.Errorf("got %q", out)
				}
			}
			opens(key.Key, http.StatusUnauthorized)
			if got := row(); got[4] == "-" {
				t.Errorf("listed as %q", got)
			}
		}
		opens(made.APIKeys.Live, http.StatusOK)
		opens(made.APIKeys.Test, http.StatusOK)

		s.refuses(t, exitFailure, []string{"There is no such merchant."}, "key", "create", "--merchant", "mer_nobody")
		s.refuses(t, exitFailure, []string{"There is no such merchant."}, "key", "list", "--merchant", "mer_nobody")
		s.refuses(t, exitFailure, []string{"There is no such"}, "key", "revoke", "key_nothing")
		s.refuses(t, exitUsage, []string{"takes the id of a key"}, "key", "revoke")
		s.refuses(t, exitUsage, []string{`"merchant" not set`}, "key", "list")
	})
}
