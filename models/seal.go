package models

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
)

// Keyring holds the keys derived from the installation's secret key, one for each purpose (HKDF-SHA256, RFC 5869).
type Keyring struct {
	sealing     cipher.AEAD
	fingerprint []byte
	credential  []byte
	gateway     []byte
	link        []byte
	device      []byte
	check       string
}

// NewKeyring derives the keys from a secret of 32 bytes.
func NewKeyring(secret []byte) (*Keyring, error) {
	if len(secret) != 32 {
		return nil, fmt.Errorf("models: the secret key has %d bytes, expected 32", len(secret))
	}
	derive := func(purpose string) []byte {
		k, err := hkdf.Key(sha256.New, secret, nil, "purser/v1/"+purpose, 32)
		if err != nil {
			panic(err) // the only cause is a length that HKDF cannot make
		}
		return k
	}
	block, err := aes.NewCipher(derive("seal"))
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	return &Keyring{
		sealing: aead, fingerprint: derive("fingerprint"), credential: derive("credential"), gateway: derive("gateway"), link: derive("link"), device: derive("device"),
		check: hex.EncodeToString(derive("check")[:16]),
	}, nil
}

// sealedV1 marks the format of what Seal makes: this byte, then AES-256-GCM's random nonce, ciphertext and tag.
const sealedV1 = 1

// Seal encrypts a secret for the column it is meant for: the context (say, a licence's id) is authenticated, so that a
// ciphertext copied to another row does not open there.
func (k *Keyring) Seal(plain []byte, context string) []byte {
	return k.sealing.Seal([]byte{sealedV1}, nil, plain, []byte(context))
}

// Open is the inverse of Seal.
func (k *Keyring) Open(sealed []byte, context string) ([]byte, error) {
	if len(sealed) == 0 || sealed[0] != sealedV1 {
		return nil, errors.New("models: not a sealed value")
	}
	plain, err := k.sealing.Open(nil, nil, sealed[1:], []byte(context))
	if err != nil {
		return nil, errors.New("models: a sealed value does not open with this secret key")
	}
	return plain, nil
}

// Fingerprint is a keyed digest by which a licence key is found without being stored in the clear.
func (k *Keyring) Fingerprint(plain string) string { return mac(k.fingerprint, plain) }

// digest is the keyed digest under which credentials of 128 bits and more (API keys, session tokens) are kept.
func (k *Keyring) digest(credential string) string { return mac(k.credential, credential) }

// GatewaySecret is the secret with which a gateway of ours signs its callbacks, 64 hexadecimal digits.
func (k *Keyring) GatewaySecret(name string) []byte { return []byte(mac(k.gateway, name)) }

// LinkSignature signs the id of a checkout link, so that one can be told from a guess without asking the database.
func (k *Keyring) LinkSignature(id string) string { return mac(k.link, id)[:32] }

// DeviceSignature signs the number of a browser that somebody with this email has signed in with.
func (k *Keyring) DeviceSignature(email, number string) string {
	return mac(k.device, number+" "+email)
}

func mac(key []byte, s string) string {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(s))
	return hex.EncodeToString(m.Sum(nil))
}

// newCredential makes prefix plus 256 random bits.
func newCredential(prefix string) string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return prefix + base64.RawURLEncoding.EncodeToString(b[:])
}
