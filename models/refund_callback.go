package models

// hearOfRefund puts what a gateway tells of a refund onto the order's timeline.
func (t *tx) hearOfRefund(cb *GatewayCallback) error {
	r, err := cb.refund(t.DB)
	if err != nil {
		return err
	}
	o, err := t.lockOrder(r.OrderID)
	if err != nil {
		return err
	}
	told := &cb.Outcome
	detail := map[string]any{
		"refund": r.ID, "refund_status": r.Status, "told": told.Status, "amount": told.Amount, "currency": told.Currency, "reference": told.Reference,
	}
	if told.FailureCode != "" {
		detail["failure_code"] = told.FailureCode
	}
	t.note(o, "refund.told", "gateway:"+cb.Gateway, "The gateway tells that the refund is "+string(told.Status)+".", detail)
	return nil
}

// hearOfRefundTotal compares what a gateway says was given back of a payment in all with what is recorded here. More of it was given back
// by somebody at the gateway itself, which only staff can judge: the order's timeline tells.
func (t *tx) hearOfRefundTotal(cb *GatewayCallback, p *Payment) error {
	o, err := t.lockOrder(p.OrderID)
	if err != nil {
		return err
	}
	var ours int64
	err = t.Model(&Refund{}).Where("order_id = ? AND status IN ?", o.ID, []RefundStatus{RefundProcessing, RefundCompleted}).
		Select("COALESCE(SUM(amount), 0)").Scan(&ours).Error
	told := &cb.Outcome
	if err != nil || told.Currency == p.Currency && told.Amount <= ours {
		return err
	}
	t.note(o, "refund.elsewhere", "gateway:"+cb.Gateway, "More was given back at the gateway than is recorded here.", map[string]any{
		"payment": p.ID, "amount": told.Amount, "recorded": ours, "currency": told.Currency, "reference": told.Reference,
	})
	return nil
}
