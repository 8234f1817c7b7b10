package payment

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// An EPC code holds what the instructions say and no line more.
func FuzzEPCPayload(f *testing.F) {
	f.Add("Analytical Engines", "DE89370400440532013000", "COBADEFFXXX", "RF18539007547034", int64(9800))
	f.Add("a\nb", "GB29 NWBK 6016 1331 9268 19", "", "rf18 5390 0754 7034", int64(1))
	f.Fuzz(func(t *testing.T, holder, iban, bic, reference string, amount int64) {
		text, err := EPCPayload(Instructions{AccountHolder: holder, IBAN: iban, BIC: bic, Reference: reference, Amount: amount, Currency: "EUR"})
		if err != nil {
			return
		}
		lines := strings.Split(text, "\n")
		if len(lines) != 10 || lines[5] != holder || lines[4] != bic || len(text) > maxEPCPayload {
			t.Fatalf("%q", text)
		}
		if _, err := ParseIBAN(lines[6]); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if _, err := ParseCreditorReference(lines[9]); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
	})
}

// An IBAN that is taken has one form, and printing it changes nothing of it.
func FuzzParseIBAN(f *testing.F) {
	f.Add("DE89 3704 0044 0532 0130 00")
	f.Add("gb29nwbk60161331926819")
	f.Add("XX00")
	f.Fuzz(func(t *testing.T, text string) {
		iban, err := ParseIBAN(text)
		if err != nil {
			if len(text) > 14 && strings.Contains(err.Error(), text) {
				t.Fatalf("the error repeats the number: %v", err)
			}
			return
		}
		if again, err := ParseIBAN(PrintIBAN(iban)); err != nil || again != iban {
			t.Fatalf("%q is %q and then %q, %v", text, iban, again, err)
		}
	})
}

// A card that may be charged has digits that add up, and none of them is in what is said of another.
func FuzzValidateCard(f *testing.F) {
	f.Add("4242 4242 4242 4242", 12, 2030, "123")
	f.Add("4242-4242-4242-4241", 0, -1, "12a")
	f.Add("٤٢٤٢", 13, 99, "")
	now := time.Date(2026, 3, 4, 0, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, number string, month, year int, cvc string) {
		card := Card{Number: number, ExpMonth: month, ExpYear: year, CVC: cvc}
		wrong := ValidateCard(card, now)
		if digits := card.digits(); len(wrong) == 0 && (!allDigits(digits) || len(digits) < 12 || len(digits) > 19 || !luhn(digits) || month < 1 || month > 12) {
			t.Fatalf("%q is taken", number)
		}
		for _, w := range wrong {
			if len(number) > 11 && strings.Contains(w.Message, number) {
				t.Fatalf("%s repeats the number", w.Message)
			}
		}
		if raw, err := json.Marshal(card); err != nil || string(raw) != `"[card]"` {
			t.Fatalf("%s, %v", raw, err)
		}
	})
}

// The references that gateways of ours carry are read back as they were written, and nothing else is read.
func FuzzReferences(f *testing.F) {
	f.Add("test.insufficient_funds.1795350615000.9800EUR.pay_0192f0c1")
	f.Add("transfer.9800EUR.A0000000123.pay_0192f0c1")
	f.Add("test.succeeds.99999999999999999.1EUR.x")
	f.Fuzz(func(t *testing.T, text string) {
		if r, err := parseTestReference(text); err == nil && (r.String() != text || r.amount <= 0) {
			t.Fatalf("%q is read as %+v", text, r)
		}
		if r, err := parseTransferReference(text); err == nil && (r.String() != text || r.amount <= 0) {
			t.Fatalf("%q is read as %+v", text, r)
		}
	})
}

// Amounts go to Stripe and come back as they were, or do not go.
func FuzzStripeAmount(f *testing.F) {
	for _, currency := range []string{"EUR", "ISK", "MGA", "KWD", "UGX", "JPY"} {
		f.Add(int64(100), currency)
		f.Add(int64(9223372036854775807), currency)
	}
	f.Fuzz(func(t *testing.T, amount int64, currency string) {
		if amount < 0 || !isCurrency(currency) {
			return
		}
		sent, wrong := toStripe(amount, currency)
		if wrong != nil {
			return
		}
		if back, code, err := fromStripe(sent, strings.ToLower(currency)); err != nil || back != amount || code != currency {
			t.Fatalf("%d %s goes as %d and comes back as %d %s, %v", amount, currency, sent, back, code, err)
		}
	})
}

// No configuration of a gateway breaks anything, and what is said of a wrong one quotes no secret.
func FuzzConfig(f *testing.F) {
	f.Add("stripe", `{"secret_key":"sk_test_51SecretSecretSecret4242","webhook_secrets":["whsec_SecretSecretSecret9876"]}`)
	f.Add("bank_transfer", `{"account_holder":"x","iban":"DE89370400440532013000"}`)
	f.Add("stripe", `{"secret_key":"sk_live_SecretSecret\n","webhook_secrets":null}`)
	f.Fuzz(func(t *testing.T, gateway, config string) {
		public, whole, err := ParseConfig(gateway, json.RawMessage(config))
		if strings.Contains(string(public), "SecretSecret") || err != nil && strings.Contains(config, `"SecretSecret`) && strings.Contains(err.Error(), "SecretSecret") {
			t.Fatalf("%s, %v", public, err)
		}
		if err == nil {
			if _, err := Open(gateway, whole); err != nil {
				t.Fatalf("what was taken cannot be opened: %v", err)
			}
		}
	})
}
