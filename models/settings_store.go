package models

import (
	"context"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// SettingsView is what /v1/settings shows: the settings, and whether the merchant is live.
type SettingsView struct {
	Settings
	Live bool `json:"live" doc:"Whether the merchant's hosted pages make live orders."`
}

// SettingsPatch is a JSON merge patch of a merchant's settings; null puts back a default. Durations are Go's, such as "48h" or
// "90s", and stay text here so that a malformed one is the error of its field.
type SettingsPatch struct {
	Reminders         Optional[RemindersPatch] `json:"reminders"`
	DeleteUnpaidAfter Optional[string]         `json:"delete_unpaid_after"`
	AnonymizeAfter    Optional[string]         `json:"anonymize_after"`
	RefundApproval    Optional[string]         `json:"refund_approval"`
	SupportEmail      Optional[string]         `json:"support_email"`
	SupportURL        Optional[string]         `json:"support_url"`
	RefundRequests    Optional[bool]           `json:"refund_requests"`
	Tax               Optional[Tax]            `json:"tax"`
	Branding          Optional[Branding]       `json:"branding"`
	TermsVersion      Optional[string]         `json:"terms_version"`
	PrivacyVersion    Optional[string]         `json:"privacy_version"`
	Live              Optional[bool]           `json:"live"`
}

// RemindersPatch is the reminders member of a SettingsPatch. Each list replaces the old one.
type RemindersPatch struct {
	Online  Optional[[]string] `json:"online"`
	Offline Optional[[]string] `json:"offline"`
}

const (
	maxReminders   = 10
	maxPause       = 10 * 365 * 24 * time.Hour
	maxTextVersion = 100 // characters
)

// Settings returns a merchant's settings.
func (s *Store) Settings(ctx context.Context, merchantID string) (*SettingsView, error) {
	m, err := s.Merchant(ctx, merchantID)
	if err != nil {
		return nil, err
	}
	return m.settingsView(), nil
}

func (m *Merchant) settingsView() *SettingsView { return &SettingsView{m.Settings, m.Live} }

// UpdateSettings changes a merchant's settings, and with them when its unpaid orders are reminded of and deleted. A live merchant's
// settings cannot be changed from test mode.
func (s *Store) UpdateSettings(ctx context.Context, sc Scope, patch SettingsPatch) (*SettingsView, error) {
	var view *SettingsView
	err := s.write(ctx, func(t *tx) error {
		m, err := t.lockMerchant(sc.MerchantID)
		if err != nil {
			return err
		}
		if err := m.mayWriteShared(sc); err != nil {
			return err
		}
		var bad invalids
		patch.apply(m, &bad)
		if err := bad.err(); err != nil {
			return err
		}
		m.DeleteUnpaidAfterS, m.UpdatedAt = seconds(m.Settings.DeleteUnpaidAfter), t.now
		if err := t.Model(m).Select("settings", "live", "delete_unpaid_after_s", "updated_at").Updates(m).Error; err != nil {
			return err
		}
		view = m.settingsView()
		return t.replaceReminderRules(m.ID, m.Settings.Reminders)
	})
	return view, err
}

func (p *SettingsPatch) apply(m *Merchant, bad *invalids) {
	v, standard := &m.Settings, DefaultSettings()
	if p.Reminders.Null {
		v.Reminders = standard.Reminders
	}
	applyReminders(p.Reminders.Value.Online, &v.Reminders.Online, standard.Reminders.Online, "reminders.online", bad)
	applyReminders(p.Reminders.Value.Offline, &v.Reminders.Offline, standard.Reminders.Offline, "reminders.offline", bad)
	switch {
	case p.DeleteUnpaidAfter.Null:
		v.DeleteUnpaidAfter = standard.DeleteUnpaidAfter
	case p.DeleteUnpaidAfter.Set:
		v.DeleteUnpaidAfter = parsePause(p.DeleteUnpaidAfter.Value, "delete_unpaid_after", bad)
		if p.DeleteUnpaidAfter.Value != "" && v.DeleteUnpaidAfter == 0 && !bad.has("delete_unpaid_after") {
			bad.add("delete_unpaid_after", "must be longer than nothing")
		}
	}
	switch {
	case p.AnonymizeAfter.Null:
		v.AnonymizeAfter = nil
	case p.AnonymizeAfter.Set:
		d := parsePause(p.AnonymizeAfter.Value, "anonymize_after", bad)
		v.AnonymizeAfter = &d
	}
	p.RefundApproval.apply(&v.RefundApproval, standard.RefundApproval)
	if v.RefundApproval != "auto" && v.RefundApproval != "owner" {
		bad.add("refund_approval", "must be auto or owner")
	}
	p.SupportEmail.apply(&v.SupportEmail, "")
	if v.SupportEmail != "" && !validEmail(v.SupportEmail) {
		bad.add("support_email", "must be an email address")
	}
	p.SupportURL.apply(&v.SupportURL, "")
	if v.SupportURL != "" && !webAddress(v.SupportURL) {
		bad.add("support_url", "must be an http or https address of at most 2048 characters")
	}
	p.RefundRequests.apply(&v.RefundRequests, false)
	p.Tax.apply(&v.Tax, standard.Tax)
	v.Tax.check(bad)
	p.Branding.apply(&v.Branding, Branding{})
	v.Branding.check(bad)
	p.TermsVersion.apply(&v.TermsVersion, "")
	checkTextVersion(v.TermsVersion, "terms_version", bad)
	p.PrivacyVersion.apply(&v.PrivacyVersion, "")
	checkTextVersion(v.PrivacyVersion, "privacy_version", bad)
	p.Live.require(&m.Live, "live", bad)
}

func (v *Tax) check(bad *invalids) {
	if v.Rates == nil {
		v.Rates = []TaxRate{}
	}
	if v.Country != "" && !IsCountry(v.Country) {
		bad.add("tax.country", "must be a country's two-letter code, such as DE")
	}
	seen := map[string]bool{}
	for i, r := range v.Rates {
		field := "tax.rates[" + itoa(i) + "]"
		if !IsCountry(r.Country) {
			bad.add(field+".country", "must be a country's two-letter code, such as DE")
		}
		if seen[r.Country] {
			bad.add(field+".country", "has a rate already")
		}
		seen[r.Country] = true
		if r.RateBP < 0 || r.RateBP > 10_000 {
			bad.add(field+".rate_bp", "must be from 0 to 10000 hundredths of a percent")
		}
	}
}

var brandColor = regexp.MustCompile(`^#[0-9a-fA-F]{6}$`)

func (v *Branding) check(bad *invalids) {
	if v.Color != "" && !brandColor.MatchString(v.Color) {
		bad.add("branding.color", "must be a colour such as #0b6e4f")
	}
	for _, a := range []struct{ field, address string }{{"logo_url", v.LogoURL}, {"terms_url", v.TermsURL}, {"privacy_url", v.PrivacyURL}} {
		if a.address != "" && !webAddress(a.address) {
			bad.add("branding."+a.field, "must be an http or https address of at most 2048 characters")
		}
	}
}

func checkTextVersion(v, field string, bad *invalids) {
	if utf8.RuneCountInString(v) > maxTextVersion || !utf8.ValidString(v) || strings.ContainsFunc(v, func(r rune) bool { return !unicode.IsPrint(r) }) {
		bad.add(field, "must have at most %d printable characters", maxTextVersion)
	}
}

func applyReminders(o Optional[[]string], to *[]Duration, standard []Duration, field string, bad *invalids) {
	switch {
	case o.Null:
		*to = standard
	case o.Set:
		*to = parseReminders(o.Value, field, bad)
	}
}

// parseReminders reads the pauses of one class of payment methods, each longer than the one before.
func parseReminders(values []string, field string, bad *invalids) []Duration {
	if len(values) > maxReminders {
		bad.add(field, "may have at most %d reminders", maxReminders)
		return nil
	}
	out := make([]Duration, len(values))
	for i, v := range values {
		name := field + "[" + itoa(i) + "]"
		out[i] = parsePause(v, name, bad)
		if i > 0 && out[i] <= out[i-1] && !bad.has(name) && !bad.has(field+"["+itoa(i-1)+"]") {
			bad.add(name, "must be later than the reminder before it")
		}
	}
	return out
}

// parsePause reads a pause of whole seconds. What it returns after an error counts for nothing.
func parsePause(v, field string, bad *invalids) Duration {
	d, err := time.ParseDuration(v)
	switch {
	case err != nil:
		bad.add(field, `must be a duration such as "90s", "30m" or "48h"`)
	case d < 0:
		bad.add(field, "must not be negative")
	case d%time.Second != 0:
		bad.add(field, "must be whole seconds")
	case d > maxPause:
		bad.add(field, "must be at most %s", shortDuration(maxPause))
	}
	return Duration(d)
}

// has reports whether something is wrong with a field already.
func (v invalids) has(field string) bool {
	return slices.ContainsFunc(v, func(f FieldError) bool { return f.Field == field })
}

func webAddress(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Hostname() != "" && len(s) <= 2048
}

type reminderRule struct {
	MerchantID  string
	MethodClass string
	Stage       int
	AfterS      int64
}

// TableName names the table for GORM.
func (reminderRule) TableName() string { return "reminder_rules" }

// replaceReminderRules repeats the reminder settings in the table by which the orders that are due are found.
func (t *tx) replaceReminderRules(merchantID string, r Reminders) error {
	if err := t.Exec(`DELETE FROM reminder_rules WHERE merchant_id = ?`, merchantID).Error; err != nil {
		return err
	}
	var rules []reminderRule
	for class, pauses := range map[string][]Duration{"online": r.Online, "offline": r.Offline} {
		for stage, after := range pauses {
			rules = append(rules, reminderRule{merchantID, class, stage, seconds(after)})
		}
	}
	if len(rules) == 0 {
		return nil
	}
	return t.Create(&rules).Error
}
