package payment_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/purser-dev/purser/handlers/payment"
)

const (
	wholeStripe = `{"secret_key":"sk_test_51HiddenHiddenHidden4242","webhook_secrets":["whsec_AlsoHiddenAlsoHidden9876","whsec_1"]}`
	wholeBank   = `{"account_holder":" Analytical Engines ","iban":"de89 3704 0044 0532 0130 00","bic":"cobadeffxxx","bank_name":"Commerzbank","text":""}`
)

func TestParseConfig(t *testing.T) {
	t.Parallel()
	public, whole, err := payment.ParseConfig("stripe", json.RawMessage(wholeStripe))
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"mode":"test","secret_key":"…4242","webhook_secrets":["…9876","…"]}`; string(public) != want {
		t.Errorf("shown %s, want %s", public, want)
	}
	if string(whole) != wholeStripe {
		t.Errorf("kept %s", whole)
	}
	if live, _, err := payment.ParseConfig("stripe", json.RawMessage(strings.Replace(wholeStripe, "sk_test", "rk_live", 1))); err != nil || !strings.Contains(string(live), `"mode":"live"`) {
		t.Errorf("a live key is shown as %s, %v", live, err)
	}
	public, whole, err = payment.ParseConfig("bank_transfer", json.RawMessage(wholeBank))
	if want := `{"account_holder":"Analytical Engines","iban":"DE89370400440532013000","bic":"COBADEFFXXX","bank_name":"Commerzbank","text":""}`; err != nil || string(public) != want || string(whole) != want {
		t.Errorf("kept %s and %s, %v", public, whole, err)
	}
	for _, config := range []string{string(whole), wholeBank} {
		if g, err := payment.Open("bank_transfer", json.RawMessage(config)); err != nil || g.Name() != "bank_transfer" {
			t.Errorf("opened %v, %v", g, err)
		}
	}
}

func TestParseConfigRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ gateway, config, field string }{
		"nothing":                 {"stripe", ``, "config"},
		"null":                    {"stripe", `null`, "config"},
		"a list":                  {"stripe", `["sk_test_HiddenHidden"]`, "config"},
		"half an object":          {"stripe", `{"secret_key":"sk_test_HiddenHidden"`, "config"},
		"two objects":             {"stripe", wholeStripe + wholeStripe, "config"},
		"an unknown member":       {"stripe", `{"secret_key":"sk_test_HiddenHidden","webhook_secrets":["whsec_HiddenHidden"],"api_base":"x"}`, "config.api_base"},
		"a key of another kind":   {"stripe", `{"secret_key":"pk_test_HiddenHidden","webhook_secrets":["whsec_HiddenHidden"]}`, "config.secret_key"},
		"a number as a key":       {"stripe", `{"secret_key":5}`, "config.secret_key"},
		"no webhook secrets":      {"stripe", `{"secret_key":"sk_test_HiddenHidden"}`, "config.webhook_secrets"},
		"a wrong webhook secret":  {"stripe", `{"secret_key":"sk_test_HiddenHidden","webhook_secrets":["whsec_HiddenHidden","HiddenHidden"]}`, "config.webhook_secrets[1]"},
		"a webhook secret alone":  {"stripe", `{"secret_key":"sk_test_HiddenHidden","webhook_secrets":"whsec_HiddenHidden"}`, "config.webhook_secrets"},
		"an account of nobody":    {"bank_transfer", `{"iban":"DE89370400440532013000"}`, "config.account_holder"},
		"a mistyped IBAN":         {"bank_transfer", `{"account_holder":"A","iban":"DE89370400440532013001"}`, "config.iban"},
		"an unknown bank member":  {"bank_transfer", `{"account_holder":"A","iban":"DE89370400440532013000","swift":"HiddenHidden"}`, "config.swift"},
		"a gateway without a way": {"cash", `{}`, ""},
		"the test gateway":        {"test", `{}`, ""},
	} {
		_, _, err := payment.ParseConfig(c.gateway, json.RawMessage(c.config))
		field, is := errors.AsType[payment.FieldError](err)
		if err == nil || is != (c.field != "") || field.Field != c.field {
			t.Errorf("%s: %v, want field %q", name, err, c.field)
		}
		if err != nil && strings.Contains(err.Error(), "Hidden") {
			t.Errorf("%s: the error tells a secret: %v", name, err)
		}
	}
}

func TestTakes(t *testing.T) {
	t.Parallel()
	for _, gateway := range []string{"stripe", "bank_transfer", "test", ""} {
		for _, m := range payment.Methods() {
			want := gateway == "stripe" && m.Name == "card" || gateway == "bank_transfer" && m.Name == "bank_transfer"
			if payment.Takes(gateway, m.Name) != want {
				t.Errorf("%q takes %s: %v", gateway, m.Name, !want)
			}
		}
	}
}

func TestFindingGateways(t *testing.T) {
	t.Parallel()
	own, err := payment.NewTest(payment.TestConfig{PageURL: "https://purser.test/gateway/test", CallbackSecret: make([]byte, 32)})
	if err != nil {
		t.Fatal(err)
	}
	gone := errors.New("no such method")
	all := payment.Gateways{Own: map[string]payment.Gateway{"test": own}, Config: func(_ context.Context, id string) (string, json.RawMessage, error) {
		switch id {
		case "pmt_stripe":
			return "stripe", json.RawMessage(wholeStripe), nil
		case "pmt_bad":
			return "stripe", json.RawMessage(`{"secret_key":"HiddenHidden","webhook_secrets":[]}`), nil
		}
		return "", nil, gone
	}}
	if g, err := all.Find(t.Context(), "test", ""); err != nil || g != payment.Gateway(own) {
		t.Errorf("found %v, %v", g, err)
	}
	if g, err := all.Find(t.Context(), "stripe", "pmt_stripe"); err != nil || g.Name() != "stripe" {
		t.Errorf("found %v, %v", g, err)
	}
	if _, err := all.Find(t.Context(), "stripe", "pmt_other"); !errors.Is(err, gone) {
		t.Errorf("a method that is not there: %v", err)
	}
	for _, c := range [][2]string{{"stripe", ""}, {"test", "pmt_stripe"}, {"bank_transfer", "pmt_stripe"}, {"stripe", "pmt_bad"}} {
		_, err := all.Find(t.Context(), c[0], c[1])
		if _, field := errors.AsType[payment.FieldError](err); err == nil || field || strings.Contains(err.Error(), "Hidden") {
			t.Errorf("%v: %v", c, err)
		}
	}
}
