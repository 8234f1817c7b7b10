package api

import (
	"context"

	"github.com/purser-dev/purser/models"
)

// OfferRequest is a new special offer.
type OfferRequest struct {
	Kind        string `json:"kind" enum:"addon,replace" doc:"addon: the product comes on top of the trigger; replace: it takes the trigger's place."`
	Trigger     string `json:"trigger" doc:"Id or SKU of the product whose buyers are made the offer." example:"viewer"`
	Product     string `json:"product" doc:"Id or SKU of the product that is offered." example:"editor-pro"`
	PercentBP   int    `json:"percent_bp,omitempty" minimum:"0" maximum:"10000" doc:"What comes off the product's price, in hundredths of a percent." example:"2000"`
	Title       string `json:"title" minLength:"1" maxLength:"100" example:"Edit what you open"`
	Description string `json:"description,omitempty" maxLength:"500"`
	Active      *bool  `json:"active,omitempty" default:"true"`
}

// OfferChanges is a merge patch of a special offer.
type OfferChanges struct {
	PercentBP   change[int]    `json:"percent_bp,omitzero" minimum:"0" maximum:"10000"`
	Title       change[string] `json:"title,omitzero" nullable:"false" maxLength:"100" example:"Edit what you open"`
	Description change[string] `json:"description,omitzero" maxLength:"500"`
	Active      change[bool]   `json:"active,omitzero" nullable:"false"`
}

type createOfferInput struct{ Body OfferRequest }

type createOfferOutput struct {
	Location string `header:"Location" doc:"The offer's address in this API."`
	Body     *models.OfferView
}

func (s *Server) createOffer(ctx context.Context, in *createOfferInput) (*createOfferOutput, error) {
	b := &in.Body
	v, err := s.store.CreateOffer(ctx, scope(ctx), models.OfferInput{
		Kind: b.Kind, Trigger: b.Trigger, Product: b.Product, PercentBP: b.PercentBP, Title: b.Title, Description: b.Description,
		Active: b.Active == nil || *b.Active,
	})
	if err != nil {
		return nil, problem(err)
	}
	return &createOfferOutput{Location: s.public + "/v1/offers/" + v.ID, Body: v}, nil
}

type offerInput struct {
	ID string `path:"id" doc:"The offer's id." example:"ofr_06f0s8nb5xq7v2k1t9w3c4d5ea"`
}

type offerOutput struct{ Body *models.OfferView }

func answerOffer(v *models.OfferView, err error) (*offerOutput, error) {
	if err != nil {
		return nil, problem(err)
	}
	return &offerOutput{Body: v}, nil
}

func (s *Server) getOffer(ctx context.Context, in *offerInput) (*offerOutput, error) {
	return answerOffer(s.store.Offer(ctx, scope(ctx), in.ID))
}

type listOffersInput struct{ PageInput }

func (s *Server) listOffers(ctx context.Context, in *listOffersInput) (*listOutput[*models.OfferView], error) {
	return listed(s.store.Offers(ctx, scope(ctx), in.page()))
}

type updateOfferInput struct {
	ID   string `path:"id" doc:"The offer's id." example:"ofr_06f0s8nb5xq7v2k1t9w3c4d5ea"`
	Body OfferChanges
}

func (s *Server) updateOffer(ctx context.Context, in *updateOfferInput) (*offerOutput, error) {
	b := &in.Body
	return answerOffer(s.store.UpdateOffer(ctx, scope(ctx), in.ID, models.OfferPatch{
		PercentBP: b.PercentBP.Optional, Title: b.Title.Optional, Description: b.Description.Optional, Active: b.Active.Optional,
	}))
}

func (s *Server) archiveOffer(ctx context.Context, in *offerInput) (*offerOutput, error) {
	return answerOffer(s.store.ArchiveOffer(ctx, scope(ctx), in.ID))
}
