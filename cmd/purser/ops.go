package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// opsPortsTried bounds the search for a free port.
const opsPortsTried = 100

// opsServer is the operators' listener of every role: /healthz, /readyz, /metrics.
type opsServer struct {
	server   *http.Server
	listener net.Listener
	// done has the error that ended the server, nil after a shutdown.
	done chan error
}

// newMetrics is a registry with the runtime's and the process's own metrics.
func newMetrics(v versionInfo) *prometheus.Registry {
	registry := prometheus.NewRegistry()
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "purser_build_info", Help: "Always 1; the labels say what is running.",
		ConstLabels: prometheus.Labels{"version": v.Version, "revision": v.Revision, "go": v.Go},
	})
	info.Set(1)
	registry.MustRegister(info, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return registry
}

// listenOps binds address, or when that port is taken the next free one, so that several processes of one machine can share their settings.
// Nothing else is tried for any other error. Port 0 takes any.
func listenOps(ctx context.Context, address string, log *slog.Logger) (net.Listener, error) {
	host, portText, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("PURSER_OPS_LISTEN: %w", err)
	}
	port, err := strconv.Atoi(portText)
	if err != nil {
		return nil, fmt.Errorf("PURSER_OPS_LISTEN: %w", err)
	}
	var listen net.ListenConfig
	for try := port; ; try++ {
		listener, err := listen.Listen(ctx, "tcp", net.JoinHostPort(host, itoa(try)))
		switch {
		case err == nil:
			if try != port {
				log.Warn("the port of PURSER_OPS_LISTEN is taken, using the next free one", "wanted", address, "address", listener.Addr().String())
			}
			return listener, nil
		case !errors.Is(err, syscall.EADDRINUSE) || try == 65535 || try == port+opsPortsTried:
			return nil, fmt.Errorf("PURSER_OPS_LISTEN: %w", err)
		}
	}
}

// startOps serves on listener until Shutdown. fail is called once if serving ends in any other way.
func startOps(listener net.Listener, h *health, metrics prometheus.Gatherer, log *slog.Logger, fail func(error)) *opsServer {
	errorLog := slog.NewLogLogger(log.Handler(), slog.LevelWarn)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", h.serveHealthz)
	mux.HandleFunc("GET /readyz", h.serveReadyz)
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{ErrorLog: errorLog, MaxRequestsInFlight: 4}))
	s := &opsServer{
		listener: listener,
		done:     make(chan error, 1),
		server: &http.Server{
			Handler:           mux,
			ReadHeaderTimeout: 5 * time.Second,
			ReadTimeout:       10 * time.Second,
			WriteTimeout:      30 * time.Second,
			IdleTimeout:       time.Minute,
			MaxHeaderBytes:    16 << 10,
			ErrorLog:          errorLog,
		},
	}
	go func() {
		err := s.server.Serve(listener)
		if errors.Is(err, http.ErrServerClosed) {
			err = nil
		} else {
			fail(fmt.Errorf("ops server: %w", err))
		}
		s.done <- err
	}()
	return s
}

// Addr is the address really bound.
func (s *opsServer) Addr() net.Addr { return s.listener.Addr() }

// Shutdown lets requests in flight finish while ctx lasts, then cuts them, and returns when nothing is served any more.
func (s *opsServer) Shutdown(ctx context.Context) error {
	err := s.server.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, s.server.Close())
	}
	return errors.Join(err, <-s.done)
}
