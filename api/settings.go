package api

import (
	"context"

	"github.com/danielgtaylor/huma/v2"

	"github.com/purser-dev/purser/models"
)

// Settings is a merchant's settings.
type Settings struct {
	Reminders         Reminders       `json:"reminders" doc:"When a customer who has not paid is reminded, counted from the order's creation."`
	DeleteUnpaidAfter pause           `json:"delete_unpaid_after" doc:"When an unpaid order is deleted, counted from its creation."`
	AnonymizeAfter    *pause          `json:"anonymize_after" nullable:"true" doc:"When the personal data of a deleted order is removed, counted from its deletion; null for never."`
	RefundApproval    string          `json:"refund_approval" enum:"auto,owner" doc:"owner: an owner of the merchant's has to approve each refund."`
	SupportEmail      string          `json:"support_email" doc:"Whom customers are told to write to; empty for the merchant's own address." example:"help@shop.example"`
	SupportURL        string          `json:"support_url" doc:"Where customers are sent for help; empty for nowhere." example:"https://shop.example/help"`
	RefundRequests    bool            `json:"refund_requests" doc:"Whether customers may ask for a refund on the order page."`
	Tax               models.Tax      `json:"tax" doc:"What tax prices contain, or is added to them."`
	Branding          models.Branding `json:"branding" doc:"How hosted pages and emails look, and the texts that customers agree to."`
	TermsVersion      string          `json:"terms_version" doc:"The version of the terms of sale that is in force, kept with the consents of each order; empty for none." example:"2026-10"`
	PrivacyVersion    string          `json:"privacy_version" doc:"The version of the privacy notice that is in force, kept with the consents of each order; empty for none." example:"2026-10"`
	Live              bool            `json:"live" doc:"Whether the merchant's hosted pages make live orders."`
}

// Reminders is the reminders of each class of payment methods.
type Reminders struct {
	Online  []pause `json:"online"`
	Offline []pause `json:"offline"`
}

// SettingsChanges is a merge patch of a merchant's settings.
type SettingsChanges struct {
	Reminders         change[RemindersChanges] `json:"reminders,omitzero" doc:"Each list replaces the one before; null puts back the default."`
	DeleteUnpaidAfter change[string]           `json:"delete_unpaid_after,omitzero" example:"2160h"`
	AnonymizeAfter    change[string]           `json:"anonymize_after,omitzero" doc:"null for never." example:"8760h"`
	RefundApproval    change[string]           `json:"refund_approval,omitzero" enum:"auto,owner"`
	SupportEmail      change[string]           `json:"support_email,omitzero" maxLength:"254" example:"help@shop.example"`
	SupportURL        change[string]           `json:"support_url,omitzero" maxLength:"2048" example:"https://shop.example/help"`
	RefundRequests    change[bool]             `json:"refund_requests,omitzero"`
	Tax               change[models.Tax]       `json:"tax,omitzero" doc:"Replaces the one before; null for no tax."`
	Branding          change[models.Branding]  `json:"branding,omitzero" doc:"Replaces the one before."`
	TermsVersion      change[string]           `json:"terms_version,omitzero" maxLength:"100" doc:"Printable characters. A customer who was shown another version is asked again." example:"2026-10"`
	PrivacyVersion    change[string]           `json:"privacy_version,omitzero" maxLength:"100" doc:"Printable characters. A customer who was shown another version is asked again." example:"2026-10"`
	Live              change[bool]             `json:"live,omitzero" nullable:"false" doc:"Once a merchant is live, a test key can no longer change the settings or the catalogue."`
}

// RemindersChanges is a merge patch of the reminders.
type RemindersChanges struct {
	Online  change[[]string] `json:"online,omitzero" maxItems:"10" doc:"Pauses, each longer than the one before; an empty list for no reminders." example:"[\"1h\",\"48h\"]"`
	Offline change[[]string] `json:"offline,omitzero" maxItems:"10" example:"[\"0s\",\"144h\",\"312h\"]"`
}

// pause is a length of time in the notation of Go.
type pause struct{ models.Duration }

// Schema implements huma.SchemaProvider.
func (pause) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Description: "Hours, minutes and seconds, such as 48h or 1h30m.", Examples: []any{"48h"}}
}

func pauses(durations []models.Duration) []pause {
	out := make([]pause, len(durations))
	for i, d := range durations {
		out[i] = pause{d}
	}
	return out
}

type settingsOutput struct{ Body Settings }

func answerSettings(v *models.SettingsView, err error) (*settingsOutput, error) {
	if err != nil {
		return nil, problem(err)
	}
	a := Settings{
		Reminders:         Reminders{Online: pauses(v.Reminders.Online), Offline: pauses(v.Reminders.Offline)},
		DeleteUnpaidAfter: pause{v.DeleteUnpaidAfter}, RefundApproval: v.RefundApproval, SupportEmail: v.SupportEmail, SupportURL: v.SupportURL,
		RefundRequests: v.RefundRequests, Tax: v.Tax, Branding: v.Branding,
		TermsVersion: v.TermsVersion, PrivacyVersion: v.PrivacyVersion, Live: v.Live,
	}
	if v.AnonymizeAfter != nil {
		a.AnonymizeAfter = &pause{*v.AnonymizeAfter}
	}
	return &settingsOutput{Body: a}, nil
}

func (s *Server) getSettings(ctx context.Context, _ *struct{}) (*settingsOutput, error) {
	return answerSettings(s.store.Settings(ctx, scope(ctx).MerchantID))
}

type updateSettingsInput struct{ Body SettingsChanges }

func (s *Server) updateSettings(ctx context.Context, in *updateSettingsInput) (*settingsOutput, error) {
	b := &in.Body
	p := models.SettingsPatch{
		DeleteUnpaidAfter: b.DeleteUnpaidAfter.Optional, AnonymizeAfter: b.AnonymizeAfter.Optional, RefundApproval: b.RefundApproval.Optional,
		SupportEmail: b.SupportEmail.Optional, SupportURL: b.SupportURL.Optional, Live: b.Live.Optional,
		RefundRequests: b.RefundRequests.Optional, Tax: b.Tax.Optional, Branding: b.Branding.Optional,
		TermsVersion: b.TermsVersion.Optional, PrivacyVersion: b.PrivacyVersion.Optional,
	}
	p.Reminders.Set, p.Reminders.Null = b.Reminders.Set, b.Reminders.Null
	p.Reminders.Value.Online = b.Reminders.Value.Online.Optional
	p.Reminders.Value.Offline = b.Reminders.Value.Offline.Optional
	return answerSettings(s.store.UpdateSettings(ctx, scope(ctx), p))
}
