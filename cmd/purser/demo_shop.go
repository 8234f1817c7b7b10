package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"

	"github.com/purser-dev/purser/api"
	"github.com/purser-dev/purser/handlers/payment"
	"github.com/purser-dev/purser/models"
)

// demoAccount is an account that banks publish as an example and that nobody has.
const demoAccount = `{"account_holder":"Nordlicht Software GmbH","iban":"DE89370400440532013000","bic":"COBADEFFXXX","bank_name":"Beispielbank",
"text":"This is a demo: do not transfer any money."}`

// demoShop sets up what the storefront shows and the checkout offers, as far as it is not there yet.
func demoShop(ctx context.Context, store *models.Store, merchantID string) error {
	live, test := models.Scope{MerchantID: merchantID}, models.Scope{MerchantID: merchantID, Test: true}
	rates := []models.TaxRate{}
	for _, r := range []struct {
		country string
		percent int
	}{{"AT", 20}, {"BE", 21}, {"DE", 19}, {"ES", 21}, {"FR", 20}, {"GB", 20}, {"IT", 22}, {"NL", 21}, {"PL", 23}, {"SE", 25}} {
		rates = append(rates, models.TaxRate{Country: r.country, RateBP: r.percent * 100})
	}
	if _, err := store.UpdateSettings(ctx, live, models.SettingsPatch{
		SupportEmail: models.Some("support@demo.example"), RefundRequests: models.Some(true),
		Tax: models.Some(models.Tax{Inclusive: true, Country: "DE", Rates: rates}),
	}); err != nil {
		return fmt.Errorf("settings: %w", err)
	}
	ten := 1000
	if _, err := store.CreateCoupon(ctx, live, models.CouponInput{
		Code: "WELCOME10", Name: "Welcome", PercentBP: &ten, Active: true,
	}); err != nil && models.CodeOf(err) != models.CodeConflict {
		return fmt.Errorf("coupon: %w", err)
	}
	if err := demoOffers(ctx, store, live); err != nil {
		return fmt.Errorf("offers: %w", err)
	}
	if err := demoBankTransfer(ctx, store, test); err != nil {
		return fmt.Errorf("bank transfer: %w", err)
	}
	return nil
}

func demoOffers(ctx context.Context, store *models.Store, sc models.Scope) error {
	there, _, err := store.Offers(ctx, sc, models.Page{Limit: 1})
	if err != nil || len(there) > 0 {
		return err
	}
	for _, o := range []models.OfferInput{
		{
			Kind: models.OfferReplace, Trigger: "editor-pro", Product: "studio", PercentBP: 2000, Title: "Studio instead, 20% off",
			Description: "Everything that Editor Pro does, and the rest of the workshop.",
		},
		{
			Kind: models.OfferAddon, Trigger: "editor-pro", Product: "viewer", PercentBP: 5000, Title: "Viewer at half the price",
			Description: "For those to whom you send what you have written.",
		},
	} {
		o.Active = true
		if _, err := store.CreateOffer(ctx, sc, o); err != nil {
			return err
		}
	}
	return nil
}

// demoBankTransfer offers a way to pay that is not at once, beside the cards of the test gateway.
func demoBankTransfer(ctx context.Context, store *models.Store, sc models.Scope) error {
	there, _, err := store.PaymentMethods(ctx, sc, models.Page{Limit: 1})
	if err != nil || len(there) > 0 {
		return err
	}
	public, whole, err := payment.ParseConfig(models.GatewayBankTransfer, json.RawMessage(demoAccount))
	if err != nil {
		return err
	}
	_, err = store.CreatePaymentMethod(ctx, sc, models.PaymentMethodInput{
		Method: payment.MethodBankTransfer, Gateway: models.GatewayBankTransfer, Currencies: []string{"EUR"}, Public: public, Whole: whole, Active: true, Position: 1,
	})
	return err
}

// demoBranding lets the merchant's pages lead to the demo's own texts, with their version, and logo, also when the demo has moved to another port. What
// somebody has put there instead is left alone.
func demoBranding(ctx context.Context, store *models.Store, merchantID, publicURL string) error {
	v, err := store.Settings(ctx, merchantID)
	if err != nil {
		return err
	}
	b := v.Branding
	if b == (models.Branding{}) {
		b = models.Branding{Color: "#4338ca", LogoURL: publicURL + api.DemoLogo, TermsURL: publicURL + api.DemoTerms, PrivacyURL: publicURL + api.DemoPrivacy}
	}
	for _, address := range []*string{&b.LogoURL, &b.TermsURL, &b.PrivacyURL} {
		if u, err := url.Parse(*address); err == nil && slices.Contains([]string{api.DemoLogo, api.DemoTerms, api.DemoPrivacy}, u.Path) {
			*address = publicURL + u.Path
		}
	}
	terms, privacy := v.TermsVersion, v.PrivacyVersion
	if terms == "" && b.TermsURL == publicURL+api.DemoTerms {
		terms = api.DemoTextsVersion
	}
	if privacy == "" && b.PrivacyURL == publicURL+api.DemoPrivacy {
		privacy = api.DemoTextsVersion
	}
	if b == v.Branding && terms == v.TermsVersion && privacy == v.PrivacyVersion {
		return nil
	}
	_, err = store.UpdateSettings(ctx, models.Scope{MerchantID: merchantID}, models.SettingsPatch{
		Branding: models.Some(b), TermsVersion: models.Some(terms), PrivacyVersion: models.Some(privacy),
	})
	return err
}
