package webhook

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"pgregory.net/rapid"
)

func TestSignMatchesPublishedVectors(t *testing.T) {
	t.Parallel()
	var file struct {
		Vectors []struct {
			Scheme, Secret, ID, Body, Signature string
			Timestamp                           int64
		}
	}
	readJSON(t, "testdata/standard-webhooks.json", &file)
	tried := 0
	for _, v := range file.Vectors {
		if v.Scheme != "v1" { // v1a is the asymmetric scheme
			continue
		}
		tried++
		at := time.Unix(v.Timestamp, 0)
		got, err := Sign(v.Secret, v.ID, at, []byte(v.Body))
		if err != nil || got != v.Signature {
			t.Errorf("Sign(%s) = %q, %v; want %q", v.ID, got, err, v.Signature)
		}
		header, err := Header([]string{v.Secret}, v.ID, at, []byte(v.Body))
		if err != nil {
			t.Fatal(err)
		}
		if err := Verify(v.Secret, header, []byte(v.Body), at, 0); err != nil {
			t.Errorf("Verify of our own header: %v", err)
		}
	}
	if tried == 0 {
		t.Fatal("no v1 vector in testdata/standard-webhooks.json")
	}
}

func TestNoventiqSignatureMatchesPublishedVector(t *testing.T) {
	t.Parallel()
	var v struct {
		Secret, Signature string
		Body              struct {
			Event      string `json:"event"`
			OrderID    int64  `json:"order_id"`
			CreateDate string `json:"create_date"`
			Currency   string `json:"currency"`
			Customer   struct {
				Email string `json:"email"`
			} `json:"customer"`
			Payment struct {
				Method string `json:"payment_method"`
			} `json:"payment"`
		}
	}
	readJSON(t, "testdata/noventiq.json", &v)
	fields := NoventiqFields{
		Event: v.Body.Event, OrderID: strconv.FormatInt(v.Body.OrderID, 10), CreateDate: v.Body.CreateDate,
		PaymentMethod: v.Body.Payment.Method, Currency: v.Body.Currency, CustomerEmail: v.Body.Customer.Email,
	}
	got, err := NoventiqSignature(v.Secret, fields)
	if err != nil || got != v.Signature {
		t.Errorf("NoventiqSignature = %q, %v; want %q", got, err, v.Signature)
	}
	if got, err := NoventiqSignature("", fields); !errors.Is(err, ErrNoventiqSecret) || got != "" {
		t.Errorf("with an empty secret: %q, %v; want ErrNoventiqSecret", got, err)
	}
}

func TestNewSecretIsUsableAndNew(t *testing.T) {
	t.Parallel()
	a, b := NewSecret(), NewSecret()
	if a == b {
		t.Fatal("two secrets are the same")
	}
	key, err := decodeSecret(a)
	if err != nil || len(key) != 32 {
		t.Fatalf("decodeSecret(NewSecret()) = %d bytes, %v; want 32", len(key), err)
	}
}

func TestSignRefusesUnsafeInput(t *testing.T) {
	t.Parallel()
	secretOf := func(n int) string {
		return "whsec_" + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, n))
	}
	good, now := secretOf(32), time.Unix(1614265330, 0)
	tests := []struct {
		name, secret, id string
		at               time.Time
		want             error
	}{
		{"shortest key", secretOf(24), "evt_1", now, nil},
		{"longest key", secretOf(64), "evt_1", now, nil},
		{"key too short", secretOf(23), "evt_1", now, ErrSecret},
		{"key too long", secretOf(65), "evt_1", now, ErrSecret},
		{"no secret", "", "evt_1", now, ErrSecret},
		{"prefix only", "whsec_", "evt_1", now, ErrSecret},
		{"without prefix", strings.TrimPrefix(good, "whsec_"), "evt_1", now, ErrSecret},
		{"not base64", "whsec_" + strings.Repeat("!", 44), "evt_1", now, ErrSecret},
		{"without padding", strings.TrimRight(good, "="), "evt_1", now, ErrSecret},
		{"url alphabet", "whsec_" + base64.URLEncoding.EncodeToString(bytes.Repeat([]byte{0xff}, 32)), "evt_1", now, ErrSecret},
		{"line break", good[:20] + "\n" + good[20:], "evt_1", now, ErrSecret},
		{"loose bits", good[:len(good)-2] + "d=", "evt_1", now, ErrSecret},
		{"no id", good, "", now, ErrID},
		{"full stop in id", good, "evt.1", now, ErrID},
		{"space in id", good, "evt 1", now, ErrID},
		{"line break in id", good, "evt\r\nx: y", now, ErrID},
		{"not ASCII in id", good, "evt_é", now, ErrID},
		{"longest id", good, strings.Repeat("x", 255), now, nil},
		{"id too long", good, strings.Repeat("x", 256), now, ErrID},
		{"zero time", good, "evt_1", time.Time{}, ErrTimestamp},
		{"1970", good, "evt_1", time.Unix(0, 0), ErrTimestamp},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := Sign(tt.secret, tt.id, tt.at, []byte("{}"))
			if !errors.Is(err, tt.want) || (err == nil) != (got != "") {
				t.Errorf("Sign = %q, %v; want error %v", got, err, tt.want)
			}
			header, err := Header([]string{good, tt.secret}, tt.id, tt.at, []byte("{}"))
			if !errors.Is(err, tt.want) || (err == nil) != (header != nil) {
				t.Errorf("Header = %v, %v; want error %v", header, err, tt.want)
			}
			if err != nil && len(tt.secret) > 10 && strings.Contains(err.Error(), tt.secret[6:]) {
				t.Errorf("error holds the secret")
			}
		})
	}
	if header, err := Header(nil, "evt_1", now, nil); !errors.Is(err, ErrSecret) || header != nil {
		t.Errorf("Header without secrets = %v, %v; want ErrSecret", header, err)
	}
}

func TestVerifyRefusesEveryChange(t *testing.T) {
	t.Parallel()
	const id, body = "evt_1", `{"a":1}`
	secret, old, other := NewSecret(), NewSecret(), NewSecret()
	at := time.Unix(1614265330, 0)
	tests := []struct {
		name   string
		secret string
		body   string
		now    time.Time
		change func(http.Header)
		want   error
	}{
		{name: "untouched"},
		{name: "the other secret of a rotation", secret: old},
		{name: "unknown versions and rubbish beside ours", change: func(h http.Header) {
			h.Set(HeaderSignature, "v1a,AAAA v2 v1, "+h.Get(HeaderSignature)+" v9,xx")
		}},
		{name: "foreign secret", secret: other, want: ErrSignature},
		{name: "bad secret", secret: "whsec_", want: ErrSecret},
		{name: "body", body: `{"a":2}`, want: ErrSignature},
		{name: "body shortened", body: `{"a":1`, want: ErrSignature},
		{name: "id", change: func(h http.Header) { h.Set(HeaderID, "evt_2") }, want: ErrSignature},
		{name: "id with full stop", change: func(h http.Header) { h.Set(HeaderID, "evt.1") }, want: ErrID},
		{name: "timestamp", change: func(h http.Header) { h.Set(HeaderTimestamp, "1614265331") }, want: ErrSignature},
		{name: "timestamp with sign", change: func(h http.Header) { h.Set(HeaderTimestamp, "+1614265330") }, want: ErrTimestamp},
		{name: "timestamp with zero", change: func(h http.Header) { h.Set(HeaderTimestamp, "01614265330") }, want: ErrTimestamp},
		{name: "timestamp in words", change: func(h http.Header) { h.Set(HeaderTimestamp, "now") }, want: ErrTimestamp},
		{name: "timestamp overflows", change: func(h http.Header) { h.Set(HeaderTimestamp, "99999999999999999999") }, want: ErrTimestamp},
		{name: "timestamp far away", change: func(h http.Header) { h.Set(HeaderTimestamp, "9223372036854775807") }, want: ErrTolerance},
		{name: "oldest allowed", now: at.Add(DefaultTolerance)},
		{name: "newest allowed", now: at.Add(-DefaultTolerance)},
		{name: "too old", now: at.Add(DefaultTolerance + time.Second), want: ErrTolerance},
		{name: "too new", now: at.Add(-DefaultTolerance - time.Second), want: ErrTolerance},
		{name: "signature of another version", change: func(h http.Header) {
			h.Set(HeaderSignature, strings.ReplaceAll(h.Get(HeaderSignature), "v1,", "v2,"))
		}, want: ErrSignature},
		{name: "signature without version", change: func(h http.Header) {
			h.Set(HeaderSignature, strings.ReplaceAll(h.Get(HeaderSignature), "v1,", ""))
		}, want: ErrSignature},
		{name: "empty signature", change: func(h http.Header) { h.Set(HeaderSignature, "") }, want: ErrSignature},
		{name: "no signature", change: func(h http.Header) { h.Del(HeaderSignature) }, want: ErrHeaders},
		{name: "no id", change: func(h http.Header) { h.Del(HeaderID) }, want: ErrHeaders},
		{name: "no timestamp", change: func(h http.Header) { h.Del(HeaderTimestamp) }, want: ErrHeaders},
		{name: "two ids", change: func(h http.Header) { h.Add(HeaderID, id) }, want: ErrHeaders},
		{name: "two timestamps", change: func(h http.Header) { h.Add(HeaderTimestamp, "1") }, want: ErrHeaders},
		{name: "two signatures", change: func(h http.Header) { h.Add(HeaderSignature, "v1,x") }, want: ErrHeaders},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			header, err := Header([]string{secret, old}, id, at, []byte(body))
			if err != nil {
				t.Fatal(err)
			}
			if tt.secret == "" {
				tt.secret = secret
			}
			if tt.body == "" {
				tt.body = body
			}
			if tt.now.IsZero() {
				tt.now = at
			}
			if tt.change != nil {
				tt.change(header)
			}
			if err := Verify(tt.secret, header, []byte(tt.body), tt.now, DefaultTolerance); !errors.Is(err, tt.want) {
				t.Errorf("Verify = %v; want %v", err, tt.want)
			}
		})
	}
}

// The published library is the oracle: it accepts what we sign, with every secret
// of a rotation, and both sides refuse whatever was changed on the way.
func TestReferenceVerifierAgrees(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		keys := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 24, 64), 1, 3).Draw(t, "keys")
		id := rapid.StringMatching(`[!-\-/-~]{1,60}`).Draw(t, "id")
		body := rapid.SliceOfN(rapid.Byte(), 1, 300).Draw(t, "body")
		now := time.Now()

		secrets := make([]string, len(keys))
		for i, key := range keys {
			secrets[i] = "whsec_" + base64.StdEncoding.EncodeToString(key)
		}
		header, err := Header(secrets, id, now, body)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(strings.Fields(header.Get(HeaderSignature))); n != len(secrets) {
			t.Fatalf("%d signatures for %d secrets", n, len(secrets))
		}
		judge := func(secret string, header http.Header, body []byte) (reference, ours error) {
			wh, err := standardwebhooks.NewWebhook(secret)
			if err != nil {
				t.Fatal(err)
			}
			return wh.Verify(body, header), Verify(secret, header, body, now, DefaultTolerance)
		}
		for _, secret := range secrets {
			if reference, ours := judge(secret, header, body); reference != nil || ours != nil {
				t.Fatalf("signed by us: reference %v, ours %v", reference, ours)
			}
		}

		refused := func(what, secret string, header http.Header, body []byte) {
			if reference, ours := judge(secret, header, body); reference == nil || ours == nil {
				t.Fatalf("%s changed: reference %v, ours %v; want both to refuse", what, reference, ours)
			}
		}
		bent := bytes.Clone(body)
		bent[rapid.IntRange(0, len(bent)-1).Draw(t, "at")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		refused("body", secrets[0], header, bent)
		refused("body length", secrets[0], header, append(bytes.Clone(body), 0))

		for name, value := range map[string]string{
			HeaderID:        id + "x",
			HeaderTimestamp: strconv.FormatInt(now.Unix()-1, 10),
			HeaderSignature: strings.ReplaceAll(header.Get(HeaderSignature), "v1,", "v1,A"),
		} {
			changed := header.Clone()
			changed.Set(name, value)
			refused(name, secrets[0], changed, body)
		}
		refused("secret", NewSecret(), header, body)
	})
}

func TestHeaderNamesAreThoseOfTheReference(t *testing.T) {
	t.Parallel()
	for ours, theirs := range map[string]string{
		HeaderID:        standardwebhooks.HeaderWebhookID,
		HeaderTimestamp: standardwebhooks.HeaderWebhookTimestamp,
		HeaderSignature: standardwebhooks.HeaderWebhookSignature,
	} {
		if ours != http.CanonicalHeaderKey(theirs) {
			t.Errorf("%q; the specification has %q", ours, theirs)
		}
	}
}

func readJSON(t *testing.T, path string, into any) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatal(err)
	}
}
