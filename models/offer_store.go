package models

import (
	"context"
	"strings"
	"time"

	"gorm.io/gorm"
)

// OfferInput is a new special offer.
type OfferInput struct {
	Kind               string
	Trigger, Product   string // ids or SKUs
	PercentBP          int
	Title, Description string
	Active             bool
}

// OfferPatch is a JSON merge patch of a special offer.
type OfferPatch struct {
	PercentBP   Optional[int]    `json:"percent_bp"`
	Title       Optional[string] `json:"title"`
	Description Optional[string] `json:"description"`
	Active      Optional[bool]   `json:"active"`
}

// OfferView is a special offer as the API shows it.
type OfferView struct {
	ID          string     `json:"id"`
	Kind        string     `json:"kind" enum:"addon,replace"`
	Trigger     string     `json:"trigger" doc:"The id of the product whose buyers are made the offer."`
	Product     string     `json:"product" doc:"The id of the product that is offered."`
	PercentBP   int        `json:"percent_bp" doc:"What comes off the product's price, in hundredths of a percent."`
	Title       string     `json:"title"`
	Description string     `json:"description"`
	Active      bool       `json:"active"`
	CreatedAt   time.Time  `json:"created_at"`
	UpdatedAt   time.Time  `json:"updated_at"`
	ArchivedAt  *time.Time `json:"archived_at"`
}

func (o *Offer) view() *OfferView {
	return &OfferView{
		ID: o.ID, Kind: o.Kind, Trigger: o.TriggerID, Product: o.ProductID, PercentBP: o.PercentBP, Title: o.Title, Description: o.Description,
		Active: o.Active, CreatedAt: o.CreatedAt, UpdatedAt: o.UpdatedAt, ArchivedAt: o.ArchivedAt,
	}
}

func (o *Offer) check() error {
	var bad invalids
	if o.Kind != OfferAddon && o.Kind != OfferReplace {
		bad.add("kind", "must be addon or replace")
	}
	if o.PercentBP < 0 || o.PercentBP > 10_000 {
		bad.add("percent_bp", "must be from 0 to 10000 hundredths of a percent")
	}
	if strings.TrimSpace(o.Title) == "" {
		bad.add("title", "must not be empty")
	}
	checkText(&bad, "title", o.Title, 100)
	checkText(&bad, "description", o.Description, 500)
	return bad.err()
}

// CreateOffer adds a special offer.
func (s *Store) CreateOffer(ctx context.Context, sc Scope, in OfferInput) (*OfferView, error) {
	o := &Offer{
		ID: newID("ofr"), MerchantID: sc.MerchantID, Kind: in.Kind, PercentBP: in.PercentBP, Title: strings.TrimSpace(in.Title),
		Description: strings.TrimSpace(in.Description), Active: in.Active,
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	err := s.write(ctx, func(t *tx) error {
		if err := t.sharedWriter(sc); err != nil {
			return err
		}
		for _, p := range []struct {
			field, name string
			id          *string
		}{{"trigger", in.Trigger, &o.TriggerID}, {"product", in.Product, &o.ProductID}} {
			found, err := findProduct(t.DB, sc, p.name)
			if CodeOf(err) == CodeNotFound {
				return Invalid(p.field, "there is no such product")
			}
			if err != nil {
				return err
			}
			*p.id = found.ID
		}
		if o.TriggerID == o.ProductID {
			return Invalid("product", "must be another product than the trigger")
		}
		o.CreatedAt, o.UpdatedAt = t.now, t.now
		return t.Create(o).Error
	})
	return o.view(), err
}

func findOffer(db *gorm.DB, sc Scope, id string) (*Offer, error) {
	if !isID(id, "ofr") {
		return nil, notFound("offer")
	}
	var o Offer
	err := db.Where("id = ? AND merchant_id = ?", id, sc.MerchantID).Take(&o).Error
	return &o, orNotFound(err, "offer")
}

// Offer returns a special offer.
func (s *Store) Offer(ctx context.Context, sc Scope, id string) (*OfferView, error) {
	o, err := findOffer(s.read(ctx), sc, id)
	if err != nil {
		return nil, err
	}
	return o.view(), nil
}

// Offers lists a merchant's special offers, newest first.
func (s *Store) Offers(ctx context.Context, sc Scope, page Page) ([]*OfferView, string, error) {
	q := s.read(ctx).Where("merchant_id = ? AND archived_at IS NULL", sc.MerchantID)
	rows, next, err := paginate(q, page, func(o *Offer) string { return o.ID })
	views := make([]*OfferView, len(rows))
	for i := range rows {
		views[i] = rows[i].view()
	}
	return views, next, err
}

// UpdateOffer changes a special offer.
func (s *Store) UpdateOffer(ctx context.Context, sc Scope, id string, patch OfferPatch) (*OfferView, error) {
	return s.changeOffer(ctx, sc, id, func(o *Offer, bad *invalids) {
		patch.PercentBP.apply(&o.PercentBP, 0)
		patch.Title.require(&o.Title, "title", bad)
		patch.Description.apply(&o.Description, "")
		patch.Active.require(&o.Active, "active", bad)
	})
}

// ArchiveOffer ends a special offer for good.
func (s *Store) ArchiveOffer(ctx context.Context, sc Scope, id string) (*OfferView, error) {
	return s.changeOffer(ctx, sc, id, func(o *Offer, _ *invalids) {
		now := s.now()
		if o.ArchivedAt == nil {
			o.ArchivedAt = &now
		}
		o.Active = false
	})
}

func (s *Store) changeOffer(ctx context.Context, sc Scope, id string, change func(*Offer, *invalids)) (*OfferView, error) {
	var o *Offer
	err := s.write(ctx, func(t *tx) (err error) {
		if err := t.sharedWriter(sc); err != nil {
			return err
		}
		if o, err = findOffer(s.dialect.lock(t.DB, ""), sc, id); err != nil {
			return err
		}
		var bad invalids
		change(o, &bad)
		if err := bad.err(); err != nil {
			return err
		}
		if err := o.check(); err != nil {
			return err
		}
		o.UpdatedAt = t.now
		return t.Model(o).Select("percent_bp", "title", "description", "active", "updated_at", "archived_at").Updates(o).Error
	})
	if err != nil {
		return nil, err
	}
	return o.view(), nil
}
