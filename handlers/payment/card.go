package payment

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"
)

const (
	cardMask = "[card]"
	// maxExpiryYears is how far ahead a card may expire. The bound is Stripe's.
	maxExpiryYears = 50
)

// Card is what the customer typed. It decodes from the API's "card" object and
// never comes out again: however it is printed, logged or encoded, a mask takes
// its place.
type Card struct {
	// Number may have spaces and dashes in it.
	Number   string `json:"number"`
	ExpMonth int    `json:"exp_month"`
	// ExpYear has four digits or two.
	ExpYear int    `json:"exp_year"`
	CVC     string `json:"cvc"`
}

// String returns a mask.
func (Card) String() string { return cardMask }

// GoString returns a mask.
func (Card) GoString() string { return cardMask }

// Format prints a mask for every verb: %d would look past String and GoString.
func (Card) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, cardMask) }

// LogValue returns a mask.
func (Card) LogValue() slog.Value { return slog.StringValue(cardMask) }

// MarshalJSON returns a mask.
func (Card) MarshalJSON() ([]byte, error) { return json.Marshal(cardMask) }

// digits returns the number without spaces and dashes.
func (c Card) digits() string {
	return strings.NewReplacer(" ", "", "-", "").Replace(c.Number)
}

// ValidateCard returns what is wrong with a card before any gateway is asked,
// field by field as the API names them; nothing for a card that may be charged.
// A card is good until the end of its month in UTC.
func ValidateCard(card Card, now time.Time) []FieldError {
	var wrong []FieldError
	refuse := func(field, message string) {
		wrong = append(wrong, FieldError{"card." + field, message})
	}

	switch number := card.digits(); {
	case number == "":
		refuse("number", "is required")
	case !allDigits(number):
		refuse("number", "must have digits only, spaces and dashes aside")
	case len(number) < 12 || len(number) > 19:
		refuse("number", "must have 12 to 19 digits")
	case !luhn(number):
		refuse("number", "is not a card number; please check for a typing mistake")
	}

	monthValid := card.ExpMonth >= 1 && card.ExpMonth <= 12
	if !monthValid {
		refuse("exp_month", "must be from 1 to 12")
	}
	year, thisYear := card.ExpYear, now.UTC().Year()
	if year > 0 && year < 100 {
		year += thisYear / 100 * 100
	}
	switch {
	case year <= 0:
		refuse("exp_year", "is required")
	case year < thisYear:
		refuse("exp_year", "is in the past")
	case year > thisYear+maxExpiryYears:
		refuse("exp_year", fmt.Sprintf("must be within the next %d years", maxExpiryYears))
	case year == thisYear && monthValid && time.Month(card.ExpMonth) < now.UTC().Month():
		refuse("exp_month", "is in the past")
	}

	if !allDigits(card.CVC) || len(card.CVC) < 3 || len(card.CVC) > 4 {
		refuse("cvc", "must have 3 or 4 digits")
	}
	return wrong
}

func allDigits(text string) bool {
	return strings.Trim(text, "0123456789") == ""
}

// luhn checks the last digit of a card number (ISO/IEC 7812-1, annex B).
func luhn(digits string) bool {
	sum := 0
	for i := range len(digits) {
		d := int(digits[len(digits)-1-i] - '0')
		if i%2 == 1 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	return sum%10 == 0
}
