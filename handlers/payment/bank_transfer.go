package payment

// Instructions tells a customer how to pay by bank transfer.
type Instructions struct {
	// Reference is the RF creditor reference of the order, which the customer
	// must quote. [PrintCreditorReference] makes it readable.
	Reference string
	// Amount is in minor units of Currency.
	Amount   int64
	Currency string
}

// BankTransfer returns the instructions for paying an order. The error is a
// [FieldErrors].
func BankTransfer(orderNumber string, amount int64, currency string) (Instructions, error) {
	wrong := validateMoney(amount, currency)
	reference, err := CreditorReference(orderNumber)
	if err != nil {
		wrong = append(wrong, FieldError{"order_number", "must have 1 to 21 digits and capital letters"})
	}
	if len(wrong) > 0 {
		return Instructions{}, wrong
	}
	return Instructions{Reference: reference, Amount: amount, Currency: currency}, nil
}

func validateMoney(amount int64, currency string) FieldErrors {
	var wrong FieldErrors
	if amount <= 0 {
		wrong = append(wrong, FieldError{"amount", "must be above zero"})
	}
	if !isCurrency(currency) {
		wrong = append(wrong, FieldError{"currency", "must be an ISO 4217 code of three capital letters"})
	}
	return wrong
}

func isCurrency(code string) bool {
	if len(code) != 3 {
		return false
	}
	for i := range len(code) {
		if code[i] < 'A' || code[i] > 'Z' {
			return false
		}
	}
	return true
}
