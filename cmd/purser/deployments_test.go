package main

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

const deployments = "../../deployments"

func deployed(t testing.TB, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(deployments, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var (
	metricName = regexp.MustCompile(`\b(?:purser|go|process)_[a-z0-9_]+`)
	alertName  = regexp.MustCompile(`(?m)^ *- alert: (\S+)$`)
)

// expressions are those of a dashboard, and of its annotations.
func expressions(t testing.TB, dashboard string) (all []string) {
	t.Helper()
	var d struct {
		Annotations struct{ List []struct{ Expr string } }
		Panels      []struct {
			ID      int
			Title   string
			Targets []struct{ Expr string }
			GridPos struct{ H, W, X, Y int }
		}
	}
	if err := json.Unmarshal([]byte(dashboard), &d); err != nil {
		t.Fatal(err)
	}
	ids := map[int]string{}
	taken := map[[2]int]string{}
	for _, p := range d.Panels {
		if other := ids[p.ID]; other != "" || p.ID == 0 || p.Title == "" {
			t.Errorf("the panel %q has the id %d, as %q has", p.Title, p.ID, other)
		}
		ids[p.ID] = p.Title
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" || x > 23 {
					t.Fatalf("the panel %q lies on %q, or beyond the edge", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		for _, target := range p.Targets {
			all = append(all, target.Expr)
		}
	}
	return all
}

// TestAlertsAndDashboardKnowTheMetrics compares the names that alerts, their tests and the dashboard use with what processes of each role
// really serve. Nothing has happened in them yet: an alert must not have to wait for the first failure to have something to look at.
func TestAlertsAndDashboardKnowTheMetrics(t *testing.T) {
	t.Parallel()
	s, _ := productionSite(t, "PURSER_SMTP_URL=smtp://127.0.0.1:1")
	served := map[string]bool{}
	for _, role := range []string{"api", "worker", "scheduler"} {
		p := s.start(t, []string{role})
		base := p.serving(t)
		if role == "api" {
			_, _ = get(t, base+"/healthz") // labels of requests come with the first one
		}
		_, scrape := get(t, "http://"+p.logged(t, "started")["ops_address"]+"/metrics")
		for _, name := range metricName.FindAllString(scrape, -1) {
			served[name] = true
		}
		if !strings.Contains(scrape, `purser_check_up{check="database"} 1`) {
			t.Errorf("%s does not measure its database", role)
		}
		p.stop(t)
	}
	used := map[string]string{}
	for path, text := range map[string]string{
		"prometheus/alerts.yaml": deployed(t, "prometheus/alerts.yaml"), "prometheus/alerts_test.yaml": deployed(t, "prometheus/alerts_test.yaml"),
		"grafana/purser.json": strings.Join(expressions(t, deployed(t, "grafana/purser.json")), "\n"), "runbook.md": deployed(t, "runbook.md"),
	} {
		for _, name := range metricName.FindAllString(text, -1) {
			used[name] = path
		}
	}
	if len(used) < 20 {
		t.Errorf("only %d names were found", len(used))
	}
	for name, path := range used {
		if !served[name] {
			t.Errorf("%s uses %s, which no role serves", path, name)
		}
	}
	for name := range served {
		shown := slices.ContainsFunc([]string{"", "_total", "_bucket", "_sum", "_count"}, func(suffix string) bool {
			return used[name+suffix] != "" || used[strings.TrimSuffix(name, suffix)] != ""
		}) || used[regexp.MustCompile(`_(sum|count)$`).ReplaceAllString(name, "_bucket")] != ""
		if strings.HasPrefix(name, "purser_") && !shown {
			t.Errorf("nobody looks at %s", name)
		}
	}
}

// TestEveryAlertHasItsEntryInTheRunbook, and every entry its alert; the link of each alert leads to its entry.
func TestEveryAlertHasItsEntryInTheRunbook(t *testing.T) {
	t.Parallel()
	rules, runbook := deployed(t, "prometheus/alerts.yaml"), deployed(t, "runbook.md")
	alerts := map[string]bool{}
	for _, m := range alertName.FindAllStringSubmatch(rules, -1) {
		alerts[m[1]] = true
		if link := "runbook: deployments/runbook.md#" + strings.ToLower(m[1]) + "\n"; !strings.Contains(rules, link) {
			t.Errorf("%s has no %q", m[1], link)
		}
		if !strings.Contains(deployed(t, "prometheus/alerts_test.yaml"), `alertname="`+m[1]+`"`) {
			t.Errorf("no test makes %s fire", m[1])
		}
	}
	if len(alerts) < 15 {
		t.Fatalf("found %d alerts", len(alerts))
	}
	entries := map[string]bool{}
	for section := range strings.SplitSeq(runbook, "\n## ") {
		title, body, _ := strings.Cut(section, "\n")
		if !strings.HasPrefix(title, "Purser") {
			continue
		}
		entries[title] = true
		for _, part := range []string{"**Means** ", "**Impact** ", "**Check**", "**mend**"} {
			if !strings.Contains(strings.ToLower(body), strings.ToLower(part)) {
				t.Errorf("the entry %s has no %s", title, part)
			}
		}
	}
	if !maps.Equal(alerts, entries) {
		t.Errorf("alerts %v\nentries %v", slices.Sorted(maps.Keys(alerts)), slices.Sorted(maps.Keys(entries)))
	}
	for _, m := range regexp.MustCompile(`\]\(#([a-z]+)\)`).FindAllStringSubmatch(runbook, -1) {
		if !slices.ContainsFunc(slices.Collect(maps.Keys(entries)), func(e string) bool { return strings.ToLower(e) == m[1] }) {
			t.Errorf("the runbook leads to %s, which it does not have", m[1])
		}
	}
}

// TestDocumentedCommandsExist reads every purser command of what operators are told, and looks it up with its flags.
func TestDocumentedCommandsExist(t *testing.T) {
	t.Parallel()
	command := regexp.MustCompile("(?m)(?:^|`|ExecStart=/usr/local/bin/|ExecStartPost=/usr/local/bin/|run --rm )(?:purser|api) ([a-z][^`\n]*)")
	found := 0
	for _, path := range []string{
		"runbook.md", "README.md", "../README.md", "systemd/purser-api@.service", "systemd/purser-worker@.service", "systemd/purser-scheduler.service",
		"systemd/purser-migrate.service",
	} {
		for _, m := range command.FindAllStringSubmatch(deployed(t, path), -1) {
			line, _, _ := strings.Cut(m[1], "#")
			p := Program{}
			cmd, rest, err := p.rootCommand().Find(strings.Fields(strings.ReplaceAll(line, "'Example Software'", "Example")))
			if err != nil || !cmd.Runnable() {
				t.Errorf("%s: purser %s: %v", path, line, err)
				continue
			}
			if err := cmd.ParseFlags(rest); err != nil && !errors.Is(err, pflag.ErrHelp) {
				t.Errorf("%s: purser %s: %v", path, line, err)
			}
			if err := cmd.ValidateArgs(cmd.Flags().Args()); err != nil {
				t.Errorf("%s: purser %s: %v", path, line, err)
			}
			found++
		}
	}
	if found < 25 {
		t.Errorf("only %d commands were found", found)
	}
}

// TestComposeAndUnitsNameRealSettings: the program refuses a name that it does not know in a file, and ignores it in the environment.
func TestComposeAndUnitsNameRealSettings(t *testing.T) {
	t.Parallel()
	known := map[string]bool{"PURSER_VERSION": true, "PURSER_PORT": true, "PURSER_SECOND_PORT": true} // of compose.yaml's own
	for _, s := range settingsTable(nil) {
		known[s.name] = true
	}
	for _, path := range []string{"compose.yaml", "Dockerfile", "new-env", "runbook.md", "README.md", "systemd/purser-.service.d/hardening.conf"} {
		for _, name := range regexp.MustCompile(`PURSER_[A-Z_]+`).FindAllString(deployed(t, path), -1) {
			if !known[name] {
				t.Errorf("%s speaks of %s, which is no setting", path, name)
			}
		}
	}
}
