package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// patience bounds the start and the stop of a purser.
const patience = 60 * time.Second

// process is a running purser.
type process struct {
	cmd     *exec.Cmd
	role    string
	address string // of its API, if it has one; host:port
	ops     string // of its operators' listener
	ready   time.Duration
	done    chan struct{}
	stopped sync.Once
	err     error
}

// start runs a role until stop, and returns when it says that it has started.
func (i *installation) start(ctx context.Context, role string, args ...string) (*process, error) {
	p := &process{role: role, done: make(chan struct{})}
	p.cmd = exec.CommandContext(ctx, i.b.purser, append([]string{role}, args...)...)
	p.cmd.Env, p.cmd.Dir = i.env(), i.dir
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGTERM) }
	p.cmd.WaitDelay = patience
	log, err := os.CreateTemp(i.dir, role+"-*.log")
	if err != nil {
		return nil, err
	}
	lines, err := p.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	began := time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	i.procs = append(i.procs, p)
	started := make(chan struct{})
	go func() {
		defer close(p.done)
		defer func() { _ = log.Close() }()
		p.follow(bufio.NewReaderSize(lines, 64<<10), log, began, started)
		p.err = p.cmd.Wait()
	}()
	select {
	case <-started:
		return p, nil
	case <-p.done:
	case <-time.After(patience):
	}
	_ = p.stop()
	text, _ := os.ReadFile(log.Name())
	return nil, fmt.Errorf("%s %s did not start: %s", i.b.purser, role, lastLines(text))
}

// follow keeps the warnings of a log, and finds out from its lines where the process listens.
func (p *process) follow(lines *bufio.Reader, log *os.File, began time.Time, started chan<- struct{}) {
	for {
		line, err := lines.ReadBytes('\n')
		if p.ready == 0 && bytes.Contains(line, []byte(`"msg":"started"`)) {
			var told struct {
				Address    string `json:"address"`
				OpsAddress string `json:"ops_address"`
			}
			if json.Unmarshal(line, &told) == nil {
				p.ready, p.address, p.ops = time.Since(began), told.Address, told.OpsAddress
				close(started)
			}
		} else if len(line) > 0 && !bytes.Contains(line, []byte(`"level":"INFO"`)) {
			_, _ = log.Write(line)
		}
		if err != nil {
			return
		}
	}
}

// stop asks the process to end and waits for it.
func (p *process) stop() error {
	p.stopped.Do(func() {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-p.done:
		case <-time.After(patience):
			_ = p.cmd.Process.Kill()
			<-p.done
		}
	})
	<-p.done
	if p.err != nil {
		return fmt.Errorf("%s: %w", p.role, p.err)
	}
	return nil
}

// tool runs a command of purser's that ends by itself, and returns what it prints.
func (i *installation) tool(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, i.b.purser, args...)
	cmd.Env, cmd.Dir = i.env(), i.dir
	var told bytes.Buffer
	cmd.Stderr = &told
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("purser %s: %w: %s", strings.Join(args, " "), err, lastLines(told.Bytes()))
	}
	return out, nil
}

func lastLines(log []byte) string {
	return string(log[max(0, len(log)-2000):])
}

// memory is the resident memory of the process in bytes.
func (p *process) memory() (int64, error) {
	status, err := os.ReadFile(filepath.Join("/proc", fmt.Sprint(p.cmd.Process.Pid), "status"))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		var kib int64
		if n, _ := fmt.Sscanf(line, "VmRSS: %d kB", &kib); n == 1 {
			return kib << 10, nil
		}
	}
	return 0, errors.New("the kernel does not tell the memory of a process")
}
