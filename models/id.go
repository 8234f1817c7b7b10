package models

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/base64"
	"encoding/binary"
	"strings"
	"time"

	"github.com/google/uuid"
)

var idEncoding = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// newID makes a prefixed id that sorts by the time of its making: a UUIDv7 (RFC 9562) in lower-case Crockford base 32.
func newID(prefix string) string {
	u := uuid.Must(uuid.NewV7())
	return prefix + "_" + idEncoding.EncodeToString(u[:])
}

// firstID is the smallest id that newID can make at a time, or later.
func firstID(prefix string, at time.Time) string {
	var u [16]byte
	binary.BigEndian.PutUint64(u[:8], uint64(min(max(at.UnixMilli(), 0), 1<<48-1))<<16)
	return prefix + "_" + idEncoding.EncodeToString(u[:])
}

// newJobID makes the id of a promise: a plain UUIDv7, which may be part of an Asynq task id.
func newJobID() string { return uuid.Must(uuid.NewV7()).String() }

// newToken makes an unguessable token of 192 bits for a URL.
func newToken() string {
	var b [24]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// hasPrefix reports whether an id is of the given kind, as in hasPrefix(id, "prd").
func hasPrefix(id, prefix string) bool { return strings.HasPrefix(id, prefix+"_") }
