package license

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

const pemPublicKey = "PUBLIC KEY"

// PublicKeyHex prints a public key as 64 lower-case hexadecimal digits, the form
// that most Ed25519 libraries take.
func PublicKeyHex(public ed25519.PublicKey) string { return hex.EncodeToString(public) }

// PublicKeyPEM prints a public key as a PEM block of its SubjectPublicKeyInfo
// (RFC 8410), the form that OpenSSL takes. It fails for a key that does not have
// 32 bytes.
func PublicKeyPEM(public ed25519.PublicKey) (string, error) {
	if len(public) != ed25519.PublicKeySize {
		return "", fmt.Errorf("license: the public key has %d bytes, expected %d", len(public), ed25519.PublicKeySize)
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return "", fmt.Errorf("license: encode public key: %w", err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: pemPublicKey, Bytes: der})), nil
}

// ParsePublicKey reads an Ed25519 public key in any of the forms in which people
// pass one on: 64 hexadecimal digits, a PEM block, or base64 (standard or
// URL-safe, padded) of the 32 bytes or of the DER of the PEM block. White space
// around it does not matter. Errors never repeat the text, because it is a
// private key that people paste by mistake.
func ParsePublicKey(text string) (ed25519.PublicKey, error) {
	text = strings.TrimSpace(text)
	if strings.HasPrefix(text, "-----BEGIN") {
		return parsePEM(text)
	}
	if len(text) == hex.EncodedLen(ed25519.PublicKeySize) {
		if raw, err := hex.DecodeString(text); err == nil {
			return raw, nil
		}
	}
	for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
		raw, err := encoding.Strict().DecodeString(text)
		switch {
		case err != nil:
		case len(raw) == ed25519.PublicKeySize:
			return raw, nil
		case len(raw) > ed25519.PublicKeySize:
			return parseSPKI(raw)
		}
	}
	return nil, errors.New("license: the public key is neither 64 hexadecimal digits, nor PEM, nor base64 of 32 bytes")
}

func parsePEM(text string) (ed25519.PublicKey, error) {
	block, rest := pem.Decode([]byte(text))
	switch {
	case block == nil:
		return nil, errors.New("license: the PEM block of the public key is broken")
	case strings.Contains(block.Type, "PRIVATE"):
		return nil, errors.New("license: expected a public key, this is a private one")
	case block.Type != pemPublicKey:
		return nil, errors.New("license: expected a PEM block of type " + pemPublicKey)
	case strings.TrimSpace(string(rest)) != "":
		return nil, errors.New("license: something follows the PEM block of the public key")
	}
	return parseSPKI(block.Bytes)
}

func parseSPKI(der []byte) (ed25519.PublicKey, error) {
	parsed, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, errors.New("license: the public key is not a SubjectPublicKeyInfo")
	}
	public, ok := parsed.(ed25519.PublicKey)
	if !ok {
		return nil, fmt.Errorf("license: expected an Ed25519 public key, this is a %T", parsed)
	}
	return public, nil
}
