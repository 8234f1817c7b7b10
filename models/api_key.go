package models

import (
	"context"
	"strings"
	"time"
)

// The prefixes of API keys, by which a person and a secret scanner know them.
const (
	liveKeyPrefix = "psk_live_"
	testKeyPrefix = "psk_test_"
)

// APIKey is a key of a merchant's, without the secret, of which only a keyed digest is stored.
type APIKey struct {
	ID         string     `gorm:"primaryKey" json:"id"`
	MerchantID string     `json:"merchant_id"`
	Test       bool       `json:"test"`
	Name       string     `json:"name"`
	Digest     string     `json:"-"`
	Last4      string     `gorm:"column:last4" json:"last4"` // of the secret, so that people can tell keys apart
	CreatedAt  time.Time  `json:"created_at"`
	RevokedAt  *time.Time `json:"revoked_at"`
}

// Principal is who a request comes from.
type Principal struct {
	KeyID string
	Scope Scope
}

// Actor names the key in an order's history.
func (p Principal) Actor() string { return "api_key:" + p.KeyID }

// CreateAPIKey makes a key for a merchant and mode. The secret is returned this once.
func (s *Store) CreateAPIKey(ctx context.Context, sc Scope, name string) (key *APIKey, secret string, err error) {
	name = strings.TrimSpace(name)
	var bad invalids
	checkText(&bad, "name", name, 100)
	if err := bad.err(); err != nil {
		return nil, "", err
	}
	err = s.write(ctx, func(t *tx) error {
		if _, err := t.lockMerchant(sc.MerchantID); err != nil {
			return err
		}
		key, secret, err = t.createAPIKey(sc, name)
		return err
	})
	return key, secret, err
}

func (t *tx) createAPIKey(sc Scope, name string) (*APIKey, string, error) {
	prefix := liveKeyPrefix
	if sc.Test {
		prefix = testKeyPrefix
	}
	secret := newCredential(prefix)
	k := &APIKey{
		ID: newID("key"), MerchantID: sc.MerchantID, Test: sc.Test, Name: name, Digest: t.s.keys.digest(secret), Last4: secret[len(secret)-4:],
		CreatedAt: t.now,
	}
	return k, secret, t.Create(k).Error
}

// TableName keeps GORM from calling the table a_p_i_keys.
func (APIKey) TableName() string { return "api_keys" }

// ListAPIKeys lists all keys of a merchant, revoked ones too, oldest first.
func (s *Store) ListAPIKeys(ctx context.Context, merchantID string) ([]APIKey, error) {
	if _, err := s.Merchant(ctx, merchantID); err != nil {
		return nil, err
	}
	keys := []APIKey{}
	return keys, s.read(ctx).Where("merchant_id = ?", merchantID).Order("id").Find(&keys).Error
}

// RevokeAPIKey ends a key for good, from the next request on. Revoking it again changes nothing. An empty merchantID is for the
// operator of the installation, who may revoke anybody's.
func (s *Store) RevokeAPIKey(ctx context.Context, merchantID, id string) error {
	return s.write(ctx, func(t *tx) error {
		if !isID(id, "key") {
			return notFound("API key")
		}
		res := t.Exec(`UPDATE api_keys SET revoked_at = COALESCE(revoked_at, ?) WHERE id = ? AND (merchant_id = ? OR ? = '')`, t.now, id, merchantID, merchantID)
		if res.Error != nil {
			return res.Error
		}
		if res.RowsAffected == 0 {
			return notFound("API key")
		}
		return nil
	})
}

// Authenticate finds whose key a secret is; CodeUnauthorized if it is nobody's, or was revoked. Nothing is cached. The secret is
// looked up by its keyed digest, so how long that takes tells nothing about any stored key.
func (s *Store) Authenticate(ctx context.Context, secret string) (Principal, error) {
	unknown := &Error{Code: CodeUnauthorized, Message: "The API key is not valid."}
	if (!strings.HasPrefix(secret, liveKeyPrefix) && !strings.HasPrefix(secret, testKeyPrefix)) || len(secret) > 100 {
		return Principal{}, unknown
	}
	var k APIKey
	err := orNotFound(s.read(ctx).Where("digest = ? AND revoked_at IS NULL", s.keys.digest(secret)).Take(&k).Error, "API key")
	switch {
	case CodeOf(err) == CodeNotFound:
		return Principal{}, unknown
	case err != nil:
		return Principal{}, err
	}
	return Principal{KeyID: k.ID, Scope: Scope{MerchantID: k.MerchantID, Test: k.Test}}, nil
}
