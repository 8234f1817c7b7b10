package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// lockFile is held by the process whose embedded stores are in the data dir.
const lockFile = "purser.lock"

// dataDirLock keeps a second process out of a data dir. The kernel lets go of it when the process ends, however it ends.
type dataDirLock struct{ file *os.File }

// lockDataDir creates dir when it is missing and takes its lock, or says who has it.
func lockDataDir(dir string) (*dataDirLock, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("PURSER_DATA_DIR: %w", err)
	}
	path := filepath.Join(dir, lockFile)
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("PURSER_DATA_DIR: %w", err)
	}
	for {
		err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if errors.Is(err, unix.EWOULDBLOCK) {
		defer func() { _ = file.Close() }()
		return nil, fmt.Errorf("PURSER_DATA_DIR: %s is in use by another purser%s; stop it, or choose another directory", dir, holder(file))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("PURSER_DATA_DIR: lock %s: %w", path, err), file.Close())
	}
	// The number is for people: what excludes others is the lock.
	if err := errors.Join(file.Truncate(0), writeAt(file, fmt.Sprintln(os.Getpid()))); err != nil {
		return nil, errors.Join(fmt.Errorf("PURSER_DATA_DIR: %w", err), file.Close())
	}
	return &dataDirLock{file}, nil
}

// Close lets the next process in. The file stays: removing it would let two processes lock two files of one name.
func (l *dataDirLock) Close() error {
	return errors.Join(l.file.Truncate(0), l.file.Close())
}

func writeAt(file *os.File, text string) error {
	_, err := file.WriteAt([]byte(text), 0)
	return err
}

// holder reads the process id that the lock's owner left, "" in the instant before it has.
func holder(file *os.File) string {
	content, err := io.ReadAll(io.LimitReader(file, 32))
	if pid := strings.TrimSpace(string(content)); err == nil && pid != "" {
		return " (pid " + pid + ")"
	}
	return ""
}
