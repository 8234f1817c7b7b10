package webhook

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/purser-dev/purser/handlers/webhook/webhooktest"
)

// publicAddresses are neighbours of the forbidden networks, and some of the internet.
var publicAddresses = webhooktest.Addresses(
	"1.1.1.1", "9.255.255.255", "11.0.0.0", "93.184.216.34", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0",
	"168.63.129.15", "168.63.129.17", "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "192.0.1.0", "192.167.255.255",
	"192.169.0.0", "198.17.255.255", "198.20.0.0", "223.255.255.255", "2000::1", "2001:200::1", "2001:4860:4860::8888", "2606:4700::1111", "2a00:1450::1",
)

func TestForbiddenHostsAreNeverDialled(t *testing.T) {
	t.Parallel()
	hosts := webhooktest.ForbiddenHosts()
	if len(hosts) < 200 {
		t.Fatalf("only %d hosts", len(hosts))
	}
	var hits atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits.Add(1) }))
	t.Cleanup(srv.Close)
	port := netip.MustParseAddrPort(srv.Listener.Addr().String()).Port()
	// A resolver that understands every notation would answer with an address;
	// the worst one answers loopback, where a server listens on that very port.
	lenient := webhooktest.Resolver(t, func(string, int) []netip.Addr { return webhooktest.Addresses("127.0.0.1", "::1") })

	var dialled webhooktest.Dials
	s := newTestSender(t, Config{
		Resolver: lenient, Connecting: dialled.Connecting,
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
	if seen := dialled.All(); len(seen) != 0 || hits.Load() != 0 {
		t.Errorf("dialled %v, %d requests arrived; want none", seen, hits.Load())
	}
}

// The same through DNS, where only the guard on the dialled address can help.
func TestNamesOfForbiddenAddressesAreNeverDialled(t *testing.T) {
	t.Parallel()
	names := map[string]netip.Addr{}
	for i, ip := range webhooktest.ForbiddenAddresses {
		names[fmt.Sprintf("n%d.example", i)] = ip
	}
	maps.Copy(names, webhooktest.PrivateNames)
	var dialled webhooktest.Dials
	s := newTestSender(t, Config{Connecting: dialled.Connecting, Resolver: webhooktest.Resolver(t, func(name string, _ int) []netip.Addr {
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
	if seen := dialled.All(); len(seen) != 0 {
		t.Errorf("dialled %v; want nothing", seen)
	}
}

func TestPublicAddressesAreDialledOnAnyPort(t *testing.T) {
	t.Parallel()
	for i, ip := range publicAddresses {
		var dialled webhooktest.Dials
		s := newTestSender(t, Config{Connecting: dialled.Connecting})
		port := uint16(1 + i*2500)
		r := s.Send(t.Context(), Request{URL: fmt.Sprintf("http://%s/", netip.AddrPortFrom(ip, port))})
		if want := []netip.AddrPort{netip.AddrPortFrom(ip, port)}; !slices.Equal(dialled.All(), want) {
			t.Errorf("dialled %v (%s); want %v", dialled.All(), r.Error, want)
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

	var dialled webhooktest.Dials
	s := newTestSender(t, Config{Connecting: dialled.Connecting, Resolver: webhooktest.Resolver(t, func(_ string, asked int) []netip.Addr {
		if asked == 0 {
			return []netip.Addr{public}
		}
		return webhooktest.Addresses("127.0.0.1")
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
	if want := []netip.AddrPort{netip.AddrPortFrom(public, port)}; !slices.Equal(dialled.All(), want) || hits.Load() != 0 {
		t.Errorf("dialled %v, %d requests arrived; want %v and none", dialled.All(), hits.Load(), want)
	}
}

func TestMixedDNSAnswerReachesItsPublicPartOnly(t *testing.T) {
	t.Parallel()
	var dialled webhooktest.Dials
	s := newTestSender(t, Config{Connecting: dialled.Connecting, Resolver: webhooktest.Resolver(t, func(string, int) []netip.Addr {
		return webhooktest.Addresses("127.0.0.1", "93.184.216.34", "169.254.169.254", "::1", "fd00:ec2::254")
	})})
	s.Send(t.Context(), Request{URL: "http://mixed.example/"})
	if want := []netip.AddrPort{netip.MustParseAddrPort("93.184.216.34:80")}; !slices.Equal(dialled.All(), want) {
		t.Errorf("dialled %v; want %v", dialled.All(), want)
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
			var dialled webhooktest.Dials
			s := newTestSender(t, Config{
				AllowedPrivateNets: opened, Connecting: dialled.Connecting,
				Resolver: webhooktest.Resolver(t, func(string, int) []netip.Addr { return []netip.Addr{ip} }),
			})
			r := s.Send(t.Context(), Request{URL: "http://target.example:9999/", AllowPrivate: allowPrivate})
			if got := len(dialled.All()) == 1; got != want || (r.Error == FailForbidden) == want {
				t.Errorf("%v with AllowPrivate %v: dialled %v, %+v; want dialled %v", ip, allowPrivate, dialled.All(), r, want)
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
	s := newTestSender(t, Config{AllowedPrivateNets: loopback, Resolver: webhooktest.Resolver(t, func(string, int) []netip.Addr { return webhooktest.Addresses("127.0.0.1") })})
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
	var dialled webhooktest.Dials
	s := newTestSender(t, Config{Connecting: dialled.Connecting, Timeout: 5 * time.Second})
	for _, url := range []string{"http://93.184.216.34/", "https://93.184.216.34/"} {
		s.Send(t.Context(), Request{URL: url})
	}
	want := []netip.AddrPort{netip.MustParseAddrPort("93.184.216.34:80"), netip.MustParseAddrPort("93.184.216.34:443")}
	if !slices.Equal(dialled.All(), want) {
		t.Errorf("dialled %v; want %v and no proxy", dialled.All(), want)
	}
}
