package license

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"unicode/utf8"
)

const (
	// Alphabet holds the characters that a random or check position of a key may
	// take: digits and capitals without 0 and O, 1 and I and L, and without U.
	Alphabet = "23456789ABCDEFGHJKMNPQRSTVWXYZ"

	// DefaultPattern is the pattern of a product that has none of its own. Its
	// keys have 92 random bits.
	DefaultPattern = "XXXXX-XXXXX-XXXXX-XXXXC"

	// MinPatternBits is how many random bits the keys of a pattern have at
	// least, so that guessing one of a billion sold keys takes 2^50 tries.
	MinPatternBits = 80

	// MaxPatternLength is the longest pattern, in bytes.
	MaxPatternLength = 200
)

const (
	separator = '-'
	// maxDraws bounds how often Generate draws again. A sound source needs more
	// than this many draws once in 10^46 keys.
	maxDraws = 64
)

var errBrokenRandom = errors.New("license: the random source repeats itself")

// Pattern is the shape of the keys of one product. The zero Pattern is not
// usable; make one with [ParsePattern].
type Pattern struct {
	text      string
	positions []position
	random    int
}

// position is one character of a key.
type position struct {
	kind    positionKind
	literal byte // set for literals and separators
}

type positionKind uint8

const (
	literalPosition positionKind = iota
	randomPosition
	checkPosition
)

// ParsePattern reads a pattern such as EDITOR-XXXXX-XXXXX-XXXXX-XXXXC:
//
//	X       a random character of [Alphabet]
//	C       the check character, exactly one, the pattern's last character
//	-       separates groups; groups are never empty
//	A–Z 0–9 (other than X and C) stand for themselves
//	\X \C   stand for the letters X and C: OFFI\CE-…
//
// The check character is the one of ISO/IEC 7064 MOD 37-2 over all letters and
// digits before it, literal ones included, without the separators; any
// implementation of the standard verifies it.
//
// A pattern whose keys have fewer than [MinPatternBits] random bits is refused.
// Error texts are made to be shown beside the pattern's field: they complete
// the sentence "pattern …".
func ParsePattern(pattern string) (Pattern, error) {
	if len(pattern) > MaxPatternLength {
		return Pattern{}, fmt.Errorf("has %d characters, at most %d are allowed", len(pattern), MaxPatternLength)
	}
	p := Pattern{text: pattern}
	for i := 0; i < len(pattern); i++ {
		switch c := pattern[i]; {
		case c == 'X':
			p.positions = append(p.positions, position{kind: randomPosition})
			p.random++
		case c == 'C':
			if i != len(pattern)-1 {
				return Pattern{}, fmt.Errorf(`has the check character C at position %d, it must be the last one (write \C for the letter C)`, i+1)
			}
			p.positions = append(p.positions, position{kind: checkPosition})
		case c == '\\':
			i++
			if i == len(pattern) || (pattern[i] != 'X' && pattern[i] != 'C') {
				return Pattern{}, fmt.Errorf(`has a \ at position %d that is not followed by X or C`, i)
			}
			p.positions = append(p.positions, position{literal: pattern[i]})
		case c == separator:
			if i == 0 || i == len(pattern)-1 || pattern[i-1] == separator {
				return Pattern{}, fmt.Errorf("has an empty group at position %d", i+1)
			}
			p.positions = append(p.positions, position{literal: c})
		case c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
			p.positions = append(p.positions, position{literal: c})
		default:
			r, _ := utf8.DecodeRuneInString(pattern[i:])
			return Pattern{}, fmt.Errorf("has %q at position %d, only A-Z, 0-9, - and \\ are allowed", r, i+1)
		}
	}
	if n := len(p.positions); n == 0 || p.positions[n-1].kind != checkPosition {
		return Pattern{}, errors.New("must end in the check character C")
	}
	if p.Bits() < MinPatternBits {
		return Pattern{}, fmt.Errorf("has %d random bits (X %d times), at least %d are needed (X %d times)",
			p.Bits(), p.random, MinPatternBits, minRandomPositions())
	}
	return p, nil
}

// Bits returns how many random bits a key of the pattern has, rounded down.
func (p Pattern) Bits() int { return patternBits(p.random) }

// patternBits rates n random positions. Keys whose check character falls outside
// Alphabet are drawn again, which leaves 30 of 37 keys.
func patternBits(n int) int {
	size := float64(len(Alphabet))
	bits := float64(n)*math.Log2(size) + math.Log2(size/float64(checkModulus))
	return max(0, int(bits))
}

func minRandomPositions() int {
	n := 0
	for patternBits(n) < MinPatternBits {
		n++
	}
	return n
}

// String returns the pattern as it was parsed.
func (p Pattern) String() string { return p.text }

// Generate draws a key, every valid key of the pattern being equally likely. It
// fails only when rand fails or is not random.
func (p Pattern) Generate(rand io.Reader) (string, error) {
	if p.text == "" {
		return "", errors.New("license: generate from the zero Pattern")
	}
	for range maxDraws {
		symbols, err := drawSymbols(rand, p.random)
		if err != nil {
			return "", err
		}
		var key strings.Builder
		for _, pos := range p.positions[:len(p.positions)-1] {
			if pos.kind == randomPosition {
				key.WriteByte(symbols[0])
				symbols = symbols[1:]
				continue
			}
			key.WriteByte(pos.literal)
		}
		check := checkCharacter(key.String())
		// MOD 37-2 has check characters that look alike or are no letters.
		// Drawing the whole key again keeps the others equally likely.
		if strings.IndexByte(Alphabet, check) < 0 {
			continue
		}
		key.WriteByte(check)
		return key.String(), nil
	}
	return "", errBrokenRandom
}

// drawSymbols returns n independent, equally likely characters of Alphabet.
func drawSymbols(rand io.Reader, n int) ([]byte, error) {
	// Bytes from the incomplete last multiple of the alphabet's size are thrown
	// away: taken modulo the size they would favour its first characters.
	const limit = 256 - 256%len(Alphabet)
	symbols := make([]byte, 0, n)
	for range maxDraws {
		draw := make([]byte, n-len(symbols))
		if _, err := io.ReadFull(rand, draw); err != nil {
			return nil, fmt.Errorf("license: read random bytes: %w", err)
		}
		for _, b := range draw {
			if int(b) < limit {
				symbols = append(symbols, Alphabet[int(b)%len(Alphabet)])
			}
		}
		if len(symbols) == n {
			return symbols, nil
		}
	}
	return nil, errBrokenRandom
}

// Valid reports whether key has the pattern's shape and the right check
// character. It is exact: lower-case letters, spaces and missing separators make
// a key invalid. A valid key need not have been sold.
func (p Pattern) Valid(key string) bool {
	if p.text == "" || len(key) != len(p.positions) {
		return false
	}
	for i, pos := range p.positions {
		switch pos.kind {
		case literalPosition:
			if key[i] != pos.literal {
				return false
			}
		case randomPosition, checkPosition:
			if strings.IndexByte(Alphabet, key[i]) < 0 {
				return false
			}
		}
	}
	return checkSum(key) == 1
}
