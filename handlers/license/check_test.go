package license

import "testing"

// The first two are the donation numbers of the ISBT 128 standard (ICCBBA),
// whose keyboard-entry check character is MOD 37-2.
func TestCheckCharacterMatchesPublishedNumbers(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]byte{
		"G123489654321":   'Y',
		"A999915000001":   'M',
		"G1234-89-654321": 'Y', // separators do not count
	} {
		if got := checkCharacter(text); got != want {
			t.Errorf("check character of %s is %c, want %c", text, got, want)
		}
		if got := checkSum(text + string(want)); got != 1 {
			t.Errorf("sum of %s%c is %d, want 1", text, want, got)
		}
	}
}

// Exhaustive where the property tests sample: each pair of characters at each
// distance from the end that a key can have.
func TestCheckSumSeesEverySubstitutionAndSwap(t *testing.T) {
	t.Parallel()
	body := []byte("0000000000000000000000000000000000000000")
	for at := range len(body) - 1 {
		for i := range checkModulus {
			for j := range checkModulus {
				if i == j {
					continue
				}
				was, swapped, replaced := [40]byte(body), [40]byte(body), [40]byte(body)
				was[at], was[at+1] = checkAlphabet[i], checkAlphabet[j]
				swapped[at], swapped[at+1] = checkAlphabet[j], checkAlphabet[i]
				replaced[at], replaced[at+1] = checkAlphabet[j], checkAlphabet[j]
				sum := checkSum(string(was[:]))
				if sum == checkSum(string(swapped[:])) {
					t.Fatalf("swap of %c and %c at %d goes unseen", checkAlphabet[i], checkAlphabet[j], at)
				}
				if sum == checkSum(string(replaced[:])) {
					t.Fatalf("%c instead of %c at %d goes unseen", checkAlphabet[j], checkAlphabet[i], at)
				}
			}
		}
	}
}
