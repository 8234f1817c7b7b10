package license

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"pgregory.net/rapid"
)

// keygenVector is Keygen's published example; the file names its source.
type keygenVector struct {
	PublicKeyHex string          `json:"public_key_hex"`
	Key          string          `json:"key"`
	Payload      json.RawMessage `json:"payload"`
}

func readVector(t testing.TB) (ed25519.PublicKey, keygenVector) {
	t.Helper()
	raw, err := os.ReadFile("testdata/keygen-signed-key.json")
	if err != nil {
		t.Fatal(err)
	}
	var vector keygenVector
	if err := json.Unmarshal(raw, &vector); err != nil {
		t.Fatal(err)
	}
	public, err := ParsePublicKey(vector.PublicKeyHex)
	if err != nil {
		t.Fatal(err)
	}
	return public, vector
}

// testSigner is the key of the golden licence below.
func testSigner() ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))
}

func testPayload() Payload {
	return Payload{
		Order: "ord_1", OrderNumber: "A0000000123", Item: "itm_1", Unit: 2, Product: "prd_1", SKU: "editor-pro",
		Quantity: 1, IssuedAt: time.Date(2026, 11, 22, 12, 30, 15, 999, time.UTC),
	}
}

func publicOf(private ed25519.PrivateKey) ed25519.PublicKey {
	return private.Public().(ed25519.PublicKey)
}

// signRaw signs any payload at all, as a foreign issuer would.
func signRaw(private ed25519.PrivateKey, payload string) string {
	signed := "key/" + base64.URLEncoding.EncodeToString([]byte(payload))
	return signed + "." + base64.URLEncoding.EncodeToString(ed25519.Sign(private, []byte(signed)))
}

func TestKeygenVector(t *testing.T) {
	t.Parallel()
	public, vector := readVector(t)
	payload, err := VerifyRaw(public, vector.Key)
	if err != nil {
		t.Fatal(err)
	}
	var want bytes.Buffer
	if err := json.Compact(&want, vector.Payload); err != nil {
		t.Fatal(err)
	}
	if string(payload) != want.String() {
		t.Errorf("payload is %s, want %s", payload, want.String())
	}
	if _, err := Verify(public, vector.Key); !errors.Is(err, ErrPayloadVersion) {
		t.Errorf("a foreign payload gave %v", err)
	}
	if _, err := VerifyRaw(publicOf(testSigner()), vector.Key); !errors.Is(err, ErrSignature) {
		t.Errorf("another public key gave %v", err)
	}
}

// The key below must never change: licences of this format are in the field, and
// a job that makes a licence again after a crash must make the same one.
func TestSignIsStable(t *testing.T) {
	t.Parallel()
	const payload = `{"v":1,"order":"ord_1","order_number":"A0000000123","item":"itm_1","unit":2,"product":"prd_1","sku":"editor-pro",` +
		`"quantity":1,"issued_at":"2026-11-22T12:30:15Z","test":false}`
	want := signRaw(testSigner(), payload)
	inVienna := testPayload()
	inVienna.IssuedAt = inVienna.IssuedAt.In(time.FixedZone("", 3600))
	for _, p := range []Payload{testPayload(), inVienna} {
		key, err := Sign(testSigner(), p)
		if err != nil {
			t.Fatal(err)
		}
		if key != want {
			t.Errorf("key is %s, want %s", key, want)
		}
	}
	named := testPayload()
	named.Test, named.LicensedTo = true, "Byron & Töchter <Ltd>"
	key, err := Sign(testSigner(), named)
	if err != nil {
		t.Fatal(err)
	}
	if want := signRaw(testSigner(), strings.Replace(payload, `false}`, `true,"licensed_to":"Byron & Töchter <Ltd>"}`, 1)); key != want {
		t.Errorf("key with a name is %s, want %s", key, want)
	}
	if got := want[len(want)-88:]; got != goldenSignature {
		t.Errorf("signature is %s, want %s", got, goldenSignature)
	}
}

const goldenSignature = "fnE0pq6WFof0tPqXlE_2no9WWoebvVyw-Ng8DFJpNhfuP4bqfWa7sAeIElkuyRIZWerBXII8CwZu7gvlZ-r9Bw=="

func TestVerifyIsStrict(t *testing.T) {
	t.Parallel()
	signer := testSigner()
	key, err := Sign(signer, testPayload())
	if err != nil {
		t.Fatal(err)
	}
	rest := strings.TrimPrefix(key, "key/")
	payload, signature, _ := strings.Cut(rest, ".")
	if !strings.HasSuffix(signature, "==") {
		t.Fatal("the signature has no padding to leave out")
	}
	// Four of the six bits of the character before == carry nothing, and are zero
	// in A, Q, g and w: a lax decoder takes 16 spellings of one signature.
	spare := signature[:85] + string(signature[85]+1) + "=="
	flipped := []byte(signature)
	flipped[0] ^= 1
	for name, tc := range map[string]struct {
		key  string
		want error
		text string
	}{
		"empty":                   {"", ErrKeyFormat, "begin with key/"},
		"no prefix":               {rest, ErrKeyFormat, "begin with key/"},
		"Keygen's other prefix":   {"activation/" + rest, ErrKeyFormat, "begin with key/"},
		"capital prefix":          {"KEY/" + rest, ErrKeyFormat, "begin with key/"},
		"leading space":           {" " + key, ErrKeyFormat, "begin with key/"},
		"no dot":                  {"key/" + payload, ErrKeyFormat, "dot"},
		"no signature":            {"key/" + payload + ".", ErrKeyFormat, "signature has 0 bytes"},
		"short signature":         {"key/" + payload + ".AAAA", ErrKeyFormat, "signature has 3 bytes"},
		"two dots":                {key + "." + signature, ErrKeyFormat, "signature is not padded"},
		"trailing newline":        {key + "\n", ErrKeyFormat, "signature is not padded"},
		"trailing space":          {key + " ", ErrKeyFormat, "signature is not padded"},
		"newline in the payload":  {"key/" + payload[:8] + "\n" + payload[8:] + "." + signature, ErrKeyFormat, "payload is not padded"},
		"newline in signature":    {"key/" + payload + "." + signature[:8] + "\r\n" + signature[8:], ErrKeyFormat, "signature is not padded"},
		"unpadded signature":      {strings.TrimRight(key, "="), ErrKeyFormat, "signature is not padded"},
		"spare bits in signature": {"key/" + payload + "." + spare, ErrKeyFormat, "signature is not padded"},
		"standard base64":         {"key/++++." + signature, ErrKeyFormat, "payload is not padded"},
		"too long":                {"key/" + strings.Repeat("A", MaxKeyLength) + "." + signature, ErrKeyFormat, "longer than 4096"},
		"other payload":           {"key/" + base64.URLEncoding.EncodeToString([]byte(`{"v":1}`)) + "." + signature, ErrSignature, ""},
		"other signature":         {"key/" + payload + "." + string(flipped), ErrSignature, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := Verify(publicOf(signer), tc.key)
			if !errors.Is(err, tc.want) || !strings.Contains(err.Error(), tc.text) {
				t.Fatalf("error is %v, want %v with %q", err, tc.want, tc.text)
			}
			if got != (Payload{}) {
				t.Error("a payload beside an error")
			}
			if strings.Contains(err.Error(), signature[:8]) || strings.Contains(err.Error(), payload[:8]) {
				t.Error("the error repeats the key")
			}
		})
	}
	for _, public := range []ed25519.PublicKey{nil, make([]byte, 31), make([]byte, 33)} {
		if _, err := Verify(public, key); err == nil {
			t.Errorf("a public key of %d bytes verifies", len(public))
		}
	}
}

func TestUnpaddedPayloadIsRefused(t *testing.T) {
	t.Parallel()
	// Signed as it stands, so that only the spelling is wrong.
	signed := "key/" + base64.RawURLEncoding.EncodeToString([]byte(`{"test":1}`))
	key := signed + "." + base64.URLEncoding.EncodeToString(ed25519.Sign(testSigner(), []byte(signed)))
	if _, err := VerifyRaw(publicOf(testSigner()), key); !errors.Is(err, ErrKeyFormat) {
		t.Errorf("error is %v", err)
	}
}

func TestVerifyReadsOnlyItsOwnPayloads(t *testing.T) {
	t.Parallel()
	const good = `{"v":1,"order":"o","order_number":"n","item":"i","unit":1,"product":"p","sku":"s","quantity":3,"issued_at":"2026-01-02T03:04:05Z"`
	for name, tc := range map[string]struct{ payload, want string }{
		"no JSON":             {`hello`, "not a JSON object"},
		"trailing data":       {good + `} x`, "not a JSON object"},
		"array":               {`[1]`, "not a JSON object"},
		"no version":          {`{"order":"o"}`, "v is missing, expected 1"},
		"version 0":           {`{"v":0}`, "v is 0, expected 1"},
		"version 2":           {`{"v":2,"order":{"id":"o"}}`, "v is 2, expected 1"},
		"other type":          {strings.Replace(good, `"unit":1`, `"unit":"1"`, 1) + "}", "fields of version 1"},
		"fraction":            {strings.Replace(good, `"unit":1`, `"unit":1.5`, 1) + "}", "fields of version 1"},
		"no order":            {strings.Replace(good, `"order":"o",`, ``, 1) + "}", "order is empty"},
		"unit zero":           {strings.Replace(good, `"unit":1`, `"unit":0`, 1) + "}", "unit must be at least 1"},
		"no quantity":         {strings.Replace(good, `"quantity":3,`, ``, 1) + "}", "quantity must be at least 1"},
		"no time":             {strings.Replace(good, `,"issued_at":"2026-01-02T03:04:05Z"`, ``, 1) + "}", "issued_at must be a time"},
		"time before time":    {strings.Replace(good, `2026-01-02T03:04:05Z`, `0000-01-01T00:00:00+02:00`, 1) + "}", "issued_at must be a time"},
		"long licensed_to":    {good + `,"licensed_to":"` + strings.Repeat("é", 201) + `"}`, "licensed_to is longer than 200"},
		"fine":                {good + "}", ""},
		"later field":         {good + `,"seats_until":"2030"}`, ""},
		"longest name":        {good + `,"licensed_to":"` + strings.Repeat("é", 200) + `"}`, ""},
		"in another timezone": {strings.Replace(good, "03:04:05Z", "05:04:05+02:00", 1) + "}", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			payload, err := Verify(publicOf(testSigner()), signRaw(testSigner(), tc.payload))
			if tc.want != "" {
				if err == nil || !strings.Contains(err.Error(), tc.want) {
					t.Errorf("error is %v, want %q", err, tc.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if payload.Quantity != 3 || payload.IssuedAt != time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) {
				t.Errorf("payload is %+v", payload)
			}
		})
	}
}

func TestSignRefusesIncompletePayloads(t *testing.T) {
	t.Parallel()
	for field, spoil := range map[string]func(*Payload){
		"order":        func(p *Payload) { p.Order = "" },
		"order_number": func(p *Payload) { p.OrderNumber = "" },
		"item":         func(p *Payload) { p.Item = "" },
		"product":      func(p *Payload) { p.Product = "" },
		"sku":          func(p *Payload) { p.SKU = "\xff" },
		"unit":         func(p *Payload) { p.Unit = 0 },
		"quantity":     func(p *Payload) { p.Quantity = -1 },
		"issued_at":    func(p *Payload) { p.IssuedAt = time.Time{} },
		"licensed_to":  func(p *Payload) { p.LicensedTo = "Ada\xff" },
		"signed key":   func(p *Payload) { p.SKU = strings.Repeat("s", MaxKeyLength) },
	} {
		p := testPayload()
		spoil(&p)
		key, err := Sign(testSigner(), p)
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: error is %v", field, err)
		}
		if key != "" {
			t.Errorf("%s: a key beside an error", field)
		}
	}
	for _, private := range []ed25519.PrivateKey{nil, make([]byte, 32)} {
		if _, err := Sign(private, testPayload()); err == nil {
			t.Errorf("a signing key of %d bytes signs", len(private))
		}
	}
}

func TestWhatIsSignedVerifies(t *testing.T) {
	t.Parallel()
	text := rapid.StringN(1, 40, 200)
	rapid.Check(t, func(t *rapid.T) {
		signer := ed25519.NewKeyFromSeed(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "seed"))
		want := Payload{
			Order: text.Draw(t, "order"), OrderNumber: text.Draw(t, "number"), Item: text.Draw(t, "item"),
			Unit: rapid.IntRange(1, 1e9).Draw(t, "unit"), Product: text.Draw(t, "product"), SKU: text.Draw(t, "sku"),
			Quantity: rapid.IntRange(1, 1e9).Draw(t, "quantity"),
			IssuedAt: time.Unix(rapid.Int64Range(0, 1<<35).Draw(t, "at"), 0).UTC(),
			Test:     rapid.Bool().Draw(t, "test"), LicensedTo: rapid.StringN(0, 60, 300).Draw(t, "to"),
		}
		key, err := Sign(signer, want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Verify(publicOf(signer), key)
		if err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Fatalf("got %+v, want %+v", got, want)
		}
		// A key is stored and mailed like any other.
		if clean, err := NormalizeKey(key); err != nil || clean != key {
			t.Fatalf("the key is not a clean line: %v", err)
		}
		at := rapid.IntRange(0, len(key)-1).Draw(t, "changed")
		changed := []byte(key)
		changed[at] ^= byte(rapid.IntRange(1, 255).Draw(t, "by"))
		if _, err := Verify(publicOf(signer), string(changed)); err == nil {
			t.Fatalf("byte %d changed and the key still verifies", at)
		}
	})
}

func TestGenerateSigningKey(t *testing.T) {
	t.Parallel()
	seed := bytes.Repeat([]byte{7}, 32)
	private, err := GenerateSigningKey(bytes.NewReader(seed))
	if err != nil || !private.Equal(testSigner()) {
		t.Errorf("the seed gave another key (%v)", err)
	}
	a, errA := GenerateSigningKey(rand.Reader)
	b, errB := GenerateSigningKey(rand.Reader)
	if errA != nil || errB != nil || a.Equal(b) {
		t.Errorf("two keys are equal (%v, %v)", errA, errB)
	}
	for _, source := range []io.Reader{iotest.ErrReader(io.ErrClosedPipe), bytes.NewReader(seed[:31])} {
		if _, err := GenerateSigningKey(source); err == nil {
			t.Error("no error without randomness")
		}
	}
}

func TestPublicKeyForms(t *testing.T) {
	t.Parallel()
	public, vector := readVector(t)
	block, err := PublicKeyPEM(public)
	if err != nil {
		t.Fatal(err)
	}
	// RFC 8410: twelve bytes say Ed25519, then comes the key.
	der := append([]byte("\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00"), public...)
	wantPEM := "-----BEGIN PUBLIC KEY-----\n" + base64.StdEncoding.EncodeToString(der) + "\n-----END PUBLIC KEY-----\n"
	if block != wantPEM {
		t.Errorf("PEM is %q, want %q", block, wantPEM)
	}
	if got := PublicKeyHex(public); got != vector.PublicKeyHex {
		t.Errorf("hex is %s, want %s", got, vector.PublicKeyHex)
	}
	for _, text := range []string{
		vector.PublicKeyHex, strings.ToUpper(vector.PublicKeyHex), "\n " + vector.PublicKeyHex + "\r\n",
		block, strings.ReplaceAll(block, "\n", "\r\n"), "\n" + block + "\n",
		base64.StdEncoding.EncodeToString(public), base64.URLEncoding.EncodeToString(public),
		base64.StdEncoding.EncodeToString(der), base64.URLEncoding.EncodeToString(der),
	} {
		got, err := ParsePublicKey(text)
		if err != nil || !got.Equal(public) {
			t.Errorf("%q gave %x, %v", text, got, err)
		}
	}
	if _, err := PublicKeyPEM(public[:31]); err == nil {
		t.Error("31 bytes make a PEM block")
	}
}

func TestParsePublicKeyRefuses(t *testing.T) {
	t.Parallel()
	public, vector := readVector(t)
	good, err := PublicKeyPEM(public)
	if err != nil {
		t.Fatal(err)
	}
	const rsa = "MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBALmm5lF1kkTwmRqoGyPxKbzf2gGwG6F9sCAkZ7rCHHzRWqyqgnrUfQ3A2VBPPdmxsBSE95zqFPb0gTVF0TPqM7MCAwEAAQ=="
	for name, tc := range map[string]struct{ text, want string }{
		"empty":           {"", "neither"},
		"short hex":       {vector.PublicKeyHex[:62], "neither"},
		"long hex":        {vector.PublicKeyHex + "00", "neither"},
		"short base64":    {base64.StdEncoding.EncodeToString(public[:31]), "neither"},
		"unpadded base64": {base64.RawStdEncoding.EncodeToString(public), "neither"},
		"other DER":       {base64.StdEncoding.EncodeToString(make([]byte, 44)), "SubjectPublicKeyInfo"},
		"RSA":             {rsa, "expected an Ed25519 public key"},
		"private":         {strings.ReplaceAll(good, "PUBLIC", "PRIVATE"), "this is a private one"},
		"certificate":     {strings.ReplaceAll(good, "PUBLIC KEY", "CERTIFICATE"), "PEM block of type PUBLIC KEY"},
		"cut PEM":         {good[:40], "broken"},
		"two PEM blocks":  {good + good, "something follows"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := ParsePublicKey(tc.text)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("got %x, %v, want an error with %q", got, err, tc.want)
			}
			if len(tc.text) > 20 && strings.Contains(err.Error(), tc.text[len(tc.text)-20:]) {
				t.Error("the error repeats the key")
			}
		})
	}
}

func FuzzVerify(f *testing.F) {
	public, vector := readVector(f)
	own, err := Sign(testSigner(), testPayload())
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{vector.Key, own, "", "key/", "key/.", "key/e30=.AAAA", own + "\n", strings.TrimRight(own, "=")} {
		f.Add(seed)
	}
	valid := map[string]bool{vector.Key: true, own: true}
	f.Fuzz(func(t *testing.T, key string) {
		for _, public := range []ed25519.PublicKey{public, publicOf(testSigner())} {
			payload, err := VerifyRaw(public, key)
			if err == nil && !valid[key] {
				t.Fatalf("%q is a second spelling of a valid key, or a forged one", key)
			}
			if err != nil && payload != nil {
				t.Fatal("a payload beside an error")
			}
		}
		// Past the signature, the payload is still whatever its signer wrote.
		if len(key) < 900 { // escapes may make it three times as long
			if p, err := Verify(publicOf(testSigner()), signRaw(testSigner(), key)); err == nil {
				if again, err := Sign(testSigner(), p); err != nil {
					t.Fatalf("the payload %+v cannot be signed again: %v", p, err)
				} else if _, err := Verify(publicOf(testSigner()), again); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}
