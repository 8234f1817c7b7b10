package main

import (
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"strings"
)

// masked stands where a secret would be.
const masked = "•••"

// Secret is a value that no print-out shows: every formatting verb, every log handler and every encoder gets the masked form.
// The zero Secret means "not set".
//
// The value hides in a closure because fmt reads unexported fields of enclosing structs, through pointers too, without asking their methods.
type Secret struct {
	open func() (plain, shown string)
}

// newSecret hides plain whole.
func newSecret(plain string) Secret {
	return Secret{func() (string, string) { return plain, masked }}
}

// newSecretURL hides what is secret inside a URL, and keeps scheme, host and path readable.
func newSecretURL(plain string) Secret {
	shown := maskURL(plain)
	return Secret{func() (string, string) { return plain, shown }}
}

// IsSet reports whether there is a value.
func (s Secret) IsSet() bool { return s.open != nil }

// Reveal returns the value itself, "" when not set. Its callers hand it to the library that connects or derives with it, and nowhere else.
func (s Secret) Reveal() string {
	if s.open == nil {
		return ""
	}
	plain, _ := s.open()
	return plain
}

// String returns the masked form, "" when not set.
func (s Secret) String() string {
	if s.open == nil {
		return ""
	}
	_, shown := s.open()
	return shown
}

// Format writes the masked form for every verb, %#v and %x included.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue gives slog the masked form.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText gives encoders the masked form.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// maskURL replaces the password, and every query value whose name speaks of one. It gives up on text that is no URL,
// and on an @ behind the host: an unescaped / ? or # in a password makes the rest of it look like a path.
func maskURL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme == "" || u.Host == "" && u.Path == "" || strings.Contains(u.Path+u.RawQuery+u.Fragment, "@") {
		return masked
	}
	var b strings.Builder
	b.WriteString(u.Scheme + "://")
	if u.User != nil {
		password, has := u.User.Password()
		switch {
		case has && password != "":
			b.WriteString(url.User(u.User.Username()).String() + ":" + masked + "@")
		case strings.HasPrefix(u.Scheme, "redis"):
			// redis://password@host is a common slip for redis://:password@host.
			b.WriteString(masked + "@")
		default:
			b.WriteString(u.User.String() + "@")
		}
	}
	b.WriteString(u.Host + u.EscapedPath())
	if u.RawQuery != "" {
		b.WriteString("?" + maskQuery(u.RawQuery))
	}
	return b.String()
}

func maskQuery(raw string) string {
	pairs := strings.Split(raw, "&")
	for i, pair := range pairs {
		name, _, _ := strings.Cut(pair, "=")
		lower := strings.ToLower(name)
		if plain, err := url.QueryUnescape(lower); err == nil {
			lower = strings.ToLower(plain)
		}
		for _, word := range []string{"pass", "secret", "token", "key", "pwd"} {
			if strings.Contains(lower, word) {
				pairs[i] = name + "=" + masked
			}
		}
	}
	return strings.Join(pairs, "&")
}
