package main

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// dotenvParser is a koanf.Parser for files of NAME=value lines, in the subset on which Docker, systemd and shells agree:
// comments, an optional "export", single quotes (literal) and double quotes (\\ \" \$ \n \r \t). Nothing is expanded: a $ in a password stays one.
//
// It exists because the common parsers expand $, accept NAME: value, take the last of two equal names, and quote the file in their errors; this file holds secrets.
type dotenvParser struct {
	// known maps the names that may appear to configuration keys.
	known map[string]string
	// lines is filled by Unmarshal: the line of each configuration key.
	lines map[string]int
}

var dotenvName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// Unmarshal returns the values by configuration key, without blank ones. Its error lists every wrong line by number and name, never by value.
func (p *dotenvParser) Unmarshal(file []byte) (map[string]any, error) {
	p.lines = map[string]int{}
	values := map[string]any{}
	firstLine := map[string]int{}
	var problems []error
	text := strings.TrimPrefix(string(file), "\ufeff")
	for i, line := range strings.Split(text, "\n") {
		number := i + 1
		name, value, err := parseDotenvLine(strings.TrimSpace(line))
		if err != nil {
			problems = append(problems, fmt.Errorf("line %d: %w", number, err))
			continue
		}
		if name == "" {
			continue
		}
		key, known := p.known[name]
		if !known {
			problems = append(problems, fmt.Errorf("line %d: unknown name %s, want one of those that `purser settings` lists", number, name))
			continue
		}
		if first := firstLine[name]; first != 0 {
			problems = append(problems, fmt.Errorf("line %d: %s is already on line %d", number, name, first))
			continue
		}
		firstLine[name] = number
		if value = strings.TrimSpace(value); value != "" {
			values[key], p.lines[key] = value, number
		}
	}
	return values, errors.Join(problems...)
}

// Marshal is the half of koanf.Parser that nothing here needs.
func (p *dotenvParser) Marshal(map[string]any) ([]byte, error) {
	return nil, errors.New("dotenv: writing is not supported")
}

// parseDotenvLine returns an empty name for a line that sets nothing.
func parseDotenvLine(line string) (name, value string, err error) {
	if line == "" || line[0] == '#' {
		return "", "", nil
	}
	if rest, ok := strings.CutPrefix(line, "export "); ok {
		line = strings.TrimSpace(rest)
	}
	name, value, found := strings.Cut(line, "=")
	if name = strings.TrimSpace(name); !found || !dotenvName.MatchString(name) {
		return "", "", errors.New("want NAME=value, a comment that begins with #, or nothing")
	}
	value, err = unquoteDotenv(strings.TrimSpace(value))
	if err != nil {
		return "", "", fmt.Errorf("%s: %w", name, err)
	}
	return name, value, nil
}

func unquoteDotenv(value string) (string, error) {
	switch {
	case strings.HasPrefix(value, "'"):
		literal, rest, closed := strings.Cut(value[1:], "'")
		return literal, checkQuoted(closed, rest)
	case strings.HasPrefix(value, `"`):
		return unescapeDotenv(value[1:])
	case strings.HasPrefix(value, "#"):
		return "", nil
	}
	for i := 1; i < len(value); i++ {
		if value[i] == '#' && (value[i-1] == ' ' || value[i-1] == '\t') {
			return strings.TrimSpace(value[:i]), nil
		}
	}
	return value, nil
}

func unescapeDotenv(value string) (string, error) {
	escapes := map[byte]byte{'\\': '\\', '"': '"', '$': '$', 'n': '\n', 'r': '\r', 't': '\t'}
	var b strings.Builder
	for i := 0; i < len(value); i++ {
		switch value[i] {
		case '"':
			return b.String(), checkQuoted(true, value[i+1:])
		case '\\':
			if i++; i == len(value) {
				return "", checkQuoted(false, "")
			}
			plain, ok := escapes[value[i]]
			if !ok {
				return "", errors.New(`unknown escape in double quotes, want one of \\ \" \$ \n \r \t, or single quotes`)
			}
			b.WriteByte(plain)
		default:
			b.WriteByte(value[i])
		}
	}
	return "", checkQuoted(false, "")
}

func checkQuoted(closed bool, rest string) error {
	if !closed {
		return errors.New("the quote is not closed on its line")
	}
	if rest = strings.TrimSpace(rest); rest != "" && rest[0] != '#' {
		return errors.New("text behind the closing quote")
	}
	return nil
}
