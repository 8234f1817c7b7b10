package payment

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// redCross is the account of the example that is printed most often.
func redCross() Instructions {
	return Instructions{
		Reference: "RF18539007547034", Amount: 1230, Currency: "EUR",
		AccountHolder: "Red Cross of Belgium", IBAN: "BE72000000001616", BIC: "BPOTBEB1", BankName: "bpost", Text: "Not in the code.",
	}
}

func TestEPCPayload(t *testing.T) {
	t.Parallel()
	with := func(change func(*Instructions)) Instructions {
		i := redCross()
		change(&i)
		return i
	}
	// The twelve lines of EPC069-12, of which those after the reference are empty
	// and left out: tag, version, characters, kind, BIC, name, IBAN, amount,
	// purpose, reference.
	for name, tc := range map[string]struct {
		in   Instructions
		want string
	}{
		"all": {redCross(), "BCD\n002\n1\nSCT\nBPOTBEB1\nRed Cross of Belgium\nBE72000000001616\nEUR12.30\n\nRF18539007547034"},
		"as people write": {with(func(i *Instructions) { i.IBAN, i.Reference = "be72 0000 0000 1616", "rf18 5390 0754 7034" }),
			"BCD\n002\n1\nSCT\nBPOTBEB1\nRed Cross of Belgium\nBE72000000001616\nEUR12.30\n\nRF18539007547034"},
		"without BIC": {with(func(i *Instructions) { i.BIC = "" }),
			"BCD\n002\n1\nSCT\n\nRed Cross of Belgium\nBE72000000001616\nEUR12.30\n\nRF18539007547034"},
		"a cent": {with(func(i *Instructions) { i.Amount = 1 }),
			"BCD\n002\n1\nSCT\nBPOTBEB1\nRed Cross of Belgium\nBE72000000001616\nEUR0.01\n\nRF18539007547034"},
		"the most": {with(func(i *Instructions) { i.Amount = 99_999_999_999 }),
			"BCD\n002\n1\nSCT\nBPOTBEB1\nRed Cross of Belgium\nBE72000000001616\nEUR999999999.99\n\nRF18539007547034"},
		"in Switzerland": {with(func(i *Instructions) { i.IBAN, i.BIC = "CH9300762011623852957", "POFICHBEXXX" }),
			"BCD\n002\n1\nSCT\nPOFICHBEXXX\nRed Cross of Belgium\nCH9300762011623852957\nEUR12.30\n\nRF18539007547034"},
		"in Greek": {with(func(i *Instructions) { i.AccountHolder = "Ερυθρός Σταυρός" }),
			"BCD\n002\n1\nSCT\nBPOTBEB1\nΕρυθρός Σταυρός\nBE72000000001616\nEUR12.30\n\nRF18539007547034"},
	} {
		if got, err := EPCPayload(tc.in); err != nil || got != tc.want {
			t.Errorf("%s: got %q, %v\nwant %q", name, got, err, tc.want)
		}
	}
	for want, change := range map[string]func(*Instructions){
		"currency must be EUR in an EPC code":                                                   func(i *Instructions) { i.Currency = "USD" },
		"amount must be from 0.01 to 999999999.99 in an EPC code":                               func(i *Instructions) { i.Amount = 0 },
		"account_holder is required":                                                            func(i *Instructions) { i.AccountHolder = "" },
		"account_holder must have at most 70 characters":                                        func(i *Instructions) { i.AccountHolder = strings.Repeat("a", 71) },
		"account_holder must not have control characters":                                       func(i *Instructions) { i.AccountHolder = "Red\nBE68539007547034" },
		"account_holder is too long for an EPC code":                                            func(i *Instructions) { i.AccountHolder = strings.Repeat("🍀", 70) },
		"reference must be an RF creditor reference":                                            func(i *Instructions) { i.Reference = "RF19539007547034" },
		"iban must be of a country of the SEPA area in an EPC code":                             func(i *Instructions) { i.IBAN = "TR330006100519786457841326" },
		"bic must have 8 or 11 characters: bank, country, place and perhaps branch":             func(i *Instructions) { i.BIC = "BPOT" },
		"bic is required outside the European Economic Area":                                    func(i *Instructions) { i.IBAN, i.BIC = "GB29NWBK60161331926819", "" },
		"iban is not an account number; please check for a typing mistake":                      func(i *Instructions) { i.IBAN = "BE72000000001617" },
		"iban must have a country code, two check digits and the account in digits and letters": func(i *Instructions) { i.IBAN = "" },
	} {
		got, err := EPCPayload(with(change))
		if fields := (FieldErrors{}); !errors.As(err, &fields) || err.Error() != want || got != "" {
			t.Errorf("got %q, %v, want %s", got, err, want)
		}
	}
	if got, err := EPCPayload(with(func(i *Instructions) { i.Amount = 100_000_000_000 })); err == nil || got != "" {
		t.Errorf("got %q", got)
	}
}

// Whatever a merchant's settings let through, the lines stay where they belong.
func TestEPCPayloadLines(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		config := BankTransferConfig{
			AccountHolder: rapid.StringN(1, 70, -1).Draw(t, "holder"), IBAN: rapid.SampledFrom(ibanExamples).Draw(t, "iban"),
			BIC: rapid.SampledFrom([]string{"", "BPOTBEB1", "COBADEFFXXX"}).Draw(t, "bic"),
		}
		gateway, err := NewBankTransferGateway(config)
		if err != nil {
			return
		}
		charge, err := gateway.Charge(t.Context(), ChargeRequest{
			PaymentID: "pay_1", OrderNumber: rapid.StringMatching(`[0-9A-Z]{1,21}`).Draw(t, "number"), Currency: "EUR", CreatedAt: november,
			Amount: rapid.Int64Range(1, maxEPCAmount).Draw(t, "amount"),
		})
		if err != nil {
			t.Fatal(err)
		}
		payload, err := EPCPayload(*charge.Instructions)
		if err != nil {
			if !errors.As(err, &FieldErrors{}) {
				t.Fatal(err)
			}
			return
		}
		lines := strings.Split(payload, "\n")
		if len(payload) > 331 || len(lines) != 10 || lines[5] != gateway.config.AccountHolder || lines[6] != gateway.config.IBAN ||
			!strings.HasPrefix(lines[7], "EUR") || lines[9] != charge.Instructions.Reference {
			t.Fatalf("%q", payload)
		}
	})
}
