package license

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// KeyTag must occur in a merchant's own licence email text; the keys take its
// place.
const KeyTag = "{KEY}"

const (
	// MaxEmailText is the longest email_text, in bytes.
	MaxEmailText = 20_000
	// MaxLowThreshold is the highest low_threshold, in keys.
	MaxLowThreshold = 1_000_000
)

// Settings is the "license" object of a product, read and checked. Fields of
// other methods than its own have their zero value.
type Settings struct {
	Method string
	// EmailText is the merchant's own text of the licence email; empty for the
	// built-in one. All methods.
	EmailText string
	// LowThreshold is the number of keys left in the pool at which the merchant
	// is told; nil while that is switched off. Method pool.
	LowThreshold *int
	// Pattern is the shape of the keys. Method template.
	Pattern Pattern
	// LicensedTo says that keys carry the customer's name. Method signed.
	LicensedTo bool
}

// setting is one field of the "license" object. read gets a value that is not
// null; its error completes the sentence "license.name …".
type setting struct {
	name string
	read func(*Settings, json.RawMessage) error
}

// commonSettings are those that every method has.
var commonSettings = []setting{{"email_text", readEmailText}}

// methods is every method with the settings of its own.
var methods = []struct {
	name     string
	settings []setting
}{
	{MethodPool, []setting{{"low_threshold", readLowThreshold}}},
	{MethodTemplate, []setting{{"pattern", readPattern}}},
	{MethodSigned, []setting{{"licensed_to", readLicensedTo}}},
	{MethodEmulator, nil},
}

// Methods returns the names of all methods.
func Methods() []string {
	names := make([]string, len(methods))
	for i, m := range methods {
		names[i] = m.name
	}
	return names
}

// ParseSettings reads the settings of a product with the given method. Nothing,
// null, and a field that is null stand for the defaults; a field that the method
// does not have is refused, so that a typo is seen.
//
// The error is a [FieldErrors] that names every wrong field as the API does:
// license_method, license, license.pattern.
func ParseSettings(method string, raw json.RawMessage) (Settings, error) {
	known, ok := settingsOf(method)
	if !ok {
		return Settings{}, FieldErrors{{"license_method", "must be one of " + strings.Join(Methods(), ", ")}}
	}
	settings := Settings{Method: method}
	if method == MethodTemplate {
		pattern, err := ParsePattern(DefaultPattern)
		if err != nil {
			return Settings{}, err
		}
		settings.Pattern = pattern
	}
	var fields map[string]json.RawMessage
	if len(bytes.TrimSpace(raw)) > 0 {
		if err := json.Unmarshal(raw, &fields); err != nil {
			return Settings{}, FieldErrors{{"license", "must be a JSON object"}}
		}
	}
	var wrong FieldErrors
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		i := slices.IndexFunc(known, func(s setting) bool { return s.name == name })
		if i < 0 {
			wrong = append(wrong, FieldError{"license." + name, unknownSetting(method, known)})
			continue
		}
		if string(fields[name]) == "null" {
			continue
		}
		if err := known[i].read(&settings, fields[name]); err != nil {
			wrong = append(wrong, FieldError{"license." + name, err.Error()})
		}
	}
	if len(wrong) > 0 {
		return Settings{}, wrong
	}
	return settings, nil
}

func settingsOf(method string) ([]setting, bool) {
	for _, m := range methods {
		if m.name == method {
			return slices.Concat(m.settings, commonSettings), true
		}
	}
	return nil, false
}

func unknownSetting(method string, known []setting) string {
	names := make([]string, len(known))
	for i, s := range known {
		names[i] = s.name
	}
	return fmt.Sprintf("is not a setting of the method %s, which has %s", method, strings.Join(names, ", "))
}

// MarshalJSON returns the settings as [ParseSettings] reads them, with the
// defaults filled in.
func (s Settings) MarshalJSON() ([]byte, error) {
	fields := map[string]any{"email_text": nil}
	if s.EmailText != "" {
		fields["email_text"] = s.EmailText
	}
	switch s.Method {
	case MethodPool:
		fields["low_threshold"] = s.LowThreshold
	case MethodTemplate:
		fields["pattern"] = s.Pattern.String()
	case MethodSigned:
		fields["licensed_to"] = s.LicensedTo
	}
	return json.Marshal(fields)
}

func readEmailText(s *Settings, raw json.RawMessage) error {
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return errors.New("must be a string")
	}
	switch {
	case strings.TrimSpace(text) == "":
		return nil // the built-in text
	case len(text) > MaxEmailText:
		return fmt.Errorf("must have at most %d bytes", MaxEmailText)
	case !utf8.ValidString(text) || strings.ContainsRune(text, 0):
		return errors.New("must be text without NUL characters")
	case !strings.Contains(text, KeyTag):
		return errors.New("must contain the tag " + KeyTag)
	}
	s.EmailText = text
	return nil
}

func readLowThreshold(s *Settings, raw json.RawMessage) error {
	var threshold int
	if err := json.Unmarshal(raw, &threshold); err != nil || threshold < 0 || threshold > MaxLowThreshold {
		return fmt.Errorf("must be null or an integer from 0 to %d", MaxLowThreshold)
	}
	s.LowThreshold = &threshold
	return nil
}

func readPattern(s *Settings, raw json.RawMessage) error {
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return errors.New("must be a string")
	}
	pattern, err := ParsePattern(text)
	if err != nil {
		return err
	}
	s.Pattern = pattern
	return nil
}

func readLicensedTo(s *Settings, raw json.RawMessage) error {
	if err := json.Unmarshal(raw, &s.LicensedTo); err != nil {
		return errors.New("must be true or false")
	}
	return nil
}
