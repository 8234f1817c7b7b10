package api

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

// waiting makes an order with a payment that waits for its customer, and returns the page's path.
func (d *door) waiting(t testing.TB, change ...func(map[string]any)) (order, path string, p models.PaymentView) {
	t.Helper()
	o := d.order(t, change...)
	d.pay(t, o.ID, cardBody("4000002500003155")).ok(t, 201).into(t, &p)
	path, ok := strings.CutPrefix(*p.RedirectURL, storetest.PublicURL)
	if !ok || !strings.HasPrefix(path, "/gateway/test/") {
		t.Fatalf("redirects to %s", *p.RedirectURL)
	}
	return o.ID, path, p
}

func (d *door) press(t testing.TB, path, outcome string, header ...string) answer {
	t.Helper()
	a := ask{method: post, path: path, body: "outcome=" + outcome, header: map[string]string{"Content-Type": "application/x-www-form-urlencoded", "Accept": "text/html"}}
	for i := 0; i+1 < len(header); i += 2 {
		a.header[header[i]] = header[i+1]
	}
	return d.knock(t, a)
}

func (d *door) orderStatus(t testing.TB, id string) models.OrderStatus {
	t.Helper()
	var o models.OrderView
	d.knock(t, ask{method: get, path: "/v1/orders/" + id, key: d.shop.TestKey}).ok(t, 200).into(t, &o)
	return o.Status
}

func TestTestGatewayPage(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s)
		_, path, p := d.waiting(t)
		a := d.knock(t, ask{method: get, path: path, header: map[string]string{"Accept": "text/html"}}).ok(t, 200)
		page := string(a.body)
		for _, want := range []string{"98.00\u00a0EUR", "A0000000", "Editor Pro", "TEST MODE", `name="csrf"`, `method="post"`, `name="outcome" value="succeed"`, `name="outcome" value="fail"`,
			`name="viewport"`, `lang="en"`} {
			if !strings.Contains(page, want) {
				t.Errorf("the page has no %s:\n%s", want, page)
			}
		}
		for _, unwanted := range []string{"http://", "ada@example.com", p.ID} {
			if strings.Contains(page, unwanted) {
				t.Errorf("the page has %s", unwanted)
			}
		}
		policy := a.header.Get("Content-Security-Policy")
		if !strings.Contains(policy, "form-action 'self' https://shop.example") || strings.Contains(policy, "unsafe") || a.header.Get("Cache-Control") != "no-store" ||
			a.header.Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("headers are %v", a.header)
		}
		d.knock(t, ask{method: "HEAD", path: path}).ok(t, 200)
	})
}

func TestAnswersOfTheTestGateway(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s)
		for outcome, want := range map[string]struct {
			order   models.OrderStatus
			payment models.PaymentStatus
			shown   string
		}{
			"succeed": {models.OrderPaid, models.PaymentSucceeded, "Paid"},
			"fail":    {models.OrderNotPaid, models.PaymentFailed, "not confirmed"},
		} {
			for _, returns := range []bool{true, false} {
				order, path, p := d.waiting(t, func(b map[string]any) {
					if !returns {
						delete(b, "return_url")
					}
				})
				location := map[bool]string{true: "https://shop.example/thanks", false: path}[returns]
				before := d.count(t, "events")
				// Twice, and then the other button: the first answer stays.
				other := map[string]string{"succeed": "fail", "fail": "succeed"}[outcome]
				for _, pressed := range []string{outcome, outcome, other} {
					if a := d.press(t, path, pressed).ok(t, 303); a.header.Get("Location") != location {
						t.Errorf("%s leads to %s, want %s", pressed, a.header.Get("Location"), location)
					}
				}
				got, err := s.Payment(t.Context(), p.ID)
				if err != nil || got.Status != want.payment || d.orderStatus(t, order) != want.order {
					t.Errorf("%s: the payment is %s, the order %s, %v", outcome, got.Status, d.orderStatus(t, order), err)
				}
				if n := d.count(t, "events") - before; n != 1 {
					t.Errorf("%s: %d events", outcome, n)
				}
				page := string(d.knock(t, ask{method: get, path: path}).ok(t, 200).body)
				if !strings.Contains(page, want.shown) || strings.Contains(page, "<button") {
					t.Errorf("afterwards the page says\n%s", page)
				}
			}
		}
	})
}

// What the page's other buttons do comes by callbacks, which wait in the inbox like those of any gateway.
func TestTestGatewayTellsByCallbacks(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		for outcome, want := range map[string]struct {
			callbacks     int
			before, after models.PaymentStatus
			order         models.OrderStatus
			events        string
		}{
			"decline":      {0, models.PaymentFailed, models.PaymentFailed, models.OrderNotPaid, "payment.failed"},
			"delayed":      {1, models.PaymentProcessing, models.PaymentSucceeded, models.OrderPaid, "payment.succeeded"},
			"duplicate":    {1, models.PaymentProcessing, models.PaymentSucceeded, models.OrderPaid, "payment.succeeded"},
			"out_of_order": {2, models.PaymentProcessing, models.PaymentSucceeded, models.OrderPaid, "payment.succeeded"},
		} {
			t.Run(outcome, func(t *testing.T) {
				d := newDoor(t, s)
				order, path, p := d.waiting(t, func(b map[string]any) { delete(b, "return_url") })
				d.press(t, path, outcome).leadsTo(t, path)
				d.press(t, path, "fail").leadsTo(t, path) // too late
				page := d.knock(t, ask{method: get, path: path, header: map[string]string{"Accept": "text/html"}}).ok(t, 200).lacks(t, "<button")
				if got := d.orderNow(t, order); got.Status != models.OrderNotPaid || got.Payments[0].Status != want.before {
					t.Errorf("at once the order is %s, its payment %s", got.Status, got.Payments[0].Status)
				}
				if want.callbacks > 0 {
					page.has(t, "In progress", `http-equiv="refresh"`)
				}
				var promised []models.Job
				for _, j := range storetest.Jobs(t, s, jobs.KindCallback) {
					if j.State == models.JobDue && *j.OrderID == order {
						promised = append(promised, j)
						if late := j.RunAt.Sub(j.CreatedAt); outcome == "delayed" && late != callbackDelay {
							t.Errorf("the callback comes after %v", late)
						}
					}
				}
				if n := storetest.Count(t, s, "SELECT COUNT(*) FROM gateway_callbacks WHERE payment_id = $1", p.ID); n != want.callbacks || len(promised) != n {
					t.Errorf("%d callbacks and %d promises, want %d", n, len(promised), want.callbacks)
				}
				slices.SortFunc(promised, func(a, b models.Job) int { return a.RunAt.Compare(b.RunAt) })
				for _, j := range promised {
					d.applyOne(t, j)
				}
				got := d.orderNow(t, order)
				if got.Status != want.order || len(got.Payments) != 1 || got.Payments[0].Status != want.after || d.events(t, order) != want.events {
					t.Errorf("the order is %s, its payments %+v, events %q", got.Status, got.Payments, d.events(t, order))
				}
				d.knock(t, ask{method: get, path: path}).ok(t, 200).has(t, `href="`+pathOf(got.OrderURL)+`"`)
			})
		}
	})
}

// The card that is delayed succeeds by a callback, which comes two seconds later.
func TestDelayedCardIsToldOfByACallback(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s)
		o := d.order(t)
		var p models.PaymentView
		d.pay(t, o.ID, cardBody("4000000000000077")).ok(t, 201).into(t, &p)
		promised := storetest.Jobs(t, s, jobs.KindCallback)
		if p.Status != models.PaymentProcessing || len(promised) != 1 {
			t.Fatalf("the payment is %s, with %d callbacks", p.Status, len(promised))
		}
		if late := promised[0].RunAt.Sub(promised[0].CreatedAt); late <= 0 || late > 2*time.Second {
			t.Errorf("the callback comes after %v", late)
		}
		d.apply(t)
		if got := d.orderNow(t, o.ID); got.Status != models.OrderPaid || d.events(t, o.ID) != "payment.succeeded" {
			t.Errorf("the order is %s, events %s", got.Status, d.events(t, o.ID))
		}
	})
}

func TestTestGatewayRefuses(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s)
		order, path, _ := d.waiting(t)
		before := snapshot(t, s)
		for name, a := range map[string]answer{
			"no outcome":         d.press(t, path, ""),
			"another outcome":    d.press(t, path, "maybe"),
			"from another site":  d.press(t, path, "succeed", "Origin", "https://evil.example"),
			"told by fetch meta": d.press(t, path, "succeed", "Sec-Fetch-Site", "cross-site"),
			"a wrong token":      d.press(t, path+"x", "succeed"),
			"no token":           d.press(t, "/gateway/test/", "succeed"),
			"NUL in the token":   d.press(t, "/gateway/test/%00", "succeed"),
			"another gateway":    d.press(t, strings.Replace(path, "/test/", "/stub/", 1), "succeed"),
			"a huge form":        d.press(t, path, "succeed&x="+strings.Repeat("x", smallBody)),
		} {
			if a.status < 400 || a.status >= 500 || !strings.Contains(a.header.Get("Content-Type"), "text/html") {
				t.Errorf("%s: %d %s", name, a.status, a.body)
			}
		}
		if after := snapshot(t, s); after != before || d.orderStatus(t, order) != models.OrderNotPaid {
			t.Errorf("something was recorded:\n%s\n%s", before, after)
		}
		// A payment that was replaced or whose order is gone can no longer be confirmed.
		d.pay(t, order, cardBody("4000000000000002")).ok(t, 201)
		d.press(t, path, "succeed").ok(t, 303)
		if d.orderStatus(t, order) != models.OrderNotPaid {
			t.Error("an attempt that was replaced has paid the order")
		}
		if page := string(d.knock(t, ask{method: get, path: path}).ok(t, 200).body); !strings.Contains(page, "Cancelled") {
			t.Errorf("the page says\n%s", page)
		}
	})
}

// TestTestGatewayInABrowser goes the way of a customer, over a real connection.
func TestTestGatewayInABrowser(t *testing.T) {
	t.Parallel()
	d := newDoor(t, storetest.Open(t, "sqlite"))
	base := d.listen(t)
	order, path, _ := d.waiting(t, func(b map[string]any) { delete(b, "return_url") })
	jar, _ := cookiejar.New(nil)
	browser := &http.Client{Jar: jar}
	res, err := browser.PostForm(base+path, url.Values{"outcome": {"succeed"}})
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	if res.StatusCode != 200 || res.Request.Method != get || !strings.Contains(string(body), "Paid") {
		t.Errorf("%s %s: %d %s", res.Request.Method, res.Request.URL, res.StatusCode, body)
	}
	if got := d.orderStatus(t, order); got != models.OrderPaid {
		t.Errorf("the order is %s", got)
	}
}

func TestOriginOf(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"https://shop.example/thanks?a=1": "https://shop.example", "http://localhost:3000": "http://localhost:3000", "https://[::1]:8443/x": "https://[::1]:8443",
		"https://user@shop.example/": "https://shop.example", "https://shop.example;script-src/": "", "https://a'b/": "", "https://*/": "", "://": "",
	} {
		if got := originOf(address); got != want {
			t.Errorf("%s has origin %q, want %q", address, got, want)
		}
	}
}
