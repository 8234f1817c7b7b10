package handlers_test

import (
	"strings"
	"testing"

	"github.com/purser-dev/purser/jobs"
	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

func (b *bench) told(sc models.Scope, event, paymentID string) {
	b.Helper()
	err := b.store.RecordCallback(b.Context(), sc, models.NewCallback{
		Gateway: "test", EventID: event, PaymentID: paymentID,
		Outcome: models.PaymentResult{Status: models.PaymentSucceeded, Reference: "ref_" + paymentID},
	})
	if err != nil {
		b.Fatal(err)
	}
}

func TestCallbacksAreApplied(t *testing.T) {
	each(t, func(b *bench) {
		o, p := b.begin()
		for _, event := range []string{"evt_1", "evt_1", "evt_2"} {
			b.told(b.shop.Test, event, p.ID)
		}
		b.work()
		got := b.delivered(o.ID)
		b.eventually("both callbacks are applied", func() bool {
			return storetest.Count(b, b.store, "SELECT COUNT(*) FROM gateway_callbacks WHERE applied_at IS NOT NULL") == 2
		})
		b.idle()
		if n := len(storetest.Jobs(b, b.store, jobs.KindCallback)); n != 2 || len(got.Payments) != 1 || got.Payments[0].Status != models.PaymentSucceeded {
			t.Errorf("%d promises, payments %+v", n, got.Payments)
		}
		b.sound()
	})
}

// A callback about what is not its merchant's is dead at once, for operators to see, and changes nothing.
func TestCallbacksAboutNoPayment(t *testing.T) {
	each(t, func(b *bench) {
		o, p := b.begin()
		other := storetest.Merchant(b, b.store)
		b.told(other.Test, "evt_1", p.ID)
		b.told(b.shop.Live, "evt_2", p.ID)
		b.told(b.shop.Test, "evt_3", "pay_00000000000000000000000000")
		b.told(b.shop.Test, "evt_4", "")
		for event, subject := range map[string]models.CallbackSubject{"evt_5": models.CallbackOfRefund, "evt_6": models.CallbackOfRefundTotal} {
			err := b.store.RecordCallback(b.Context(), b.shop.Test, models.NewCallback{
				Gateway: "test", EventID: event, RefundID: "rfd_00000000000000000000000000", Subject: subject,
				Outcome: models.PaymentResult{Status: models.PaymentSucceeded, Reference: "re_1", Amount: 100, Currency: "EUR"},
			})
			if err != nil {
				b.Fatal(err)
			}
		}
		b.work()
		found := storetest.Jobs(b, b.store, jobs.KindCallback)
		if len(found) != 6 {
			t.Fatalf("%d promises", len(found))
		}
		for _, j := range found {
			j = b.jobIn(j.ID, models.JobDead)
			if j.Attempts != 1 || j.OrderID != nil || j.LastError == nil || !strings.Contains(*j.LastError, "no payment") {
				t.Errorf("dead after %d attempts: %v", j.Attempts, j.LastError)
			}
		}
		if got := b.order(o.ID); got.Status != models.OrderNotPaid || got.Payments[0].Status != models.PaymentPending {
			t.Errorf("the order is %s, its payment %s", got.Status, got.Payments[0].Status)
		}
		if n := storetest.Count(b, b.store, "SELECT COUNT(*) FROM gateway_callbacks WHERE applied_at IS NOT NULL"); n != 0 {
			t.Errorf("%d callbacks were applied", n)
		}
		b.sound()
	})
}
