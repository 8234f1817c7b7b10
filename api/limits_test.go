package api

import (
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

// TestLimitsHoldWithoutRedis wears out every limit that is there for strangers while Redis is gone, and looks whether others still get in.
func TestLimitsHoldWithoutRedis(t *testing.T) {
	type visit struct {
		*door
		*exhibit
		names map[string]string
	}
	// from is a browser at an address of the net.
	from := func(d *door, address string) *browser {
		b := d.browser()
		b.header = map[string]string{"X-Forwarded-For": address}
		return b
	}
	// form is a form that a page shows to a visitor, with changes.
	form := func(t *testing.T, b *browser, path string, change ...string) url.Values {
		t.Helper()
		f := url.Values{"csrf": {csrf(t, b.get(t, path))}}
		for i := 0; i < len(change); i += 2 {
			f.Set(change[i], change[i+1])
		}
		return f
	}
	tests := []struct {
		what  string
		limit int // of one address, or of one thing
		other int // what somebody else is answered afterwards
		try   func(t *testing.T, v *visit, b *browser) (again func() answer)
	}{
		{"wrong API keys", wrongKeys, 401, func(t *testing.T, _ *visit, b *browser) func() answer {
			return func() answer { return b.send(t, ask{method: get, path: "/v1/orders", key: "psk_test_wrong"}) }
		}},
		{"sign-ins of an address", addressTries, 401, func(t *testing.T, _ *visit, b *browser) func() answer {
			f, n := form(t, b, "/operator", "password", "wrong horse battery"), 0
			return func() answer {
				n++
				f.Set("email", fmt.Sprintf("%d@%p.example", n, b))
				return b.post(t, "/operator", f)
			}
		}},
		{"sign-ins of an email", emailTries, 429, func(t *testing.T, v *visit, b *browser) func() answer {
			f := form(t, b, "/operator", "email", "ann@example.com", "password", "wrong horse battery")
			return func() answer { return b.post(t, "/operator", f) }
		}},
		{"checkout links", linksOpened.n, 303, func(t *testing.T, v *visit, b *browser) func() answer {
			return func() answer { return b.send(t, ask{method: "HEAD", path: v.names["/buy/{id}"]}) }
		}},
		{"signed links", linksOpened.n, 200, func(t *testing.T, v *visit, b *browser) func() answer {
			return func() answer { return b.send(t, ask{method: "HEAD", path: v.names["/link/{token}"]}) }
		}},
		{"orders that do not exist", ordersSought.n, 404, func(t *testing.T, _ *visit, b *browser) func() answer {
			return func() answer { return b.get(t, "/order/"+strings.Repeat("x", 32)) }
		}},
		{"the page of one order", orderViews.n, 429, func(t *testing.T, v *visit, b *browser) func() answer {
			return func() answer { return b.get(t, v.names["/order/{token}"]) }
		}},
		{"payments of one order", orderSends.n, 429, func(t *testing.T, v *visit, b *browser) func() answer {
			f := form(t, b, v.names["/pay/{token}"])
			return func() answer { return b.post(t, v.names["/pay/{token}"], f) }
		}},
		{"test payments that do not exist", testsSought.n, 404, func(t *testing.T, _ *visit, b *browser) func() answer {
			return func() answer { return b.get(t, "/gateway/test/"+strings.Repeat("x", 32)) }
		}},
		{"lost licences", linksAsked.n, 303, func(t *testing.T, v *visit, b *browser) func() answer {
			path := "/lost/" + v.shop.Slug
			f := form(t, b, path, "email", "nobody@example.com")
			return func() answer { return b.post(t, path, f) }
		}},
		{"checkouts", checkoutsSent.n, 303, func(t *testing.T, v *visit, b *browser) func() answer {
			at := b.get(t, v.names["/buy/{id}"]).ok(t, 303).header.Get("Location")
			path, _, _ := strings.Cut(at, "?")
			f := form(t, b, at, "currency", "EUR", "action", "update")
			return func() answer { return b.post(t, path, f) }
		}},
		{"callbacks of no gateway", wrongCallbacks.n, 400, func(t *testing.T, _ *visit, b *browser) func() answer {
			return func() answer { return b.send(t, ask{method: post, path: "/gateway/test/callback", body: "{}"}) }
		}},
	}
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		proxy := func(c *Config) { c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/32")} }
		d, r := withRedis(t, s, loopbackOpen, proxy)
		storetest.Product(t, s, d.shop.Test, "viewer", models.MethodTemplate)
		e := exhibitOf(t, &catalogue{d})
		v := &visit{d, e, e.namesOf(t)}
		if _, err := s.CreateOperator(t.Context(), "ann@example.com", models.RoleAdmin, testPassword); err != nil {
			t.Fatal(err)
		}
		r.Stop()
		stands := time.Now() // nothing of a limit comes back while it is tried
		clock := func() time.Time { return stands }
		for i, tt := range tests {
			d.allowances = allowances{now: clock} // the limits of what was opened to get here are not what is tried
			d.wrongKeys = newAttempts(wrongKeys, wrongKeyPause, clock)
			d.doors = newDoors(clock)
			again := tt.try(t, v, from(d, fmt.Sprintf("198.51.100.%d", i+1)))
			for n := range tt.limit + 3 {
				a := again()
				switch {
				case a.status >= 500:
					t.Fatalf("%s: %d %.500s", tt.what, a.status, a.body)
				case a.status == 429 && n < tt.limit-1: // the page of a form was opened before
					t.Fatalf("%s: refused after %d of %d", tt.what, n, tt.limit)
				case a.status != 429 && n >= tt.limit:
					t.Fatalf("%s: number %d is answered %d, want 429 after %d", tt.what, n+1, a.status, tt.limit)
				}
				if wait, err := strconv.Atoi(a.header.Get("Retry-After")); a.status == 429 && (err != nil || wait < 1) {
					t.Errorf("%s: Retry-After %q", tt.what, a.header.Get("Retry-After"))
				}
			}
			if a := tt.try(t, v, from(d, fmt.Sprintf("203.0.113.%d", i+1)))(); a.status != tt.other {
				t.Errorf("%s: another address is answered %d %.300s, want %d", tt.what, a.status, a.body, tt.other)
			}
			stands = stands.Add(time.Hour)
			if a := again(); a.status == 429 {
				t.Errorf("%s: still refused after an hour", tt.what)
			}
		}
		// Whoever has a right key is never refused because of others who have not.
		crowd := from(d, "198.51.100.1")
		crowd.send(t, ask{method: get, path: "/v1/orders", key: d.shop.TestKey}).ok(t, 200)
	})
}
