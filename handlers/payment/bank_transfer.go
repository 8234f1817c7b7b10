package payment

// Instructions tells a customer how to pay by bank transfer. All of it is for the
// customer's eyes.
type Instructions struct {
	// Reference is the RF creditor reference of the order, which the customer
	// must quote. [PrintCreditorReference] makes it readable.
	Reference string
	// Amount is in minor units of Currency.
	Amount   int64
	Currency string

	// The account, as [BankTransferConfig] has it. [PrintIBAN] makes the IBAN
	// readable. Empty when only the reference was asked for.
	AccountHolder string
	IBAN          string
	BIC           string
	BankName      string
	// Text is the seller's own, in lines of plain text.
	Text string
}

// BankTransfer returns the instructions for paying an order, without an account.
// The error is a [FieldErrors].
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
