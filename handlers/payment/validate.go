package payment

import (
	"regexp"
	"time"
)

// requestID is the form of our ids that gateways are given: it survives in their
// references, URLs and headers as it is.
var requestID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// validateRequest checks what every request to a gateway has.
func validateRequest(idField, id string, amount int64, currency string, createdAt time.Time) FieldErrors {
	wrong := validateMoney(amount, currency)
	if !requestID.MatchString(id) {
		wrong = append(wrong, FieldError{idField, "must have 1 to 64 letters, digits, _ or -"})
	}
	if year := createdAt.UTC().Year(); year < 1970 || year > 9999 {
		wrong = append(wrong, FieldError{"created_at", "is required"})
	}
	return wrong
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

// validateRefund checks a refund against the charge whose money it gives back.
func validateRefund(req RefundRequest, chargedAmount int64, chargedCurrency string) FieldErrors {
	wrong := validateRequest("refund_id", req.RefundID, req.Amount, req.Currency, req.CreatedAt)
	if req.Amount > chargedAmount {
		wrong = append(wrong, FieldError{"amount", "is more than was charged"})
	}
	if req.Currency != chargedCurrency {
		wrong = append(wrong, FieldError{"currency", "is not the one that was charged"})
	}
	if req.Attempt < 0 {
		wrong = append(wrong, FieldError{"attempt", "must not be below zero"})
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
