package jobs

import (
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

func TestParseRedisURL(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, url string
		want      redis.UniversalOptions
		secure    bool
	}{
		{"host alone", "redis://cache", redis.UniversalOptions{Addrs: []string{"cache:6379"}}, false},
		{"port and database", "redis://cache:6380/3", redis.UniversalOptions{Addrs: []string{"cache:6380"}, DB: 3}, false},
		{"slash and no database", "redis://cache/", redis.UniversalOptions{Addrs: []string{"cache:6379"}}, false},
		{"password alone", "redis://:hush@cache", redis.UniversalOptions{Addrs: []string{"cache:6379"}, Password: "hush"}, false},
		{"user", "redis://ada:hush@cache", redis.UniversalOptions{Addrs: []string{"cache:6379"}, Username: "ada", Password: "hush"}, false},
		{"encoded password", "redis://:a%2Fb%40c%3F@cache", redis.UniversalOptions{Addrs: []string{"cache:6379"}, Password: "a/b@c?"}, false},
		{"IPv6", "redis://[::1]", redis.UniversalOptions{Addrs: []string{"[::1]:6379"}}, false},
		{"IPv6 with port", "redis://[::1]:7000/1", redis.UniversalOptions{Addrs: []string{"[::1]:7000"}, DB: 1}, false},
		{"TLS", "rediss://:hush@cache", redis.UniversalOptions{Addrs: []string{"cache:6379"}, Password: "hush"}, true},

		{"sentinel, master in the path", "redis-sentinel://:hush@s1:26380,s2/mymaster",
			redis.UniversalOptions{Addrs: []string{"s1:26380", "s2:26379"}, MasterName: "mymaster", Password: "hush"}, false},
		{"sentinel, master as Asynq writes it", "redis-sentinel://s1,s2?master=mymaster",
			redis.UniversalOptions{Addrs: []string{"s1:26379", "s2:26379"}, MasterName: "mymaster"}, false},
		{"sentinel, the same master twice", "redis-sentinel://s1/mymaster?master=mymaster",
			redis.UniversalOptions{Addrs: []string{"s1:26379"}, MasterName: "mymaster"}, false},
		{"sentinel with everything", "redis-sentinel://ada:hush@s1,[::1]:5/mymaster?db=2&sentinel_user=guard&sentinel_password=p%26q&tls=true",
			redis.UniversalOptions{
				Addrs: []string{"s1:26379", "[::1]:5"}, MasterName: "mymaster", DB: 2, Username: "ada", Password: "hush",
				SentinelUsername: "guard", SentinelPassword: "p&q",
			}, true},

		{"cluster", "redis-cluster://:hush@a,b:7001,[::1]", redis.UniversalOptions{Addrs: []string{"a:6379", "b:7001", "[::1]:6379"}, Password: "hush"}, false},
		{"cluster with TLS", "redis-cluster://a?tls=true", redis.UniversalOptions{Addrs: []string{"a:6379"}}, true},
		{"cluster without TLS", "redis-cluster://a?tls=false", redis.UniversalOptions{Addrs: []string{"a:6379"}}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r, err := ParseRedisURL(c.url)
			if err != nil {
				t.Fatal(err)
			}
			o := r.options
			if !slices.Equal(o.Addrs, c.want.Addrs) {
				t.Errorf("addresses %q, want %q", o.Addrs, c.want.Addrs)
			}
			for what, pair := range map[string][2]any{
				"database": {o.DB, c.want.DB}, "user": {o.Username, c.want.Username}, "password": {o.Password, c.want.Password},
				"master": {o.MasterName, c.want.MasterName}, "sentinel user": {o.SentinelUsername, c.want.SentinelUsername},
				"sentinel password": {o.SentinelPassword, c.want.SentinelPassword}, "TLS": {o.TLSConfig != nil, c.secure},
				"cluster": {r.cluster, strings.HasPrefix(c.url, "redis-cluster")},
			} {
				if pair[0] != pair[1] {
					t.Errorf("%s is %v, want %v", what, pair[0], pair[1])
				}
			}
			if o.TLSConfig != nil && (o.TLSConfig.InsecureSkipVerify || o.TLSConfig.ServerName != "") {
				t.Error("TLS does not check each server by the name that is dialled")
			}
		})
	}
}

func TestParseRedisURLMakesTheRightClient(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]func(redis.UniversalClient) bool{
		"redis://127.0.0.1:1":             func(c redis.UniversalClient) bool { _, ok := c.(*redis.Client); return ok },
		"redis-cluster://127.0.0.1:1":     func(c redis.UniversalClient) bool { _, ok := c.(*redis.ClusterClient); return ok },
		"redis-sentinel://127.0.0.1:1/m":  func(c redis.UniversalClient) bool { _, ok := c.(*redis.Client); return ok },
		"redis-cluster://127.0.0.1:1,b:2": func(c redis.UniversalClient) bool { _, ok := c.(*redis.ClusterClient); return ok },
	} {
		r, err := ParseRedisURL(url)
		if err != nil {
			t.Fatalf("%s: %v", url, err)
		}
		made, ok := r.MakeRedisClient().(redis.UniversalClient)
		if !ok || !want(made) {
			t.Errorf("%s makes a %T", url, made)
		}
		if err := made.Close(); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestParseRedisURLRefusesWithoutRepeatingTheAddress(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, url, want string }{
		{"empty", "", "expected redis://"},
		{"no scheme", "hush.example:6379", "expected redis://"},
		{"other scheme", "http://ada:hush@hush.example", "expected redis://"},
		{"socket, which Asynq has", "redis-socket:///run/hush", "expected redis://"},
		{"no host", "redis://", "the host is missing"},
		{"port without host", "redis://:hush@:6379", "the host is missing"},
		{"port zero", "redis://hush:0", "a port is"},
		{"port too high", "redis://hush:65536", "a port is"},
		{"port in words", "redis://hush:hush", "a port is"},
		{"two hosts where one is meant", "redis://hush1,hush2", "has one host"},
		{"empty host in a list", "redis-cluster://hush1,,hush2", "the host is missing"},
		{"two colons", "redis://hush:1:2", "a host is"},
		{"IPv6 without brackets", "redis://::1", "a host is"},
		{"database in words", "redis://:hush@h/hush", "database number"},
		{"negative database", "redis://:hush@h/-1", "database number"},
		{"two path segments", "redis://:hush@h/0/hush", "database number"},
		{"parameter of another scheme", "redis://:hush@h?sentinel_password=hush", "unknown parameter; this scheme has none"},
		{"unknown parameter", "redis-sentinel://h/m?sentinel_pasword=hush", "unknown parameter; this scheme has db, master"},
		{"parameter twice", "redis-sentinel://h/m?db=1&db=2", "db is there twice"},
		{"broken parameters", "redis-sentinel://h/m?sentinel_password=%zzhush", "not valid"},
		{"sentinel database", "redis-sentinel://h/m?db=hush", "database number"},
		{"sentinel without master", "redis-sentinel://:hush@h", "name of the master"},
		{"sentinel with two masters", "redis-sentinel://h/hush1?master=hush2", "different masters"},
		{"sentinel with a long path", "redis-sentinel://h/hush/hush", "name of the master"},
		{"cluster with a database", "redis-cluster://:hush@h/1", "no path"},
		{"cluster TLS", "redis-cluster://h?tls=hush", "tls is true or false"},
		{"lone word before the host", "redis://hush@h", "password is missing"},
		{"bad encoding", "redis://:hu%zzsh@h", "percent-encoded"},
		{"control character", "redis://:hu\nsh@h", "percent-encoded"},
		{"slash in the password", "redis://:hush/hush@h", "a port is"},
		{"fragment", "redis://:hush@h#hush", "not a valid"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := ParseRedisURL(c.url)
			if err == nil {
				t.Fatal("it was taken")
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("%q does not say %q", err, c.want)
			}
			if strings.Contains(err.Error(), "hush") || strings.Contains(err.Error(), "hu%") || strings.Contains(err.Error(), "hu\n") {
				t.Errorf("%q repeats a part of the address", err)
			}
		})
	}
}

func FuzzParseRedisURL(f *testing.F) {
	for _, seed := range []string{"redis://:secretsecret@h:1/0", "redis-sentinel://u:secretsecret@a,b:2/m?db=1", "redis-cluster://[::1],x?tls=true", "rediss://"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, url string) {
		r, err := ParseRedisURL(url)
		if err != nil {
			if strings.Contains(err.Error(), "secretsecret") {
				t.Errorf("%q repeats the password", err)
			}
			return
		}
		if len(r.options.Addrs) == 0 {
			t.Error("an address without a host was taken")
		}
	})
}
