package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// world is what there is to be seen after a trial: what the API tells, and what came to the servers outside. Three customers were there:
// Ada paid at her second attempt, Bob could not pay, Eve paid.
type world struct {
	*trial
	orders []order
	events []event
	mails  []mail
}

// doctorSays is the setting in which the test's own program finds what it has to say as `purser doctor`, and deadJobs that with the dead
// ones among the jobs; see testMain.
const (
	doctorSays = "CHAOS_TEST_DOCTOR_SAYS"
	deadJobs   = "CHAOS_TEST_DEAD_JOBS"
)

// standIn plays the commands of purser that a trial starts. A job that is started again leaves a file of its name.
func standIn(says string) int {
	switch {
	case os.Args[1] == "doctor":
	case os.Args[2] == "retry":
		if strings.HasPrefix(os.Args[3], "busy") || os.WriteFile(os.Args[3], nil, 0o600) != nil {
			return 1
		}
		return 0
	default:
		if slices.Contains(os.Args, "dead") {
			fmt.Print(os.Getenv(deadJobs))
		}
		return 0
	}
	fmt.Println(says)
	if strings.Contains(says, "false") {
		return 1
	}
	return 0
}

func newWorld(t *testing.T) *world {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{trial: &trial{
		options: options{purser: program, out: io.Discard}, dir: t.TempDir(), env: append(os.Environ(), doctorSays+`={"ok": true}`),
		lines: map[string]*line{"tool postgres": {}, "tool redis": {}}, postgres: &postgres{}, redis: &redisServer{},
		mails: &sink{}, hooks: &receiver{}, ledger: newLedger(), wrongs: map[sort][]string{},
	}}
	api := httptest.NewServer(http.HandlerFunc(w.api))
	t.Cleanup(api.Close)
	w.client = newClient(func() []string { return []string{api.URL} })
	for _, p := range []plan{
		{"ada", []orderLine{{"pool-unit", 2}, {"signed-item", 3}}, []try{{card: cardDeclined}, {card: cardGood}}},
		{"bob", []orderLine{{"template-unit", 1}}, []try{{card: cardDeclined}}},
		{"eve", []orderLine{{"pool-unit", 1}}, []try{{card: cardGood}}},
	} {
		w.add(p)
	}
	return w
}

// add lets a customer come to the end of a plan.
func (w *world) add(p plan) {
	o := order{ID: "ord_" + p.name, ExternalID: p.name, Status: "not_paid", FulfillmentStatus: "not_delivered"}
	at := "2026-01-01T00:00:00Z"
	tell := func(kind, item string) {
		e := event{ID: fmt.Sprintf("evt_%d", len(w.events)), Type: kind}
		if e.Data.ID, e.Data.ExternalID = o.ID, o.ExternalID; item != "" {
			e.Data.orderRef, e.Data.Order = orderRef{}, &orderRef{o.ID, o.ExternalID}
			e.Data.Item.ID = item
		}
		w.events = append(w.events, e)
	}
	write := func(text string) {
		w.mails = append(w.mails, mail{p.email(), fmt.Sprintf("<%d@shop.example>", len(w.mails)), text})
	}
	tell("order.created", "")
	for i, try := range p.tries {
		status, kind := "failed", "payment.failed"
		if try.good() {
			status, kind = "succeeded", "payment.succeeded"
		}
		tell(kind, "")
		o.Payments = append(o.Payments, payment{ID: fmt.Sprintf("pay_%s_%d", p.name, i), Status: status})
	}
	if p.paid() {
		o.Status, o.FulfillmentStatus, o.PaidAt, o.DeliveredAt = "paid", "delivered", &at, &at
		write("Thank you.")
		tell("order.delivered", "")
	}
	o.Items = make([]item, len(p.lines))
	for i, l := range p.lines {
		it := &o.Items[i]
		it.ID, it.SKU, it.Quantity = fmt.Sprintf("itm_%s_%d", p.name, i), l.Product, l.Quantity
		if !p.paid() {
			continue
		}
		var text strings.Builder
		text.WriteString("Your keys:\n")
		for unit := range articleOf(l.Product).units(l.Quantity) {
			key := fmt.Sprintf("KEY-%s-%d-%d", p.name, i, unit)
			it.Licenses = append(it.Licenses, license{ID: "lic" + key, Key: key, Status: "active", DeliveredAt: &at})
			text.WriteString(key + "\n")
		}
		write(text.String())
		tell("product.delivered", it.ID)
	}
	w.orders = append(w.orders, o)
	w.ledger.acted(w.ledger.begin(p), o.ID)
}

// api answers as Purser does.
func (w *world) api(rw http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/v1/orders" {
		_ = json.NewEncoder(rw).Encode(page[order]{Data: w.orders})
		return
	}
	i := slices.IndexFunc(w.orders, func(o order) bool { return "/v1/orders/"+o.ID == r.URL.Path })
	if i < 0 {
		http.NotFound(rw, r)
		return
	}
	_ = json.NewEncoder(rw).Encode(w.orders[i])
}

// arrive lets everything come to the servers outside.
func (w *world) arrive() {
	for _, e := range w.events {
		w.ledger.takeEvent(e)
	}
	for _, m := range w.mails {
		w.ledger.takeMail(m)
	}
}

// of is what an event of a kind about a customer is, by its number among all.
func (w *world) of(name, kind string) int {
	return slices.IndexFunc(w.events, func(e event) bool { return e.order().ExternalID == name && e.Type == kind })
}

// again lets an event come under another id, too.
func (w *world) again(name, kind string) {
	e := w.events[w.of(name, kind)]
	e.ID = "evt_again"
	w.events = append(w.events, e)
}

func (w *world) drop(name, kind string) {
	i := w.of(name, kind)
	w.events = slices.Delete(w.events, i, i+1)
}

const ada, bob, eve = 0, 1, 2

func TestTheCheckerFinds(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		what    string
		ruin    func(w *world)
		want    sort
		message string
	}{
		{"an order that was lost", func(w *world) { w.orders = w.orders[:eve] }, lost, "eve has no order"},
		{"an order that nobody finds", func(w *world) { w.orders = w.orders[:eve] }, lost, "eve: GET /v1/orders/ord_eve: 404"},
		{"an order that is another", func(w *world) { w.orders[bob].ID = "ord_other" }, lost, "was told of order ord_bob, but has ord_other"},
		{"an order twice", func(w *world) {
			twice := w.orders[bob]
			twice.ID = "ord_twice"
			w.orders = append(w.orders, twice)
		}, double, "are both bob's"},
		{"an order of nobody", func(w *world) { w.orders = append(w.orders, order{ID: "ord_nobody", ExternalID: "nobody"}) }, double, "belongs to nobody"},

		{"a payment twice", func(w *world) { w.orders[eve].Payments = append(w.orders[eve].Payments, payment{Status: "succeeded"}) }, double, "2 of them succeeded"},
		{"a payment too many", func(w *world) { w.orders[bob].Payments = append(w.orders[bob].Payments, payment{Status: "failed"}) }, double, "has 2 payments"},
		{"a payment too few", func(w *world) { w.orders[ada].Payments = w.orders[ada].Payments[1:] }, double, "has 1 payments"},
		{"money that was forgotten", func(w *world) { w.orders[eve].Status = "not_paid" }, lost, "was paid, but is not_paid"},
		{"money that nobody gave", func(w *world) { w.orders[bob].Status = "paid" }, double, "was not paid, but is paid"},
		{"a gift", func(w *world) { w.orders[bob].FulfillmentStatus = "delivered" }, double, "was not paid, but is not_paid and delivered"},
		{"an order that is not delivered", func(w *world) { w.orders[eve].FulfillmentStatus = "not_delivered" }, lost, "was paid, but is paid and not_delivered"},
		{"half an order", func(w *world) { w.orders[ada].Items = w.orders[ada].Items[:1] }, lost, "has 1 items"},
		{"another product", func(w *world) { w.orders[eve].Items[0].SKU = "template-unit" }, lost, "is 1 of template-unit"},
		{"another quantity", func(w *world) { w.orders[eve].Items[0].Quantity = 2 }, lost, "is 2 of pool-unit"},

		{"a unit without a key", func(w *world) { w.orders[ada].Items[0].Licenses = w.orders[ada].Items[0].Licenses[:1] }, lost, "has 1 licences, want 2"},
		{"a key too many", func(w *world) {
			it := &w.orders[ada].Items[1]
			more := it.Licenses[0]
			more.Key = "KEY-more"
			it.Licenses = append(it.Licenses, more)
		}, double, "has 2 licences, want 1"},
		{"a key of two customers", func(w *world) {
			w.orders[eve].Items[0].Licenses[0].Key = w.orders[ada].Items[0].Licenses[0].Key
		}, double, "a key that is also on item"},
		{"a key of two units", func(w *world) {
			w.orders[ada].Items[0].Licenses[1].Key = w.orders[ada].Items[0].Licenses[0].Key
		}, double, "a key that is also on item \"itm_ada_0\""},
		{"a key that is empty", func(w *world) { w.orders[eve].Items[0].Licenses[0].Key = "" }, double, "a key that is also on item \"\""},
		{"a key that was not delivered", func(w *world) { w.orders[eve].Items[0].Licenses[0].DeliveredAt = nil }, lost, "was delivered at <nil>"},
		{"a key that was revoked", func(w *world) { w.orders[eve].Items[0].Licenses[0].Status = "revoked" }, lost, "is revoked"},

		{"no email with the keys", func(w *world) { w.mails[len(w.mails)-1].text = "Your keys:" }, lost, "no email has the keys of item itm_eve_0"},
		{"an email with half of the keys", func(w *world) { w.mails[1].text = "Your keys: KEY-ada-0-0" }, lost, "has only some of the keys of item itm_ada_0"},
		{"the keys in two emails", func(w *world) { w.mails[0].text = w.mails[1].text }, double, "2 different emails have the keys of item itm_ada_0"},
		{"a key in another customer's email", func(w *world) { w.mails[1].text += "KEY-eve-0-0" }, double, "has keys of item itm_eve_0, which is eve's"},
		{"a key in an email to the merchant", func(w *world) {
			w.mails = append(w.mails, mail{merchantEmail, "<x@shop.example>", "about(KEY-eve-0-0)."})
		}, double, "has keys of item itm_eve_0, which is eve's"},
		{"an email that was lost", func(w *world) { w.mails = w.mails[1:] }, lost, "2 emails arrived, want 3"},
		{"an email under two ids", func(w *world) {
			m := w.mails[0]
			m.id = "<again@shop.example>"
			w.mails = append(w.mails, m)
		}, double, "4 different emails arrived, want 3"},
		{"an email to who did not pay", func(w *world) { w.mails = append(w.mails, mail{"bob@customers.example", "<x@shop.example>", ""}) }, double, "1 different emails arrived, want 0"},
		{"an email to nobody", func(w *world) { w.mails = append(w.mails, mail{"nobody@customers.example", "<x@shop.example>", ""}) }, double, "is to nobody"},
		{"an alarm about nothing", func(w *world) { w.mails = append(w.mails, mail{merchantEmail, "<x@shop.example>", ""}) }, double, "failures that did not happen"},
		{"an email that is none", func(w *world) { w.trial.mails.odd = []string{"it has no Message-ID"} }, double, "no Message-ID"},

		{"an event that was lost", func(w *world) { w.drop("eve", "payment.succeeded") }, lost, "0 events payment.succeeded arrived, want 1"},
		{"one of two events that was lost", func(w *world) { w.drop("ada", "product.delivered") }, lost, "1 events product.delivered arrived, want 2"},
		{"an event under two ids", func(w *world) { w.again("bob", "order.created") }, double, "2 different events order.created arrived, want 1"},
		{"an event about an item under two ids", func(w *world) {
			w.drop("ada", "product.delivered")
			w.again("ada", "product.delivered")
		}, double, "both tell that item itm_ada_1 was delivered"},
		{"an event about what did not happen", func(w *world) {
			w.again("eve", "order.created")
			w.events[len(w.events)-1].Type = "order.refunded"
		}, double, "order.refunded arrived, but it did not happen"},
		{"an event about a failure that was none", func(w *world) {
			w.again("eve", "order.created")
			w.events[len(w.events)-1].Type = "fulfillment.failed"
		}, double, "fulfillment.failed arrived, but it did not happen"},
		{"an event about an order of nobody", func(w *world) {
			w.again("eve", "order.created")
			w.events[len(w.events)-1].Data.ExternalID = "nobody"
		}, double, "is about an order of nobody"},
		{"a webhook that is none", func(w *world) { w.hooks.odd = []string{"webhook evt_1: no matching signature"} }, double, "no matching signature"},

		{"an answer that nobody should get", func(w *world) { w.client.note(answer{status: 500}, "GET /: 500") }, badReply, "GET /: 500"},
		{"what the doctor finds", func(w *world) { w.env = append(w.env, doctorSays+`={"ok": false, "invariant": 2}`) }, unsound, `"invariant": 2`},
		{"a doctor who says nothing", func(w *world) { w.env = append(w.env, doctorSays+`=`) }, unsound, ""},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			c.ruin(w)
			w.arrive()
			if _, err := w.check(t.Context()); err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(w.wrongs[c.want], func(text string) bool { return strings.Contains(text, c.message) }) {
				t.Errorf("not found under %s among %q", c.want, w.wrongs)
			}
		})
	}
}

func TestTheCheckerIsContent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.arrive()
	w.arrive() // what comes again under the same id counts once
	if n, some := w.ledger.waiting(time.Now()); n != 0 {
		t.Errorf("something is awaited: %q", some)
	}
	got, err := w.check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := outcome{orders: 3, paid: 2, unpaid: 1, keys: 4, events: len(w.events), mails: 5, hooksAgain: len(w.events), mailsAgain: 5, doctor: "clean"}
	if got != want || len(w.events) != 12 || len(w.wrongs) > 0 {
		t.Errorf("outcome %+v, want %+v; wrong is %q", got, want, w.wrongs)
	}
}

// TestTheCheckerKnowsOfRefusedEmails: where the mail server has refused emails for good, items fail and the merchant is told so.
func TestTheCheckerKnowsOfRefusedEmails(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.refused = true
	w.again("eve", "order.created")
	w.events[len(w.events)-1].Type = "fulfillment.failed"
	w.mails = append(w.mails, mail{merchantEmail, "<x@shop.example>", ""})
	w.arrive()
	if _, err := w.check(t.Context()); err != nil || len(w.wrongs) > 0 {
		t.Errorf("wrong is %q, %v", w.wrongs, err)
	}
}

// TestTheLedgerWaits takes away each thing that comes, in turn: without it nothing is complete.
func TestTheLedgerWaits(t *testing.T) {
	t.Parallel()
	for i := range newWorld(t).events {
		w := newWorld(t)
		name := w.events[i].order().ExternalID
		w.events = slices.Delete(w.events, i, i+1)
		w.arrive()
		w.awaits(t, name)
	}
	for i := range newWorld(t).mails {
		w := newWorld(t)
		name, _, _ := strings.Cut(w.mails[i].to, "@")
		w.mails = slices.Delete(w.mails, i, i+1)
		w.arrive()
		w.awaits(t, name)
	}
	w := newWorld(t)
	w.arrive()
	begun := time.Now()
	w.ledger.begin(plan{name: "late"})
	w.awaits(t, "late")
	if n, _ := w.ledger.waiting(begun); n != 0 {
		t.Errorf("%d customers from before are awaited", n)
	}
	if n := w.ledger.since(begun); n != 1 {
		t.Errorf("%d customers have come since, want 1", n)
	}
}

func (w *world) awaits(t *testing.T, name string) {
	t.Helper()
	n, some := w.ledger.waiting(time.Now().Add(time.Second))
	if n != 1 || !strings.HasPrefix(some[0], name+" ") {
		t.Errorf("%d customers are awaited, %q; want %s", n, some, name)
	}
}

func TestALateAnswerIsFound(t *testing.T) {
	t.Parallel()
	of := func(group string) *scene { return &scene{[]fault{{kind: kind{group: group}}}} }
	for _, c := range []struct {
		what   string
		scene  *scene
		took   time.Duration
		charge bool
		late   bool
	}{
		{"in time", of(redisGroup), 14 * time.Second, false, false},
		{"late", of(redisGroup), 16 * time.Second, false, true},
		{"a payment in time", of(database), 34 * time.Second, true, false},
		{"a late payment", of(database), 36 * time.Second, true, true},
		{"of a stopped process", of(processes), 36 * time.Second, true, false},
	} {
		w := newWorld(t)
		begun := time.Now()
		for _, a := range []answer{
			{at: begun, took: c.took, status: 503, after: true, charge: c.charge}, {at: begun, took: time.Second, status: 200},
			{at: begun.Add(-time.Second), took: time.Minute, status: 503, after: true},
		} {
			w.client.note(a, "")
		}
		var out played
		w.judge(c.scene, &out, begun, begun.Add(time.Second))
		if out.refused != 1 || out.slowest != c.took || (len(w.wrongs[tooLate]) > 0) != c.late {
			t.Errorf("%s: %+v, wrong is %q", c.what, out, w.wrongs)
		}
	}
}

// TestARefusalWithoutNeedIsFound: an order waits for nothing but the API and the database.
func TestARefusalWithoutNeedIsFound(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		groups       []string
		fresh, short bool
		want         bool
	}{
		{groups: []string{redisGroup}, want: true},
		{groups: []string{redisLine, merchant}, want: true},
		{groups: []string{mailServer}, want: true},
		{groups: []string{database}, fresh: true},
		{groups: []string{redisGroup, dataLine}, fresh: true},
		{groups: []string{redisLine, processes}, fresh: true},
		{groups: []string{redisGroup}, short: true},
		{groups: []string{redisGroup}, short: true, fresh: true, want: true},
		{groups: []string{database}, short: true, fresh: true},
	} {
		w := newWorld(t)
		w.short = c.short
		s := &scene{}
		for _, group := range c.groups {
			s.faults = append(s.faults, fault{kind: kind{group: group}})
		}
		begun := time.Now()
		w.client.note(answer{at: begun, status: 503, after: true, fresh: c.fresh}, "")
		w.client.note(answer{at: begun, status: 201, fresh: true}, "")
		w.client.note(answer{at: begun.Add(time.Second), status: 503, after: true, fresh: true}, "") // when it was over
		var out played
		w.judge(s, &out, begun, begun.Add(time.Second))
		if got := len(w.wrongs[needless]); out.refused != 1 || (got == 1) != c.want || got > 1 {
			t.Errorf("%+v: %d were refused, %d without need", c, out.refused, got)
		}
	}
}

func TestOrdersThatSlowDownAreFound(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		measured []float64
		during   float64
		want     bool
	}{
		{[]float64{120}, 120, false},
		{[]float64{80}, 80, false},
		{[]float64{20, 79, 81}, 81, false},
		{[]float64{79, 70, 20}, 79, true},
		{[]float64{0, 0, 0}, 0, true},
	} {
		w := newWorld(t)
		n := 0
		during := w.keepsUp("Redis hung", 100, func() float64 { n++; return c.measured[n-1] })
		if during != c.during || n != len(c.measured) || (len(w.wrongs[tooSlow]) > 0) != c.want {
			t.Errorf("%v: %v during the fault after %d measurements, wrong is %q", c.measured, during, n, w.wrongs)
		}
	}
}

func TestALateRecoveryIsFound(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		short bool
		took  time.Duration
		want  bool
	}{
		{false, 44 * time.Second, false}, {false, 46 * time.Second, true}, {true, 46 * time.Second, false}, {true, 91 * time.Second, true},
	} {
		w := newWorld(t)
		w.short = c.short
		w.inTime(c.took)
		if (len(w.wrongs[tooLate]) > 0) != c.want {
			t.Errorf("%+v: wrong is %q", c, w.wrongs)
		}
	}
}

// TestDeadJobsAreStartedAgain: all of them, whatever becomes of one.
func TestDeadJobsAreStartedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var list strings.Builder
	list.WriteString("ID      KIND        STATE\nbusy-1  email.send  dead\n")
	var want []string
	for n := range 3 * hands {
		want = append(want, fmt.Sprintf("job-%02d", n))
		list.WriteString(want[n] + "  email.send  dead\n")
	}
	w.env = append(w.env, deadJobs+"="+list.String())
	if err := w.helpOperator(t.Context()); err == nil || !strings.Contains(err.Error(), "jobs retry busy-1") {
		t.Errorf("what cannot be started again is told as %v", err)
	}
	files, err := os.ReadDir(w.dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range files {
		got = append(got, f.Name())
	}
	if !slices.Equal(got, want) {
		t.Errorf("started again are %q, want %q", got, want)
	}
}

// TestTheTableSaysIt: what is wrong is counted, and told of.
func TestTheTableSaysIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.wrong(lost, "eve has no order")
	w.wrong(double, "one key twice")
	w.wrong(double, "another key twice")
	var text strings.Builder
	w.print(&text, []played{{name: "Redis hung", waited: true, recovered: 7 * time.Second, before: 90, during: 80}}, outcome{doctor: "clean"})
	for _, want := range []string{"lost            1\n", "double effects  2\n", "recovery        7.0 s", "Redis hung", "eve has no order", "another key twice"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the table does not have %q:\n%s", want, text.String())
		}
	}
}
