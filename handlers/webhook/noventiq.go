package webhook

import (
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"strings"
)

// ErrNoventiqSecret is returned for an empty secret in the Noventiq format.
var ErrNoventiqSecret = errors.New("webhook secret must not be empty")

// NoventiqFields are the values of a Noventiq body that its signature covers,
// written exactly as in the body.
type NoventiqFields struct {
	Event         string // "order.created"
	OrderID       string // the number in decimal digits
	CreateDate    string // "2021-08-13T09:16:35+03:00"
	PaymentMethod string // "CreditCard"
	Currency      string // "EUR"
	CustomerEmail string
}

// NoventiqSignature returns the value of the header "signature" in the Noventiq
// Checkout format (docs.noventiq.com, Webhook Examples): the lower-case hex
// SHA-512 of the secret and the fields joined by semicolons. The secret is used
// as the text it is. The format covers only these fields, not the whole body,
// and has no timestamp; new receivers are better served by [Header].
func NoventiqSignature(secret string, f NoventiqFields) (string, error) {
	if secret == "" {
		return "", ErrNoventiqSecret
	}
	sum := sha512.Sum512([]byte(strings.Join([]string{
		secret, f.Event, f.OrderID, f.CreateDate, f.PaymentMethod, f.Currency, f.CustomerEmail,
	}, ";")))
	return hex.EncodeToString(sum[:]), nil
}
