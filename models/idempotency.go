package models

import (
	"context"
	"encoding/json"
	"errors"
	"time"
	"unicode/utf8"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

const (
	// idempotencyTerm is how long an answer is kept and repeated.
	idempotencyTerm = 24 * time.Hour
	// idempotencyLease is how long a request is believed to be running when its process has said nothing more.
	idempotencyLease = 10 * time.Second

	maxIdempotencyKey = 255
)

// IdempotencyClaim is a request's right to run and to answer for its idempotency key.
type IdempotencyClaim struct {
	// ID stays the same when another request takes a lost one over, so that what the lost one did outside, such as asking a gateway,
	// is found again by it.
	ID    string
	owner string
}

// StoredAnswer is the answer that a request with the same key and body got before.
type StoredAnswer struct {
	Status  int
	Headers map[string]string
	Body    []byte
}

type idempotencyKey struct {
	ID          string `gorm:"primaryKey"`
	MerchantID  string
	Test        bool
	Method      string
	Path        string
	Key         string
	RequestHash string
	// Owner is drawn at random by every claim. It fences the answer of a request that was given up.
	Owner      string
	LeaseUntil time.Time
	Status     *int // set with Headers and Body when the request is answered
	Headers    *string
	Body       []byte // sealed with the id: answers hold licence keys and secrets
	CreatedAt  time.Time
}

// TableName names the table for GORM.
func (idempotencyKey) TableName() string { return "idempotency_keys" }

// ClaimIdempotency decides what becomes of a request with an idempotency key, in a transaction of its own. Exactly one of its
// results is set: a claim, with which the request runs; the answer to repeat; or an error, CodeIdempotencyReused for a key that came
// with another request (requestHash) in the last 24 hours, CodeIdempotencyInProgress while the first one is running. A request
// whose process is gone can be claimed again after ten seconds.
func (s *Store) ClaimIdempotency(ctx context.Context, sc Scope, method, path, key, requestHash string) (*IdempotencyClaim, *StoredAnswer, error) {
	if key == "" || utf8.RuneCountInString(key) > maxIdempotencyKey || !utf8.ValidString(key) || printable(key) != key {
		return nil, nil, Invalid("Idempotency-Key", "must have 1 to %d printable characters", maxIdempotencyKey)
	}
	want := idempotencyKey{
		MerchantID: sc.MerchantID, Test: sc.Test, Method: method, Path: path, Key: key, Owner: newToken(),
		// Keyed, because what is hashed may be guessed: a body with a card number has few unknown digits.
		RequestHash: s.keys.digest("idempotency\x00" + requestHash),
	}
	var claim *IdempotencyClaim
	var answer *StoredAnswer
	err := s.write(ctx, func(t *tx) (err error) {
		claim, answer, err = t.claimIdempotency(want)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	return claim, answer, nil
}

func (t *tx) claimIdempotency(want idempotencyKey) (*IdempotencyClaim, *StoredAnswer, error) {
	for {
		claim, err := t.insertIdempotency(want)
		if claim != nil || err != nil {
			return claim, nil, err
		}
		var row idempotencyKey
		err = t.s.dialect.lock(t.DB, "").Where("merchant_id = ? AND test = ? AND method = ? AND path = ? AND key = ?",
			want.MerchantID, want.Test, want.Method, want.Path, want.Key).Take(&row).Error
		switch {
		case errors.Is(err, gorm.ErrRecordNotFound):
			continue // it was swept in between
		case err != nil:
			return nil, nil, err
		case !row.CreatedAt.After(t.now.Add(-idempotencyTerm)):
			if err := t.Exec(`DELETE FROM idempotency_keys WHERE id = ?`, row.ID).Error; err != nil {
				return nil, nil, err
			}
			continue
		case row.RequestHash != want.RequestHash:
			return nil, nil, &Error{Code: CodeIdempotencyReused, Message: "The idempotency key was used for another request."}
		case row.Status != nil:
			answer, err := t.s.storedAnswer(&row)
			return nil, answer, err
		}
		return t.takeOverIdempotency(&row, want.Owner)
	}
}

// insertIdempotency claims a key that nobody has used.
func (t *tx) insertIdempotency(want idempotencyKey) (*IdempotencyClaim, error) {
	id := newID("idk")
	res := t.Model(&idempotencyKey{}).Clauses(clause.OnConflict{DoNothing: true}).Create(map[string]any{
		"id": id, "merchant_id": want.MerchantID, "test": want.Test, "method": want.Method, "path": want.Path, "key": want.Key,
		"request_hash": want.RequestHash, "owner": want.Owner, "lease_until": t.s.dialect.after(t.s, idempotencyLease), "created_at": t.now,
	})
	if res.Error != nil || res.RowsAffected == 0 {
		return nil, res.Error
	}
	return &IdempotencyClaim{id, want.Owner}, nil
}

// takeOverIdempotency claims a key whose request was lost. The row is locked.
func (t *tx) takeOverIdempotency(row *idempotencyKey, owner string) (*IdempotencyClaim, *StoredAnswer, error) {
	d := t.s.dialect
	res := t.Exec(`UPDATE idempotency_keys SET owner = ?, lease_until = ? WHERE id = ? AND owner = ? AND status IS NULL AND lease_until <= ?`,
		owner, d.after(t.s, idempotencyLease), row.ID, row.Owner, d.after(t.s, 0))
	if res.Error != nil {
		return nil, nil, res.Error
	}
	if res.RowsAffected == 0 {
		return nil, nil, errInProgress
	}
	return &IdempotencyClaim{row.ID, owner}, nil, nil
}

var errInProgress = &Error{Code: CodeIdempotencyInProgress, Message: "A request with this idempotency key is still running."}

func (s *Store) storedAnswer(row *idempotencyKey) (*StoredAnswer, error) {
	a := &StoredAnswer{Status: *row.Status, Headers: map[string]string{}}
	if row.Headers != nil {
		if err := json.Unmarshal([]byte(*row.Headers), &a.Headers); err != nil {
			return nil, err
		}
	}
	var err error
	a.Body, err = s.keys.Open(row.Body, row.ID)
	return a, err
}

// FinishIdempotency stores the answer of a claimed request. Called inside Transaction it commits or rolls back with the request's
// effect. If the claim was given up and another request has it, it returns CodeIdempotencyInProgress, so that everything the caller
// did in the transaction is rolled back.
func (s *Store) FinishIdempotency(ctx context.Context, c *IdempotencyClaim, status int, headers map[string]string, body []byte) error {
	if headers == nil {
		headers = map[string]string{}
	}
	text, err := json.Marshal(headers)
	if err != nil {
		return err
	}
	return s.write(ctx, func(t *tx) error {
		res := t.Exec(`UPDATE idempotency_keys SET status = ?, headers = ?, body = ? WHERE id = ? AND owner = ? AND status IS NULL`,
			status, string(text), s.keys.Seal(body, c.ID), c.ID, c.owner)
		if res.Error != nil {
			return res.Error
		}
		if res.RowsAffected == 0 {
			return errInProgress
		}
		return nil
	})
}

// ReleaseIdempotency gives a claim back without an answer, so that the same request can be tried again at once. The row stays, and
// with it the claim's ID: what this request has begun outside may still have an effect, which the next try then finds.
func (s *Store) ReleaseIdempotency(ctx context.Context, c *IdempotencyClaim) error {
	return s.write(ctx, func(t *tx) error {
		return t.Exec(`UPDATE idempotency_keys SET lease_until = ? WHERE id = ? AND owner = ? AND status IS NULL`,
			s.dialect.after(s, 0), c.ID, c.owner).Error
	})
}
