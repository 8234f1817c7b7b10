package models

import (
	"context"
	"strings"
)

// ReceivedMoney is offline money that has arrived.
type ReceivedMoney struct {
	Amount    int64 // minor units
	Currency  string
	Reference string // what the bank statement says
	Note      string
	Actor     string
}

// MarkPaid records offline money that has arrived for an order. The right amount pays the order; any other is recorded and told of
// by payment.mismatch, and money for an order that is paid or deleted by payment.late. Staff then decide.
func (s *Store) MarkPaid(ctx context.Context, sc Scope, orderID string, in ReceivedMoney) (*OrderView, error) {
	var bad invalids
	if in.Amount < 1 || in.Amount > MaxAmount {
		bad.add("amount", "must be an amount above zero in minor units")
	}
	if !knownCurrency(in.Currency) {
		bad.add("currency", "must be an ISO 4217 code in capitals, such as EUR")
	}
	checkText(&bad, "reference", in.Reference, 200)
	checkText(&bad, "note", in.Note, 500)
	if err := bad.err(); err != nil {
		return nil, err
	}
	var view *OrderView
	err := s.write(ctx, func(t *tx) error {
		o, err := t.lockOrderOf(sc, orderID)
		if err != nil {
			return err
		}
		p, err := t.transferOf(o, in)
		if err != nil {
			return err
		}
		p.Note = strings.TrimSpace(in.Note)
		if err := t.Model(p).Update("note", p.Note).Error; err != nil {
			return err
		}
		change := paymentChange{reference: in.Reference}
		if err := t.movePayment(o, p, PaymentSucceeded, change, in.Actor); err != nil {
			return err
		}
		if err := t.callOffSettling(p); err != nil {
			return err
		}
		if err := t.paymentSucceeded(o, p, PaymentResult{Amount: in.Amount, Currency: in.Currency}, in.Actor); err != nil {
			return err
		}
		view, err = s.view(o, false)
		return err
	})
	return view, err
}

// transferOf is the payment that offline money belongs to: the one that waits for it, or else a new one.
func (t *tx) transferOf(o *Order, in ReceivedMoney) (*Payment, error) {
	for i := range o.Payments {
		if p := &o.Payments[i]; p.Status == PaymentPending && p.Gateway == GatewayBankTransfer {
			return p, nil
		}
	}
	for i := range o.Payments {
		switch p := &o.Payments[i]; p.Status {
		case PaymentPending, PaymentRequiresAction:
			if err := t.movePayment(o, p, PaymentCancelled, paymentChange{}, in.Actor); err != nil {
				return nil, err
			}
		case PaymentProcessing:
			return nil, conflict("A payment of the order is being confirmed; wait for its result.")
		}
	}
	p := Payment{
		ID: newID("pay"), OrderID: o.ID, MerchantID: o.MerchantID, Test: o.Test, Method: "bank_transfer", Gateway: GatewayBankTransfer,
		Status: PaymentPending, Amount: o.Total, Currency: o.Currency, Token: newToken(), CreatedAt: t.now, UpdatedAt: t.now,
	}
	if err := t.Create(&p).Error; err != nil {
		return nil, err
	}
	o.Payments = append(o.Payments, p)
	return &o.Payments[len(o.Payments)-1], nil
}

// ReviveOrder makes a deleted order unpaid again. Money that has arrived for it meanwhile and is right pays it at once.
func (s *Store) ReviveOrder(ctx context.Context, sc Scope, orderID, actor string) (*OrderView, error) {
	var view *OrderView
	err := s.write(ctx, func(t *tx) error {
		o, err := t.lockOrderOf(sc, orderID)
		if err != nil {
			return err
		}
		if o.Status == OrderNotPaid {
			view, err = s.view(o, false)
			return err
		}
		if _, err := step(orderMoves, "order", o.Status, OrderNotPaid); err != nil {
			return err
		}
		if err := t.moveOrder(o, OrderNotPaid, map[string]any{"deleted_at": nil, "delete_reason": nil, "unpaid_since": t.now, "reminder_stage": 0}); err != nil {
			return err
		}
		o.DeletedAt, o.DeleteReason, o.UnpaidSince, o.ReminderStage = nil, nil, t.now, 0
		if err := t.retakeCoupons(o); err != nil {
			return err
		}
		t.note(o, "order.revived", actor, "The order was revived.", nil)
		if err := t.emitOrder(EventOrderRevived, o.ID+":revived:"+t.now.Format("2006-01-02T15:04:05.000000"), o); err != nil {
			return err
		}
		for i := range o.Payments {
			if p := &o.Payments[i]; p.Status == PaymentSucceeded && !p.Applied && p.AmountReceived == nil {
				if err := t.paymentSucceeded(o, p, PaymentResult{}, actor); err != nil {
					return err
				}
				break
			}
		}
		view, err = s.view(o, false)
		return err
	})
	return view, err
}
