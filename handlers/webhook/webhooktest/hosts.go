package webhooktest

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// notations are the ways to write one IPv4 address in the host of a URL that
// some parser, resolver or kernel understands.
func notations(ip netip.Addr) map[string]string {
	b := ip.As4()
	n := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	hi, lo := n>>16, n&0xffff
	return map[string]string{
		"dotted":             ip.String(),
		"decimal":            fmt.Sprintf("%d", n),
		"hex":                fmt.Sprintf("0x%08x", n),
		"hex upper":          fmt.Sprintf("0X%08X", n),
		"octal":              fmt.Sprintf("0%o", n),
		"dotted hex":         fmt.Sprintf("0x%x.0x%x.0x%x.0x%x", b[0], b[1], b[2], b[3]),
		"dotted octal":       fmt.Sprintf("0%o.0%o.0%o.0%o", b[0], b[1], b[2], b[3]),
		"padded":             fmt.Sprintf("%03d.%03d.%03d.%03d", b[0], b[1], b[2], b[3]),
		"mixed":              fmt.Sprintf("%d.0x%x.0%o.%d", b[0], b[1], b[2], b[3]),
		"two parts":          fmt.Sprintf("%d.%d", b[0], n&0xffffff),
		"three parts":        fmt.Sprintf("%d.%d.%d", b[0], b[1], lo),
		"final dot":          ip.String() + ".",
		"overflowing":        fmt.Sprintf("%d", uint64(n)+1<<32),
		"full width":         strings.NewReplacer("0", "０", "1", "１", "2", "２", "6", "６", ".", "。").Replace(ip.String()),
		"percent":            strings.Replace(ip.String(), ".", "%2e", 1),
		"mapped":             fmt.Sprintf("[::ffff:%s]", ip),
		"mapped hex":         fmt.Sprintf("[::ffff:%x:%x]", hi, lo),
		"mapped long":        fmt.Sprintf("[0:0:0:0:0:ffff:%x:%x]", hi, lo),
		"compatible":         fmt.Sprintf("[::%x:%x]", hi, lo),
		"translated":         fmt.Sprintf("[::ffff:0:%x:%x]", hi, lo),
		"NAT64":              fmt.Sprintf("[64:ff9b::%x:%x]", hi, lo),
		"NAT64 dotted":       fmt.Sprintf("[64:ff9b::%s]", ip),
		"NAT64 local":        fmt.Sprintf("[64:ff9b:1::%x:%x]", hi, lo),
		"6to4":               fmt.Sprintf("[2002:%x:%x::1]", hi, lo),
		"Teredo server":      fmt.Sprintf("[2001:0:%x:%x::1]", hi, lo),
		"Teredo client":      fmt.Sprintf("[2001::%x:%x]", ^hi&0xffff, ^lo&0xffff),
		"user name in front": "shop.example@" + ip.String(),
		"brackets":           "[" + ip.String() + "]",
	}
}

// ForbiddenHosts are 200-odd hosts of URLs that give themselves away: no URL with one of them may be accepted, let alone dialled.
func ForbiddenHosts() []string {
	hosts := []string{
		"localhost", "LOCALHOST", "localhost.", "api.localhost", "LocalHost:8080",
		"[::]", "[::1]", "[0:0:0:0:0:0:0:1]", "[::1%25lo]", "[fe80::1]", "[fe80::1%25eth0]", "[febf::1]", "[fec0::1]",
		"[fc00::1]", "[fd00::1]", "[fd00:ec2::254]", "[fd00:ec2::23]", "[fd20:ce::254]", "[fd00:c1::a9fe:a9fe]", "[fd00:42::42]",
		"[ff02::1]", "[ff0e::1]", "[100::1]", "[100:0:0:1::1]", "[2001:db8::1]", "[3fff::1]", "[3ffe::1]", "[5f00::1]",
		"[2001:2::1]", "[2001:10::1]", "[2001:20::1]", "[2001:30::1]", "[2620:4f:8000::1]", "[4000::1]", "[::2]",
	}
	for _, ip := range ForbiddenAddresses {
		if ip.Is4() {
			hosts = append(hosts, ip.String())
		}
	}
	for _, ip := range []string{"127.0.0.1", "10.0.0.1", "169.254.169.254", "192.168.1.1", "172.16.0.1", "100.100.100.200"} {
		for _, host := range notations(netip.MustParseAddr(ip)) {
			hosts = append(hosts, host)
		}
	}
	slices.Sort(hosts)
	return slices.Compact(hosts)
}

// ForbiddenAddresses are the first, last or a well-known address of every network that a merchant's server cannot be in.
var ForbiddenAddresses = Addresses(
	"0.0.0.0", "0.0.0.1", "0.255.255.255", "10.0.0.0", "10.0.0.1", "10.255.255.255",
	"100.64.0.0", "100.100.100.200", "100.127.255.255", "127.0.0.0", "127.0.0.1", "127.0.1.1", "127.255.255.255",
	"169.254.0.0", "169.254.0.23", "169.254.169.254", "169.254.169.253", "169.254.170.2", "169.254.255.255",
	"172.16.0.0", "172.17.0.1", "172.31.255.255", "192.0.0.0", "192.0.0.170", "192.0.0.192", "192.0.0.255", "192.0.2.1",
	"192.31.196.1", "192.52.193.1", "192.88.99.1", "192.168.0.0", "192.168.0.1", "192.168.255.255", "192.175.48.1",
	"198.18.0.0", "198.19.255.255", "198.51.100.1", "203.0.113.1", "168.63.129.16",
	"224.0.0.1", "239.255.255.250", "239.255.255.255", "240.0.0.0", "255.255.255.254", "255.255.255.255",
	"::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe",
	"64:ff9b:1::7f00:1", "2002:7f00:1::1", "2002:a9fe:a9fe::", "2001::1", "2001:0:7f00:1::1", "2001:db8::1", "3fff::1", "3ffe::1",
	"fc00::1", "fd00:ec2::254", "fd20:ce::254", "fdff::1", "fe80::1", "febf::1", "fec0::1", "ff02::1", "ff0e::1",
	"100::1", "5f00::1", "1fff::1", "4000::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
)

// PrivateNames are names under which clouds, containers and their orchestrators answer inside of their own network. They are names
// like any other, so what keeps them from being dialled is the address that they resolve to.
var PrivateNames = map[string]netip.Addr{
	"metadata.google.internal":                     netip.MustParseAddr("169.254.169.254"),
	"metadata.goog":                                netip.MustParseAddr("169.254.169.254"),
	"metadata":                                     netip.MustParseAddr("169.254.169.254"),
	"instance-data":                                netip.MustParseAddr("169.254.169.254"),
	"instance-data.ec2.internal":                   netip.MustParseAddr("169.254.169.254"),
	"metadata.azure.internal":                      netip.MustParseAddr("169.254.169.254"),
	"metadata.platformequinix.com":                 netip.MustParseAddr("192.168.32.1"),
	"metadata.tencentyun.com":                      netip.MustParseAddr("169.254.0.23"),
	"ip6-localhost":                                netip.MustParseAddr("::1"),
	"host.docker.internal":                         netip.MustParseAddr("192.168.65.254"),
	"kubernetes.default.svc":                       netip.MustParseAddr("10.96.0.1"),
	"localtest.me":                                 netip.MustParseAddr("127.0.0.1"),
	"127.0.0.1.nip.io":                             netip.MustParseAddr("127.0.0.1"),
	"169-254-169-254.sslip.io":                     netip.MustParseAddr("169.254.169.254"),
	"xn--80aswg.example":                           netip.MustParseAddr("fd00:ec2::254"),
	"a.very.long.name.that.ends.in.metadata.local": netip.MustParseAddr("100.100.100.200"),
}

// Addresses parses addresses that are known to be right.
func Addresses(texts ...string) []netip.Addr {
	all := make([]netip.Addr, len(texts))
	for i, text := range texts {
		all[i] = netip.MustParseAddr(text)
	}
	return all
}
