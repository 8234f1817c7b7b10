package license

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
)

// signedPrefix begins every signed key and is part of the signed bytes.
const signedPrefix = "key/"

var (
	// ErrKeyFormat is wrapped by the errors about a key that is not a signed
	// licence key at all.
	ErrKeyFormat = errors.New("not a signed licence key")
	// ErrSignature is returned for a well-formed key that the owner of the public
	// key did not sign.
	ErrSignature = errors.New("license: the signature does not match")
)

// GenerateSigningKey makes the key pair of a product. Its seed
// (PrivateKey.Seed, 32 bytes) is all that needs to be kept, encrypted.
func GenerateSigningKey(rand io.Reader) (ed25519.PrivateKey, error) {
	// ed25519.GenerateKey does not promise to take its bytes from rand.
	seed := make([]byte, ed25519.SeedSize)
	if _, err := io.ReadFull(rand, seed); err != nil {
		return nil, fmt.Errorf("license: read random bytes: %w", err)
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

// Sign issues a licence that verifies offline. The key has the format that
// Keygen publishes for Ed25519 (keygen.sh, "Cryptographic verification"):
//
//	key/BASE64URL(payload) . BASE64URL(signature)
//
// both padded and without the spaces; what is signed is everything before the
// dot, "key/" included. Ed25519 is deterministic: the same private key and
// payload give the same licence, so making it again after a crash is harmless.
//
// Sign fails for an incomplete payload and for one that makes the key longer
// than [MaxKeyLength].
func Sign(private ed25519.PrivateKey, payload Payload) (string, error) {
	if len(private) != ed25519.PrivateKeySize {
		return "", fmt.Errorf("license: the signing key has %d bytes, expected %d", len(private), ed25519.PrivateKeySize)
	}
	raw, err := payload.encode()
	if err != nil {
		return "", err
	}
	signed := signedPrefix + base64.URLEncoding.EncodeToString(raw)
	key := signed + "." + base64.URLEncoding.EncodeToString(ed25519.Sign(private, []byte(signed)))
	if len(key) > MaxKeyLength {
		return "", fmt.Errorf("license: the signed key has %d bytes, at most %d are allowed", len(key), MaxKeyLength)
	}
	return key, nil
}

// Verify checks the signature of key and returns what it says. There is exactly
// one accepted spelling of a key: nothing may follow it, and base64 must be
// URL-safe, padded and canonical.
//
// Errors: [ErrKeyFormat] (wrapped), [ErrSignature], and for keys that are
// rightly signed [ErrPayloadVersion] (wrapped) or an error about an incomplete
// payload.
func Verify(public ed25519.PublicKey, key string) (Payload, error) {
	raw, err := VerifyRaw(public, key)
	if err != nil {
		return Payload{}, err
	}
	return decodePayload(raw)
}

// VerifyRaw is [Verify] for keys of other issuers: it checks everything except
// the payload, whose bytes it returns as they were signed.
func VerifyRaw(public ed25519.PublicKey, key string) ([]byte, error) {
	if len(public) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("license: the public key has %d bytes, expected %d", len(public), ed25519.PublicKeySize)
	}
	if len(key) > MaxKeyLength {
		return nil, formatError("it is longer than %d bytes", MaxKeyLength)
	}
	rest, ok := strings.CutPrefix(key, signedPrefix)
	if !ok {
		return nil, formatError("it does not begin with %s", signedPrefix)
	}
	payloadText, signatureText, ok := strings.Cut(rest, ".")
	if !ok {
		return nil, formatError("the dot before the signature is missing")
	}
	payload, err := decodeCanonical(payloadText)
	if err != nil {
		return nil, formatError("the payload is not padded URL-safe base64")
	}
	signature, err := decodeCanonical(signatureText)
	if err != nil {
		return nil, formatError("the signature is not padded URL-safe base64")
	}
	if len(signature) != ed25519.SignatureSize {
		return nil, formatError("the signature has %d bytes, expected %d", len(signature), ed25519.SignatureSize)
	}
	if !ed25519.Verify(public, []byte(signedPrefix+payloadText), signature) {
		return nil, ErrSignature
	}
	return payload, nil
}

func formatError(format string, args ...any) error {
	return fmt.Errorf("license: %w: "+format, append([]any{ErrKeyFormat}, args...)...)
}

// decodeCanonical accepts only what EncodeToString would have written. The
// decoder alone skips line breaks and ignores spare bits.
func decodeCanonical(text string) ([]byte, error) {
	raw, err := base64.URLEncoding.DecodeString(text)
	if err != nil {
		return nil, err
	}
	if base64.URLEncoding.EncodeToString(raw) != text {
		return nil, errors.New("not canonical")
	}
	return raw, nil
}
