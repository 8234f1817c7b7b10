package models_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

// TestAnySequenceOfOperations lets a shop live through random days: orders, payments, cancellations and expiries, jobs that are
// performed, fail, lose their worker, are given back, retried or cancelled, uploads of keys. A model says what every order's state and
// every payment's has to be. In the end everything that waits for a person is mended and all work is done; then every paid order is
// delivered, every fact was told of exactly once, and the doctor finds nothing.
func TestAnySequenceOfOperations(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		c := checking{t, r}
		m := newMachine(c, storetest.Open(c, "sqlite"))
		r.Repeat(map[string]func(*rapid.T){
			"order":        m.order,
			"pay":          m.pay,
			"wait":         m.wait,
			"hear":         m.hear,
			"hear a lot":   func(r *rapid.T) { m.hear(r); m.hear(r) },
			"cancel":       m.cancel,
			"expire":       m.expire,
			"perform":      m.perform,
			"perform more": func(r *rapid.T) { m.perform(r); m.perform(r); m.perform(r) },
			"fail":         m.fail,
			"lose":         m.lose,
			"give back":    m.giveBack,
			"relay":        m.relay,
			"retry a job":  m.retryJob,
			"cancel a job": m.cancelJob,
			"retry item":   m.retryItem,
			"upload":       m.upload,
			"":             m.compare,
		})
		m.finish()
	})
}

// checking is a testing.TB that fails the present check, so that rapid can look for a shorter sequence that fails too.
type checking struct {
	testing.TB
	r *rapid.T
}

func (c checking) Helper()                           {}
func (c checking) Cleanup(f func())                  { c.r.Cleanup(f) }
func (c checking) Context() context.Context          { return c.r.Context() }
func (c checking) Error(args ...any)                 { c.r.Error(args...) }
func (c checking) Errorf(format string, args ...any) { c.r.Errorf(format, args...) }
func (c checking) Fatal(args ...any)                 { c.r.Fatal(args...) }
func (c checking) Fatalf(format string, args ...any) { c.r.Fatalf(format, args...) }

// modelOrder is what an order has to be.
type modelOrder struct {
	id       string
	items    int
	status   models.OrderStatus
	grace    bool // so old that it expires, but for a payment that is processed
	ancient  bool // so old that it expires whatever is processed
	payments []*modelPayment
	late     int
	failures int
}

type modelPayment struct {
	id     string
	status models.PaymentStatus
	asked  bool // the gateway is being asked for it
	money  bool // arrived after the payment was given up
}

type machine struct {
	t      testing.TB
	s      *models.Store
	shop   storetest.Shop
	pool   string
	orders []*modelOrder
	keys   int // uploaded
}

func newMachine(t testing.TB, s *models.Store) *machine {
	m := &machine{t: t, s: s, shop: storetest.Merchant(t, s)}
	silent := false
	for sku, change := range map[string]func(*models.ProductInput){
		"pool":   func(in *models.ProductInput) { in.LicenseMethod = models.MethodPool },
		"item":   func(in *models.ProductInput) { in.LicensePer = "item" },
		"silent": func(in *models.ProductInput) { in.EmailLicense = &silent },
	} {
		in := storetest.ProductInput(sku, models.MethodTemplate)
		change(&in)
		p, err := s.CreateProduct(t.Context(), m.shop.Test, in)
		m.must(err)
		if sku == "pool" {
			m.pool = p.ID
		}
	}
	_, err := s.CreateWebhookEndpoint(t.Context(), m.shop.Test, endpointInput())
	m.must(err)
	_, err = m.s.UpdateSettings(m.t.Context(), m.shop.Test, models.SettingsPatch{DeleteUnpaidAfter: models.Some("1000h")})
	m.must(err)
	return m
}

func (m *machine) must(err error) {
	if err != nil {
		m.t.Fatal(err)
	}
}

// refused checks that an operation was refused with a conflict exactly if it had to be.
func (m *machine) refused(err error, want bool, what string) {
	if want && models.CodeOf(err) != models.CodeConflict || !want && err != nil {
		m.t.Fatalf("%s: %v, want a conflict: %t", what, err, want)
	}
}

// one draws one of the things there are; without any the action does not apply.
func one[T any](r *rapid.T, all []T, what string) T {
	if len(all) == 0 {
		r.Skip()
	}
	return rapid.SampledFrom(all).Draw(r, what)
}

func (m *machine) order(r *rapid.T) {
	if len(m.orders) == 3 {
		r.Skip() // few orders, so that much happens to each
	}
	in := storetest.OrderInput("", 0)
	in.Lines = nil
	for _, sku := range rapid.SliceOfN(rapid.SampledFrom([]string{"pool", "pool", "item", "silent"}), 1, 3).Draw(r, "products") {
		in.Lines = append(in.Lines, models.NewLine{Product: sku, Quantity: rapid.IntRange(1, 3).Draw(r, "quantity")})
	}
	o, err := m.s.CreateOrder(m.t.Context(), m.shop.Test, in)
	m.must(err)
	m.orders = append(m.orders, &modelOrder{id: o.ID, items: len(in.Lines), status: models.OrderNotPaid})
}

func (o *modelOrder) has(status models.PaymentStatus) bool {
	return slices.ContainsFunc(o.payments, func(p *modelPayment) bool { return p.status == status })
}

// callOff cancels the payments that wait for the customer.
func (o *modelOrder) callOff() {
	for _, p := range o.payments {
		if p.status == models.PaymentPending || p.status == models.PaymentRequiresAction {
			p.status = models.PaymentCancelled
		}
	}
}

func (m *machine) pay(r *rapid.T) {
	o := one(r, m.orders, "order")
	p, err := m.s.BeginPayment(m.t.Context(), m.shop.Test, o.id, newPayment)
	refused := o.status != models.OrderNotPaid || slices.ContainsFunc(o.payments, func(p *modelPayment) bool {
		return p.status == models.PaymentProcessing || p.status == models.PaymentPending && p.asked
	})
	m.refused(err, refused, "paying an order that is "+string(o.status))
	if !refused {
		o.callOff()
		o.payments = append(o.payments, &modelPayment{id: p.ID, status: models.PaymentPending, asked: true})
	}
}

func (m *machine) wait(*rapid.T) {
	waitAMinute(m.t, m.s, m.shop)
	for _, o := range m.orders {
		for _, p := range o.payments {
			p.asked = false
		}
	}
}

var paymentRank = map[models.PaymentStatus]int{models.PaymentPending: 0, models.PaymentRequiresAction: 1, models.PaymentProcessing: 2}

func (m *machine) hear(r *rapid.T) {
	o := one(r, m.orders, "order")
	p := one(r, o.payments, "payment")
	outcome := rapid.SampledFrom([]models.PaymentResult{succeeds, succeeds, fails, processes, wantsMore, isReturned}).Draw(r, "outcome")
	_, err := m.s.ApplyPayment(m.t.Context(), p.id, outcome, "gateway")
	m.must(err)
	from, open := paymentRank[p.status]
	to, stays := paymentRank[outcome.Status]
	switch {
	case open && stays:
		if to > from {
			p.status = outcome.Status
		}
	case open:
		p.status = outcome.Status
		if outcome.Status == models.PaymentFailed {
			o.failures++
		}
		if outcome.Status == models.PaymentSucceeded {
			o.money()
		}
	case outcome.Status == models.PaymentSucceeded && p.status != models.PaymentSucceeded && !p.money:
		p.money = true
		o.money()
	}
}

// money has arrived.
func (o *modelOrder) money() {
	if o.status != models.OrderNotPaid {
		o.late++
		return
	}
	o.status = models.OrderPaid
	o.callOff()
}

func (m *machine) cancel(r *rapid.T) {
	o := one(r, m.orders, "order")
	_, err := m.s.CancelOrder(m.t.Context(), m.shop.Test, o.id, "", "test")
	refused := o.status == models.OrderPaid || o.status == models.OrderNotPaid && o.has(models.PaymentProcessing)
	m.refused(err, refused, "cancelling an order that is "+string(o.status))
	if !refused && o.status == models.OrderNotPaid {
		o.status = models.OrderDeleted
		o.callOff()
	}
}

func (m *machine) expire(r *rapid.T) {
	if len(m.orders) > 0 && rapid.Bool().Draw(r, "time passes") {
		o := one(r, m.orders, "order")
		o.grace, o.ancient = true, rapid.Bool().Draw(r, "a long time")
		age := 1001 * time.Hour
		if o.ancient {
			age = 1169 * time.Hour
		}
		aged(m.t, m.s, o.id, age)
	}
	want := 0
	for _, o := range m.orders {
		if o.status == models.OrderNotPaid && (o.ancient || o.grace && !o.has(models.PaymentProcessing)) {
			want++
			o.status = models.OrderDeleted
			o.callOff()
			for _, p := range o.payments {
				if p.status == models.PaymentProcessing {
					p.status = models.PaymentCancelled
				}
			}
		}
	}
	n, err := m.s.ExpireOrders(m.t.Context())
	m.must(err)
	if n != want {
		m.t.Errorf("%d orders expired, want %d", n, want)
	}
}

// jobs returns the shop's jobs in a state, oldest first.
func (m *machine) jobs(states ...models.JobState) []models.Job {
	return slices.DeleteFunc(jobsOf(m.t, m.s, m.shop, ""), func(j models.Job) bool { return !slices.Contains(states, j.State) })
}

func (m *machine) claim(r *rapid.T) *models.Claim {
	j := one(r, m.jobs(models.JobDue), "job")
	c, err := m.s.Claim(m.t.Context(), j.ID, j.Epoch, kindOf(m.t, j.Kind))
	m.must(err)
	if c == nil {
		m.t.Fatalf("a due job cannot be claimed: %+v", j)
	}
	return c
}

func (m *machine) perform(r *rapid.T) {
	m.must(perform(m.t, m.s, one(r, m.jobs(models.JobDue), "job")))
}

func (m *machine) fail(r *rapid.T) {
	c := m.claim(r)
	cause := errTest
	if rapid.IntRange(0, 2).Draw(r, "permanent") == 0 {
		cause = jobs.Permanent(errTest)
	}
	_, err := m.s.Fail(m.t.Context(), c, cause)
	m.must(err)
}

// lose lets a worker vanish, at its last attempt now and then.
func (m *machine) lose(r *rapid.T) {
	c := m.claim(r)
	if rapid.IntRange(0, 3).Draw(r, "last attempt") == 0 {
		storetest.Exec(m.t, m.s, `UPDATE jobs SET max_attempts = attempts WHERE id = $1`, c.JobID)
	}
	if rapid.Bool().Draw(r, "at once") {
		ring(m.t, m.s, c.JobID)
		alarms(m.t, m.s)
		m.fenced(c)
	}
}

// fenced lets the worker that was given up come back.
func (m *machine) fenced(c *models.Claim) {
	if err := m.s.Keep(m.t.Context(), c); !models.IsFenced(err) {
		m.t.Errorf("a worker that was given up wrote its result: %v", err)
	}
}

func (m *machine) giveBack(r *rapid.T) { m.must(m.s.GiveBack(m.t.Context(), m.claim(r), 0)) }

// relay lets the alarms of some jobs go off.
func (m *machine) relay(r *rapid.T) {
	for _, j := range rapid.SliceOfN(rapid.SampledFrom(append(m.jobs(models.JobDue, models.JobRunning), models.Job{})), 0, 5).Draw(r, "jobs") {
		if j.ID != "" {
			ring(m.t, m.s, j.ID)
		}
	}
	for _, a := range alarms(m.t, m.s) {
		if rapid.Bool().Draw(r, "lost in Redis") {
			_, _, err := m.s.RaiseEpoch(m.t.Context(), a.Handover)
			m.must(err)
		}
	}
}

func (m *machine) retryJob(r *rapid.T) {
	j := one(r, jobsOf(m.t, m.s, m.shop, ""), "job")
	refused := j.State == models.JobRunning || j.State == models.JobDone && j.Kind != jobs.KindDeliver
	m.refused(m.s.RetryJob(m.t.Context(), j.ID, operator), refused, "retrying a job that is "+string(j.State))
}

func (m *machine) cancelJob(r *rapid.T) {
	j := one(r, jobsOf(m.t, m.s, m.shop, ""), "job")
	refused := j.State == models.JobRunning || j.State == models.JobDone
	m.refused(m.s.CancelJob(m.t.Context(), j.ID, operator), refused, "cancelling a job that is "+string(j.State))
	if j.State == models.JobDue && j.Kind == jobs.KindFillPool {
		// Back-orders wait on, and the doctor would rightly say that nobody fills them any more: this operator takes its advice at once.
		m.must(m.s.RetryJob(m.t.Context(), j.ID, operator))
	}
}

func (m *machine) retryItem(r *rapid.T) {
	o := orderOf(m.t, m.s, m.shop.Test, one(r, m.orders, "order").id)
	i := one(r, o.Items, "item")
	_, err := m.s.RetryItem(m.t.Context(), m.shop.Test, o.ID, i.ID, "test")
	m.refused(err, i.FulfillmentStatus != models.FulfillmentFailed, "retrying an item that is "+string(i.FulfillmentStatus))
}

func (m *machine) upload(r *rapid.T) { m.add(rapid.IntRange(0, 6).Draw(r, "keys")) }

func (m *machine) add(n int) {
	keys := make([]string, n)
	for i := range keys {
		m.keys++
		keys[i] = fmt.Sprintf("%s-%d", m.shop.ID, m.keys)
	}
	up, err := m.s.AddPoolKeys(m.t.Context(), m.shop.Test, m.pool, keys)
	m.must(err)
	if up.Added != n {
		m.t.Errorf("%d of %d keys were added", up.Added, n)
	}
}

// compare holds the orders and payments against the model.
func (m *machine) compare(*rapid.T) {
	list, _, err := m.s.Orders(m.t.Context(), m.shop.Test, models.OrderFilter{}, models.Page{})
	m.must(err)
	slices.Reverse(list)
	for n, o := range m.orders {
		got := list[n]
		if got.Status != o.status {
			m.t.Fatalf("an order is %s, want %s", got.Status, o.status)
		}
		status := map[string]models.PaymentStatus{}
		for _, p := range got.Payments {
			status[p.ID] = p.Status
		}
		money := 0
		for _, p := range o.payments {
			if status[p.id] != p.status {
				m.t.Fatalf("a payment is %s, want %s", status[p.id], p.status)
			}
			if p.money {
				money++
			}
		}
		if len(got.Payments) != len(o.payments)+money {
			m.t.Fatalf("%d payments, want %d and %d of late money", len(got.Payments), len(o.payments), money)
		}
		if o.status != models.OrderPaid && (got.FulfillmentStatus != models.NotDelivered || len(keysOf(got)) > 0) {
			m.t.Fatalf("an order that is %s is %s", o.status, got.FulfillmentStatus)
		}
	}
}

// finish mends what waits for a person, lets all work be done, and counts.
func (m *machine) finish() {
	healthy(m.t, m.s)
	ctx := m.t.Context()
	m.add(100)
	for round := 0; ; round++ {
		if round == 20 {
			m.t.Fatal("the shop does not come to rest")
		}
		now := time.Now().UTC()
		storetest.Exec(m.t, m.s, `UPDATE jobs SET alarm_at = $1 WHERE state = 'running'`, now.Add(-time.Second))
		alarms(m.t, m.s)
		storetest.Exec(m.t, m.s, `UPDATE jobs SET run_at = $1 WHERE state = 'due'`, now.Add(-time.Second))
		performAll(m.t, m.s)
		mended := 0
		for _, j := range m.jobs(models.JobDead, models.JobCancelled) {
			m.must(m.s.RetryJob(ctx, j.ID, operator))
			mended++
		}
		for _, o := range m.orders {
			for _, i := range orderOf(m.t, m.s, m.shop.Test, o.id).Items {
				if i.FulfillmentStatus == models.FulfillmentFailed {
					_, err := m.s.RetryItem(ctx, m.shop.Test, o.id, i.ID, "test")
					m.must(err)
					mended++
				}
			}
		}
		if mended == 0 {
			break
		}
	}
	m.compare(nil)
	m.count()
	healthy(m.t, m.s)
}

func (m *machine) count() {
	paid, deleted, items, late, failures := 0, 0, 0, 0, 0
	for _, o := range m.orders {
		got := orderOf(m.t, m.s, m.shop.Test, o.id)
		late, failures = late+o.late, failures+o.failures
		switch o.status {
		case models.OrderDeleted:
			deleted++
		case models.OrderPaid:
			paid++
			items += o.items
			if got.FulfillmentStatus != models.Delivered {
				m.t.Errorf("a paid order is %s in the end", got.FulfillmentStatus)
			}
		}
		for _, i := range got.Items {
			want := 0
			if o.status == models.OrderPaid {
				if want = i.Quantity; i.SKU == "item" {
					want = 1
				}
			}
			if len(i.Licenses) != want {
				m.t.Errorf("an item of %d units of %s has %d licences", i.Quantity, i.SKU, len(i.Licenses))
			}
		}
	}
	for kind, want := range map[string]int{
		models.EventOrderCreated: len(m.orders), models.EventPaymentSucceeded: paid, models.EventPaymentFailed: failures, models.EventPaymentLate: late,
		models.EventOrderDeleted: deleted, models.EventProductDelivered: items, models.EventOrderDelivered: paid,
	} {
		if n := len(eventData(m.t, m.s, m.shop, kind)); n != want {
			m.t.Errorf("%s was told of %d times, want %d", kind, n, want)
		}
	}
	count := func(q string) int { return storetest.Count(m.t, m.s, q, m.shop.ID) }
	events := count(`SELECT COUNT(*) FROM events WHERE merchant_id = $1`)
	if n := count(`SELECT COUNT(*) FROM deliveries WHERE merchant_id = $1 AND status = 'succeeded'`); n != events {
		m.t.Errorf("%d of %d events were delivered", n, events)
	}
	if n := count(`SELECT COUNT(*) FROM emails WHERE merchant_id = $1 AND status <> 'sent'`); n != 0 {
		m.t.Errorf("%d emails were not sent", n)
	}
	if n := count(`SELECT COUNT(*) FROM emails WHERE merchant_id = $1 AND kind = 'payment_confirmation'`); n != paid {
		m.t.Errorf("%d confirmations of %d payments", n, paid)
	}
	if n := count(`SELECT COUNT(*) FROM jobs WHERE merchant_id = $1 AND state <> 'done'`); n != 0 {
		m.t.Errorf("%d jobs are not done", n)
	}
}
