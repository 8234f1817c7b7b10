package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// output may be written by a command that is still running while the test reads it.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// run executes the program as main does, in an empty directory.
func run(t *testing.T, p Program) (code int, stdout, stderr string) {
	t.Helper()
	var out, log output
	p.Stdin, p.Stdout, p.Stderr = strings.NewReader(""), &out, &log
	if p.Dir == "" {
		p.Dir = t.TempDir()
	}
	code = p.Run(context.Background())
	return code, out.String(), log.String()
}

func TestProgram(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name           string
		args, env      []string
		code           int
		stdout, stderr []string
	}{
		{"no command prints the help", nil, nil, exitOK, []string{"Usage:", "settings", "version"}, nil},
		{"help", []string{"help"}, nil, exitOK, []string{"Usage:"}, nil},
		{"help of a command", []string{"help", "settings"}, nil, exitOK, []string{"--database-url url", "--queues list"}, nil},
		{"completion", []string{"completion", "bash"}, nil, exitOK, []string{"bash completion"}, nil},
		{"version", []string{"version"}, nil, exitOK, []string{"purser v1.2.3 (abc)\ngo1.26 "}, nil},
		{"version as a flag", []string{"--version"}, nil, exitOK, []string{"purser v1.2.3 (abc)\ngo1.26 "}, nil},
		{"unknown command", []string{"verison"}, nil, exitUsage, nil, []string{`unknown command "verison"`, "did you mean version?", "purser --help"}},
		{"unknown flag", []string{"settings", "--litsen=x"}, nil, exitUsage, nil, []string{"unknown flag: --litsen", "purser settings --help"}},
		{"flag without its value", []string{"settings", "--listen"}, nil, exitUsage, nil, []string{"needs an argument: --listen"}},
		{"argument too many", []string{"version", "now"}, nil, exitUsage, nil, []string{`takes no arguments, got "now"`}},
		{"two print-outs at once", []string{"settings", "--env-example", "--markdown"}, nil, exitUsage, nil, []string{"not both"}},
		{"settings", []string{"settings", "--log-level=warn"}, []string{"PURSER_REDIS_URL=redis://:hush@h"}, exitOK, []string{"redis://:•••@h", "--log-level"}, nil},
		{"settings with a stranger", []string{"settings"}, []string{"PURSER_X=hush"}, exitOK, []string{"PURSER_LISTEN"}, []string{`"level":"WARN"`, "PURSER_X"}},
		{"wrong settings", []string{"settings", "--listen=x"}, []string{"PURSER_LOG_LEVEL=loud"}, exitUsage, nil, []string{"purser: PURSER_LISTEN (from --listen)", "purser: PURSER_LOG_LEVEL (from environment)"}},
		{"documentation in spite of wrong settings", []string{"settings", "--markdown"}, []string{"PURSER_LOG_LEVEL=loud"}, exitOK, []string{"| `PURSER_LOG_LEVEL` | `--log-level` | `info` |"}, nil},
		{"env example", []string{"settings", "--env-example"}, nil, exitOK, []string{"#PURSER_LISTEN=127.0.0.1:8080\n"}, nil},
		{"missing file", []string{"settings", "--env-file=none.env"}, nil, exitUsage, nil, []string{"--env-file", "none.env"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			code, stdout, stderr := run(t, Program{Args: tt.args, Env: tt.env, Version: versionInfo{"v1.2.3", "abc", "go1.26"}})
			if code != tt.code {
				t.Errorf("exit code %d, want %d; %s", code, tt.code, stderr)
			}
			for _, want := range tt.stdout {
				if !strings.Contains(stdout, want) {
					t.Errorf("standard output lacks %q:\n%s", want, stdout)
				}
			}
			for _, want := range tt.stderr {
				if !strings.Contains(stderr, want) {
					t.Errorf("standard error lacks %q:\n%s", want, stderr)
				}
			}
			if tt.stdout == nil && stdout != "" {
				t.Errorf("unexpected standard output:\n%s", stdout)
			}
			if tt.stderr == nil && stderr != "" {
				t.Errorf("unexpected standard error:\n%s", stderr)
			}
			if strings.Contains(stdout+stderr, "hush") {
				t.Errorf("a secret shows:\n%s%s", stdout, stderr)
			}
		})
	}
}

func TestProgramReadsEnvFileOfItsDir(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, ".env"), "PURSER_LISTEN=127.0.0.1:1234\n")
	code, stdout, _ := run(t, Program{Args: []string{"settings"}, Dir: dir})
	if code != exitOK || !strings.Contains(stdout, "127.0.0.1:1234") || !strings.Contains(stdout, ".env line 1") {
		t.Errorf("exit code %d:\n%s", code, stdout)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("looking at settings must leave nothing behind: %v, %v", entries, err)
	}
}

// blockedWriter is a command's output that nobody takes: the command hangs in it until released.
type blockedWriter struct{ entered, release chan struct{} }

func (w blockedWriter) Write(p []byte) (int, error) {
	close(w.entered)
	<-w.release
	return len(p), nil
}

// arrival is a signal and when it comes, counted from the first one.
type arrival struct {
	signal os.Signal
	after  time.Duration
}

// TestProgramSignals: the first signal and its echoes let the command finish, a later one does not wait for it.
func TestProgramSignals(t *testing.T) {
	t.Parallel()
	const early, late = signalEcho - time.Millisecond, signalEcho
	for _, tt := range []struct {
		name   string
		comes  []arrival
		code   int
		stderr string
	}{
		{"one signal waits", []arrival{{syscall.SIGTERM, 0}}, exitOK, ""},
		{"those that follow at once are the same request", []arrival{{syscall.SIGTERM, 0}, {syscall.SIGTERM, 0}, {syscall.SIGINT, early}}, exitOK, ""},
		{"a later one does not wait", []arrival{{syscall.SIGTERM, 0}, {syscall.SIGINT, late}}, 128 + int(syscall.SIGINT), "interrupt again"},
		{"nor after an echo", []arrival{{syscall.SIGINT, 0}, {syscall.SIGINT, early}, {syscall.SIGTERM, late}}, 128 + int(syscall.SIGTERM), "terminated again"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			stuck := blockedWriter{make(chan struct{}), make(chan struct{})}
			signals := make(chan os.Signal)
			began, asked := time.Now(), 0
			clock := func() time.Time {
				asked++
				return began.Add(tt.comes[asked-1].after)
			}
			var stderr output
			p := Program{
				Args: []string{"version"}, Stdin: strings.NewReader(""), Stdout: stuck, Stderr: &stderr, Signals: signals, Dir: t.TempDir(), now: clock,
			}
			done := make(chan int, 1)
			go func() { done <- p.Run(context.Background()) }()
			<-stuck.entered
			for _, c := range tt.comes {
				select {
				case signals <- c.signal:
				case code := <-done:
					t.Fatalf("ended with %d before %s came: %s", code, c.signal, stderr.String())
				}
			}
			if tt.code == exitOK {
				close(stuck.release)
			} else {
				defer close(stuck.release)
			}
			if code := <-done; code != tt.code || !strings.Contains(stderr.String(), tt.stderr) {
				t.Errorf("exit code %d, want %d; %s", code, tt.code, stderr.String())
			}
		})
	}
}

func TestExitSignalled(t *testing.T) {
	t.Parallel()
	if got := exitSignalled(syscall.SIGTERM); got != 143 {
		t.Errorf("got %d, want 143", got)
	}
}
