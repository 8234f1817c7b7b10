package models

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"time"
)

// ProductView is a product as the API shows it.
type ProductView struct {
	ID                     string          `json:"id"`
	SKU                    string          `json:"sku"`
	Name                   string          `json:"name"`
	Description            string          `json:"description"`
	LicenseMethod          string          `json:"license_method"`
	LicensePer             string          `json:"license_per"`
	License                json.RawMessage `json:"license" doc:"The method's own settings; for signed also public_key, 32 bytes in hex."`
	Prices                 []PriceView     `json:"prices"`
	MinQuantity            int             `json:"min_quantity"`
	MaxQuantity            int             `json:"max_quantity"`
	ShowLicenseOnOrderPage bool            `json:"show_license_on_order_page"`
	EmailLicense           bool            `json:"email_license"`
	Active                 bool            `json:"active"`
	CreatedAt              time.Time       `json:"created_at"`
	UpdatedAt              time.Time       `json:"updated_at"`
	ArchivedAt             *time.Time      `json:"archived_at"`
}

// PriceView is a price in one currency, in minor units.
type PriceView struct {
	Currency string `json:"currency"`
	Amount   int64  `json:"amount"`
}

func (s *Store) productView(p *Product) (*ProductView, error) {
	v := &ProductView{
		ID: p.ID, SKU: p.SKU, Name: p.Name, Description: p.Description, LicenseMethod: p.LicenseMethod, LicensePer: p.LicensePer,
		License: p.License, Prices: make([]PriceView, len(p.Prices)), MinQuantity: p.MinQuantity, MaxQuantity: p.MaxQuantity,
		ShowLicenseOnOrderPage: p.ShowLicenseOnOrderPage, EmailLicense: p.EmailLicense, Active: p.Active,
		CreatedAt: p.CreatedAt, UpdatedAt: p.UpdatedAt, ArchivedAt: p.ArchivedAt,
	}
	for i, price := range p.Prices {
		v.Prices[i] = PriceView{price.Currency, price.Amount}
	}
	if p.LicenseMethod != MethodSigned {
		return v, nil
	}
	private, err := s.SigningKey(p)
	if err != nil {
		return nil, err
	}
	var settings map[string]json.RawMessage
	if err := json.Unmarshal(p.License, &settings); err != nil {
		return nil, err
	}
	public, _ := private.Public().(ed25519.PublicKey) // always is one
	settings["public_key"] = json.RawMessage(`"` + hex.EncodeToString(public) + `"`)
	v.License, err = json.Marshal(settings)
	return v, err
}

// SigningKey opens the private key of a product of the signed method.
func (s *Store) SigningKey(p *Product) (ed25519.PrivateKey, error) {
	key, err := s.keys.Open(p.SigningKey, p.ID)
	if err != nil {
		return nil, err
	}
	if len(key) != ed25519.PrivateKeySize {
		return nil, errors.New("models: the signing key has the wrong size")
	}
	return key, nil
}

func signingKey(given []byte) ([]byte, error) {
	if given == nil {
		_, made, err := ed25519.GenerateKey(rand.Reader)
		return made, err
	}
	if len(given) != ed25519.PrivateKeySize {
		return nil, errors.New("models: an Ed25519 private key has 64 bytes")
	}
	return given, nil
}
