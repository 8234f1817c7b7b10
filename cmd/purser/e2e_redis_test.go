package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/jobs/redistest"
	"github.com/purser-dev/purser/models"
)

// TestOrdersArriveThroughAFailover runs an installation on Redis Sentinel and one on Redis Cluster, and kills masters with customers at
// the door: of a cluster first the one that has the emails, then the one that has the webhooks. Nothing is lost, nothing is done twice, and whoever looks at
// the queues sees them as on a single server.
func TestOrdersArriveThroughAFailover(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(testing.TB) *redistest.Group{"sentinel": redistest.Sentinel, "cluster": redistest.Cluster} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			throughAFailover(t, open(t))
		})
	}
}

func throughAFailover(t *testing.T, group *redistest.Group) {
	t.Helper()
	var mails mailServer
	s := newSite(t,
		"PURSER_DATABASE_URL="+emptyDatabase(t), "PURSER_REDIS_URL="+group.URL, "PURSER_SECRET_KEY="+newSecretKey(),
		"PURSER_PUBLIC_URL=http://purser.test", "PURSER_ALLOWED_PRIVATE_NETS=127.0.0.0/8,::1/128", "PURSER_SMTP_URL="+mails.open(t).url,
	)
	s.must(t, "migrate", "up")
	procs := []*proc{s.start(t, []string{"api"}), s.start(t, []string{"worker"}), s.start(t, []string{"worker"}), s.start(t, []string{"scheduler"})}
	base := procs[0].serving(t)
	shop := openShop(t, s, base)
	shop.must(t, http.MethodPost, "/v1/products", map[string]any{
		"sku": "viewer", "name": "Viewer", "license_method": models.MethodTemplate, "prices": []map[string]any{{"currency": "EUR", "amount": 1900}},
	}, nil, http.StatusCreated)
	hooks := receiveWebhooks(t, shop.client)
	for _, p := range procs {
		p.serving(t)
	}

	var paid []string
	buy := func(n int, while func()) {
		t.Helper()
		var crowd sync.WaitGroup
		var mu sync.Mutex
		before := len(paid)
		for c := range customers {
			crowd.Go(func() {
				for i := range n {
					o, err := shop.order(fmt.Sprintf("buyer-%d-%d-%d@%s", before, c, i, customerDomain), line{"viewer", 1})
					if err == nil {
						_, err = shop.pay(o.ID, cardGood)
					}
					if err != nil {
						t.Errorf("Redis is no business of a customer's: %v", err)
						return
					}
					mu.Lock()
					paid = append(paid, o.ID)
					mu.Unlock()
				}
			})
		}
		while()
		crowd.Wait()
		if t.Failed() {
			t.FailNow()
		}
	}
	arrived := func() {
		t.Helper()
		// Of each: order.created, payment.succeeded, product.delivered, order.delivered; a confirmation and a licence.
		eventually(t, patience, func() bool {
			return len(hooks.received()) >= 4*len(paid) && mails.distinct() >= 2*len(paid) && idle(t, s)
		}, func() string {
			return fmt.Sprintf("%d events and %d emails of %d orders", len(hooks.received()), mails.distinct(), len(paid))
		})
		if events, copies := len(hooks.received()), hooks.copies; events != 4*len(paid) || copies != events || len(hooks.problems) > 0 {
			t.Errorf("%d events in %d copies of %d orders; %v", events, copies, len(paid), hooks.problems)
		}
		if sent := len(mails.copies()); sent != 2*len(paid) || mails.distinct() != sent {
			t.Errorf("%d copies of %d emails of %d orders", sent, mails.distinct(), len(paid))
		}
		for _, id := range paid {
			if o, err := shop.get(id); err != nil || o.FulfillmentStatus != models.Delivered {
				t.Errorf("order %s is %s, %v", id, o.FulfillmentStatus, err)
			}
		}
	}
	buy(3, func() {})
	arrived()
	buy(10, func() { group.KillMaster(t, "asynq:{email}:pending") })
	arrived()
	// The webhooks are on another master of a cluster. Sentinel has no second replica to choose.
	if _, isCluster := strings.CutPrefix(group.URL, "redis-cluster:"); isCluster {
		buy(3, func() { group.KillMaster(t, "asynq:{webhooks}:pending") })
		arrived()
	}
	buy(1, func() {})
	arrived()

	lookAtQueues(t, s, base, procs[1])
	s.must(t, "doctor")
	for _, p := range procs {
		p.stop(t)
		hides(t, []string{passwordIn(group.URL)}, map[string]string{"the log of " + p.name: p.log.String()})
	}
}

// lookAtQueues asks Asynqmon and the metrics for the queues.
func lookAtQueues(t *testing.T, s *site, base string, worker *proc) {
	t.Helper()
	browser := s.operator(t, base)
	var screens struct {
		Queues []struct{ Queue string }
	}
	for _, path := range []string{"/asynqmon/api/queues", "/asynqmon/api/servers", "/asynqmon/api/redis_info", "/asynqmon/api/scheduler_entries"} {
		code, body := browser(path)
		if code != http.StatusOK {
			t.Errorf("%s: %d %s", path, code, body)
		}
		if strings.HasSuffix(path, "/queues") {
			if err := json.Unmarshal([]byte(body), &screens); err != nil {
				t.Error(err)
			}
		}
	}
	if len(screens.Queues) != len(jobs.Queues) {
		t.Errorf("Asynqmon shows %d queues, want %d", len(screens.Queues), len(jobs.Queues))
	}
	_, scrape := get(t, "http://"+worker.logged(t, "started")["ops_address"]+"/metrics")
	for _, q := range jobs.Queues {
		if want := fmt.Sprintf(`purser_queue_latency_seconds{queue=%q}`, q.Name); !strings.Contains(scrape, want) {
			t.Errorf("no %s is measured", want)
		}
	}
}

// operator makes an operator and signs in, and returns what reads a page as that operator.
func (s *site) operator(t testing.TB, base string) func(path string) (int, string) {
	t.Helper()
	return s.operatorAs(t, base, "ops@operators.example", "a password of my own", func([]*http.Cookie) {})
}

// operatorAs is operator with these credentials, see signIn.
func (s *site) operatorAs(t testing.TB, base, email, password string, watch func([]*http.Cookie)) func(path string) (int, string) {
	t.Helper()
	if code, _, stderr := s.tool(t, password+"\n", "operator", "create", "--email", email, "--role", models.RoleAdmin); code != exitOK {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	return signIn(t, base, email, password, watch)
}

// signIn sends these credentials to the operators' door, be they right or wrong, and returns what reads a page afterwards. The cookies that
// the browser has then are shown to watch.
func signIn(t testing.TB, base, email, password string, watch func([]*http.Cookie)) func(path string) (int, string) {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Jar: jar}
	read := func(path string) (int, string) {
		answer, err := browser.Get(base + path)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer.StatusCode, string(body)
	}
	_, form := read("/operator")
	token := regexp.MustCompile(`name="csrf" value="([^"]+)"`).FindStringSubmatch(form)
	if token == nil {
		t.Fatalf("the sign-in has no token:\n%s", form)
	}
	answer, err := browser.PostForm(base+"/operator", url.Values{"csrf": {token[1]}, "email": {email}, "password": {password}})
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	if address, err := url.Parse(base); err == nil {
		watch(jar.Cookies(address))
	}
	return read
}
