package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// violation is what axe-core found wrong with a page.
type violation struct {
	ID    string   `json:"id"`
	Help  string   `json:"help"`
	Nodes []string `json:"nodes"`
}

// axeRun takes what to run: everything, or what colours change.
const axeRun = `axe.run(document, {resultTypes: ['violations'], runOnly: %s})
	.then(r => r.violations.map(v => ({id: v.id, help: v.help, nodes: v.nodes.map(n => n.html.slice(0, 200) + ' ' + (n.failureSummary || '').slice(0, 200))})))`

// What is checked in light colours, and of it what other colours can break.
const (
	allRules   = `['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa']`
	colorRules = `['color-contrast', 'link-in-text-block']`
)

// still shows a page without the refresh that would take it away while it is looked at.
func still(address, elsewhere string) chromedp.Action {
	script := fmt.Sprintf(`fetch(%q).then(r => r.text()).then(html => {
		const page = new DOMParser().parseFromString(html, 'text/html');
		for (const e of page.querySelectorAll('meta[http-equiv=refresh], script')) e.remove();
		document.replaceChild(document.adoptNode(page.documentElement), document.documentElement);
		return Promise.all([...document.querySelectorAll('link[rel=stylesheet]')].map(l => l.sheet || new Promise(done => l.onload = done))).then(() => true);
	})`, address)
	return chromedp.Tasks{
		chromedp.Navigate(elsewhere),
		chromedp.Evaluate(script, nil, func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }),
	}
}

// TestBrowserAccess checks each page in each state by axe-core, at the widths of a phone and a desk and in both colour schemes: no
// violations, nothing to scroll sideways, and no form without its token.
func TestBrowserAccess(t *testing.T) {
	s := goShopping(t)
	// A shop whose workers do neither payments nor deliveries, where what takes a moment stays as it is.
	slow := shopping{startDemo(t, demoSite(t, "PURSER_QUEUES=webhooks")), s.browser}
	axe := axeScript(t)
	paid, payPaid := s.unpaid(t)
	if _, err := s.pay(paid, cardGood); err != nil {
		t.Fatal(err)
	}
	delivered := func(id string) {
		eventually(t, patience, func() bool {
			o, err := s.get(id)
			return err == nil && o.FulfillmentStatus == "delivered"
		}, func() string { return "the order is delivered" })
	}
	delivered(paid)
	_, unpaid := s.unpaid(t)
	_, transfer := s.unpaid(t)
	act(t, s.browser, chromedp.Navigate(transfer), press(transferButton, `img[src*="qr"]`))
	cancelled, payCancelled := s.unpaid(t)
	s.must(t, http.MethodPost, "/v1/orders/"+cancelled+"/cancel", map[string]any{"reason": "wish"}, nil, http.StatusOK)
	waiting, payWaiting := s.unpaid(t)
	asked, err := s.client.pay(waiting, cardConfirms)
	if err != nil {
		t.Fatal(err)
	}
	confirmingID, confirming := slow.unpaid(t)
	preparingID, preparing := slow.unpaid(t)
	for id, card := range map[string]string{confirmingID: cardDelayed, preparingID: cardGood} {
		if _, err := slow.client.pay(id, card); err != nil {
			t.Fatal(err)
		}
	}
	refunded, payRefunded := s.unpaid(t)
	if _, err := s.client.pay(refunded, cardGood); err != nil {
		t.Fatal(err)
	}
	delivered(refunded)
	page := func(url string) chromedp.Action { return chromedp.Navigate(url) }
	order := func(pay string) string { return strings.Replace(pay, "/pay/", "/order/", 1) }
	pages := []struct {
		name string
		open chromedp.Action
	}{
		{"storefront", page(s.base + "/demo")},
		{"checkout", page(s.base + "/buy/demo/editor-pro?quantity=2&add=viewer:1&coupon=WELCOME10")},
		{"checkout with errors", chromedp.Tasks{
			page(s.base + "/buy/demo/viewer"),
			chromedp.Evaluate("document.querySelector('"+continueButton+"').form.noValidate = true", nil),
			press(continueButton, `[aria-invalid="true"]`),
		}},
		{"empty checkout", page(s.base + "/checkout/demo?currency=GBP")},
		{"payment", page(unpaid)},
		{"payment declined", chromedp.Tasks{page(unpaid), fillCard("4000000000000002"), press(payButton, `[role="alert"]`)}},
		{"payment instructions", chromedp.Tasks{page(transfer), chromedp.WaitVisible(`img[src*="qr"]`, chromedp.ByQuery)}},
		{"unpaid order", page(order(unpaid))},
		{"delivered order", page(order(payPaid))},
		{"cancelled order", page(order(payCancelled))},
		{"payment of a cancelled order", page(payCancelled)},
		{"payment that waits for the customer", page(payWaiting)},
		{"test gateway", page(*asked.RedirectURL)},
		{"payment being confirmed", still(confirming, slow.base+"/lost/demo")},
		{"order being confirmed", still(order(confirming), slow.base+"/lost/demo")},
		{"order being prepared", still(order(preparing), slow.base+"/lost/demo")},
		{"refund without a reason", chromedp.Tasks{
			page(order(payRefunded)), chromedp.Click("details.more summary", chromedp.ByQuery), chromedp.WaitVisible("#reason", chromedp.ByQuery),
			chromedp.Evaluate("document.querySelector('#reason').form.noValidate = true", nil), press("details.more button", "#reason-error"),
		}},
		{"refund asked for", chromedp.Tasks{
			page(order(payRefunded)), chromedp.Click("details.more summary", chromedp.ByQuery), chromedp.WaitVisible("#reason", chromedp.ByQuery),
			chromedp.SetValue("#reason", "Bought twice", chromedp.ByQuery), press("details.more button", "#refund-title + [role=status]"),
		}},
		{"lost licence", page(s.base + "/lost/demo")},
		{"lost licence, asked for", page(s.base + "/lost/demo?sent=1")},
		{"lost licence, with an error", chromedp.Tasks{
			page(s.base + "/lost/demo"), chromedp.SetValue("#email", "nobody", chromedp.ByQuery), press(".fields button", "#email-error"),
		}},
		{"terms", page(s.base + "/demo/terms")},
		{"no such order", page(s.base + "/order/none")},
		{"no such page", page(s.base + "/none")},
		{"nothing there", page(s.base + "/buy/demo/no-such-thing")},
		{"operator's sign-in", page(s.base + "/operator")},
		{"mailbox", page(s.base + "/mailbox")},
		{"webhook receiver", page(s.base + "/demo/webhooks")},
		{"documentation", page(s.base + "/docs")},
	}
	wait := func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }
	for _, p := range pages {
		var tokenless int
		act(t, s.browser, chromedp.EmulateViewport(360, 900), p.open, chromedp.WaitVisible("h1", chromedp.ByQuery), chromedp.Evaluate(axe+"; true", nil),
			chromedp.Evaluate(`[...document.forms].filter(f => f.method === 'post' && !f.elements.csrf).length`, &tokenless))
		if tokenless > 0 {
			t.Errorf("%s has %d forms without a token", p.name, tokenless)
		}
		for _, width := range []int64{360, 1440} {
			for scheme, rules := range map[string]string{"light": allRules, "dark": colorRules} {
				var wide bool
				var found []violation
				act(t, s.browser,
					emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}),
					chromedp.EmulateViewport(width, 900),
					chromedp.Evaluate("document.documentElement.scrollWidth > window.innerWidth", &wide),
					chromedp.Evaluate(fmt.Sprintf(axeRun, rules), &found, wait),
				)
				where := fmt.Sprintf("%s at %d px, %s", p.name, width, scheme)
				if wide {
					t.Errorf("%s scrolls sideways", where)
				}
				for _, v := range found {
					t.Errorf("%s: %s: %s\n%s", where, v.ID, v.Help, strings.Join(v.Nodes, "\n"))
				}
			}
		}
	}
}
