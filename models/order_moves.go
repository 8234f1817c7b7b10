package models

import (
	"context"
	"slices"
	"strings"
	"time"

	"gorm.io/gorm"
)

// lockOrder locks an order's row, which serialises everything that happens to the order, and loads all of it.
func (t *tx) lockOrder(id string) (*Order, error) { return t.lockOrderBy("?", id, "order") }

// lockOrderBy is lockOrder for the order whose id an SQL expression finds by one parameter, which names the thing that is looked for. What
// is to be asked too is asked under the lock.
func (t *tx) lockOrderBy(expression, parameter, thing string, too ...question) (*Order, error) {
	var o Order
	var endpoints []WebhookEndpoint
	lock := func(db *gorm.DB) *gorm.DB {
		return t.s.dialect.lock(db, "").Where("id = "+expression, parameter).Take(&o)
	}
	questions := append([]question{lock}, o.questions(expression, parameter)...)
	questions = append(questions, func(db *gorm.DB) *gorm.DB {
		return subscribed(db).Where("(merchant_id, test) = (SELECT merchant_id, test FROM orders WHERE id = "+expression+")", parameter).Find(&endpoints)
	})
	if err := together(t.DB, append(questions, too...)...); err != nil {
		return nil, orNotFound(err, thing)
	}
	t.subscribe(o.scope(), endpoints)
	o.sortLicenses()
	return &o, nil
}

// lockOrderOf is lockOrder for an order that has to be of a scope.
func (t *tx) lockOrderOf(sc Scope, id string) (*Order, error) {
	if !isID(id, "ord") {
		return nil, notFound("order")
	}
	o, err := t.lockOrder(id)
	if err == nil && o.scope() != sc {
		return nil, notFound("order")
	}
	return o, err
}

// questions ask for all that belongs to the order whose id an SQL expression finds by one parameter. When they are answered, sortLicenses
// is to be called.
func (o *Order) questions(expression, parameter string) []question {
	of := func(db *gorm.DB) *gorm.DB { return db.Where("order_id = "+expression, parameter) }
	return []question{
		func(db *gorm.DB) *gorm.DB { return of(db).Order("position").Find(&o.Items) },
		func(db *gorm.DB) *gorm.DB { return of(db).Order("id").Find(&o.Payments) },
		func(db *gorm.DB) *gorm.DB { return of(db).Order("item_id, unit").Find(&o.licenses) },
	}
}

// sortLicenses gives each item its licences.
func (o *Order) sortLicenses() {
	for _, l := range o.licenses {
		if i := o.item(l.ItemID); i != nil {
			i.Licenses = append(i.Licenses, l)
		}
	}
	o.licenses = nil
}

// readOrder is lockOrderBy without the lock.
func readOrder(ask func(...question) error, expression, parameter string, too ...question) (*Order, error) {
	var o Order
	find := func(db *gorm.DB) *gorm.DB { return db.Where("id = "+expression, parameter).Take(&o) }
	questions := append([]question{find}, o.questions(expression, parameter)...)
	if err := ask(append(questions, too...)...); err != nil {
		return nil, err
	}
	o.sortLicenses()
	return &o, nil
}

// snapshotOrder is readOrder of one state of the database.
func (s *Store) snapshotOrder(ctx context.Context, expression, parameter string, too ...question) (*Order, error) {
	ask := func(questions ...question) error { return s.snapshotTogether(ctx, questions...) }
	return readOrder(ask, expression, parameter, too...)
}

// Order returns an order as the outside sees it, with its licence keys.
func (s *Store) Order(ctx context.Context, sc Scope, id string) (*OrderView, error) {
	return s.orderOf(ctx, sc, id)
}

// orderOf is Order, with what else is to be asked of the same state of the database.
func (s *Store) orderOf(ctx context.Context, sc Scope, id string, too ...question) (*OrderView, error) {
	if !isID(id, "ord") {
		return nil, notFound("order")
	}
	o, err := s.snapshotOrder(ctx, "?", id, too...)
	if err != nil {
		return nil, orNotFound(err, "order")
	}
	if o.scope() != sc {
		return nil, notFound("order")
	}
	return s.view(o, false)
}

// OrderFilter narrows a listing of orders; empty fields match everything.
type OrderFilter struct {
	Status, FulfillmentStatus, Email, Number, ExternalID string
	// Product is an id or a SKU.
	Product                string
	CreatedFrom, CreatedTo time.Time
}

// check refuses what can match no order, and so keeps from PostgreSQL what it cannot store.
func (f *OrderFilter) check() error {
	var bad invalids
	statuses := []OrderStatus{OrderNotPaid, OrderPaid, OrderDeleted, OrderTerminated}
	if f.Status != "" && !slices.Contains(statuses, OrderStatus(f.Status)) {
		bad.add("status", "must be one of %s", joined(statuses))
	}
	fulfillments := []FulfillmentStatus{NotDelivered, PartiallyDelivered, Delivered}
	if f.FulfillmentStatus != "" && !slices.Contains(fulfillments, FulfillmentStatus(f.FulfillmentStatus)) {
		bad.add("fulfillment_status", "must be one of %s", joined(fulfillments))
	}
	checkText(&bad, "email", f.Email, 254)
	checkText(&bad, "number", f.Number, 40)
	checkText(&bad, "external_id", f.ExternalID, 200)
	return bad.err()
}

// Orders lists orders, newest first. Terminated test orders are listed only when asked for.
func (s *Store) Orders(ctx context.Context, sc Scope, f OrderFilter, page Page) ([]*OrderView, string, error) {
	if err := f.check(); err != nil {
		return nil, "", err
	}
	if f.Product != "" && !skuPattern.MatchString(f.Product) {
		return []*OrderView{}, "", nil
	}
	var rows []Order
	var next string
	err := s.snapshot(ctx, func(db *gorm.DB) (err error) {
		q := f.narrow(db.Where("merchant_id = ? AND test = ?", sc.MerchantID, sc.Test))
		if f.Product != "" {
			if q, err = withProduct(db, q, sc, f.Product); err != nil {
				return err
			}
		}
		if rows, next, err = paginate(q, page, func(o *Order) string { return o.ID }); err != nil {
			return err
		}
		return loadOrders(db, rows)
	})
	if err != nil {
		return nil, "", err
	}
	out := make([]*OrderView, len(rows))
	for i := range rows {
		if out[i], err = s.view(&rows[i], false); err != nil {
			return nil, "", err
		}
	}
	return out, next, nil
}

// narrow adds the filter, which has been checked, to a query of orders. What an index is limited to is said in so many words instead of by a
// parameter, so that every plan may use the index: among millions of orders, those that are looked for may be few and long ago.
func (f *OrderFilter) narrow(q *gorm.DB) *gorm.DB {
	for _, c := range []struct{ column, value string }{{"status", f.Status}, {"fulfillment_status", f.FulfillmentStatus}} {
		if c.value != "" {
			q = q.Where(c.column + " = '" + c.value + "'")
		}
	}
	for _, c := range []struct{ column, value string }{
		{"customer_email", strings.ToLower(strings.TrimSpace(f.Email))}, {"number", f.Number}, {"external_id", f.ExternalID},
	} {
		if c.value != "" {
			q = q.Where(c.column+" = ?", c.value)
		}
	}
	if f.ExternalID != "" {
		q = q.Where("external_id <> ''")
	}
	if f.Status == "" {
		q = q.Where("status <> 'terminated'")
	}
	if f.Status == string(OrderPaid) && f.FulfillmentStatus != "" && f.FulfillmentStatus != string(Delivered) {
		q = q.Where("fulfillment_status <> 'delivered'")
	}
	if !f.CreatedFrom.IsZero() {
		q = q.Where("created_at >= ? AND id >= ?", f.CreatedFrom.UTC(), firstID("ord", f.CreatedFrom.Add(-stampSlack)))
	}
	if !f.CreatedTo.IsZero() {
		q = q.Where("created_at <= ? AND id < ?", f.CreatedTo.UTC(), firstID("ord", f.CreatedTo.Add(stampSlack)))
	}
	return q
}

// withProduct narrows a query to the orders that have a product in them. The catalogue, which is small, says which products an id or a SKU
// means, so that the orders of one that is rarely sold are found by its id. An item that was sold under a SKU which no product has any more
// is found by the id of its product only. Of one that is not sold any more, the orders since are not read, nor those before the first of one
// that is new.
func withProduct(db, q *gorm.DB, sc Scope, idOrSKU string) (*gorm.DB, error) {
	var sold []struct{ ID, First, Last string }
	const of = "(SELECT order_id FROM items WHERE items.product_id = products.id ORDER BY order_id"
	err := db.Raw("SELECT id, COALESCE("+of+" LIMIT 1), '') AS first, COALESCE("+of+" DESC LIMIT 1), '') AS last FROM products WHERE merchant_id = ? AND (id = ? OR sku = ?)",
		sc.MerchantID, idOrSKU, idOrSKU).Scan(&sold).Error
	if err != nil {
		return nil, err
	}
	var ids []string
	var first, last string
	for _, p := range sold {
		if p.Last == "" {
			continue
		}
		if ids = append(ids, p.ID); first == "" || p.First < first {
			first = p.First
		}
		last = max(last, p.Last)
	}
	return q.Where("id >= ? AND id <= ? AND EXISTS (SELECT 1 FROM items WHERE items.order_id = orders.id AND items.product_id IN ?)", first, last, ids), nil
}

// stampSlack is how far the time in an order's id may be from the time of its creation: the transaction took that when it began, and the
// times in ids do not go back with a clock that is set back, by more than this one hopes. The bounds on id are there to be searched by an
// index, and every order in the slack is read; those on created_at decide.
const stampSlack = 5 * time.Minute

// loadOrders is loadOrder for a page of orders, with one query a table.
func loadOrders(db *gorm.DB, orders []Order) error {
	ids := make([]string, len(orders))
	at := make(map[string]*Order, len(orders))
	for i := range orders {
		ids[i] = orders[i].ID
		at[ids[i]] = &orders[i]
	}
	var items []Item
	if err := db.Where("order_id IN ?", ids).Order("order_id, position").Find(&items).Error; err != nil {
		return err
	}
	for _, i := range items {
		at[i.OrderID].Items = append(at[i.OrderID].Items, i)
	}
	var payments []Payment
	if err := db.Where("order_id IN ?", ids).Order("id").Find(&payments).Error; err != nil {
		return err
	}
	for _, p := range payments {
		at[p.OrderID].Payments = append(at[p.OrderID].Payments, p)
	}
	var licenses []License
	if err := db.Where("order_id IN ?", ids).Order("item_id, unit").Find(&licenses).Error; err != nil {
		return err
	}
	for _, l := range licenses {
		if i := at[l.OrderID].item(l.ItemID); i != nil {
			i.Licenses = append(i.Licenses, l)
		}
	}
	return nil
}

// moveOrder is the compare-and-set of an order's status with the columns that go with it. The order is locked.
func (t *tx) moveOrder(o *Order, to OrderStatus, columns map[string]any) error {
	columns["status"] = to
	from := o.Status
	o.Status = to
	return t.laterOne(func(db *gorm.DB) *gorm.DB {
		return db.Model(&Order{}).Where("id = ? AND status = ?", o.ID, from).Updates(columns)
	}, conflict("The order has changed meanwhile."))
}

// markPaid moves a locked order to paid and starts what follows: the confirmation email, the webhook, the fulfilment of each item.
func (t *tx) markPaid(o *Order, actor, summary string) error {
	if noop, err := step(orderMoves, "order", o.Status, OrderPaid); noop || err != nil {
		return err
	}
	if err := t.moveOrder(o, OrderPaid, map[string]any{"paid_at": t.now}); err != nil {
		return err
	}
	o.PaidAt = &t.now
	// Of an attempt that was given up for another, say, the money may have come after all.
	if err := t.cancelOpenPayments(o, actor); err != nil {
		return err
	}
	t.note(o, "order.paid", actor, summary, nil)
	if err := t.firstEmail(Email{Kind: EmailPaymentConfirmation, Fact: o.ID + ":payment_confirmation"}, o); err != nil {
		return err
	}
	for i := range o.Items {
		t.stageFulfilment(&o.Items[i])
	}
	if o.Total == 0 {
		return nil // nobody paid anything, so there is no payment to tell of
	}
	return t.emitOrder(EventPaymentSucceeded, o.ID+":paid", o)
}

// emitOrder emits an event whose data is the order as it is now.
func (t *tx) emitOrder(kind, fact string, o *Order) error {
	v, err := t.s.view(o, true)
	if err != nil {
		return err
	}
	_, err = t.emit(o.scope(), kind, fact, &o.ID, v)
	return err
}

// CancelOrder deletes an unpaid order with reason cancelled, together with what is left of its payments.
func (s *Store) CancelOrder(ctx context.Context, sc Scope, id, reason, actor string) (*OrderView, error) {
	var bad invalids
	checkText(&bad, "reason", reason, 500)
	if err := bad.err(); err != nil {
		return nil, err
	}
	var view *OrderView
	err := s.write(ctx, func(t *tx) error {
		o, err := t.lockOrderOf(sc, id)
		if err != nil {
			return err
		}
		if o.Status == OrderDeleted {
			view, err = s.view(o, false)
			return err
		}
		if o.Status == OrderPaid {
			return conflict("The order is paid; a paid order can only be refunded.")
		}
		for i := range o.Payments {
			if o.Payments[i].Status == PaymentProcessing {
				return conflict("A payment of the order is being confirmed; it cannot be cancelled before that is over.")
			}
		}
		uses, err := t.holdCouponsOf(*o)
		if err != nil {
			return err
		}
		if err := t.deleteOrder(o, uses, DeletedCancelled, actor, "The order was cancelled.", reason); err != nil {
			return err
		}
		view, err = s.view(o, false)
		return err
	})
	return view, err
}

// deleteOrder moves a locked, unpaid order to deleted, cancels its open payments and gives its uses of coupons back, which are among those that
// holdCouponsOf has returned.
func (t *tx) deleteOrder(o *Order, uses []couponUse, why, actor, summary, reason string) error {
	if noop, err := step(orderMoves, "order", o.Status, OrderDeleted); noop || err != nil {
		return err
	}
	if err := t.moveOrder(o, OrderDeleted, map[string]any{"deleted_at": t.now, "delete_reason": why}); err != nil {
		return err
	}
	o.DeletedAt, o.DeleteReason = &t.now, &why
	if err := t.releaseCoupons(o, uses); err != nil {
		return err
	}
	if err := t.cancelOpenPayments(o, actor); err != nil {
		return err
	}
	detail := map[string]any{"delete_reason": why}
	if reason != "" {
		detail["reason"] = reason
	}
	t.note(o, "order.deleted", actor, summary, detail)
	return t.emitOrder(EventOrderDeleted, o.ID+":deleted:"+t.now.Format(time.RFC3339Nano), o)
}
