// Command purser takes orders for digital goods, takes the money, produces and delivers the licences, and tells the merchant.
// Its commands are listed by `purser help`; this package wires the others together and holds no business of its own.
package main

import (
	"context"
	"io"
	"log"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	// Our own log is slog. What libraries print through the standard one may quote what other servers sent: net/http prints what an
	// idle connection received, which can be an echo of a webhook with licence keys.
	log.SetOutput(io.Discard)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	program := &Program{
		Args:    os.Args[1:],
		Env:     os.Environ(),
		Stdin:   os.Stdin,
		Stdout:  os.Stdout,
		Stderr:  os.Stderr,
		Signals: signals,
		Version: readVersion(version),
	}
	os.Exit(program.Run(context.Background()))
}
