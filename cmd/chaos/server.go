package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// server is one running process of a store.
type server struct {
	cmd   *exec.Cmd
	log   *os.File
	ended chan struct{} // closed once it has ended
}

// startServer starts a process that adds what it prints to a log.
func startServer(cmd *exec.Cmd, log string) (*server, error) {
	f, err := os.OpenFile(log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	cmd.Stdout, cmd.Stderr = f, f
	// Out of our process group, so that Ctrl-C ends us, and we it.
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	s := &server{cmd: cmd, log: f, ended: make(chan struct{})}
	go func() {
		defer close(s.ended)
		_ = cmd.Wait()
		_ = f.Close()
	}()
	return s, nil
}

func (s *server) signal(how syscall.Signal) { _ = s.cmd.Process.Signal(how) }

func (s *server) wait() { <-s.ended }

// kill ends it as a power cut does; a stopped process, too.
func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	s.wait()
}

// until waits for a server that has just been started to answer.
func (s *server) until(ctx context.Context, name string, answers func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		try, done := context.WithTimeout(ctx, 5*time.Second)
		err := answers(try)
		done()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-s.ended:
			return fmt.Errorf("%s ended when it was started; see %s", name, s.log.Name())
		case <-ctx.Done():
			return fmt.Errorf("%s does not answer: %w", name, err)
		}
	}
}

// storeOwner is the user whose the stores are: PostgreSQL refuses to run as root, and Redis should not. nil means ourselves.
func storeOwner() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		u, err = user.Lookup("nobody")
	}
	if err != nil {
		return nil, err
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, errors.Join(err1, err2)
}

// become makes a command run as the owner of the stores, in dir.
func become(cmd *exec.Cmd, dir string, owner *syscall.Credential) {
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: owner}
}

// makeFor makes a folder for the owner of the stores.
func makeFor(owner *syscall.Credential, dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return giveTo(owner, dir)
}

func giveTo(owner *syscall.Credential, path string) error {
	if owner == nil {
		return nil
	}
	return os.Chown(path, int(owner.Uid), int(owner.Gid))
}

// environ is our environment without the variables that begin in one of these ways.
func environ(without ...string) (env []string) {
	for _, pair := range os.Environ() {
		keep := true
		for _, prefix := range without {
			keep = keep && !strings.HasPrefix(pair, prefix)
		}
		if keep {
			env = append(env, pair)
		}
	}
	return env
}
