package models

import (
	"fmt"
	"testing"
)

// sentence is one row of the design's table of a state machine, in words.
type sentence[S any] struct {
	from, to S
	when     string
}

// testMachine checks every pair of statuses: a row of the design moves, staying is a no-op, everything else is a conflict.
func testMachine[S ~string](t *testing.T, what string, m machine[S], statuses []S, design []sentence[S]) {
	t.Helper()
	t.Parallel()
	allowed := map[move[S]]string{}
	for _, r := range design {
		if _, twice := allowed[move[S]{r.from, r.to}]; twice {
			t.Errorf("the design has %s to %s twice", r.from, r.to)
		}
		allowed[move[S]{r.from, r.to}] = r.when
	}
	if len(m) != len(design) {
		t.Errorf("the table has %d moves, the design %d", len(m), len(design))
	}
	for _, from := range statuses {
		for _, to := range statuses {
			when, moves := allowed[move[S]{from, to}]
			switch {
			case from == to:
				t.Run(fmt.Sprintf("a %s %s stays %s without an error", from, what, to), func(t *testing.T) {
					t.Parallel()
					if noop, err := step(m, what, from, to); !noop || err != nil {
						t.Errorf("no-op %t, error %v", noop, err)
					}
				})
			case moves:
				t.Run(fmt.Sprintf("a %s %s becomes %s when %s", from, what, to, when), func(t *testing.T) {
					t.Parallel()
					if noop, err := step(m, what, from, to); noop || err != nil {
						t.Errorf("no-op %t, error %v", noop, err)
					}
				})
			default:
				t.Run(fmt.Sprintf("a %s %s never becomes %s", from, what, to), func(t *testing.T) {
					t.Parallel()
					noop, err := step(m, what, from, to)
					if noop || CodeOf(err) != CodeConflict {
						t.Fatalf("no-op %t, error %v, want a conflict", noop, err)
					}
					if want := fmt.Sprintf("The %s is %s; it cannot become %s.", what, from, to); err.Error() != want {
						t.Errorf("message %q, want %q", err, want)
					}
				})
			}
		}
	}
}

func TestOrderMoves(t *testing.T) {
	testMachine(t, "order", orderMoves, []OrderStatus{OrderNotPaid, OrderPaid, OrderDeleted, OrderTerminated}, []sentence[OrderStatus]{
		{OrderNotPaid, OrderPaid, "a payment succeeds, it is marked paid, or its total is zero"},
		{OrderNotPaid, OrderDeleted, "staff cancel it or it expires"},
		{OrderDeleted, OrderNotPaid, "staff revive it after late money"},
	})
}

func TestItemMoves(t *testing.T) {
	statuses := []FulfillmentStatus{NotDelivered, PartiallyDelivered, Delivered, FulfillmentFailed}
	testMachine(t, "item", itemMoves, statuses, []sentence[FulfillmentStatus]{
		{NotDelivered, PartiallyDelivered, "some of its licences are sent"},
		{PartiallyDelivered, NotDelivered, "what was sent is taken back"},
		{NotDelivered, Delivered, "all of its licences are sent or confirmed"},
		{PartiallyDelivered, Delivered, "the last of its licences is sent or confirmed"},
		{NotDelivered, FulfillmentFailed, "it cannot be fulfilled and waits for a person"},
		{PartiallyDelivered, FulfillmentFailed, "the rest of it cannot be fulfilled and waits for a person"},
		{FulfillmentFailed, NotDelivered, "a person starts it again from the beginning"},
		{FulfillmentFailed, PartiallyDelivered, "a person starts the rest of it again"},
	})
}

func TestPaymentMoves(t *testing.T) {
	statuses := []PaymentStatus{PaymentPending, PaymentRequiresAction, PaymentProcessing, PaymentSucceeded, PaymentFailed, PaymentCancelled}
	testMachine(t, "payment", paymentMoves, statuses, []sentence[PaymentStatus]{
		{PaymentPending, PaymentRequiresAction, "the customer has to confirm it"},
		{PaymentPending, PaymentProcessing, "the gateway takes its time"},
		{PaymentRequiresAction, PaymentProcessing, "the customer has confirmed it and the gateway takes its time"},
		{PaymentPending, PaymentSucceeded, "the gateway takes it at once, or staff saw the money arrive"},
		{PaymentPending, PaymentFailed, "the gateway declines it"},
		{PaymentPending, PaymentCancelled, "another is begun or the order is deleted"},
		{PaymentRequiresAction, PaymentSucceeded, "the customer confirms it"},
		{PaymentRequiresAction, PaymentFailed, "the customer's bank declines it"},
		{PaymentRequiresAction, PaymentCancelled, "the customer leaves it for another"},
		{PaymentProcessing, PaymentSucceeded, "the gateway has the money"},
		{PaymentProcessing, PaymentFailed, "the money does not come"},
		{PaymentProcessing, PaymentCancelled, "its order expires after the week of grace"},
	})
}

func TestAnOrdersFulfillmentFollowsFromItsItems(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		items []FulfillmentStatus
		want  FulfillmentStatus
	}{
		{"an order without items is not delivered", nil, NotDelivered},
		{"nothing is delivered", []FulfillmentStatus{NotDelivered, NotDelivered}, NotDelivered},
		{"one of two is delivered", []FulfillmentStatus{Delivered, NotDelivered}, PartiallyDelivered},
		{"one is partially delivered", []FulfillmentStatus{NotDelivered, PartiallyDelivered}, PartiallyDelivered},
		{"all are delivered", []FulfillmentStatus{Delivered, Delivered}, Delivered},
		{"a failed item keeps the order from being delivered", []FulfillmentStatus{Delivered, FulfillmentFailed}, PartiallyDelivered},
		{"an order is never failed", []FulfillmentStatus{FulfillmentFailed}, NotDelivered},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			items := make([]Item, len(c.items))
			for i, status := range c.items {
				items[i].FulfillmentStatus = status
			}
			if got := fulfillmentOf(items); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}
