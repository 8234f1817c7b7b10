package models

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// A pause that is taken is shown in a form that means the same.
func FuzzParsePause(f *testing.F) {
	for _, seed := range []string{"48h", "0s", "1h30m", "-1h", "1.5h", "1ns", "9999999h", "1h1h", "", "\x00", "+5m", "2160h0m0s"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var bad invalids
		d := parsePause(text, "pause", &bad)
		if bad.err() != nil {
			return
		}
		if time.Duration(d) < 0 || time.Duration(d) > maxPause || time.Duration(d)%time.Second != 0 {
			t.Fatalf("%q is %v", text, time.Duration(d))
		}
		raw, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		var again Duration
		if err := json.Unmarshal(raw, &again); err != nil || again != d {
			t.Fatalf("%q is shown as %s, which is %v, %v", text, raw, time.Duration(again), err)
		}
	})
}

// Licence keys are put where they belong, whatever else an event says, and change nothing else.
func FuzzPutKeys(f *testing.F) {
	for _, seed := range []string{
		`{"items":[{"licenses":[{"id":"lic_1","key":"••••"}]}]}`, `{"id":"lic_1","key":null}`, `{"key":{"id":"lic_1","key":""},"id":"x"}`, `[{"id":"lic_1"}]`, `{"id":"lic_1","key":"a","key":"b"}`,
		`{"a":"\"key\":","id":"lic_1" , "key" : [1,{"id":"lic_1","key":1e9}] }`, `1`, ``, `{"id":"lic_1","key":"x"}{}`, "{\"id\":\"lic_1\",\"key\":\"\u2028\\ud800\"}",
	} {
		f.Add(seed, "KEY-\"1\"")
	}
	f.Fuzz(func(t *testing.T, text, key string) {
		same, err := putKeys(text, nil)
		if err == nil && same != text {
			t.Fatalf("%q became %q without any key", text, same)
		}
		got, err := putKeys(text, map[string]string{"lic_1": key})
		if err != nil || !json.Valid([]byte(text)) {
			return
		}
		if !json.Valid([]byte(got)) {
			t.Fatalf("%q became %q", text, got)
		}
		if !strings.Contains(text, "key") && !strings.Contains(text, `\u`) && got != text {
			t.Fatalf("%q became %q", text, got)
		}
	})
}

// What is sealed opens where it was meant to, and nothing else does.
func FuzzOpen(f *testing.F) {
	keys, err := NewKeyring([]byte(strings.Repeat("k", 32)))
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(nil), "a", []byte("x"))
	f.Add([]byte{sealedV1}, "", []byte(nil))
	f.Add(keys.Seal([]byte("x"), "a"), "b", []byte("x"))
	f.Add(append([]byte{sealedV1}, make([]byte, 28)...), "a", []byte("x"))
	f.Fuzz(func(t *testing.T, sealed []byte, context string, plain []byte) {
		if got, err := keys.Open(sealed, context+"!"); err == nil {
			t.Fatalf("%x opens as %x", sealed, got)
		}
		made := keys.Seal(plain, context)
		if got, err := keys.Open(made, context); err != nil || string(got) != string(plain) {
			t.Fatalf("sealed %x, opened %x, %v", plain, got, err)
		}
		if _, err := keys.Open(made, context+"!"); err == nil {
			t.Fatal("it opens elsewhere, too")
		}
	})
}
