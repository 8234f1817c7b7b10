package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"

	"github.com/danielgtaylor/huma/v2"

	"github.com/purser-dev/purser/handlers/license"
	"github.com/purser-dev/purser/models"
)

// ProductRequest is a new product.
type ProductRequest struct {
	SKU                    string         `json:"sku" minLength:"1" maxLength:"64" doc:"The merchant's own name for the product, unique in its catalogue: letters, digits, dots, underscores and hyphens. Orders and addresses may use it instead of the id." example:"editor-pro"`
	Name                   string         `json:"name" minLength:"1" maxLength:"200" doc:"What customers read." example:"Editor Pro"`
	Description            string         `json:"description,omitempty" maxLength:"5000" example:"The editor, with everything."`
	LicenseMethod          licenseMethod  `json:"license_method" doc:"How licences are produced once an order is paid. It cannot be changed later."`
	LicensePer             string         `json:"license_per,omitempty" enum:"unit,item," default:"unit" doc:"One licence for each unit, or one for the whole order item."`
	License                rawObject      `json:"license,omitzero" doc:"The method's own settings. All: email_text, the merchant's own text of the licence email, with the tag {KEY}. pool: low_threshold, at how many keys left the merchant is told. template: pattern, the shape of the keys. signed: licensed_to, whether keys carry the customer's name." example:"{\"pattern\":\"EDIT-XXXXX-XXXXX-XXXXX-XXXXC\"}"`
	Prices                 []ProductPrice `json:"prices" minItems:"1" maxItems:"200" doc:"One price in each currency that the product is sold in."`
	MinQuantity            *int           `json:"min_quantity,omitempty" minimum:"1" maximum:"10000" default:"1" doc:"The fewest units in one order item."`
	MaxQuantity            *int           `json:"max_quantity,omitempty" minimum:"1" maximum:"10000" doc:"The most units in one order item; 1000 by default." example:"1000"`
	ShowLicenseOnOrderPage *bool          `json:"show_license_on_order_page,omitempty" default:"true"`
	EmailLicense           *bool          `json:"email_license,omitempty" default:"true" doc:"Whether the customer gets the licence by email; false where the merchant sends it itself."`
	Active                 *bool          `json:"active,omitempty" default:"true" doc:"Whether the product is for sale."`
}

// ProductPrice is a price in one currency.
type ProductPrice struct {
	Currency string `json:"currency" minLength:"3" maxLength:"3" doc:"ISO 4217, in capitals." example:"EUR"`
	Amount   int64  `json:"amount" minimum:"0" maximum:"1099511627776" doc:"In minor units: cents for EUR, whole yen for JPY." example:"4900"`
}

// ProductChanges is a merge patch of a product.
type ProductChanges struct {
	SKU                    change[string]         `json:"sku,omitzero" nullable:"false" minLength:"1" maxLength:"64" example:"editor-pro"`
	Name                   change[string]         `json:"name,omitzero" nullable:"false" minLength:"1" maxLength:"200" example:"Editor Pro 2"`
	Description            change[string]         `json:"description,omitzero" maxLength:"5000"`
	LicenseMethod          change[string]         `json:"license_method,omitzero" nullable:"false" doc:"What it is already: the method cannot be changed."`
	LicensePer             change[string]         `json:"license_per,omitzero" enum:"unit,item"`
	License                change[rawObject]      `json:"license,omitzero" doc:"Settings that are absent stay as they are; one that is null goes back to its default, null for the object puts back all of them." example:"{\"low_threshold\":null}"`
	Prices                 change[[]ProductPrice] `json:"prices,omitzero" nullable:"false" minItems:"1" maxItems:"200" doc:"Replaces all prices."`
	MinQuantity            change[int]            `json:"min_quantity,omitzero" minimum:"1" maximum:"10000"`
	MaxQuantity            change[int]            `json:"max_quantity,omitzero" minimum:"1" maximum:"10000"`
	ShowLicenseOnOrderPage change[bool]           `json:"show_license_on_order_page,omitzero"`
	EmailLicense           change[bool]           `json:"email_license,omitzero"`
	Active                 change[bool]           `json:"active,omitzero"`
}

// licenseMethod is a licence generation method.
type licenseMethod string

// Schema implements huma.SchemaProvider.
func (licenseMethod) Schema(huma.Registry) *huma.Schema {
	s := &huma.Schema{Type: huma.TypeString}
	for _, m := range license.Methods() {
		s.Enum = append(s.Enum, m)
	}
	return s
}

type createProductInput struct{ Body ProductRequest }

type createProductOutput struct {
	Location string `header:"Location" doc:"The product's address."`
	Body     *models.ProductView
}

func (s *Server) createProduct(ctx context.Context, in *createProductInput) (*createProductOutput, error) {
	b := &in.Body
	settings, err := checkedSettings(string(b.LicenseMethod), b.License.RawMessage)
	if err != nil {
		return nil, err
	}
	p, err := s.store.CreateProduct(ctx, scope(ctx), models.ProductInput{
		SKU: b.SKU, Name: b.Name, Description: b.Description, LicenseMethod: string(b.LicenseMethod), LicensePer: b.LicensePer, License: settings,
		Prices: priceViews(b.Prices), MinQuantity: b.MinQuantity, MaxQuantity: b.MaxQuantity,
		ShowLicenseOnOrderPage: b.ShowLicenseOnOrderPage, EmailLicense: b.EmailLicense, Active: b.Active,
	})
	if err != nil {
		return nil, problem(err)
	}
	return &createProductOutput{Location: s.public + "/v1/products/" + p.ID, Body: p}, nil
}

func priceViews(prices []ProductPrice) []models.PriceView {
	views := make([]models.PriceView, len(prices))
	for i, p := range prices {
		views[i] = models.PriceView(p)
	}
	return views
}

// checkedSettings reads a method's own settings and writes them out with their defaults, so that a default that a later version
// changes does not change the product.
func checkedSettings(method string, raw json.RawMessage) (json.RawMessage, error) {
	settings, err := license.ParseSettings(method, raw)
	var wrong license.FieldErrors
	if errors.As(err, &wrong) {
		p := newProblem(codeInvalid, "")
		for _, f := range wrong {
			p.Errors = append(p.Errors, models.FieldError{Field: printable(f.Field), Message: f.Message})
		}
		p.Errors = sorted(p.Errors)
		return nil, p
	}
	if err != nil {
		return nil, problem(err)
	}
	out, err := json.Marshal(settings)
	return out, problem(err)
}

type productInput struct {
	ID string `path:"id" doc:"The product's id or SKU." example:"editor-pro"`
}

type productOutput struct{ Body *models.ProductView }

func answerProduct(p *models.ProductView, err error) (*productOutput, error) {
	if err != nil {
		return nil, problem(err)
	}
	return &productOutput{Body: p}, nil
}

func (s *Server) getProduct(ctx context.Context, in *productInput) (*productOutput, error) {
	return answerProduct(s.store.Product(ctx, scope(ctx), in.ID))
}

type listProductsInput struct {
	PageInput
	SKU      string `query:"sku" maxLength:"64"`
	Archived bool   `query:"archived" doc:"List the archived products instead of the others."`
}

func (s *Server) listProducts(ctx context.Context, in *listProductsInput) (*listOutput[*models.ProductView], error) {
	return listed(s.store.Products(ctx, scope(ctx), models.ProductFilter{SKU: in.SKU, Archived: in.Archived}, in.page()))
}

type updateProductInput struct {
	ID   string `path:"id" doc:"The product's id or SKU." example:"editor-pro"`
	Body ProductChanges
}

func (s *Server) updateProduct(ctx context.Context, in *updateProductInput) (*productOutput, error) {
	patch := in.Body.patch()
	if !in.Body.License.Set {
		return answerProduct(s.store.UpdateProduct(ctx, scope(ctx), in.ID, patch))
	}
	var p *models.ProductView
	err := s.store.Transaction(ctx, func(ctx context.Context) (err error) {
		// An update that changes nothing locks the product, so that the settings are still the same when they are written.
		if p, err = s.store.UpdateProduct(ctx, scope(ctx), in.ID, models.ProductPatch{}); err != nil {
			return err
		}
		settings, err := mergedSettings(p, in.Body.License)
		if err != nil {
			return err
		}
		patch.License = models.Some(settings)
		p, err = s.store.UpdateProduct(ctx, scope(ctx), p.ID, patch)
		return err
	})
	return answerProduct(p, err)
}

func (b *ProductChanges) patch() models.ProductPatch {
	p := models.ProductPatch{
		SKU: b.SKU.Optional, Name: b.Name.Optional, Description: b.Description.Optional, LicenseMethod: b.LicenseMethod.Optional,
		LicensePer: b.LicensePer.Optional, MinQuantity: b.MinQuantity.Optional, MaxQuantity: b.MaxQuantity.Optional,
		ShowLicenseOnOrderPage: b.ShowLicenseOnOrderPage.Optional, EmailLicense: b.EmailLicense.Optional, Active: b.Active.Optional,
	}
	p.Prices.Set, p.Prices.Null, p.Prices.Value = b.Prices.Set, b.Prices.Null, priceViews(b.Prices.Value)
	return p
}

// publicKey is the member of a signed product's settings that only answers have.
const publicKey = "public_key"

// mergedSettings applies a merge patch to the settings that a product has now.
func mergedSettings(p *models.ProductView, patch change[rawObject]) (json.RawMessage, error) {
	if patch.Null {
		return checkedSettings(p.LicenseMethod, nil)
	}
	var have, changes map[string]json.RawMessage
	if err := errors.Join(json.Unmarshal(p.License, &have), json.Unmarshal(patch.Value.RawMessage, &changes)); err != nil {
		return nil, err
	}
	if bytes.Equal(have[publicKey], changes[publicKey]) {
		delete(changes, publicKey) // somebody sends back what they were sent
	}
	delete(have, publicKey)
	// null stands for the default
	maps.Copy(have, changes)
	merged, err := json.Marshal(have)
	if err != nil {
		return nil, err
	}
	return checkedSettings(p.LicenseMethod, merged)
}

// archiveProduct answers with the product rather than with nothing: it is still there for the orders that have it.
func (s *Server) archiveProduct(ctx context.Context, in *productInput) (*productOutput, error) {
	return answerProduct(s.store.ArchiveProduct(ctx, scope(ctx), in.ID))
}
