package main

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestMasterKeyGeneratedOnce(t *testing.T) {
	t.Parallel()
	s := Settings{DataDir: filepath.Join(t.TempDir(), "new", "data")}
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, nil))
	first, err := masterKey(s, log)
	if err != nil {
		t.Fatal(err)
	}
	if len(first.Reveal()) != 32 || first.Reveal() == strings.Repeat("\x00", 32) {
		t.Errorf("got a key of %d bytes", len(first.Reveal()))
	}
	again, err := masterKey(s, log)
	if err != nil || again.Reveal() != first.Reveal() {
		t.Errorf("the second start must find the same key, %v", err)
	}
	if n := strings.Count(out.String(), "generated"); n != 1 {
		t.Errorf("logged %d generations, want 1:\n%s", n, out.String())
	}
	path := filepath.Join(s.DataDir, secretKeyFile)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got mode %v, want 0600, %v", info.Mode(), err)
	}
	content, err := os.ReadFile(path)
	if err != nil || strings.Contains(out.String(), strings.TrimSpace(string(content))) {
		t.Errorf("the key must not be in the log, %v", err)
	}
	if entries, err := os.ReadDir(s.DataDir); err != nil || len(entries) != 1 {
		t.Errorf("temporary files are left: %v, %v", entries, err)
	}
	if err := createKeyFile(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a key that is there must not be replaced, got %v", err)
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(after, content) {
		t.Error("the key was replaced")
	}
	if entries, err := os.ReadDir(s.DataDir); err != nil || len(entries) != 1 {
		t.Errorf("temporary files are left: %v, %v", entries, err)
	}
}

// TestMasterKeyRace starts several at once: all must end with the key that is on disk.
func TestMasterKeyRace(t *testing.T) {
	t.Parallel()
	s := Settings{DataDir: t.TempDir()}
	keys := make([]string, 8)
	var starts sync.WaitGroup
	for i := range keys {
		starts.Go(func() {
			key, err := masterKey(s, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Error(err)
			}
			keys[i] = key.Reveal()
		})
	}
	starts.Wait()
	for _, key := range keys {
		if key != keys[0] || len(key) != 32 {
			t.Fatal("two starts got different keys")
		}
	}
}

func TestMasterKeyConfigured(t *testing.T) {
	t.Parallel()
	s := Settings{DataDir: filepath.Join(t.TempDir(), "data"), SecretKey: newSecret(string(key32))}
	key, err := masterKey(s, slog.New(slog.DiscardHandler))
	if err != nil || key.Reveal() != string(key32) {
		t.Errorf("a configured key must be used, %v", err)
	}
	if _, err := os.Stat(s.DataDir); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a configured key needs no file")
	}
}

func TestMasterKeyRequiredInProduction(t *testing.T) {
	t.Parallel()
	s := Settings{DataDir: filepath.Join(t.TempDir(), "data"), DatabaseURL: newSecretURL("postgres://u:hush@h/d")}
	_, err := masterKey(s, slog.New(slog.DiscardHandler))
	if err == nil || !strings.HasPrefix(err.Error(), "PURSER_SECRET_KEY is required") || !strings.Contains(err.Error(), "openssl rand -base64 32") {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(s.DataDir); !errors.Is(err, fs.ErrNotExist) {
		t.Error("no key may be generated beside PostgreSQL")
	}
}

func TestMasterKeyFileFaults(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, nil))
	damaged := Settings{DataDir: t.TempDir()}
	writeFile(t, filepath.Join(damaged.DataDir, secretKeyFile), "hush\n")
	if _, err := masterKey(damaged, log); err == nil || !strings.Contains(err.Error(), "is damaged") || strings.Contains(err.Error(), "hush") {
		t.Errorf("got %v", err)
	}
	if content, _ := os.ReadFile(filepath.Join(damaged.DataDir, secretKeyFile)); string(content) != "hush\n" {
		t.Error("a damaged key must not be replaced")
	}

	open := Settings{DataDir: t.TempDir()}
	if _, err := masterKey(open, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(open.DataDir, secretKeyFile), 0o644); err != nil {
		t.Fatal(err)
	}
	out.Reset()
	if _, err := masterKey(open, log); err != nil || !strings.Contains(out.String(), "chmod 600") {
		t.Errorf("a key that others can read must be warned about: %v, %q", err, out.String())
	}
}
