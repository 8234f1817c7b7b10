package main

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/purser-dev/purser/models/storetest"
)

// versions is what `migrate status` says: the state of each version, oldest first.
func versions(t testing.TB, s *site) (applied, pending int) {
	t.Helper()
	rows := strings.Split(strings.TrimSpace(s.does(t, "migrate", "status")), "\n")
	if !strings.HasPrefix(rows[0], "VERSION ") || len(rows) < 2 {
		t.Fatalf("got %q", rows)
	}
	for _, row := range rows[1:] {
		switch fields := strings.Fields(row); {
		case fields[1] != "pending" && pending > 0:
			t.Errorf("a version is applied behind one that is not:\n%s", strings.Join(rows, "\n"))
		case fields[1] == "pending":
			pending++
		default:
			applied++
		}
	}
	return applied, pending
}

func TestMigrateUpAndDown(t *testing.T) {
	eachDatabase(t, func(t *testing.T, s *site) {
		embedded := s.setting("PURSER_DATABASE_URL") == ""
		if embedded {
			// Whoever only asks does not get a database made.
			s.refuses(t, exitUsage, []string{"PURSER_DATA_DIR", "there is no database in"}, "migrate", "status")
			if _, err := os.Stat(s.setting("PURSER_DATA_DIR")); !os.IsNotExist(err) {
				t.Errorf("the data directory was made: %v", err)
			}
		} else if applied, pending := versions(t, s); applied != 0 || pending == 0 {
			t.Errorf("a new database has %d versions, %d are missing", applied, pending)
		}
		up := s.does(t, "migrate", "up")
		all, pending := versions(t, s)
		if want := fmt.Sprintf("versions applied: %d\n", all); all == 0 || pending != 0 || !strings.HasSuffix(up, want) {
			t.Errorf("got %q with %d versions applied and %d pending", up, all, pending)
		}
		if again := s.does(t, "migrate", "up"); !strings.HasSuffix(again, "versions applied: 0\n") {
			t.Errorf("the second time: %q", again)
		}

		if out := s.does(t, "migrate", "down"); out != fmt.Sprintf("version %d was taken back\n", all) {
			t.Errorf("got %q", out)
		}
		if applied, pending := versions(t, s); applied != all-1 || pending != 1 {
			t.Errorf("%d versions are applied and %d pending", applied, pending)
		}
		for range all - 1 {
			s.does(t, "migrate", "down")
		}
		if out := s.does(t, "migrate", "down"); out != "there is no version to take back\n" {
			t.Errorf("got %q", out)
		}
		s.does(t, "migrate", "up")
		s.does(t, "merchant", "create", "--name", "Example", "--email", "a@b.example")
	})
}

func TestMigrateUpMayRace(t *testing.T) {
	t.Parallel()
	s := newSite(t, "PURSER_SECRET_KEY="+newSecretKey(), "PURSER_DATABASE_URL="+emptyDatabase(t))
	var all sync.WaitGroup
	outs := make([]string, 4)
	for i := range outs {
		all.Go(func() {
			code, stdout, stderr := s.tool(t, "", "migrate", "up")
			if code != exitOK {
				t.Errorf("exit code %d: %s", code, stderr)
			}
			outs[i] = stdout
		})
	}
	all.Wait()
	applied, pending := versions(t, s)
	made := 0
	for _, out := range outs {
		if strings.HasSuffix(out, fmt.Sprintf("versions applied: %d\n", applied)) {
			made++
		} else if !strings.HasSuffix(out, "versions applied: 0\n") {
			t.Errorf("got %q", out)
		}
	}
	if made != 1 || pending != 0 {
		t.Errorf("%d of the racers have applied the versions, %d are pending", made, pending)
	}
}

// TestOutOfDateSchemaIsRefused by everything but `run` and the tools of an embedded database, which bring it up to date.
func TestOutOfDateSchemaIsRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t, "PURSER_SECRET_KEY="+newSecretKey(), "PURSER_DATABASE_URL="+emptyDatabase(t), "PURSER_REDIS_URL=redis://127.0.0.1:1",
		"PURSER_SMTP_URL=smtp://127.0.0.1:1")
	commands := [][]string{
		{"api"}, {"worker"}, {"scheduler"}, {"doctor"}, {"jobs", "list"}, {"merchant", "create", "--name", "N", "--email", "a@b.example"},
	}
	refused := func(want string) {
		t.Helper()
		for _, args := range commands {
			s.refuses(t, exitFailure, []string{want}, args...)
		}
	}
	refused("the database schema is not up to date; run: purser migrate up")
	s.does(t, "migrate", "up")
	s.does(t, "doctor")
	s.does(t, "migrate", "down")
	refused("the database schema is not up to date; run: purser migrate up")
	s.does(t, "migrate", "up")
	storetest.Exec(t, s.store(t), `INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, true)`)
	refused("the database schema has version 99999, which is newer than this program's")
}

func TestRunMigratesByItself(t *testing.T) {
	eachDatabase(t, func(t *testing.T, s *site) {
		s.serve(t, "run")
		if applied, pending := versions(t, s); applied == 0 || pending != 0 {
			t.Errorf("%d versions are applied and %d pending", applied, pending)
		}
		s.does(t, "doctor")
	})
}

// TestWrongSecretKeyIsRefused by every command, because what it would write nobody could read.
func TestWrongSecretKeyIsRefused(t *testing.T) {
	eachDatabase(t, func(t *testing.T, s *site) {
		s.does(t, "migrate", "up")
		right := s.setting("PURSER_SECRET_KEY")
		s.env = append(s.env, "PURSER_SECRET_KEY="+newSecretKey())
		commands := [][]string{{"run"}, {"doctor"}, {"migrate", "up"}, {"merchant", "create", "--name", "N", "--email", "a@b.example"}}
		if s.setting("PURSER_DATABASE_URL") != "" {
			s.env = append(s.env, "PURSER_REDIS_URL=redis://127.0.0.1:1")
			commands = append(commands, []string{"api"}, []string{"worker"}, []string{"scheduler"})
		}
		for _, args := range commands {
			s.refuses(t, exitFailure, []string{"PURSER_SECRET_KEY does not fit this database"}, args...)
		}
		s.env = append(s.env, "PURSER_SECRET_KEY="+right)
		s.does(t, "doctor")
	})
}

// TestARunningRoleServesOnANewerSchema: while a version is rolled out, its migration comes before its processes.
func TestARunningRoleServesOnANewerSchema(t *testing.T) {
	t.Parallel()
	s, _ := productionSite(t)
	api := s.start(t, []string{"api"})
	readyz := []string{api.serving(t) + "/readyz", "http://" + api.logged(t, "started")["ops_address"] + "/readyz"}
	answers := func(want int) {
		t.Helper()
		for _, address := range readyz {
			if code, body := get(t, address); code != want {
				t.Errorf("%s: %d, want %d: %s", address, code, want, body)
			}
		}
	}
	store := s.store(t)
	answers(http.StatusOK)
	storetest.Exec(t, store, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, true)`)
	answers(http.StatusOK)
	storetest.Exec(t, store, `DELETE FROM goose_db_version WHERE version_id > 1`)
	answers(http.StatusServiceUnavailable)
	api.stop(t)
}
