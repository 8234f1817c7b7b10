package webhook

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
)

func TestValidateURL(t *testing.T) {
	t.Parallel()
	label63 := strings.Repeat("a", 63)
	tests := []struct {
		url  string
		want string // part of the message, empty if the URL is fine
	}{
		{"https://shop.example/hook", ""},
		{"http://shop.example", ""},
		{"HTTPS://Shop.Example:8443/hook?token=a%20b&x=%23", ""},
		{"https://shop.example.:443/", ""},
		{"https://shop.example:/", ""},
		{"https://xn--mnchen-3ya.example/", ""},
		{"https://my_host-1.example/", ""},
		{"https://intranet/", ""},
		{"https://93.184.216.34/", ""},
		{"http://127.0.0.1:9000/", ""}, // CheckURL's business
		{"https://[2606:4700::1111]:8443/", ""},
		{"https://0x7f.example/", ""},
		{"https://1.2.3.4.example/", ""},
		{"https://shop.example/" + strings.Repeat("a", 2048-21), ""},
		{"https://" + label63 + ".example/", ""},

		{"", "required"},
		{"https://shop.example/" + strings.Repeat("a", 2048-20), "2048"},
		{"shop.example/hook", "http:// or https://"},
		{"//shop.example/hook", "http:// or https://"},
		{"/hook", "http:// or https://"},
		{"ftp://shop.example/", "http:// or https://"},
		{"file:///etc/passwd", "http:// or https://"},
		{"gopher://shop.example/", "http:// or https://"},
		{"unix:///run/docker.sock", "http:// or https://"},
		{"javascript:alert(1)", "http:// or https://"},
		{"https:shop.example", "host"},
		{"https://", "host"},
		{"https:///hook", "host"},
		{"https://:443/", "host"},
		{"https://user@shop.example/", "user name"},
		{"https://user:pw@shop.example/", "user name"},
		{"https://@shop.example/", "user name"},
		{"https://shop.example/#top", "fragment"},
		{"https://shop.example/#", "fragment"},
		{" https://shop.example/", "spaces"},
		{"https://shop.example/a b", "spaces"},
		{"https://shop.example/\r\nX: y", "spaces"},
		{"https://shop.example/\x00", "spaces"},
		{"https://shop.example/\x7f", "spaces"},
		{"https://münchen.example/", "punycode"},
		{"https://shop.example/ä", "percent"},
		{"http://１２７.0.0.1/", "ASCII"},
		{"http://127。0。0。1/", "ASCII"},
		{"http://ⓛocalhost/", "ASCII"},
		{"https://shop.example:0/", "port"},
		{"https://shop.example:65536/", "port"},
		{"https://shop.example:99999999999999999999/", "port"},
		{"https://shop.example:http/", "valid"},
		{"https://shop.example:-1/", "valid"},
		{"https://shop.example/%zz", "valid"},
		{"https://127%2e0.0.1/", "valid"},
		{`https://shop.example\@127.0.0.1/`, "valid"},
		{"https://::1/", "valid"},
		{"https://[::1/", "valid"},
		{"https://[fe80::1%25eth0]/", "brackets"},
		{"https://[127.0.0.1]/", "url"}, // by net/url or by us, as versions go
		{"https://[shop.example]/", "url"},
		{"https://shop..example/", "labels"},
		{"https://.shop.example/", "labels"},
		{"https://shop.example../", "labels"},
		{"https://shop,example/", "labels"},
		{"https://shop$(id).example/", "labels"},
		{"https://" + label63 + "a.example/", "labels"},
		{"https://" + strings.Repeat(label63+".", 4) + "example/", "too long"},
		{"http://2130706433/", "usual notation"},
		{"http://0x7f000001/", "usual notation"},
		{"http://0X7F.1/", "usual notation"},
		{"http://0x/", "usual notation"},
		{"http://017700000001/", "usual notation"},
		{"http://0177.0.0.1/", "usual notation"},
		{"http://127.1/", "usual notation"},
		{"http://127.0.0.1./", "usual notation"},
		{"http://127.0.0.1.5/", "usual notation"},
		{"http://256.0.0.1/", "usual notation"},
		{"http://shop.1/", "usual notation"},
	}
	for _, tt := range tests {
		err := ValidateURL(tt.url)
		if tt.want == "" && err != nil {
			t.Errorf("ValidateURL(%.80q) = %v", tt.url, err)
		}
		if tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "url ")) {
			t.Errorf("ValidateURL(%.80q) = %v; want one about %q", tt.url, err, tt.want)
		}
	}
}

func TestURLErrorsDoNotQuoteTheURL(t *testing.T) {
	t.Parallel()
	s := newTestSender(t, Config{})
	for _, url := range []string{
		"https://shop.example:sekret/", "https://shop.example/%zsekret", "https://sekret:sekret@shop.example/", "sekret://x/",
		"https://sekret..example/", "http://127.0.0.1/?token=sekret", "http://localhost/?token=sekret", "https://shop.example/?sekret#sekret",
	} {
		err := s.CheckURL(url, false)
		if err == nil {
			t.Errorf("CheckURL(%q) accepts it", url)
		} else if strings.Contains(err.Error(), "sekret") {
			t.Errorf("CheckURL(%q) = %q, which quotes the URL", url, err)
		}
	}
}

func TestCheckURL(t *testing.T) {
	t.Parallel()
	s := newTestSender(t, Config{AllowedPrivateNets: []netip.Prefix{
		netip.MustParsePrefix("10.20.0.0/16"), netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::ffff:10.30.0.0/112"), netip.MustParsePrefix("fd12::/16"),
	}})
	const public, private, never = "public", "private", "never"
	tests := []struct{ url, reach string }{
		{"https://shop.example/", public},
		{"https://localhost.example/", public},
		{"https://93.184.216.34/", public},
		{"https://[2606:4700::1111]/", public},
		{"https://[::ffff:93.184.216.34]/", public},
		{"http://10.20.3.4:8080/", private},
		{"http://[::ffff:10.20.3.4]/", private},
		{"http://10.30.3.4/", private},
		{"http://[fd12::1]/", private},
		{"http://127.0.0.1/", private},
		{"http://localhost:8080/", private},
		{"http://LOCALHOST./", private},
		{"http://api.localhost/", private},
		{"http://10.21.3.4/", never},
		{"http://[::1]/", never},
		{"http://[fd13::1]/", never},
		{"http://169.254.169.254/", never},
		{"http://0.0.0.0/", never},
	}
	for _, tt := range tests {
		for allowPrivate, want := range map[bool]bool{false: tt.reach == public, true: tt.reach != never} {
			err := s.CheckURL(tt.url, allowPrivate)
			if (err == nil) != want || (err != nil && !errors.Is(err, ErrForbidden)) {
				t.Errorf("CheckURL(%q, %v) = %v; want allowed %v", tt.url, allowPrivate, err, want)
			}
		}
	}
	if err := newTestSender(t, Config{}).CheckURL("http://localhost/", true); !errors.Is(err, ErrForbidden) {
		t.Errorf("localhost without an opened network: %v; want ErrForbidden", err)
	}
	if err := s.CheckURL("ftp://10.20.3.4/", true); err == nil || errors.Is(err, ErrForbidden) {
		t.Errorf("CheckURL of a bad scheme = %v; want what ValidateURL says", err)
	}
}
