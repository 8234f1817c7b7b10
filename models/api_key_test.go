package models_test

import (
	"strings"
	"testing"

	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

func TestAPIKeys(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop, other := storetest.Merchant(t, s), storetest.Merchant(t, s)
		key, secret, err := s.CreateAPIKey(t.Context(), shop.Live, " CI ")
		if err != nil {
			t.Fatal(err)
		}
		if key.Name != "CI" || key.Test || key.Last4 != secret[len(secret)-4:] || !strings.HasPrefix(secret, "psk_live_") {
			t.Errorf("made %+v", key)
		}
		p := ok(s.Authenticate(t.Context(), secret))(t)
		if p.KeyID != key.ID || p.Scope != shop.Live || p.Actor() != "api_key:"+key.ID {
			t.Errorf("authenticated as %+v", p)
		}
		list := ok(s.ListAPIKeys(t.Context(), shop.ID))(t)
		if len(list) != 3 || list[2].ID != key.ID {
			t.Errorf("listed %+v", list)
		}
		if text := toJSON(t, list); strings.Contains(text, secret) || strings.Contains(text, key.Digest) {
			t.Error("the list shows a secret or its digest")
		}

		wantCode(t, s.RevokeAPIKey(t.Context(), other.ID, key.ID), models.CodeNotFound)
		ok(s.Authenticate(t.Context(), secret))(t)
		for range 2 {
			if err := s.RevokeAPIKey(t.Context(), shop.ID, key.ID); err != nil {
				t.Fatal(err)
			}
		}
		// Another process refuses it just as soon.
		for _, store := range []*models.Store{s, storetest.Again(t, s)} {
			_, err = store.Authenticate(t.Context(), secret)
			wantCode(t, err, models.CodeUnauthorized)
			if _, err := store.Authenticate(t.Context(), shop.LiveKey); err != nil {
				t.Errorf("the merchant's other key: %v", err)
			}
		}
		if list := ok(s.ListAPIKeys(t.Context(), shop.ID))(t); list[2].RevokedAt == nil || list[0].RevokedAt != nil {
			t.Errorf("after revoking: %+v", list)
		}
	})
}

func TestAuthenticateRefuses(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		shop := storetest.Merchant(t, s)
		for _, secret := range []string{
			"", "psk_", "psk_live_", "psk_test_" + strings.Repeat("A", 43), strings.ToLower(shop.TestKey), shop.TestKey + "x", shop.TestKey[:len(shop.TestKey)-1],
			strings.Replace(shop.TestKey, "test", "live", 1), " " + shop.TestKey, "psk_live_\x00", "psk_live_\xff", "psk_live_" + strings.Repeat("A", 1<<16), "pss_" + shop.TestKey[9:],
		} {
			_, err := s.Authenticate(t.Context(), secret)
			wantCode(t, err, models.CodeUnauthorized)
			if err != nil && secret != "" && strings.Contains(err.Error(), secret) {
				t.Error("the error repeats the secret")
			}
		}
		_, _, err := s.CreateAPIKey(t.Context(), models.Scope{MerchantID: "mer_00000000000000000000000000"}, "")
		wantCode(t, err, models.CodeNotFound)
		_, _, err = s.CreateAPIKey(t.Context(), shop.Live, strings.Repeat("x", 101))
		wantFields(t, err, "name")
	})
}
