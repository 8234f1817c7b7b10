package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const module = "github.com/purser-dev/purser"

// folderRule is a folder with Go in it: what it does, and which of our own packages it may import.
type folderRule struct {
	folder, verb string
	imports      []string
	why          string
}

// folderRules is the map of the program.
var folderRules = []folderRule{
	{"cmd/purser", "wires", []string{"api", "handlers", leaves, "scheduler", "jobs", "models"}, "it puts the parts together, so it knows all of them"},
	{"cmd/bench", "measures", nil, "it sees of purser what customers, merchants and operators see: the program, run as a process"},
	{"cmd/chaos", "breaks", nil, "it uses Purser as everybody outside does, so that it finds what they would"},
	{"api", "answers", []string{"models", "jobs", leaves}, "what a request causes is a promise in models, performed by handlers in another process"},
	{"handlers", "performs", []string{"models", "jobs", leaves}, "what runs a job does not decide when it runs, and answers nobody"},
	{"scheduler", "decides when", []string{"models", "jobs"}, "it performs nothing, so it needs no way to the outside"},
	{"models", "remembers", []string{"jobs"}, "it takes the names of job kinds; no network call is made inside a transaction"},
	{"jobs", "names and enqueues", nil, "everything speaks of jobs, so that jobs can speak of nothing"},
	{"handlers/payment", "talks to gateways", nil, aLeaf},
	{"handlers/license", "makes licences", nil, aLeaf},
	{"handlers/mail", "renders and sends email", nil, aLeaf},
	{"handlers/webhook", "signs and sends webhooks", nil, aLeaf},
	{"jobs/redistest", "tests", []string{"jobs"}, "a Redis for each test"},
	{"models/storetest", "tests", []string{"models"}, "a database for each test"},
	{"handlers/webhook/webhooktest", "tests", nil, "one table of forbidden targets for the sender and for the whole program"},
	{"handlers/payment/paymenttest", "tests", []string{"handlers/payment"}, "one suite for every gateway"},
}

const (
	leaves = "handlers/*"
	aLeaf  = "a leaf talks to one outside system and sees neither the database nor the queue"
)

// ownerRules say which folders may import a technology, so that it can be exchanged, or its traps avoided, in one place. Tests may
// use what they like.
var ownerRules = []struct {
	imports string // a path, or a prefix that ends in a slash
	folders []string
	why     string
}{
	{"github.com/gofiber/fiber/", []string{"api"}, "Fiber reuses the memory of a request; only api knows what may be kept"},
	{"github.com/valyala/fasthttp", []string{"api", "cmd/bench"}, "it is Fiber's; what bench asks with must cost little"},
	{"github.com/danielgtaylor/huma/", []string{"api"}, "the OpenAPI document describes api and nothing else"},
	{"github.com/hibiken/asynqmon", []string{"api"}, "it is mounted behind the operators' session"},
	{"gorm.io/", []string{"models"}, "transactions, locks and the two dialects are decided in models"},
	{"database/sql", []string{"models", "models/storetest"}, "SQL is written in models"},
	{"github.com/jackc/pgx/", []string{"models", "models/storetest", "cmd/bench", "cmd/chaos"}, "SQL is written in models; bench measures beside bare pgx, chaos ends connections"},
	{"modernc.org/sqlite", []string{"models"}, "SQL is written in models"},
	{"github.com/pressly/goose/", []string{"models"}, "the schema is migrated by models"},
	{"github.com/hibiken/asynq", []string{"jobs", "handlers", "scheduler", "api", "cmd/purser", "cmd/bench"}, "models and the leaves know nothing of the queue"},
	{"github.com/redis/go-redis/", []string{"jobs", "jobs/redistest", "handlers", "scheduler", "api", "cmd/purser", "cmd/bench"}, "models and the leaves know nothing of the queue"},
	{"github.com/alicebob/miniredis/", []string{"cmd/purser", "jobs/redistest"}, "embedded mode is started by cmd"},
	{"github.com/spf13/", []string{"cmd/purser"}, "commands and settings are read in cmd, and handed on as values"},
	{"github.com/knadh/koanf/", []string{"cmd/purser"}, "commands and settings are read in cmd, and handed on as values"},
	{"os/signal", []string{"cmd/purser", "cmd/bench", "cmd/chaos"}, "start and stop are decided in cmd"},
	{"html/template", []string{"api", "handlers/mail"}, "HTML is made for pages and for emails"},
	{"net/smtp", nil, "handlers/mail uses go-mail, which speaks current SMTP"},
	{"github.com/wneessen/go-mail", []string{"handlers/mail"}, "only mail talks to mail servers"},
	{"github.com/stripe/", []string{"handlers/payment"}, "only payment talks to gateways"},
	{"code.dny.dev/ssrf", []string{"handlers/webhook"}, "only webhook calls addresses that merchants chose"},
	{"go.opentelemetry.io/otel/sdk/", []string{"cmd/purser"}, "traces are set up in cmd; the others are handed a tracer"},
	{"go.opentelemetry.io/otel/exporters/", []string{"cmd/purser"}, "traces are set up in cmd; the others are handed a tracer"},
	{"github.com/exaring/otelpgx", []string{"models"}, "SQL is written in models"},
	{"testing", []string{"jobs/redistest", "models/storetest", "handlers/payment/paymenttest", "handlers/webhook/webhooktest"}, "the program is not a test"},
}

// callRules say which folders may use one function of a package.
var callRules = []struct {
	imports, prefix string
	folders         []string
	why             string
}{
	{"github.com/hibiken/asynq", "NewServer", []string{"handlers", "cmd/bench"}, "only handlers performs; bench measures beside bare Asynq"},
	{"github.com/hibiken/asynq", "NewScheduler", []string{"scheduler"}, "only scheduler decides when"},
	{"github.com/hibiken/asynq", "NewPeriodicTaskManager", []string{"scheduler"}, "only scheduler decides when"},
	{"github.com/hibiken/asynq", "NewClient", []string{"jobs", "cmd/bench"}, "only jobs enqueues, with the options of its table"},
	{"github.com/hibiken/asynq", "NewTask", []string{"jobs", "cmd/bench"}, "only jobs knows what a task carries: ids"},
	{"os", "Exit", []string{"cmd/purser", "cmd/bench", "cmd/chaos"}, "a library must let its caller clean up"},
	{"log", "Fatal", nil, "a library must let its caller clean up"},
}

// initAllowed are the files that may have an init function, which runs before anybody asked for it.
var initAllowed = map[string]string{
	"api/validation.go": "Huma's texts are variables of its packages, to be set before the first operation is described",
}

// topLevel is what the root may hold besides what begins with a dot and what Git ignores.
var topLevel = []string{
	"cmd", "api", "jobs", "handlers", "models", "scheduler", "deployments", "go.mod", "go.sum", "Makefile", "README.md", "LICENSE",
}

// vague folder names gather whatever nobody found a place for.
var vague = []string{"utils", "util", "common", "helpers", "services", "types", "misc", "pkg", "internal"}

const maxLines = 500

// goFile is one parsed file of the repository.
type goFile struct {
	name, folder string // relative to the root, with slashes
	test         bool
	lines        int
	*ast.File
	set *token.FileSet
}

// repository returns every Go file, and the root.
func repository(t *testing.T) (root string, files []goFile) {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	if files, err = parsed(); err != nil {
		t.Fatal(err)
	}
	if len(files) < 100 {
		t.Fatalf("only %d files were found", len(files))
	}
	return root, files
}

// parsed reads every Go file itself: Go's test cache sees the files that a test opens, but not those that a subprocess does.
var parsed = sync.OnceValues(func() (files []goFile, err error) {
	const root = "../.."
	err = filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		relative = filepath.ToSlash(relative)
		if d.IsDir() {
			if relative != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || relative == "data" || relative == "bin") {
				return filepath.SkipDir
			}
			return nil
		}
		if path.Ext(name) != ".go" {
			return nil
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		files = append(files, goFile{
			name: relative, folder: path.Dir(relative), test: strings.HasSuffix(relative, "_test.go"),
			lines: set.File(file.Pos()).LineCount(), File: file, set: set,
		})
		return nil
	})
	return files, err
})

// imported lists the paths that a file imports.
func (f *goFile) imported() (paths []string) {
	for _, i := range f.Imports {
		if p, err := strconv.Unquote(i.Path.Value); err == nil {
			paths = append(paths, p)
		}
	}
	return paths
}

// covers reports whether a rule's path means an import. A rule that ends in a slash is a prefix; any other also means the packages
// below it.
func covers(rule, imported string) bool {
	return imported == strings.TrimSuffix(rule, "/") || strings.HasPrefix(imported, strings.TrimSuffix(rule, "/")+"/")
}

func TestImportsKeepToTheMap(t *testing.T) {
	t.Parallel()
	_, files := repository(t)
	used := map[string]bool{}
	for _, f := range files {
		i := slices.IndexFunc(folderRules, func(r folderRule) bool { return r.folder == f.folder })
		if i < 0 {
			t.Errorf("%s: the folder %s is not in folderRules; a new package is for a new outside system", f.name, f.folder)
			continue
		}
		rule := folderRules[i]
		used[rule.folder] = true
		for _, p := range f.imported() {
			ours, ok := strings.CutPrefix(p, module+"/")
			if !ok || mayImport(rule.folder, rule.imports, ours, f.test) {
				continue
			}
			t.Errorf("%s imports %s, but %s %s, and may import %v of ours only: %s", f.name, ours, rule.folder, rule.verb, rule.imports, rule.why)
		}
	}
	for _, r := range folderRules {
		if !used[r.folder] {
			t.Errorf("folderRules has %s, which does not exist", r.folder)
		}
	}
}

// mayImport is the rule of one folder. Tests may also use their own package and those that are made for tests.
func mayImport(folder string, allowed []string, imported string, test bool) bool {
	if test && (imported == folder || strings.HasSuffix(imported, "test")) {
		return true
	}
	return slices.ContainsFunc(allowed, func(a string) bool {
		if parent, ok := strings.CutSuffix(a, "/*"); ok {
			return path.Dir(imported) == parent
		}
		return a == imported
	})
}

func TestTechnologiesHaveOwners(t *testing.T) {
	t.Parallel()
	_, files := repository(t)
	used := map[string]bool{}
	for _, f := range files {
		for _, p := range f.imported() {
			for _, r := range ownerRules {
				if !covers(r.imports, p) {
					continue
				}
				used[r.imports] = true
				if !f.test && !slices.Contains(r.folders, f.folder) {
					t.Errorf("%s imports %s, which is for %v: %s", f.name, p, r.folders, r.why)
				}
			}
		}
	}
	for _, r := range ownerRules {
		if !used[r.imports] && len(r.folders) > 0 {
			t.Errorf("ownerRules has %s, which nothing imports", r.imports)
		}
	}
}

func TestFunctionsHaveOwners(t *testing.T) {
	t.Parallel()
	_, files := repository(t)
	for _, f := range files {
		if f.test {
			continue
		}
		f.calls(func(pkg, name string, at token.Position) {
			for _, r := range callRules {
				if pkg == r.imports && strings.HasPrefix(name, r.prefix) && !slices.Contains(r.folders, f.folder) {
					t.Errorf("%s:%d uses %s.%s, which is for %v: %s", f.name, at.Line, path.Base(pkg), name, r.folders, r.why)
				}
			}
		})
	}
}

// calls reports every use of a name of an imported package.
func (f *goFile) calls(report func(pkg, name string, at token.Position)) {
	local := map[string]string{}
	for _, i := range f.Imports {
		p, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			continue
		}
		name := path.Base(p)
		if i.Name != nil {
			name = i.Name.Name
		}
		local[name] = p
	}
	ast.Inspect(f.File, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := s.X.(*ast.Ident); ok && local[x.Name] != "" {
				report(local[x.Name], s.Sel.Name, f.set.Position(s.Pos()))
			}
		}
		return true
	})
}

func TestTestsDoNotSleep(t *testing.T) {
	t.Parallel()
	_, files := repository(t)
	for _, f := range files {
		if !f.test && !strings.HasSuffix(f.folder, "test") {
			continue
		}
		f.calls(func(pkg, name string, at token.Position) {
			if pkg == "time" && name == "Sleep" {
				t.Errorf("%s:%d sleeps: wait for a condition, or turn a clock", f.name, at.Line)
			}
		})
	}
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	t.Parallel()
	_, files := repository(t)
	comments := map[string]int{}
	for _, f := range files {
		if f.test {
			continue
		}
		comments[f.folder] += 0
		if f.Doc == nil {
			continue
		}
		comments[f.folder]++
		want := "Package " + f.Name.Name + " "
		if f.Name.Name == "main" {
			want = "Command " + path.Base(f.folder) + " "
		}
		if !strings.HasPrefix(f.Doc.Text(), want) {
			t.Errorf("%s: the package comment does not begin with %q", f.name, want)
		}
	}
	for folder, n := range comments {
		if n != 1 {
			t.Errorf("%s has %d package comments, want one", folder, n)
		}
	}
}

func TestNothingRunsBeforeMain(t *testing.T) {
	t.Parallel()
	_, files := repository(t)
	for _, f := range files {
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" && initAllowed[f.name] == "" {
				t.Errorf("%s:%d has an init function: make it something that is called, or name it in initAllowed with the reason",
					f.name, f.set.Position(fn.Pos()).Line)
			}
		}
	}
}

func TestFilesAreSmall(t *testing.T) {
	t.Parallel()
	_, files := repository(t)
	for _, f := range files {
		if f.lines > maxLines {
			t.Errorf("%s has %d lines, more than %d: split it by its subjects", f.name, f.lines, maxLines)
		}
	}
}

func TestTheRootStaysSmall(t *testing.T) {
	t.Parallel()
	root, files := repository(t)
	ignored, err := os.ReadFile(filepath.Join(root, ".gitignore"))
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") || slices.Contains(topLevel, e.Name()) || gitIgnores(string(ignored), e.Name()) {
			continue
		}
		t.Errorf("%s is not one of %s", e.Name(), strings.Join(topLevel, ", "))
	}
	for _, f := range files {
		for part := range strings.SplitSeq(f.folder, "/") {
			if slices.Contains(vague, part) {
				t.Errorf("%s: a folder called %s says nothing about what is in it", f.name, part)
			}
		}
	}
}

func gitIgnores(patterns, name string) bool {
	for line := range strings.Lines(patterns) {
		if ok, err := path.Match(strings.Trim(strings.TrimSpace(line), "/"), name); ok && err == nil {
			return true
		}
	}
	return false
}

// The rules are code, too: each of them has to catch something.
func TestRulesCatch(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		folder, imported string
		test, want       bool
	}{
		{"jobs", "models", false, false}, {"models", "jobs", false, true}, {"models", "handlers", false, false}, {"models", "handlers/license", false, false},
		{"handlers", "handlers/mail", false, true}, {"handlers", "api", false, false}, {"handlers", "scheduler", true, false},
		{"handlers/mail", "jobs", false, false}, {"handlers/mail", "handlers/webhook", false, false}, {"scheduler", "handlers/webhook", false, false},
		{"scheduler", "models/storetest", false, false}, {"scheduler", "models/storetest", true, true}, {"jobs", "jobs", true, true},
		{"api", "handlers/license", false, true}, {"api", "handlers", false, false}, {"cmd/purser", "api", false, true},
	} {
		for _, r := range folderRules {
			if r.folder == c.folder && mayImport(r.folder, r.imports, c.imported, c.test) != c.want {
				t.Errorf("%s imports %s (in a test: %v): allowed %v", c.folder, c.imported, c.test, !c.want)
			}
		}
	}
	for _, c := range []struct {
		rule, imported string
		want           bool
	}{
		{"gorm.io/", "gorm.io/gorm", true}, {"testing", "testing", true}, {"testing", "testing/slogtest", true}, {"testing", "testingx", false},
		{"github.com/hibiken/asynq", "github.com/hibiken/asynqmon", false}, {"github.com/spf13/", "github.com/spf13/cobra", true},
	} {
		if covers(c.rule, c.imported) != c.want {
			t.Errorf("the rule for %s covers %s: %v", c.rule, c.imported, !c.want)
		}
	}
	file, err := parser.ParseFile(token.NewFileSet(), "x.go", "package x\nimport zzz \"time\"\nfunc f() { zzz.Sleep(1) }", parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	found := ""
	(&goFile{File: file, set: token.NewFileSet()}).calls(func(pkg, name string, _ token.Position) { found = fmt.Sprint(pkg, ".", name) })
	if found != "time.Sleep" {
		t.Errorf("a renamed package hides a call: %q", found)
	}
}
