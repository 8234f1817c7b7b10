package main

import (
	"strings"
	"testing"
)

// A file of settings is read or refused by line and name, and its secrets are in no error.
func FuzzDotenv(f *testing.F) {
	f.Add("A=1\n# comment\nexport B='two words'\nC=\"x\\n\\$\"\n")
	f.Add("A='s3cr3t-value\nB")
	f.Add("\ufeffA=s3cr3t-value\nA=s3cr3t-value")
	f.Fuzz(func(t *testing.T, file string) {
		p := &dotenvParser{known: map[string]string{"A": "a", "B": "b", "C": "c"}}
		values, err := p.Unmarshal([]byte(file))
		if err != nil && strings.Contains(file, "=s3cr3t-value") && strings.Contains(err.Error(), "s3cr3t-value") {
			t.Fatalf("the error tells: %v", err)
		}
		for key, v := range values {
			if text, ok := v.(string); !ok || text == "" || p.lines[key] == 0 {
				t.Fatalf("%q gives %s = %q of line %d", file, key, v, p.lines[key])
			}
		}
	})
}

// Every setting takes or refuses any text; what it takes it takes again, and what is secret is in no error.
func FuzzSettings(f *testing.F) {
	for _, s := range settingsTable(nil) {
		f.Add(s.name, s.value)
		f.Add(s.name, "postgres://u:s3cr3t-value@h/db")
		f.Add(s.name, "redis-sentinel://u:s3cr3t-value@h:1,h:2/x?a=b")
		f.Add(s.name, "127.0.0.0/8,::1/128")
		f.Add(s.name, "1h2m\x00")
	}
	f.Fuzz(func(t *testing.T, name, value string) {
		_, err := loadSettings(settingsSources{env: []string{name + "=" + value}, dir: t.TempDir()})
		if err != nil && strings.HasSuffix(name, "_URL") && strings.Contains(value, ":s3cr3t-value@") && strings.Contains(err.Error(), "s3cr3t-value") {
			t.Fatalf("%s: the error tells: %v", name, err)
		}
	})
}
