package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestMaskURL(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, in, want string }{
		{"password goes, the rest stays", "postgres://ada:hush@db:5432/shop?sslmode=require", "postgres://ada:•••@db:5432/shop?sslmode=require"},
		{"user without password stays", "postgres://ada@db/shop", "postgres://ada@db/shop"},
		{"password without user", "redis://:hush@r:6379/2", "redis://:•••@r:6379/2"},
		{"a lone word before a Redis host may be the password", "redis://hush@r:6379", "redis://•••@r:6379"},
		{"several hosts", "redis-sentinel://:hush@h1:1,h2:2/0?master=m", "redis-sentinel://:•••@h1:1,h2:2/0?master=m"},
		{"password in the query", "postgres://db/shop?user=ada&password=hush&sslmode=off", "postgres://db/shop?user=ada&password=•••&sslmode=off"},
		{"query name in disguise", "postgres://db/shop?%50assWord=hush", "postgres://db/shop?%50assWord=•••"},
		{"slash in the password", "postgres://ada:12/hush@db/shop", masked},
		{"question mark in the password", "postgres://ada:12?hush@db/shop", masked},
		{"hash in the password", "postgres://ada:12#hush@db/shop", masked},
		{"percent in the password", "postgres://ada:%hush@db/shop", masked},
		{"no URL", "hush", masked},
		{"no URL but a colon", "ada:hush", masked},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := maskURL(tt.in)
			if got != tt.want {
				t.Errorf("maskURL(%q) = %q, want %q", tt.in, got, tt.want)
			}
			if strings.Contains(got, "hush") {
				t.Errorf("maskURL(%q) = %q shows the secret", tt.in, got)
			}
		})
	}
}

// TestSecretNeverPrints tries every door through which values usually escape.
func TestSecretNeverPrints(t *testing.T) {
	t.Parallel()
	const plain = "hush-hush"
	type outer struct {
		Public  Secret
		private Secret
	}
	value := outer{newSecret(plain), newSecretURL("redis://ada:" + plain + "@h/0")}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		fmt.Fprintf(&out, verb+" "+verb+" "+verb+"\n", value, &value, value.Public)
	}
	if err := json.NewEncoder(&out).Encode(value); err != nil {
		t.Fatal(err)
	}
	for _, handler := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(handler).Info("x", "whole", value, "secret", value.Public, "private", value.private)
	}
	hex := fmt.Sprintf("%x", plain)
	for _, leak := range []string{plain, hex, strings.ToUpper(hex)} {
		if strings.Contains(out.String(), leak) {
			t.Errorf("the secret shows as %q in:\n%s", leak, out.String())
		}
	}
	if !strings.Contains(out.String(), masked) {
		t.Errorf("nothing masked in:\n%s", out.String())
	}
	if value.Public.Reveal() != plain || !value.Public.IsSet() || (Secret{}).IsSet() || (Secret{}).Reveal() != "" {
		t.Error("Reveal or IsSet is wrong")
	}
}
