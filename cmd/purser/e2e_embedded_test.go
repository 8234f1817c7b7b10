package main

import (
	"bytes"
	"fmt"
	"html"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/purser-dev/purser/models"
)

// demo is a running `purser run --demo` with its storefront.
type demo struct {
	*proc
	client
}

// startDemo starts the demo of a site, for the first time or again.
func startDemo(t testing.TB, s *site) demo {
	t.Helper()
	p := s.start(t, []string{"run", "--demo"})
	base := p.serving(t)
	seed, err := readSeed(filepath.Join(s.setting("PURSER_DATA_DIR"), demoFile))
	if err != nil {
		t.Fatal(err)
	}
	return demo{p, client{base, seed.APIKeyTest}}
}

// credentials reads the demo's file, which has to be private.
func credentials(t testing.TB, s *site) []byte {
	t.Helper()
	path := filepath.Join(s.setting("PURSER_DATA_DIR"), demoFile)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != 0o600 {
		t.Errorf("the credentials have mode %v, want 0600", info.Mode())
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// TestDemoFinishesWhatWasKilled cuts the demo's power right after a customer was told that the payment succeeded, several times.
func TestDemoFinishesWhatWasKilled(t *testing.T) {
	t.Parallel()
	s := demoSite(t)
	d := startDemo(t, s)
	seeded := credentials(t, s)
	const rounds, each = 3, 3
	var orders []string
	for round := range rounds {
		for n := range each {
			o, err := d.order(fmt.Sprintf("buyer-%d-%d@%s", round, n, customerDomain), line{"editor-pro", 2}, line{"studio", 1}, line{"viewer", 1 + n})
			if err != nil {
				t.Fatal(err)
			}
			orders = append(orders, o.ID)
		}
		for _, id := range orders[round*each:] {
			if p, err := d.pay(id, cardGood); err != nil || p.Status != models.PaymentSucceeded {
				t.Fatalf("%+v, %v", p, err)
			}
		}
		d.kill()
		d = startDemo(t, s)
	}

	delivered := map[string]*models.OrderView{}
	eventually(t, patience, func() bool {
		for _, id := range orders {
			if delivered[id] != nil {
				continue
			}
			o, err := d.get(id)
			if err != nil {
				t.Fatal(err)
			}
			if o.FulfillmentStatus == models.Delivered {
				delivered[id] = o
			}
		}
		return len(delivered) == len(orders)
	}, func() string { return fmt.Sprintf("%d of %d orders are delivered", len(delivered), len(orders)) })
	var told []models.DeliveryView
	eventually(t, patience, func() bool {
		told = all[models.DeliveryView](t, d.client, "/v1/deliveries")
		for _, w := range told {
			if w.Status != models.DeliverySucceeded {
				return false
			}
		}
		return true
	}, func() string { return fmt.Sprintf("every webhook succeeds: %+v", told) })
	if want := len(orders) * (3 + 3); len(told) != want {
		t.Errorf("%d webhooks, want %d: created, paid, three products, delivered, of each order", len(told), want)
	}
	// Emails come after what they confirm, so the last of them may still be under way.
	texts := map[string]string{}
	eventually(t, patience, func() bool {
		readMailbox(t, d, texts)
		return len(texts) >= len(orders)*(1+3)
	}, func() string { return fmt.Sprintf("%d emails are in the mailbox", len(texts)) })
	if want := len(orders) * (1 + 3); len(texts) != want {
		t.Errorf("%d emails are in the mailbox, want %d", len(texts), want)
	}
	keys := map[string]bool{}
	for _, o := range delivered {
		for _, item := range o.Items {
			if len(item.Licenses) != item.Quantity {
				t.Errorf("item %s: %d licences, want %d", item.ID, len(item.Licenses), item.Quantity)
			}
			for _, l := range item.Licenses {
				if keys[l.Key] {
					t.Errorf("the key of licence %s is there twice", l.ID)
				}
				keys[l.Key] = true
				n := 0
				for _, text := range texts {
					n += strings.Count(text, l.Key)
				}
				if n != 1 {
					t.Errorf("the key of licence %s is in %d emails", l.ID, n)
				}
			}
		}
	}
	if !bytes.Equal(credentials(t, s), seeded) {
		t.Error("a later start has changed the credentials")
	}
	d.stop(t)
	if !bytes.Equal(credentials(t, s), seeded) {
		t.Error("the stop has changed the credentials")
	}
	s.must(t, "doctor")
}

var mailboxLink = regexp.MustCompile(`href="(/mailbox/[^"/]+)"`)
var olderLink = regexp.MustCompile(`href="(/mailbox\?[^"]+)"`)

// readMailbox adds the pages of all emails of a demo to texts, by their addresses.
func readMailbox(t testing.TB, d demo, texts map[string]string) {
	t.Helper()
	for list := "/mailbox"; list != ""; {
		page := d.page(t, list)
		for _, link := range mailboxLink.FindAllStringSubmatch(page, -1) {
			if texts[link[1]] == "" {
				texts[link[1]] = d.page(t, link[1]+"?part=text")
			}
		}
		list = ""
		if older := olderLink.FindStringSubmatch(page); older != nil {
			list = html.UnescapeString(older[1])
		}
	}
}

// page returns the text of a page that is open to everybody.
func (d demo) page(t testing.TB, path string) string {
	t.Helper()
	answer, err := http.Get(d.base + path)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var body bytes.Buffer
	if _, err := body.ReadFrom(answer.Body); err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", path, answer.Status, err)
	}
	return html.UnescapeString(body.String())
}

// TestDataDirectoryIsForOne starts a second program on the data of a running one.
func TestDataDirectoryIsForOne(t *testing.T) {
	t.Parallel()
	s := demoSite(t)
	d := startDemo(t, s)
	before := credentials(t, s)
	for _, args := range [][]string{{"run", "--demo"}, {"run"}} {
		code, stdout, stderr := s.cli(t, args...)
		if code != exitFailure || stdout != "" {
			t.Errorf("%v: exit code %d, want %d:\n%s", args, code, exitFailure, stdout)
		}
		want := fmt.Sprintf("PURSER_DATA_DIR: %s is in use by another purser (pid %d)", s.setting("PURSER_DATA_DIR"), d.cmd.Process.Pid)
		if !strings.Contains(stderr, want) || strings.Contains(stderr, "goroutine") {
			t.Errorf("%v: got %q, want %q", args, stderr, want)
		}
	}
	if _, err := d.order("late@"+customerDomain, line{"viewer", 1}); err != nil {
		t.Errorf("the first one must go on: %v", err)
	}
	if !bytes.Equal(credentials(t, s), before) {
		t.Error("the second one has changed the credentials")
	}
	d.stop(t)
	if _, err := os.Stat(filepath.Join(s.setting("PURSER_DATA_DIR"), lockFile)); err != nil && !os.IsNotExist(err) {
		t.Error(err)
	}
	again := startDemo(t, s)
	again.stop(t)
}

// TestDemoKeepsItsFilesPrivate looks at everything that a demo leaves behind.
func TestDemoKeepsItsFilesPrivate(t *testing.T) {
	t.Parallel()
	s := demoSite(t)
	d := startDemo(t, s)
	d.stop(t)
	dir := s.setting("PURSER_DATA_DIR")
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the data directory must be private: %v, %v", info, err)
	}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && (strings.HasPrefix(e.Name(), demoFile+".") || strings.HasPrefix(e.Name(), secretKeyFile+".")) {
			t.Errorf("%s is left behind", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	seed, err := readSeed(filepath.Join(dir, demoFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range []string{seed.APIKeyTest, seed.APIKeyLive, seed.OperatorEmail, seed.OperatorPassword, "/docs", "/mailbox", "/asynqmon",
		"/demo", "/buy/demo/editor-pro", "/checkout/demo", "/lost/demo", "/openapi.json", "/demo/webhooks", "/operator", "/healthz", "/readyz", "/metrics"} {
		if !strings.Contains(d.out.String(), shown) {
			t.Errorf("the banner lacks %s", shown)
		}
	}
	hides(t, []string{seed.APIKeyTest, seed.APIKeyLive, seed.OperatorPassword}, map[string]string{"the log": d.log.String()})
}
