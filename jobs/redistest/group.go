package redistest

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/purser-dev/purser/jobs"
)

// groupPatience is how long a group may take to come together or to choose a new master; only a hang reaches it.
const groupPatience = 90 * time.Second

// Group is several servers behind one address, with a replica for each of them that holds data. It goes with the test.
type Group struct {
	URL   string
	Redis jobs.Redis
	// Client follows the masters, as Purser's own clients do.
	Client redis.UniversalClient

	nodes    map[string]*process // by address
	password string
	// master asks the group itself who is the master of a key.
	master func(ctx context.Context, key string) (address string, err error)
}

// KillMaster kills the server that holds a key, and returns when the group has made another its master.
func (g *Group) KillMaster(t testing.TB, key string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), groupPatience)
	defer cancel()
	old, err := g.master(ctx, key)
	if err != nil {
		t.Fatal(err)
	}
	victim := g.nodes[old]
	if victim == nil || victim.kill == nil {
		t.Fatalf("the master of %s is %s, which does not run", key, old)
	}
	victim.stop()
	g.eventually(t, "there is another master than "+old, func(ctx context.Context) bool {
		now, err := g.master(ctx, key)
		return err == nil && now != old
	})
}

func (g *Group) eventually(t testing.TB, what string, is func(context.Context) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), groupPatience)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !is(ctx) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("not within %s: %s", groupPatience, what)
		}
	}
}

// node starts one server of the group with more lines of configuration.
func (g *Group) node(t testing.TB, config func() (string, error)) *process {
	t.Helper()
	var err error
	for range 5 { // a port that is part of the configuration may be taken by the time it is listened on
		more, failed := config()
		if failed != nil {
			t.Fatal(failed)
		}
		p := &process{program: program(t), dir: t.TempDir(), password: g.password, config: "masterauth " + g.password + "\nrepl-diskless-sync-delay 0\n" + more}
		if err = p.start(); err == nil {
			t.Cleanup(p.stop)
			g.nodes[p.address] = p
			return p
		}
	}
	t.Fatalf("start a server: %v", err)
	return nil
}

func (g *Group) open(t testing.TB, u url.URL) {
	t.Helper()
	g.URL = u.String()
	parsed, err := jobs.ParseRedisURL(g.URL)
	if err != nil {
		t.Fatal(err)
	}
	g.Redis, g.Client = parsed, parsed.Client()
	t.Cleanup(func() { _ = g.Client.Close() })
}

// client talks to one server of the group.
func (g *Group) client(t testing.TB, address, password string) *redis.Client {
	t.Helper()
	c, err := clientOf(address, password)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c.(*redis.Client)
}

func program(t testing.TB) string {
	t.Helper()
	path := os.Getenv(EnvServer)
	if path == "" {
		t.Fatalf("%s is not set: run the tests by `make test`", EnvServer)
	}
	return path
}

const (
	sentinels  = 3
	masterName = "purser-master"
)

// Sentinel starts a master and a replica, watched by three sentinels.
func Sentinel(t testing.TB) *Group {
	t.Helper()
	g := &Group{nodes: map[string]*process{}, password: rand.Text()}
	first := g.node(t, func() (string, error) { return "", nil })
	host, port, _ := net.SplitHostPort(first.address)
	g.node(t, func() (string, error) { return fmt.Sprintf("replicaof %s %s\n", host, port), nil })
	master := g.client(t, first.address, g.password)
	g.eventually(t, "the replica has what the master has", func(ctx context.Context) bool {
		info, err := master.Info(ctx, "replication").Result()
		return err == nil && strings.Contains(info, "state=online")
	})

	secret := rand.Text()
	var addresses []string
	var watchers []*redis.SentinelClient
	for range sentinels {
		address := g.sentinel(t, host, port, secret)
		addresses = append(addresses, address)
		c := redis.NewSentinelClient(&redis.Options{Addr: address, Password: secret})
		t.Cleanup(func() { _ = c.Close() })
		watchers = append(watchers, c)
	}
	for _, w := range watchers {
		g.eventually(t, "every sentinel knows the replica and the others", func(ctx context.Context) bool {
			m, err := w.Master(ctx, masterName).Result()
			return err == nil && m["num-slaves"] == "1" && m["num-other-sentinels"] == strconv.Itoa(sentinels-1)
		})
	}
	g.master = func(ctx context.Context, _ string) (string, error) {
		at, err := watchers[0].GetMasterAddrByName(ctx, masterName).Result()
		if err != nil {
			return "", err
		}
		return net.JoinHostPort(at[0], at[1]), nil
	}
	g.open(t, url.URL{
		Scheme: "redis-sentinel", User: url.UserPassword("default", g.password), Host: strings.Join(addresses, ","), Path: "/" + masterName,
		RawQuery: url.Values{"sentinel_password": {secret}}.Encode(),
	})
	return g
}

// sentinel starts one. It keeps what it learns in its configuration, so that is a file.
func (g *Group) sentinel(t testing.TB, host, port, secret string) (address string) {
	t.Helper()
	var kill func()
	var err error
	for range 5 {
		if address, err = freeAddress(); err != nil {
			continue
		}
		_, own, _ := net.SplitHostPort(address)
		dir := t.TempDir()
		file := filepath.Join(dir, "sentinel.conf")
		if err = os.WriteFile(file, fmt.Appendf(nil, `bind 127.0.0.1
port %s
dir %s
requirepass %s
sentinel sentinel-pass %s
sentinel monitor %[5]s %s %s 2
sentinel auth-pass %[5]s %[8]s
sentinel down-after-milliseconds %[5]s 1500
sentinel failover-timeout %[5]s 10000
`, own, dir, secret, secret, masterName, host, port, g.password), 0o600); err != nil {
			continue
		}
		if kill, err = launch(exec.Command(program(t), file, "--sentinel"), address, secret); err == nil {
			t.Cleanup(kill)
			return address
		}
	}
	t.Fatalf("start a sentinel: %v", err)
	return ""
}

const (
	clusterMasters = 3
	clusterSlots   = 16384
)

// Cluster starts three masters that share the keys, and a replica of each.
func Cluster(t testing.TB) *Group {
	t.Helper()
	g := &Group{nodes: map[string]*process{}, password: rand.Text()}
	type member struct {
		*redis.Client
		id, host, port, bus string
	}
	members := make([]member, 2*clusterMasters)
	addresses := make([]string, len(members))
	for i := range members {
		m := &members[i]
		p := g.node(t, func() (string, error) {
			bus, err := freeAddress()
			if err != nil {
				return "", err
			}
			_, m.bus, err = net.SplitHostPort(bus)
			return "cluster-enabled yes\ncluster-config-file nodes.conf\ncluster-node-timeout 1500\ncluster-require-full-coverage no\ncluster-port " + m.bus + "\n", err
		})
		addresses[i] = p.address
		m.Client = g.client(t, p.address, g.password)
		m.host, m.port, _ = net.SplitHostPort(p.address)
	}
	tell := func(m member, args ...any) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
		defer cancel()
		if err := m.Do(ctx, args...).Err(); err != nil {
			t.Fatalf("%v: %v", args, err)
		}
	}
	for i := range members {
		var err error
		if members[i].id, err = members[i].ClusterMyID(t.Context()).Result(); err != nil {
			t.Fatal(err)
		}
		if i < clusterMasters {
			tell(members[i], "cluster", "addslotsrange", i*clusterSlots/clusterMasters, (i+1)*clusterSlots/clusterMasters-1)
		}
		tell(members[i], "cluster", "set-config-epoch", i+1)
	}
	for _, m := range members[1:] {
		tell(members[0], "cluster", "meet", m.host, m.port, m.bus)
	}
	info := func(m member, want ...string) func(context.Context) bool {
		return func(ctx context.Context) bool {
			text, err := m.ClusterInfo(ctx).Result()
			for _, w := range want {
				if err != nil || !strings.Contains(text, w+"\r\n") {
					return false
				}
			}
			return true
		}
	}
	for _, m := range members {
		g.eventually(t, "everybody has met everybody", info(m, fmt.Sprintf("cluster_known_nodes:%d", len(members))))
	}
	for i, m := range members[clusterMasters:] {
		g.eventually(t, "a replica knows its master", func(ctx context.Context) bool {
			return m.ClusterReplicate(ctx, members[i].id).Err() == nil
		})
	}
	for i, m := range members {
		g.eventually(t, "the cluster is whole", info(m, "cluster_state:ok", fmt.Sprintf("cluster_size:%d", clusterMasters)))
		if i >= clusterMasters {
			g.eventually(t, "the replica has what its master has", func(ctx context.Context) bool {
				text, err := m.Info(ctx, "replication").Result()
				return err == nil && strings.Contains(text, "master_link_status:up")
			})
		}
	}
	g.master = func(ctx context.Context, key string) (string, error) {
		var err error
		for _, m := range members { // whoever is there
			var slot int64
			if slot, err = m.ClusterKeySlot(ctx, key).Result(); err != nil {
				continue
			}
			var nodes string
			if nodes, err = m.ClusterNodes(ctx).Result(); err != nil {
				continue
			}
			if address := masterOf(nodes, int(slot)); address != "" {
				return address, nil
			}
		}
		return "", fmt.Errorf("nobody has the slot of %s: %w", key, err)
	}
	g.open(t, url.URL{Scheme: "redis-cluster", User: url.UserPassword("default", g.password), Host: strings.Join(addresses, ",")})
	return g
}

// masterOf finds who has a slot in the answer to CLUSTER NODES: a line a node, with its address before the @, its flags, and behind the
// eighth column its slots.
func masterOf(nodes string, slot int) string {
	for line := range strings.Lines(nodes) {
		columns := strings.Fields(line)
		if len(columns) < 9 || !strings.Contains(columns[2], "master") || strings.Contains(columns[2], "fail") {
			continue
		}
		for _, column := range columns[8:] {
			first, last, many := strings.Cut(column, "-")
			from, err := strconv.Atoi(first)
			if err != nil {
				continue // a slot that moves
			}
			to := from
			if many {
				if to, err = strconv.Atoi(last); err != nil {
					continue
				}
			}
			if slot >= from && slot <= to {
				address, _, _ := strings.Cut(columns[1], "@")
				return address
			}
		}
	}
	return ""
}
