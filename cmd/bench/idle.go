package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"
)

// idleCommand makes bench the least that a Go program with an HTTP server can be: the baseline of memory and start-up.
const idleCommand = "idle"

func idle(ctx context.Context) error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: http.NotFoundHandler(), ReadHeaderTimeout: time.Second}
	go func() { _ = server.Serve(ln) }() // ends with Close
	fmt.Fprintln(os.Stderr, `{"level":"INFO","msg":"started","ops_address":"`+ln.Addr().String()+`"}`)
	<-ctx.Done()
	return server.Close()
}
