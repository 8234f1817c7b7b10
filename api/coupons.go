package api

import (
	"context"
	"time"

	"github.com/purser-dev/purser/models"
)

// CouponRequest is a new coupon.
type CouponRequest struct {
	Code               string           `json:"code,omitempty" maxLength:"40" doc:"What customers type; without one the discount applies by itself." example:"SPRING"`
	Name               string           `json:"name" minLength:"1" maxLength:"100" doc:"What customers read beside the discount." example:"Spring sale"`
	PercentBP          *int             `json:"percent_bp,omitempty" minimum:"1" maximum:"10000" doc:"Hundredths of a percent; or else amounts." example:"1000"`
	Amounts            map[string]int64 `json:"amounts,omitempty" doc:"Fixed amounts by currency, in minor units; or else percent_bp."`
	Products           []string         `json:"products,omitempty" maxItems:"100" doc:"Ids or SKUs of the products that it is for; all without."`
	StartsAt           *time.Time       `json:"starts_at,omitempty"`
	EndsAt             *time.Time       `json:"ends_at,omitempty"`
	MaxUses            *int             `json:"max_uses,omitempty" minimum:"1" doc:"How many orders may use it, in each mode."`
	MaxUsesPerCustomer *int             `json:"max_uses_per_customer,omitempty" minimum:"1" doc:"How many orders of one email address may use it, in each mode."`
	Active             *bool            `json:"active,omitempty" default:"true"`
}

// CouponChanges is a merge patch of a coupon.
type CouponChanges struct {
	Name               change[string]    `json:"name,omitzero" nullable:"false" maxLength:"100" example:"Spring sale"`
	StartsAt           change[time.Time] `json:"starts_at,omitzero"`
	EndsAt             change[time.Time] `json:"ends_at,omitzero"`
	MaxUses            change[int]       `json:"max_uses,omitzero" minimum:"1"`
	MaxUsesPerCustomer change[int]       `json:"max_uses_per_customer,omitzero" minimum:"1"`
	Active             change[bool]      `json:"active,omitzero" nullable:"false"`
}

type createCouponInput struct{ Body CouponRequest }

type createCouponOutput struct {
	Location string `header:"Location" doc:"The coupon's address in this API."`
	Body     *models.CouponView
}

func (s *Server) createCoupon(ctx context.Context, in *createCouponInput) (*createCouponOutput, error) {
	b := &in.Body
	v, err := s.store.CreateCoupon(ctx, scope(ctx), models.CouponInput{
		Code: b.Code, Name: b.Name, PercentBP: b.PercentBP, Amounts: b.Amounts, Products: b.Products, StartsAt: b.StartsAt, EndsAt: b.EndsAt,
		MaxUses: b.MaxUses, MaxUsesPerCustomer: b.MaxUsesPerCustomer, Active: b.Active == nil || *b.Active,
	})
	if err != nil {
		return nil, problem(err)
	}
	return &createCouponOutput{Location: s.public + "/v1/coupons/" + v.ID, Body: v}, nil
}

type couponInput struct {
	ID string `path:"id" doc:"The coupon's id." example:"cpn_06f0s8nb5xq7v2k1t9w3c4d5ea"`
}

type couponOutput struct{ Body *models.CouponView }

func answerCoupon(v *models.CouponView, err error) (*couponOutput, error) {
	if err != nil {
		return nil, problem(err)
	}
	return &couponOutput{Body: v}, nil
}

func (s *Server) getCoupon(ctx context.Context, in *couponInput) (*couponOutput, error) {
	return answerCoupon(s.store.CouponByID(ctx, scope(ctx), in.ID))
}

type listCouponsInput struct{ PageInput }

func (s *Server) listCoupons(ctx context.Context, in *listCouponsInput) (*listOutput[*models.CouponView], error) {
	return listed(s.store.Coupons(ctx, scope(ctx), in.page()))
}

type updateCouponInput struct {
	ID   string `path:"id" doc:"The coupon's id." example:"cpn_06f0s8nb5xq7v2k1t9w3c4d5ea"`
	Body CouponChanges
}

func (s *Server) updateCoupon(ctx context.Context, in *updateCouponInput) (*couponOutput, error) {
	b := &in.Body
	return answerCoupon(s.store.UpdateCoupon(ctx, scope(ctx), in.ID, models.CouponPatch{
		Name: b.Name.Optional, StartsAt: b.StartsAt.Optional, EndsAt: b.EndsAt.Optional, MaxUses: b.MaxUses.Optional,
		MaxUsesPerCustomer: b.MaxUsesPerCustomer.Optional, Active: b.Active.Optional,
	}))
}

func (s *Server) archiveCoupon(ctx context.Context, in *couponInput) (*couponOutput, error) {
	return answerCoupon(s.store.ArchiveCoupon(ctx, scope(ctx), in.ID))
}
