package handlers_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/purser-dev/purser/handlers"
	"github.com/purser-dev/purser/handlers/mail"
	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

// emailOf returns the kind of an email by its message.
func (b *bench) emailOf(m mail.Message) (kind models.EmailKind) {
	b.Helper()
	id, _, _ := strings.Cut(m.MessageID, "@")
	if err := b.store.SQL().QueryRowContext(context.WithoutCancel(b.Context()), `SELECT kind FROM emails WHERE id = $1`, id).Scan(&kind); err != nil {
		b.Errorf("no email has the id of Message-ID %s: %v", m.MessageID, err)
	}
	return kind
}

// emailJob returns the promise that sends an order's email of a kind.
func (b *bench) emailJob(orderID string, kind models.EmailKind) models.Job {
	b.Helper()
	var id string
	err := b.store.SQL().QueryRowContext(b.Context(), `SELECT job_id FROM emails WHERE order_id = $1 AND kind = $2`, orderID, kind).Scan(&id)
	if err != nil {
		b.Fatalf("the %s email: %v", kind, err)
	}
	j, err := b.store.Job(b.Context(), id)
	if err != nil {
		b.Fatal(err)
	}
	return *j
}

// refuse lets the mail server answer to emails of one kind.
func (b *bench) refuse(kind models.EmailKind, answer error) {
	b.mail.answers(func(_ context.Context, m mail.Message, _ int) error {
		if b.emailOf(m) == kind {
			return answer
		}
		return nil
	})
}

func (b *bench) emailsOf(kind models.EmailKind, among []mail.Message) (out []mail.Message) {
	for _, m := range among {
		if b.emailOf(m) == kind {
			out = append(out, m)
		}
	}
	return out
}

// licensedOrder pays an order whose licence is made from a pattern, and waits until the licence email is staged.
func (b *bench) licensedOrder() (*models.OrderView, models.Job) {
	b.Helper()
	storetest.Product(b, b.store, b.shop.Test, "app", models.MethodTemplate)
	o := storetest.PaidOrder(b, b.store, b.shop.Test, "app", 1)
	b.eventually("the licence email is staged", func() bool {
		return storetest.Count(b, b.store, `SELECT COUNT(*) FROM emails WHERE order_id = $1 AND kind = $2`, o.ID, models.EmailLicense) == 1
	})
	return b.order(o.ID), b.emailJob(o.ID, models.EmailLicense)
}

func TestARefusalForNowIsTriedAgain(t *testing.T) {
	each(t, func(b *bench) {
		b.refuse(models.EmailLicense, busy)
		b.work()
		o, j := b.licensedOrder()
		info := b.taskIn(j, asynq.TaskStateRetry)
		j = b.jobIn(j.ID, models.JobDue)

		if j.Attempts != 1 || j.LastError == nil || *j.LastError != busy.Error() {
			b.Errorf("after the first try: %d attempts, error %v", j.Attempts, j.LastError)
		}
		if info.LastErr != busy.Error() || info.Retried != 1 {
			b.Errorf("Asynq has the error %q after %d tries", info.LastErr, info.Retried)
		}
		// Asynq keeps whole seconds. It must not come before the row's time, or the pauses were shorter than the table says.
		if ahead := info.NextProcessAt.Sub(j.RunAt); ahead < 0 || ahead > 1100*time.Millisecond {
			b.Errorf("Asynq's next try is %v behind the row's", ahead)
		}
		pause := time.Until(j.RunAt)
		if pause <= 0 || pause > 6*time.Second {
			b.Errorf("the first pause is %v, want 5 s and jitter", pause)
		}
		if got := b.order(o.ID).Items[0]; got.FulfillmentStatus != models.NotDelivered || got.Failure != nil {
			b.Errorf("meanwhile the item is %s", got.FulfillmentStatus)
		}

		begun := time.Now()
		b.run(j)
		b.eventually("the operator's run is the second attempt", func() bool { return b.jobIn(j.ID, models.JobDue).Attempts == 2 })
		j = b.jobIn(j.ID, models.JobDue)
		b.taskIn(j, asynq.TaskStateRetry)
		// 10 s and jitter, less the time that has passed since.
		if second := time.Until(j.RunAt); second <= 6*time.Second-time.Since(begun) || second > 12*time.Second {
			b.Errorf("the second pause is %v, want 10 s and jitter", second)
		}
		b.mail.answers(nil)
		b.run(j)
		b.delivered(o.ID)
		b.idle()

		tries := b.emailsOf(models.EmailLicense, b.mail.tried())
		if len(tries) != 3 || len(b.emailsOf(models.EmailLicense, b.mail.taken())) != 1 {
			b.Fatalf("the licence email was tried %d times and sent %d times", len(tries), len(b.emailsOf(models.EmailLicense, b.mail.taken())))
		}
		for _, m := range tries {
			if m.MessageID != tries[0].MessageID || !m.Date.Equal(tries[0].Date) || m.Subject != tries[0].Subject {
				b.Errorf("a try differs: %s, %v, %q", m.MessageID, m.Date, m.Subject)
			}
		}
		if n := b.outcomes.count(jobs.KindSendEmail, handlers.OutcomeFailed); n != 2 {
			b.Errorf("%d failures in the metrics", n)
		}
		b.sound()
	})
}

func TestAnOperatorRunsAScheduledTask(t *testing.T) {
	each(t, func(b *bench) {
		o, p := b.begin()
		err := b.store.RecordCallback(b.Context(), b.shop.Test, models.NewCallback{
			Gateway: "test", EventID: "evt_1", PaymentID: p.ID, After: time.Hour,
			Outcome: models.PaymentResult{Status: models.PaymentSucceeded, Reference: "ref_" + p.ID},
		})
		if err != nil {
			b.Fatal(err)
		}
		j := b.job(jobs.KindCallback)
		b.work()
		info := b.taskIn(j, asynq.TaskStateScheduled)
		if ahead := info.NextProcessAt.Sub(j.RunAt); ahead < 0 || ahead > time.Second {
			b.Errorf("Asynq has it for %v behind the row's time", ahead)
		}
		if got := b.order(o.ID); got.Status != models.OrderNotPaid {
			b.Fatalf("the order is %s before the callback is applied", got.Status)
		}
		b.run(j)
		b.jobIn(j.ID, models.JobDone)
		if got := b.delivered(o.ID); got.Status != models.OrderPaid || got.Payments[0].Status != models.PaymentSucceeded {
			b.Errorf("the order is %s, its payment %s", got.Status, got.Payments[0].Status)
		}
		b.idle()
		b.sound()
	})
}

func TestAFinalRefusalEndsTheItem(t *testing.T) {
	each(t, func(b *bench) {
		b.refuse(models.EmailLicense, unknown)
		hooks := b.receive([]string{"fulfillment.failed", "product.delivered", "order.delivered"})
		b.work()
		o, j := b.licensedOrder()
		j = b.jobIn(j.ID, models.JobDead)
		info := b.taskIn(j, asynq.TaskStateArchived)
		b.idle()

		if j.Attempts != 1 || j.LastError == nil || *j.LastError != unknown.Error() {
			b.Errorf("dead after %d attempts with %v", j.Attempts, j.LastError)
		}
		if !strings.HasPrefix(info.LastErr, unknown.Error()) || strings.Contains(strings.ToLower(info.LastErr), "ada@") {
			b.Errorf("the archive says %q", info.LastErr)
		}
		o = b.order(o.ID)
		item := o.Items[0]
		if item.FulfillmentStatus != models.FulfillmentFailed || item.Failure == nil || !strings.Contains(*item.Failure, "550") {
			b.Errorf("the item is %s: %v", item.FulfillmentStatus, item.Failure)
		}
		if got := types(b.T, hooks.got()); len(got) != 1 || got["fulfillment.failed"] != 1 {
			b.Errorf("webhooks %v", got)
		}
		alerts := b.emailsOf(models.EmailFulfillmentFailed, b.mail.taken())
		if len(alerts) != 1 || alerts[0].To != b.shop.Email {
			b.Errorf("%d notices to the merchant", len(alerts))
		}
		if len(b.emailsOf(models.EmailPaymentConfirmation, b.mail.taken())) != 1 {
			b.Error("the confirmation did not get through")
		}
		if n := b.outcomes.count(jobs.KindSendEmail, handlers.OutcomeDead); n != 1 {
			b.Errorf("%d dead in the metrics", n)
		}
		b.sound()

		// A person has put the mail server right and starts it again.
		b.mail.answers(nil)
		if err := b.store.RetryJob(b.Context(), j.ID, "operator:test"); err != nil {
			b.Fatal(err)
		}
		b.delivered(o.ID)
		b.idle()
		if n := len(b.emailsOf(models.EmailLicense, b.mail.taken())); n != 1 {
			b.Errorf("the licence was sent %d times", n)
		}
		b.sound()
	})
}

// An email that is not the licence may fail without an effect on the item.
func TestALostConfirmationFailsNothingElse(t *testing.T) {
	each(t, func(b *bench) {
		b.refuse(models.EmailPaymentConfirmation, unknown)
		b.work()
		o, _ := b.licensedOrder()
		b.delivered(o.ID)
		b.jobIn(b.emailJob(o.ID, models.EmailPaymentConfirmation).ID, models.JobDead)
		b.idle()
		if n := len(b.emailsOf(models.EmailFulfillmentFailed, b.mail.tried())); n != 0 {
			b.Errorf("%d notices of a failed fulfilment", n)
		}
		b.sound()
	})
}

func TestAttemptsRunOut(t *testing.T) {
	each(t, func(b *bench) {
		b.refuse(models.EmailLicense, busy)
		b.work()
		o, j := b.licensedOrder()
		b.taskIn(j, asynq.TaskStateRetry)
		storetest.Exec(b, b.store, `UPDATE jobs SET max_attempts = 2 WHERE id = $1`, j.ID)
		b.run(j)
		j = b.jobIn(j.ID, models.JobDead)
		b.taskIn(j, asynq.TaskStateArchived)
		if j.Attempts != 2 {
			b.Errorf("dead after %d attempts, want 2", j.Attempts)
		}
		if got := b.order(o.ID).Items[0]; got.FulfillmentStatus != models.FulfillmentFailed {
			b.Errorf("the item is %s", got.FulfillmentStatus)
		}
		b.idle()
		b.sound()
	})
}

// A copy of an earlier epoch, which Redis kept somewhere, must not run a job before its time.
func TestAStaleCopyWaitsForTheRow(t *testing.T) {
	each(t, func(b *bench) {
		b.refuse(models.EmailLicense, busy)
		b.work()
		_, j := b.licensedOrder()
		b.taskIn(j, asynq.TaskStateRetry)
		j = b.jobIn(j.ID, models.JobDue)
		stale := jobs.Handover{JobID: j.ID, Kind: j.Kind, Epoch: 7}
		if ok, err := b.publisher.HandOver(b.Context(), stale); !ok || err != nil {
			b.Fatalf("%v, %v", ok, err)
		}
		b.eventually("the stale copy is skipped", func() bool { return b.outcomes.count(jobs.KindSendEmail, handlers.OutcomeSkipped) == 1 })
		if after := b.jobIn(j.ID, models.JobDue); after.Attempts != 1 || !after.RunAt.Equal(j.RunAt) {
			b.Errorf("it made attempt %d", after.Attempts)
		}
		if n := len(b.emailsOf(models.EmailLicense, b.mail.tried())); n != 1 {
			b.Errorf("the email was tried %d times", n)
		}
	})
}
