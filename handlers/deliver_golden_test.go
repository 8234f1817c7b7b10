package handlers_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/purser-dev/purser/models"
	"github.com/purser-dev/purser/models/storetest"
)

var update = flag.Bool("update", false, "write the golden files instead of comparing with them")

// unstable are the parts of a body that differ from run to run.
var unstable = []struct {
	what *regexp.Regexp
	with string // %d is the number of the value, by its first appearance
}{
	{regexp.MustCompile(`\b(ord|itm|pay|prd|lic|evt|whe|mer)_[0-9a-z]{26}\b`), "${1}_%d"},
	{regexp.MustCompile(`\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`), "2026-01-02T03:04:05.678901Z"},
	{regexp.MustCompile(`"A\d{10}"`), `"A0000000001"`},
	{regexp.MustCompile(`/(pay|order)/[A-Za-z0-9_-]{20,}`), "/${1}/TOKEN"},
	{regexp.MustCompile(`http://127\.0\.0\.1:\d+/`), "https://shop.example/"},
}

// stable gives a body the values of the golden files, and indents it. The order of its members stays.
func stable(t *testing.T, body []byte) []byte {
	t.Helper()
	text := string(body)
	for _, u := range unstable {
		numbers := map[string]int{}
		text = u.what.ReplaceAllStringFunc(text, func(found string) string {
			if numbers[found] == 0 {
				numbers[found] = len(numbers) + 1
			}
			with := u.what.ReplaceAllString(found, u.with)
			if strings.Contains(with, "%d") {
				with = fmt.Sprintf(with, numbers[found])
			}
			return with
		})
	}
	var out bytes.Buffer
	if err := json.Indent(&out, []byte(text), "", "  "); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	return append(out.Bytes(), '\n')
}

// The body of every event that is emitted, as one endpoint gets it with masked keys and another, which asked for them, with the keys.
func TestWebhookBodies(t *testing.T) {
	each(t, func(b *bench) {
		masked := b.receive([]string{"*"})
		open := b.receive([]string{"*"}, func(in *models.WebhookEndpointInput) { in.IncludeLicenseKeys = true })
		b.work()
		bodies := map[string][]byte{}
		for _, s := range scenarios {
			before := len(masked.got())
			s.play(b)
			b.idle()
			for _, c := range masked.got()[before:] {
				for _, name := range s.bodies {
					if kind, _, _ := strings.Cut(name, "+"); types(b.T, []received{c})[kind] == 1 {
						name = strings.ReplaceAll(name, "+", ".")
						bodies[name] = c.body
						if body := bodyOf(open, c.id); body != nil {
							bodies[name+".with_keys"] = body
						}
					}
				}
			}
		}
		delivered, keys := bodies["order.delivered"], bodies["order.delivered.with_keys"]
		if bytes.Contains(delivered, []byte("GOLD-KEY")) || !bytes.Contains(keys, []byte(`"key":"GOLD-KEY-0001"`)) {
			b.Errorf("keys where they are to be masked, or masked where they are to be:\n%s\n%s", delivered, keys)
		}
		for name, body := range bodies {
			if name, ok := strings.CutSuffix(name, ".with_keys"); ok && bytes.Equal(stable(b.T, body), stable(b.T, bodies[name])) {
				delete(bodies, name+".with_keys") // an event about nothing that has keys by then
			}
		}
		compare(b, bodies)
	})
}

// bodyOf is the body with which an event reached a receiver, nil if it did not: a test event is for one endpoint.
func bodyOf(r *receiver, id string) []byte {
	for _, c := range r.got() {
		if c.id == id {
			return c.body
		}
	}
	return nil
}

func compare(b *bench, bodies map[string][]byte) {
	b.Helper()
	files, err := filepath.Glob("testdata/*.golden.json")
	if err != nil {
		b.Fatal(err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".golden.json")
		switch {
		case bodies[name] != nil:
		case *update:
			if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
				b.Fatal(err)
			}
		default:
			b.Errorf("no body for %s came", file)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(bodies)) {
		got, file := stable(b.T, bodies[name]), filepath.Join("testdata", name+".golden.json")
		if *update {
			if err := os.WriteFile(file, got, 0o644); err != nil {
				b.Fatal(err)
			}
			continue
		}
		want, err := os.ReadFile(file)
		if err != nil {
			b.Errorf("%v; go test ./handlers -run TestWebhookBodies -update writes it", err)
			continue
		}
		if !bytes.Equal(got, want) {
			b.Errorf("%s differs:\ngot  %s\nwant %s", file, got, want)
		}
	}
}

// scenario is something that happens and the bodies that it leaves: an event type, with "+variant" where it has several.
type scenario struct {
	bodies []string
	play   func(b *bench)
}

var scenarios = []scenario{
	{[]string{"order.created", "payment.succeeded", "product.delivered", "order.delivered"}, func(b *bench) {
		threshold := storetest.ProductInput("gold", models.MethodPool)
		if _, err := b.store.CreateProduct(b.Context(), b.shop.Test, threshold); err != nil {
			b.Fatal(err)
		}
		if _, err := b.store.AddPoolKeys(b.Context(), b.shop.Test, "gold", []string{"GOLD-KEY-0001", "GOLD-KEY-0002"}); err != nil {
			b.Fatal(err)
		}
		in := storetest.OrderInput("gold", 2)
		in.ExternalID, in.ReturnURL, in.Metadata = "cart-991", "https://shop.example/thanks", map[string]string{"campaign": "spring <&>"}
		in.Customer.LastName = "Lovelace née Byron"
		o, err := b.store.CreateOrder(b.Context(), b.shop.Test, in)
		if err != nil {
			b.Fatal(err)
		}
		b.idle()
		storetest.Pay(b, b.store, b.shop.Test, o.ID)
	}},
	{[]string{"payment.failed"}, func(b *bench) {
		o := storetest.Order(b, b.store, b.shop.Test, "gold", 1)
		p, err := b.store.BeginPayment(b.Context(), b.shop.Test, o.ID, models.NewPayment{Method: "card", Gateway: "test", Class: "online", Actor: "test"})
		if err != nil {
			b.Fatal(err)
		}
		result := models.PaymentResult{Status: models.PaymentFailed, FailureCode: "card_declined", FailureMessage: "The card was declined."}
		if _, err := b.store.ApplyPayment(b.Context(), p.ID, result, "test"); err != nil {
			b.Fatal(err)
		}
	}},
	{[]string{"payment.mismatch"}, func(b *bench) {
		o := storetest.Order(b, b.store, b.shop.Test, "gold", 1)
		dollars := models.ReceivedMoney{Amount: o.Total, Currency: "USD", Reference: "RF18", Actor: "test"}
		if _, err := b.store.MarkPaid(b.Context(), b.shop.Test, o.ID, dollars); err != nil {
			b.Fatal(err)
		}
	}},
	{[]string{"order.deleted+cancelled"}, func(b *bench) {
		o := storetest.Order(b, b.store, b.shop.Test, "gold", 1)
		if _, err := b.store.CancelOrder(b.Context(), b.shop.Test, o.ID, "ordered twice", "staff:test"); err != nil {
			b.Fatal(err)
		}
	}},
	{[]string{"order.deleted+expired"}, func(b *bench) {
		o := storetest.Order(b, b.store, b.shop.Test, "gold", 1)
		b.age(o.ID, 91*24)
		if _, err := b.store.ExpireOrders(b.Context()); err != nil {
			b.Fatal(err)
		}
	}},
	{[]string{"license.pool_empty"}, func(b *bench) {
		storetest.PaidOrder(b, b.store, b.shop.Test, "gold", 1)
	}},
	{[]string{"license.pool_low"}, func(b *bench) {
		low := storetest.ProductInput("low", models.MethodPool)
		low.License = json.RawMessage(`{"low_threshold":1}`)
		if _, err := b.store.CreateProduct(b.Context(), b.shop.Test, low); err != nil {
			b.Fatal(err)
		}
		if _, err := b.store.AddPoolKeys(b.Context(), b.shop.Test, "low", []string{"LOW-KEY-0001", "LOW-KEY-0002"}); err != nil {
			b.Fatal(err)
		}
		storetest.PaidOrder(b, b.store, b.shop.Test, "low", 1)
	}},
	{[]string{"fulfillment.failed"}, func(b *bench) {
		b.refuse(models.EmailLicense, unknown)
		storetest.Product(b, b.store, b.shop.Test, "failing", models.MethodPool)
		if _, err := b.store.AddPoolKeys(b.Context(), b.shop.Test, "failing", []string{"GOLD-KEY-0003"}); err != nil {
			b.Fatal(err)
		}
		storetest.PaidOrder(b, b.store, b.shop.Test, "failing", 1)
		b.idle()
		b.mail.answers(nil)
	}},
	{[]string{"webhook_endpoint.test"}, func(b *bench) {
		endpoints, _, err := b.store.WebhookEndpoints(b.Context(), b.shop.Test, models.Page{Limit: 10})
		if err != nil {
			b.Fatal(err)
		}
		for _, w := range endpoints {
			if _, err := b.store.SendTestEvent(b.Context(), b.shop.Test, w.ID); err != nil {
				b.Fatal(err)
			}
		}
	}},
	{[]string{"custom.ping"}, func(b *bench) { b.ping() }},
}
