package license

import "strings"

// The check character follows ISO/IEC 7064:2003, MOD 37-2: a pure system over
// digits and capital letters with the supplementary check character '*'. The
// modulus is prime and neighbouring positions have different weights (powers of
// two), so every single substitution and every transposition of neighbours
// changes the sum. Luhn mod N was not chosen because it misses the swap of the
// alphabet's first and last character.
const (
	checkAlphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ*"
	checkModulus  = len(checkAlphabet)
)

// checkSum returns the weighted sum of text modulo 37, which is 1 for text that
// ends in its right check character. Separators do not take part.
func checkSum(text string) int {
	sum := 0
	for i := range len(text) {
		if text[i] == separator {
			continue
		}
		sum = (2*sum + strings.IndexByte(checkAlphabet, text[i])) % checkModulus
	}
	return sum
}

// checkCharacter returns the character that makes the sum of text and itself 1.
func checkCharacter(text string) byte {
	return checkAlphabet[(1-2*checkSum(text)+2*checkModulus)%checkModulus]
}
