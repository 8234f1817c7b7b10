package handlers_test

import (
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/purser-dev/purser/handlers"
	"github.com/purser-dev/purser/handlers/payment"
	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

// begin begins a card payment of a new order.
func (b *bench) begin() (*models.OrderView, *models.Payment) {
	b.Helper()
	b.product("app", models.MethodTemplate, `{}`)
	o := storetest.Order(b, b.store, b.shop.Test, "app", 1)
	p, err := b.store.BeginPayment(b.Context(), b.shop.Test, o.ID, models.NewPayment{Method: "card", Gateway: "test", Class: "online", Actor: "test"})
	if err != nil {
		b.Fatal(err)
	}
	return o, p
}

// processing lets the gateway take a payment's money two seconds after the given time, and has somebody ask for it after ask.
func (b *bench) processing(o *models.OrderView, p *models.Payment, createdAt time.Time, ask time.Duration) {
	b.Helper()
	out, err := b.gateway.Charge(b.Context(), payment.ChargeRequest{
		PaymentID: p.ID, OrderNumber: o.Number, Amount: p.Amount, Currency: p.Currency, CreatedAt: createdAt,
		Card: &payment.Card{Number: "4000000000000077", ExpMonth: 12, ExpYear: time.Now().Year() + 1, CVC: "123"},
	})
	if err != nil || out.Status != payment.StatusProcessing {
		b.Fatalf("charge: %+v, %v", out, err)
	}
	result := models.PaymentResult{Status: models.PaymentProcessing, Reference: out.Reference, Ask: ask}
	if _, err := b.store.ApplyPayment(b.Context(), p.ID, result, "test"); err != nil {
		b.Fatal(err)
	}
}

// waiting returns the promise to ask for a payment that has not been kept yet.
func (b *bench) waiting() models.Job {
	b.Helper()
	for _, j := range storetest.Jobs(b, b.store, jobs.KindSettle) {
		if j.State != models.JobDone {
			return j
		}
	}
	b.Fatal("nobody will ask for the payment")
	return models.Job{}
}

// A process that ended before it asked the gateway has charged nothing.
func TestAPaymentThatTheGatewayWasNeverAskedForFails(t *testing.T) {
	each(t, func(b *bench) {
		o, p := b.begin()
		b.work()
		j := b.waiting()
		if b.task(j) != nil || time.Until(j.RunAt) < 30*time.Second {
			b.Errorf("it is handed over already, or due in %v", time.Until(j.RunAt))
		}
		storetest.Exec(b, b.store, `UPDATE payments SET updated_at = $1 WHERE id = $2`, time.Now().UTC().Add(-time.Minute).Truncate(time.Microsecond), p.ID)
		storetest.Exec(b, b.store, `UPDATE jobs SET run_at = $1 WHERE id = $2`, time.Now().UTC().Add(-time.Second).Truncate(time.Microsecond), j.ID)
		b.relay()
		b.jobIn(j.ID, models.JobDone)
		got := b.order(o.ID)
		if got.Status != models.OrderNotPaid || got.Payments[0].ID != p.ID || got.Payments[0].Status != models.PaymentFailed ||
			got.Payments[0].FailureCode == nil || *got.Payments[0].FailureCode != string(payment.ProcessingError) {
			b.Errorf("the order is %s, its payment %+v", got.Status, got.Payments[0])
		}
		b.idle()
		b.sound()
	})
}

func TestAPaymentThatIsStillProcessingIsAskedForAgain(t *testing.T) {
	each(t, func(b *bench) {
		o, p := b.begin()
		b.work()
		b.processing(o, p, time.Now().Add(time.Hour), 100*time.Millisecond)
		first := storetest.Jobs(b, b.store, jobs.KindSettle)
		j := b.jobIn(first[len(first)-1].ID, models.JobDone) // asked, and answered that it takes longer
		if j.LastError != nil || j.Attempts != 1 {
			b.Errorf("the answer is told as the failure %v of attempt %d", j.LastError, j.Attempts)
		}
		if again := b.waiting(); again.RunAt.Sub(*j.FinishedAt) < 2*time.Second {
			b.Errorf("the gateway is asked again in %v, it said two seconds", again.RunAt.Sub(*j.FinishedAt))
		}
		b.ahead.Store(int64(2 * time.Hour))
		b.delivered(o.ID) // by itself
		b.idle()
		b.sound()
	})
}

func TestAGatewayThatIsNotThereIsTriedAgain(t *testing.T) {
	each(t, func(b *bench) {
		o, p := b.begin()
		b.processing(o, p, time.Now().Add(-time.Hour), time.Millisecond)
		stop := b.work(func(c *handlers.Config) { c.Gateways = map[string]payment.Gateway{} })
		j := b.waiting()
		info := b.taskIn(j, asynq.TaskStateRetry)
		if !strings.Contains(info.LastErr, "there is no gateway") {
			b.Errorf("the error is %q", info.LastErr)
		}
		stop()
		b.work()
		b.run(j)
		b.delivered(o.ID)
		b.idle()
		b.sound()
	})
}

// When the attempts are used up the payment stays as it is, for staff to see.
func TestAPaymentWhoseGatewayNeverTellsStays(t *testing.T) {
	each(t, func(b *bench) {
		o, p := b.begin()
		b.processing(o, p, time.Now().Add(-time.Hour), time.Millisecond)
		j := b.waiting()
		storetest.Exec(b, b.store, `UPDATE jobs SET max_attempts = 1 WHERE id = $1`, j.ID)
		storetest.Exec(b, b.store, `UPDATE payments SET reference = 'not_one_of_ours' WHERE id = $1`, p.ID)
		b.work()
		j = b.jobIn(j.ID, models.JobDead)
		if j.LastError == nil || !strings.Contains(*j.LastError, "the gateway does not tell") {
			b.Errorf("the error is %v", j.LastError)
		}
		if got := b.order(o.ID); got.Status != models.OrderNotPaid || got.Payments[0].Status != models.PaymentProcessing {
			b.Errorf("the order is %s, its payment %s", got.Status, got.Payments[0].Status)
		}
		b.sound()
	})
}
