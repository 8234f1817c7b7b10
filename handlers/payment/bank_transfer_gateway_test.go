package payment

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
)

func account() BankTransferConfig {
	return BankTransferConfig{
		AccountHolder: "Example Software GmbH", IBAN: "DE89370400440532013000", BIC: "COBADEFFXXX", BankName: "Commerzbank",
		Text: "Please pay within 14 days.\nThank you.",
	}
}

func TestNewBankTransferGateway(t *testing.T) {
	t.Parallel()
	const bic = "bic must have 8 or 11 characters: bank, country, place and perhaps branch"
	for name, tc := range map[string]struct {
		spoil func(*BankTransferConfig)
		want  string
	}{
		"good": {func(*BankTransferConfig) {}, ""},
		"as a person does": {func(c *BankTransferConfig) {
			c.IBAN, c.BIC, c.BankName = " de89 3704 0044 0532 0130 00", "coba deff xxx ", " Commerzbank\t"
		}, ""},
		"another system's": {func(c *BankTransferConfig) { c.Text = strings.ReplaceAll(c.Text, "\n", "\r\n") + " \r\n" }, ""},
		"nobody":           {func(c *BankTransferConfig) { c.AccountHolder = " " }, "account_holder is required"},
		"a long name":      {func(c *BankTransferConfig) { c.AccountHolder = strings.Repeat("ü", 71) }, "account_holder must have at most 70 characters"},
		"two lines":        {func(c *BankTransferConfig) { c.AccountHolder = "Example\nSoftware" }, "account_holder must not have control characters"},
		"odd bytes":        {func(c *BankTransferConfig) { c.AccountHolder = "Example \xff" }, "account_holder must be UTF-8"},
		"a mistyped IBAN":  {func(c *BankTransferConfig) { c.IBAN = "DE89370400440532013001" }, "iban is not an account number; please check for a typing mistake"},
		"no account":       {func(c *BankTransferConfig) { c.IBAN, c.Text = "", " \n" }, "iban is required, unless text names the account"},
		"a short BIC":      {func(c *BankTransferConfig) { c.BIC = "COBADEF" }, bic},
		"a BIC of ten":     {func(c *BankTransferConfig) { c.BIC = "COBADEFFXX" }, bic},
		"a BIC of nowhere": {func(c *BankTransferConfig) { c.BIC = "COBA12FF" }, bic},
		"a long bank":      {func(c *BankTransferConfig) { c.BankName = strings.Repeat("b", 71) }, "bank_name must have at most 70 characters"},
		"a long text":      {func(c *BankTransferConfig) { c.Text = strings.Repeat("t", 2001) }, "text must have at most 2000 characters"},
		"a bell":           {func(c *BankTransferConfig) { c.Text = "ring\a" }, "text must not have control characters"},
		"all of it":        {func(c *BankTransferConfig) { *c = BankTransferConfig{BIC: "1"} }, "account_holder is required; iban is required, unless text names the account; " + bic},
	} {
		config := account()
		tc.spoil(&config)
		gateway, err := NewBankTransferGateway(config)
		if tc.want == "" {
			if err != nil || gateway.config != account() {
				t.Errorf("%s: %+v, %v", name, gateway, err)
			}
			continue
		}
		if fields := (FieldErrors{}); gateway != nil || !errors.As(err, &fields) || err.Error() != tc.want {
			t.Errorf("%s: %v, want %s", name, err, tc.want)
		}
	}
	// What is optional, and the longest of all.
	for _, config := range []BankTransferConfig{
		{AccountHolder: "Example", IBAN: "BE68539007547034"},
		{AccountHolder: "Example", Text: "Account 12345, routing number 021000021"},
		{AccountHolder: strings.Repeat("ü", 70), IBAN: "BE68539007547034", BIC: "GEBABEBB", BankName: strings.Repeat("ü", 70), Text: strings.Repeat("ü", 2000)},
	} {
		if gateway, err := NewBankTransferGateway(config); err != nil || gateway.config != config {
			t.Errorf("%+v: %v", config, err)
		}
	}
}

func TestBankTransferTellsTheCustomer(t *testing.T) {
	t.Parallel()
	gateway, err := NewBankTransferGateway(account())
	if err != nil {
		t.Fatal(err)
	}
	req := chargeWith("")
	req.Card = nil
	want := Outcome{
		Status: StatusPending, Reference: "transfer.9800EUR.A0000000123.pay_0192f0c1", Amount: 9800, Currency: "EUR",
		Instructions: &Instructions{
			Reference: "RF40A0000000123", Amount: 9800, Currency: "EUR", AccountHolder: "Example Software GmbH", IBAN: "DE89370400440532013000",
			BIC: "COBADEFFXXX", BankName: "Commerzbank", Text: "Please pay within 14 days.\nThank you.",
		},
	}
	charge, err := gateway.Charge(context.Background(), req)
	if err != nil || !reflect.DeepEqual(charge, want) {
		t.Errorf("got  %+v, %+v, %v", charge, charge.Instructions, err)
	}
	if number, err := ParseCreditorReference(charge.Instructions.Reference); err != nil || number != req.OrderNumber {
		t.Errorf("the reference is for %s, %v", number, err)
	}
	// Nobody's outcome is anybody else's.
	charge.Instructions.IBAN = "changed by a caller"
	if again, err := gateway.Status(context.Background(), charge.Reference); err != nil || !reflect.DeepEqual(again, want) {
		t.Errorf("asked again: %+v, %v", again, err)
	}
	refund, err := gateway.Refund(context.Background(), RefundRequest{
		RefundID: "rfd_1", Reference: charge.Reference, Amount: 4900, Currency: "EUR", CreatedAt: november,
	})
	want = Outcome{Status: StatusPending, Reference: "transfer_refund.4900EUR.A0000000123.rfd_1", Amount: 4900, Currency: "EUR"}
	if err != nil || refund != want {
		t.Errorf("refund: %+v, %v", refund, err)
	}
}

func TestBankTransferRefuses(t *testing.T) {
	t.Parallel()
	gateway, err := NewBankTransferGateway(account())
	if err != nil {
		t.Fatal(err)
	}
	for want, spoil := range map[string]func(*ChargeRequest){
		"order_number must have 1 to 21 digits and capital letters": func(r *ChargeRequest) { r.Card, r.OrderNumber = nil, "a-1" },
		"card does not go with a bank transfer":                     func(*ChargeRequest) {},
	} {
		req := chargeWith("4242424242424242")
		spoil(&req)
		if got, err := gateway.Charge(context.Background(), req); err == nil || err.Error() != want || got != (Outcome{}) {
			t.Errorf("%+v, %v, want %s", got, err, want)
		}
	}
	for _, reference := range []string{
		"transfer.09800EUR.A1.pay_1", "transfer.0EUR.A1.pay_1", "transfer.9223372036854775808EUR.A1.pay_1", "transfer.1eur.A1.pay_1",
		"transfer.1EUR.a1.pay_1", "transfer.1EUR..pay_1", "transfer.1EUR.A1.", "transfer.1EUR.A1.pay.1", "transfers.1EUR.A1.pay_1",
		"transfer.1EUR." + strings.Repeat("A", 22) + ".pay_1", "transfer_refund.0EUR.A1.rfd_1",
	} {
		if got, err := gateway.Status(context.Background(), reference); !errors.Is(err, ErrReference) || got != (Outcome{}) {
			t.Errorf("%s: %+v, %v", reference, got, err)
		}
	}
	if _, err := gateway.Status(context.Background(), "transfer.9223372036854775807EUR.A1.pay_1"); err != nil {
		t.Error(err)
	}
}
