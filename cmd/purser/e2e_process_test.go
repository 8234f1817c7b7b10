package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience is a wait that only a hang outlasts, also on a machine that is busy with other tests.
const patience = 90 * time.Second

// eventually asks until is holds; what explains the wait, and how it stands, if it was in vain.
func eventually(t testing.TB, within time.Duration, is func() bool, what func() string) {
	t.Helper()
	deadline := time.After(within)
	ask := time.NewTicker(20 * time.Millisecond)
	defer ask.Stop()
	for !is() {
		select {
		case <-ask.C:
		case <-deadline:
			t.Fatalf("not within %s: %s", within, what())
		}
	}
}

// site is one installation: what its processes have in common.
type site struct {
	// env is NAME=value pairs; a later one wins. Nothing of the tests' own environment gets through.
	env []string
	dir string // the working directory of its processes
}

// newSite is an installation with these settings, whose processes take any free ports.
func newSite(t testing.TB, env ...string) *site {
	t.Helper()
	return &site{dir: t.TempDir(), env: append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"),
		"PURSER_LISTEN=127.0.0.1:0", "PURSER_OPS_LISTEN=127.0.0.1:0", "PURSER_LOG_FORMAT=json",
	}, env...)}
}

// demoSite is an embedded installation whose data is in its own directory.
func demoSite(t testing.TB, env ...string) *site {
	t.Helper()
	s := newSite(t, env...)
	s.env = append(s.env, "PURSER_DATA_DIR="+filepath.Join(s.dir, "data"))
	return s
}

// command prepares the built program.
func (s *site) command(t testing.TB, args []string, env ...string) *exec.Cmd {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, args...)
	cmd.Dir = s.dir
	cmd.Env = append(append([]string{}, s.env...), env...)
	return cmd
}

// cli runs a command to its end.
func (s *site) cli(t testing.TB, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, log output
	cmd := s.command(t, args)
	cmd.Stdout, cmd.Stderr = &out, &log
	if err := cmd.Run(); err != nil && !errors.As(err, new(*exec.ExitError)) {
		t.Fatalf("purser %s: %v", strings.Join(args, " "), err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), log.String()
}

// must is cli for commands that have to succeed.
func (s *site) must(t testing.TB, args ...string) string {
	t.Helper()
	code, stdout, stderr := s.cli(t, args...)
	if code != exitOK {
		t.Fatalf("purser %s: exit code %d\n%s%s", strings.Join(args, " "), code, stdout, stderr)
	}
	return stdout
}

// proc is one process of a site.
type proc struct {
	name     string
	cmd      *exec.Cmd
	out, log output
	ended    chan struct{} // closed once it has ended
}

// start starts a process that runs until it is told to stop, and at the latest until the test ends.
func (s *site) start(t testing.TB, args []string, env ...string) *proc {
	t.Helper()
	p := &proc{name: "purser " + strings.Join(args, " "), cmd: s.command(t, args, env...), ended: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait()
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			log := p.log.String()
			t.Logf("the end of the log of %s (pid %d):\n%s", p.name, p.cmd.Process.Pid, log[max(0, len(log)-6000):])
		}
	})
	return p
}

// kill ends a process as a power cut does, and returns when it is gone.
func (p *proc) kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

func (p *proc) terminate() { _ = p.cmd.Process.Signal(syscall.SIGTERM) }

func (p *proc) running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// exit waits for the end of a process and returns its exit code.
func (p *proc) exit(t testing.TB, within time.Duration) int {
	t.Helper()
	select {
	case <-p.ended:
	case <-time.After(within):
		t.Fatalf("%s has not ended within %s", p.name, within)
	}
	return p.cmd.ProcessState.ExitCode()
}

// stop ends a process as an operator does, which has to go well.
func (p *proc) stop(t testing.TB) {
	t.Helper()
	p.terminate()
	if code := p.exit(t, patience); code != exitOK {
		t.Errorf("%s: exit code %d after SIGTERM", p.name, code)
	}
}

// logged waits for a line of the log that begins with message, and returns what it says.
func (p *proc) logged(t testing.TB, message string) map[string]string {
	t.Helper()
	var found map[string]string
	eventually(t, patience, func() bool {
		ended := !p.running()
		found = p.line(message)
		if found == nil && ended {
			t.Fatalf("%s ended before it logged %q:\n%s", p.name, message, p.log.String())
		}
		return found != nil
	}, func() string { return p.name + " logs " + message })
	return found
}

// line returns the latest line of the log that begins with message, or nil.
func (p *proc) line(message string) map[string]string { return logLine(p.log.String(), message) }

func logLine(log, message string) (found map[string]string) {
	for text := range strings.Lines(log) {
		var line map[string]any
		if json.Unmarshal([]byte(text), &line) != nil {
			continue
		}
		if said, _ := line["msg"].(string); !strings.HasPrefix(said, message) {
			continue
		}
		found = map[string]string{}
		for name, value := range line {
			found[name], _ = value.(string)
		}
	}
	return found
}

// serving waits until a process serves, and returns the base address of its API, if it has one.
func (p *proc) serving(t testing.TB) string {
	t.Helper()
	address := p.logged(t, "started")["address"]
	if address == "" {
		return ""
	}
	return "http://" + address
}

// metric reads one of a process's own metrics.
func (p *proc) metric(t testing.TB, name string) float64 {
	t.Helper()
	answer, err := http.Get("http://" + p.logged(t, "started")["ops_address"] + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			n, err := strconv.ParseFloat(value, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("%s has no metric %s", p.name, name)
	return 0
}
