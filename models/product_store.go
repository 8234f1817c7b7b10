package models

import (
	"bytes"
	"context"
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// The bounds of a product.
const (
	maxQuantity     = 10_000
	defaultMax      = 1000
	maxPrices       = 200
	maxDescription  = 5000
	maxLicenseBytes = 64 << 10
)

var licenseMethods = []string{MethodPool, MethodTemplate, MethodSigned, MethodEmulator}

var skuPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// ProductInput is a new product. Members that are absent have their defaults.
type ProductInput struct {
	SKU           string
	Name          string
	Description   string
	LicenseMethod string
	LicensePer    string // unit (default) or item
	// License is the method's own settings, an object that the caller has checked; empty means {}.
	License                json.RawMessage
	Prices                 []PriceView
	MinQuantity            *int  // default 1
	MaxQuantity            *int  // default 1000
	ShowLicenseOnOrderPage *bool // default true
	EmailLicense           *bool // default true
	Active                 *bool // default true
	// SigningKey is the Ed25519 private key of a product of the signed method; one is made if there is none. Others ignore it.
	SigningKey []byte
}

// ProductPatch is a JSON merge patch of a product; null puts back a default. The method stays what it is, because orders and
// the settings refer to it.
type ProductPatch struct {
	SKU                    Optional[string]          `json:"sku"`
	Name                   Optional[string]          `json:"name"`
	Description            Optional[string]          `json:"description"`
	LicenseMethod          Optional[string]          `json:"license_method"`
	LicensePer             Optional[string]          `json:"license_per"`
	License                Optional[json.RawMessage] `json:"license"` // replaced as a whole
	Prices                 Optional[[]PriceView]     `json:"prices"`  // replaced as a whole
	MinQuantity            Optional[int]             `json:"min_quantity"`
	MaxQuantity            Optional[int]             `json:"max_quantity"`
	ShowLicenseOnOrderPage Optional[bool]            `json:"show_license_on_order_page"`
	EmailLicense           Optional[bool]            `json:"email_license"`
	Active                 Optional[bool]            `json:"active"`
}

// CreateProduct adds a product to a merchant's catalogue. A SKU that another product has is a conflict, unless that one is
// archived. A live merchant's catalogue cannot be changed from test mode.
func (s *Store) CreateProduct(ctx context.Context, sc Scope, in ProductInput) (*ProductView, error) {
	p := &Product{
		ID: newID("prd"), MerchantID: sc.MerchantID, SKU: strings.TrimSpace(in.SKU), Name: strings.TrimSpace(in.Name), Description: in.Description,
		LicenseMethod: in.LicenseMethod, LicensePer: in.LicensePer, License: in.License,
		MinQuantity: or(in.MinQuantity, 1), MaxQuantity: or(in.MaxQuantity, defaultMax),
		ShowLicenseOnOrderPage: or(in.ShowLicenseOnOrderPage, true), EmailLicense: or(in.EmailLicense, true), Active: or(in.Active, true),
	}
	if p.LicensePer == "" {
		p.LicensePer = "unit"
	}
	if len(bytes.TrimSpace(p.License)) == 0 || string(bytes.TrimSpace(p.License)) == "null" {
		p.License = json.RawMessage("{}")
	}
	if in.MaxQuantity == nil {
		p.MaxQuantity = max(p.MaxQuantity, min(p.MinQuantity, maxQuantity))
	}
	p.setPrices(in.Prices)
	if err := p.check(); err != nil {
		return nil, err
	}
	if p.LicenseMethod == MethodSigned {
		key, err := signingKey(in.SigningKey)
		if err != nil {
			return nil, err
		}
		p.SigningKey = s.keys.Seal(key, p.ID)
	}
	err := s.write(ctx, func(t *tx) error {
		if err := t.sharedWriter(sc); err != nil {
			return err
		}
		p.CreatedAt, p.UpdatedAt = t.now, t.now
		res := t.Omit("Prices").Clauses(clause.OnConflict{DoNothing: true}).Create(p)
		if res.Error != nil {
			return res.Error
		}
		if res.RowsAffected == 0 {
			return skuTaken(p.SKU)
		}
		return t.Create(&p.Prices).Error
	})
	if err != nil {
		return nil, err
	}
	return s.productView(p)
}

func or[T any](v *T, standard T) T {
	if v == nil {
		return standard
	}
	return *v
}

func skuTaken(sku string) error {
	return &Error{
		Code: CodeConflict, Message: "Another product has the SKU " + sku + ".", Fields: []FieldError{{"sku", "is taken by another product"}},
	}
}

// UpdateProduct changes a product named by its id or SKU. Orders keep the name, prices and licence choice that they were made
// with; the method's own settings apply to what is produced from now on.
func (s *Store) UpdateProduct(ctx context.Context, sc Scope, idOrSKU string, patch ProductPatch) (*ProductView, error) {
	var p *Product
	err := s.write(ctx, func(t *tx) error {
		if err := t.sharedWriter(sc); err != nil {
			return err
		}
		var err error
		if p, err = t.lockProduct(sc, idOrSKU); err != nil {
			return err
		}
		if p.ArchivedAt != nil {
			return conflict("The product is archived; it cannot be changed.")
		}
		var bad invalids
		patch.apply(p, &bad)
		if err := bad.err(); err != nil {
			return err
		}
		if err := p.check(); err != nil {
			return err
		}
		p.UpdatedAt = t.now
		err = t.Model(p).Select("sku", "name", "description", "license_per", "license", "min_quantity", "max_quantity",
			"show_license_on_order_page", "email_license", "active", "updated_at").Updates(p).Error
		if isUnique(err) {
			return skuTaken(p.SKU)
		}
		if err != nil || !patch.Prices.Set {
			return err
		}
		if err := t.Exec(`DELETE FROM prices WHERE product_id = ?`, p.ID).Error; err != nil {
			return err
		}
		return t.Create(&p.Prices).Error
	})
	if err != nil {
		return nil, err
	}
	return s.productView(p)
}

func (patch *ProductPatch) apply(p *Product, bad *invalids) {
	method := p.LicenseMethod
	patch.LicenseMethod.require(&method, "license_method", bad)
	if method != p.LicenseMethod {
		bad.add("license_method", "cannot be changed: archive this product and create another with its SKU")
	}
	patch.SKU.require(&p.SKU, "sku", bad)
	patch.Name.require(&p.Name, "name", bad)
	patch.Description.apply(&p.Description, "")
	patch.LicensePer.apply(&p.LicensePer, "unit")
	patch.License.apply(&p.License, json.RawMessage("{}"))
	patch.MinQuantity.apply(&p.MinQuantity, 1)
	patch.MaxQuantity.apply(&p.MaxQuantity, max(defaultMax, min(p.MinQuantity, maxQuantity)))
	patch.ShowLicenseOnOrderPage.apply(&p.ShowLicenseOnOrderPage, true)
	patch.EmailLicense.apply(&p.EmailLicense, true)
	patch.Active.apply(&p.Active, true)
	if patch.Prices.Set {
		p.setPrices(patch.Prices.Value)
	}
	p.SKU, p.Name = strings.TrimSpace(p.SKU), strings.TrimSpace(p.Name)
}

func (p *Product) setPrices(prices []PriceView) {
	p.Prices = make([]Price, len(prices))
	for i, v := range prices {
		p.Prices[i] = Price{ProductID: p.ID, Currency: v.Currency, Amount: v.Amount}
	}
}

// check finds everything that is wrong with a product, whether it is new or changed.
func (p *Product) check() error {
	var bad invalids
	if !skuPattern.MatchString(p.SKU) {
		bad.add("sku", "must be 1 to 64 letters, digits, dots, underscores and hyphens, the first a letter or digit")
	} else if hasPrefix(p.SKU, "prd") {
		bad.add("sku", "must not begin with prd_, as the ids of products do")
	}
	if p.Name == "" {
		bad.add("name", "must not be empty")
	}
	checkText(&bad, "name", p.Name, 200)
	checkText(&bad, "description", p.Description, maxDescription)
	if !slices.Contains(licenseMethods, p.LicenseMethod) {
		bad.add("license_method", "must be one of %s", strings.Join(licenseMethods, ", "))
	}
	if p.LicensePer != "unit" && p.LicensePer != "item" {
		bad.add("license_per", "must be unit or item")
	}
	var settings map[string]json.RawMessage
	switch {
	case len(p.License) > maxLicenseBytes:
		bad.add("license", "may have at most %d bytes", maxLicenseBytes)
	case json.Unmarshal(p.License, &settings) != nil || settings == nil:
		bad.add("license", "must be a JSON object")
	}
	if p.MinQuantity < 1 || p.MinQuantity > maxQuantity {
		bad.add("min_quantity", "must be from 1 to %d", maxQuantity)
	}
	if p.MaxQuantity < 1 || p.MaxQuantity > maxQuantity {
		bad.add("max_quantity", "must be from 1 to %d", maxQuantity)
	} else if p.MaxQuantity < p.MinQuantity {
		bad.add("max_quantity", "must not be less than min_quantity")
	}
	p.checkPrices(&bad)
	return bad.err()
}

func (p *Product) checkPrices(bad *invalids) {
	switch n := len(p.Prices); {
	case n == 0:
		bad.add("prices", "must have at least one price")
	case n > maxPrices:
		bad.add("prices", "may have at most %d prices", maxPrices)
		return
	}
	seen := make(map[string]bool, len(p.Prices))
	for i, v := range p.Prices {
		field := "prices[" + itoa(i) + "]"
		switch {
		case !knownCurrency(v.Currency):
			bad.add(field+".currency", "must be an ISO 4217 code in capitals, such as EUR")
		case seen[v.Currency]:
			bad.add(field+".currency", "has a price already")
		}
		if v.Amount < 0 || v.Amount > MaxAmount {
			bad.add(field+".amount", "must be from 0 to %d minor units", MaxAmount)
		}
		seen[v.Currency] = true
	}
}

// ArchiveProduct takes a product out of the catalogue for good. Orders that were made keep it, and its SKU becomes free. Archiving
// it again changes nothing.
func (s *Store) ArchiveProduct(ctx context.Context, sc Scope, idOrSKU string) (*ProductView, error) {
	var p *Product
	err := s.write(ctx, func(t *tx) error {
		if err := t.sharedWriter(sc); err != nil {
			return err
		}
		var err error
		if p, err = t.lockProduct(sc, idOrSKU); err != nil || p.ArchivedAt != nil {
			return err
		}
		p.Active, p.ArchivedAt, p.UpdatedAt = false, &t.now, t.now
		return t.Model(p).Select("active", "archived_at", "updated_at").Updates(p).Error
	})
	if err != nil {
		return nil, err
	}
	return s.productView(p)
}

// Product returns a product by its id, or one that is not archived by its SKU.
func (s *Store) Product(ctx context.Context, sc Scope, idOrSKU string) (*ProductView, error) {
	p, err := findProduct(s.read(ctx), sc, idOrSKU)
	if err != nil {
		return nil, err
	}
	return s.productView(p)
}

func findProduct(db *gorm.DB, sc Scope, idOrSKU string) (*Product, error) {
	switch {
	case isID(idOrSKU, "prd"):
		db = db.Where("id = ?", idOrSKU)
	case skuPattern.MatchString(idOrSKU):
		db = db.Where("sku = ? AND archived_at IS NULL", idOrSKU)
	default:
		return nil, notFound("product")
	}
	var p Product
	if err := db.Preload("Prices", byCurrency).Where("merchant_id = ?", sc.MerchantID).Take(&p).Error; err != nil {
		return nil, orNotFound(err, "product")
	}
	return &p, nil
}

func byCurrency(db *gorm.DB) *gorm.DB { return db.Order("currency") }

// lockProduct is findProduct with the product's row locked.
func (t *tx) lockProduct(sc Scope, idOrSKU string) (*Product, error) {
	return findProduct(t.s.dialect.lock(t.DB, ""), sc, idOrSKU)
}

// ProductFilter narrows a listing of products; empty fields match everything.
type ProductFilter struct {
	SKU string
	// Archived lists the archived products instead of the others.
	Archived bool
}

// Products lists a merchant's products, newest first.
func (s *Store) Products(ctx context.Context, sc Scope, f ProductFilter, page Page) ([]*ProductView, string, error) {
	q := s.read(ctx).Preload("Prices", byCurrency).Where("merchant_id = ?", sc.MerchantID)
	if f.Archived {
		q = q.Where("archived_at IS NOT NULL")
	} else {
		q = q.Where("archived_at IS NULL")
	}
	if f.SKU != "" {
		if !skuPattern.MatchString(f.SKU) {
			return []*ProductView{}, "", nil
		}
		q = q.Where("sku = ?", f.SKU)
	}
	rows, next, err := paginate(q, page, func(p *Product) string { return p.ID })
	if err != nil {
		return nil, "", err
	}
	views := make([]*ProductView, len(rows))
	for i := range rows {
		if views[i], err = s.productView(&rows[i]); err != nil {
			return nil, "", err
		}
	}
	return views, next, nil
}
