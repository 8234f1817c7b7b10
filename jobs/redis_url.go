package jobs

import (
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// redisSchemes says what each scheme may have. Anything else in an address is an error, so that a typo is seen.
var redisSchemes = map[string]struct {
	port   string // where the address has none
	params []string
	hosts  bool // several, with commas between them
	path   string
}{
	"redis":          {port: "6379", path: "database"},
	"rediss":         {port: "6379", path: "database"},
	"redis-sentinel": {port: "26379", path: "master", hosts: true, params: []string{"db", "master", "sentinel_user", "sentinel_password", "tls"}},
	"redis-cluster":  {port: "6379", hosts: true, params: []string{"tls"}},
}

var errRedisScheme = errors.New("expected redis://, rediss://, redis-sentinel:// or redis-cluster://")

// ParseRedisURL understands
//
//	redis://[[user]:password@]host[:port][/db]                  rediss://… with TLS
//	redis-sentinel://[[user]:password@]host[:port][,host…]/master
//	redis-cluster://[[user]:password@]host[:port][,host…]
//
// The user and password are those of the servers that hold the data. After a redis-sentinel:// address ?master= names the master
// (as in Asynq's ParseRedisURI) if the path does not, ?db= the database, ?sentinel_user= and ?sentinel_password= what the sentinels
// ask for; ?tls=true is for redis-sentinel:// and redis-cluster://.
//
// Its errors never repeat any part of the address but the names of its parameters, because it may hold passwords.
func ParseRedisURL(raw string) (Redis, error) {
	scheme, rest, ok := strings.Cut(raw, "://")
	kind, known := redisSchemes[scheme]
	if !ok || !known {
		return Redis{}, errRedisScheme
	}
	// net/url reads one host; the list of hosts is cut out of the authority before it sees the rest.
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	at := strings.LastIndexByte(rest[:end], '@') + 1
	u, err := url.Parse(scheme + "://" + rest[:at] + "host" + rest[end:])
	if err != nil || u.Fragment != "" {
		return Redis{}, fmt.Errorf("not a valid %s:// address; special characters in a password are percent-encoded", scheme)
	}
	o := redis.UniversalOptions{
		DialTimeout: 2 * time.Second, ReadTimeout: 2 * time.Second, WriteTimeout: 2 * time.Second, PoolTimeout: 3 * time.Second,
		ContextTimeoutEnabled: true, MaxRetries: 1,
		DialerRetries: 1, // five by default, each with the whole timeout
	}
	if o.Addrs, err = redisHosts(rest[at:end], kind.port); err != nil {
		return Redis{}, err
	}
	if len(o.Addrs) > 1 && !kind.hosts {
		return Redis{}, fmt.Errorf("a %s:// address has one host", scheme)
	}
	if o.Username, o.Password, err = redisCredentials(u.User); err != nil {
		return Redis{}, err
	}
	query, err := redisParams(u.RawQuery, kind.params)
	if err != nil {
		return Redis{}, err
	}
	path := strings.TrimPrefix(u.Path, "/")
	switch kind.path {
	case "database":
		if o.DB, err = redisDatabase("the path of a "+scheme+":// address", path); err != nil {
			return Redis{}, err
		}
	case "master":
		o.MasterName, o.SentinelUsername, o.SentinelPassword = path, query["sentinel_user"], query["sentinel_password"]
		if name, given := query["master"]; given {
			if path != "" && path != name {
				return Redis{}, errors.New("the path and the parameter master name different masters")
			}
			o.MasterName = name
		}
		if o.MasterName == "" || strings.Contains(o.MasterName, "/") {
			return Redis{}, errors.New("a redis-sentinel:// address ends in the name of the master, such as /mymaster")
		}
		if o.DB, err = redisDatabase("the parameter db", query["db"]); err != nil {
			return Redis{}, err
		}
	default:
		if path != "" {
			return Redis{}, fmt.Errorf("a %s:// address has no path", scheme)
		}
	}
	secure := scheme == "rediss"
	if v, given := query["tls"]; given {
		if secure, err = strconv.ParseBool(v); err != nil {
			return Redis{}, errors.New("the parameter tls is true or false")
		}
	}
	if secure {
		// Without a ServerName each connection checks the certificate against the host that it dials.
		o.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	return Redis{options: o, cluster: scheme == "redis-cluster"}, nil
}

func redisHosts(list, port string) ([]string, error) {
	var addrs []string
	for one := range strings.SplitSeq(list, ",") {
		host, number, err := net.SplitHostPort(one)
		if err != nil { // no port
			host, number = strings.TrimSuffix(strings.TrimPrefix(one, "["), "]"), port
		}
		if n, err := strconv.ParseUint(number, 10, 16); err != nil || n == 0 {
			return nil, errors.New("a port is a number from 1 to 65535")
		}
		if host == "" {
			return nil, errors.New("the host is missing")
		}
		if ip, err := netip.ParseAddr(host); err != nil && strings.ContainsAny(host, "[]:@ \t\r\n%\\") || err == nil && ip.Is6() && !strings.HasPrefix(one, "[") {
			return nil, errors.New("a host is a name, an IPv4 address or an IPv6 address in brackets")
		}
		addrs = append(addrs, net.JoinHostPort(host, number))
	}
	return addrs, nil
}

func redisCredentials(user *url.Userinfo) (name, password string, err error) {
	if user == nil {
		return "", "", nil
	}
	password, given := user.Password()
	if !given || password == "" {
		return "", "", errors.New("the password is missing; one without a user is written :password@")
	}
	return user.Username(), password, nil
}

func redisParams(raw string, known []string) (map[string]string, error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return nil, errors.New("the parameters behind the question mark are not valid")
	}
	params := make(map[string]string, len(values))
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("unknown parameter; this scheme has %s", orNone(known))
		}
		if len(values[name]) > 1 {
			return nil, fmt.Errorf("the parameter %s is there twice", name)
		}
		params[name] = values.Get(name)
	}
	return params, nil
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

func redisDatabase(what, v string) (int, error) {
	if v == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(v, 10, 31)
	if err != nil {
		return 0, fmt.Errorf("%s is a database number, such as 0", what)
	}
	return int(n), nil
}
