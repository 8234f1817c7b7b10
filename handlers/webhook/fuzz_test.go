package webhook

import (
	"encoding/base64"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// A secret that we accept has one spelling, a safe length, and means the same
// key to the published library.
func FuzzSecret(f *testing.F) {
	f.Add("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	f.Add("whsec_")
	f.Add("")
	f.Fuzz(func(t *testing.T, secret string) {
		key, err := decodeSecret(secret)
		if err != nil {
			if key != nil {
				t.Fatalf("a key beside the error %v", err)
			}
			return
		}
		if len(key) < minKeyBytes || len(key) > maxKeyBytes || secret != "whsec_"+base64.StdEncoding.EncodeToString(key) {
			t.Fatalf("accepted a key of %d bytes in another spelling", len(key))
		}
		reference, err := standardwebhooks.NewWebhook(secret)
		if err != nil {
			t.Fatalf("the reference refuses it: %v", err)
		}
		now := time.Unix(1614265330, 0)
		want, _ := reference.Sign("evt_1", now, []byte("{}"))
		if got, err := Sign(secret, "evt_1", now, []byte("{}")); err != nil || got != want {
			t.Fatalf("Sign = %q, %v; the reference says %q", got, err, want)
		}
	})
}

func FuzzRetryAfter(f *testing.F) {
	f.Add("120")
	f.Add("Wed, 04 Mar 2026 05:07:07 GMT")
	f.Add("99999999999999999999")
	f.Add("-1")
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	f.Fuzz(func(t *testing.T, value string) {
		if d := parseRetryAfter(value, now); d < 0 || d > 24*time.Hour {
			t.Fatalf("parseRetryAfter(%q) = %v", value, d)
		}
	})
}

func FuzzExcerpt(f *testing.F) {
	f.Add("ok")
	f.Add(strings.Repeat("é", 1500))
	f.Add("\x00\xff\x1b")
	f.Fuzz(func(t *testing.T, body string) {
		got := excerpt(strings.NewReader(body))
		if len(got) > 2048 || !utf8.ValidString(got) || strings.ContainsAny(got, "\x00\x1b\x7f") {
			t.Fatalf("excerpt of %d bytes: %q", len(got), got)
		}
		if clean := !strings.ContainsFunc(body, func(r rune) bool { return r < ' ' || r >= 0x7f }); clean && got != body[:min(len(body), 2048)] {
			t.Fatalf("excerpt changed plain text to %q", got)
		}
	})
}

// A URL that we accept is what net/http will see, and no accepted host is an
// address in disguise.
func FuzzURL(f *testing.F) {
	for _, seed := range []string{
		"https://shop.example/hook?x=1", "http://127.0.0.1:80/", "http://2130706433/", "http://[::ffff:7f00:1]/", "http://0x7f.1/", "http://a@b/", "http://localhost./",
	} {
		f.Add(seed)
	}
	s := NewSender(Config{})
	f.Fuzz(func(t *testing.T, raw string) {
		if err := ValidateURL(raw); err != nil {
			return
		}
		u, err := url.Parse(raw)
		if err != nil || u.Hostname() == "" || u.User != nil || u.Fragment != "" || (u.Scheme != "http" && u.Scheme != "https") {
			t.Fatalf("accepted %q, parsed as %+v, %v", raw, u, err)
		}
		if again, err := url.Parse(u.String()); err != nil || again.Host != u.Host {
			t.Fatalf("%q has the host %q, written again %q, %v", raw, u.Host, again.Host, err)
		}
		ip, err := netip.ParseAddr(u.Hostname())
		if err == nil && !s.public.guard.allows(ip) && s.CheckURL(raw, false) == nil {
			t.Fatalf("CheckURL accepts %q", raw)
		}
		if last := strings.TrimSuffix(u.Hostname(), "."); err != nil && last[len(last)-1] >= '0' && last[len(last)-1] <= '9' && !strings.ContainsAny(last[strings.LastIndexByte(last, '.')+1:], "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_") {
			t.Fatalf("accepted the number %q as a name", last)
		}
	})
}

// Whatever a request says about itself, it is believed only if its signature is the one that we would have made.
func FuzzVerify(f *testing.F) {
	const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	now := time.Unix(1614265330, 0)
	good, err := Sign(secret, "evt_1", now, []byte("{}"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add("evt_1", "1614265330", good, []byte("{}"))
	f.Add("evt_1", "1614265330", "v1,AAAA "+good+" v2,x", []byte("{}"))
	f.Add("evt_1", "+1614265330", good, []byte("{}"))
	f.Add("evt_1.1614265330", "01614265330", good, []byte(""))
	f.Add("", "-9223372036854775808", "v1,", []byte("\x00"))
	f.Fuzz(func(t *testing.T, id, stamp, signatures string, body []byte) {
		header := http.Header{HeaderID: {id}, HeaderTimestamp: {stamp}, HeaderSignature: {signatures}}
		if Verify(secret, header, body, now, time.Minute) == nil {
			seconds, err := strconv.ParseInt(stamp, 10, 64)
			if err != nil {
				t.Fatalf("a timestamp %q was accepted", stamp)
			}
			want, err := Sign(secret, id, time.Unix(seconds, 0), body)
			if err != nil || !slices.Contains(strings.Split(signatures, " "), want) || now.Sub(time.Unix(seconds, 0)).Abs() > time.Minute {
				t.Fatalf("forged: %q, %q, %q", id, stamp, signatures)
			}
		}
		own, err := Header([]string{secret}, id, now, body)
		if err != nil {
			return
		}
		if err := Verify(secret, own, body, now, time.Minute); err != nil {
			t.Fatalf("our own signature of %q is refused: %v", id, err)
		}
		if Verify(secret, own, append(body, 'x'), now, time.Minute) == nil {
			t.Fatal("another body has the same signature")
		}
	})
}
