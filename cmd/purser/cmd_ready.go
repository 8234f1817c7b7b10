package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/spf13/cobra"
)

const (
	readyPause = 200 * time.Millisecond // between two questions of --wait
	// readyTimeout is longer than a probe, so that a hanging store is told apart from a process that hangs itself.
	readyTimeout = probeTimeout + 2*time.Second
	readyAnswer  = 64 << 10 // bytes of an answer that are read at most
)

// readyCommand is for health checks: the image of Purser has no shell and no other program.
func (p *Program) readyCommand() *cobra.Command {
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "ready",
		Short: "Ask the role behind PURSER_OPS_LISTEN whether it is ready; for health checks",
		Long: `Ask the role behind PURSER_OPS_LISTEN whether it is ready, print its answer, and end with exit code 0 if it is or 1 if not.
With --wait, ask again until it is ready or the time is over.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, _, err := p.configure(cmd, roleProbe, false)
			if err != nil {
				return err
			}
			address, err := reachable(s.OpsListen)
			if err != nil {
				return settingsError{fmt.Errorf("PURSER_OPS_LISTEN: %w", err)}
			}
			answer, err := askReady(cmd.Context(), address, wait)
			if err != nil {
				return err
			}
			_, err = fmt.Fprint(cmd.OutOrStdout(), answer)
			return err
		},
	}
	cmd.Flags().DurationVar(&wait, "wait", 0, "how long to ask again")
	addSettingFlags(cmd.Flags(), roleProbe)
	return cmd
}

// reachable is the address at which a listener on this machine is reached: one on every address is reached on the loopback.
func reachable(listen string) (string, error) {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return "", err
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = "127.0.0.1"
		if ip.Is6() {
			host = "::1"
		}
	}
	return net.JoinHostPort(host, port), nil
}

// askReady returns the answer of a ready role, or an error that says why none came.
func askReady(ctx context.Context, address string, wait time.Duration) (string, error) {
	over := time.After(wait)
	for {
		answer, err := askReadyOnce(ctx, address)
		if err == nil || wait <= 0 {
			return answer, err
		}
		select {
		case <-over:
			return "", err
		case <-ctx.Done():
			return "", ctx.Err()
		case <-time.After(readyPause):
		}
	}
}

func askReadyOnce(ctx context.Context, address string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/readyz", nil)
	if err != nil {
		return "", err
	}
	// Not by a proxy of the environment: the role is on this machine.
	transport := &http.Transport{DisableKeepAlives: true}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, readyAnswer))
	if err != nil {
		return "", err
	}
	var told Readiness
	if json.Unmarshal(body, &told) != nil || told.Status == "" {
		return "", errors.New("what answers at PURSER_OPS_LISTEN is not Purser")
	}
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("not ready: %s", body)
	}
	return string(body), nil
}
