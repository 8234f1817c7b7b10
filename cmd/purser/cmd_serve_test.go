package main

import (
	"net"
	"testing"
)

// TestRefusedStarts are starts that cannot go well, in the order in which they are found out.
func TestRefusedStarts(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = taken.Close() })
	const nobody = "postgres://u:hush@127.0.0.1:1/d"
	stores := []string{"PURSER_DATABASE_URL=" + nobody, "PURSER_REDIS_URL=redis://:hush@127.0.0.1:1", "PURSER_SECRET_KEY=" + newSecretKey()}
	for _, tt := range []struct {
		name string
		args []string
		env  []string
		code int
		want []string
	}{
		{"a port that is no number", []string{"run", "--listen=127.0.0.1:http"}, nil, exitUsage, []string{"PURSER_LISTEN (from --listen)", "want host:port"}},
		{"several wrong values", []string{"api"}, append(stores, "PURSER_LOG_LEVEL=loud", "PURSER_SHUTDOWN_TIMEOUT=-1s"), exitUsage, []string{"PURSER_LOG_LEVEL", "PURSER_SHUTDOWN_TIMEOUT"}},
		{"a queue that there is not", []string{"worker", "--queues=mails"}, stores, exitUsage, []string{"PURSER_QUEUES", `no queue "mails"`}},
		{"a flag of another role", []string{"scheduler", "--listen=127.0.0.1:0"}, stores, exitUsage, []string{"unknown flag: --listen"}},
		{"an argument", []string{"api", "now"}, stores, exitUsage, []string{"takes no arguments"}},
		{"api on embedded stores", []string{"api"}, nil, exitUsage, []string{"set PURSER_DATABASE_URL and PURSER_REDIS_URL"}},
		{"worker without a mail server", []string{"worker"}, stores, exitUsage, []string{"PURSER_SMTP_URL is required"}},
		{"worker with a mail server that is none", []string{"worker", "--smtp-url=http://u:hush@h"}, stores, exitUsage, []string{"PURSER_SMTP_URL"}},
		{"demo on PostgreSQL", []string{"run", "--demo", "--smtp-url=smtp://h"}, stores, exitUsage, []string{"--demo", "PURSER_DATABASE_URL"}},
		{"demo for the neighbours", []string{"run", "--demo", "--listen=0.0.0.0:0"}, nil, exitUsage, []string{"--demo", "PURSER_LISTEN"}},
		{"no secret key beside PostgreSQL", []string{"api"}, stores[:2], exitUsage, []string{"PURSER_SECRET_KEY is required"}},
		{"a database that does not answer", []string{"api"}, stores, exitFailure, []string{"start database", "does not answer"}},
		{"a port that is taken", []string{"run", "--listen=" + taken.Addr().String()}, nil, exitFailure, []string{"start listener", "address already in use"}},
		{"a data directory that is a file", []string{"run", "--data-dir=/dev/null"}, nil, exitFailure, []string{"start data directory"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, tt.env...)
			s.env = append(s.env, "PURSER_DATA_DIR="+s.dir+"/data")
			s.refuses(t, tt.code, tt.want, tt.args...)
			_, stdout, stderr := s.tool(t, "", tt.args...)
			hides(t, []string{"hush", s.setting("PURSER_SECRET_KEY"), "goroutine "}, map[string]string{"the output": stdout + stderr})
		})
	}
}
