package models

import (
	"context"
	"regexp"
	"strings"
	"time"
	"unicode"

	"golang.org/x/text/unicode/norm"
	"gorm.io/gorm/clause"
)

// MerchantInput is a new merchant.
type MerchantInput struct {
	Name  string // 1 to 200 characters
	Email string // where notices go
	// Slug is the merchant's part of its pages' addresses; empty: made of the name, with a number behind it if it is taken.
	Slug string
	// AllowPrivateTargets lets webhooks reach the private networks that the operator allows.
	AllowPrivateTargets bool
}

const maxSlug = 48

var slugPattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,46}[a-z0-9])?$`)

// CreateMerchant makes a merchant in test mode with the default settings and one API key a mode. The keys are returned this
// once and kept as digests only. A slug that was asked for and is taken is a conflict.
func (s *Store) CreateMerchant(ctx context.Context, in MerchantInput) (m *Merchant, liveKey, testKey string, err error) {
	in.Name, in.Email = strings.TrimSpace(in.Name), strings.TrimSpace(in.Email)
	var bad invalids
	if in.Name == "" {
		bad.add("name", "must not be empty")
	}
	checkText(&bad, "name", in.Name, 200)
	if !validEmail(in.Email) {
		bad.add("email", "must be an email address")
	}
	if in.Slug != "" && !slugPattern.MatchString(in.Slug) {
		bad.add("slug", "must be 1 to %d lower-case letters, digits and inner hyphens", maxSlug)
	}
	if err := bad.err(); err != nil {
		return nil, "", "", err
	}
	err = s.write(ctx, func(t *tx) error {
		settings := DefaultSettings()
		m = &Merchant{
			ID: newID("mer"), Name: in.Name, Email: in.Email, AllowPrivateTargets: in.AllowPrivateTargets, Settings: settings,
			DeleteUnpaidAfterS: seconds(settings.DeleteUnpaidAfter), CreatedAt: t.now, UpdatedAt: t.now,
		}
		if err := t.insertMerchant(m, in.Slug); err != nil {
			return err
		}
		if err := t.replaceReminderRules(m.ID, settings.Reminders); err != nil {
			return err
		}
		if _, liveKey, err = t.createAPIKey(Scope{MerchantID: m.ID}, ""); err != nil {
			return err
		}
		_, testKey, err = t.createAPIKey(Scope{MerchantID: m.ID, Test: true}, "")
		return err
	})
	if err != nil {
		return nil, "", "", err
	}
	return m, liveKey, testKey, nil
}

// insertMerchant inserts a merchant under the slug that was asked for, or else under the first free one made of its name.
func (t *tx) insertMerchant(m *Merchant, slug string) error {
	base := slug
	if base == "" {
		base = slugOf(m.Name)
	}
	m.Slug = base
	for n := 2; ; n++ {
		res := t.Clauses(clause.OnConflict{Columns: []clause.Column{{Name: "slug"}}, DoNothing: true}).Create(m)
		if res.Error != nil {
			return res.Error
		}
		if res.RowsAffected == 1 {
			return nil
		}
		if slug != "" {
			return &Error{Code: CodeConflict, Message: "Another merchant has this slug.", Fields: []FieldError{{"slug", "is taken"}}}
		}
		suffix := itoa(n)
		if n > 20 {
			suffix = strings.TrimPrefix(newID(""), "_")[18:] // random: a name that is this popular is not worth counting
		}
		m.Slug = strings.TrimRight(base[:min(len(base), maxSlug-1-len(suffix))], "-") + "-" + suffix
	}
}

// slugOf makes a slug of a name: its letters without accents and its digits, and hyphens for everything else.
func slugOf(name string) string {
	var b strings.Builder
	for _, r := range norm.NFKD.String(strings.ToLower(name)) {
		switch {
		case unicode.Is(unicode.Mn, r):
			continue
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			b.WriteRune(r)
		default:
			if b.Len() > 0 && !strings.HasSuffix(b.String(), "-") {
				b.WriteByte('-')
			}
		}
	}
	slug := b.String()
	slug = strings.Trim(slug[:min(len(slug), maxSlug)], "-")
	if slug == "" {
		return "merchant"
	}
	return slug
}

// Merchant returns a merchant.
func (s *Store) Merchant(ctx context.Context, id string) (*Merchant, error) {
	return s.merchantBy(ctx, "id", id, isID(id, "mer"))
}

// MerchantBySlug returns the merchant whose pages are found under a slug.
func (s *Store) MerchantBySlug(ctx context.Context, slug string) (*Merchant, error) {
	return s.merchantBy(ctx, "slug", slug, slugPattern.MatchString(slug))
}

func (s *Store) merchantBy(ctx context.Context, column, value string, possible bool) (*Merchant, error) {
	if !possible {
		return nil, notFound("merchant")
	}
	var m Merchant
	if err := s.read(ctx).Where(column+" = ?", value).Take(&m).Error; err != nil {
		return nil, orNotFound(err, "merchant")
	}
	return &m, nil
}

// lockMerchant locks a merchant's row, for what has to be counted or changed by one request at a time.
func (t *tx) lockMerchant(id string) (*Merchant, error) {
	var m Merchant
	if err := t.s.dialect.lock(t.DB, "").Where("id = ?", id).Take(&m).Error; err != nil {
		return nil, orNotFound(err, "merchant")
	}
	return &m, nil
}

// mayWriteShared refuses a test key to change what test and live mode share (catalogue and settings) once the merchant is live.
func (m *Merchant) mayWriteShared(sc Scope) error {
	if m.Live && sc.Test {
		return &Error{Code: CodeForbidden, Message: "The merchant is live: a test key may read the catalogue and the settings but not change them."}
	}
	return nil
}

// sharedWriter is mayWriteShared for the merchant of a scope.
func (t *tx) sharedWriter(sc Scope) error {
	var m Merchant
	if err := t.Select("id", "live").Where("id = ?", sc.MerchantID).Take(&m).Error; err != nil {
		return orNotFound(err, "merchant")
	}
	return m.mayWriteShared(sc)
}

func seconds(d Duration) int64 { return int64(time.Duration(d) / time.Second) }
