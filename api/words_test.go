package api

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/template/parse"
	"time"

	"github.com/nicksnyder/go-i18n/v2/i18n"
)

// texts are all messages of a language by their ids.
func texts(t *testing.T, lang string) map[string]*i18n.Message {
	t.Helper()
	files, err := fs.Glob(localeFiles, "locales/*."+lang+".toml")
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %v, %v", lang, files, err)
	}
	out := map[string]*i18n.Message{}
	for _, name := range files {
		file, err := readMessages(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range file.Messages {
			out[m.ID] = m
		}
	}
	return out
}

var wordSlot = regexp.MustCompile(`\{\{\.([a-z_]+)\}\}`)

func slots(text string) []string {
	var names []string
	for _, m := range wordSlot.FindAllStringSubmatch(text, -1) {
		names = append(names, m[1])
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// TestEveryLanguageHasEveryWord holds all languages against English: the same texts, with the same values and links in them, and the
// plural forms that the language has.
func TestEveryLanguageHasEveryWord(t *testing.T) {
	t.Parallel()
	forms := func(m *i18n.Message) map[string]string {
		return map[string]string{"zero": m.Zero, "one": m.One, "two": m.Two, "few": m.Few, "many": m.Many, "other": m.Other}
	}
	plural := map[string][]string{ // the cardinal categories of Unicode CLDR
		"en": {"one", "other"}, "de": {"one", "other"}, "fr": {"many", "one", "other"}, "es": {"many", "one", "other"}, "ru": {"few", "many", "one", "other"},
	}
	english := texts(t, "en")
	for _, tongue := range tongues {
		lang, all := tongue.Locale, texts(t, tongue.Locale)
		for id, want := range english {
			got := all[id]
			if got == nil {
				t.Errorf("%s: no text %s", lang, id)
				continue
			}
			has := forms(got)
			maps.DeleteFunc(has, func(_, text string) bool { return text == "" })
			wanted := []string{"other"}
			if want.One != "" {
				wanted = plural[lang]
			}
			if names := slices.Sorted(maps.Keys(has)); !slices.Equal(names, wanted) {
				t.Errorf("%s: %s has the forms %q, want %q", lang, id, names, wanted)
			}
			for form, text := range has {
				if text != strings.TrimSpace(text) {
					t.Errorf("%s: %s %s has outer blanks", lang, id, form)
				}
				if !slices.Equal(slots(text), slots(want.Other)) {
					t.Errorf("%s: %s %s has the values %q, want %q", lang, id, form, slots(text), slots(want.Other))
				}
				if strings.Count(text, "{{") != len(wordSlot.FindAllString(text, -1)) {
					t.Errorf("%s: %s %s has a malformed value: %s", lang, id, form, text)
				}
				for _, mark := range []string{"<a>", "</a>"} {
					if strings.Count(text, mark) != strings.Count(want.Other, mark) {
						t.Errorf("%s: %s %s has not as many %s as English", lang, id, form, mark)
					}
				}
			}
		}
		for id := range all {
			if english[id] == nil {
				t.Errorf("%s: %s does not exist in English", lang, id)
			}
		}
	}
	files, err := fs.Glob(localeFiles, "locales/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		subject, lang, _ := strings.Cut(strings.TrimSuffix(path.Base(name), ".toml"), ".")
		if !slices.ContainsFunc(tongues, func(t tongue) bool { return t.Locale == lang }) || subject == "" {
			t.Errorf("%s is in no language that pages are in", name)
		}
	}
}

// A use is where a text is asked for. Its id may be the beginning of one that the program completes.
type use struct {
	where, id string
	begins    bool
	values    []string // nil where they cannot be told
}

// TestWordsThatAreUsedExist finds every text that templates and Go ask for, and every text that nobody asks for.
func TestWordsThatAreUsedExist(t *testing.T) {
	t.Parallel()
	english := texts(t, "en")
	uses := append(templateUses(), goUses(t)...)
	if len(uses) < 20 {
		t.Fatalf("only %d uses were found", len(uses))
	}
	used := map[string]bool{}
	for _, u := range uses {
		found := false
		for id, m := range english {
			if id != u.id && (!u.begins || !strings.HasPrefix(id, u.id)) {
				continue
			}
			found, used[id] = true, true
			if !u.begins && u.values != nil && !slices.Equal(u.values, slots(m.Other)) {
				t.Errorf("%s gives %s the values %q, want %q", u.where, id, u.values, slots(m.Other))
			}
		}
		if !found {
			t.Errorf("%s asks for %s, which does not exist", u.where, u.id)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(english)) {
		if !used[id] {
			t.Errorf("nobody asks for %s", id)
		}
	}
}

var wordMethods = []string{"T", "Linked"}

// templateUses walks the customers' templates.
func templateUses() (uses []use) {
	var walk func(where string, n parse.Node)
	pipe := func(where string, p *parse.PipeNode) {
		if p == nil {
			return
		}
		for _, c := range p.Cmds {
			if u, ok := templateUse(where, c); ok {
				uses = append(uses, u)
			}
			for _, arg := range c.Args {
				walk(where, arg)
			}
		}
	}
	branch := func(where string, b *parse.BranchNode) {
		pipe(where, b.Pipe)
		walk(where, b.List)
		if b.ElseList != nil {
			walk(where, b.ElseList)
		}
	}
	walk = func(where string, n parse.Node) {
		switch n := n.(type) {
		case *parse.ListNode:
			if n != nil {
				for _, child := range n.Nodes {
					walk(where, child)
				}
			}
		case *parse.ActionNode:
			pipe(where, n.Pipe)
		case *parse.PipeNode:
			pipe(where, n)
		case *parse.TemplateNode:
			pipe(where, n.Pipe)
		case *parse.IfNode:
			branch(where, &n.BranchNode)
		case *parse.RangeNode:
			branch(where, &n.BranchNode)
		case *parse.WithNode:
			branch(where, &n.BranchNode)
		}
	}
	for name, page := range shopTemplates {
		for _, part := range page.Templates() {
			if part.Tree != nil {
				walk("shop_"+name+" "+part.Name(), part.Tree.Root)
			}
		}
	}
	return uses
}

func templateUse(where string, c *parse.CommandNode) (use, bool) {
	name := ""
	switch f := c.Args[0].(type) {
	case *parse.FieldNode:
		name = f.Ident[len(f.Ident)-1]
	case *parse.VariableNode:
		name = f.Ident[len(f.Ident)-1]
	case *parse.ChainNode:
		name = f.Field[len(f.Field)-1]
	}
	if !slices.Contains(wordMethods, name) || len(c.Args) < 2 {
		return use{}, false
	}
	u := use{where: where, values: []string{}}
	switch id := c.Args[1].(type) {
	case *parse.StringNode:
		u.id = id.Text
	case *parse.PipeNode: // (printf "pay.state_%s" .State)
		if format, ok := id.Cmds[0].Args[1].(*parse.StringNode); ok {
			u.id, _, u.begins = strings.Cut(format.Text, "%")
		}
	default: // an id from the program, where it is a use by itself
		return use{}, false
	}
	first := 2
	if name == "Linked" {
		first = 3
	}
	for i := first; i < len(c.Args); i += 2 {
		if s, ok := c.Args[i].(*parse.StringNode); ok {
			u.values = append(u.values, s.Text)
		}
	}
	slices.Sort(u.values)
	return u, true
}

// wordID is a string that looks like a text's id, in tables and arguments that end as one.
var wordID = regexp.MustCompile(`^[a-z]+\.[a-z][a-z0-9_.]*$`)

// goUses looks through this package's sources: calls of the methods above and of shopMessage, and strings that are texts' ids or the
// beginnings of them.
func goUses(t *testing.T) (uses []use) {
	t.Helper()
	subjects := map[string]bool{}
	english := texts(t, "en")
	for id := range english {
		subject, _, _ := strings.Cut(id, ".")
		subjects[subject] = true
	}
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	set := token.NewFileSet()
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".go") || strings.HasSuffix(f.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(set, f.Name(), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		called := map[ast.Node]bool{}
		ast.Inspect(file, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok {
				if u, ok := goUse(call); ok {
					u.where = set.Position(call.Pos()).String()
					uses = append(uses, u)
					called[call.Args[0]] = true
				}
			}
			lit, ok := n.(*ast.BasicLit)
			if !ok || lit.Kind != token.STRING || called[lit] {
				return true
			}
			id, err := strconv.Unquote(lit.Value)
			subject, _, _ := strings.Cut(id, ".")
			if err != nil || !wordID.MatchString(id) || !subjects[subject] {
				return true
			}
			// An id, a prefix of ids, or something else that looks alike, such as an event's type.
			for known := range english {
				if known == id || strings.HasPrefix(known, id+"_") || (strings.HasSuffix(id, "_") && strings.HasPrefix(known, id)) {
					uses = append(uses, use{where: set.Position(lit.Pos()).String(), id: id, begins: known != id})
				}
			}
			return true
		})
	}
	return uses
}

// goUse is a call of T or Linked with a literal id, or with one that begins with a literal.
func goUse(call *ast.CallExpr) (use, bool) {
	method, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || !slices.Contains(wordMethods, method.Sel.Name) || len(call.Args) == 0 {
		return use{}, false
	}
	lit, ok := call.Args[0].(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return use{}, false
	}
	id, err := strconv.Unquote(lit.Value)
	if err != nil {
		return use{}, false
	}
	u := use{id: id, values: []string{}}
	first := 1
	if method.Sel.Name == "Linked" {
		first = 2
	}
	if call.Ellipsis.IsValid() {
		u.values = nil
	}
	for i := first; u.values != nil && i < len(call.Args); i += 2 {
		name, ok := call.Args[i].(*ast.BasicLit)
		if !ok {
			u.values = nil
			break
		}
		value, _ := strconv.Unquote(name.Value)
		u.values = append(u.values, value)
	}
	slices.Sort(u.values)
	return u, true
}

func TestMoneyOnPages(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		lang     string
		minor    int64
		currency string
		want     string
	}{
		{"en", 4900, "EUR", "49.00\u00a0EUR"},
		{"", 4900, "EUR", "49.00\u00a0EUR"},
		{"de", 4900, "EUR", "49,00\u00a0EUR"},
		{"ru", 5, "EUR", "0,05\u00a0EUR"},
		{"en", 123456, "USD", "1,234.56\u00a0USD"},
		{"de", 123456, "USD", "1.234,56\u00a0USD"},
		{"fr", 1234567, "USD", "12\u202f345,67\u00a0USD"},
		{"es", -1234567890, "USD", "\u221212.345.678,90\u00a0USD"},
		{"en", 7800, "JPY", "7,800\u00a0JPY"},
		{"de", 123456, "JPY", "123.456\u00a0JPY"},
		{"de", 9800, "KWD", "9,800\u00a0KWD"},
		{"en", 0, "EUR", "0.00\u00a0EUR"},
	} {
		if got := (words{tt.lang}).Money(tt.minor, tt.currency); got != tt.want {
			t.Errorf("%s: %d %s is %q, want %q", tt.lang, tt.minor, tt.currency, got, tt.want)
		}
	}
}

func TestDatesOnPages(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, time.March, 1, 23, 30, 0, 0, time.FixedZone("", -3600)) // 2 March in UTC
	for lang, want := range map[string]string{
		"en": "2 March 2026, 00:30 UTC", "de": "2. März 2026, 00:30 UTC", "fr": "2 mars 2026, 00:30 UTC", "es": "2 de marzo de 2026, 00:30 UTC", "ru": "2 марта 2026 г., 00:30 UTC",
	} {
		if got := (words{lang}).DateTime(at); got != want {
			t.Errorf("%s: %q, want %q", lang, got, want)
		}
	}
	if got := (words{"en"}).DateTime(time.Time{}) + (words{"fr"}).Date(time.Time{}); got != "" {
		t.Errorf("no time is %q", got)
	}
}

func TestTongues(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]string{
		"": "en", "de": "de", "de-AT,de;q=0.9,en;q=0.8": "de", "ja,ru;q=0.5,en;q=0.3": "ru", "ja": "en", "en-GB,fr": "en", "fr;q=0.1,es;q=0.9": "es",
		"uk,pl;q=0.9": "en", "de;q=0, fr": "fr", "*": "en", ";;;": "en", strings.Repeat("de,", 5000): "de",
	} {
		if got := acceptedTongue(header); got != want {
			t.Errorf("Accept-Language %.40q: %s, want %s", header, got, want)
		}
	}
	for locale, known := range map[string]bool{"en": true, "en_EN": true, "EN": true, "de-CH": true, "ru": true, "": false, "ja": false, "en'": false, "uk": false} {
		if _, ok := tongueOf(locale); ok != known {
			t.Errorf("locale %q is known: %v, want %v", locale, ok, known)
		}
	}
}

func TestLinkedEscapesEverythingElse(t *testing.T) {
	t.Parallel()
	got := string((words{"en"}).Linked("common.support", `https://x.example/?a="b"`, "merchant", `<b>&"</b>`))
	if want := "Questions? &lt;b&gt;&amp;&#34;&lt;/b&gt; helps:"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
