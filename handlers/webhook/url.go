package webhook

import (
	"errors"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

const (
	maxURLBytes   = 2048
	maxHostBytes  = 253 // RFC 1035 §2.3.4, without the final dot
	maxLabelBytes = 63
)

// ValidateURL says whether raw can be the address of a webhook or of a licence
// web service, judged by its text alone: http or https, a host, no user name or
// password, no fragment, ASCII, at most 2048 bytes. The error says what is wrong
// in words for the merchant and holds nothing of the URL, which may carry a
// secret in its query.
//
// IP addresses must be written in the usual way: 2130706433, 0x7f.1 and
// 0177.0.0.1 are refused, because resolvers disagree on what they mean.
// Whether the address may be reached is another question: [Sender.CheckURL].
func ValidateURL(raw string) error {
	_, err := parseURL(raw)
	return err
}

func parseURL(raw string) (*url.URL, error) {
	if raw == "" {
		return nil, errors.New("url is required")
	}
	if len(raw) > maxURLBytes {
		return nil, errors.New("url must be at most 2048 bytes long")
	}
	for i := range len(raw) {
		switch c := raw[i]; {
		case c <= ' ' || c == 0x7f:
			return nil, errors.New("url must not contain spaces or control characters")
		case c > 0x7f:
			return nil, errors.New("url must be ASCII: write the host name in punycode (xn--…) and percent-encode the rest")
		case c == '#':
			return nil, errors.New("url must not have a fragment (#…)")
		}
	}
	u, err := url.Parse(raw)
	if err != nil {
		return nil, errors.New("url is not a valid URL") // the cause would quote it
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("url must begin with http:// or https://")
	}
	if u.User != nil {
		return nil, errors.New("url must not contain a user name or password")
	}
	if u.Hostname() == "" {
		return nil, errors.New("url must name a host")
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return nil, errors.New("url port must be between 1 and 65535")
		}
	}
	if err := checkHost(u); err != nil {
		return nil, err
	}
	return u, nil
}

func checkHost(u *url.URL) error {
	host := u.Hostname()
	if strings.HasPrefix(u.Host, "[") {
		if ip, err := netip.ParseAddr(host); err != nil || !ip.Is6() || ip.Zone() != "" {
			return errors.New("url host in brackets must be an IPv6 address without a zone")
		}
		return nil
	}
	name := strings.TrimSuffix(host, ".")
	if len(name) > maxHostBytes {
		return errors.New("url host name is too long")
	}
	labels := strings.Split(name, ".")
	for _, label := range labels {
		if label == "" || len(label) > maxLabelBytes || strings.Trim(label, hostCharacters) != "" {
			return errors.New("url host name must be labels of letters, digits, hyphens and underscores")
		}
	}
	if looksNumeric(labels[len(labels)-1]) {
		if ip, err := netip.ParseAddr(host); err != nil || !ip.Is4() {
			return errors.New("url host must be a name, or an IP address in its usual notation")
		}
	}
	return nil
}

const hostCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"

// looksNumeric reports whether a host that ends in label is an IPv4 address to
// some parser (WHATWG URL, "ends in a number checker"). No top-level domain is
// a number, so nothing real is lost.
func looksNumeric(label string) bool {
	if hex, ok := strings.CutPrefix(strings.ToLower(label), "0x"); ok {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return strings.Trim(label, "0123456789") == ""
}
