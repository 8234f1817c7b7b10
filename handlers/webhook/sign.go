package webhook

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Header names of the Standard Webhooks specification, in Go's canonical form.
const (
	HeaderID        = "Webhook-Id"        // the same on every attempt, so that receivers can deduplicate
	HeaderTimestamp = "Webhook-Timestamp" // Unix seconds of the attempt
	HeaderSignature = "Webhook-Signature" // one "v1,BASE64" per valid secret, separated by spaces
)

// DefaultTolerance is how far the specification's own libraries let the
// timestamp be from the receiver's clock, either way.
const DefaultTolerance = 5 * time.Minute

const (
	secretPrefix = "whsec_"
	minKeyBytes  = 24 // bounds of the specification
	maxKeyBytes  = 64
	newKeyBytes  = 32
	maxIDBytes   = 255
)

// Errors of signing and verifying. None of them holds a secret or a signature.
var (
	ErrSecret    = errors.New("webhook secret must be whsec_ and the base64 of 24 to 64 bytes")
	ErrID        = errors.New("webhook-id must be 1 to 255 visible ASCII characters without a full stop")
	ErrTimestamp = errors.New("webhook-timestamp must be whole Unix seconds after 1970")
	ErrHeaders   = errors.New("webhook-id, webhook-timestamp and webhook-signature must each be sent once")
	ErrTolerance = errors.New("webhook-timestamp is too far from the present")
	ErrSignature = errors.New("webhook-signature does not match")
)

// NewSecret returns a new signing secret, "whsec_" and the base64 of 32 random bytes.
func NewSecret() string {
	var key [newKeyBytes]byte
	rand.Read(key[:]) // crypto/rand ends the process rather than return short
	return secretPrefix + base64.StdEncoding.EncodeToString(key[:])
}

// Sign returns the Standard Webhooks v1 signature "v1,BASE64" of a message:
// HMAC-SHA256 over "id.timestamp.body" with the bytes behind whsec_ as key.
//
// It returns [ErrSecret], [ErrID] or [ErrTimestamp] where the input could not
// be verified safely. A full stop in id is refused because it would let two
// different messages share a signature.
func Sign(secret, id string, at time.Time, body []byte) (string, error) {
	key, err := decodeSecret(secret)
	if err != nil {
		return "", err
	}
	if err := checkSigned(id, at); err != nil {
		return "", err
	}
	return signature(key, id, at, body), nil
}

// Header returns webhook-id, webhook-timestamp and webhook-signature for a
// message, signed with every secret given: during a rotation the old and the new
// one, so that a receiver may switch at any moment of the overlap.
// Errors are those of [Sign]; no secret at all is [ErrSecret].
func Header(secrets []string, id string, at time.Time, body []byte) (http.Header, error) {
	if len(secrets) == 0 {
		return nil, ErrSecret
	}
	signatures := make([]string, 0, len(secrets))
	for i, secret := range secrets {
		s, err := Sign(secret, id, at, body)
		if err != nil {
			return nil, fmt.Errorf("secrets[%d]: %w", i, err)
		}
		signatures = append(signatures, s)
	}
	return http.Header{
		HeaderID:        {id},
		HeaderTimestamp: {strconv.FormatInt(at.Unix(), 10)},
		HeaderSignature: {strings.Join(signatures, " ")},
	}, nil
}

// Verify is the receiver's side: it returns nil if one of the signatures in
// header was made with secret for this body, and the timestamp is at most
// tolerance before or after now. Otherwise it returns [ErrSecret], [ErrHeaders],
// [ErrID], [ErrTimestamp], [ErrTolerance] or [ErrSignature]. Signatures are
// compared in constant time; those of unknown versions are passed over.
func Verify(secret string, header http.Header, body []byte, now time.Time, tolerance time.Duration) error {
	key, err := decodeSecret(secret)
	if err != nil {
		return err
	}
	// A header sent twice would let a proxy in front judge another value than we do.
	ids, stamps, signatures := header.Values(HeaderID), header.Values(HeaderTimestamp), header.Values(HeaderSignature)
	if len(ids) != 1 || len(stamps) != 1 || len(signatures) != 1 {
		return ErrHeaders
	}
	seconds, err := strconv.ParseInt(stamps[0], 10, 64)
	if err != nil || strconv.FormatInt(seconds, 10) != stamps[0] {
		return ErrTimestamp
	}
	at := time.Unix(seconds, 0)
	if err := checkSigned(ids[0], at); err != nil {
		return err
	}
	if age := now.Sub(at); age > tolerance || age < -tolerance {
		return ErrTolerance
	}
	want := []byte(signature(key, ids[0], at, body))
	match := false
	for got := range strings.SplitSeq(signatures[0], " ") {
		if hmac.Equal([]byte(got), want) {
			match = true
		}
	}
	if !match {
		return ErrSignature
	}
	return nil
}

func signature(key []byte, id string, at time.Time, body []byte) string {
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%d.", id, at.Unix())
	mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// checkSigned refuses ids and times that would make "id.timestamp.body"
// ambiguous or that could not be sent as a header.
func checkSigned(id string, at time.Time) error {
	if id == "" || len(id) > maxIDBytes {
		return ErrID
	}
	for i := range len(id) {
		if c := id[i]; c <= ' ' || c > '~' || c == '.' {
			return ErrID
		}
	}
	if at.Unix() <= 0 {
		return ErrTimestamp
	}
	return nil
}

// decodeSecret accepts the one canonical text of a key. An empty or short key
// would make every signature guessable, so it is an error here and not a key.
func decodeSecret(secret string) ([]byte, error) {
	text, ok := strings.CutPrefix(secret, secretPrefix)
	if !ok {
		return nil, ErrSecret
	}
	key, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(key) < minKeyBytes || len(key) > maxKeyBytes {
		return nil, ErrSecret
	}
	// The decoder skips line breaks and loose trailing bits; receivers' decoders may not.
	if base64.StdEncoding.EncodeToString(key) != text {
		return nil, ErrSecret
	}
	return key, nil
}
