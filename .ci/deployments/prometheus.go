package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// checkPrometheus has promtool read the rules and the scrape configuration, run the tests of the alerts, and parse what the dashboard
// asks for.
func checkPrometheus(folder string) error {
	prometheus := filepath.Join(folder, "prometheus")
	dashboard, err := dashboardRules(filepath.Join(folder, "grafana", "purser.json"))
	if err != nil {
		return err
	}
	defer os.Remove(dashboard)
	return errors.Join(
		promtool(prometheus, "check", "rules", "alerts.yaml"),
		promtool(prometheus, "check", "config", "scrape.yaml"),
		promtool(prometheus, "test", "rules", "alerts_test.yaml"),
		promtool(prometheus, "check", "rules", dashboard),
	)
}

func promtool(folder string, args ...string) error {
	cmd := exec.Command("promtool", args...)
	cmd.Dir = folder
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("promtool %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

// dashboardRules writes every expression of a dashboard as a recording rule into a temporary file, so that promtool can read them.
func dashboardRules(path string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	var dashboard struct {
		Panels []struct {
			Title   string `json:"title"`
			Targets []struct {
				Expr string `json:"expr"`
			} `json:"targets"`
		} `json:"panels"`
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	type rule struct {
		Record string            `json:"record"`
		Expr   string            `json:"expr"`
		Labels map[string]string `json:"labels"`
	}
	var rules []rule
	for _, p := range dashboard.Panels {
		for i, t := range p.Targets {
			expr := strings.ReplaceAll(t.Expr, "$__rate_interval", "1m")
			if strings.Contains(expr, "$") {
				return "", fmt.Errorf("%s: %s: a variable that is none of Grafana's own: %s", path, p.Title, t.Expr)
			}
			rules = append(rules, rule{fmt.Sprintf("dashboard:%d", i), expr, map[string]string{"panel": p.Title}})
		}
	}
	if len(rules) == 0 {
		return "", fmt.Errorf("%s has no expressions", path)
	}
	// JSON is YAML.
	out, err := json.Marshal(map[string]any{"groups": []any{map[string]any{"name": "dashboard", "rules": rules}}})
	if err != nil {
		return "", err
	}
	file, err := os.CreateTemp("", "dashboard-*.yaml")
	if err != nil {
		return "", err
	}
	_, err = file.Write(out)
	return file.Name(), errors.Join(err, file.Close())
}
