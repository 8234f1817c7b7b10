package api

import (
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestCheckJSONRefuses(t *testing.T) {
	t.Parallel()
	nested := func(n int) string { return strings.Repeat(`{"a":`, n) + "1" + strings.Repeat("}", n) }
	for name, tc := range map[string]struct {
		body   string
		code   code
		fields string
	}{
		"nothing closed":        {`{"a":1`, codeMalformed, ""},
		"two values":            {`{} {}`, codeMalformed, ""},
		"single quotes":         {`{'a':1}`, codeMalformed, ""},
		"a comment":             {`{"a":1 /* x */}`, codeMalformed, ""},
		"NaN":                   {`{"a":NaN}`, codeMalformed, ""},
		"a byte order mark":     {"\ufeff{}", codeMalformed, ""},
		"Latin-1":               {"{\"a\":\"\xe9\"}", codeMalformed, ""},
		"a tower of objects":    {nested(maxDepth + 1), codeMalformed, ""},
		"a tower of arrays":     {strings.Repeat("[", 9000) + strings.Repeat("]", 9000), codeMalformed, ""},
		"beyond Go's own depth": {strings.Repeat("[", 20000) + strings.Repeat("]", 20000), codeMalformed, ""},
		"NUL in a value":        {`{"a":{"b":["x","y\u0000"]}}`, codeInvalid, "a.b[1]"},
		"NUL in a name":         {`{"a\u0000b":1}`, codeInvalid, "a�b"},
		"a member twice":        {`{"a":1,"b":{"c":1,"c":2}}`, codeInvalid, "b.c"},
		"twice by an escape":    {`{"ab":1,"a\u0062":2}`, codeInvalid, "ab"},
		"a number too large":    {`{"a":[1e400]}`, codeInvalid, "a[0]"},
		"a number too long":     {`{"a":1` + strings.Repeat("0", 70) + `}`, codeInvalid, "a"},
		"several":               {`{"b":1e999,"a":"\u0000"}`, codeInvalid, "a b"},
		"the whole body":        {`"\u0000"`, codeInvalid, "body"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := checkJSON([]byte(tc.body))
			var p *Problem
			if !errors.As(err, &p) || p.Code != string(tc.code) {
				t.Fatalf("got %v, want %s", err, tc.code)
			}
			var fields []string
			for _, f := range p.Errors {
				fields = append(fields, f.Field)
			}
			if got := strings.Join(fields, " "); got != tc.fields {
				t.Errorf("fields %q, want %q", got, tc.fields)
			}
		})
	}
}

func TestCheckJSONKeepsValues(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{}`:     `{}`,
		" [ ]\n": " [ ]\n",
		`{"a":2.0,"b":[2e0, 20E-1,-0.0],"c":9007199254740993}`:        `{"a":2,"b":[2, 2,0],"c":9007199254740993}`,
		`{"a":2.5,"b":1e300,"c":"1e3"}`:                               `{"a":2.5,"b":1e300,"c":"1e3"}`,
		`{"a":{},"b":[],"c":[{},[]],"d":null,"e":true,"f":false}`:     `{"a":{},"b":[],"c":[{},[]],"d":null,"e":true,"f":false}`,
		`{"q\"\\":"a\\\"b\n","u":"\ud83d\ude00"}`:                     `{"q\"\\":"a\\\"b\n","u":"\ud83d\ude00"}`,
		strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth): strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth),
	} {
		got, err := checkJSON([]byte(body))
		if err != nil || string(got) != want {
			t.Errorf("%s became %s, %v; want %s", body, got, err, want)
		}
	}
}

func TestCheckJSONNamesFewFields(t *testing.T) {
	t.Parallel()
	_, err := checkJSON([]byte(`{"a":[` + strings.TrimSuffix(strings.Repeat(`"\u0000",`, 10_000), ",") + `]}`))
	var p *Problem
	if !errors.As(err, &p) || len(p.Errors) != maxFieldErrors {
		t.Errorf("got %d fields", len(p.Errors))
	}
}

// FuzzCheckJSON: whatever it lets through means the same afterwards, and neither it nor Huma's reader panics.
func FuzzCheckJSON(f *testing.F) {
	for _, seed := range []string{`{"a":[1,2.0,"x\u0000"],"a":null}`, `{"a.b":{"c[":1e5}}`, `[[[]]]`, `1e2`, `"\u12"`, `-`, ` `, "\xff", `{"a":-0}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		before := strings.Clone(string(body))
		got, err := checkJSON(body)
		if string(body) != before {
			t.Fatalf("%q was changed in place", before)
		}
		if err != nil {
			return
		}
		var was, is, loose any
		if !utf8.Valid(body) || json.Unmarshal(body, &was) != nil {
			t.Fatalf("%q was let through", body)
		}
		if err := json.Unmarshal(got, &is); err != nil || !reflect.DeepEqual(was, is) {
			t.Fatalf("%q became %q", body, got)
		}
		if err := jsonFormat.Unmarshal(got, &loose); err != nil {
			t.Fatalf("%q: %v", got, err)
		}
		if f, ok := is.(float64); ok && math.IsInf(f, 0) {
			t.Fatalf("%q is infinite", got)
		}
	})
}
