package api

import (
	"bytes"
	"io/fs"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

func TestPagesHaveTheSameFrameAndHeaders(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s, func(c *Config) { c.Mailbox, c.Demo = true, true })
		mailboxWith(t, s, "First")
		link := string(mailLink.FindSubmatch(d.browser().get(t, "/mailbox").body)[1])
		admin := d.signedIn(t, models.RoleAdmin)
		for path, b := range map[string]*browser{
			"/operator?": d.browser(), "/operator": admin, "/mailbox": admin, link: admin, link + "?part=text": admin, "/mailbox/x": admin,
			"/demo/webhooks": d.browser(), "/asynqmon": admin, "/docs": d.browser(),
		} {
			got := b.get(t, path)
			for name, want := range map[string]string{
				"Content-Type": "text/html; charset=utf-8", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "same-origin",
				"Cross-Origin-Opener-Policy": "same-origin", "Strict-Transport-Security": "max-age=31536000",
			} {
				if got.header.Get(name) != want {
					t.Errorf("%s: %s %q, want %q", path, name, got.header.Get(name), want)
				}
			}
			if cached := got.header.Get("Cache-Control"); cached != "no-store" && path != "/docs" {
				t.Errorf("%s: Cache-Control %q", path, cached)
			}
			policy := got.header.Get("Content-Security-Policy")
			for _, want := range []string{"default-src 'none'", "style-src 'self'", "base-uri 'none'", "frame-ancestors 'none'"} {
				if !strings.Contains(policy, want) {
					t.Errorf("%s: policy %q", path, policy)
				}
			}
			if strings.Contains(policy, "unsafe") || strings.Contains(policy, "script-src") || strings.Contains(policy, "*") {
				t.Errorf("%s: policy %q", path, policy)
			}
			for _, want := range []string{"<!doctype html>", `<html lang="en">`, `<a class="skip" href="#main">`, `<main id="main"`, `<footer`, `<header`, `name="viewport"`} {
				if !bytes.Contains(got.body, []byte(want)) {
					t.Errorf("%s lacks %s", path, want)
				}
			}
			if n := bytes.Count(got.body, []byte("<h1")); n != 1 {
				t.Errorf("%s has %d first headings", path, n)
			}
			for _, m := range regexp.MustCompile(`"(/assets/[^"]+)"`).FindAllSubmatch(got.body, -1) {
				a := d.browser().get(t, string(m[1])).ok(t, 200)
				if a.header.Get("Cache-Control") != "public, max-age=31536000, immutable" || len(a.body) == 0 {
					t.Errorf("%s: %v", m[1], a.header)
				}
			}
		}
		d.knock(t, ask{method: "GET", path: "/assets/purser.css"}).want(t, 404, codeNotFound)
		d.knock(t, ask{method: "GET", path: "/assets/purser.000000000000.css"}).want(t, 404, codeNotFound)
	})
}

// TestTemplatesNeedNoScriptAndNoInlineStyle holds the templates against the policy that they are served with.
func TestTemplatesNeedNoScriptAndNoInlineStyle(t *testing.T) {
	t.Parallel()
	files, err := fs.Glob(templateFiles, "pages/*.html")
	if err != nil || len(files) < 5 {
		t.Fatalf("%v, %v", files, err)
	}
	ours := regexp.MustCompile(`<script src="{{asset "[a-z.]+"}}" defer></script>`)
	blocked := regexp.MustCompile(`(?i)<script|<style|\sstyle=|\son[a-z]+=|javascript:|(?:src|href)="https?:`)
	for _, name := range files {
		text, err := templateFiles.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if found := blocked.Find(ours.ReplaceAll(text, nil)); found != nil {
			t.Errorf("%s has %q", name, found)
		}
		for _, form := range regexp.MustCompile(`(?s)<form method="post" action="/operator.*?</form>`).FindAll(text, -1) {
			if !bytes.Contains(form, []byte(`name="csrf"`)) {
				t.Errorf("%s has a form without a token: %s", name, form)
			}
		}
		if strings.HasPrefix(name, "pages/shop") {
			for _, form := range regexp.MustCompile(`(?s)<form[^>]*method="post".*?</form>`).FindAll(text, -1) {
				if !bytes.Contains(form, []byte(`{{template "csrf" `)) {
					t.Errorf("%s has a form without a token: %s", name, form)
				}
			}
		}
	}
}

// TestColoursCanBeRead holds every pair of text and background that the stylesheet uses against WCAG 2.2 AA, in both schemes.
func TestColoursCanBeRead(t *testing.T) {
	t.Parallel()
	light, dark, ok := strings.Cut(string(assets["purser.css"].body), "prefers-color-scheme: dark")
	if !ok {
		t.Fatal("no dark scheme")
	}
	for scheme, css := range map[string]string{"light": light, "dark": dark} {
		colour := map[string]string{}
		for _, m := range regexp.MustCompile(`--([a-z-]+): (#[0-9a-f]{6});`).FindAllStringSubmatch(css, -1) {
			colour[m[1]] = m[2]
		}
		for pair, atLeast := range map[string]float64{
			"text canvas": 4.5, "text surface": 4.5, "text sunken": 4.5, "muted canvas": 4.5, "muted surface": 4.5, "muted sunken": 4.5,
			"accent canvas": 4.5, "accent surface": 4.5, "accent sunken": 4.5, "accent-strong canvas": 4.5, "accent-strong surface": 4.5, "text accent-soft": 4.5,
			"on-accent accent": 4.5, "on-accent accent-strong": 4.5, "good good-soft": 4.5, "wait wait-soft": 4.5, "bad bad-soft": 4.5,
			"text bad-soft": 4.5, "text wait-soft": 4.5, "field surface": 3, "field canvas": 3,
		} {
			front, back, _ := strings.Cut(pair, " ")
			if got := contrast(t, colour[front], colour[back]); got < atLeast {
				t.Errorf("%s: %s on %s is %.2f, want %.1f", scheme, front, back, got, atLeast)
			}
		}
	}
}

// contrast is the contrast ratio of WCAG 2.2.
func contrast(t *testing.T, a, b string) float64 {
	t.Helper()
	luminance := func(hex string) float64 {
		var sum float64
		for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
			if len(hex) != 7 {
				t.Fatalf("colour %q", hex)
			}
			n, err := strconv.ParseUint(hex[1+2*i:3+2*i], 16, 8)
			if err != nil {
				t.Fatal(err)
			}
			v := float64(n) / 255
			if v <= 0.04045 {
				v /= 12.92
			} else {
				v = math.Pow((v+0.055)/1.055, 2.4)
			}
			sum += weight * v
		}
		return sum
	}
	x, y := luminance(a), luminance(b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

func TestAttemptsComeBackOneByOne(t *testing.T) {
	t.Parallel()
	now := time.Now()
	a := newAttempts(2, time.Minute, func() time.Time { return now })
	for i, want := range []time.Duration{0, 0, time.Minute, time.Minute} {
		if got := a.take("k"); got != want {
			t.Errorf("try %d waits %v, want %v", i+1, got, want)
		}
	}
	if got := a.take("another"); got != 0 {
		t.Errorf("another key waits %v", got)
	}
	now = now.Add(45 * time.Second)
	if got := a.take("k"); got != 15*time.Second {
		t.Errorf("waits %v", got)
	}
	now = now.Add(15 * time.Second)
	if got := a.take("k"); got != 0 {
		t.Errorf("waits %v", got)
	}
	if got := a.take("k"); got == 0 {
		t.Error("the whole limit came back at once")
	}
	a.forgive("k")
	if got := a.take("k"); got != 0 {
		t.Errorf("forgiven, and waits %v", got)
	}
	now = now.Add(10 * time.Minute)
	a.take("new")
	if n := len(a.seen); n != 1 {
		t.Errorf("%d keys remembered for nothing", n)
	}
	for i := range attemptMemory * 2 {
		a.take(strconv.Itoa(i))
	}
	if n := len(a.seen); n > attemptMemory {
		t.Errorf("%d keys", n)
	}
}
