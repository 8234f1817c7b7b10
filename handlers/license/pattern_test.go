package license

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"math"
	mathrand "math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

func mustPattern(t interface{ Fatal(...any) }, text string) Pattern {
	pattern, err := ParsePattern(text)
	if err != nil {
		t.Fatal(err)
	}
	return pattern
}

func TestParsePatternRefuses(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ pattern, want string }{
		"empty":               {"", "must end in the check character C"},
		"no check":            {"XXXXX-XXXXX-XXXXX-XXXXX", "must end in the check character C"},
		"escaped check":       {`XXXXX-XXXXX-XXXXX-XXXX\C`, "must end in the check character C"},
		"check not last":      {"OFFICE-XXXXX-XXXXX-XXXXX-XXXXC", `has the check character C at position 5, it must be the last one (write \C for the letter C)`},
		"two checks":          {"XXXXX-XXXXX-XXXXX-XXXCC", `has the check character C at position 22, it must be the last one (write \C for the letter C)`},
		"one X short":         {"XXXXX-XXXXX-XXXXX-XC", "has 78 random bits (X 16 times), at least 80 are needed (X 17 times)"},
		"no random":           {"EDITOR-C", "has 0 random bits (X 0 times), at least 80 are needed (X 17 times)"},
		"escaped X is no X":   {`\XXXXX-XXXXX-XXXXX-XXC`, "has 78 random bits (X 16 times), at least 80 are needed (X 17 times)"},
		"leading separator":   {"-XXXXX-XXXXX-XXXXX-XXXXC", "has an empty group at position 1"},
		"doubled separator":   {"XXXXX--XXXXX-XXXXX-XXXXC", "has an empty group at position 7"},
		"trailing separator":  {"XXXXX-XXXXX-XXXXX-XXXX-", "has an empty group at position 23"},
		"lower case":          {"xXXXX-XXXXX-XXXXX-XXXXC", `has 'x' at position 1, only A-Z, 0-9, - and \ are allowed`},
		"space":               {"XXXXX XXXXX-XXXXX-XXXXC", `has ' ' at position 6, only A-Z, 0-9, - and \ are allowed`},
		"not ASCII":           {"ÄXXXX-XXXXX-XXXXX-XXXXC", `has 'Ä' at position 1, only A-Z, 0-9, - and \ are allowed`},
		"supplementary check": {"*XXXX-XXXXX-XXXXX-XXXXC", `has '*' at position 1, only A-Z, 0-9, - and \ are allowed`},
		"escape at the end":   {`XXXXX-XXXXX-XXXXX-XXXX\`, `has a \ at position 23 that is not followed by X or C`},
		"escape of another":   {`\AXXXX-XXXXX-XXXXX-XXXXC`, `has a \ at position 1 that is not followed by X or C`},
		"too long":            {strings.Repeat("X", MaxPatternLength) + "C", "has 201 characters, at most 200 are allowed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pattern, err := ParsePattern(tc.pattern)
			if err == nil || err.Error() != tc.want {
				t.Fatalf("error is %v, want %s", err, tc.want)
			}
			if pattern.Valid("") {
				t.Error("the zero Pattern takes the empty key for valid")
			}
			if key, err := pattern.Generate(rand.Reader); err == nil {
				t.Errorf("the zero Pattern generated %q", key)
			}
		})
	}
}

func TestPatternShapes(t *testing.T) {
	t.Parallel()
	const symbol = "[2-9A-HJKMNP-TV-Z]"
	for pattern, want := range map[string]string{
		DefaultPattern:                    "^(" + symbol + "{5}-){3}" + symbol + "{5}$",
		"EDITOR-XXXXX-XXXXX-XXXXX-XXXXC":  "^EDITOR-(" + symbol + "{5}-){3}" + symbol + "{5}$",
		`OFFI\CE-\X2-XXXXXXXXX-XXXXXXXXC`: "^OFFICE-X2-" + symbol + "{9}-" + symbol + "{9}$",
		"XXXXXXXXXXXXXXXXXC":              "^" + symbol + "{18}$",
		"L0IOU-XXXXXXXXXXXXXXXXX9C":       "^L0IOU-" + symbol + "{17}9" + symbol + "$",
	} {
		p := mustPattern(t, pattern)
		if p.String() != pattern {
			t.Errorf("%s prints as %s", pattern, p)
		}
		shape := regexp.MustCompile(want)
		for range 50 {
			key, err := p.Generate(rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			if !shape.MatchString(key) {
				t.Errorf("%s gave %s, want %s", pattern, key, want)
			}
			if !p.Valid(key) {
				t.Errorf("%s does not take its own key %s", pattern, key)
			}
		}
	}
	if got := mustPattern(t, DefaultPattern).Bits(); got != 92 {
		t.Errorf("the default pattern has %d bits, its comment says 92", got)
	}
}

// patterns draws patterns of every allowed kind with some keys of theirs.
func patterns(t *rapid.T) Pattern {
	groups := rapid.SliceOfN(rapid.StringMatching(`([ABD-WYZ0-9X]|\\X|\\C){1,8}`), 0, 6).Draw(t, "groups")
	text := strings.Join(append(groups, strings.Repeat("X", rapid.IntRange(17, 40).Draw(t, "random"))+"C"), "-")
	return mustPattern(t, text)
}

func draw(t *rapid.T, p Pattern) string {
	seed := rapid.Uint64().Draw(t, "seed")
	key, err := p.Generate(mathrand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16), byte(seed >> 24)}))
	if err != nil {
		t.Fatal(err)
	}
	if !p.Valid(key) {
		t.Fatalf("%s does not take its own key %s", p, key)
	}
	return key
}

func TestEverySingleSubstitutionIsSeen(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := patterns(t)
		key := []byte(draw(t, p))
		for at, was := range key {
			for c := range 256 {
				if key[at] = byte(c); byte(c) != was && p.Valid(string(key)) {
					t.Fatalf("%#x instead of %#x at %d goes unseen in %s", c, was, at, p)
				}
			}
			key[at] = was
		}
	})
}

func TestEveryAdjacentSwapIsSeen(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := patterns(t)
		key := draw(t, p)
		for at := range len(key) - 1 {
			next := at + 1
			if key[next] == separator && next+1 < len(key) {
				next++ // people swap across the separator, which stays in its place
			}
			for _, with := range []int{at + 1, next} {
				swapped := []byte(key)
				swapped[at], swapped[with] = swapped[with], swapped[at]
				if string(swapped) != key && p.Valid(string(swapped)) {
					t.Fatalf("swap of %d and %d goes unseen in %s", at, with, p)
				}
			}
		}
	})
}

func TestOtherShapesAreInvalid(t *testing.T) {
	t.Parallel()
	p := mustPattern(t, "EDITOR-"+DefaultPattern)
	key, err := p.Generate(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, wrong := range []string{
		"", key[:len(key)-1], key + "2", key + "\n", " " + key, strings.ToLower(key), strings.ReplaceAll(key, "-", ""),
		strings.Replace(key, "EDITOR", "VIEWER", 1), key[:7] + "00000" + key[12:],
	} {
		if p.Valid(wrong) {
			t.Errorf("%q counts as valid", wrong)
		}
	}
}

// Of 590,000 characters each comes 19,667 times, with a standard deviation of
// 138. Bytes taken modulo 30 would bring the first 16 characters an eighth more
// often than the others, some 17 deviations apart.
func TestRandomCharactersAreEquallyLikely(t *testing.T) {
	t.Parallel()
	source := mathrand.NewChaCha8([32]byte{1})
	const rounds, n = 2_950, 200
	counts := map[byte]int{}
	for range rounds {
		symbols, err := drawSymbols(source, n)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range symbols {
			counts[c]++
		}
	}
	mean := float64(rounds*n) / float64(len(Alphabet))
	for _, c := range []byte(Alphabet) {
		if off := math.Abs(float64(counts[c])-mean) / math.Sqrt(mean); off > 5 {
			t.Errorf("%c came %d times, %.1f deviations off the mean %.0f", c, counts[c], off, mean)
		}
	}
	if len(counts) != len(Alphabet) {
		t.Errorf("%d different characters, want %d", len(counts), len(Alphabet))
	}
}

type constant byte

func (c constant) Read(p []byte) (int, error) {
	copy(p, bytes.Repeat([]byte{byte(c)}, len(p)))
	return len(p), nil
}

func TestGenerateWithoutRandomnessFails(t *testing.T) {
	t.Parallel()
	p := mustPattern(t, DefaultPattern)
	for name, source := range map[string]io.Reader{
		"rejected bytes": constant(0xff),
		"failing":        iotest.ErrReader(io.ErrClosedPipe),
		"short":          bytes.NewReader([]byte{1, 2, 3}),
	} {
		if key, err := p.Generate(source); err == nil {
			t.Errorf("%s source gave %q", name, key)
		}
	}
	if _, err := p.Generate(iotest.ErrReader(io.ErrClosedPipe)); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("error %v hides its cause", err)
	}
	// A stuck source whose key always needs another check character must not
	// hang; one that happens to need a good one repeats itself.
	stuck := 0
	for b := range len(Alphabet) {
		key, err := p.Generate(constant(b))
		if errors.Is(err, errBrokenRandom) {
			stuck++
		} else if err != nil || !p.Valid(key) {
			t.Errorf("constant %d gave %q, %v", b, key, err)
		}
	}
	if stuck == 0 {
		t.Error("no constant source met the bound on draws")
	}
}

func TestEmulatorKeysAreMarked(t *testing.T) {
	t.Parallel()
	p := mustPattern(t, EmulatorPrefix+DefaultPattern)
	seen := map[string]bool{}
	for range 100 {
		key, err := Emulate(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(key, "TEST-") || !p.Valid(key) {
			t.Errorf("emulator key %q", key)
		}
		if seen[key] {
			t.Errorf("key %q came twice", key)
		}
		seen[key] = true
	}
	if _, err := Emulate(iotest.ErrReader(io.ErrClosedPipe)); err == nil {
		t.Error("no error without randomness")
	}
}

func FuzzParsePattern(f *testing.F) {
	for _, seed := range []string{
		DefaultPattern, "EDITOR-XXXXX-XXXXX-XXXXX-XXXXC", `OFFI\CE-XXXXXXXXXXXXXXXXXC`, "", "C", `\`, `\X`, "--", "XXXX", "ÄC",
		strings.Repeat("X", 199) + "C",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParsePattern(text)
		if err != nil {
			if p.Valid(text) || p.String() != "" {
				t.Fatal("a refused pattern is usable")
			}
			return
		}
		if p.Bits() < MinPatternBits {
			t.Fatalf("%q was accepted with %d bits", text, p.Bits())
		}
		again := mustPattern(t, p.String())
		key, err := p.Generate(mathrand.NewChaCha8([32]byte{7}))
		if err != nil {
			t.Fatal(err)
		}
		if !again.Valid(key) {
			t.Fatalf("%q does not take its own key %q", text, key)
		}
		if _, err := NormalizeKey(key); err != nil {
			t.Fatalf("key of %q: %v", text, err)
		}
	})
}
