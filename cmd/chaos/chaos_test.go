package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

// purser is the program to break, built once.
var purser string

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "purser-chaos-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	purser = filepath.Join(dir, "purser")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", purser, "../purser")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// TestNobodyOutsideCanTell is `make chaos` in short: quick faults, one upon the other.
func TestNobodyOutsideCanTell(t *testing.T) {
	t.Parallel()
	programs := map[string]string{}
	for _, name := range []string{"POSTGRES_BIN", "REDIS_SERVER_BIN"} {
		if programs[name] = os.Getenv(name); programs[name] == "" {
			t.Fatalf("%s is not set: run the tests by `make test`", name)
		}
	}
	var out, log bytes.Buffer
	code := run(t.Context(), []string{
		"-purser", purser, "-postgres", programs["POSTGRES_BIN"], "-redis", programs["REDIS_SERVER_BIN"], "-orders", "90", "-short", "-seed", "1",
	}, &out, &log)
	if code != exitOK {
		t.Errorf("exit code %d", code)
	}
	t.Logf("%s%s", out.String(), log.String())
}
