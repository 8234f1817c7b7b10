package handlers_test

import (
	"context"
	"encoding/json"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/purser-dev/purser/handlers"
	"github.com/purser-dev/purser/handlers/mail"
	"github.com/purser-dev/purser/handlers/payment"
	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

// A mail server that cannot be used is told to merchants without its name and address, wherever they may look, and to operators, in the
// worker's log, with them.
func TestMerchantsAreNotToldWhereTheMailServerIs(t *testing.T) {
	const hiddenName = "smtp.corp.invalid" // by RFC 6761 there is no such name anywhere
	each(t, func(b *bench) {
		silent := httptest.NewUnstartedServer(nil).Listener // whose connections nobody takes
		b.Cleanup(func() { _ = silent.Close() })
		encrypted := httptest.NewTLSServer(nil)
		b.Cleanup(encrypted.Close)
		away, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		_ = away.Close()
		cases := []struct {
			name, url string
			kept      []string // one of these is
			logged    string
		}{
			{"refused", "smtp://" + away.Addr().String(), []string{"the connection was refused"}, away.Addr().String()},
			{"unknown name", "smtp://" + hiddenName + ":2525?tls=none",
				// What it is depends on the name server of the machine that the test runs on.
				[]string{"there is no server of that name", "its name could not be looked up", "took too long while connecting"}, hiddenName},
			{"timeout", "smtp://" + silent.Addr().String(), []string{"took too long while greeting"}, silent.Addr().String()},
			{"certificate", "smtps://" + encrypted.Listener.Addr().String(), []string{"it is signed by an unknown authority"}, "x509: certificate signed by unknown authority"},
		}
		senders, order := map[string]mail.Sender{}, map[string]string{}
		storetest.Product(b, b.store, b.shop.Test, "app", models.MethodTemplate)
		for _, c := range cases {
			sender, err := mail.NewSMTP(c.url, time.Second)
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { _ = sender.Close() })
			o := storetest.PaidOrder(b, b.store, b.shop.Test, "app", 1)
			senders[o.Number], order[c.name] = sender, o.ID
		}
		b.mail.answers(func(ctx context.Context, m mail.Message, _ int) error {
			if b.emailOf(m) != models.EmailLicense {
				return nil
			}
			for number, sender := range senders {
				if strings.Contains(m.Text, number) {
					return sender.Send(ctx, m)
				}
			}
			b.Errorf("the licence email %q names no order", m.Subject)
			return nil
		})
		b.work()
		for _, c := range cases {
			id := order[c.name]
			b.eventually("the licence email is staged", func() bool {
				return storetest.Count(b, b.store, `SELECT COUNT(*) FROM emails WHERE order_id = $1 AND kind = $2`, id, models.EmailLicense) == 1
			})
			j := b.emailJob(id, models.EmailLicense)
			b.taskIn(j, asynq.TaskStateRetry)
			storetest.Exec(b, b.store, `UPDATE jobs SET max_attempts = 2 WHERE id = $1`, j.ID)
			b.run(j)
			j = b.jobIn(j.ID, models.JobDead)
			b.taskIn(j, asynq.TaskStateArchived)
		}
		b.idle()

		log := b.log.String()
		for _, c := range cases {
			told := b.toldOf(order[c.name])
			for place, text := range told {
				if place != "the notices" && !containsAny(text, c.kept) {
					b.Errorf("%s: %s does not tell why: %s", c.name, place, text)
				}
				for _, hidden := range []string{"127.0.0.1", hiddenName, "dial ", "lookup"} {
					if strings.Contains(text, hidden) {
						b.Errorf("%s: %s tells %q: %s", c.name, place, hidden, text)
					}
				}
			}
			found := false
			for line := range strings.Lines(log) {
				found = found || strings.Contains(line, "job is dead") && strings.Contains(line, c.logged)
			}
			if !found {
				b.Errorf("%s: the log does not tell %q", c.name, c.logged)
			}
		}
		if customer := "ada@example.com"; strings.Contains(log, customer) {
			b.Errorf("the log tells of %s", customer)
		}
		b.sound()
	})
}

// toldOf is what merchants get to see of an order whose delivery failed, by place.
func (b *bench) toldOf(id string) map[string]string {
	b.Helper()
	timeline, err := b.store.Timeline(b.Context(), b.shop.Test, id)
	if err != nil {
		b.Fatal(err)
	}
	entries, err := json.Marshal(timeline)
	if err != nil {
		b.Fatal(err)
	}
	o := b.order(id)
	failure := o.Items[0].Failure
	if failure == nil {
		b.Fatalf("the item of %s has not failed", id)
	}
	var event, lastError string
	row := b.store.SQL().QueryRowContext(b.Context(), `SELECT CAST(data AS TEXT) FROM events WHERE order_id = $1 AND type = 'fulfillment.failed'`, id)
	if err := row.Scan(&event); err != nil {
		b.Fatal(err)
	}
	if j := b.emailJob(id, models.EmailLicense); j.LastError != nil {
		lastError = *j.LastError
	}
	var notices strings.Builder
	for _, m := range b.emailsOf(models.EmailFulfillmentFailed, b.mail.taken()) {
		if strings.Contains(m.Text, o.Number) {
			notices.WriteString(m.Subject + "\n" + m.Text + m.HTML)
		}
	}
	if notices.String() == "" {
		b.Errorf("nobody was told that %s failed", id)
	}
	return map[string]string{
		"the timeline": string(entries), "the item": *failure, "the event": event, "the job": lastError, "the notices": notices.String(),
	}
}

func containsAny(text string, parts []string) bool {
	for _, p := range parts {
		if strings.Contains(text, p) {
			return true
		}
	}
	return false
}

// So it is with a gateway.
func TestMerchantsAreNotToldWhereAGatewayIs(t *testing.T) {
	each(t, func(b *bench) {
		away := httptest.NewServer(nil)
		away.Close()
		gateway, err := payment.NewStripe(payment.StripeConfig{SecretKey: "sk_test_1", WebhookSecrets: []string{"whsec_1"}, APIBase: away.URL})
		if err != nil {
			b.Fatal(err)
		}
		o, p := b.begin()
		b.processing(o, p, time.Now().Add(-time.Hour), time.Millisecond)
		j := b.waiting()
		storetest.Exec(b, b.store, `UPDATE payments SET reference = 'cs_test_1' WHERE id = $1`, p.ID)
		storetest.Exec(b, b.store, `UPDATE jobs SET max_attempts = 1 WHERE id = $1`, j.ID)
		b.work(func(c *handlers.Config) { c.Gateways = map[string]payment.Gateway{"test": gateway} })
		j = b.jobIn(j.ID, models.JobDead)
		if want := "the gateway does not tell: payment: stripe: no answer: the connection was refused"; j.LastError == nil || *j.LastError != want {
			b.Errorf("the error is %v, want %q", j.LastError, want)
		}
		b.eventually("the log tells where", func() bool { return b.log.has("dial tcp " + strings.TrimPrefix(away.URL, "http://")) })
	})
}
