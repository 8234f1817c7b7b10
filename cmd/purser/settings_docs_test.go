package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write .env.example and the settings table of the README anew")

const (
	envExamplePath = "../../.env.example"
	readmePath     = "../../README.md"
)

// TestEnvExampleIsCurrent keeps .env.example equal to the settings table; -update writes it anew.
func TestEnvExampleIsCurrent(t *testing.T) {
	t.Parallel()
	var want bytes.Buffer
	if err := writeEnvExample(&want); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(envExamplePath, want.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(envExamplePath)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want.Bytes()) {
		t.Errorf(".env.example is not what the settings table says; run go test ./cmd/purser -run Current -update")
	}
}

// TestReadmeTableIsCurrent keeps the README's table equal to the settings table; -update writes it anew.
func TestReadmeTableIsCurrent(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile(readmePath)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begins := strings.Cut(string(readme), settingsTableBegin)
	_, after, ends := strings.Cut(rest, settingsTableEnd)
	if !begins || !ends {
		t.Fatalf("README.md has no settings table; put these two lines where it belongs and run go test ./cmd/purser -run Current -update:\n%s%s", settingsTableBegin, settingsTableEnd)
	}
	var table bytes.Buffer
	if err := writeSettingsMarkdown(&table); err != nil {
		t.Fatal(err)
	}
	want := before + settingsTableBegin + table.String() + settingsTableEnd + after
	if *update {
		if err := os.WriteFile(readmePath, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if string(readme) != want {
		t.Errorf("the settings table of README.md is not current; run go test ./cmd/purser -run Current -update")
	}
}

// TestEnvExampleWorks copies the example as people do: as it is, and with every line uncommented.
func TestEnvExampleWorks(t *testing.T) {
	t.Parallel()
	var example bytes.Buffer
	if err := writeEnvExample(&example); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "as-is.env"), example.String())
	s, err := load(t, settingsSources{dir: dir, envFile: "as-is.env"})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range s.origins {
		if o.source != "default" && o.source != "derived" {
			t.Errorf("the example as it is sets %s", o.name)
		}
	}
	uncommented := regexp.MustCompile(`(?m)^#(PURSER_)`).ReplaceAllString(example.String(), "$1")
	writeFile(t, filepath.Join(dir, "uncommented.env"), uncommented)
	if s, err = load(t, settingsSources{dir: dir, envFile: "uncommented.env"}); err != nil {
		t.Fatal(err)
	}
	if s.EmbeddedDatabase() || s.EmbeddedRedis() || !s.SMTPURL.IsSet() || s.ShutdownTimeout.Seconds() != 30 {
		t.Errorf("the examples were not read: %+v", s)
	}
	if s.SecretKey.IsSet() {
		t.Error("an example of a key would be used by somebody")
	}
}

// TestSettingsTable checks what every row must have for the documentation to be whole.
func TestSettingsTable(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, s := range settingsTable(nil) {
		if !strings.HasPrefix(s.name, envPrefix) || seen[s.name] {
			t.Errorf("%s: wrong or repeated name", s.name)
		}
		seen[s.name] = true
		if (s.value == "") == (s.absent == "") {
			t.Errorf("%s: want a default or what happens without, and not both", s.name)
		}
		if s.kind == "" || s.want == "" || s.help == "" || s.roles == 0 || s.parse == nil {
			t.Errorf("%s: incomplete", s.name)
		}
		if strings.HasSuffix(s.help, ".") || strings.HasSuffix(s.want, ".") {
			t.Errorf("%s: texts go on behind help and want, they end without a full stop", s.name)
		}
	}
	for _, name := range []string{"PURSER_DATABASE_URL", "PURSER_REDIS_URL", "PURSER_SMTP_URL", "PURSER_SECRET_KEY"} {
		if !seen[name] {
			t.Errorf("%s is missing", name)
		}
	}
}
