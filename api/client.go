package api

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
)

// clientAddr is the address of whoever asks. Behind trusted proxies it is the last address in X-Forwarded-For that is not one
// of theirs: what stands before it is the client's own invention.
func (s *Server) clientAddr(c *fiber.Ctx) netip.Addr {
	peer := peerAddr(c)
	if !s.trusted(peer) {
		return peer
	}
	hops := strings.Split(strings.Join(headerValues(c, fiber.HeaderXForwardedFor), ","), ",")
	for _, hop := range slices.Backward(hops) {
		addr, err := netip.ParseAddr(strings.TrimSpace(hop))
		if err != nil {
			return peer
		}
		if peer = addr.Unmap(); !s.trusted(peer) {
			return peer
		}
	}
	return peer
}

// secure reports whether the customer's own connection is encrypted, by our listener or a trusted proxy.
func (s *Server) secure(c *fiber.Ctx) bool {
	if s.trusted(peerAddr(c)) {
		if proto := c.Get(fiber.HeaderXForwardedProto); proto != "" {
			first, _, _ := strings.Cut(proto, ",")
			return strings.EqualFold(strings.TrimSpace(first), "https")
		}
	}
	return c.Context().IsTLS()
}

func (s *Server) trusted(a netip.Addr) bool {
	return slices.ContainsFunc(s.TrustedProxies, func(p netip.Prefix) bool { return p.Contains(a) })
}

func peerAddr(c *fiber.Ctx) netip.Addr {
	a, _ := netip.AddrFromSlice(c.Context().RemoteIP())
	return a.Unmap()
}

func headerValues(c *fiber.Ctx, name string) []string {
	var out []string
	for _, v := range c.Request().Header.PeekAll(name) {
		out = append(out, string(v))
	}
	return out
}

// How many requests with a wrong API key one address may make: a crowd at first, then a few a second. Enough for a deployment
// with an old key to be told so by 401, too little to load the database.
const (
	wrongKeys     = 1000
	wrongKeyPause = 100 * time.Millisecond
)

// network is what counts as one address: an IPv6 customer has a whole /64.
func network(a netip.Addr) netip.Prefix {
	bits := a.BitLen()
	if a.Is6() {
		bits = 64
	}
	p, _ := a.WithZone("").Prefix(bits)
	return p
}
