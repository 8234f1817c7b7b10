package main

import (
	"context"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"

	"github.com/purser-dev/purser/models"
)

// jar is a place for cookies that only its own tabs share.
func (s shopping) jar(t *testing.T) cdp.BrowserContextID {
	t.Helper()
	var id cdp.BrowserContextID
	s.browse(t, func(ctx context.Context) (err error) {
		id, err = target.CreateBrowserContext().Do(ctx)
		return err
	})
	t.Cleanup(func() {
		s.browse(t, func(ctx context.Context) error { return target.DisposeBrowserContext(id).Do(ctx) })
	})
	return id
}

// open opens a tab with the cookies of a jar, in a window of its own. At the test's end nothing may have gone wrong in it: no script's
// error, and nothing that the policy of a page refused.
func (s shopping) open(t *testing.T, jar cdp.BrowserContextID) context.Context {
	t.Helper()
	var id target.ID
	s.browse(t, func(ctx context.Context) (err error) {
		id, err = target.CreateTarget("about:blank").WithBrowserContextID(jar).WithNewWindow(true).Do(ctx)
		return err
	})
	tab, end := chromedp.NewContext(s.browser, chromedp.WithTargetID(id))
	t.Cleanup(end)
	listen(t, tab)
	return tab
}

// visitor is the only tab of somebody who was not here before.
func (s shopping) visitor(t *testing.T) context.Context {
	t.Helper()
	return s.open(t, s.jar(t))
}

// browse asks the browser itself, not one of its tabs.
func (s shopping) browse(t *testing.T, do func(context.Context) error) {
	t.Helper()
	if err := do(cdp.WithExecutor(s.browser, chromedp.FromContext(s.browser).Browser)); err != nil {
		t.Fatal(err)
	}
}

func listen(t *testing.T, tab context.Context) {
	var mu sync.Mutex
	var wrong []string
	chromedp.ListenTarget(tab, func(event any) {
		mu.Lock()
		defer mu.Unlock()
		switch e := event.(type) {
		case *log.EventEntryAdded:
			// A page that says what is wrong with a form is answered by a status of its own, which the console tells of.
			if e.Entry.Level == log.LevelError && !strings.Contains(e.Entry.Text, "status of 4") {
				wrong = append(wrong, e.Entry.Text)
			}
		case *runtime.EventExceptionThrown:
			wrong = append(wrong, e.ExceptionDetails.Error())
		}
	})
	t.Cleanup(func() {
		mu.Lock()
		defer mu.Unlock()
		if len(wrong) > 0 {
			t.Errorf("the console says %q", wrong)
		}
	})
}

// pressTwice presses a button by two clicks of the mouse, one right after the other.
func pressTwice(selector string) chromedp.Action {
	return chromedp.ActionFunc(func(ctx context.Context) error {
		var at struct{ X, Y float64 }
		find := `(() => { const e = document.querySelector(` + "`" + selector + "`" + `); e.scrollIntoView({block: "center", behavior: "instant"});
			const r = e.getBoundingClientRect(); return {x: r.x + r.width / 2, y: r.y + r.height / 2}; })()`
		return chromedp.Tasks{
			chromedp.Evaluate(find, &at),
			chromedp.ActionFunc(func(ctx context.Context) error { return chromedp.MouseClickXY(at.X, at.Y).Do(ctx) }),
			chromedp.ActionFunc(func(ctx context.Context) error { return chromedp.MouseClickXY(at.X, at.Y).Do(ctx) }),
		}.Do(ctx)
	})
}

// ordersOf are the orders of one customer.
func (s shopping) ordersOf(t *testing.T, email string) []models.OrderView {
	t.Helper()
	return listOf[models.OrderView](t, s.client, "/v1/orders?limit=100&email="+url.QueryEscape(email))
}

func listOf[T any](t testing.TB, c client, path string) []T {
	t.Helper()
	var page struct {
		Data []T `json:"data"`
	}
	c.must(t, http.MethodGet, path, nil, &page, http.StatusOK)
	return page.Data
}

// TestBrowserBuying is what customers do that a shop has to survive: one shop, one browser, and a visitor for each.
func TestBrowserBuying(t *testing.T) {
	s := goShopping(t)
	t.Run("bank transfer, then card", func(t *testing.T) {
		id, pay := s.unpaid(t)
		tab := s.visitor(t)
		var text string
		act(t, tab, chromedp.Navigate(pay), press(transferButton, `img[src*="qr"]`), read("main", &text))
		for _, want := range []string{"RF", "DE89 3704 0044 0532 0130 00", "19.00\u00a0EUR"} {
			if !strings.Contains(text, want) {
				t.Errorf("the instructions lack %s: %s", want, text)
			}
		}
		if s.succeeded(t, id) != 0 {
			t.Error("choosing a bank transfer has paid")
		}
		act(t, tab, fillCard(cardGood), chromedp.Click(payButton, chromedp.ByQuery))
		eventually(t, patience, func() bool { return s.succeeded(t, id) == 1 }, func() string { return "the card paid" })
		o, err := s.get(id)
		if err != nil || o.Status != models.OrderPaid || o.AmountRefunded != 0 {
			t.Errorf("%+v, %v", o, err)
		}
		// The payment page that was left leads to the order and asks for nothing.
		act(t, tab, chromedp.Navigate(pay), chromedp.WaitVisible("h1", chromedp.ByQuery), chromedp.Location(&text))
		if !strings.Contains(text, "/order/") {
			t.Errorf("the payment page of a paid order leads to %s", text)
		}
	})
	for name, scripts := range map[string]bool{"every button twice with scripts": true, "every button twice without scripts": false} {
		t.Run(name, func(t *testing.T) {
			email := strings.ReplaceAll(name, " ", "-") + "@" + customerDomain
			tab := s.visitor(t)
			var at string
			act(t, tab, setScripts(scripts), chromedp.Navigate(s.base+"/buy/demo/viewer"), fillCheckout(email), pressTwice(continueButton),
				chromedp.WaitVisible("#number", chromedp.ByQuery), chromedp.Location(&at))
			if orders := s.ordersOf(t, email); len(orders) != 1 {
				t.Fatalf("%d orders", len(orders))
			}
			act(t, tab, chromedp.Navigate(at), fillCard(cardGood), pressTwice(payButton))
			id := s.ordersOf(t, email)[0].ID
			eventually(t, patience, func() bool { return s.succeeded(t, id) > 0 }, func() string { return "the card paid" })
			if o, err := s.get(id); err != nil || len(o.Payments) != 1 || len(s.ordersOf(t, email)) != 1 {
				t.Errorf("want one order and one payment: %+v, %v", o, err)
			}
		})
	}
	t.Run("two tabs", func(t *testing.T) {
		const email = "two-tabs@" + customerDomain
		jar := s.jar(t)
		first := s.open(t, jar)
		act(t, first, chromedp.Navigate(s.base+"/buy/demo/viewer"), fillCheckout(email))
		second := s.open(t, jar)
		act(t, second, chromedp.Navigate(s.base+"/checkout/demo"), fillCheckout(email))
		var one, other string
		act(t, first, press(continueButton, "#number"), chromedp.Location(&one))
		act(t, second, press(continueButton, "#number"), chromedp.Location(&other))
		if one != other || len(s.ordersOf(t, email)) != 1 {
			t.Fatalf("the cart was ordered as %s and as %s", one, other)
		}
		act(t, first, fillCard(cardGood))
		act(t, second, fillCard(cardGood))
		act(t, first, chromedp.Click(payButton, chromedp.ByQuery))
		act(t, second, chromedp.Click(payButton, chromedp.ByQuery))
		id := s.ordersOf(t, email)[0].ID
		eventually(t, patience, func() bool {
			o, err := s.get(id)
			return err == nil && o.FulfillmentStatus == models.Delivered
		}, func() string { return "the order is delivered" })
		if n := s.succeeded(t, id); n != 1 {
			t.Errorf("%d payments have succeeded", n)
		}
	})
	t.Run("a link that has expired", func(t *testing.T) {
		var link models.CheckoutLinkView
		s.must(t, http.MethodPost, "/v1/checkout-links", map[string]any{
			"currency": "EUR", "expires_at": time.Now().Add(3 * time.Second).UTC(), "items": []map[string]any{{"product": "viewer", "quantity": 1}},
		}, &link, http.StatusCreated)
		tab := s.visitor(t)
		var text string
		eventually(t, patience, func() bool {
			act(t, tab, chromedp.Navigate(link.URL), read("main", &text))
			return strings.Contains(text, "expired")
		}, func() string { return "the link expires, but: " + text })
		act(t, tab, chromedp.Navigate(s.base+"/checkout/demo"), read("h1", &text))
		if strings.Contains(text, "expired") {
			t.Errorf("the shop itself says %s", text)
		}
	})
	t.Run("a quantity by its buttons", func(t *testing.T) {
		tab := s.visitor(t)
		act(t, tab, chromedp.Navigate(s.base+"/buy/demo/viewer"), chromedp.Click(`[data-step="1"]`, chromedp.ByQuery))
		var said string
		eventually(t, patience, func() bool {
			act(t, tab, chromedp.Evaluate(`document.querySelector("#said[role=status]").textContent + document.querySelector("#due").textContent`, &said))
			return strings.Count(said, "38.00") == 2
		}, func() string { return "the total is told: " + said })
	})
}

// dates are how the languages write a day.
var dates = map[string]*regexp.Regexp{
	"en": regexp.MustCompile(`\d{1,2} (January|February|March|April|May|June|July|August|September|October|November|December) 20\d\d`),
	"de": regexp.MustCompile(`\d{1,2}\. (Januar|Februar|März|April|Mai|Juni|Juli|August|September|Oktober|November|Dezember) 20\d\d`),
	"fr": regexp.MustCompile(`\d{1,2}(er)? (janvier|février|mars|avril|mai|juin|juillet|août|septembre|octobre|novembre|décembre) 20\d\d`),
	"es": regexp.MustCompile(`\d{1,2} de (enero|febrero|marzo|abril|mayo|junio|julio|agosto|septiembre|octubre|noviembre|diciembre) de 20\d\d`),
	"ru": regexp.MustCompile(`\d{1,2} (января|февраля|марта|апреля|мая|июня|июля|августа|сентября|октября|ноября|декабря) 20\d\d`),
}

var (
	untranslated = regexp.MustCompile(`\b(common|checkout|pay|order|demo)\.[a-z_]+\b|<no value>|%!`)
	english      = regexp.MustCompile(`(?i)\b(the|your|you|order|please|and|with|payment|refund|skip|this|from)\b`)
)

// TestBrowserLanguages goes the customer's way in each language and looks for what is not in it. What the merchant wrote itself is in
// the merchant's language.
func TestBrowserLanguages(t *testing.T) {
	s := goShopping(t)
	const words = `(() => { const copy = document.body.cloneNode(true);
		for (const e of copy.querySelectorAll("[lang], .offer, .brand, .contact a, code, script, option, .line-name strong")) e.remove();
		return copy.textContent; })()`
	for lang, date := range dates {
		t.Run(lang, func(t *testing.T) {
			tab := s.visitor(t)
			check := func(where string) chromedp.Action {
				return chromedp.ActionFunc(func(ctx context.Context) error {
					var tongue, text string
					err := chromedp.Run(ctx, chromedp.WaitReady("footer", chromedp.ByQuery), chromedp.Evaluate("document.documentElement.lang", &tongue),
						chromedp.Evaluate(words, &text))
					text = strings.ReplaceAll(strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == ' ' }), " "), "ada@"+customerDomain, "")
					if found := untranslated.FindString(text); found != "" || tongue != lang {
						t.Errorf("%s: lang %q, %s", where, tongue, found)
					}
					if found := english.FindAllString(text, -1); lang != "en" && len(found) > 0 {
						t.Errorf("%s: English %q in: %s", where, found, text)
					}
					if point := strings.Contains(text, ".00\u00a0EUR"); point != (lang == "en" && strings.Contains(text, "EUR")) && strings.Contains(text, "\u00a0EUR") {
						t.Errorf("%s: an amount is written otherwise: %s", where, text)
					}
					return err
				})
			}
			act(t, tab,
				chromedp.Navigate(s.base+"/buy/demo/viewer?locale="+lang), check("checkout"),
				chromedp.Click(continueButton, chromedp.ByQuery), chromedp.WaitVisible(`[aria-invalid="true"]`, chromedp.ByQuery), check("checkout with errors"),
				chromedp.Navigate(s.base+"/checkout/demo"), fillCheckout("ada@"+customerDomain), press(continueButton, "#number"), check("payment"),
				press(payButton, `[aria-invalid="true"]`), check("payment with errors"),
				fillCard(cardDeclined), press(payButton, `[role="alert"] strong`), check("declined"),
				fillCard(cardGood), chromedp.Click(payButton, chromedp.ByQuery), chromedp.WaitVisible(".state.done", chromedp.ByQuery),
				check("order"),
			)
			var text string
			if act(t, tab, read("main", &text)); !date.MatchString(text) {
				t.Errorf("no date in %s", text)
			}
			act(t, tab, chromedp.Navigate(s.base+"/lost/demo"), check("lost licence"), chromedp.Navigate(s.base+"/checkout/demo"), check("empty cart"),
				chromedp.Navigate(s.base+"/buy/demo/nothing"), check("unknown product"))
		})
	}
}
