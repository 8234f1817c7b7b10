package payment

import "slices"

// Class tells when the money of a payment method arrives.
type Class string

const (
	// Online methods are paid while the customer waits.
	Online Class = "online"
	// Offline methods are paid by instructions, days later.
	Offline Class = "offline"
)

// The names of the payment methods, as orders and payments carry them.
const (
	MethodCard         = "card"
	MethodBankTransfer = "bank_transfer"
)

// Method is a way to pay.
type Method struct {
	Name  string
	Class Class
}

var methods = []Method{
	{MethodCard, Online},
	{MethodBankTransfer, Offline},
}

// Methods returns every payment method, in the order in which they are offered.
func Methods() []Method { return slices.Clone(methods) }

// MethodByName finds a method; ok is false for a name that none has.
func MethodByName(name string) (method Method, ok bool) {
	i := slices.IndexFunc(methods, func(m Method) bool { return m.Name == name })
	if i < 0 {
		return Method{}, false
	}
	return methods[i], true
}
