// Command deployments checks the Dockerfile and the compose file of a folder, as `docker build --check` and `docker compose config`
// do, without a Docker, and what is for Prometheus and Grafana by promtool. It opens no connection.
//
//	deployments FOLDER
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/dockerfile/dockerfile2llb"
	"github.com/opencontainers/go-digest"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: deployments FOLDER")
		os.Exit(2)
	}
	folder, err := filepath.Abs(os.Args[1])
	if err == nil {
		err = errors.Join(checkDockerfile(folder), checkCompose(folder), checkPrometheus(folder))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// offline answers for every image that nothing is known of it.
type offline struct{}

func (offline) ResolveImageConfig(_ context.Context, ref string, _ sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	return ref, "", []byte(`{"os":"linux","architecture":"amd64","config":{}}`), nil
}

func checkDockerfile(folder string) error {
	path := filepath.Join(folder, "Dockerfile")
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	source := llb.NewSourceMap(nil, path, "Dockerfile", text)
	source.Definition = &llb.Definition{} // of where the text comes from: a build context that is not there
	found, err := dockerfile2llb.DockerfileLint(context.Background(), text, dockerfile2llb.ConvertOpt{MetaResolver: offline{}, SourceMap: source})
	if err != nil {
		return err
	}
	var problems []error
	if found.Error != nil {
		problems = append(problems, fmt.Errorf("%s: %s", path, found.Error.Message))
	}
	for _, w := range found.Warnings {
		line := int32(0)
		if w.Location != nil && len(w.Location.Ranges) > 0 {
			line = w.Location.Ranges[0].Start.Line
		}
		problems = append(problems, fmt.Errorf("%s:%d: %s: %s", path, line, w.RuleName, w.Detail))
	}
	return errors.Join(problems...)
}

// load reads the compose file as Docker Compose does, with nothing in the environment but env, and with every profile.
func load(folder string, env types.Mapping) (*types.Project, error) {
	return loader.LoadWithContext(context.Background(), types.ConfigDetails{
		WorkingDir: folder, ConfigFiles: []types.ConfigFile{{Filename: filepath.Join(folder, "compose.yaml")}}, Environment: env,
	}, loader.WithProfiles([]string{"*"}))
}

// newEnv is the file that new-env makes, with what it leaves for a person to fill in. It must be nobody else's, and stay as it is when
// new-env is run again.
func newEnv(folder string) (env types.Mapping, err error) {
	dir, err := os.MkdirTemp("", "purser-env-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	file := filepath.Join(dir, ".env")
	run := func() error { return exec.Command(filepath.Join(folder, "new-env"), file).Run() }
	if err := run(); err != nil {
		return nil, fmt.Errorf("new-env: %w", err)
	}
	out, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if made, err := os.Stat(file); err != nil || made.Mode().Perm() != 0o600 {
		return nil, errors.Join(err, fmt.Errorf("new-env: others may read its file"))
	}
	if run() == nil {
		return nil, fmt.Errorf("new-env: succeeds where a file is")
	}
	if again, err := os.ReadFile(file); err != nil || !slices.Equal(again, out) {
		return nil, errors.Join(err, fmt.Errorf("new-env: changes a file that is there"))
	}
	env = types.Mapping{}
	for line := range strings.Lines(string(out)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(name, "#") {
			if value == "" {
				value = "filled-in"
			}
			env[name] = value
		}
	}
	return env, nil
}

func checkCompose(folder string) error {
	env, err := newEnv(folder)
	if err != nil {
		return err
	}
	project, err := load(folder, env)
	if err != nil {
		return err
	}
	var problems []error
	wrong := func(format string, args ...any) {
		problems = append(problems, fmt.Errorf("compose.yaml: "+format, args...))
	}
	// No secret has a default.
	for _, name := range []string{"POSTGRES_PASSWORD", "REDIS_PASSWORD", "PURSER_SECRET_KEY"} {
		if len(env[name]) < 40 {
			wrong("new-env makes no %s", name)
		}
		without := types.Mapping{}
		for n, v := range env {
			if n != name {
				without[n] = v
			}
		}
		if _, err := load(folder, without); err == nil || !strings.Contains(err.Error(), name) {
			wrong("it loads without %s: %v", name, err)
		}
	}
	for _, s := range project.Services {
		role := slices.Contains([]string{"api", "api2", "worker", "scheduler", "migrate"}, s.Name)
		if !slices.Contains(s.SecurityOpt, "no-new-privileges:true") {
			wrong("%s may gain privileges", s.Name)
		}
		if role && (!s.ReadOnly || !slices.Contains(s.CapDrop, "ALL") || s.User == "root" || s.Privileged) {
			wrong("%s is not locked in", s.Name)
		}
		if _, open := s.Networks["outside"]; open && !role {
			wrong("the store %s is in the network outside", s.Name)
		}
		if len(s.Ports) > 0 && s.Name != "api" && s.Name != "api2" {
			wrong("%s has a port that is open", s.Name)
		}
		for _, p := range s.Ports {
			if p.HostIP != "127.0.0.1" {
				wrong("%s listens on %q, not on the loopback", s.Name, p.HostIP)
			}
		}
		if role && s.Name != "migrate" && s.DependsOn["migrate"].Condition != "service_completed_successfully" {
			wrong("%s does not wait for the schema", s.Name)
		}
		if !role && (s.HealthCheck == nil || s.HealthCheck.Disable) {
			wrong("%s has no health check", s.Name)
		}
	}
	redis := project.Configs["redis"].Content
	for _, line := range []string{"appendonly yes\n", "maxmemory-policy noeviction\n", "requirepass " + env["REDIS_PASSWORD"] + "\n"} {
		if !strings.Contains(redis, line) {
			wrong("Redis is not told %q", strings.Fields(line)[0])
		}
	}
	return errors.Join(problems...)
}
