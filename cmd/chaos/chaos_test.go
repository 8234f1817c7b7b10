package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

// purser is the program to break, built once.
var purser string

func testMain(m *testing.M) int {
	if says, ok := os.LookupEnv(doctorSays); ok {
		return standIn(says)
	}
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
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	// As `make chaos` names it: from where it is called.
	program, err := filepath.Rel(here, purser)
	if err != nil {
		t.Fatal(err)
	}
	var out, log bytes.Buffer
	code := run(t.Context(), []string{
		"-purser", program, "-postgres", programs["POSTGRES_BIN"], "-redis", programs["REDIS_SERVER_BIN"], "-orders", "90", "-short", "-seed", "1",
	}, &out, &log)
	if code != exitOK {
		t.Errorf("exit code %d", code)
	}
	t.Logf("%s%s", out.String(), log.String())
}

func TestWhatCannotBeHeld(t *testing.T) {
	t.Parallel()
	for what, args := range map[string][]string{
		"a program that is not there": {"-purser", filepath.Join(t.TempDir(), "purser")},
		"no such fault":               {"-purser", purser, "-redis", purser, "-only", "the sky falls"},
		"no customers":                {"-orders", "0"},
		"nothing to measure by":       {"-measure", "3"},
		"a word too many":             {"now"},
	} {
		var out, log bytes.Buffer
		if code := run(t.Context(), args, &out, &log); code != exitFailed || out.Len() > 0 || !strings.HasPrefix(log.String(), "chaos: ") {
			t.Errorf("%s: exit code %d, prints %q, %q", what, code, &out, &log)
		}
	}
}
