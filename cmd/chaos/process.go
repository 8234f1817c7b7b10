package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// process is one purser that is to run, and is started again when it has ended, as an orchestrator does.
type process struct {
	name    string // worker-1
	program string
	args    []string
	env     []string
	dir     string
	log     *os.File

	mu      sync.Mutex
	cmd     *exec.Cmd     // nil while it does not run
	ended   chan struct{} // closed once cmd has ended
	wanted  bool          // whether it is to be started again when it ends
	stopped bool          // by SIGSTOP
	started bool          // it has said that it serves
	address string        // of its API
	partial []byte        // the line that it is about to log
	found   []string      // what should not have happened
	starts  int
	exit    int // its last exit code
}

func newProcess(name, program, dir string, env []string, args ...string) (*process, error) {
	log, err := os.OpenFile(filepath.Join(dir, name+".log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	return &process{name: name, program: program, args: args, env: env, dir: dir, log: log}, nil
}

// start starts it, and sees to it that it runs from now on.
func (p *process) start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.wanted {
		return nil
	}
	p.wanted = true
	return p.launch()
}

// launch is called with the lock held.
func (p *process) launch() error {
	cmd := exec.Command(p.program, p.args...)
	cmd.Dir, cmd.Env = p.dir, p.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Stdout, cmd.Stderr = p.log, p
	if err := cmd.Start(); err != nil {
		return err
	}
	p.cmd, p.ended, p.started, p.address, p.partial, p.stopped = cmd, make(chan struct{}), false, "", nil, false
	p.starts++
	go p.watch(cmd, p.ended)
	return nil
}

// watch waits for the end of a process. One that ends unasked is started again; if it had served before, it should not have.
func (p *process) watch(cmd *exec.Cmd, ended chan struct{}) {
	_ = cmd.Wait()
	p.mu.Lock()
	again := p.wanted
	p.cmd, p.exit = nil, cmd.ProcessState.ExitCode()
	if again && p.started {
		p.found = append(p.found, fmt.Sprintf("%s ended by itself: %s", p.name, cmd.ProcessState))
	}
	p.mu.Unlock()
	close(ended)
	if !again {
		return
	}
	time.Sleep(300 * time.Millisecond)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.wanted && p.cmd == nil {
		if err := p.launch(); err != nil {
			p.found = append(p.found, fmt.Sprintf("%s could not be started again: %v", p.name, err))
		}
	}
}

// Write takes its log.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.partial = append(p.partial, b...)
	for {
		i := bytes.IndexByte(p.partial, '\n')
		if i < 0 {
			break
		}
		p.read(p.partial[:i])
		p.partial = p.partial[i+1:]
	}
	return p.log.Write(b)
}

func (p *process) read(text []byte) {
	var line struct{ Msg, Address string }
	if json.Unmarshal(text, &line) == nil && line.Msg == "started" {
		p.started, p.address = true, line.Address
	}
	for _, bad := range []string{"panic", "DATA RACE"} {
		if bytes.Contains(text, []byte(bad)) {
			p.found = append(p.found, fmt.Sprintf("%s logs: %.300s", p.name, text))
		}
	}
}

// end sends a signal, and returns when it has ended. Nobody starts it again but start.
func (p *process) end(how syscall.Signal) {
	p.mu.Lock()
	p.wanted = false
	cmd, ended := p.cmd, p.ended
	p.mu.Unlock()
	if cmd == nil {
		return
	}
	_ = cmd.Process.Signal(how)
	<-ended
}

// pause stops it where it stands.
func (p *process) pause() { p.freeze(true, syscall.SIGSTOP) }

// resume lets it go on.
func (p *process) resume() { p.freeze(false, syscall.SIGCONT) }

func (p *process) freeze(stopped bool, how syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd != nil {
		p.stopped = stopped
		_ = p.cmd.Process.Signal(how)
	}
}

// serving waits until it has said that it serves.
func (p *process) serving(ctx context.Context) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		p.mu.Lock()
		started := p.started && p.cmd != nil
		p.mu.Unlock()
		if started {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%s does not start: %w", p.name, ctx.Err())
		}
	}
}

// door is the address of its API, or "" while it does not run. A stopped one still has its address: nobody has told the customers.
func (p *process) door() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil || !p.started || p.address == "" {
		return ""
	}
	return "http://" + p.address
}

// problems are what should not have happened to it.
func (p *process) problems() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.found...)
}

// close ends it as an operator does, and says how that went.
func (p *process) close(within time.Duration) error {
	stuck := time.AfterFunc(within, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.cmd != nil {
			p.found = append(p.found, fmt.Sprintf("%s has not ended %s after SIGTERM", p.name, within))
			_ = p.cmd.Process.Kill()
		}
	})
	defer stuck.Stop()
	p.mu.Lock()
	running := p.cmd != nil
	p.mu.Unlock()
	p.end(syscall.SIGTERM)
	var err error
	if running && p.exit != 0 {
		err = fmt.Errorf("%s: exit code %d after SIGTERM", p.name, p.exit)
	}
	return errors.Join(err, p.log.Close())
}
