package main

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
)

const (
	// secretKeyBytes is the length of the master key.
	secretKeyBytes = 32
	// secretKeyFile is where embedded mode keeps it in the data dir.
	secretKeyFile = "secret.key"
)

// masterKey is the 32-byte key of this installation: PURSER_SECRET_KEY, or in embedded mode the one in the data dir, which is generated at the first start.
// Beside PostgreSQL it must be configured, because other processes need the same one.
func masterKey(s Settings, log *slog.Logger) (Secret, error) {
	if s.SecretKey.IsSet() {
		return s.SecretKey, nil
	}
	if !s.EmbeddedDatabase() {
		return Secret{}, settingsError{errors.New("PURSER_SECRET_KEY is required with PURSER_DATABASE_URL: every process on one database needs the same 32 bytes in base64, kept safe beside the backups; make one with\n  openssl rand -base64 32")}
	}
	path := filepath.Join(s.DataDir, secretKeyFile)
	key, err := readKeyFile(path, log)
	if errors.Is(err, fs.ErrNotExist) {
		if err = createKeyFile(path); err == nil {
			log.Info("generated a secret key; without it the database cannot be read, keep it with your backups", "file", path)
		} else if !errors.Is(err, fs.ErrExist) {
			return Secret{}, fmt.Errorf("secret key: %w", err)
		}
		// Read back what is on disk: another process may have been first.
		key, err = readKeyFile(path, log)
	}
	if err != nil {
		return Secret{}, fmt.Errorf("secret key: %w", err)
	}
	return key, nil
}

func readKeyFile(path string, log *slog.Logger) (Secret, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return Secret{}, err
	}
	var parsed Settings
	if err := parseSecretKey(&parsed, strings.TrimSpace(string(content))); err != nil {
		return Secret{}, fmt.Errorf("%s is damaged (%w); restore it from a backup, the database cannot be read with another key", path, err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return Secret{}, err
	}
	// A warning and not a refusal: volumes of orchestrators may widen modes on their own.
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		log.Warn("other users can read the secret key; restrict it with chmod 600", "file", path, "mode", fmt.Sprintf("%04o", mode))
	}
	return parsed.SecretKey, nil
}

// createKeyFile writes a new random key so that path either does not exist or is whole and on disk, whenever the power goes.
// An error that is fs.ErrExist means that somebody else's key is there, untouched.
func createKeyFile(path string) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	temp, err := os.CreateTemp(dir, secretKeyFile+".*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(temp.Name()) }()
	key := make([]byte, secretKeyBytes)
	rand.Read(key) // never fails
	_, err = fmt.Fprintln(temp, base64.StdEncoding.EncodeToString(key))
	if err = errors.Join(err, temp.Sync(), temp.Close()); err != nil {
		return err
	}
	// A link, unlike a rename, does not replace a key that appeared in the meantime.
	if err := os.Link(temp.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}

// syncDir makes new names in dir survive a power cut.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
