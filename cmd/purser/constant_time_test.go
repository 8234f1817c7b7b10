package main

import (
	"bytes"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// confidential are the words in the names of values that an attacker would like to guess byte by byte, from the time that a comparison
// takes. What comes from outside is compared with them by hmac.Equal or crypto/subtle, or looked up by a keyed digest.
var confidential = []string{
	"mac", "hmac", "digest", "digests", "sig", "signature", "signatures", "token", "tokens", "secret", "secrets", "password", "passwords", "hash", "hashes", "csrf",
	"credential", "credentials", "fingerprint", "fingerprints", "cookie",
}

// comparers are functions whose time tells how much of two values is the same.
var comparers = []string{
	"bytes.Equal", "bytes.EqualFold", "bytes.Compare", "bytes.HasPrefix", "bytes.Contains", "bytes.Index", "strings.EqualFold", "strings.Compare", "strings.HasPrefix",
	"strings.HasSuffix", "strings.Contains", "strings.Index", "slices.Equal", "slices.Compare", "slices.Contains", "slices.Index", "cmp.Compare", "reflect.DeepEqual", "maps.Equal",
}

// hastyAllowed are the comparisons that may take their time, as they stand in the code, and why.
var hastyAllowed = map[string]string{
	"l.TokensAt(now) >= float64(a.tries)": "a rate limiter's tokens are numbers",
	"s.cookie(c, localeCookie) != lang":   "it holds the language that the visitor chose",
	"row.RequestHash != want.RequestHash": "both are digests of what one merchant sent itself; the answer says whether they differ",
}

var camelWords = regexp.MustCompile(`[A-Z]+[a-z0-9]*|[a-z0-9]+`)

// secretive reports whether an expression is named like something confidential.
func secretive(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.ParenExpr:
		return secretive(e.X)
	case *ast.StarExpr:
		return secretive(e.X)
	case *ast.UnaryExpr:
		return secretive(e.X)
	case *ast.IndexExpr:
		return secretive(e.X) || secretive(e.Index)
	case *ast.SliceExpr:
		return secretive(e.X)
	case *ast.BinaryExpr:
		return e.Op == token.ADD && (secretive(e.X) || secretive(e.Y))
	case *ast.SelectorExpr:
		return secretive(e.Sel)
	case *ast.BasicLit: // the name of a header, a cookie or a form's field
		return e.Kind == token.STRING && secretName(strings.Trim(e.Value, "`\""))
	case *ast.CallExpr:
		if name, ok := e.Fun.(*ast.Ident); ok && (name.Name == "len" || name.Name == "cap") {
			return false
		}
		// A conversion, or something read from where it came in, is what it is of.
		return secretive(e.Fun) || slices.ContainsFunc(e.Args, secretive)
	case *ast.ArrayType:
		return false
	case *ast.Ident:
		return secretName(e.Name)
	}
	return false
}

func secretName(name string) bool {
	return slices.ContainsFunc(camelWords.FindAllString(name, -1), func(word string) bool { return slices.Contains(confidential, strings.ToLower(word)) })
}

// public reports whether everybody knows the value of an expression: a literal, nil, or one of the constants.
func public(e ast.Expr, constants map[string]bool) bool {
	switch e := e.(type) {
	case *ast.ParenExpr:
		return public(e.X, constants)
	case *ast.BasicLit:
		return true
	case *ast.Ident:
		return e.Name == "nil" || e.Name == "true" || e.Name == "false" || constants[e.Name]
	case *ast.SelectorExpr:
		return constants[e.Sel.Name]
	case *ast.CallExpr: // len, and conversions of what is public
		name, ok := e.Fun.(*ast.Ident)
		return ok && (name.Name == "len" || constants[name.Name] || len(e.Args) == 1 && public(e.Args[0], constants))
	case *ast.CompositeLit:
		return true
	}
	return false
}

// hasty reports every comparison of something confidential with something that is not public.
func hasty(set *token.FileSet, file ast.Node, constants map[string]bool, report func(at token.Pos, text string)) {
	tell := func(n ast.Node) {
		var b bytes.Buffer
		if err := format.Node(&b, set, n); err != nil {
			b.WriteString(err.Error())
		}
		report(n.Pos(), b.String())
	}
	judge := func(n ast.Node, operands ...ast.Expr) {
		if slices.ContainsFunc(operands, secretive) && !slices.ContainsFunc(operands, func(e ast.Expr) bool { return public(e, constants) }) {
			tell(n)
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BinaryExpr:
			switch n.Op {
			case token.EQL, token.NEQ, token.LSS, token.GTR, token.LEQ, token.GEQ:
				judge(n, n.X, n.Y)
			}
		case *ast.CallExpr:
			f, ok := n.Fun.(*ast.SelectorExpr)
			if !ok {
				break
			}
			if pkg, ok := f.X.(*ast.Ident); ok && slices.Contains(comparers, pkg.Name+"."+f.Sel.Name) {
				judge(n, n.Args...)
			}
		case *ast.SwitchStmt:
			if n.Tag == nil || !secretive(n.Tag) {
				break
			}
			for _, s := range n.Body.List {
				for _, value := range s.(*ast.CaseClause).List {
					judge(n.Tag, n.Tag, value)
				}
			}
		}
		return true
	})
}

// constantsOf collects the names of all constants of the program, and of those of other packages that are compared with.
func constantsOf(files []goFile) map[string]bool {
	names := map[string]bool{"SignatureSize": true, "PublicKeySize": true, "StatusSeeOther": true}
	for _, f := range files {
		for _, d := range f.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.CONST {
				continue
			}
			for _, s := range g.Specs {
				for _, name := range s.(*ast.ValueSpec).Names {
					names[name.Name] = true
				}
			}
		}
	}
	return names
}

func TestSecretsAreComparedInConstantTime(t *testing.T) {
	t.Parallel()
	_, files := repository(t)
	constants := constantsOf(files)
	used := map[string]bool{}
	careful := 0
	for _, f := range files {
		if f.test || f.folder == "cmd/bench" || f.folder == "cmd/chaos" || strings.HasSuffix(f.folder, "test") {
			continue
		}
		hasty(f.set, f.File, constants, func(at token.Pos, text string) {
			if used[text] = true; hastyAllowed[text] == "" {
				t.Errorf("%s:%d compares %s: use hmac.Equal or crypto/subtle, or look up a keyed digest", f.name, f.set.Position(at).Line, text)
			}
		})
		f.calls(func(pkg, name string, _ token.Position) {
			if pkg == "crypto/hmac" && name == "Equal" || pkg == "crypto/subtle" && name == "ConstantTimeCompare" {
				careful++
			}
		})
	}
	for text := range hastyAllowed {
		if !used[text] {
			t.Errorf("hastyAllowed has %q, which is nowhere", text)
		}
	}
	if careful < 5 {
		t.Errorf("only %d comparisons are in constant time; this test looks at the wrong files", careful)
	}
}

func TestHastyComparisonsAreSeen(t *testing.T) {
	t.Parallel()
	for expression, want := range map[string]bool{
		`token == given`:                              true,
		`given != want.Signature`:                     true,
		`string(mac) == string(given)`:                true,
		`c.Get("X-Signature") == want`:                true,
		`form.Get("csrf") != want`:                    true,
		`csrfToken(cookie) == given`:                  true,
		`h.Sum(nil)[0] == signature[0]`:               true,
		`bytes.Equal(digest, given)`:                  true,
		`strings.EqualFold(hex.EncodeToString(m), s)`: false, // not named so; the names have to tell
		`strings.EqualFold(apiToken, s)`:              true,
		`slices.Contains(secrets, given)`:             true,
		`prefix+token == given`:                       true,
		`*row.PasswordHash == hashed`:                 true,
		`hmac.Equal(mac, given)`:                      false,
		`subtle.ConstantTimeCompare(token, x) == 1`:   false,
		`token == ""`:                                 false,
		`secret != nil`:                               false,
		`len(secret) == 32`:                           false,
		`len(mac) != len(other)`:                      false,
		`kind == tokenKind`:                           false, // a constant
		`strings.HasPrefix(token, "pss_")`:            false,
		`machine == other`:                            false,
		`design == other`:                             false,
	} {
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, "x.go", "package x\nvar _ = "+expression, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		seen := false
		hasty(set, file, map[string]bool{"tokenKind": true}, func(token.Pos, string) { seen = true })
		if seen != want {
			t.Errorf("%s: seen %v, want %v", expression, seen, want)
		}
	}
}
