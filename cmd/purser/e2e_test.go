package main

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/purser-dev/purser/handlers/license"
	"github.com/purser-dev/purser/jobs/redistest"
	"github.com/purser-dev/purser/models"
)

const (
	purchases = 120
	customers = 8 // that buy at the same time
	failing   = 8 // webhooks that the merchant's server refuses at first
	recovery  = 45 * time.Second
	refusal   = 12 * time.Second // the pause of an email whose second try, after the faults, is the one that the mail server refuses
)

// greylisted tells whose emails the mail server refuses at first.
func greylisted(to string) bool { return strings.Contains(to, "7@") }

// The marks by which licence keys are found where they should not be.
const (
	poolMark     = "POOLKEY"
	templateMark = "TEMPLATEKEY"
	signedMark   = "key/ey"
)

// article is a product of the test's shop.
type article struct {
	sku, method, per string
	stock            int // keys in its pool
	id               string
}

func articles() map[string]*article {
	all := map[string]*article{}
	for _, method := range []string{models.MethodPool, models.MethodTemplate, models.MethodSigned} {
		for _, per := range []string{"unit", "item"} {
			a := &article{sku: method + "-per-" + per, method: method, per: per}
			if method == models.MethodPool {
				a.stock = 400
			}
			all[a.sku] = a
		}
	}
	return all
}

// units is how many licences a quantity has.
func (a *article) units(quantity int) int {
	if a.per == "item" {
		return 1
	}
	return quantity
}

func stockUp(t *testing.T, c client, shelf map[string]*article) {
	t.Helper()
	for _, a := range shelf {
		in := map[string]any{
			"sku": a.sku, "name": a.sku, "license_method": a.method, "license_per": a.per,
			"prices": []map[string]any{{"currency": "EUR", "amount": 1900}},
		}
		if a.method == models.MethodTemplate {
			in["license"] = map[string]any{"pattern": templateMark + "-" + license.DefaultPattern}
		}
		var made models.ProductView
		c.must(t, http.MethodPost, "/v1/products", in, &made, http.StatusCreated)
		a.id = made.ID
		if a.stock > 0 {
			var keys strings.Builder
			for i := range a.stock {
				fmt.Fprintf(&keys, "%s-%s-%04d\n", poolMark, a.per, i)
			}
			c.must(t, http.MethodPost, "/v1/products/"+a.id+"/keys", keys.String(), nil, http.StatusOK)
		}
	}
}

// purchase is what one customer does.
type purchase struct {
	email string
	lines []line
	cards []string // in this order, until one is good
	// answer is what the customer tells a gateway that asks for confirmation.
	answer string

	order  *models.OrderView // as it was created
	failed int               // payments
	paid   bool
}

// plan makes the nth customer's purchase: each mixture of products with each way of paying, and of not paying.
func plan(n int) *purchase {
	p := &purchase{email: fmt.Sprintf("buyer-%03d@%s", n, customerDomain), answer: "succeed"}
	switch n % 4 {
	case 0:
		p.lines = []line{{"pool-per-unit", 1 + n%3}}
	case 1:
		p.lines = []line{{"template-per-item", 3}, {"signed-per-unit", 2}}
	case 2:
		p.lines = []line{{"signed-per-item", 2}, {"pool-per-item", 4}}
	case 3:
		p.lines = []line{{"template-per-unit", 2}, {"pool-per-unit", 1}, {"signed-per-unit", 1}}
	}
	switch n % 11 {
	case 5:
		p.cards = []string{cardDeclined}
	case 6:
		p.cards = []string{cardDelayed}
	case 7:
		p.cards = []string{cardConfirms}
	case 8:
		p.cards = []string{cardConfirms}
		p.answer = "fail"
	case 9:
		p.cards = []string{cardDeclined, cardInsufficient, cardGood}
	case 10: // looks and goes
	default:
		p.cards = []string{cardGood}
	}
	return p
}

// buy does it.
func (p *purchase) buy(c client) error {
	o, err := c.order(p.email, p.lines...)
	if err != nil {
		return err
	}
	p.order = o
	for _, card := range p.cards {
		paid, err := c.pay(o.ID, card)
		if err != nil {
			return err
		}
		status := paid.Status
		if status == models.PaymentRequiresAction {
			if err := c.confirm(paid, p.answer); err != nil {
				return err
			}
			status = models.PaymentFailed
			if p.answer == "succeed" {
				status = models.PaymentSucceeded
			}
		}
		switch status {
		case models.PaymentFailed:
			p.failed++
		case models.PaymentSucceeded, models.PaymentProcessing:
			p.paid = true
		default:
			return fmt.Errorf("order %s: card %s makes a payment %s", o.ID, card, status)
		}
	}
	return nil
}

// TestEverythingArrivesThroughFaults runs an installation of separate processes with customers at the door, kills a worker with jobs
// in hand, empties Redis twice and kills a scheduler. Nobody notices, but for some who wait a moment longer.
func TestEverythingArrivesThroughFaults(t *testing.T) {
	t.Parallel()
	s, redis := productionSite(t, "PURSER_LOG_LEVEL=debug", "PURSER_WORKER_CONCURRENCY=19") // one for each unit of the queues' weights
	told := watchRedis(t, redis)
	var procs []*proc
	start := func(args []string, env ...string) *proc {
		p := s.start(t, args, env...)
		procs = append(procs, p)
		return p
	}
	shop := openShop(t, s, start([]string{"api"}).serving(t))
	shelf := articles()
	stockUp(t, shop.client, shelf)

	// A merchant's server that fails now and then, and repeats what it was sent.
	hooks := receiveWebhooks(t, shop.client)
	unlucky := map[string]bool{}
	hooks.trouble = func(e event) bool {
		if e.Type != "payment.succeeded" || unlucky[e.ID] || len(unlucky) == failing {
			return false
		}
		unlucky[e.ID] = true
		return true
	}
	// A mail server that greylists some customers, and says more about them than it should.
	var mails mailServer
	tried := map[string]bool{}
	mails.answer = func(m email) string {
		if first := !tried[m.messageID]; first && greylisted(m.to) {
			tried[m.messageID] = true
			return "451 4.7.1 <" + m.to + ">: come back later, dear " + customerName
		}
		return ""
	}
	var workers []*proc
	var doors []*mailDoor
	work := func() {
		doors = append(doors, mails.open(t))
		workers = append(workers, start([]string{"worker"}, "PURSER_SMTP_URL="+doors[len(doors)-1].url))
	}
	for range 3 {
		work()
	}
	schedulers := []*proc{start([]string{"scheduler"}), start([]string{"scheduler"})}
	for _, p := range procs {
		p.serving(t)
	}

	// Two thirds buy while things break, one third when everything is broken.
	plans := make([]*purchase, purchases)
	queue := make(chan *purchase)
	var bought sync.WaitGroup
	var served atomic.Int64
	for range customers {
		bought.Go(func() {
			for p := range queue {
				if err := p.buy(shop.client); err != nil {
					t.Error(err)
				}
				served.Add(1)
			}
		})
	}
	broken := make(chan struct{})
	breakAll := sync.OnceFunc(func() { close(broken) })
	t.Cleanup(func() { // of a test that ended early
		breakAll()
		bought.Wait()
	})
	go func() {
		defer close(queue)
		for n := range plans {
			if plans[n] = plan(n); n == purchases*2/3 {
				<-broken
			}
			queue <- plans[n]
		}
	}()

	victim, door := workers[0], doors[0]
	eventually(t, patience, func() bool { return served.Load() >= 10 }, func() string { return "ten customers have been served" })
	door.hold()
	eventually(t, patience, func() bool { return door.held() >= 2 }, func() string { return "the worker that is to die has two emails in hand" })
	victim.kill()
	fault := time.Now()
	loseTasks(t, redis)
	schedulers[0].kill()
	breakAll()
	loseTasks(t, redis)
	workers[1].stop(t) // a restart, with work under way
	work()
	bought.Wait()
	if t.Failed() {
		t.FailNow()
	}

	want := wantOf(plans)
	eventually(t, patience, func() bool { return len(hooks.received()) >= want.events && mails.distinct() >= want.emails }, func() string {
		return fmt.Sprintf("%d of %d events and %d of %d emails have arrived", len(hooks.received()), want.events, mails.distinct(), want.emails)
	})
	// Nothing is left that could still bring something a second time.
	eventually(t, patience, func() bool { return idle(t, s) }, func() string { return "no job is due or running" })

	checkOrders(t, shop.client, plans, shelf, fault)
	checkEvents(t, shop.client, plans, hooks)
	repeated := checkEmails(t, plans, &mails)
	inHand := map[string]bool{}
	for _, m := range mails.copies() {
		inHand[m.messageID] = inHand[m.messageID] || m.door == door
	}
	for id := range repeated {
		if !inHand[id] {
			t.Errorf("email %s was sent twice, though the worker that was killed did not have it", id)
		}
	}
	if len(repeated) < 2 {
		t.Errorf("%d emails were sent again; the worker that was killed had more in hand", len(repeated))
	}
	if hooks.refused != failing || len(tried) == 0 {
		t.Errorf("%d webhooks and %d emails were refused at first, want %d and some", hooks.refused, len(tried), failing)
	}
	t.Logf("%d orders; sent again: %d emails, %d webhooks", purchases, len(repeated), hooks.copies-hooks.refused-want.events)

	if relayed := schedulers[1].metric(t, "purser_relayed_jobs_total"); relayed < 2 {
		t.Errorf("the relay brought %v jobs back", relayed)
	}
	s.must(t, "doctor")
	logs := map[string]string{"Redis": told.String()}
	if !strings.Contains(logs["Redis"], "email.send") {
		t.Error("nobody has listened to Redis")
	}
	for _, p := range procs {
		if !slices.Contains([]*proc{victim, schedulers[0], workers[1]}, p) {
			p.stop(t)
		}
		logs["the log of "+p.name] += p.log.String() + p.out.String()
	}
	secrets := []string{
		customerDomain, customerName, poolMark, templateMark, signedMark, "psk_", "whsec_",
		s.setting("PURSER_SECRET_KEY"), passwordIn(s.setting("PURSER_DATABASE_URL")), passwordIn(s.setting("PURSER_REDIS_URL")),
	}
	hides(t, secrets, logs)
}

// loseTasks empties Redis at a moment when it has tasks.
func loseTasks(t *testing.T, r *redistest.Redis) {
	t.Helper()
	eventually(t, patience, func() bool {
		tasks, err := r.Client.Keys(t.Context(), "asynq:{*}:t:*").Result()
		return err == nil && len(tasks) > 0
	}, func() string { return "Redis has tasks" })
	r.Flush(t)
}

// idle reports whether no job of the business is unfinished.
func idle(t *testing.T, s *site) bool {
	t.Helper()
	for _, state := range []models.JobState{models.JobDue, models.JobRunning} {
		for text := range strings.Lines(s.does(t, "jobs", "list", "--state", string(state), "--limit", "1000")) {
			if !strings.HasPrefix(text, "ID ") && !strings.Contains(text, " orders.") && !strings.Contains(text, " retention.") {
				return false
			}
		}
	}
	return true
}
