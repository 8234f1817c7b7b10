package models

import (
	"encoding/json"
	"time"
)

// Duration is a time.Duration that is written as Go writes durations, such as "48h" or "90s".
type Duration time.Duration

// MarshalJSON writes the shortest form in hours, minutes and seconds.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(shortDuration(time.Duration(d))) }

// UnmarshalJSON reads a Go duration.
func (d *Duration) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	v, err := time.ParseDuration(s)
	*d = Duration(v)
	return err
}

// shortDuration is time.Duration's text without the zero units at its end: 48h, not 48h0m0s.
func shortDuration(d time.Duration) string {
	s := d.String()
	if len(s) > 3 && s[len(s)-3:] == "m0s" {
		s = s[:len(s)-2]
	}
	if len(s) > 3 && s[len(s)-3:] == "h0m" {
		s = s[:len(s)-2]
	}
	return s
}

// Settings are a merchant's own settings; those of test and live mode are the same.
type Settings struct {
	Reminders Reminders `json:"reminders"`
	// DeleteUnpaidAfter counts from an order's creation, or revival.
	DeleteUnpaidAfter Duration `json:"delete_unpaid_after"`
	// AnonymizeAfter counts from an order's deletion; null keeps personal data.
	AnonymizeAfter *Duration `json:"anonymize_after"`
	// RefundApproval is auto, or owner: an owner has to approve each refund.
	RefundApproval string `json:"refund_approval"`
	SupportEmail   string `json:"support_email"`
	SupportURL     string `json:"support_url"`
	// RefundRequests lets customers ask for a refund on the order page.
	RefundRequests bool     `json:"refund_requests"`
	Tax            Tax      `json:"tax"`
	Branding       Branding `json:"branding"`
	// TermsVersion and PrivacyVersion are those of the texts in force that Branding links to; empty for texts without one.
	TermsVersion   string `json:"terms_version"`
	PrivacyVersion string `json:"privacy_version"`
}

// Tax says what tax is contained in, or added to, a merchant's prices. Without a rate for the customer's country there is none.
type Tax struct {
	// Inclusive prices contain the tax.
	Inclusive bool `json:"inclusive"`
	// Country is where the merchant is established: a business with a VAT number elsewhere owes the tax itself (reverse charge).
	Country string    `json:"country"`
	Rates   []TaxRate `json:"rates"`
}

// TaxRate is the rate of one country.
type TaxRate struct {
	Country string `json:"country"`
	// RateBP is in hundredths of a percent: 1900 is 19 %.
	RateBP int `json:"rate_bp"`
}

// Branding is how the hosted pages and the emails look, and the texts that customers agree to.
type Branding struct {
	LogoURL    string `json:"logo_url"`
	Color      string `json:"color"` // #rrggbb
	TermsURL   string `json:"terms_url"`
	PrivacyURL string `json:"privacy_url"`
}

// Reminders are the pauses after an order's creation at which a customer who has not paid is reminded.
type Reminders struct {
	Online  []Duration `json:"online"`
	Offline []Duration `json:"offline"`
}

// DefaultSettings are those of a new merchant.
func DefaultSettings() Settings {
	h := func(n int) Duration { return Duration(time.Duration(n) * time.Hour) }
	return Settings{
		Reminders:         Reminders{Online: []Duration{h(1), h(48)}, Offline: []Duration{0, h(144), h(312)}},
		DeleteUnpaidAfter: h(2160),
		RefundApproval:    "auto",
		Tax:               Tax{Rates: []TaxRate{}},
	}
}
