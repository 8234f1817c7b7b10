package license

import "io"

// EmulatorPrefix begins every key of the emulator method, so that nobody takes a
// test licence for a sold one.
const EmulatorPrefix = "TEST-"

// Emulate returns a random key for the emulator method: [EmulatorPrefix] and the
// shape of [DefaultPattern], check character included. It fails only when rand
// fails.
func Emulate(rand io.Reader) (string, error) {
	pattern, err := ParsePattern(EmulatorPrefix + DefaultPattern)
	if err != nil {
		return "", err
	}
	return pattern.Generate(rand)
}
