package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// browserPatience bounds one test in the browser.
const browserPatience = 15 * time.Minute

// findBrowser finds Chromium, or says how to get it: no test is skipped for the lack of it.
func findBrowser(t testing.TB) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	for _, path := range []string{"/Applications/Chromium.app/Contents/MacOS/Chromium", "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"} {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	t.Fatal("Chromium is missing; install it with: apt-get install chromium (Debian), brew install --cask chromium (macOS)")
	return ""
}

// The browser tests do not run in parallel: each has the machine's few cores to itself.

// openBrowser starts a headless browser with a profile of its own. Every context made of the result is a tab of it.
func openBrowser(t testing.TB) context.Context {
	t.Helper()
	// Not t.TempDir: the browser's last children may still write while a test ends. The folder goes with the test process.
	profile, err := os.MkdirTemp(scratch, "profile-")
	if err != nil {
		t.Fatal(err)
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(findBrowser(t)), chromedp.NoSandbox, chromedp.UserDataDir(profile),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-dev-shm-usage", true),
		chromedp.WSURLReadTimeout(time.Minute))
	ctx, cancel := context.WithTimeout(context.Background(), browserPatience)
	t.Cleanup(cancel)
	ctx, stop := chromedp.NewExecAllocator(ctx, opts...)
	t.Cleanup(stop)
	ctx, end := chromedp.NewContext(ctx)
	t.Cleanup(end)
	// Started here, so that tabs made of it share the one browser.
	if err := chromedp.Run(ctx); err != nil {
		t.Fatalf("start the browser: %v", err)
	}
	return ctx
}

// act runs actions in a tab, and on failure tells where the tab is.
func act(t testing.TB, tab context.Context, actions ...chromedp.Action) {
	t.Helper()
	if err := chromedp.Run(tab, actions...); err != nil {
		var at, text string
		_ = chromedp.Run(tab, chromedp.Location(&at), chromedp.Text("body", &text, chromedp.ByQuery))
		t.Fatalf("%v, at %s:\n%s", err, at, text)
	}
}

// read reads a text of the page, again if the page loaded itself anew just then, as some do while something is under way.
func read(selector string, text *string) chromedp.Action {
	return chromedp.ActionFunc(func(tab context.Context) error {
		for {
			err := chromedp.Text(selector, text, chromedp.ByQuery).Do(tab)
			if err == nil || tab.Err() != nil || !strings.Contains(err.Error(), "No node with given id") {
				return err
			}
		}
	})
}

func setScripts(on bool) chromedp.Action { return emulation.SetScriptExecutionDisabled(!on) }

// press clicks a button that leads to another page, and waits for something on that page.
func press(button, then string) chromedp.Action {
	return chromedp.Tasks{chromedp.Click(button, chromedp.ByQuery), chromedp.WaitVisible(then, chromedp.ByQuery)}
}

// fillCheckout fills in what the checkout page asks a private customer for.
func fillCheckout(email string) chromedp.Action {
	return chromedp.Tasks{
		chromedp.WaitVisible("#email", chromedp.ByQuery),
		chromedp.SetValue("#email", email, chromedp.ByQuery),
		chromedp.SetValue("#country", "GB", chromedp.ByQuery),
		chromedp.Click("#terms", chromedp.ByQuery),
		chromedp.Click("#personal_data", chromedp.ByQuery),
	}
}

const (
	continueButton = `button[value="continue"]`
	payForm        = `section[aria-labelledby="method-card"] `
	payButton      = payForm + `button.button`
	transferButton = `section[aria-labelledby="method-bank_transfer"] button.button`
)

// fillCard types a card on the payment page.
func fillCard(number string) chromedp.Action {
	return chromedp.Tasks{
		chromedp.WaitVisible("#number", chromedp.ByQuery),
		chromedp.SetValue("#number", number, chromedp.ByQuery),
		chromedp.SetValue("#expiry", "12/31", chromedp.ByQuery),
		chromedp.SetValue("#cvc", "123", chromedp.ByQuery),
	}
}

// shopping is a demo with a browser before it.
type shopping struct {
	demo
	browser context.Context
}

func goShopping(t testing.TB) shopping {
	t.Helper()
	return shopping{startDemo(t, demoSite(t)), openBrowser(t)}
}

// unpaid makes an order by the API and returns its id and payment page.
func (s shopping) unpaid(t testing.TB) (id, payURL string) {
	t.Helper()
	o, err := s.order("page@"+customerDomain, line{"viewer", 1})
	if err != nil {
		t.Fatal(err)
	}
	return o.ID, o.PaymentURL
}

// succeeded counts an order's successful payments.
func (s shopping) succeeded(t testing.TB, id string) (n int) {
	t.Helper()
	o, err := s.get(id)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range o.Payments {
		if p.Status == "succeeded" {
			n++
		}
	}
	return n
}

// axeScript is the accessibility checker, see testdata/axe.
func axeScript(t testing.TB) string {
	t.Helper()
	script, err := os.ReadFile(filepath.Join("testdata", "axe", "axe.min.js"))
	if err != nil {
		t.Fatal(err)
	}
	return string(script)
}

// licenseShape is a key of the demo's viewer.
var licenseShape = regexp.MustCompile(`[0-9A-Z]{5}(-[0-9A-Z]{5}){3}`)
