package redistest

import (
	"context"
	"testing"
)

// TestGroups: what is written before a master dies is there afterwards, and its place is taken.
func TestGroups(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(testing.TB) *Group{"sentinel": Sentinel, "cluster": Cluster} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := open(t)
			const key = "asynq:{email}:pending"
			if err := g.Client.LPush(t.Context(), key, "a").Err(); err != nil {
				t.Fatal(err)
			}
			// Replication is not waited for by anybody who writes.
			g.eventually(t, "the replica has the key", func(ctx context.Context) bool {
				for address, p := range g.nodes {
					c, err := clientOf(address, p.password)
					if err != nil {
						return false
					}
					info, err := c.DBSize(ctx).Result()
					_ = c.Close()
					role, _ := g.master(ctx, key)
					if err == nil && address != role && info == 1 {
						return true
					}
				}
				return false
			})
			g.KillMaster(t, key)
			g.eventually(t, "the client has found the new master", func(ctx context.Context) bool {
				n, err := g.Client.LLen(ctx, key).Result()
				return err == nil && n == 1
			})
		})
	}
}
