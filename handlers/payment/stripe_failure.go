package payment

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/stripe/stripe-go/v85"
)

// stripeFields names the field of our request that a parameter of Stripe's came
// from.
var stripeFields = map[string]string{
	"amount":              "amount",
	"unit_amount":         "amount",
	"currency":            "currency",
	"customer_email":      "customer.email",
	"success_url":         "return_url",
	"cancel_url":          "cancel_url",
	"expires_at":          "created_at",
	"client_reference_id": "payment_id",
	"name":                "description",
}

// stripeChargeFailure says what a failed call for a payment page means.
func stripeChargeFailure(err error, req ChargeRequest) (Outcome, error) {
	var fault *stripe.Error
	if errors.As(err, &fault) {
		switch {
		case fault.Type == stripe.ErrorTypeCard:
			return Outcome{Amount: req.Amount, Currency: req.Currency}.failed(stripeFailureCode(fault)), nil
		case fault.Type == stripe.ErrorTypeIdempotency && fault.HTTPStatusCode == http.StatusBadRequest:
			return Outcome{}, FieldErrors{{"payment_id", "was used before for another request"}}
		}
	}
	return Outcome{}, stripeFailure(err)
}

// stripeRefundFailure says what a failed call for a refund means.
func stripeRefundFailure(err error, req RefundRequest) (Outcome, error) {
	var fault *stripe.Error
	if errors.As(err, &fault) {
		none := Outcome{Amount: req.Amount, Currency: req.Currency}
		switch {
		case fault.Type == stripe.ErrorTypeIdempotency && fault.HTTPStatusCode == http.StatusBadRequest:
			return Outcome{}, FieldErrors{{"refund_id", "was used before for another request"}}
		case fault.Type == stripe.ErrorTypeCard:
			return none.failed(RefundFailed), nil
		}
		switch fault.Code {
		case stripe.ErrorCodeChargeAlreadyRefunded, stripe.ErrorCodeChargeDisputed, stripe.ErrorCodeChargeNotRefundable,
			stripe.ErrorCodeRefundDisputedPayment, stripe.ErrorCodeBalanceInsufficient:
			return none.failed(RefundFailed), nil
		}
	}
	return Outcome{}, stripeFailure(err)
}

// stripeRetrieveFailure says what a failed call about an object means whose id we
// were given as a reference.
func stripeRetrieveFailure(err error) error {
	var fault *stripe.Error
	if errors.As(err, &fault) && fault.HTTPStatusCode == http.StatusNotFound {
		return errStripeReference
	}
	return stripeFailure(err)
}

// stripeFailure says what went wrong without Stripe's own words, which may repeat
// an address or a part of the key. Stripe's Dashboard shows them for the id of the
// request.
func stripeFailure(err error) error {
	var fault *stripe.Error
	if !errors.As(err, &fault) {
		return stripeTransportFailure(err)
	}
	told := fmt.Sprintf("Stripe answered %d (type %s, code %s, parameter %s, request %s)", fault.HTTPStatusCode,
		printable(string(fault.Type)), printable(string(fault.Code)), printable(fault.Param), printable(fault.RequestID))
	status := fault.HTTPStatusCode
	if status == http.StatusConflict || status == http.StatusTooManyRequests || status >= 500 || status < 400 {
		return fmt.Errorf("payment: stripe: %s", told)
	}
	if field, ok := stripeField(fault); ok {
		message := "is not accepted by Stripe"
		switch fault.Code {
		case stripe.ErrorCodeAmountTooSmall:
			message = "is less than Stripe takes"
		case stripe.ErrorCodeAmountTooLarge:
			message = "is more than Stripe takes"
		}
		return FieldErrors{{field, message}}
	}
	return fmt.Errorf("payment: stripe: %w: %s", ErrRefused, told)
}

func stripeField(fault *stripe.Error) (string, bool) {
	switch fault.Code {
	case stripe.ErrorCodeAmountTooSmall, stripe.ErrorCodeAmountTooLarge:
		return "amount", true
	case stripe.ErrorCodeEmailInvalid:
		return "customer.email", true
	}
	// line_items[0][price_data][unit_amount]
	param := strings.TrimSuffix(fault.Param, "]")
	field, ok := stripeFields[param[strings.LastIndexByte(param, '[')+1:]]
	return field, ok
}

// printable lets through what Stripe's codes and ids consist of.
func printable(text string) string {
	const most = 80
	text = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_-.[]", r) {
			return r
		}
		return -1
	}, text)
	if text == "" {
		return "none"
	}
	return text[:min(len(text), most)]
}

// stripeFailureCode chooses the code for a payment that failed. Stripe's finer
// reasons, such as a stolen card, are not for the customer to know.
func stripeFailureCode(fault *stripe.Error) FailureCode {
	if fault == nil {
		return ProcessingError
	}
	switch fault.DeclineCode {
	case stripe.DeclineCodeInsufficientFunds:
		return InsufficientFunds
	case stripe.DeclineCodeExpiredCard:
		return ExpiredCard
	case stripe.DeclineCodeProcessingError:
		return ProcessingError
	case stripe.DeclineCodeAuthenticationRequired:
		return AuthenticationFailed
	}
	switch fault.Code {
	case stripe.ErrorCodeExpiredCard:
		return ExpiredCard
	case stripe.ErrorCodeInsufficientFunds:
		return InsufficientFunds
	case stripe.ErrorCodePaymentIntentAuthenticationFailure, stripe.ErrorCodeAuthenticationRequired:
		return AuthenticationFailed
	case stripe.ErrorCodeProcessingError:
		return ProcessingError
	}
	if fault.Type == stripe.ErrorTypeCard {
		return CardDeclined
	}
	return ProcessingError
}
