package main

import (
	"os"
	"path/filepath"
	"testing"
)

// TestEmbeddedDatabaseIsPrivate: it holds personal data, and the data directory may be one that everybody can look into.
func TestEmbeddedDatabaseIsPrivate(t *testing.T) {
	t.Parallel()
	s := newSite(t, "PURSER_SECRET_KEY="+newSecretKey())
	dir := filepath.Join(s.dir, "open")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	s.env = append(s.env, "PURSER_DATA_DIR="+dir)
	s.does(t, "migrate", "up")
	store := s.store(t) // while it is open, SQLite's other files are there
	if _, err := store.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, databaseFile+"*"))
	if err != nil || len(files) < 2 {
		t.Fatalf("%q, %v", files, err)
	}
	for _, file := range files {
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", file, info.Mode(), err)
		}
	}
}
