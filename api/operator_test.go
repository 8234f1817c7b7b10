package api

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

func TestAnOperatorSignsInAndOut(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s)
		if _, err := s.CreateOperator(t.Context(), "ann@example.com", models.RoleViewer, testPassword); err != nil {
			t.Fatal(err)
		}
		b := d.browser()
		page := b.get(t, "/operator?next=%2Fmailbox%3Fcursor%3Dx").ok(t, 200)
		if !bytes.Contains(page.body, []byte(`name="next" value="/mailbox?cursor=x"`)) {
			t.Errorf("the form forgets where to go: %s", page.body)
		}
		in := b.post(t, "/operator", url.Values{"csrf": {csrf(t, page)}, "email": {" Ann@Example.com "}, "password": {testPassword}, "next": {"/mailbox?cursor=x"}})
		if in.ok(t, 303).header.Get("Location") != "/mailbox?cursor=x" {
			t.Errorf("sent to %q", in.header.Get("Location"))
		}
		var session *http.Cookie
		for _, c := range (&http.Response{Header: in.header}).Cookies() {
			if c.Name == "__Host-purser_session" {
				session = c
			}
		}
		if session == nil || !session.HttpOnly || !session.Secure || session.SameSite != http.SameSiteLaxMode || session.Path != "/" ||
			session.Domain != "" || session.MaxAge != int(models.SessionLifetime.Seconds()) {
			t.Fatalf("session cookie %+v of %q", session, in.header["Set-Cookie"])
		}
		home := b.get(t, "/operator").ok(t, 200)
		for _, want := range []string{"ann@example.com", "Overview", "Purser test"} {
			if !bytes.Contains(home.body, []byte(want)) {
				t.Errorf("the overview lacks %q", want)
			}
		}
		if bytes.Contains(home.body, []byte(`type="password"`)) {
			t.Error("the overview shows the door")
		}

		if out := b.post(t, "/operator/sign-out", nil); out.status != 403 {
			t.Errorf("a sign-out without the token: %d", out.status)
		}
		b.get(t, "/operator").ok(t, 200)
		kept := b.cookies["__Host-purser_session"]
		b.post(t, "/operator/sign-out", url.Values{"csrf": {csrf(t, home)}}).ok(t, 303)
		if _, ok := b.cookies["__Host-purser_session"]; ok {
			t.Error("the cookie outlives the session")
		}
		thief := d.browser()
		thief.cookies["__Host-purser_session"] = kept
		if page := thief.get(t, "/operator").ok(t, 200); !bytes.Contains(page.body, []byte(`type="password"`)) {
			t.Error("the session outlives the sign-out")
		}
		if strings.Contains(d.log.String(), testPassword) || strings.Contains(d.log.String(), kept) || strings.Contains(d.log.String(), "ann@") {
			t.Errorf("the log tells: %s", d.log)
		}
	})
}

func TestTheDoorDoesNotTellWhoExists(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s)
		if _, err := s.CreateOperator(t.Context(), "known@example.com", models.RoleAdmin, testPassword); err != nil {
			t.Fatal(err)
		}
		if _, err := s.CreateStaff(t.Context(), d.shop.ID, "staff@example.com", models.RoleOwner, testPassword); err != nil {
			t.Fatal(err)
		}
		var first string
		for _, email := range []string{"known@example.com", "nobody@example.com", "staff@example.com", "no address"} {
			b := d.browser()
			password := "wrong horse battery"
			if email != "known@example.com" {
				password = testPassword
			}
			got := b.signIn(t, email, password).ok(t, 401)
			same := strings.ReplaceAll(csrfField.ReplaceAllString(string(got.body), ""), email, "EMAIL")
			if first == "" {
				first = same
			}
			if same != first {
				t.Errorf("%s is answered differently:\n%s\n%s", email, same, first)
			}
			if _, ok := b.cookies["__Host-purser_session"]; ok {
				t.Errorf("%s has a session", email)
			}
		}
		if n := d.count(t, "sessions"); n != 0 {
			t.Errorf("%d sessions", n)
		}
	})
}

func TestTheDoorRefusesWhatDidNotComeFromItsForm(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s)
		if _, err := s.CreateOperator(t.Context(), "ann@example.com", models.RoleAdmin, testPassword); err != nil {
			t.Fatal(err)
		}
		for name, c := range map[string]struct {
			header map[string]string
			change func(*browser, url.Values)
			status int
		}{
			"nothing wrong":            {nil, nil, 303},
			"a program without origin": {map[string]string{"Origin": "", "Sec-Fetch-Site": ""}, nil, 303},
			"the host's own origin":    {map[string]string{"Origin": "http://purser.test", "Sec-Fetch-Site": ""}, nil, 303},
			"no token":                 {nil, func(_ *browser, f url.Values) { f.Del("csrf") }, 403},
			"somebody else's token":    {nil, func(_ *browser, f url.Values) { f.Set("csrf", csrf(t, d.browser().get(t, "/operator"))) }, 403},
			"no cookie":                {nil, func(b *browser, _ url.Values) { clear(b.cookies) }, 403},
			"an empty token and no cookie": {nil, func(b *browser, f url.Values) {
				clear(b.cookies)
				f.Set("csrf", "")
			}, 403},
			"another origin":        {map[string]string{"Origin": "https://evil.example", "Sec-Fetch-Site": ""}, nil, 403},
			"another site":          {map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": ""}, nil, 403},
			"a neighbouring host":   {map[string]string{"Sec-Fetch-Site": "same-site", "Origin": "https://www.purser.test"}, nil, 403},
			"a hidden origin":       {map[string]string{"Origin": "null", "Sec-Fetch-Site": ""}, nil, 403},
			"a form in no encoding": {nil, func(_ *browser, f url.Values) { f.Set("csrf", "%zz") }, 403},
		} {
			before := d.count(t, "sessions")
			b := d.browser()
			form := url.Values{"csrf": {csrf(t, b.get(t, "/operator"))}, "email": {"ann@example.com"}, "password": {testPassword}}
			if c.change != nil {
				c.change(b, form)
			}
			header := map[string]string{"Content-Type": "application/x-www-form-urlencoded", "Origin": storetest.PublicURL, "Sec-Fetch-Site": "same-origin"}
			maps.Copy(header, c.header)
			got := b.send(t, ask{method: "POST", path: "/operator", body: form.Encode(), header: header})
			opened := d.count(t, "sessions") - before
			if got.status != c.status || (opened == 1) != (c.status == 303) {
				t.Errorf("%s: answered %d, want %d; %d sessions opened", name, got.status, c.status, opened)
			}
		}
	})
}

func TestTheDoorShutsAfterTooManyTries(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s)
		now := time.Now()
		clock := func() time.Time { return now }
		d.doors.emails = newAttempts(3, time.Minute, clock)
		d.doors.addresses = newAttempts(9, time.Minute, clock)
		if _, err := s.CreateOperator(t.Context(), "ann@example.com", models.RoleAdmin, testPassword); err != nil {
			t.Fatal(err)
		}
		shut := func(got answer) {
			t.Helper()
			if n, err := strconv.Atoi(got.ok(t, 429).header.Get("Retry-After")); err != nil || n < 1 || n > 60 {
				t.Errorf("Retry-After %q", got.header.Get("Retry-After"))
			}
			if !bytes.Contains(got.body, []byte("Too many attempts")) {
				t.Errorf("the page does not say so: %s", got.body)
			}
		}
		b := d.browser()
		for range 3 { // 3 of the address's 9
			b.signIn(t, "ann@example.com", "wrong horse battery").ok(t, 401)
		}
		shut(b.signIn(t, "ANN@example.com", testPassword)) // 4; even the right password, or it could be guessed on
		b.signIn(t, "bob@example.com", testPassword).ok(t, 401)
		now = now.Add(time.Minute)
		b.signIn(t, "ann@example.com", testPassword).ok(t, 303)
		if n := d.count(t, "sessions"); n != 1 {
			t.Errorf("%d sessions", n)
		}

		other := d.browser() // of the same address, which has 4 tries left
		for _, name := range []string{"c", "d", "e", "f"} {
			other.signIn(t, name+"@example.com", testPassword).ok(t, 401)
		}
		shut(other.signIn(t, "g@example.com", testPassword))
		now = now.Add(9 * time.Minute)
		other.signIn(t, "g@example.com", testPassword).ok(t, 401)
	})
}

// Strangers who try an operator's email until it is shut do not shut out the operator's own browser, and the other way round.
func TestStrangersShutOutNobodyWhoWasHereBefore(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s, func(c *Config) { c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/32")} })
		now := time.Now()
		d.doors = newDoors(func() time.Time { return now })
		for _, email := range []string{"ann@example.com", "bob@example.com"} {
			if _, err := s.CreateOperator(t.Context(), email, models.RoleAdmin, testPassword); err != nil {
				t.Fatal(err)
			}
		}
		const wrong = "wrong horse battery"
		addresses := 0
		from := func() *browser { // each from an address of its own
			addresses++
			b := d.browser()
			b.header = map[string]string{"X-Forwarded-For": fmt.Sprintf("198.51.%d.1", addresses)}
			return b
		}
		keep := func(of *browser) *browser { // the device's cookie and nothing else, in another network
			b := from()
			b.cookies[d.cookieName(deviceCookie)] = of.cookies[d.cookieName(deviceCookie)]
			return b
		}
		ann, bob := from(), from()
		ann.signIn(t, " Ann@Example.com", testPassword).ok(t, 303)
		bob.signIn(t, "bob@example.com", testPassword).ok(t, 303)
		first := ann.cookies[d.cookieName(deviceCookie)]
		if first == "" || strings.Contains(strings.ToLower(first), "ann") {
			t.Fatalf("the browser is known by %q", first)
		}
		for range emailTries {
			from().signIn(t, "ann@example.com", wrong).ok(t, 401)
		}
		from().signIn(t, "ann@example.com", testPassword).ok(t, 429)
		again := keep(ann)
		again.signIn(t, "ann@example.com", testPassword).ok(t, 303)
		if got := again.cookies[d.cookieName(deviceCookie)]; got != first {
			t.Errorf("a known browser became %q", got)
		}
		// Nobody else's cookie helps, nor one that was made up or changed.
		keep(bob).signIn(t, "ann@example.com", testPassword).ok(t, 429)
		number, signature, _ := strings.Cut(first, ".")
		for _, forged := range []string{"x." + signature, number + ".", number, "." + signature, number + "." + strings.ToUpper(signature), number + "." + strings.Repeat("0", len(signature))} {
			b := from()
			b.cookies[d.cookieName(deviceCookie)] = forged
			b.signIn(t, "ann@example.com", testPassword).ok(t, 429)
		}
		// What the cookie gives, whoever has it, is a few tries, and its loss shuts nobody else out.
		for range emailTries {
			keep(ann).signIn(t, "ann@example.com", wrong).ok(t, 401)
		}
		keep(ann).signIn(t, "ann@example.com", testPassword).ok(t, 429)
		keep(bob).signIn(t, "bob@example.com", testPassword).ok(t, 303)
		now = now.Add(time.Minute)
		keep(ann).signIn(t, "ann@example.com", testPassword).ok(t, 303)
		from().signIn(t, "ann@example.com", testPassword).ok(t, 303)
		// The cookie alone is no session.
		if got := keep(ann).get(t, "/operator").ok(t, 200); !bytes.Contains(got.body, []byte(`name="password"`)) {
			t.Errorf("the device's cookie opens %s", got.body)
		}
	})
}

func TestSessionsEnd(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s)
		for name, statement := range map[string]string{
			"after their time":          `UPDATE sessions SET expires_at = $1`,
			"with a disabled account":   `UPDATE accounts SET disabled_at = $1`,
			"with an account that goes": `DELETE FROM sessions WHERE created_at > $1`,
		} {
			storetest.Exec(t, s, "DELETE FROM sessions")
			storetest.Exec(t, s, "DELETE FROM accounts")
			b := d.signedIn(t, models.RoleAdmin)
			if page := b.get(t, "/operator").ok(t, 200); bytes.Contains(page.body, []byte(`type="password"`)) {
				t.Fatal("no session to end")
			}
			storetest.Exec(t, s, statement, time.Now().UTC().Add(-time.Hour))
			if page := b.get(t, "/operator").ok(t, 200); !bytes.Contains(page.body, []byte(`type="password"`)) {
				t.Errorf("sessions do not end %s", name)
			}
			b.get(t, "/asynqmon").ok(t, 303)
		}
	})
}

func TestCookiesOverHTTPHaveNoPrefix(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d := newDoor(t, s, func(c *Config) { c.PublicURL = "http://127.0.0.1:8080" })
		got := d.browser().get(t, "/operator").ok(t, 200)
		cookies := (&http.Response{Header: got.header}).Cookies()
		if len(cookies) != 1 || cookies[0].Name != doorCookie || cookies[0].Secure || !cookies[0].HttpOnly {
			t.Errorf("cookies %+v", cookies)
		}
	})
}

func TestAfterSigningInOnlyOurOwnPagesFollow(t *testing.T) {
	t.Parallel()
	for next, want := range map[string]string{
		"":                              "/operator",
		"/asynqmon":                     "/asynqmon",
		"/asynqmon/queues/email?a=b&c=": "/asynqmon/queues/email?a=b&c=",
		"/mailbox/mbx_1":                "/mailbox/mbx_1",
		"/docs":                         "/docs",
		"/v1/orders":                    "/operator",
		"/operators":                    "/operator",
		"//evil.example/operator":       "/operator",
		"/\\evil.example":               "/operator",
		"/operator/..//evil.example":    "/operator/..//evil.example", // stays on this host
		"https://evil.example/operator": "/operator",
		"https:/operator":               "/operator",
		"//u@evil.example":              "/operator",
		"javascript:alert(1)":           "/operator",
		"/operator\r\nSet-Cookie: a=b":  "/operator",
		"operator":                      "/operator",
	} {
		if got := landing(next); got != want {
			t.Errorf("landing(%q) = %q, want %q", next, got, want)
		}
	}
}

func TestTheOverviewShowsDeadJobsAndRunsThemAgain(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *models.Store) {
		d, r := withRedis(t, s)
		job := buriedJob(t, d, "the <b>mail server</b> said no")
		viewer, admin := d.signedIn(t, models.RoleViewer), d.signedIn(t, models.RoleAdmin)
		page := viewer.get(t, "/operator").ok(t, 200)
		for _, want := range []string{job.ID, job.Kind, "the &lt;b&gt;mail server&lt;/b&gt; said no", "/asynqmon/queues/email?status=archived", `tile alarm"><dt>Dead</dt><dd>1<`} {
			if !bytes.Contains(page.body, []byte(want)) {
				t.Errorf("the overview lacks %q: %s", want, page.body)
			}
		}
		if bytes.Contains(page.body, []byte("/retry")) || bytes.Contains(page.body, []byte("does not answer")) {
			t.Errorf("a viewer is shown: %s", page.body)
		}

		path := "/operator/jobs/" + job.ID + "/retry"
		token := csrf(t, page)
		viewer.post(t, path, url.Values{"csrf": {token}}).ok(t, 403)
		admin.post(t, path, url.Values{"csrf": {token}}).ok(t, 403) // another session's token
		if j, err := s.Job(t.Context(), job.ID); err != nil || j.State != models.JobDead {
			t.Fatalf("%+v, %v", j, err)
		}
		token = csrf(t, admin.get(t, "/operator"))
		admin.post(t, path, url.Values{"csrf": {token}}).ok(t, 303)
		j, err := s.Job(t.Context(), job.ID)
		if err != nil || j.State != models.JobDue || j.Epoch != 1 {
			t.Fatalf("%+v, %v", j, err)
		}
		admin.post(t, "/operator/jobs/nonsense/retry", url.Values{"csrf": {token}}).ok(t, 404)

		r.Stop()
		if page := admin.get(t, "/operator").ok(t, 200); !bytes.Contains(page.body, []byte("does not answer")) {
			t.Error("the overview does not tell that the queue is down")
		}
	})
}

// buriedJob is a dead email job of a paid order.
func buriedJob(t testing.TB, d *door, reason string) models.Job {
	t.Helper()
	storetest.PaidOrder(t, d.store, d.shop.Test, d.product.ID, 1)
	var job models.Job
	for _, j := range storetest.Jobs(t, d.store, jobs.KindSendEmail) {
		if j.State == models.JobDue {
			job = j
		}
	}
	bury(t, d.store, &job, reason)
	return job
}
