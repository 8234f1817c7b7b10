package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/posflag"
	"github.com/knadh/koanf/providers/rawbytes"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/pflag"
)

// defaultEnvFile is read when it is there and no other file was chosen.
const defaultEnvFile = ".env"

// settingsSources is where a process finds its settings.
type settingsSources struct {
	// flags may be nil.
	flags *pflag.FlagSet
	// env is NAME=value pairs as os.Environ has them.
	env []string
	// dir is the working directory; "" is the process's own.
	dir string
	// envFile was chosen with --env-file and must exist; "" reads .env in dir when it is there.
	envFile string
	// roles is what the command does; it decides which warnings matter.
	roles role
	// demo widens the defaults to those of `run --demo`.
	demo bool
	// terminal says that a person reads the log.
	terminal   bool
	checkQueue func(name string) error
}

// settingsError collects everything that is wrong with the settings, so that a person fixes it in one go. It is a usage error.
type settingsError struct{ problems error }

func (e settingsError) Error() string { return e.problems.Error() }
func (e settingsError) Unwrap() error { return e.problems }

// loadSettings merges flags over environment over file over defaults, and checks every value. Blank values count as not set, in every source.
func loadSettings(src settingsSources) (Settings, error) {
	table := settingsTable(src.checkQueue)
	keys := make(map[string]string, len(table))
	defaults := map[string]any{}
	for _, s := range table {
		keys[s.name] = s.flag()
		if s.value != "" {
			defaults[s.flag()] = s.value
		}
	}

	merged := koanf.New(".")
	sources := map[string]string{}
	load := func(provider koanf.Provider, parser koanf.Parser, source func(key string) string) error {
		return merged.Load(provider, parser, koanf.WithMergeFunc(func(from, into map[string]any) error {
			for key, value := range from {
				into[key], sources[key] = value, source(key)
			}
			return nil
		}))
	}
	named := func(source string) func(string) string { return func(string) string { return source } }

	var settings Settings
	if err := load(confmap.Provider(defaults, ""), nil, named("default")); err != nil {
		return Settings{}, err
	}
	if err := loadEnvFile(src, keys, load); err != nil {
		return Settings{}, settingsError{err}
	}
	environment := env.Provider("", env.Opt{
		Prefix:      envPrefix,
		EnvironFunc: func() []string { return src.env },
		TransformFunc: func(name, value string) (string, any) {
			key, known := keys[name]
			if !known {
				settings.Warnings = append(settings.Warnings, "unknown name in the environment, ignored: "+name)
				return "", nil
			}
			if value = strings.TrimSpace(value); value == "" {
				return "", nil
			}
			return key, value
		},
	})
	if err := load(environment, nil, named("environment")); err != nil {
		return Settings{}, err
	}
	slices.Sort(settings.Warnings)
	if src.flags != nil {
		isSetting := map[string]bool{}
		for _, key := range keys {
			isSetting[key] = true
		}
		flags := posflag.ProviderWithFlag(src.flags, "", nil, func(f *pflag.Flag) (string, any) {
			value := strings.TrimSpace(f.Value.String())
			if !isSetting[f.Name] || value == "" {
				return "", nil
			}
			return f.Name, value
		})
		if err := load(flags, nil, func(key string) string { return "--" + key }); err != nil {
			return Settings{}, err
		}
	}

	if err := settings.parse(table, merged, sources); err != nil {
		return Settings{}, settingsError{err}
	}
	settings.derive(src)
	return settings, nil
}

func loadEnvFile(src settingsSources, keys map[string]string, load func(koanf.Provider, koanf.Parser, func(string) string) error) error {
	shown, chosen := src.envFile, src.envFile != ""
	if !chosen {
		shown = defaultEnvFile
	}
	path := shown
	if !filepath.IsAbs(path) {
		path = filepath.Join(src.dir, path)
	}
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && !chosen {
		return nil
	}
	if err != nil {
		return fmt.Errorf("--env-file: %w", err)
	}
	parser := &dotenvParser{known: keys}
	err = load(rawbytes.Provider(content), parser, func(key string) string {
		return fmt.Sprintf("%s line %d", shown, parser.lines[key])
	})
	if err != nil {
		return prefixLines(shown+" ", err)
	}
	return nil
}

// prefixLines puts the file's name before each of several joined errors.
func prefixLines(prefix string, err error) error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return fmt.Errorf("%s%w", prefix, err)
	}
	var all []error
	for _, one := range joined.Unwrap() {
		all = append(all, fmt.Errorf("%s%w", prefix, one))
	}
	return errors.Join(all...)
}

// parse checks every value and stores it, and remembers how to show it.
func (s *Settings) parse(table []setting, merged *koanf.Koanf, sources map[string]string) error {
	var problems []error
	for _, one := range table {
		value, source := merged.String(one.flag()), sources[one.flag()]
		if value != "" {
			if err := one.parse(s, value); err != nil {
				problems = append(problems, one.refuse(value, source, err))
			}
		}
		if source == "" {
			source = "default"
		}
		s.origins = append(s.origins, origin{one.name, one.shown(value), source})
	}
	return errors.Join(problems...)
}

// refuse names the setting, where its value comes from, what is wrong and what was expected; the value itself only when it is no secret.
func (s setting) refuse(value, source string, reason error) error {
	text := fmt.Sprintf("%s (from %s): ", s.name, source)
	if !errors.Is(reason, errShape) {
		text += reason.Error() + "; "
	}
	text += "want " + s.want
	if shown := s.shown(value); shown != masked {
		text += fmt.Sprintf("; got %q", shown)
	}
	return errors.New(text)
}

// addSettingFlags declares the flags of every setting that concerns roles, and --env-file.
// The values stay text here: loadSettings checks them, whatever source they come from.
func addSettingFlags(flags *pflag.FlagSet, roles role) {
	for _, s := range settingsTable(nil) {
		if s.roles&roles == 0 {
			continue
		}
		usage := s.help + " (default " + s.documentedDefault() + ")"
		if s.secret {
			usage += "; other users of the machine see flags, not the environment"
		}
		// pflag takes a word in backquotes for the placeholder.
		flags.VarPF(&settingFlag{kind: s.kind}, s.flag(), "", strings.ReplaceAll(usage, "`", ""))
	}
	flags.String("env-file", "", "read settings from this file instead of .env in the working directory")
}

// settingFlag is a text value whose placeholder in the help is its kind.
type settingFlag struct{ kind, text string }

func (f *settingFlag) String() string     { return f.text }
func (f *settingFlag) Set(v string) error { f.text = v; return nil }
func (f *settingFlag) Type() string       { return f.kind }
