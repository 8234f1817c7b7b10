package models

import (
	"context"
	"time"

	"gorm.io/gorm"
)

// NewPayment asks to begin a payment of an order's total.
type NewPayment struct {
	Method  string
	Gateway string
	// MethodID is the merchant's payment method; empty for the test gateway.
	MethodID string
	// Class is online or offline: which reminders the order gets from now on.
	Class string
	// RequestID is the id of the idempotent request, if it is one: repeating it finds the same payment.
	RequestID string
	Actor     string
}

// BeginPayment records a payment before its gateway is asked, so that nothing the gateway does can be lost. An attempt that
// still waits for the customer is cancelled in favour of the new one; while a gateway is being asked for one, or works on it, there is no
// other. Where the class of the method changes, the reminders of that class begin at their first, of which none is sent twice.
func (s *Store) BeginPayment(ctx context.Context, sc Scope, orderID string, in NewPayment) (*Payment, error) {
	var out *Payment
	err := s.write(ctx, func(t *tx) error {
		o, err := t.lockOrderOf(sc, orderID)
		if err != nil {
			return err
		}
		for i := range o.Payments {
			if in.RequestID != "" && o.Payments[i].RequestID != nil && *o.Payments[i].RequestID == in.RequestID {
				if out = &o.Payments[i]; out.Status != PaymentPending || out.Reference != "" {
					return nil
				}
				out.UpdatedAt = t.now // its gateway is about to be asked again
				return t.later(func(db *gorm.DB) *gorm.DB { return db.Model(out).Select("updated_at").Updates(out) })
			}
		}
		if o.Status != OrderNotPaid {
			return conflict("The order is %s; it cannot be paid.", o.Status)
		}
		for i := range o.Payments {
			if o.Payments[i].Status == PaymentProcessing || o.Payments[i].beingAsked(t.now) {
				return conflict("A payment of the order is being confirmed already.")
			}
		}
		if err := t.cancelOpenPayments(o, in.Actor); err != nil {
			return err
		}
		out = &Payment{
			ID: newID("pay"), OrderID: o.ID, MerchantID: o.MerchantID, Test: o.Test, Method: in.Method, Gateway: in.Gateway,
			Status: PaymentPending, Amount: o.Total, Currency: o.Currency, Token: newToken(), RequestID: nullable(in.RequestID),
			MethodID:  nullable(in.MethodID),
			CreatedAt: t.now, UpdatedAt: t.now,
		}
		if err := t.later(func(db *gorm.DB) *gorm.DB { return db.Create(out) }); err != nil {
			return err
		}
		t.note(o, "payment.created", in.Actor, "A payment was begun.", map[string]any{"payment": out.ID, "method": in.Method, "gateway": in.Gateway})
		// Whatever becomes of this process, somebody asks the gateway how the payment went.
		t.askLater(out, "begun", settleAfter)
		columns := map[string]any{"payment_method": in.Method, "method_class": in.Class}
		if in.Class != o.MethodClass {
			columns["reminder_stage"] = 0
		}
		return t.later(func(db *gorm.DB) *gorm.DB { return db.Model(&Order{}).Where("id = ?", o.ID).Updates(columns) })
	})
	return out, err
}

// beingAsked reports whether the gateway is being asked for the payment at this moment. Giving it up then could charge twice: once for
// it and once for the one that takes its place.
func (p *Payment) beingAsked(now time.Time) bool {
	return p.Status == PaymentPending && p.Reference == "" && now.Sub(p.UpdatedAt) < settleAfter
}

// PaymentResult is what a gateway said of a payment.
type PaymentResult struct {
	Status         PaymentStatus
	Reference      string
	FailureCode    string
	FailureMessage string
	// RedirectURL is the gateway's page, when the status is requires_action; empty for the test gateway's own.
	RedirectURL string
	// Instructions are set when the customer has to pay by an offline method.
	Instructions *Instructions
	// Amount and Currency are what the gateway says it has moved; zero: what was asked for.
	Amount   int64
	Currency string
	// Ask is when to ask the gateway again while the status is not final; zero: it will tell by itself.
	Ask time.Duration
}

// paymentChange is what moves with a payment's status.
type paymentChange struct {
	reference, failureCode, failureMessage, redirectURL string
	applied                                             bool
}

// ApplyPayment records what the gateway said and everything that follows from it. Safe to repeat, and to hear twice or in the
// wrong order: only moves of the table happen, and what a final payment is told afterwards changes nothing. The exception is money that
// did arrive for a payment that was given up: it is recorded as a payment of its own, which is the one returned.
func (s *Store) ApplyPayment(ctx context.Context, paymentID string, r PaymentResult, actor string) (*Payment, error) {
	var out *Payment
	err := s.write(ctx, func(t *tx) error {
		var err error
		out, err = t.applyPayment(paymentID, r, actor)
		return err
	})
	return out, err
}

func (t *tx) applyPayment(id string, r PaymentResult, actor string) (*Payment, error) {
	if !isID(id, "pay") {
		return nil, notFound("payment")
	}
	o, err := t.lockOrderBy("(SELECT order_id FROM payments WHERE id = ?)", id, "payment")
	if err != nil {
		return nil, err
	}
	p := o.payment(id)
	if p == nil {
		return nil, notFound("payment")
	}
	if r.Status == PaymentSucceeded && (p.Status == PaymentCancelled || p.Status == PaymentFailed) {
		return t.moneyAfterAll(o, p, r, actor)
	}
	if p.Status == PaymentPending && r.Status == PaymentPending && p.Reference == "" && r.Reference != "" {
		return p, t.awaitTransfer(o, p, r)
	}
	if p.Status == r.Status || !paymentMoves.allows(p.Status, r.Status) {
		return p, nil
	}
	change := paymentChange{r.Reference, r.FailureCode, r.FailureMessage, r.RedirectURL, r.Status == PaymentSucceeded && o.Status == OrderNotPaid && !r.wrongFor(p)}
	if err := t.movePayment(o, p, r.Status, change, actor); err != nil {
		return nil, err
	}
	switch r.Status {
	case PaymentSucceeded:
		return p, t.paymentSucceeded(o, p, r, actor)
	case PaymentFailed:
		return p, t.emitOrder(EventPaymentFailed, p.ID+":failed", o)
	}
	t.askLater(p, string(r.Status), r.Ask)
	return p, nil
}

// moneyAfterAll records money that arrived for a payment that was given up: cancelled with its order or in favour of another, or failed.
// That payment is final, so the money is a payment of its own, found again when the gateway repeats itself.
func (t *tx) moneyAfterAll(o *Order, given *Payment, r PaymentResult, actor string) (*Payment, error) {
	request := given.ID + ":late"
	for i := range o.Payments {
		if id := o.Payments[i].RequestID; id != nil && *id == request {
			return &o.Payments[i], nil
		}
	}
	if r.Reference == "" {
		r.Reference = given.Reference
	}
	o.Payments = append(o.Payments, Payment{
		ID: newID("pay"), OrderID: o.ID, MerchantID: o.MerchantID, Test: o.Test, Method: given.Method, Gateway: given.Gateway, MethodID: given.MethodID,
		Status: PaymentSucceeded, Amount: given.Amount, Currency: given.Currency, Reference: r.Reference, Token: newToken(), RequestID: &request,
		CreatedAt: t.now, UpdatedAt: t.now,
	})
	p := &o.Payments[len(o.Payments)-1]
	if err := t.Create(p).Error; err != nil {
		return nil, err
	}
	t.note(o, "payment.succeeded", actor, "Money arrived for a payment that was "+string(given.Status)+".", map[string]any{"payment": p.ID, "given_up": given.ID})
	return p, t.paymentSucceeded(o, p, r, actor)
}

// awaitTransfer records how the customer is to pay by an offline method, and tells by email.
func (t *tx) awaitTransfer(o *Order, p *Payment, r PaymentResult) error {
	p.Reference, p.Instructions, p.UpdatedAt = r.Reference, r.Instructions, t.now
	if err := t.Model(p).Select("reference", "instructions", "updated_at").Updates(p).Error; err != nil {
		return err
	}
	if err := t.callOffSettling(p); err != nil {
		return err
	}
	// The reminders that are due at once are this email.
	if err := t.Exec(`UPDATE orders SET reminder_stage = (SELECT COUNT(*) FROM reminder_rules AS r
		WHERE r.merchant_id = orders.merchant_id AND r.method_class = 'offline' AND r.after_s = 0)
		WHERE id = ? AND reminder_stage < (SELECT COUNT(*) FROM reminder_rules AS r
		WHERE r.merchant_id = orders.merchant_id AND r.method_class = 'offline' AND r.after_s = 0)`, o.ID).Error; err != nil {
		return err
	}
	if p.Instructions == nil {
		return nil
	}
	return t.email(Email{Kind: EmailInstructions, Fact: p.ID + ":instructions"}, o)
}

// wrongFor reports that the money which arrived is not what was asked for.
func (r *PaymentResult) wrongFor(p *Payment) bool {
	return r.Amount != 0 && r.Amount != p.Amount || r.Currency != "" && r.Currency != p.Currency
}

// paymentSucceeded applies money that has arrived. Money for an order that cannot take it, and money that is not what was asked for,
// is kept and told of: never dropped, and never silently fulfilled.
func (t *tx) paymentSucceeded(o *Order, p *Payment, r PaymentResult, actor string) error {
	wrong := r.wrongFor(p)
	if wrong {
		if r.Currency == "" {
			r.Currency = p.Currency
		}
		p.AmountReceived, p.ReceivedCurrency = &r.Amount, &r.Currency
		if err := t.Model(p).Select("amount_received", "received_currency").Updates(p).Error; err != nil {
			return err
		}
	}
	switch {
	case o.Status != OrderNotPaid:
		t.note(o, "payment.late", actor, "A payment arrived for an order that is "+string(o.Status)+".", map[string]any{"payment": p.ID})
		return t.emitOrder(EventPaymentLate, p.ID+":late", o)
	case wrong:
		t.note(o, "payment.mismatch", actor, "A payment arrived that is not what was asked for.", map[string]any{
			"payment": p.ID, "expected": p.Amount, "received": r.Amount, "expected_currency": p.Currency, "received_currency": r.Currency,
		})
		return t.emitOrder(EventPaymentMismatch, p.ID+":mismatch", o)
	}
	if !p.Applied {
		if err := t.later(func(db *gorm.DB) *gorm.DB { return db.Model(&Payment{}).Where("id = ?", p.ID).Update("applied", true) }); err != nil {
			return err
		}
		p.Applied = true
	}
	return t.markPaid(o, actor, "The payment succeeded.")
}

// movePayment is the compare-and-set of a payment's status. The order is locked.
func (t *tx) movePayment(o *Order, p *Payment, to PaymentStatus, c paymentChange, actor string) error {
	if noop, err := step(paymentMoves, "payment", p.Status, to); noop || err != nil {
		return err
	}
	columns := map[string]any{"status": to, "updated_at": t.now}
	if c.reference != "" {
		columns["reference"] = c.reference
		p.Reference = c.reference
	}
	if c.redirectURL != "" {
		columns["redirect_url"] = c.redirectURL
		p.RedirectURL = &c.redirectURL
	}
	if c.applied {
		columns["applied"] = true
		p.Applied = true
	}
	detail := map[string]any{"payment": p.ID, "from": p.Status, "to": to}
	if to == PaymentFailed {
		columns["failure_code"], columns["failure_message"] = c.failureCode, c.failureMessage
		p.FailureCode, p.FailureMessage = &c.failureCode, &c.failureMessage
		detail["failure_code"] = c.failureCode
	}
	move := func(db *gorm.DB) *gorm.DB {
		return db.Model(&Payment{}).Where("id = ? AND status = ?", p.ID, p.Status).Updates(columns)
	}
	if err := t.laterOne(move, conflict("The payment has changed meanwhile.")); err != nil {
		return err
	}
	// It is known what the gateway made of it, so nobody needs to ask what became of its earlier answer.
	if err := t.callOffSettling(p); err != nil {
		return err
	}
	if to == PaymentCancelled && (p.Status == PaymentRequiresAction || p.Status == PaymentProcessing) && p.MethodID != nil {
		// The gateway knows nothing of that. Somebody closes its page, or finds out that the customer was faster.
		t.askLater(p, "close", time.Nanosecond)
	}
	p.Status, p.UpdatedAt = to, t.now
	t.note(o, "payment."+string(to), actor, "The payment is "+string(to)+".", detail)
	return nil
}

// cancelOpenPayments cancels a locked order's payments that wait for the customer. One that the gateway is working on is left to it.
func (t *tx) cancelOpenPayments(o *Order, actor string) error {
	for i := range o.Payments {
		p := &o.Payments[i]
		if p.Status == PaymentPending || p.Status == PaymentRequiresAction {
			if err := t.movePayment(o, p, PaymentCancelled, paymentChange{}, actor); err != nil {
				return err
			}
		}
	}
	return nil
}

func (o *Order) payment(id string) *Payment {
	for i := range o.Payments {
		if o.Payments[i].ID == id {
			return &o.Payments[i]
		}
	}
	return nil
}

// Payment returns a payment, for the worker that settles it.
func (s *Store) Payment(ctx context.Context, id string) (*Payment, error) {
	if !isID(id, "pay") {
		return nil, notFound("payment")
	}
	var p Payment
	err := s.read(ctx).Where("id = ?", id).Take(&p).Error
	return &p, orNotFound(err, "payment")
}

// PaymentByToken returns the payment that a gateway's page is about, with its order. It fails alike for a token that is wrong
// and for one of another gateway.
func (s *Store) PaymentByToken(ctx context.Context, gateway, token string) (*Payment, *OrderView, error) {
	if !urlToken.MatchString(token) {
		return nil, nil, notFound("payment")
	}
	var p Payment
	o, err := s.snapshotOrder(ctx, "(SELECT order_id FROM payments WHERE token = ?)", token, func(db *gorm.DB) *gorm.DB {
		return db.Where("token = ? AND gateway = ?", token, gateway).Take(&p)
	})
	if err != nil {
		return nil, nil, orNotFound(err, "payment")
	}
	v, err := s.view(o, true)
	return &p, v, err
}
