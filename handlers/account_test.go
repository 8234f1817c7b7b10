package handlers_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

const (
	printedIBAN = "DE89 3704 0044 0532 0130 00"
	bankConfig  = `{"account_holder":"Analytical Engines","iban":"DE89370400440532013000","bic":"COBADEFFXXX","bank_name":"Commerzbank","text":"Please pay soon."}`
)

// bank lets the shop take transfers.
func (b *bench) bank() *models.PaymentMethodView {
	b.Helper()
	m, err := b.store.CreatePaymentMethod(b.Context(), b.shop.Test, models.PaymentMethodInput{
		Method: "bank_transfer", Gateway: "bank_transfer", Public: json.RawMessage(bankConfig), Whole: json.RawMessage(bankConfig), Active: true,
	})
	if err != nil {
		b.Fatal(err)
	}
	return m
}

func (b *bench) transferOrder() *models.OrderView {
	b.Helper()
	b.product("app", models.MethodTemplate, `{}`)
	in := storetest.OrderInput("app", 1)
	in.PaymentMethod, in.MethodClass = "bank_transfer", "offline"
	o, err := b.store.CreateOrder(b.Context(), b.shop.Test, in)
	if err != nil {
		b.Fatal(err)
	}
	return o
}

// transfer begins a transfer for an order and records what the customer has to do.
func (b *bench) transfer(o *models.OrderView, method string) *models.Payment {
	b.Helper()
	p, err := b.store.BeginPayment(b.Context(), b.shop.Test, o.ID, models.NewPayment{
		Method: "bank_transfer", Gateway: "bank_transfer", MethodID: method, Class: "offline", Actor: "test",
	})
	if err != nil {
		b.Fatal(err)
	}
	_, err = b.store.ApplyPayment(b.Context(), p.ID, models.PaymentResult{
		Status: models.PaymentPending, Reference: "transfer." + p.ID,
		Instructions: &models.Instructions{AccountHolder: "Analytical Engines", IBAN: "DE89370400440532013000", Reference: "RF18539007547034", Amount: o.Total, Currency: "EUR"},
	}, "test")
	if err != nil {
		b.Fatal(err)
	}
	return p
}

func TestInstructionsByEmail(t *testing.T) {
	each(t, func(b *bench) {
		method := b.bank()
		o := b.transferOrder()
		b.transfer(o, method.ID)
		b.work()
		b.eventually("the instructions are sent", func() bool { return len(b.emailsOf(models.EmailInstructions, b.mail.taken())) == 1 })
		m := b.emailsOf(models.EmailInstructions, b.mail.taken())[0]
		for _, want := range []string{printedIBAN, "RF18 5390 0754 7034", "49.00", "Analytical Engines", o.PaymentURL} {
			if !strings.Contains(m.Text, want) {
				t.Errorf("the email does not have %s:\n%s", want, m.Text)
			}
		}
		b.idle()
		if n := len(b.mail.taken()); n != 1 {
			t.Errorf("%d emails", n)
		}
		b.sound()
	})
}

// Nobody is told to pay by a way that was given up, or what was paid, before the email could be sent.
func TestInstructionsThatAreNoLongerWanted(t *testing.T) {
	each(t, func(b *bench) {
		method := b.bank()
		switched, paid := b.transferOrder(), storetest.Order(b, b.store, b.shop.Test, "app", 1)
		b.transfer(switched, method.ID)
		b.transfer(paid, method.ID)
		if _, err := b.store.BeginPayment(b.Context(), b.shop.Test, switched.ID, models.NewPayment{Method: "card", Gateway: "test", Class: "online", Actor: "test"}); err != nil {
			t.Fatal(err)
		}
		if _, err := b.store.MarkPaid(b.Context(), b.shop.Test, paid.ID, models.ReceivedMoney{Amount: paid.Total, Currency: "EUR", Actor: "test"}); err != nil {
			t.Fatal(err)
		}
		b.work()
		b.delivered(paid.ID)
		for _, j := range storetest.Jobs(b, b.store, jobs.KindSendEmail) {
			b.jobIn(j.ID, models.JobDone)
		}
		if n := len(b.emailsOf(models.EmailInstructions, b.mail.tried())); n != 0 {
			t.Errorf("%d instructions were sent", n)
		}
		if n := storetest.Count(b, b.store, "SELECT COUNT(*) FROM emails WHERE kind = 'payment_instructions' AND status = 'skipped'"); n != 2 {
			t.Errorf("%d instructions were left out", n)
		}
		b.sound()
	})
}

// A reminder of an order that is to be paid by transfer has the account, whether or not a transfer was begun.
func TestRemindersWithTheAccount(t *testing.T) {
	each(t, func(b *bench) {
		b.bank()
		o := b.transferOrder()
		card := storetest.Order(b, b.store, b.shop.Test, "app", 1)
		b.age(o.ID, 150)
		b.age(card.ID, 2)
		b.work()
		b.tick(jobs.KindRemind)
		b.eventually("both are reminded", func() bool { return len(b.emailsOf(models.EmailReminder, b.mail.taken())) >= 2 })
		for _, m := range b.emailsOf(models.EmailReminder, b.mail.taken()) {
			transfer := strings.Contains(m.Text, o.Number)
			if strings.Contains(m.Text, printedIBAN) != transfer || strings.Contains(m.Text, "Please pay soon.") != transfer {
				t.Errorf("a reminder of a transfer: %v, with\n%s", transfer, m.Text)
			}
		}
		b.idle()
	})
}
