package payment

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// The names of the gateways that merchants configure.
const (
	GatewayStripe       = "stripe"
	GatewayBankTransfer = MethodBankTransfer
)

// gatewayMethods is what each of the gateways that merchants configure takes.
var gatewayMethods = map[string][]string{
	GatewayStripe:       {MethodCard},
	GatewayBankTransfer: {MethodBankTransfer},
}

// Takes reports whether a gateway that merchants configure serves a payment method.
func Takes(gateway, method string) bool { return slices.Contains(gatewayMethods[gateway], method) }

// stripeSettings is a Stripe account as merchants write it.
type stripeSettings struct {
	SecretKey      string   `json:"secret_key"`
	WebhookSecrets []string `json:"webhook_secrets"`
}

// Open makes the gateway of a merchant's configuration, which [ParseConfig] has checked. It calls nobody. The error is a
// [FieldErrors] whose fields begin with "config", or says that there is no such gateway.
func Open(gateway string, config json.RawMessage) (Gateway, error) {
	switch gateway {
	case GatewayStripe:
		var c stripeSettings
		if err := readConfig(config, &c); err != nil {
			return nil, err
		}
		g, err := NewStripe(StripeConfig{SecretKey: c.SecretKey, WebhookSecrets: c.WebhookSecrets})
		if err != nil {
			return nil, inConfig(err)
		}
		return g, nil
	case GatewayBankTransfer:
		var c BankTransferConfig
		if err := readConfig(config, &c); err != nil {
			return nil, err
		}
		g, err := NewBankTransferGateway(c)
		if err != nil {
			return nil, inConfig(err)
		}
		return g, nil
	}
	return nil, fmt.Errorf("payment: there is no gateway %q that can be configured", gateway)
}

// ParseConfig checks a merchant's configuration of a gateway. whole is what [Open] needs, in the form that computers exchange; it
// has secrets. public is what may be shown. The error is as that of Open.
func ParseConfig(gateway string, raw json.RawMessage) (public, whole json.RawMessage, err error) {
	opened, err := Open(gateway, raw)
	if err != nil {
		return nil, nil, err
	}
	switch g := opened.(type) {
	case *BankTransferGateway:
		whole, err = json.Marshal(g.config)
		return whole, whole, err
	case *Stripe:
		var c stripeSettings
		if err := readConfig(raw, &c); err != nil {
			return nil, nil, err
		}
		if whole, err = json.Marshal(c); err != nil {
			return nil, nil, err
		}
		shown := struct {
			Mode           string   `json:"mode"`
			SecretKey      string   `json:"secret_key"`
			WebhookSecrets []string `json:"webhook_secrets"`
		}{Mode: "test", SecretKey: lastFour(c.SecretKey)}
		if g.live {
			shown.Mode = "live"
		}
		for _, secret := range c.WebhookSecrets {
			shown.WebhookSecrets = append(shown.WebhookSecrets, lastFour(secret))
		}
		public, err = json.Marshal(shown)
		return public, whole, err
	}
	return nil, nil, fmt.Errorf("payment: gateway %q has no configuration", gateway)
}

// minShown is the length of a secret from which on its last four characters give nothing away.
const minShown = 20

func lastFour(secret string) string {
	if len(secret) < minShown {
		return "…"
	}
	return "…" + secret[len(secret)-4:]
}

const configField = "config"

// inConfig puts the fields of a gateway's error below "config".
func inConfig(err error) error {
	var fields FieldErrors
	if !errors.As(err, &fields) {
		return err
	}
	out := make(FieldErrors, len(fields))
	for i, f := range fields {
		out[i] = FieldError{configField + "." + f.Field, f.Message}
	}
	return out
}

// readConfig reads one JSON object without unknown members. Its errors never repeat what was read.
func readConfig(raw json.RawMessage, into any) error {
	wrong := func(field, message string) error { return FieldErrors{{field, message}} }
	if text := bytes.TrimSpace(raw); len(text) == 0 || text[0] != '{' {
		return wrong(configField, "must be an object")
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	err := dec.Decode(into)
	if err == nil {
		if _, err := dec.Token(); !errors.Is(err, io.EOF) {
			return wrong(configField, "must be one object")
		}
		return nil
	}
	if kind, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return wrong(configField+"."+kind.Field, "must be "+jsonKind(kind.Type.Kind().String()))
	}
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return wrong(configField+"."+strings.Trim(name, `"`), "is not known here")
	}
	return wrong(configField, "must be an object")
}

func jsonKind(kind string) string {
	switch kind {
	case "string":
		return "a string"
	case "slice":
		return "an array"
	}
	return "an object"
}

// Gateways finds the gateway of a payment.
type Gateways struct {
	// Own are the gateways that need no merchant's configuration, by name.
	Own map[string]Gateway
	// Config returns the configuration of a merchant's payment method, and the gateway that it is for.
	Config func(ctx context.Context, methodID string) (gateway string, config json.RawMessage, err error)
	// Open makes a gateway of a configuration; the function of that name when nil.
	Open func(gateway string, config json.RawMessage) (Gateway, error)
}

// sampleAccount is what transfers of test orders go to until the merchant has set up an account. Its IBAN is the example of the
// German standard, whose bank has no such account.
var sampleAccount = &BankTransferGateway{BankTransferConfig{
	AccountHolder: "TEST ACCOUNT", IBAN: "DE89370400440532013000", BIC: "COBADEFFXXX", BankName: "Test Bank",
	Text: "This is a test order: do not send money.",
}}

// Find returns the gateway of the given name: without a merchant's payment method one of Own, or the sample account for transfers;
// else the one that the method configures. What Config ends with is returned as it is. A configuration that can no longer be opened is an error that quotes
// nothing of it.
func (g Gateways) Find(ctx context.Context, name, methodID string) (Gateway, error) {
	if methodID == "" {
		if own, ok := g.Own[name]; ok {
			return own, nil
		}
		if name == GatewayBankTransfer {
			return sampleAccount, nil
		}
		return nil, fmt.Errorf("there is no gateway %s", name)
	}
	configured, config, err := g.Config(ctx, methodID)
	if err != nil {
		return nil, err
	}
	if configured != name {
		return nil, fmt.Errorf("payment: the payment method %s is one of gateway %q", methodID, configured)
	}
	open := g.Open
	if open == nil {
		open = Open
	}
	found, err := open(name, config)
	if err != nil {
		// Not wrapped: whoever pays has not written the configuration, and is not told what is wrong with it.
		return nil, fmt.Errorf("payment: the configuration of the payment method %s cannot be opened: %s", methodID, err.Error())
	}
	return found, nil
}
