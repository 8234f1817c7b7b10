package main

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestBrowserJourney buys at the demo's storefront and sees the licence on the order page, with scripts and without.
func TestBrowserJourney(t *testing.T) {
	s := goShopping(t)
	for name, scripts := range map[string]bool{"with scripts": true, "without scripts": false} {
		tab, closeTab := chromedp.NewContext(s.browser)
		t.Run(name, func(t *testing.T) {
			var at, text string
			act(t, tab,
				setScripts(scripts),
				chromedp.Navigate(s.base+"/demo"),
				press(`a.button[href*="/buy/demo/viewer"]`, "#email"),
				fillCheckout("journey@"+customerDomain),
				press(continueButton, "#number"),
				chromedp.Location(&at),
			)
			if !strings.HasPrefix(at, s.base+"/pay/") {
				t.Fatalf("Continue leads to %s", at)
			}
			act(t, tab, fillCard("4242424242424242"), chromedp.Click(payButton, chromedp.ByQuery))
			eventually(t, patience, func() bool { // the page of the payment has been left
				return chromedp.Run(tab, chromedp.Location(&text)) == nil && text != at
			}, func() string { return "paying leads on, but the browser is still at " + text })
			order := strings.Replace(at, "/pay/", "/order/", 1)
			eventually(t, patience, func() bool {
				act(t, tab, chromedp.Navigate(order), read("main", &text))
				return licenseShape.MatchString(text)
			}, func() string { return "the order page shows a licence, but: " + text })
		})
		closeTab()
	}
}

// TestBrowserDeclineThenSuccess: a declined card gets a plain reason, and the next one pays.
func TestBrowserDeclineThenSuccess(t *testing.T) {
	s := goShopping(t)
	id, pay := s.unpaid(t)
	var text string
	act(t, s.browser, chromedp.Navigate(pay), fillCard("4000000000000002"), press(payButton, `[role="alert"]`), read("main", &text))
	if !strings.Contains(text, "declined") || s.succeeded(t, id) != 0 {
		t.Errorf("after a decline: %s", text)
	}
	act(t, s.browser, fillCard("4242424242424242"), chromedp.Click(payButton, chromedp.ByQuery))
	eventually(t, patience, func() bool { return s.succeeded(t, id) == 1 }, func() string { return "the second card paid" })
}
