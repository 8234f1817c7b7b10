package models

// A move is one row of a state machine's table.
type move[S comparable] struct{ from, to S }

// machine is a state machine as a plain table: whatever is not in it is refused, except staying where one is.
type machine[S comparable] []move[S]

func (m machine[S]) allows(from, to S) bool {
	for _, r := range m {
		if r.from == from && r.to == to {
			return true
		}
	}
	return false
}

// step judges a move: to the state already held it is a no-op, outside the table a conflict.
func step[S ~string](m machine[S], what string, from, to S) (noop bool, err error) {
	if from == to {
		return true, nil
	}
	if !m.allows(from, to) {
		return false, conflict("The %s is %s; it cannot become %s.", what, from, to)
	}
	return false, nil
}

// orderMoves is the order's machine. Any test order may also be terminated.
var orderMoves = machine[OrderStatus]{
	{OrderNotPaid, OrderPaid},    // a payment succeeded, it was marked paid, or its total is zero
	{OrderNotPaid, OrderDeleted}, // cancelled by staff, or expired
	{OrderDeleted, OrderNotPaid}, // revived by staff after late money
}

// itemMoves is the machine of an item's fulfilment.
var itemMoves = machine[FulfillmentStatus]{
	{NotDelivered, PartiallyDelivered},
	{PartiallyDelivered, NotDelivered},
	{NotDelivered, Delivered},
	{PartiallyDelivered, Delivered},
	{NotDelivered, FulfillmentFailed},
	{PartiallyDelivered, FulfillmentFailed},
	{FulfillmentFailed, NotDelivered},
	{FulfillmentFailed, PartiallyDelivered},
}

// paymentMoves is the payment's machine.
var paymentMoves = machine[PaymentStatus]{
	{PaymentPending, PaymentRequiresAction},
	{PaymentPending, PaymentProcessing},
	{PaymentRequiresAction, PaymentProcessing},
	{PaymentPending, PaymentSucceeded},
	{PaymentPending, PaymentFailed},
	{PaymentPending, PaymentCancelled},
	{PaymentRequiresAction, PaymentSucceeded},
	{PaymentRequiresAction, PaymentFailed},
	{PaymentRequiresAction, PaymentCancelled},
	{PaymentProcessing, PaymentSucceeded},
	{PaymentProcessing, PaymentFailed},
	{PaymentProcessing, PaymentCancelled},
}

// fulfillmentOf derives an order's fulfilment from its items.
func fulfillmentOf(items []Item) FulfillmentStatus {
	delivered, begun := 0, false
	for i := range items {
		switch items[i].FulfillmentStatus {
		case Delivered:
			delivered++
		case PartiallyDelivered:
			begun = true
		}
	}
	switch {
	case len(items) > 0 && delivered == len(items):
		return Delivered
	case delivered > 0 || begun:
		return PartiallyDelivered
	}
	return NotDelivered
}
