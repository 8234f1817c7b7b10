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
// orders that are to be paid by transfer. Empty for all others.
func (w *Worker) account(ctx context.Context, m *models.Mailing) (mail.Instructions, error) {
	switch m.Email.Kind {
	case models.EmailInstructions:
		return mailAccount(instructed(m).Instructions), nil
	case models.EmailReminder:
	default:
		return mail.Instructions{}, nil
	}
	for i := range m.Order.Payments {
		if p := &m.Order.Payments[i]; p.Status == models.PaymentPending && p.Instructions != nil {
			return mailAccount(p.Instructions), nil
		}
	}
	if m.Order.PaymentMethod == nil || *m.Order.PaymentMethod != payment.MethodBankTransfer {
		return mail.Instructions{}, nil
	}
	return w.offeredAccount(ctx, m)
}

// offeredAccount is the account of an order that no transfer was begun for, as the merchant's method has it now; empty when there is none.
func (w *Worker) offeredAccount(ctx context.Context, m *models.Mailing) (mail.Instructions, error) {
	o := &m.Order
	choices, err := w.Store.PayChoices(ctx, models.Scope{MerchantID: m.Merchant.ID, Test: o.Test}, o.Currency)
	if err != nil {
		return mail.Instructions{}, err
	}
	for _, choice := range choices {
		if choice.Gateway != models.GatewayBankTransfer {
			continue
		}
		gateway, err := w.gateways.Find(ctx, choice.Gateway, choice.MethodID)
		if err != nil {
			return mail.Instructions{}, err
		}
		bank, ok := gateway.(*payment.BankTransferGateway)
		if !ok {
			continue
		}
		i, err := bank.Instructions(o.Number, o.Total, o.Currency)
		if err != nil {
			return mail.Instructions{}, fmt.Errorf("the account cannot be told: %w", err)
		}
		return mailAccount(&models.Instructions{
			AccountHolder: i.AccountHolder, IBAN: i.IBAN, BIC: i.BIC, BankName: i.BankName, Reference: i.Reference, Text: i.Text,
		}), nil
	}
	return mail.Instructions{}, nil
}

func mailAccount(i *models.Instructions) mail.Instructions {
	return mail.Instructions{
		AccountHolder: i.AccountHolder, Account: payment.PrintIBAN(i.IBAN), BankCode: i.BIC, Bank: i.BankName,
		Reference: payment.PrintCreditorReference(i.Reference), Text: i.Text,
	}
}
