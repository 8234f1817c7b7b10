package main

import (
	"errors"
	"strings"
	"testing"
)

func TestCheckStart(t *testing.T) {
	t.Parallel()
	const database, redis, smtp = "--database-url=postgres://u:hush@h/d", "--redis-url=redis://:hush@h", "--smtp-url=smtp://u:hush@h"
	for _, tt := range []struct {
		name    string
		command string
		roles   role
		demo    bool
		args    []string
		// want and refused are what the error must name and must not; no want means no error.
		want, refused []string
	}{
		{"run embedded", "run", roleRun, false, nil, nil, nil},
		{"run in production", "run", roleRun, false, []string{database, redis, smtp}, nil, nil},
		{"run beside PostgreSQL with its own Redis", "run", roleRun, false, []string{database, smtp}, nil, nil},
		{"run beside PostgreSQL without a mail server", "run", roleRun, false, []string{database}, []string{"PURSER_SMTP_URL is required"}, nil},
		{"api in production needs no mail server", "api", roleAPI, false, []string{database, redis}, nil, nil},
		{"scheduler in production needs none either", "scheduler", roleScheduler, false, []string{database, redis}, nil, nil},
		{"worker in production", "worker", roleWorker, false, []string{database, redis, smtp}, nil, nil},
		{"worker without a mail server", "worker", roleWorker, false, []string{database, redis}, []string{"PURSER_SMTP_URL is required"}, nil},
		{"api embedded", "api", roleAPI, false, nil, []string{"`purser api`", "set PURSER_DATABASE_URL and PURSER_REDIS_URL", "purser run"}, nil},
		{"worker without Redis", "worker", roleWorker, false, []string{database, smtp}, []string{"`purser worker`", "set PURSER_REDIS_URL,"}, []string{"set PURSER_DATABASE_URL"}},
		{"scheduler without a database", "scheduler", roleScheduler, false, []string{redis}, []string{"`purser scheduler`", "set PURSER_DATABASE_URL,"}, []string{"PURSER_REDIS_URL"}},
		{"demo", "run", roleRun, true, []string{"--listen=localhost:0", "--ops-listen=[::1]:0"}, nil, nil},
		{"demo on PostgreSQL", "run", roleRun, true, []string{database, smtp}, []string{"--demo", "PURSER_DATABASE_URL"}, []string{"PURSER_REDIS_URL"}},
		{"demo on Redis", "run", roleRun, true, []string{redis}, []string{"--demo", "PURSER_REDIS_URL"}, []string{"PURSER_DATABASE_URL"}},
		{"demo for the neighbours", "run", roleRun, true, []string{"--listen=:8080"}, []string{"--demo", "PURSER_LISTEN", `":8080"`}, []string{"PURSER_OPS_LISTEN"}},
		{"demo metrics for the neighbours", "run", roleRun, true, []string{"--ops-listen=0.0.0.0:9090"}, []string{"--demo", "PURSER_OPS_LISTEN"}, []string{"PURSER_LISTEN "}},
		{"demo on a name that may be anywhere", "run", roleRun, true, []string{"--listen=localhost.example.com:80"}, []string{"PURSER_LISTEN"}, nil},
		{"everything wrong at once", "run", roleRun, true, []string{database, redis, "--listen=:1", "--ops-listen=:2"}, []string{"PURSER_DATABASE_URL", "PURSER_REDIS_URL", "PURSER_LISTEN ", "PURSER_OPS_LISTEN"}, nil},
		{"not demo", "run", roleRun, false, []string{"--listen=:8080", "--ops-listen=:9090"}, nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, err := load(t, settingsSources{roles: tt.roles, demo: tt.demo}, tt.args...)
			if err != nil {
				t.Fatal(err)
			}
			err = checkStart(s, tt.command, tt.roles, tt.demo)
			if tt.want == nil {
				if err != nil {
					t.Errorf("refused: %v", err)
				}
				return
			}
			if !errors.As(err, new(settingsError)) {
				t.Fatalf("got %v, want a settings error", err)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q lacks %q", err, want)
				}
			}
			for _, not := range append(tt.refused, "hush") {
				if strings.Contains(err.Error(), not) {
					t.Errorf("%q must not have %q", err, not)
				}
			}
		})
	}
}
