package main

import (
	"errors"
	"fmt"
	"strings"
)

// checkStart refuses to start roles with settings that do not belong together. It looks at nothing outside the settings.
func checkStart(s Settings, command string, roles role, demo bool) error {
	var problems []error
	refuse := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }

	if roles != roleRun {
		var missing []string
		if s.EmbeddedDatabase() {
			missing = append(missing, "PURSER_DATABASE_URL")
		}
		if s.EmbeddedRedis() {
			missing = append(missing, "PURSER_REDIS_URL")
		}
		if missing != nil {
			refuse("`purser %s` shares its stores with other processes and cannot use embedded ones: set %s, or start everything in one process with `purser run`",
				command, strings.Join(missing, " and "))
		}
	}
	if roles&roleWorker != 0 && !s.EmbeddedDatabase() && !s.SMTPURL.IsSet() {
		refuse("PURSER_SMTP_URL is required with PURSER_DATABASE_URL: the built-in mailbox is for embedded mode, and a customer's emails would go nowhere; want smtp://user:password@host:port or smtps://…")
	}
	if demo {
		if !s.EmbeddedDatabase() {
			refuse("--demo has open passwords and works on the embedded database only: unset PURSER_DATABASE_URL")
		}
		if !s.EmbeddedRedis() {
			refuse("--demo works with the in-process Redis only: unset PURSER_REDIS_URL")
		}
		if !isLoopback(s.Listen) {
			refuse("--demo listens on the loopback only: want PURSER_LISTEN such as 127.0.0.1:8080, got %q", s.Listen)
		}
		if !isLoopback(s.OpsListen) {
			refuse("--demo listens on the loopback only: want PURSER_OPS_LISTEN such as 127.0.0.1:9090, got %q", s.OpsListen)
		}
	}
	if problems == nil {
		return nil
	}
	return settingsError{errors.Join(problems...)}
}
