package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestListenOpsTakesNextFreePort(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	var out bytes.Buffer
	got, err := listenOps(ctx, taken.Addr().String(), slog.New(slog.NewTextHandler(&out, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer got.Close()
	first, next := taken.Addr().(*net.TCPAddr), got.Addr().(*net.TCPAddr)
	// Others on this machine may hold the very next one.
	if next.Port <= first.Port || next.Port > first.Port+opsPortsTried || !next.IP.Equal(first.IP) {
		t.Errorf("%s is taken: got %s, want the next free port", first, next)
	}
	if !strings.Contains(out.String(), "wanted="+first.String()) || !strings.Contains(out.String(), "address="+next.String()) {
		t.Errorf("the move must be logged with both addresses, got %q", out.String())
	}

	out.Reset()
	free, err := listenOps(ctx, "127.0.0.1:0", slog.New(slog.NewTextHandler(&out, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer free.Close()
	if out.Len() != 0 {
		t.Errorf("a free port is nothing to log: %q", out.String())
	}
}

func TestListenOpsRefuses(t *testing.T) {
	t.Parallel()
	// 192.0.2.0/24 is for documentation: no machine has such an address, whatever the port.
	_, err := listenOps(context.Background(), "192.0.2.1:9090", slog.New(slog.DiscardHandler))
	if err == nil || !strings.HasPrefix(err.Error(), "PURSER_OPS_LISTEN: ") || !strings.Contains(err.Error(), "192.0.2.1:9090") {
		t.Errorf("only a taken port is a reason to try others: got %v", err)
	}
	last, err := net.Listen("tcp", "127.0.0.1:65535")
	if err == nil {
		defer last.Close()
	}
	if _, err := listenOps(context.Background(), "127.0.0.1:65535", slog.New(slog.DiscardHandler)); err == nil || !strings.HasPrefix(err.Error(), "PURSER_OPS_LISTEN: ") {
		t.Errorf("there is no port behind the last one: got %v", err)
	}
}

func TestOpsServer(t *testing.T) {
	t.Parallel()
	log := slog.New(slog.DiscardHandler)
	listener, err := listenOps(context.Background(), "127.0.0.1:0", log)
	if err != nil {
		t.Fatal(err)
	}
	entered, release := make(chan struct{}), make(chan struct{})
	h := newHealth(log, check{"database", true, func(context.Context) error {
		close(entered)
		<-release
		return nil
	}})
	metrics := newMetrics(versionInfo{Version: "v1.2.3", Revision: "abc", Go: "go1"})
	ops := startOps(listener, h, metrics, log, func(err error) { t.Errorf("failed: %v", err) })
	base := "http://" + ops.Addr().String()

	if code, body := get(t, base+"/healthz"); code != 200 || body != "{\"status\":\"alive\"}\n" {
		t.Errorf("healthz: %d %q", code, body)
	}
	code, body := get(t, base+"/metrics")
	for _, want := range []string{`purser_build_info{go="go1",revision="abc",version="v1.2.3"} 1`, "go_goroutines ", "process_open_fds "} {
		if code != 200 || !strings.Contains(body, want) {
			t.Errorf("metrics: %d lacks %q", code, want)
		}
	}
	for _, path := range []string{"/", "/debug/pprof/", "/metrics/x"} {
		if code, _ := get(t, base+path); code != http.StatusNotFound {
			t.Errorf("%s: got %d, want 404", path, code)
		}
	}
	posted, err := http.Post(base+"/readyz", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = posted.Body.Close()
	if posted.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: got %d, want 405", posted.StatusCode)
	}

	// A request in flight when the shutdown begins gets its answer.
	answered := make(chan int, 1)
	go func() {
		response, err := http.Get(base + "/readyz")
		if err != nil {
			answered <- 0
			return
		}
		_ = response.Body.Close()
		answered <- response.StatusCode
	}()
	<-entered
	shutdown := make(chan error, 1)
	go func() { shutdown <- ops.Shutdown(context.Background()) }()
	waitFor(t, "the listener to close", func() bool {
		conn, err := net.Dial("tcp", ops.Addr().String())
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	})
	select {
	case err := <-shutdown:
		t.Fatalf("shutdown did not wait for the request in flight: %v", err)
	default:
	}
	close(release)
	if code := <-answered; code != 200 {
		t.Errorf("the request in flight got %d", code)
	}
	if err := <-shutdown; err != nil {
		t.Error(err)
	}
}

func TestOpsServerReportsFailure(t *testing.T) {
	t.Parallel()
	log := slog.New(slog.DiscardHandler)
	listener, err := listenOps(context.Background(), "127.0.0.1:0", log)
	if err != nil {
		t.Fatal(err)
	}
	failed := make(chan error, 1)
	ops := startOps(listener, newHealth(log), newMetrics(versionInfo{}), log, func(err error) { failed <- err })
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-failed; !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v", err)
	}
	if err := ops.Shutdown(context.Background()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("shutdown must return what ended the server, got %v", err)
	}
}

func TestOpsServerShutdownIsBounded(t *testing.T) {
	t.Parallel()
	log := slog.New(slog.DiscardHandler)
	listener, err := listenOps(context.Background(), "127.0.0.1:0", log)
	if err != nil {
		t.Fatal(err)
	}
	entered := make(chan struct{})
	h := newHealth(log, check{"database", true, func(ctx context.Context) error {
		close(entered)
		<-ctx.Done()
		return ctx.Err()
	}})
	h.timeout = time.Hour
	ops := startOps(listener, h, newMetrics(versionInfo{}), log, func(err error) { t.Errorf("failed: %v", err) })
	cut := make(chan error, 1)
	go func() {
		response, err := http.Get("http://" + ops.Addr().String() + "/readyz")
		if err == nil {
			_ = response.Body.Close()
		}
		cut <- err
	}()
	<-entered
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := ops.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if err := <-cut; err == nil {
		t.Error("a request beyond the timeout must be cut")
	}
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// waitFor asks until is holds, and gives up after a time that only a hang reaches.
func waitFor(t *testing.T, what string, is func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for ask := time.NewTicker(5 * time.Millisecond); !is(); {
		select {
		case <-ask.C:
		case <-deadline:
			t.Fatal("waited in vain for " + what)
		}
	}
}

func TestOpsPortIsANumber(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"", "x", "127.0.0.1:http"} {
		if _, err := listenOps(context.Background(), address, slog.New(slog.DiscardHandler)); err == nil || !strings.HasPrefix(err.Error(), "PURSER_OPS_LISTEN: ") {
			t.Errorf("%s: got %v", strconv.Quote(address), err)
		}
	}
}
