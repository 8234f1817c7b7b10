package api

import (
	"context"

	"github.com/purser-dev/purser/models"
)

// LicenseSearch asks whose a licence key is. It is a POST because addresses end up in logs, and licence keys must not.
type LicenseSearch struct {
	Key string `json:"key" minLength:"1" maxLength:"4096" doc:"The whole key, as the customer has it." example:"EDIT-7QK4M-9XHTR-2VPNB-W6CZD"`
}

type searchLicensesInput struct{ Body LicenseSearch }

// searchLicensesOutput has the shape of a list, but every match: there are few.
type searchLicensesOutput = listOutput[models.LicenseFound]

func (s *Server) searchLicenses(ctx context.Context, in *searchLicensesInput) (*searchLicensesOutput, error) {
	found, err := s.store.SearchLicenses(ctx, scope(ctx), in.Body.Key)
	return listed(found, "", err)
}
