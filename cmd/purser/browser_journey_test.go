package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/purser-dev/purser/models"
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
			act(t, tab, fillCard("4242424242424242"), press(payButton, "h1"), chromedp.Text("main", &text, chromedp.ByQuery))
			order := strings.Replace(at, "/pay/", "/order/", 1)
			eventually(t, patience, func() bool {
				act(t, tab, chromedp.Navigate(order), chromedp.Text("main", &text, chromedp.ByQuery))
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
	act(t, s.browser, chromedp.Navigate(pay), fillCard("4000000000000002"), press(payButton, `[role="alert"]`), chromedp.Text("main", &text, chromedp.ByQuery))
	if !strings.Contains(text, "declined") || s.succeeded(t, id) != 0 {
		t.Errorf("after a decline: %s", text)
	}
	act(t, s.browser, fillCard("4242424242424242"), chromedp.Click(payButton, chromedp.ByQuery))
	eventually(t, patience, func() bool { return s.succeeded(t, id) == 1 }, func() string { return "the second card paid" })
}

// TestBrowserOfflineThenCard: the account is shown, and the customer changes to a card.
func TestBrowserOfflineThenCard(t *testing.T) {
	s := goShopping(t)
	id, pay := s.unpaid(t)
	var text, picture string
	var drawn bool
	act(t, s.browser, chromedp.Navigate(pay), press(transferButton, `img[src*="qr"]`), chromedp.Text("main", &text, chromedp.ByQuery),
		chromedp.AttributeValue(`img[src*="qr"]`, "alt", &picture, &drawn, chromedp.ByQuery))
	if !strings.Contains(text, "RF") || !strings.Contains(text, "19.00\u00a0EUR") || picture == "" {
		t.Errorf("the instructions: %s (%q)", text, picture)
	}
	act(t, s.browser, chromedp.Navigate(pay), fillCard("4242424242424242"), chromedp.Click(payButton, chromedp.ByQuery))
	eventually(t, patience, func() bool { return s.succeeded(t, id) == 1 }, func() string { return "the card paid" })
	o, err := s.get(id)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range o.Payments {
		if p.Status == models.PaymentPending {
			t.Errorf("the transfer is still waited for: %+v", p)
		}
	}
}

// TestBrowserPressesTwice: Continue and Pay pressed twice make one order and one charge.
func TestBrowserPressesTwice(t *testing.T) {
	s := goShopping(t)
	const twice = `(() => { const f = document.querySelector(%q).form; const b = document.querySelector(%q); f.requestSubmit(b); f.requestSubmit(b); return true })()`
	script := func(button string) string { return strings.ReplaceAll(twice, "%q", "`"+button+"`") }
	var done bool
	var at string
	act(t, s.browser,
		chromedp.Navigate(s.base+"/buy/demo/viewer"), fillCheckout("twice@"+customerDomain),
		chromedp.Evaluate(script(continueButton), &done), chromedp.WaitVisible("#number", chromedp.ByQuery), chromedp.Location(&at),
		fillCard("4242424242424242"), chromedp.Evaluate(script(payButton), &done),
	)
	var list struct {
		Data []models.OrderView `json:"data"`
	}
	eventually(t, patience, func() bool {
		s.must(t, "GET", "/v1/orders?email=twice@"+customerDomain, nil, &list, 200)
		return len(list.Data) > 0 && list.Data[0].Status == models.OrderPaid
	}, func() string { return "the order is paid" })
	if len(list.Data) != 1 {
		t.Errorf("%d orders were made", len(list.Data))
	}
	if n := s.succeeded(t, list.Data[0].ID); n != 1 {
		t.Errorf("%d payments succeeded", n)
	}
}

// TestBrowserTwoTabs pays one order in two tabs; it is charged once.
func TestBrowserTwoTabs(t *testing.T) {
	s := goShopping(t)
	id, pay := s.unpaid(t)
	other, closeTab := chromedp.NewContext(s.browser)
	defer closeTab()
	act(t, s.browser, chromedp.Navigate(pay), fillCard("4242424242424242"))
	act(t, other, chromedp.Navigate(pay), fillCard("4242424242424242"))
	for _, tab := range []context.Context{s.browser, other} {
		act(t, tab, chromedp.Click(payButton, chromedp.ByQuery))
	}
	untilText(t, other, strings.Replace(pay, "/pay/", "/order/", 1), "Viewer")
	eventually(t, patience, func() bool { return s.succeeded(t, id) > 0 }, func() string { return "the order is paid" })
	if n := s.succeeded(t, id); n != 1 {
		t.Errorf("%d payments succeeded", n)
	}
}

// TestBrowserLinks: an expired link and one to nowhere get friendly pages; every language speaks.
func TestBrowserLinks(t *testing.T) {
	s := goShopping(t)
	var link struct{ URL string }
	s.must(t, "POST", "/v1/checkout-links", map[string]any{
		"currency": "EUR", "items": []line{{"viewer", 1}}, "expires_at": time.Now().Add(1500 * time.Millisecond).UTC(),
	}, &link, 201)
	var text, title, lang string
	eventually(t, patience, func() bool {
		act(t, s.browser, chromedp.Navigate(link.URL), chromedp.Text("main", &text, chromedp.ByQuery))
		return strings.Contains(text, "expired")
	}, func() string { return "the link has expired, but: " + text })
	act(t, s.browser, chromedp.Navigate(s.base+"/buy/demo/no-such-thing"), chromedp.Text("main", &text, chromedp.ByQuery))
	if text == "" || strings.Contains(text, "{") {
		t.Errorf("a link to nowhere: %q", text)
	}
	titles := map[string]bool{}
	for _, language := range []string{"en", "de", "fr", "es", "ru"} {
		var known bool
		act(t, s.browser, chromedp.Navigate(s.base+"/buy/demo/viewer?locale="+language), chromedp.Text("h1", &title, chromedp.ByQuery),
			chromedp.AttributeValue("html", "lang", &lang, &known, chromedp.ByQuery))
		if lang != language || titles[title] {
			t.Errorf("%s: the page is in %q and called %q", language, lang, title)
		}
		titles[title] = true
	}
}
