package handlers

import (
	"context"
	"fmt"
	"strings"

	"github.com/purser-dev/purser/handlers/mail"
	"github.com/purser-dev/purser/handlers/payment"
	"github.com/purser-dev/purser/models"
)

// wanted reports whether an email still makes sense: nobody is asked for money that was paid, or by a way that was given up.
func wanted(m *models.Mailing) bool {
	switch m.Email.Kind {
	case models.EmailReminder:
		return m.Unpaid
	case models.EmailInstructions:
		p := instructed(m)
		return m.Unpaid && p != nil && p.Status == models.PaymentPending
	}
	return true
}

// instructed is the payment whose instructions an email tells.
func instructed(m *models.Mailing) *models.PaymentView {
	id, _, _ := strings.Cut(m.Email.Fact, ":")
	for i := range m.Order.Payments {
		if p := &m.Order.Payments[i]; p.ID == id && p.Instructions != nil {
			return p
		}
	}
	return nil
}

// account is where the customer has to transfer the money to, for the emails that tell it: the instructions themselves, and reminders of
// orders that are to be paid by transfer. Nil for all others.
func (w *Worker) account(ctx context.Context, m *models.Mailing) (*payment.Instructions, error) {
	switch m.Email.Kind {
	case models.EmailInstructions:
		return transferDetails(instructed(m).Instructions), nil
	case models.EmailReminder:
	default:
		return nil, nil
	}
	for i := range m.Order.Payments {
		if p := &m.Order.Payments[i]; p.Status == models.PaymentPending && p.Instructions != nil {
			return transferDetails(p.Instructions), nil
		}
	}
	if m.Order.PaymentMethod == nil || *m.Order.PaymentMethod != payment.MethodBankTransfer {
		return nil, nil
	}
	return w.offeredAccount(ctx, m)
}

// offeredAccount is the account of an order that no transfer was begun for, as the merchant's method has it now; nil when there is none.
func (w *Worker) offeredAccount(ctx context.Context, m *models.Mailing) (*payment.Instructions, error) {
	o := &m.Order
	choices, err := w.Store.PayChoices(ctx, models.Scope{MerchantID: m.Merchant.ID, Test: o.Test}, o.Currency)
	if err != nil {
		return nil, err
	}
	for _, choice := range choices {
		if choice.Gateway != models.GatewayBankTransfer {
			continue
		}
		gateway, err := w.gateways.Find(ctx, choice.Gateway, choice.MethodID)
		if err != nil {
			return nil, err
		}
		bank, ok := gateway.(*payment.BankTransferGateway)
		if !ok {
			continue
		}
		i, err := bank.Instructions(o.Number, o.Total, o.Currency)
		if err != nil {
			return nil, fmt.Errorf("the account cannot be told: %w", err)
		}
		return &i, nil
	}
	return nil, nil
}

func transferDetails(i *models.Instructions) *payment.Instructions {
	return &payment.Instructions{
		AccountHolder: i.AccountHolder, IBAN: i.IBAN, BIC: i.BIC, BankName: i.BankName, Reference: i.Reference, Amount: i.Amount, Currency: i.Currency, Text: i.Text,
	}
}

// tellAccount puts the account into an email, with the code for banking apps where there is one, as on the payment page.
func tellAccount(d *mail.Data, i *payment.Instructions) {
	d.Instructions = mail.Instructions{
		AccountHolder: i.AccountHolder, Account: payment.PrintIBAN(i.IBAN), BankCode: i.BIC, Bank: i.BankName,
		Reference: payment.PrintCreditorReference(i.Reference), Text: i.Text,
	}
	if code, err := payment.EPCCode(*i); err == nil {
		d.PayCode = code
	}
}
