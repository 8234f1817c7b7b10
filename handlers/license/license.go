// Package license makes and checks licence keys and the settings behind them.
//
// It is a leaf: it knows no database, no queue and no HTTP, and everything in it
// is a pure function of its arguments. Randomness always comes in as an
// io.Reader, which in production is crypto/rand.Reader.
//
// Keys are secrets of the customer. No error of this package repeats a key or a
// part of one; an error about an uploaded key names its line instead.
package license

import "strings"

// The licence generation methods whose settings this package knows. They are the
// values of a product's license_method.
const (
	// MethodPool takes keys from the product's own list.
	MethodPool = "pool"
	// MethodTemplate generates keys from a [Pattern].
	MethodTemplate = "template"
	// MethodSigned issues Ed25519-signed keys that verify offline; see [Sign].
	MethodSigned = "signed"
	// MethodEmulator issues marked test keys; see [Emulate]. Test orders only.
	MethodEmulator = "emulator"
)

// MaxKeyLength is the longest licence key, in bytes, that is stored, signed or
// verified.
const MaxKeyLength = 4096

// FieldError says what is wrong with one field of a request. Message completes
// the sentence that Field begins ("license.pattern" "must end in …").
type FieldError struct {
	Field   string
	Message string
}

// Error returns the field and the message.
func (e FieldError) Error() string { return e.Field + " " + e.Message }

// FieldErrors is every field that is wrong, in the order of the field names; it
// is never empty when it is returned as an error. errors.As finds the first
// [FieldError] in it.
type FieldErrors []FieldError

// Error joins the errors of all fields.
func (e FieldErrors) Error() string {
	parts := make([]string, len(e))
	for i, field := range e {
		parts[i] = field.Error()
	}
	return strings.Join(parts, "; ")
}

// Unwrap lets errors.Is and errors.As look at each field's error.
func (e FieldErrors) Unwrap() []error {
	errs := make([]error, len(e))
	for i, field := range e {
		errs[i] = field
	}
	return errs
}
