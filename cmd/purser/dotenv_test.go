package main

import (
	"maps"
	"strings"
	"testing"
)

func TestDotenvReads(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, file, want string }{
		{"plain", "A=x", "x"},
		{"spaces around", "  A =  x y  ", "x y"},
		{"export", "export A=x", "x"},
		{"windows line ends", "# c\r\nA=x\r\n\r\n", "x"},
		{"comment behind", "A=x # c", "x"},
		{"a hash inside is no comment", "A=x#c", "x#c"},
		{"only a comment", "A= # c", ""},
		{"equals signs", "A=redis://h?a=b", "redis://h?a=b"},
		{"a dollar stays", "A=pa$HOME${B}", "pa$HOME${B}"},
		{"single quotes are literal", `A='x # \n $B "'`, `x # \n $B "`},
		{"double quotes", `A="x # \"\\\$ $B" # c`, `x # "\$ $B`},
		{"blank", "A=", ""},
		{"blank in quotes", `A="  "`, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			parser := &dotenvParser{known: map[string]string{"A": "a"}}
			got, err := parser.Unmarshal([]byte("\ufeff# behind a byte order mark\n\n" + tt.file + "\n"))
			if err != nil {
				t.Fatal(err)
			}
			want := map[string]any{}
			if tt.want != "" {
				want["a"] = tt.want
			}
			if !maps.Equal(got, want) {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
}

func TestDotenvRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, file, want string }{
		{"unknown name", "B=hush", "line 2: unknown name B, want one of"},
		{"no value", "A hush", "line 2: want NAME=value"},
		{"another language", "A: hush", "line 2: want NAME=value"},
		{"secret before the sign", "A hush=1", "line 2: want NAME=value"},
		{"twice", "A=hush\nA=hush2", "line 3: A is already on line 2"},
		{"twice, blank first", "A=\nA=hush2", "line 3: A is already on line 2"},
		{"open double quote", `A="hush`, "line 2: A: the quote is not closed"},
		{"open double quote behind a backslash", `A="hush\`, "line 2: A: the quote is not closed"},
		{"open single quote", `A='hush`, "line 2: A: the quote is not closed"},
		{"text behind a quote", `A="hush"hush`, "line 2: A: text behind"},
		{"unknown escape", `A="hu\sh"`, "line 2: A: unknown escape"},
		{"all at once", "B=hush\n\nC=hush", "line 4: unknown name C"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			parser := &dotenvParser{known: map[string]string{"A": "a"}}
			_, err := parser.Unmarshal([]byte("# first\n" + tt.file))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got error %v, want %q", err, tt.want)
			}
			if strings.Contains(err.Error(), "hush") {
				t.Errorf("the error quotes the file: %v", err)
			}
		})
	}
}
