package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// TestLogMasksSecrets logs whole settings, through the type's own value and inside other values.
func TestLogMasksSecrets(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"text", "json"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			s, err := load(t, settingsSources{env: []string{
				"PURSER_DATABASE_URL=postgres://u:hush@db/shop?password=hush", "PURSER_REDIS_URL=redis://:hush@r/0",
				"PURSER_SMTP_URL=smtp://u:hush@mail.example.com", "PURSER_SECRET_KEY=" + strings.Repeat("hush", 10) + "hus",
			}}, "--log-format="+format)
			if err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			log := newLogger(&out, s)
			log.Info("value", "settings", s)
			log.Info("pointer", "settings", &s)
			log.Info("nested", "in", struct{ S Settings }{s}, "list", []Settings{s}, "smtp", s.SMTPURL, "key", s.SecretKey)
			if strings.Contains(out.String(), "hush") {
				t.Errorf("a secret shows:\n%s", out.String())
			}
			for _, want := range []string{"postgres://u:•••@db/shop?password=•••", "redis://:•••@r/0", "smtp://u:•••@mail.example.com", "PURSER_LISTEN"} {
				if !strings.Contains(out.String(), want) {
					t.Errorf("the log lacks %q:\n%s", want, out.String())
				}
			}
		})
	}
}

func TestLoggerFormatAndLevel(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	s, err := load(t, settingsSources{}, "--log-level=warn")
	if err != nil {
		t.Fatal(err)
	}
	log := newLogger(&out, s)
	log.Info("quiet")
	log.Warn("loud", "n", 1)
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatalf("want one line of JSON and nothing below the level: %v in %q", err, out.String())
	}
	if line["msg"] != "loud" || line["level"] != "WARN" || line["n"] != 1.0 {
		t.Errorf("got %v", line)
	}
	out.Reset()
	s.LogFormat = "text"
	newLogger(&out, s).Warn("loud", "n", 1)
	if !strings.Contains(out.String(), "level=WARN msg=loud n=1") {
		t.Errorf("got %q", out.String())
	}
	if isTerminal(&out) {
		t.Error("a buffer is no terminal")
	}
}
