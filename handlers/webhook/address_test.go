package webhook

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
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

// forbiddenHosts are 200-odd hosts of URLs, none of which may ever be dialled.
func forbiddenHosts() []string {
	hosts := []string{
		"localhost", "LOCALHOST", "localhost.", "api.localhost", "LocalHost:8080",
		"[::]", "[::1]", "[0:0:0:0:0:0:0:1]", "[::1%25lo]", "[fe80::1]", "[fe80::1%25eth0]", "[febf::1]", "[fec0::1]",
		"[fc00::1]", "[fd00::1]", "[fd00:ec2::254]", "[fd00:ec2::23]", "[fd20:ce::254]", "[fd00:c1::a9fe:a9fe]", "[fd00:42::42]",
		"[ff02::1]", "[ff0e::1]", "[100::1]", "[100:0:0:1::1]", "[2001:db8::1]", "[3fff::1]", "[3ffe::1]", "[5f00::1]",
		"[2001:2::1]", "[2001:10::1]", "[2001:20::1]", "[2001:30::1]", "[2620:4f:8000::1]", "[4000::1]", "[::2]",
	}
	for _, ip := range forbiddenAddresses {
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

// forbiddenAddresses are the first, last or a well-known address of every
// network that a merchant's server cannot be in.
var forbiddenAddresses = addresses(
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

// publicAddresses are neighbours of the forbidden networks, and some of the internet.
var publicAddresses = addresses(
	"1.1.1.1", "9.255.255.255", "11.0.0.0", "93.184.216.34", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0",
	"168.63.129.15", "168.63.129.17", "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "192.0.1.0", "192.167.255.255",
	"192.169.0.0", "198.17.255.255", "198.20.0.0", "223.255.255.255", "2000::1", "2001:200::1", "2001:4860:4860::8888", "2606:4700::1111", "2a00:1450::1",
)

func TestForbiddenHostsAreNeverDialled(t *testing.T) {
	t.Parallel()
	hosts := forbiddenHosts()
	if len(hosts) < 200 {
		t.Fatalf("only %d hosts", len(hosts))
	}
	var hits atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits.Add(1) }))
	t.Cleanup(srv.Close)
	port := netip.MustParseAddrPort(srv.Listener.Addr().String()).Port()
	// A resolver that understands every notation would answer with an address;
	// the worst one answers loopback, where a server listens on that very port.
	lenient := resolver(t, func(string, int) []netip.Addr { return addresses("127.0.0.1", "::1") })

	var dialled dials
	s := newTestSender(t, Config{
		Resolver: lenient, connecting: dialled.connecting,
		AllowedPrivateNets: []netip.Prefix{netip.MustParsePrefix("10.99.0.0/16")}, // opened, but elsewhere
	})
	for _, host := range hosts {
		for _, url := range []string{"http://" + host + "/", fmt.Sprintf("http://%s:%d/latest?token=sekret", host, port)} {
			for _, allowPrivate := range []bool{false, true} {
				r := s.Send(t.Context(), Request{URL: url, AllowPrivate: allowPrivate, Body: []byte("{}")})
				if r.Success || r.StatusCode != 0 || (r.Error != FailForbidden && r.Error != FailURL) || r.Temporary() {
					t.Errorf("Send(%q, %v) = %+v; want it refused for good", url, allowPrivate, r)
				}
				if err := s.CheckURL(url, allowPrivate); err == nil {
					t.Errorf("CheckURL(%q, %v) accepts it", url, allowPrivate)
				}
			}
		}
	}
	if seen := dialled.all(); len(seen) != 0 || hits.Load() != 0 {
		t.Errorf("dialled %v, %d requests arrived; want none", seen, hits.Load())
	}
}

// The same through DNS, where only the guard on the dialled address can help.
func TestNamesOfForbiddenAddressesAreNeverDialled(t *testing.T) {
	t.Parallel()
	names := map[string]netip.Addr{}
	for i, ip := range forbiddenAddresses {
		names[fmt.Sprintf("n%d.example", i)] = ip
	}
	var dialled dials
	s := newTestSender(t, Config{connecting: dialled.connecting, Resolver: resolver(t, func(name string, _ int) []netip.Addr {
		if ip, ok := names[name]; ok {
			return []netip.Addr{ip}
		}
		return nil
	})})
	for name, ip := range names {
		url := "https://" + name + "/"
		if err := s.CheckURL(url, false); err != nil {
			t.Errorf("CheckURL(%q) = %v; a name is judged when it is dialled", url, err)
		}
		r := s.Send(t.Context(), Request{URL: url})
		if r.Error != FailForbidden || r.Success || r.StatusCode != 0 {
			t.Errorf("a name for %v: %+v; want %q", ip, r, FailForbidden)
		}
	}
	if seen := dialled.all(); len(seen) != 0 {
		t.Errorf("dialled %v; want nothing", seen)
	}
}

func TestPublicAddressesAreDialledOnAnyPort(t *testing.T) {
	t.Parallel()
	for i, ip := range publicAddresses {
		var dialled dials
		s := newTestSender(t, Config{connecting: dialled.connecting})
		port := uint16(1 + i*2500)
		r := s.Send(t.Context(), Request{URL: fmt.Sprintf("http://%s/", netip.AddrPortFrom(ip, port))})
		if want := []netip.AddrPort{netip.AddrPortFrom(ip, port)}; !slices.Equal(dialled.all(), want) {
			t.Errorf("dialled %v (%s); want %v", dialled.all(), r.Error, want)
		}
	}
}

func TestDNSAnswerThatChangesIsJudgedEachTime(t *testing.T) {
	t.Parallel()
	var hits atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits.Add(1) }))
	t.Cleanup(srv.Close)
	port := netip.MustParseAddrPort(srv.Listener.Addr().String()).Port()
	public := netip.MustParseAddr("93.184.216.34")

	var dialled dials
	s := newTestSender(t, Config{connecting: dialled.connecting, Resolver: resolver(t, func(_ string, asked int) []netip.Addr {
		if asked == 0 {
			return []netip.Addr{public}
		}
		return addresses("127.0.0.1")
	})})
	url := fmt.Sprintf("http://rebinding.example:%d/", port)
	if r := s.Send(t.Context(), Request{URL: url}); r.Error == FailForbidden || r.Success {
		t.Errorf("first, public answer: %+v; want it dialled", r)
	}
	for range 3 {
		if r := s.Send(t.Context(), Request{URL: url}); r.Error != FailForbidden {
			t.Errorf("later, loopback answer: %+v; want %q", r, FailForbidden)
		}
	}
	if want := []netip.AddrPort{netip.AddrPortFrom(public, port)}; !slices.Equal(dialled.all(), want) || hits.Load() != 0 {
		t.Errorf("dialled %v, %d requests arrived; want %v and none", dialled.all(), hits.Load(), want)
	}
}

func TestMixedDNSAnswerReachesItsPublicPartOnly(t *testing.T) {
	t.Parallel()
	var dialled dials
	s := newTestSender(t, Config{connecting: dialled.connecting, Resolver: resolver(t, func(string, int) []netip.Addr {
		return addresses("127.0.0.1", "93.184.216.34", "169.254.169.254", "::1", "fd00:ec2::254")
	})})
	s.Send(t.Context(), Request{URL: "http://mixed.example/"})
	if want := []netip.AddrPort{netip.MustParseAddrPort("93.184.216.34:80")}; !slices.Equal(dialled.all(), want) {
		t.Errorf("dialled %v; want %v", dialled.all(), want)
	}
}

func TestAllowPrivateOpensTheConfiguredNetworksOnly(t *testing.T) {
	t.Parallel()
	opened := []netip.Prefix{
		netip.MustParsePrefix("10.20.0.0/16"), netip.MustParsePrefix("fd12::/16"), netip.MustParsePrefix("::ffff:10.30.0.0/112"),
		// Too wide by an operator's carelessness: what hands out credentials stays shut.
		netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("fd00::/16"), netip.MustParsePrefix("224.0.0.0/4"),
		{}, // not a network at all
	}
	tests := []struct {
		ip            string
		public, opens bool
	}{
		{"93.184.216.34", true, true},
		{"2606:4700::1111", true, true},
		{"10.20.0.5", false, true},
		{"10.30.0.5", false, true},
		{"fd12::5", false, true},
		{"100.64.0.1", false, true},
		{"fd00::1", false, true},
		{"10.21.0.5", false, false},
		{"127.0.0.1", false, false},
		{"::1", false, false},
		{"fd13::5", false, false},
		{"100.100.100.200", false, false},
		{"169.254.169.254", false, false},
		{"169.254.1.1", false, false},
		{"fd00:ec2::254", false, false},
		{"224.0.0.1", false, false},
		{"0.0.0.0", false, false},
	}
	for _, tt := range tests {
		ip := netip.MustParseAddr(tt.ip)
		for allowPrivate, want := range map[bool]bool{false: tt.public, true: tt.opens} {
			var dialled dials
			s := newTestSender(t, Config{
				AllowedPrivateNets: opened, connecting: dialled.connecting,
				Resolver: resolver(t, func(string, int) []netip.Addr { return []netip.Addr{ip} }),
			})
			r := s.Send(t.Context(), Request{URL: "http://target.example:9999/", AllowPrivate: allowPrivate})
			if got := len(dialled.all()) == 1; got != want || (r.Error == FailForbidden) == want {
				t.Errorf("%v with AllowPrivate %v: dialled %v, %+v; want dialled %v", ip, allowPrivate, dialled.all(), r, want)
			}
		}
	}
}

// A kept connection must not carry a request to where it could not have dialled.
func TestConnectionsToPrivateNetworksAreNotShared(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var got []string
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, r.URL.Path)
	}))
	t.Cleanup(srv.Close)
	s := newTestSender(t, Config{AllowedPrivateNets: loopback, Resolver: resolver(t, func(string, int) []netip.Addr { return addresses("127.0.0.1") })})
	_, port, _ := net.SplitHostPort(srv.Listener.Addr().String())
	url := "http://inside.example:" + port
	if r := send(t, s, url+"/allowed"); !r.Success {
		t.Fatalf("with AllowPrivate: %+v", r)
	}
	if r := s.Send(t.Context(), Request{URL: url + "/forbidden"}); r.Error != FailForbidden {
		t.Errorf("without AllowPrivate, after a connection was opened: %+v; want %q", r, FailForbidden)
	}
	mu.Lock()
	defer mu.Unlock()
	if !slices.Equal(got, []string{"/allowed"}) {
		t.Errorf("the server got %v; want only /allowed", got)
	}
}

func TestControlRefusesWhatItCannotJudge(t *testing.T) {
	t.Parallel()
	g := newGuard(nil)
	for _, tt := range []struct{ network, address string }{
		{"tcp", "93.184.216.34:80"}, {"udp4", "93.184.216.34:53"}, {"unix", "/run/docker.sock"}, {"tcp4", "shop.example:80"},
		{"tcp4", "93.184.216.34"}, {"tcp4", ""}, {"tcp6", "[2606:4700::1111%eth0]:80"}, {"tcp6", "[::ffff:127.0.0.1]:80"},
	} {
		if err := g.control(tt.network, tt.address, nil); !errors.Is(err, ErrForbidden) {
			t.Errorf("control(%q, %q) = %v; want ErrForbidden", tt.network, tt.address, err)
		}
	}
	if err := g.control("tcp4", "93.184.216.34:80", nil); err != nil {
		t.Errorf("control of a public address = %v", err)
	}
}

func TestProxyOfTheEnvironmentIsNotUsed(t *testing.T) {
	t.Parallel() // TestMain sets the proxy for the whole process
	var dialled dials
	s := newTestSender(t, Config{connecting: dialled.connecting, Timeout: 5 * time.Second})
	for _, url := range []string{"http://93.184.216.34/", "https://93.184.216.34/"} {
		s.Send(t.Context(), Request{URL: url})
	}
	want := []netip.AddrPort{netip.MustParseAddrPort("93.184.216.34:80"), netip.MustParseAddrPort("93.184.216.34:443")}
	if !slices.Equal(dialled.all(), want) {
		t.Errorf("dialled %v; want %v and no proxy", dialled.all(), want)
	}
}

func addresses(texts ...string) []netip.Addr {
	all := make([]netip.Addr, len(texts))
	for i, text := range texts {
		all[i] = netip.MustParseAddr(text)
	}
	return all
}
