package webhook

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"syscall"

	"code.dny.dev/ssrf"
)

// ErrForbidden is in the error of [Sender.CheckURL] when the URL itself already
// names an address that would not be dialled.
var ErrForbidden = errors.New("points to a private or reserved address")

// neverDialled stays closed even inside the networks that the operator opened:
// these addresses are never a merchant's server, but wide openings such as
// 100.64.0.0/10 or fd00::/8 contain the metadata services that hand out the
// machine's cloud credentials.
var neverDialled = prefixes(
	"0.0.0.0/8",          // Linux connects to loopback for it
	"169.254.0.0/16",     // link-local; metadata of AWS, Azure, Google, DigitalOcean, …
	"100.100.100.200/32", // metadata of Alibaba Cloud
	"168.63.129.16/32",   // Azure's host agent, on a public-looking address
	"192.0.0.192/32",     // metadata of Oracle Cloud, older instances
	"224.0.0.0/4",        // multicast
	"255.255.255.255/32", // broadcast
	"::/128",             // as 0.0.0.0
	"fe80::/10",          // link-local
	"fd00:ec2::/32",      // metadata and time of AWS
	"fd20:ce::254/128",   // metadata of Google Cloud
	"fd00:c1::/32",       // metadata of Oracle Cloud
	"fd00:42::42/128",    // metadata of Scaleway
	"ff00::/8",           // multicast
)

// deniedV6 adds to the special-purpose registries that the ssrf package knows.
var deniedV6 = prefixes(
	"3ffe::/16", // the returned 6bone (RFC 3701), inside global unicast
)

// guard decides which addresses may be dialled. Its control method sits behind
// name resolution, on the very address that connect(2) gets, so neither an
// unusual notation nor a DNS answer that changes can get past it.
type guard struct {
	registries *ssrf.Guardian
	loopback   bool // names that mean loopback may pass
	// connecting is told of every address that passed, before it is dialled;
	// an error stops the dial.
	connecting func(netip.AddrPort) error
}

// newGuard allows public unicast addresses and, besides them, the networks in
// opened. Any port is allowed: merchants run their servers where they like.
func newGuard(opened []netip.Prefix) *guard {
	var v4, v6 []netip.Prefix
	for _, p := range opened {
		if p.Addr().Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		switch {
		case !p.IsValid():
		case p.Addr().Is4():
			v4 = append(v4, p.Masked())
		default:
			v6 = append(v6, p.Masked())
		}
	}
	g := &guard{registries: ssrf.New(
		ssrf.WithAnyPort(),
		ssrf.WithAllowedV4Prefixes(v4...),
		ssrf.WithAllowedV6Prefixes(v6...),
		ssrf.WithDeniedV6Prefixes(deniedV6...),
	)}
	g.loopback = g.allows(netip.AddrFrom4([4]byte{127, 0, 0, 1})) || g.allows(netip.IPv6Loopback())
	return g
}

func (g *guard) allows(ip netip.Addr) bool {
	ip = ip.Unmap() // the kernel takes ::ffff:127.0.0.1 for 127.0.0.1
	if !ip.IsValid() || ip.Zone() != "" {
		return false
	}
	for _, p := range neverDialled {
		if p.Contains(ip) {
			return false
		}
	}
	return g.registries.SafeAddr(ip) == nil
}

// control is a net.Dialer's Control: it runs after the socket is made and
// before it connects.
func (g *guard) control(network, address string, _ syscall.RawConn) error {
	if network != "tcp4" && network != "tcp6" {
		return ErrForbidden
	}
	target, err := netip.ParseAddrPort(address)
	if err != nil || !g.allows(target.Addr()) {
		return ErrForbidden
	}
	if g.connecting != nil {
		return g.connecting(target)
	}
	return nil
}

// checkHost refuses, before any resolution, what the URL itself gives away.
func (g *guard) checkHost(u *url.URL) error {
	host := u.Hostname()
	if ip, err := netip.ParseAddr(host); err == nil {
		if !g.allows(ip) {
			return fmt.Errorf("url %w", ErrForbidden)
		}
		return nil
	}
	name := strings.ToLower(strings.TrimSuffix(host, "."))
	if (name == "localhost" || strings.HasSuffix(name, ".localhost")) && !g.loopback {
		return fmt.Errorf("url %w", ErrForbidden)
	}
	return nil
}

func prefixes(texts ...string) []netip.Prefix {
	all := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		all[i] = netip.MustParsePrefix(text)
	}
	return all
}
