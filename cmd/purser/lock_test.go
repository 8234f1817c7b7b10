package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestDataDirLock(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "new", "data")
	first, err := lockDataDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the data dir must be private: %v, %v", info, err)
	}
	_, err = lockDataDir(dir)
	for _, want := range []string{"PURSER_DATA_DIR", dir, fmt.Sprintf("(pid %d)", os.Getpid())} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want it to name %q", err, want)
		}
	}
	// The refused one must not have let go of the lock of the first.
	if _, err := lockDataDir(dir); err == nil {
		t.Error("locked twice")
	}
	other, err := lockDataDir(t.TempDir())
	if err != nil {
		t.Errorf("another data dir must be free: %v", err)
	} else if err := other.Close(); err != nil {
		t.Error(err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	next, err := lockDataDir(dir)
	if err != nil {
		t.Fatalf("the lock must be free after Close: %v", err)
	}
	if err := next.Close(); err != nil {
		t.Error(err)
	}
}

// TestDataDirLockIgnoresLeftovers: a process that was killed leaves its file and number, but no lock.
func TestDataDirLockIgnoresLeftovers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, lockFile), "123456789012\n")
	lock, err := lockDataDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if content, err := os.ReadFile(filepath.Join(dir, lockFile)); err != nil || string(content) != fmt.Sprintln(os.Getpid()) {
		t.Errorf("got %q, %v", content, err)
	}
}

func TestDataDirLockNamesSetting(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	writeFile(t, file, "")
	if _, err := lockDataDir(file); err == nil || !strings.HasPrefix(err.Error(), "PURSER_DATA_DIR: ") {
		t.Errorf("got %v", err)
	}
}
