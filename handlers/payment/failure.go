package payment

// FailureCode says why a charge or a refund failed. The card codes are Stripe's
// decline codes, so that shops can keep what they have.
type FailureCode string

// The failure codes that the gateways of this package give.
const (
	CardDeclined         FailureCode = "card_declined"
	InsufficientFunds    FailureCode = "insufficient_funds"
	ExpiredCard          FailureCode = "expired_card"
	ProcessingError      FailureCode = "processing_error"
	AuthenticationFailed FailureCode = "authentication_failed"
	NotRefundable        FailureCode = "not_refundable"
	// PaymentExpired: the gateway's payment page was open for too long, or was
	// closed because another way to pay was chosen.
	PaymentExpired FailureCode = "payment_expired"
	// RefundFailed: the gateway could not send the money back.
	RefundFailed FailureCode = "refund_failed"
)

var failureMessages = map[FailureCode]string{
	CardDeclined:         "The card was declined. Please use another card or ask your bank.",
	InsufficientFunds:    "There is not enough money on this card. Please use another card.",
	ExpiredCard:          "The card has expired. Please use another card.",
	ProcessingError:      "The payment could not be processed and nothing was charged. Please try again.",
	AuthenticationFailed: "The payment was not confirmed and nothing was charged. Please try again or use another card.",
	NotRefundable:        "The payment was not completed, so it cannot be refunded.",
	PaymentExpired:       "The payment page has expired and nothing was charged. Please pay again.",
	RefundFailed:         "The money could not be sent back the way it came. Please ask the seller for another way.",
}

// Message says in plain English what happened and what to do. A code that this
// package does not know gets a general sentence.
func (c FailureCode) Message() string {
	if message, ok := failureMessages[c]; ok {
		return message
	}
	return "The payment failed and nothing was charged. Please try again or pay in another way."
}
