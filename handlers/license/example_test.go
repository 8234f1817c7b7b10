package license_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
)

// A merchant's program needs no more than this to verify a licence offline: an
// Ed25519 implementation, base64, and the product's public key.
func Example_offlineVerifier() {
	const publicKey = "e8601e48b69383ba520245fd07971e983d06d22c4257cfd82304601479cee788"
	const key = "key/eyJ0ZXN0IjoxfQ==._f34UAAtNKM8TXGLlnblBGCLSy22Oa_gjp4jn0CpvEuwQ2gAcH0IntFKwtbyV5iWnH9_x8l0R144oHp2_GviAw=="

	public, err := hex.DecodeString(publicKey)
	if err != nil {
		fmt.Println("public key:", err)
		return
	}
	signed, signatureText, _ := strings.Cut(key, ".")
	signature, err := base64.URLEncoding.DecodeString(signatureText)
	if err != nil || !ed25519.Verify(public, []byte(signed), signature) {
		fmt.Println("not a licence of ours")
		return
	}
	payload, err := base64.URLEncoding.DecodeString(strings.TrimPrefix(signed, "key/"))
	if err != nil {
		fmt.Println("payload:", err)
		return
	}
	fmt.Printf("%s\n", payload)
	// Output: {"test":1}
}
