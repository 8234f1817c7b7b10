package license

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// LineError says what is wrong with one line of an upload, without repeating the
// key that is on it.
type LineError struct {
	// Line counts from 1 and includes blank lines, as editors do. It is 0 when
	// the upload as a whole is refused.
	Line    int
	Message string
}

// Error returns the line number, if there is one, and the message.
func (e LineError) Error() string {
	if e.Line == 0 {
		return e.Message
	}
	return fmt.Sprintf("line %d %s", e.Line, e.Message)
}

// NormalizeKeys splits an uploaded text into licence keys, one a line, in the
// order of their first appearance. Lines end in LF or CRLF; a byte order mark,
// blank lines and white space around a key are dropped; a key that stood above
// already is left out and counted in duplicates. Keys are otherwise taken as
// they are, case included.
//
// The whole upload is refused with a [LineError] when a line fails
// [NormalizeKey], or when more than maxKeys lines hold a key, repeated ones
// included. An upload without any key gives none and no error.
func NormalizeKeys(text string, maxKeys int) (keys []string, duplicates int, err error) {
	seen := make(map[string]struct{})
	line := 0
	for raw := range strings.Lines(strings.TrimPrefix(text, "\uFEFF")) {
		line++
		if strings.TrimSpace(raw) == "" {
			continue
		}
		key, err := NormalizeKey(raw)
		if err != nil {
			return nil, 0, LineError{Line: line, Message: err.Error()}
		}
		if len(keys)+duplicates == maxKeys {
			return nil, 0, LineError{Message: fmt.Sprintf("holds more than %d keys", maxKeys)}
		}
		if _, ok := seen[key]; ok {
			duplicates++
			continue
		}
		seen[key] = struct{}{}
		keys = append(keys, key)
	}
	return keys, duplicates, nil
}

// NormalizeKey trims white space around one key and refuses it when it is empty,
// longer than [MaxKeyLength] or not UTF-8, or when it has control or other
// invisible characters in it, which a customer could not type. Error texts
// complete the sentence "line 7 …" and never repeat the key.
func NormalizeKey(key string) (string, error) {
	key = strings.TrimSpace(key)
	switch {
	case key == "":
		return "", errors.New("is empty")
	case len(key) > MaxKeyLength:
		return "", fmt.Errorf("is longer than %d bytes", MaxKeyLength)
	case !utf8.ValidString(key):
		return "", errors.New("is not UTF-8")
	}
	for _, r := range key {
		if unicode.IsControl(r) {
			return "", errors.New("has a control character in it")
		}
		if !unicode.IsPrint(r) {
			return "", errors.New("has an invisible character in it")
		}
	}
	return key, nil
}
