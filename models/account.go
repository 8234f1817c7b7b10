package models

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/alexedwards/argon2id"
	"gorm.io/gorm/clause"
)

// The roles of accounts. An operator is an admin or a viewer; a merchant's staff are owners, support or viewers.
const (
	RoleAdmin   = "admin"
	RoleOwner   = "owner"
	RoleSupport = "support"
	RoleViewer  = "viewer"
)

// Account is a person who signs in: an operator of the installation, or one of a merchant's staff.
type Account struct {
	ID           string     `gorm:"primaryKey" json:"id"`
	MerchantID   *string    `json:"merchant_id"` // null for an operator
	Email        string     `json:"email"`       // lower case; unique among operators, and among a merchant's staff
	Role         string     `json:"role"`
	PasswordHash string     `json:"-"` // argon2id, in the PHC string format
	CreatedAt    time.Time  `json:"created_at"`
	DisabledAt   *time.Time `json:"disabled_at"` // set by hand; ends the account's sessions at once
}

// Operator reports whether the account is one of the installation's.
func (a *Account) Operator() bool { return a.MerchantID == nil }

// Actor names the account in an order's history.
func (a *Account) Actor() string {
	if a.Operator() {
		return "operator:" + a.ID
	}
	return "staff:" + a.ID
}

// The bounds of a password, in characters.
const (
	minPassword = 10
	maxPassword = 200
)

// passwordMemory is, with one pass on one thread, what OWASP recommends for argon2id (at least 46 MiB) with some room. In KiB.
const passwordMemory = 64 * 1024

// hashing bounds how many passwords are hashed at a time, and with them the memory that a crowd at the door can take.
var hashing = make(chan struct{}, 4)

// hasher hashes passwords.
type hasher struct {
	cost *argon2id.Params
	// nobody is the hash that is compared with when there is no such account, so that the time it takes tells nothing.
	nobody func() (string, error)
}

func newHasher(memory uint32) hasher {
	if memory == 0 {
		memory = passwordMemory
	}
	cost := &argon2id.Params{Memory: memory, Iterations: 1, Parallelism: 1, SaltLength: 16, KeyLength: 32}
	return hasher{cost, sync.OnceValues(func() (string, error) { return argon2id.CreateHash(newToken(), cost) })}
}

func (h hasher) hash(ctx context.Context, password string) (hash string, err error) {
	err = hashed(ctx, func() error {
		hash, err = argon2id.CreateHash(password, h.cost)
		return err
	})
	return hash, err
}

func passwordFits(ctx context.Context, password, hash string) (fits bool, err error) {
	err = hashed(ctx, func() error {
		fits, err = argon2id.ComparePasswordAndHash(password, hash)
		return err
	})
	return fits, err
}

func hashed(ctx context.Context, fn func() error) error {
	select {
	case hashing <- struct{}{}:
		defer func() { <-hashing }()
		return fn()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// CreateOperator makes an account of the installation, with the role admin or viewer.
func (s *Store) CreateOperator(ctx context.Context, email, role, password string) (*Account, error) {
	return s.createAccount(ctx, nil, email, role, password, RoleAdmin, RoleViewer)
}

// CreateStaff makes an account of a merchant, with the role owner, support or viewer.
func (s *Store) CreateStaff(ctx context.Context, merchantID, email, role, password string) (*Account, error) {
	if _, err := s.Merchant(ctx, merchantID); err != nil {
		return nil, err
	}
	return s.createAccount(ctx, &merchantID, email, role, password, RoleOwner, RoleSupport, RoleViewer)
}

func (s *Store) createAccount(ctx context.Context, merchantID *string, email, role, password string, roles ...string) (*Account, error) {
	var bad invalids
	email = normalEmail(email)
	if !validEmail(email) {
		bad.add("email", "must be an email address")
	}
	if !slices.Contains(roles, role) {
		bad.add("role", "must be one of %s", strings.Join(roles, ", "))
	}
	if n := utf8.RuneCountInString(password); n < minPassword || n > maxPassword {
		bad.add("password", "must have %d to %d characters", minPassword, maxPassword)
	}
	if err := bad.err(); err != nil {
		return nil, err
	}
	hash, err := s.hasher.hash(ctx, password)
	if err != nil {
		return nil, err
	}
	var a *Account
	err = s.write(ctx, func(t *tx) error {
		a = &Account{ID: newID("acc"), MerchantID: merchantID, Email: email, Role: role, PasswordHash: hash, CreatedAt: t.now}
		res := t.Clauses(clause.OnConflict{DoNothing: true}).Create(a)
		if res.Error == nil && res.RowsAffected == 0 {
			return &Error{Code: CodeConflict, Message: "There is an account with this email already.", Fields: []FieldError{{"email", "is taken"}}}
		}
		return res.Error
	})
	if err != nil {
		return nil, err
	}
	return a, nil
}

func normalEmail(s string) string { return strings.ToLower(strings.TrimSpace(s)) }
