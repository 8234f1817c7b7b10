package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// violation is what axe-core found wrong with a page.
type violation struct {
	ID    string   `json:"id"`
	Help  string   `json:"help"`
	Nodes []string `json:"nodes"`
}

const axeRun = `axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa']})
	.then(r => r.violations.map(v => ({id: v.id, help: v.help, nodes: v.nodes.map(n => n.html.slice(0, 200) + ' ' + (n.failureSummary || '').slice(0, 200))})))`

// TestBrowserAccess checks each page by axe-core at the widths of a phone and a desk: no violations, and nothing to scroll sideways.
func TestBrowserAccess(t *testing.T) {
	s := goShopping(t)
	axe := axeScript(t)
	paid, payPaid := s.unpaid(t)
	if _, err := s.pay(paid, cardGood); err != nil {
		t.Fatal(err)
	}
	eventually(t, patience, func() bool {
		o, err := s.get(paid)
		return err == nil && o.FulfillmentStatus == "delivered"
	}, func() string { return "the order is delivered" })
	_, unpaid := s.unpaid(t)
	_, transfer := s.unpaid(t)
	act(t, s.browser, chromedp.Navigate(transfer), press(transferButton, `img[src*="qr"]`))
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
		{"lost licence", page(s.base + "/lost/demo")},
		{"nothing there", page(s.base + "/buy/demo/no-such-thing")},
		{"operator's sign-in", page(s.base + "/operator")},
		{"mailbox", page(s.base + "/mailbox")},
		{"webhook receiver", page(s.base + "/demo/webhooks")},
		{"documentation", page(s.base + "/docs")},
	}
	for _, p := range pages {
		for _, width := range []int64{360, 1440} {
			var wide bool
			var found []violation
			act(t, s.browser,
				chromedp.EmulateViewport(width, 900), p.open, chromedp.WaitVisible("h1", chromedp.ByQuery),
				chromedp.Evaluate("document.documentElement.scrollWidth > window.innerWidth", &wide),
				chromedp.Evaluate(axe+"; true", nil),
				chromedp.Evaluate(axeRun, &found, func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }),
			)
			where := fmt.Sprintf("%s at %d px", p.name, width)
			if wide {
				t.Errorf("%s scrolls sideways", where)
			}
			for _, v := range found {
				t.Errorf("%s: %s: %s\n%s", where, v.ID, v.Help, strings.Join(v.Nodes, "\n"))
			}
		}
	}
}
