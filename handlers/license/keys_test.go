package license

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestNormalizeKeys(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		text       string
		keys       []string
		duplicates int
	}{
		"LF, CRLF, blank, repeated": {"K-1\nK-2\r\n\nK-2\nK-3\n", []string{"K-1", "K-2", "K-3"}, 1},
		"no newline at the end":     {"K-1\nK-2", []string{"K-1", "K-2"}, 0},
		"byte order mark":           {"\uFEFFK-1\r\nK-1\r\n", []string{"K-1"}, 1},
		"white space around":        {"  K-1\t\n\tK-1  \n \t \nK 2", []string{"K-1", "K 2"}, 1},
		"case matters":              {"a\nA", []string{"a", "A"}, 0},
		"not only ASCII":            {"Schlüssel-1\n鍵", []string{"Schlüssel-1", "鍵"}, 0},
		"nothing":                   {"", nil, 0},
		"only blank lines":          {"\uFEFF\r\n\n  \n", nil, 0},
		"longest key":               {strings.Repeat("k", MaxKeyLength), []string{strings.Repeat("k", MaxKeyLength)}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			keys, duplicates, err := NormalizeKeys(tc.text, 100)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(keys, tc.keys) || duplicates != tc.duplicates {
				t.Errorf("got %q and %d duplicates, want %q and %d", keys, duplicates, tc.keys, tc.duplicates)
			}
		})
	}
}

func TestNormalizeKeysRefuses(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		text string
		want string
	}{
		"NUL":             {"K-1\n\nSECRET\x00SECRET\n", "line 3 has a control character in it"},
		"tab inside":      {"SECRET\tSECRET", "line 1 has a control character in it"},
		"lone CR":         {"SECRET\rSECRET", "line 1 has a control character in it"},
		"C1 control":      {"SECRET\u0080SECRET", "line 1 has a control character in it"},
		"zero width":      {"K\nSECRET\u200bSECRET", "line 2 has an invisible character in it"},
		"second BOM":      {"K\n\uFEFFSECRET", "line 2 has an invisible character in it"},
		"no-break space":  {"SECRET\u00a0SECRET", "line 1 has an invisible character in it"},
		"right to left":   {"SECRET\u202eSECRET", "line 1 has an invisible character in it"},
		"Latin-1":         {"K\nSECRET\xe4SECRET", "line 2 is not UTF-8"},
		"UTF-16":          {"\xff\xfeS\x00E\x00", "line 1 is not UTF-8"},
		"too long":        {"K\n" + strings.Repeat("SECRET", 700), "line 2 is longer than 4096 bytes"},
		"too many":        {"1\n2\n3\n\n4\n", "holds more than 3 keys"},
		"too many, equal": {"1\n1\n1\n1\n", "holds more than 3 keys"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			keys, duplicates, err := NormalizeKeys(tc.text, 3)
			var line LineError
			if !errors.As(err, &line) || err.Error() != tc.want {
				t.Fatalf("error is %v, want %s", err, tc.want)
			}
			if strings.Contains(err.Error(), "SECRET") {
				t.Error("the error repeats the key")
			}
			if keys != nil || duplicates != 0 {
				t.Errorf("a refused upload gave %q, %d", keys, duplicates)
			}
		})
	}
}

func TestNormalizeKeyRefusesTheEmptyKey(t *testing.T) {
	t.Parallel()
	if key, err := NormalizeKey(" \r\n"); err == nil {
		t.Errorf("got %q", key)
	}
	if key, err := NormalizeKey(" K-1\n"); err != nil || key != "K-1" {
		t.Errorf("got %q, %v", key, err)
	}
}

func TestNormalizeKeysFindsEveryKeyOnce(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		keys := rapid.SliceOfN(rapid.StringMatching(`[A-Z0-9]{1,3}`), 0, 40).Draw(t, "keys")
		var text strings.Builder
		for i, key := range keys {
			blank := rapid.SampledFrom([]string{"", "\n", " \r\n", "\t\n\n"}).Draw(t, fmt.Sprint("blank", i))
			pad := rapid.SampledFrom([]string{"", " ", "\t "}).Draw(t, fmt.Sprint("pad", i))
			end := rapid.SampledFrom([]string{"\n", "\r\n"}).Draw(t, fmt.Sprint("end", i))
			text.WriteString(blank + pad + key + pad + end)
		}
		got, duplicates, err := NormalizeKeys(text.String(), len(keys))
		if err != nil {
			t.Fatal(err)
		}
		if len(got)+duplicates != len(keys) {
			t.Fatalf("%d keys and %d duplicates out of %d lines", len(got), duplicates, len(keys))
		}
		var want []string
		for _, key := range keys {
			if !slices.Contains(want, key) {
				want = append(want, key)
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("got %q, want %q", got, want)
		}
	})
}

func FuzzNormalizeKeys(f *testing.F) {
	for _, seed := range []string{
		"K-1\nK-2\r\n\nK-2\nK-3\n", "\uFEFFK-1", "", "\r", "\x00", "a\u200bb", "\xff\xfe", " \u00a0k\u00a0 ", "\u2028k\u2028",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		const limit = 50
		keys, duplicates, err := NormalizeKeys(text, limit)
		if err != nil {
			if keys != nil || duplicates != 0 {
				t.Fatal("keys beside an error")
			}
			return
		}
		if len(keys)+duplicates > limit || duplicates < 0 {
			t.Fatalf("%d keys, %d duplicates", len(keys), duplicates)
		}
		// What came out is a clean upload: it comes out of a second pass unchanged.
		again, duplicates, err := NormalizeKeys(strings.Join(keys, "\n"), limit)
		if err != nil || duplicates != 0 || !slices.Equal(again, keys) {
			t.Fatalf("second pass gave %q, %d, %v", again, duplicates, err)
		}
	})
}
