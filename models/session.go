package models

import (
	"context"
	"time"
)

// SessionLifetime is how long a sign-in lasts.
const SessionLifetime = 12 * time.Hour

const sessionPrefix = "pss_"

// session is a sign-in. Only a keyed digest of its token is stored.
type session struct {
	Digest    string `gorm:"primaryKey"`
	AccountID string
	CreatedAt time.Time
	ExpiresAt time.Time
}

// TableName names the table for GORM.
func (session) TableName() string { return "sessions" }

var errSignIn = &Error{Code: CodeUnauthorized, Message: "The email or the password is wrong."}

// SignInOperator opens a session of an operator. The token is returned this once. The refusal (CodeUnauthorized) does not tell
// whether there is such an account, neither by its text nor by its time.
func (s *Store) SignInOperator(ctx context.Context, email, password string) (token string, a *Account, err error) {
	return s.signIn(ctx, "", email, password)
}

// SignInStaff is SignInOperator for one of a merchant's staff. The merchant is named by its id or its slug; one that does not
// exist is refused like a wrong password.
func (s *Store) SignInStaff(ctx context.Context, merchant, email, password string) (token string, a *Account, err error) {
	m, err := s.Merchant(ctx, merchant)
	if CodeOf(err) == CodeNotFound {
		m, err = s.MerchantBySlug(ctx, merchant)
	}
	switch {
	case CodeOf(err) == CodeNotFound:
		return s.signIn(ctx, "none", email, password)
	case err != nil:
		return "", nil, err
	}
	return s.signIn(ctx, m.ID, email, password)
}

func (s *Store) signIn(ctx context.Context, merchantID, email, password string) (string, *Account, error) {
	hash, err := s.hasher.nobody()
	if err != nil {
		return "", nil, err
	}
	var found []Account
	if email = normalEmail(email); validEmail(email) {
		err = s.read(ctx).Where("COALESCE(merchant_id, '') = ? AND email = ? AND disabled_at IS NULL", merchantID, email).Limit(1).Find(&found).Error
		if err != nil {
			return "", nil, err
		}
	}
	if len(found) == 1 {
		hash = found[0].PasswordHash
	}
	// A text that is too long to be a password is compared like an empty one, which takes as long.
	if len(password) > 4*maxPassword {
		password = ""
	}
	fits, err := passwordFits(ctx, password, hash)
	if err != nil {
		return "", nil, err
	}
	if !fits || len(found) == 0 {
		return "", nil, errSignIn
	}
	token := newCredential(sessionPrefix)
	err = s.write(ctx, func(t *tx) error {
		return t.Create(&session{s.keys.digest(token), found[0].ID, t.now, t.now.Add(SessionLifetime)}).Error
	})
	if err != nil {
		return "", nil, err
	}
	return token, &found[0], nil
}

// SessionAccount returns whose session a token is; CodeUnauthorized if it has ended, or the account was disabled.
func (s *Store) SessionAccount(ctx context.Context, token string) (*Account, error) {
	ended := &Error{Code: CodeUnauthorized, Message: "The session has ended; sign in again."}
	if len(token) > 100 {
		return nil, ended
	}
	var a Account
	err := s.read(ctx).Joins("JOIN sessions ON sessions.account_id = accounts.id").
		Where("sessions.digest = ? AND sessions.expires_at > ? AND accounts.disabled_at IS NULL", s.keys.digest(token), s.now()).Take(&a).Error
	err = orNotFound(err, "session")
	switch {
	case CodeOf(err) == CodeNotFound:
		return nil, ended
	case err != nil:
		return nil, err
	}
	return &a, nil
}

// SignOut ends a session. One that has ended already is no error.
func (s *Store) SignOut(ctx context.Context, token string) error {
	return s.write(ctx, func(t *tx) error {
		return t.Exec(`DELETE FROM sessions WHERE digest = ?`, s.keys.digest(token)).Error
	})
}
