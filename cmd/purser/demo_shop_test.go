package main

import (
	"strings"
	"testing"

	"github.com/purser-dev/purser/api"
	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

func TestDemoShopIsSetUpOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		ctx, dir := t.Context(), t.TempDir()
		seed, err := seedDemo(ctx, s, dir, "http://127.0.0.1:1000")
		if err != nil {
			t.Fatal(err)
		}
		live := models.Scope{MerchantID: seed.Merchant}
		if _, err := s.UpdateOffer(ctx, live, offersOf(t, s, live)[0].ID, models.OfferPatch{Title: models.Some("Changed by hand")}); err != nil {
			t.Fatal(err)
		}
		// A start that was cut off before the credentials were kept, and one on another port.
		if _, err := seedDemo(ctx, s, t.TempDir(), "http://127.0.0.1:1000"); err != nil {
			t.Fatal(err)
		}
		if _, err := seedDemo(ctx, s, dir, "http://127.0.0.1:2000"); err != nil {
			t.Fatal(err)
		}
		offers := offersOf(t, s, live)
		if len(offers) != 2 || !strings.Contains(offers[0].Title+offers[1].Title, "Changed by hand") || offers[0].Kind == offers[1].Kind {
			t.Errorf("offers %+v", offers)
		}
		coupons, _, err := s.Coupons(ctx, live, models.Page{})
		if err != nil || len(coupons) != 1 || *coupons[0].Code != "WELCOME10" || !coupons[0].Active {
			t.Errorf("coupons %+v, %v", coupons, err)
		}
		choices, err := s.PayChoices(ctx, seed.scope(), "EUR")
		if err != nil || len(choices) != 2 || choices[0].Gateway != models.GatewayTest || choices[1].Gateway != models.GatewayBankTransfer {
			t.Errorf("payment methods in EUR %+v, %v", choices, err)
		}
		if choices, err = s.PayChoices(ctx, seed.scope(), "JPY"); err != nil || len(choices) != 1 {
			t.Errorf("payment methods in JPY %+v, %v", choices, err)
		}
		v, err := s.Settings(ctx, seed.Merchant)
		if err != nil {
			t.Fatal(err)
		}
		want := models.Branding{
			Color: "#4338ca", LogoURL: "http://127.0.0.1:2000" + api.DemoLogo,
			TermsURL: "http://127.0.0.1:2000" + api.DemoTerms, PrivacyURL: "http://127.0.0.1:2000" + api.DemoPrivacy,
		}
		if v.Branding != want || v.SupportEmail == "" || !v.Tax.Inclusive || v.Live ||
			v.TermsVersion != api.DemoTextsVersion || v.PrivacyVersion != api.DemoTextsVersion {
			t.Errorf("settings %+v", v)
		}
	})
}

func TestDemoBrandingLeavesWhatSomebodyChose(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		ctx, dir := t.Context(), t.TempDir()
		seed, err := seedDemo(ctx, s, dir, "http://127.0.0.1:1000")
		if err != nil {
			t.Fatal(err)
		}
		own := models.Branding{Color: "#ffcc00", TermsURL: "https://shop.example/terms"}
		if _, err := s.UpdateSettings(ctx, seed.scope(), models.SettingsPatch{Branding: models.Some(own), TermsVersion: models.Some("3"), PrivacyVersion: models.Some("")}); err != nil {
			t.Fatal(err)
		}
		if _, err := seedDemo(ctx, s, dir, "http://127.0.0.1:2000"); err != nil {
			t.Fatal(err)
		}
		if v, err := s.Settings(ctx, seed.Merchant); err != nil || v.Branding != own || v.TermsVersion != "3" || v.PrivacyVersion != "" {
			t.Errorf("%+v, %v", v, err)
		}
	})
}

func offersOf(t *testing.T, s *models.Store, sc models.Scope) []*models.OfferView {
	t.Helper()
	offers, _, err := s.Offers(t.Context(), sc, models.Page{})
	if err != nil || len(offers) == 0 {
		t.Fatalf("offers %v, %v", offers, err)
	}
	return offers
}
