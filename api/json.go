package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"github.com/purser-dev/purser/models"
)

// The bounds of a JSON body, beyond which no operation needs to look.
const (
	maxDepth  = 32
	maxDigits = 64 // of a number's text
)

// checkJSON refuses bodies that Go's decoder would take without a word, or that no database would: members that are given twice,
// NUL characters, numbers that no integer or float holds, towers of brackets. It returns the body with every whole number
// written as such, because 2.0 and 2e0 are integers in JSON but not for Go's decoder.
func checkJSON(body []byte) ([]byte, error) {
	if !utf8.Valid(body) {
		return nil, newProblem(codeMalformed, "The body is not valid UTF-8.")
	}
	if !json.Valid(body) {
		return nil, newProblem(codeMalformed, syntaxDetail(body))
	}
	s := scanner{in: body}
	if s.value("", 0); s.deep {
		return nil, newProblem(codeMalformed, fmt.Sprintf("The body is nested more than %d deep.", maxDepth))
	}
	if len(s.wrong) > 0 {
		return nil, withFields(codeInvalid, "", sorted(s.wrong))
	}
	if s.out == nil {
		return body, nil
	}
	return append(s.out, body[s.copied:]...), nil
}

func syntaxDetail(body []byte) string {
	var v any
	var syntax *json.SyntaxError
	if err := json.Unmarshal(body, &v); errors.As(err, &syntax) {
		return fmt.Sprintf("The body is not valid JSON; byte %d is not what was expected.", syntax.Offset)
	}
	return "The body is not valid JSON."
}

// scanner walks over JSON that is known to be valid.
type scanner struct {
	in     []byte
	at     int
	wrong  []models.FieldError
	deep   bool
	out    []byte // the body rewritten up to copied; nil while nothing had to be
	copied int
}

func (s *scanner) refuse(path, message string) {
	if path == "" {
		path = "body"
	}
	if len(s.wrong) < maxFieldErrors {
		s.wrong = append(s.wrong, models.FieldError{Field: path, Message: message})
	}
}

// next skips white space and returns the character that follows, without taking it.
func (s *scanner) next() byte {
	for s.in[s.at] == ' ' || s.in[s.at] == '\t' || s.in[s.at] == '\n' || s.in[s.at] == '\r' {
		s.at++
	}
	return s.in[s.at]
}

func (s *scanner) value(path string, depth int) {
	if depth > maxDepth {
		s.deep = true
	}
	if s.deep {
		return
	}
	switch c := s.next(); c {
	case '{':
		s.object(path, depth)
	case '[':
		s.array(path, depth)
	case '"':
		if strings.ContainsRune(s.text(), 0) {
			s.refuse(path, "must not have NUL characters")
		}
	case 't', 'n':
		s.at += len("true") // or null
	case 'f':
		s.at += len("false")
	default:
		s.number(path)
	}
}

func (s *scanner) object(path string, depth int) {
	seen := map[string]bool{}
	for s.at++; s.next() != '}'; {
		if s.in[s.at] == ',' {
			s.at++
			s.next()
		}
		name := s.text()
		field := printable(name)
		if path != "" {
			field = path + "." + field
		}
		if strings.ContainsRune(name, 0) {
			s.refuse(field, "must not have NUL characters in its name")
		}
		if seen[name] {
			s.refuse(field, "must be given once")
		}
		seen[name] = true
		s.next()
		s.at++ // the colon
		s.value(field, depth+1)
		if s.deep {
			return
		}
	}
	s.at++
}

func (s *scanner) array(path string, depth int) {
	s.at++
	for i := 0; s.next() != ']'; i++ {
		if s.in[s.at] == ',' {
			s.at++
		}
		s.value(path+"["+strconv.Itoa(i)+"]", depth+1)
		if s.deep {
			return
		}
	}
	s.at++
}

// text takes a string and returns it decoded.
func (s *scanner) text() string {
	start, escaped := s.at, false
	for s.at++; s.in[s.at] != '"'; s.at++ {
		if s.in[s.at] == '\\' {
			escaped = true
			s.at++
		}
	}
	s.at++
	if !escaped {
		return string(s.in[start+1 : s.at-1])
	}
	var v string
	_ = json.Unmarshal(s.in[start:s.at], &v) // valid, like all of the input
	return v
}

func (s *scanner) number(path string) {
	start := s.at
	for s.at < len(s.in) && strings.IndexByte("+-.0123456789eE", s.in[s.at]) >= 0 {
		s.at++
	}
	text := string(s.in[start:s.at])
	f, err := strconv.ParseFloat(text, 64)
	switch {
	case len(text) > maxDigits:
		s.refuse(path, fmt.Sprintf("must be a number of at most %d characters", maxDigits))
	case err != nil:
		s.refuse(path, "must be a number that is not as large")
	case strings.ContainsAny(text, ".eE") && f == math.Trunc(f) && math.Abs(f) < 1<<53:
		s.out = append(s.out, s.in[s.copied:start]...)
		s.out = strconv.AppendInt(s.out, int64(f), 10)
		s.copied = s.at
	}
}

// jsonFormat is how Huma reads and writes JSON.
var jsonFormat = huma.Format{
	Marshal: func(w io.Writer, v any) error {
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		return enc.Encode(v)
	},
	Unmarshal: func(data []byte, v any) error {
		if loose, ok := v.(*any); ok {
			err := json.Unmarshal(data, loose)
			*loose = hideDots(*loose)
			return err
		}
		err := json.NewDecoder(bytes.NewReader(data)).Decode(v)
		var wrong *json.UnmarshalTypeError
		if errors.As(err, &wrong) {
			return errors.New(fieldMark + wrong.Field + fieldMark + "must not be a " + wrong.Value)
		}
		return err
	},
}

// hideDots replaces dots and brackets in member names, which Huma's paths would take for their own. fieldOf brings them back.
func hideDots(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for name, member := range v {
			hidden := dotHider.Replace(name)
			if hidden != name {
				delete(v, name)
			}
			v[hidden] = hideDots(member)
		}
	case []any:
		for i := range v {
			v[i] = hideDots(v[i])
		}
	}
	return v
}

// Private-use characters, so that no name can have them by accident; one that does is shown with a dot.
var (
	dotHider = strings.NewReplacer(".", "\uf8e0", "[", "\uf8e1")
	dotShow  = strings.NewReplacer("\uf8e0", ".", "\uf8e1", "[")
)
