package redistest

import (
	"fmt"
	"strings"
	"testing"
)

// Dump returns every key and value in Redis, for tests about what must not be there.
func (r *Redis) Dump(t testing.TB) string {
	t.Helper()
	var out strings.Builder
	ctx, c := t.Context(), r.Client
	keys := c.Scan(ctx, 0, "*", 1000).Iterator()
	for keys.Next(ctx) {
		key := keys.Val()
		fmt.Fprintln(&out, key)
		var err error
		var value any
		switch kind := c.Type(ctx, key).Val(); kind {
		case "string":
			value, err = c.Get(ctx, key).Result()
		case "hash":
			value, err = c.HGetAll(ctx, key).Result()
		case "list":
			value, err = c.LRange(ctx, key, 0, -1).Result()
		case "set":
			value, err = c.SMembers(ctx, key).Result()
		case "zset":
			value, err = c.ZRangeWithScores(ctx, key, 0, -1).Result()
		case "none": // expired meanwhile
		default:
			t.Errorf("redistest: %s has the type %s, which is not looked into", key, kind)
		}
		if err != nil {
			t.Fatalf("redistest: read %s: %v", key, err)
		}
		fmt.Fprintln(&out, value)
	}
	if err := keys.Err(); err != nil {
		t.Fatalf("redistest: list the keys: %v", err)
	}
	return out.String()
}
