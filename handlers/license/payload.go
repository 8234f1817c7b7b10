package license

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"
)

// PayloadVersion is the version of [Payload] that [Sign] writes and [Verify]
// reads. Within a version fields may be added and verifiers ignore those they do
// not know; a field that goes away or changes its meaning makes a new version.
const PayloadVersion = 1

// MaxLicensedTo is the longest [Payload.LicensedTo], in characters.
const MaxLicensedTo = 200

// ErrPayloadVersion is wrapped by the error of [Verify] for a payload whose
// signature is right but whose version is missing or another one.
var ErrPayloadVersion = errors.New("unsupported payload version")

// Payload is what a signed licence says. Its JSON is compact, has the fields in
// the order below and is the same bytes for the same values. The version is
// written as "v".
type Payload struct {
	// Order is the order's id (ord_…).
	Order string `json:"order"`
	// OrderNumber is the order's number as the customer knows it.
	OrderNumber string `json:"order_number"`
	// Item is the order item's id (itm_…).
	Item string `json:"item"`
	// Unit counts the licences of the item from 1. It is 1 for the only licence
	// of a product that is licensed per item.
	Unit int `json:"unit"`
	// Product is the product's id (prd_…).
	Product string `json:"product"`
	// SKU is the merchant's own name of the product.
	SKU string `json:"sku"`
	// Quantity is how many bought units this licence covers: 1 where every unit
	// has its own licence, the item's quantity where the item has one.
	Quantity int `json:"quantity"`
	// IssuedAt is when the licence was made, in whole seconds UTC; Sign cuts off
	// the rest.
	IssuedAt time.Time `json:"issued_at"`
	// Test is true for the licence of a test order. A program should refuse it
	// outside of development.
	Test bool `json:"test"`
	// LicensedTo names the customer, and is absent unless the merchant has
	// switched licensed_to on. It is personal data inside the key.
	LicensedTo string `json:"licensed_to,omitempty"`
}

// versionedPayload puts the version in front of the fields.
type versionedPayload struct {
	Version int `json:"v"`
	Payload
}

func (p Payload) encode() ([]byte, error) {
	p.IssuedAt = p.IssuedAt.UTC().Truncate(time.Second)
	if err := p.validate(); err != nil {
		return nil, err
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false) // it is no web page, and & as \u0026 only makes keys longer
	if err := enc.Encode(versionedPayload{PayloadVersion, p}); err != nil {
		return nil, fmt.Errorf("license: encode payload: %w", err)
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil
}

func decodePayload(raw []byte) (Payload, error) {
	// The version comes first: the fields of another version may not even parse.
	var head struct {
		Version *int `json:"v"`
	}
	if err := json.Unmarshal(raw, &head); err != nil {
		return Payload{}, errors.New("license: the signed payload is not a JSON object with a version v")
	}
	if head.Version == nil {
		return Payload{}, fmt.Errorf("license: %w: v is missing, expected %d", ErrPayloadVersion, PayloadVersion)
	}
	if *head.Version != PayloadVersion {
		return Payload{}, fmt.Errorf("license: %w: v is %d, expected %d", ErrPayloadVersion, *head.Version, PayloadVersion)
	}
	var p Payload
	if err := json.Unmarshal(raw, &p); err != nil {
		return Payload{}, fmt.Errorf("license: the signed payload does not have the fields of version %d", PayloadVersion)
	}
	if err := p.validate(); err != nil {
		return Payload{}, err
	}
	p.IssuedAt = p.IssuedAt.UTC()
	return p, nil
}

func (p Payload) validate() error {
	for _, field := range []struct{ name, value string }{
		{"order", p.Order}, {"order_number", p.OrderNumber}, {"item", p.Item}, {"product", p.Product}, {"sku", p.SKU},
	} {
		if field.value == "" {
			return fmt.Errorf("license: payload field %s is empty", field.name)
		}
		if !utf8.ValidString(field.value) {
			return fmt.Errorf("license: payload field %s is not UTF-8", field.name)
		}
	}
	switch {
	case p.Unit < 1:
		return errors.New("license: payload field unit must be at least 1")
	case p.Quantity < 1:
		return errors.New("license: payload field quantity must be at least 1")
	case p.IssuedAt.UTC().Year() < 1970 || p.IssuedAt.UTC().Year() > 9999:
		return errors.New("license: payload field issued_at must be a time from 1970 to 9999")
	case !utf8.ValidString(p.LicensedTo):
		return errors.New("license: payload field licensed_to is not UTF-8")
	case utf8.RuneCountInString(p.LicensedTo) > MaxLicensedTo:
		return fmt.Errorf("license: payload field licensed_to is longer than %d characters", MaxLicensedTo)
	}
	return nil
}
